//! Folders of chats, one level deep.

use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use ts_rs::TS;

use crate::change::Note;
use crate::error::Attempt;
use crate::sql::{flag, integer, text};
use crate::{ChatId, Error, FolderId, Key, Result, Store};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Folder {
    pub id: FolderId,
    pub name: String,
    pub open: bool,
}

pub(crate) const V1: &str = "
    CREATE TABLE folders (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        open INTEGER NOT NULL DEFAULT 1
    ) STRICT;
";

const NAME_CHARS_MAX: usize = 200;

fn read(row: &SqliteRow) -> Folder {
    Folder { id: FolderId(integer(row, "id")), name: text(row, "name"), open: flag(row, "open") }
}

pub(crate) async fn load(conn: &mut SqliteConnection, id: FolderId) -> sqlx::Result<Option<Folder>> {
    Ok(sqlx::query("SELECT * FROM folders WHERE id = ?").bind(id).fetch_optional(conn).await?.as_ref().map(read))
}

pub(crate) async fn load_all(conn: &mut SqliteConnection) -> sqlx::Result<Vec<Folder>> {
    Ok(sqlx::query("SELECT * FROM folders ORDER BY name, id").fetch_all(conn).await?.iter().map(read).collect())
}

fn clean(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect::<String>().trim().to_string()
}

impl Store {
    pub async fn new_folder(&self, name: &str) -> Result<Folder> {
        let mut write = self.write("make a folder").await?;
        let attempt = write.attempt;
        let name = clean(name);
        let insert = sqlx::query("INSERT INTO folders (name) VALUES (?)").bind(&name);
        let id = FolderId(insert.execute(write.conn()).await.attempt(attempt)?.last_insert_rowid());
        write.note(Key::Folder(id));
        write.commit().await?;
        Ok(Folder { id, name, open: true })
    }

    pub async fn update_folder(&self, id: FolderId, change: impl FnOnce(&mut Folder) + Send) -> Result<Folder> {
        let mut write = self.write("change the folder").await?;
        let attempt = write.attempt;
        let mut folder = load(write.conn(), id).await.attempt(attempt)?.ok_or(Error::Missing(Key::Folder(id)))?;
        change(&mut folder);
        let folder = Folder { id, name: clean(&folder.name), open: folder.open };
        sqlx::query("UPDATE folders SET name = ?, open = ? WHERE id = ?")
            .bind(&folder.name)
            .bind(folder.open)
            .bind(id)
            .execute(write.conn())
            .await
            .attempt(attempt)?;
        write.note(Key::Folder(id));
        write.commit().await?;
        Ok(folder)
    }

    /// Its chats move out.
    pub async fn delete_folder(&self, folder: FolderId) -> Result<()> {
        let mut write = self.write("delete the folder").await?;
        let attempt = write.attempt;
        let chats: Vec<ChatId> = sqlx::query_scalar("UPDATE chats SET folder = NULL WHERE folder = ? RETURNING id")
            .bind(folder)
            .fetch_all(write.conn())
            .await
            .attempt(attempt)?;
        let result = sqlx::query("DELETE FROM folders WHERE id = ?").bind(folder).execute(write.conn()).await;
        if result.attempt(attempt)?.rows_affected() == 0 {
            return Err(Error::Missing(Key::Folder(folder)));
        }
        chats.into_iter().for_each(|chat| write.note_other(Note::Row(Key::Chat(chat))));
        write.note(Key::Folder(folder));
        write.commit().await
    }
}
