//! Drafts: what was typed and not sent, for each chat.

use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use ts_rs::TS;

use crate::error::Attempt;
use crate::sql::{Damaged, integer, json, text, to_json};
use crate::{Attachment, ChatId, Key, Result, Store};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Draft {
    /// `None`: the chat that does not exist yet.
    pub chat: Option<ChatId>,
    pub text: String,
    pub attachments: Vec<Attachment>,
}

/// Chat 0 is the one that does not exist yet.
pub(crate) const V1: &str = "
    CREATE TABLE drafts (
        chat INTEGER PRIMARY KEY,
        text TEXT NOT NULL,
        attachments TEXT NOT NULL DEFAULT '[]'
    ) STRICT;
";

/// Drafts of deleted chats wait with them.
const SELECT: &str = "
    SELECT * FROM drafts
    WHERE (chat = 0 OR EXISTS (SELECT 1 FROM chats WHERE id = drafts.chat AND deleted_ms IS NULL))";

fn read(row: &SqliteRow) -> Draft {
    let chat = integer(row, "chat");
    let mut damaged = Damaged::default();
    let attachments = json(row, "attachments", &mut damaged).unwrap_or_default();
    damaged.problem("drafts", chat);
    Draft { chat: (chat != 0).then_some(ChatId(chat)), text: text(row, "text"), attachments }
}

pub(crate) async fn load(conn: &mut SqliteConnection, chat: Option<ChatId>) -> sqlx::Result<Option<Draft>> {
    let sql = sqlx::AssertSqlSafe(format!("{SELECT} AND chat = ?"));
    Ok(sqlx::query(sql).bind(chat.unwrap_or(ChatId(0))).fetch_optional(conn).await?.as_ref().map(read))
}

pub(crate) async fn load_all(conn: &mut SqliteConnection) -> sqlx::Result<Vec<Draft>> {
    Ok(sqlx::query(SELECT).fetch_all(conn).await?.iter().map(read).collect())
}

impl Store {
    /// An empty one is removed.
    pub async fn save_draft(&self, draft: &Draft) -> Result<()> {
        let mut write = self.write("keep the draft").await?;
        let attempt = write.attempt;
        let chat = draft.chat.unwrap_or(ChatId(0));
        let query = match draft.text.is_empty() && draft.attachments.is_empty() {
            true => sqlx::query("DELETE FROM drafts WHERE chat = ?").bind(chat),
            false => sqlx::query("INSERT OR REPLACE INTO drafts (chat, text, attachments) VALUES (?, ?, ?)")
                .bind(chat)
                .bind(&draft.text)
                .bind(to_json(&draft.attachments)),
        };
        query.execute(write.conn()).await.attempt(attempt)?;
        write.note(Key::Draft(draft.chat));
        write.commit().await
    }
}
