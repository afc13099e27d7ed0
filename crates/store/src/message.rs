//! Messages: a tree for each chat. Regenerate and edit make siblings; the chat remembers its chosen leaf.

use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use ts_rs::TS;

use crate::sql::{Damaged, as_text, integer, json, optional_integer, text, to_json};
use crate::{ChatId, MessageId, ModelId, Parameters, Problem, Time};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    User,
    Assistant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    Done,
    /// Its answer is being made, by the process that owns the row.
    Writing,
    /// The person stopped it.
    Stopped,
    /// The process that wrote it ended; it can be continued.
    Interrupted,
    /// `error` says why.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Message {
    pub id: MessageId,
    pub chat: ChatId,
    pub parent: Option<MessageId>,
    pub role: Role,
    pub state: MessageState,
    pub error: Option<Problem>,
    /// What made it; answers only.
    pub made: Option<Made>,
    pub stats: Option<Stats>,
    pub created_ms: Time,
    /// Left out (`None`) for messages off the visible path until they are asked for.
    pub body: Option<Body>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, TS)]
pub struct Body {
    pub text: String,
    /// The thought span of a thinking model, without its marks. Not copied, searched or sent back by default.
    pub thought: String,
    pub thought_tokens: u32,
    pub thought_ms: u32,
    pub attachments: Vec<Attachment>,
}

/// A text file that was placed whole in the prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Attachment {
    pub name: String,
    /// The encoding it was read in (WHATWG name), "UTF-8" most often.
    pub encoding: String,
    pub text: String,
    pub tokens: u32,
}

/// Everything that made an answer, so that it can be made again exactly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Made {
    pub model: ModelId,
    pub model_name: String,
    pub model_sha256: Option<String>,
    pub template: String,
    pub system: String,
    /// Every value filled, the seed too.
    pub parameters: Parameters,
    /// Path or name and strength of each adapter.
    pub adapters: Vec<(String, f32)>,
    /// The words the reply was made to begin with; they are part of the text.
    pub begin: String,
    pub backend: String,
    /// The model that guessed ahead, by name and SHA-256: with it a seed gives another draw. None in older rows.
    #[serde(default)]
    pub draft: Option<MadeDraft>,
    pub version: String,
}

/// A model that guessed ahead for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct MadeDraft {
    pub model_name: String,
    pub model_sha256: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model said so.
    End,
    /// One of the stop texts.
    StopText,
    /// `tokens_max` was reached.
    Length,
    /// The context is full.
    Context,
    /// The person stopped it.
    Stopped,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Stats {
    pub prompt_tokens: u32,
    /// Of these, how many were in the cache already.
    pub reused_tokens: u32,
    /// New tokens, thoughts included.
    pub tokens: u32,
    pub first_token_ms: u32,
    /// From the first new token to the last.
    pub tokens_per_second: f32,
    /// Tokens that were guessed ahead, and how many of them are in the answer; 0 in rows of older versions.
    #[serde(default)]
    pub drafted_tokens: u32,
    #[serde(default)]
    pub accepted_tokens: u32,
    /// Why the processor went on in the graphics card's place, where it had to; in English.
    #[serde(default)]
    pub moved: Option<String>,
    pub finish: Finish,
    /// How many of the oldest turns were left out of the prompt, and the first message that the model saw.
    pub turns_dropped: u32,
    pub memory_starts_at: Option<MessageId>,
}

as_text!(Role { User = "user", Assistant = "assistant" } else Assistant);
as_text!(MessageState {
    Done = "done", Writing = "writing", Stopped = "stopped", Interrupted = "interrupted", Failed = "failed"
} else Interrupted);

/// A parent comes before its children, so a walk up or down always ends.
pub(crate) const V1: &str = "
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        chat INTEGER NOT NULL REFERENCES chats (id),
        parent INTEGER REFERENCES messages (id) CHECK (parent < id),
        role TEXT NOT NULL,
        state TEXT NOT NULL,
        -- The process that writes it.
        owner TEXT,
        error TEXT,
        made TEXT,
        stats TEXT,
        created_ms INTEGER NOT NULL,
        text TEXT NOT NULL DEFAULT '',
        thought TEXT NOT NULL DEFAULT '',
        thought_tokens INTEGER NOT NULL DEFAULT 0,
        thought_ms INTEGER NOT NULL DEFAULT 0,
        attachments TEXT NOT NULL DEFAULT '[]',
        -- The version below it that was shown last.
        chosen INTEGER,
        deleted_ms INTEGER,
        -- The message whose deletion took this one with it, and (there only) the chat's leaf before.
        deleted_with INTEGER,
        leaf_before INTEGER
    ) STRICT;
    CREATE INDEX messages_chat ON messages (chat);
    CREATE INDEX messages_parent ON messages (parent);
    CREATE INDEX messages_writing ON messages (owner) WHERE state = 'writing';
    CREATE INDEX messages_deleted ON messages (deleted_ms) WHERE deleted_ms IS NOT NULL;
";

const HEAD: &str = "id, chat, parent, role, state, error, made, stats, created_ms";
const BODY: &str = "text, thought, thought_tokens, thought_ms, attachments";

/// Bodies that `Change::Opened` carries, from the leaf upwards; the others are asked for when they are scrolled to.
const OPENED_BYTES_MAX: usize = 8 << 20;

fn read(row: &SqliteRow, has_body: bool) -> Message {
    let id = MessageId(integer(row, "id"));
    let mut damaged = Damaged::default();
    let error = json(row, "error", &mut damaged);
    let made = json(row, "made", &mut damaged);
    let stats = json(row, "stats", &mut damaged);
    let count = |column| integer(row, column).clamp(0, u32::MAX.into()) as u32;
    let body = has_body.then(|| Body {
        text: text(row, "text"),
        thought: text(row, "thought"),
        thought_tokens: count("thought_tokens"),
        thought_ms: count("thought_ms"),
        attachments: json(row, "attachments", &mut damaged).unwrap_or_default(),
    });
    let damage = damaged.problem("messages", id.0);
    Message {
        id,
        chat: ChatId(integer(row, "chat")),
        parent: optional_integer(row, "parent").map(MessageId),
        role: Role::from_text(&text(row, "role")),
        state: MessageState::from_text(&text(row, "state")),
        error: error.or(damage),
        made,
        stats,
        created_ms: integer(row, "created_ms"),
        body,
    }
}

/// With bodies, in the order of their ids. Deleted ones, and those of deleted chats, are left out.
pub(crate) async fn load_many(conn: &mut SqliteConnection, ids: &[MessageId]) -> sqlx::Result<Vec<Message>> {
    let sql = format!(
        "SELECT {HEAD}, {BODY} FROM messages WHERE id IN (SELECT value FROM json_each(?)) AND deleted_ms IS NULL
            AND EXISTS (SELECT 1 FROM chats WHERE chats.id = messages.chat AND chats.deleted_ms IS NULL)
         ORDER BY id"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(to_json(&ids)).fetch_all(conn).await?;
    Ok(rows.iter().map(|row| read(row, true)).collect())
}

pub(crate) async fn load(conn: &mut SqliteConnection, id: MessageId) -> sqlx::Result<Option<Message>> {
    Ok(load_many(conn, &[id]).await?.pop())
}

/// The whole tree, parents before children.
pub(crate) async fn load_tree(conn: &mut SqliteConnection, chat: ChatId, has_body: bool) -> sqlx::Result<Vec<Message>> {
    let columns = if has_body { format!("{HEAD}, {BODY}") } else { HEAD.to_string() };
    let sql = format!("SELECT {columns} FROM messages WHERE chat = ? AND deleted_ms IS NULL ORDER BY id");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(chat).fetch_all(conn).await?;
    Ok(rows.iter().map(|row| read(row, has_body)).collect())
}

/// The whole tree; on the visible path with bodies.
pub(crate) async fn load_opened(conn: &mut SqliteConnection, chat: ChatId) -> sqlx::Result<Vec<Message>> {
    let mut messages = load_tree(conn, chat, false).await?;
    let leaf: Option<MessageId> = sqlx::query_scalar("SELECT leaf FROM chats WHERE id = ?")
        .bind(chat)
        .fetch_optional(&mut *conn)
        .await?
        .flatten();
    let sql = format!(
        "{PATH} SELECT {HEAD}, {BODY} FROM path JOIN messages USING (id) WHERE deleted_ms IS NULL ORDER BY id DESC"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(leaf).fetch_all(conn).await?;
    let mut bytes = 0;
    for row in &rows {
        let message = read(row, true);
        let attached = |body: &Body| body.attachments.iter().map(|attachment| attachment.text.len()).sum::<usize>();
        bytes += message.body.as_ref().map_or(0, |body| body.text.len() + body.thought.len() + attached(body));
        if bytes > OPENED_BYTES_MAX {
            break;
        }
        if let Ok(index) = messages.binary_search_by_key(&message.id, |message| message.id) {
            messages[index] = message;
        }
    }
    Ok(messages)
}

/// The ids from a message (the parameter) up to its root, as `path (id)`.
pub(crate) const PATH: &str = "
    WITH RECURSIVE path (id) AS (
        SELECT id FROM messages WHERE id = ?
        UNION ALL
        SELECT messages.parent FROM path JOIN messages USING (id) WHERE messages.parent < messages.id
    )";

/// From the root down to `leaf`.
pub(crate) async fn load_path(conn: &mut SqliteConnection, leaf: MessageId) -> sqlx::Result<Vec<Message>> {
    let sql =
        format!("{PATH} SELECT {HEAD}, {BODY} FROM path JOIN messages USING (id) WHERE deleted_ms IS NULL ORDER BY id");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(leaf).fetch_all(conn).await?;
    Ok(rows.iter().map(|row| read(row, true)).collect())
}

/// Inserts all columns but the id; `owner` for one that is being written.
pub(crate) async fn insert(
    conn: &mut SqliteConnection,
    message: &Message,
    owner: Option<&str>,
) -> sqlx::Result<MessageId> {
    let none = Body::default();
    let body = message.body.as_ref().unwrap_or(&none);
    let result = sqlx::query(
        "INSERT INTO messages (chat, parent, role, state, owner, error, made, stats, created_ms, text, thought,
            thought_tokens, thought_ms, attachments)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(message.chat)
    .bind(message.parent)
    .bind(message.role.as_text())
    .bind(message.state.as_text())
    .bind(owner)
    .bind(message.error.as_ref().map(to_json))
    .bind(message.made.as_ref().map(to_json))
    .bind(message.stats.as_ref().map(to_json))
    .bind(message.created_ms)
    .bind(&body.text)
    .bind(&body.thought)
    .bind(body.thought_tokens)
    .bind(body.thought_ms)
    .bind(to_json(&body.attachments))
    .execute(conn)
    .await?;
    Ok(MessageId(result.last_insert_rowid()))
}
