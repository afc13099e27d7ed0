//! Connections: every request that the program made of another host, or refused to make, the newest some hundreds.

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use ts_rs::TS;

use crate::error::Attempt;
use crate::sql::{flag, integer, optional_integer, optional_text, text};
use crate::{Result, Store, Time};

/// Enough to see what the program did this week; the oldest go.
const CONNECTIONS_MAX: i64 = 1_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Connection {
    pub at_ms: Time,
    /// With its port where that is not the usual one.
    pub host: String,
    /// "search", "repository", "card", "header", "file" or "test".
    pub purpose: String,
    /// What the host answered; absent where it did not.
    pub status: Option<u16>,
    /// Received.
    pub bytes: u64,
    /// Why there was no answer, in English.
    pub problem: Option<String>,
    /// Not made: the program is offline.
    pub made: bool,
}

pub(crate) const V2: &str = "
    CREATE TABLE connections (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ms INTEGER NOT NULL,
        host TEXT NOT NULL,
        purpose TEXT NOT NULL,
        status INTEGER,
        bytes INTEGER NOT NULL,
        problem TEXT,
        made INTEGER NOT NULL
    ) STRICT;
";

fn read(row: &SqliteRow) -> Connection {
    Connection {
        at_ms: integer(row, "at_ms"),
        host: text(row, "host"),
        purpose: text(row, "purpose"),
        status: optional_integer(row, "status").and_then(|status| u16::try_from(status).ok()),
        bytes: integer(row, "bytes").max(0) as u64,
        problem: optional_text(row, "problem"),
        made: flag(row, "made"),
    }
}

impl Store {
    /// Writes connections down, and lets the oldest go. They are an answer to a command, so no change is made known.
    pub async fn add_connections(&self, connections: &[Connection]) -> Result<()> {
        let mut write = self.write("note the connections").await?;
        let attempt = write.attempt;
        for connection in connections {
            sqlx::query(
                "INSERT INTO connections (at_ms, host, purpose, status, bytes, problem, made) VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(connection.at_ms)
            .bind(&connection.host)
            .bind(&connection.purpose)
            .bind(connection.status)
            .bind(connection.bytes as i64)
            .bind(&connection.problem)
            .bind(connection.made)
            .execute(write.conn())
            .await
            .attempt(attempt)?;
        }
        sqlx::query("DELETE FROM connections WHERE id <= (SELECT MAX(id) FROM connections) - ?")
            .bind(CONNECTIONS_MAX)
            .execute(write.conn())
            .await
            .attempt(attempt)?;
        write.commit().await
    }

    /// The newest first.
    pub async fn connections(&self, limit: u32) -> Result<Vec<Connection>> {
        let mut tx = self.read("read the connections").await?;
        let query = sqlx::query("SELECT * FROM connections ORDER BY id DESC LIMIT ?").bind(limit);
        Ok(query.fetch_all(&mut *tx).await.attempt("read the connections")?.iter().map(read).collect())
    }

    pub async fn forget_connections(&self) -> Result<()> {
        let mut write = self.write("forget the connections").await?;
        let attempt = write.attempt;
        sqlx::query("DELETE FROM connections").execute(write.conn()).await.attempt(attempt)?;
        write.commit().await
    }
}
