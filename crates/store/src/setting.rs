//! Settings: a key and a JSON value each. Absent: the program's default.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sqlx::{Connection, SqliteConnection};
use ts_rs::TS;

use crate::backup::DATABASE;
use crate::change::Note;
use crate::error::Attempt;
use crate::sql::{Damaged, connect_to_read, json, text, to_json};
use crate::{Result, Store};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Setting {
    pub key: String,
    /// JSON null: back to the default.
    pub value: serde_json::Value,
}

pub(crate) const V1: &str = "
    CREATE TABLE settings (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// A damaged value is null: the default.
pub(crate) async fn load(conn: &mut SqliteConnection, key: &str) -> sqlx::Result<Setting> {
    let row = sqlx::query("SELECT value FROM settings WHERE key = ?").bind(key).fetch_optional(conn).await?;
    let value = row.and_then(|row| json(&row, "value", &mut Damaged::default())).unwrap_or_default();
    Ok(Setting { key: key.to_string(), value })
}

pub(crate) async fn load_all(conn: &mut SqliteConnection) -> sqlx::Result<Vec<Setting>> {
    let rows = sqlx::query("SELECT key, value FROM settings ORDER BY key").fetch_all(conn).await?;
    let read = |row| Some(Setting { key: text(row, "key"), value: json(row, "value", &mut Damaged::default())? });
    Ok(rows.iter().filter_map(read).collect())
}

/// The settings of a data folder, for a look: nothing is made, mended or locked there. None where it has no database.
pub async fn peek(folder: &Path) -> Result<Vec<Setting>> {
    let path = folder.join(DATABASE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let mut conn = connect_to_read(&path).await.attempt("be opened for a look")?;
    let settings = load_all(&mut conn).await.attempt("read the settings")?;
    conn.close().await.attempt("be closed")?;
    Ok(settings)
}

impl Store {
    /// JSON null removes it.
    pub async fn set_setting(&self, key: &str, value: serde_json::Value) -> Result<()> {
        let mut write = self.write("keep the setting").await?;
        let attempt = write.attempt;
        let query = match value.is_null() {
            true => sqlx::query("DELETE FROM settings WHERE key = ?").bind(key),
            false => sqlx::query(
                "INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
            )
            .bind(key)
            .bind(to_json(&value)),
        };
        query.execute(write.conn()).await.attempt(attempt)?;
        write.note_other(Note::Setting(key.to_string()));
        write.commit().await
    }

    pub async fn setting(&self, key: &str) -> Result<Option<serde_json::Value>> {
        let mut tx = self.read("read the setting").await?;
        let setting = load(&mut tx, key).await.attempt("read the setting")?;
        Ok(Some(setting.value).filter(|value| !value.is_null()))
    }
}
