//! Chats: one row for each conversation or completion page.

use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use ts_rs::TS;

use crate::change::require_chat;
use crate::error::Attempt;
use crate::sql::{Damaged, as_text, flag, integer, json, now_ms, optional_integer, optional_text, text, to_json};
use crate::store::Write;
use crate::{ChatId, Error, FolderId, Key, MessageId, ModelId, Parameters, PersonaId, Result, Store, Time, search};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ChatKind {
    /// Turns of a person and a model, through a template.
    Chat,
    /// Raw text that the model continues. Its tree: a `user` message holds the text so far, its `assistant` child the
    /// continuation; the editor shows the path joined; an edit of the text makes a new root.
    Page,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Chat {
    pub id: ChatId,
    pub kind: ChatKind,
    /// As the person named it; empty: shown as `heading`.
    pub title: String,
    /// The first words of the first message.
    pub heading: String,
    pub folder: Option<FolderId>,
    pub pinned: bool,
    pub persona: Option<PersonaId>,
    /// `None`: the default model.
    pub model: Option<ModelId>,
    /// This chat's own system prompt; `None`: the persona's, else the default.
    pub system: Option<String>,
    /// This chat's own layer.
    pub parameters: Parameters,
    /// Adapters that its answers are made with, in their order.
    #[serde(default)]
    pub adapters: Vec<Strength>,
    /// The end of the path that is shown.
    pub leaf: Option<MessageId>,
    pub created_ms: Time,
    /// When its last message came or it was changed: the list's order.
    pub changed_ms: Time,
}

/// An adapter of the list, and how much of it is added: 1 is as trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Strength {
    pub model: ModelId,
    pub strength: f32,
}

/// What `new_chat` sets; the rest is filled later by `update_chat`.
#[derive(Clone, Debug)]
pub struct NewChat {
    pub kind: ChatKind,
    pub folder: Option<FolderId>,
    pub persona: Option<PersonaId>,
    pub model: Option<ModelId>,
}

impl Chat {
    /// The name that the list shows: as the person named it, else the first message's words.
    pub fn shown_title(&self) -> &str {
        if self.title.is_empty() { &self.heading } else { &self.title }
    }
}

as_text!(ChatKind { Chat = "chat", Page = "page" } else Chat);

/// Folder, persona and model are no foreign keys: a chat keeps the id of one that was deleted, so that restoring it
/// gives it back.
pub(crate) const V1: &str = "
    CREATE TABLE chats (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        title TEXT NOT NULL DEFAULT '',
        heading TEXT NOT NULL DEFAULT '',
        folder INTEGER,
        pinned INTEGER NOT NULL DEFAULT 0,
        persona INTEGER,
        model INTEGER,
        system TEXT,
        parameters TEXT NOT NULL DEFAULT '{}',
        leaf INTEGER,
        -- The version at the root that was shown last.
        chosen INTEGER,
        created_ms INTEGER NOT NULL,
        changed_ms INTEGER NOT NULL,
        deleted_ms INTEGER
    ) STRICT;
    CREATE INDEX chats_deleted ON chats (deleted_ms) WHERE deleted_ms IS NOT NULL;
";

pub(crate) const V2: &str = "
    ALTER TABLE chats ADD COLUMN adapters TEXT NOT NULL DEFAULT '[]';
";

/// A folder, persona or model that is deleted is not named.
const SELECT: &str = "
    SELECT chats.id, kind, title, heading, pinned, system, chats.parameters, adapters, leaf, created_ms, changed_ms,
        (SELECT id FROM folders WHERE id = chats.folder) AS folder,
        (SELECT id FROM personas WHERE id = chats.persona AND deleted_ms IS NULL) AS persona,
        (SELECT id FROM models WHERE id = chats.model AND deleted_ms IS NULL) AS model
    FROM chats WHERE deleted_ms IS NULL";

const TITLE_CHARS_MAX: usize = 200;

fn read(row: &SqliteRow) -> Chat {
    let id = ChatId(integer(row, "id"));
    let mut damaged = Damaged::default();
    let parameters = json(row, "parameters", &mut damaged).unwrap_or_default();
    let adapters = json(row, "adapters", &mut damaged).unwrap_or_default();
    damaged.problem("chats", id.0);
    Chat {
        id,
        kind: ChatKind::from_text(&text(row, "kind")),
        title: text(row, "title"),
        heading: text(row, "heading"),
        folder: optional_integer(row, "folder").map(FolderId),
        pinned: flag(row, "pinned"),
        persona: optional_integer(row, "persona").map(PersonaId),
        model: optional_integer(row, "model").map(ModelId),
        system: optional_text(row, "system"),
        parameters,
        adapters,
        leaf: optional_integer(row, "leaf").map(MessageId),
        created_ms: integer(row, "created_ms"),
        changed_ms: integer(row, "changed_ms"),
    }
}

pub(crate) async fn load(conn: &mut SqliteConnection, id: ChatId) -> sqlx::Result<Option<Chat>> {
    let sql = sqlx::AssertSqlSafe(format!("{SELECT} AND chats.id = ?"));
    Ok(sqlx::query(sql).bind(id).fetch_optional(conn).await?.as_ref().map(read))
}

pub(crate) async fn load_all(conn: &mut SqliteConnection) -> sqlx::Result<Vec<Chat>> {
    let sql = sqlx::AssertSqlSafe(format!("{SELECT} ORDER BY changed_ms DESC, chats.id DESC"));
    Ok(sqlx::query(sql).fetch_all(conn).await?.iter().map(read).collect())
}

/// Inserts all columns but the id and the leaf.
pub(crate) async fn insert(conn: &mut SqliteConnection, chat: &Chat) -> sqlx::Result<ChatId> {
    let result = sqlx::query(
        "INSERT INTO chats (kind, title, heading, folder, pinned, persona, model, system, parameters, adapters, created_ms,
            changed_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(chat.kind.as_text())
    .bind(&chat.title)
    .bind(&chat.heading)
    .bind(chat.folder)
    .bind(chat.pinned)
    .bind(chat.persona)
    .bind(chat.model)
    .bind(&chat.system)
    .bind(to_json(&chat.parameters))
    .bind(to_json(&chat.adapters))
    .bind(chat.created_ms)
    .bind(chat.changed_ms)
    .execute(&mut *conn)
    .await?;
    let id = ChatId(result.last_insert_rowid());
    search::index_title(conn, id, chat.shown_title()).await?;
    Ok(id)
}

/// The chat has a new message: it moves up in the list, and the first words become its heading.
pub(crate) async fn touch(write: &mut Write, chat: ChatId, first_words: Option<&str>) -> Result<()> {
    let attempt = write.attempt;
    let conn = write.conn();
    sqlx::query("UPDATE chats SET changed_ms = ? WHERE id = ?")
        .bind(now_ms())
        .bind(chat)
        .execute(&mut *conn)
        .await
        .attempt(attempt)?;
    if let Some(words) = first_words {
        let heading = heading_of(words);
        let result = sqlx::query("UPDATE chats SET heading = ? WHERE id = ? AND heading = ''")
            .bind(&heading)
            .bind(chat)
            .execute(&mut *conn)
            .await
            .attempt(attempt)?;
        if result.rows_affected() > 0 {
            let chat = require_chat(conn, chat).await?;
            search::index_title(conn, chat.id, chat.shown_title()).await.attempt(attempt)?;
        }
    }
    write.note(Key::Chat(chat));
    Ok(())
}

/// About as much as the sidebar shows.
const HEADING_COLUMNS_MAX: usize = 48;

/// The first words of a message: its first line that says something, without Markdown's marks, cut between words.
/// A wide character (Chinese) takes two columns.
pub fn heading_of(text: &str) -> String {
    let is_mark = |c: char| matches!(c, '#' | '>' | '*' | '-' | '`' | '=' | '~' | '_' | '|') || c.is_whitespace();
    let line = text.lines().map(|line| line.trim_matches(is_mark)).find(|line| !line.is_empty()).unwrap_or("");
    let mut heading = String::new();
    let mut columns = 0;
    let mut cut = None;
    for c in line.chars().filter(|c| !c.is_control()) {
        let c = if c.is_whitespace() { ' ' } else { c };
        if c == ' ' && heading.ends_with(' ') {
            continue;
        }
        columns += if c >= '\u{1100}' { 2 } else { 1 };
        if columns > HEADING_COLUMNS_MAX {
            // Back to the last space, unless that would lose half.
            heading.truncate(
                cut.filter(|cut| *cut * 2 >= heading.len() && !is_wide_end(&heading)).unwrap_or(heading.len()),
            );
            break;
        }
        if c == ' ' {
            cut = Some(heading.len());
        }
        heading.push(c);
    }
    heading.trim_end().to_string()
}

/// Chinese has no spaces to go back to.
fn is_wide_end(text: &str) -> bool {
    text.chars().next_back().is_some_and(|c| c >= '\u{1100}')
}

impl Store {
    pub async fn new_chat(&self, new: NewChat) -> Result<Chat> {
        let mut write = self.write("make a chat").await?;
        let now = now_ms();
        let mut chat = Chat {
            id: ChatId(0),
            kind: new.kind,
            title: String::new(),
            heading: String::new(),
            folder: new.folder,
            pinned: false,
            persona: new.persona,
            model: new.model,
            system: None,
            parameters: Parameters::default(),
            adapters: Vec::new(),
            leaf: None,
            created_ms: now,
            changed_ms: now,
        };
        let attempt = write.attempt;
        chat.id = insert(write.conn(), &chat).await.attempt(attempt)?;
        write.note(Key::Chat(chat.id));
        write.commit().await?;
        Ok(chat)
    }

    pub async fn chat(&self, chat: ChatId) -> Result<Chat> {
        let mut tx = self.read("read the chat").await?;
        require_chat(&mut tx, chat).await
    }

    /// Reads, changes and writes the row in one transaction (title, pinned, folder, persona, model, system,
    /// parameters, adapters; the other fields are the store's own). Not `changed_ms`: the list is in the order of talk.
    pub async fn update_chat(&self, id: ChatId, change: impl FnOnce(&mut Chat) + Send) -> Result<Chat> {
        let mut write = self.write("change the chat").await?;
        let attempt = write.attempt;
        let before = require_chat(write.conn(), id).await?;
        let mut chat = before.clone();
        change(&mut chat);
        let title: String = chat.title.chars().filter(|c| !c.is_control()).take(TITLE_CHARS_MAX).collect();
        chat = Chat { title: title.trim().to_string(), ..chat };
        let conn = write.conn();
        sqlx::query(
            "UPDATE chats SET title = ?, folder = ?, pinned = ?, persona = ?, model = ?, system = ?, parameters = ?,
                adapters = ? WHERE id = ?",
        )
        .bind(&chat.title)
        .bind(chat.folder)
        .bind(chat.pinned)
        .bind(chat.persona)
        .bind(chat.model)
        .bind(&chat.system)
        .bind(to_json(&chat.parameters))
        .bind(to_json(&chat.adapters))
        .bind(id)
        .execute(&mut *conn)
        .await
        .attempt(attempt)?;
        if chat.title != before.title {
            search::index_title(conn, id, chat.shown_title()).await.attempt(attempt)?;
        }
        let chat = require_chat(conn, id).await?;
        write.note(Key::Chat(id));
        write.commit().await?;
        Ok(chat)
    }

    /// Out of sight; `restore_chat` brings it back until it is purged.
    pub async fn delete_chat(&self, chat: ChatId) -> Result<()> {
        self.set_chat_deleted(chat, Some(now_ms())).await
    }

    pub async fn restore_chat(&self, chat: ChatId) -> Result<Chat> {
        self.set_chat_deleted(chat, None).await?;
        self.chat(chat).await
    }

    async fn set_chat_deleted(&self, chat: ChatId, deleted_ms: Option<Time>) -> Result<()> {
        let mut write = self.write(if deleted_ms.is_some() { "delete the chat" } else { "restore the chat" }).await?;
        let attempt = write.attempt;
        let result = sqlx::query("UPDATE chats SET deleted_ms = ? WHERE id = ? AND (deleted_ms IS NULL) = ?")
            .bind(deleted_ms)
            .bind(chat)
            .bind(deleted_ms.is_some())
            .execute(write.conn())
            .await
            .attempt(attempt)?;
        if result.rows_affected() == 0 {
            return Err(Error::Missing(Key::Chat(chat)));
        }
        write.note(Key::Chat(chat));
        write.note(Key::Draft(Some(chat)));
        write.commit().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_is_the_first_words_of_the_first_line_that_says_something() {
        assert_eq!(heading_of("\n\n# 你好，  羊驼\n第二行"), "你好， 羊驼");
        assert_eq!(heading_of("---\n> **What** is   an alpaca?\n"), "What** is an alpaca?");
        assert_eq!(heading_of(""), "");
        assert_eq!(heading_of("  \u{0}\u{7}\n"), "");
        // 24 wide characters are 48 columns.
        assert_eq!(heading_of(&"驼".repeat(100)), "驼".repeat(24));
        let english = "The quick brown fox jumps over the lazy dog and runs far away";
        assert_eq!(heading_of(english), "The quick brown fox jumps over the lazy dog and");
        assert_eq!(heading_of(&"x".repeat(100)), "x".repeat(48));
    }
}
