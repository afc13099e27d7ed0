//! What a face mirrors: one snapshot, then every change in order. And the table through which processes tell each other.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use sqlx::{Row, SqliteConnection};
use ts_rs::TS;

use crate::{
    Chat, ChatId, Draft, Error, Folder, FolderId, Job, JobId, Message, MessageId, Model, ModelId, Persona, PersonaId,
    Report, ReportId, Request, RequestId, Result, Setting, chat, draft, error::Attempt, folder, job, message, model,
    persona, report, request, setting,
};

/// The state before the first change. Messages are mirrored for open chats only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Snapshot {
    pub chats: Vec<Chat>,
    pub folders: Vec<Folder>,
    pub personas: Vec<Persona>,
    pub models: Vec<Model>,
    pub jobs: Vec<Job>,
    pub reports: Vec<Report>,
    pub requests: Vec<Request>,
    pub settings: Vec<Setting>,
    pub drafts: Vec<Draft>,
}

/// One step of the mirror. A row replaces the row of its id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum Change {
    /// First in every stream, and again where the reader fell behind.
    Snapshot(Snapshot),
    Chat(Chat),
    Folder(Folder),
    Persona(Persona),
    Model(Model),
    Job(Job),
    Report(Report),
    Request(Request),
    Setting(Setting),
    Draft(Draft),
    Message(Message),
    /// The answer to `open_chat`: the whole tree, bodies on the visible path only. Comes again, unasked, for an open
    /// chat when much of its tree changed at once.
    Opened {
        chat: ChatId,
        messages: Vec<Message>,
    },
    /// Words just written; not yet in the row.
    Text {
        message: MessageId,
        thought: bool,
        piece: String,
    },
    /// Prompt tokens evaluated so far of an answer that has no words yet.
    Reading {
        message: MessageId,
        done: u32,
        total: u32,
    },
    Removed(Key),
}

/// A row that is gone from the mirror (deleted rows wait for their undo unseen).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(tag = "table", content = "id", rename_all = "snake_case")]
pub enum Key {
    Chat(ChatId),
    Folder(FolderId),
    Persona(PersonaId),
    Model(ModelId),
    Job(JobId),
    Report(ReportId),
    Request(RequestId),
    Message(MessageId),
    /// The draft of a chat; `None` of the one that does not exist yet.
    Draft(Option<ChatId>),
}

pub(crate) const V1: &str = "
    CREATE TABLE changes (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        id INTEGER NOT NULL DEFAULT 0,
        name TEXT,
        -- The process whose readers know it already.
        skip TEXT
    ) STRICT;
";

/// Kept for processes that read on; one that is further behind takes a snapshot.
const CHANGES_MAX: i64 = 10_000;
/// More than this at once, and a snapshot is sooner sent.
const BATCH_MAX: usize = 2_000;

/// One entry of `changes`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Note {
    Row(Key),
    Setting(String),
    /// Much of a chat's tree.
    Tree(ChatId),
}

impl Note {
    fn columns(&self) -> (&'static str, i64, Option<&str>) {
        match self {
            Note::Row(Key::Chat(id)) => ("chat", id.0, None),
            Note::Row(Key::Folder(id)) => ("folder", id.0, None),
            Note::Row(Key::Persona(id)) => ("persona", id.0, None),
            Note::Row(Key::Model(id)) => ("model", id.0, None),
            Note::Row(Key::Job(id)) => ("job", id.0, None),
            Note::Row(Key::Report(id)) => ("report", id.0, None),
            Note::Row(Key::Request(id)) => ("request", id.0, None),
            Note::Row(Key::Message(id)) => ("message", id.0, None),
            Note::Row(Key::Draft(id)) => ("draft", id.map_or(0, |id| id.0), None),
            Note::Setting(key) => ("setting", 0, Some(key)),
            Note::Tree(id) => ("tree", id.0, None),
        }
    }

    /// `None`: written by a version that knows more tables.
    fn read(kind: &str, id: i64, name: Option<String>) -> Option<Note> {
        Some(match kind {
            "chat" => Note::Row(Key::Chat(ChatId(id))),
            "folder" => Note::Row(Key::Folder(FolderId(id))),
            "persona" => Note::Row(Key::Persona(PersonaId(id))),
            "model" => Note::Row(Key::Model(ModelId(id))),
            "job" => Note::Row(Key::Job(JobId(id))),
            "report" => Note::Row(Key::Report(ReportId(id))),
            "request" => Note::Row(Key::Request(RequestId(id))),
            "message" => Note::Row(Key::Message(MessageId(id))),
            "draft" => Note::Row(Key::Draft((id != 0).then_some(ChatId(id)))),
            "setting" => Note::Setting(name?),
            "tree" => Note::Tree(ChatId(id)),
            _ => return None,
        })
    }
}

/// Writes down what this transaction changed; returns the number of the last change.
pub(crate) async fn append(conn: &mut SqliteConnection, notes: &[(Note, bool)], owner: &str) -> sqlx::Result<i64> {
    let mut last = None;
    for (note, is_known_here) in notes {
        let (kind, id, name) = note.columns();
        let result = sqlx::query("INSERT INTO changes (kind, id, name, skip) VALUES (?, ?, ?, ?)")
            .bind(kind)
            .bind(id)
            .bind(name)
            .bind(is_known_here.then_some(owner))
            .execute(&mut *conn)
            .await?;
        last = Some(result.last_insert_rowid());
    }
    match last {
        Some(last) => {
            sqlx::query("DELETE FROM changes WHERE seq <= ?").bind(last - CHANGES_MAX).execute(&mut *conn).await?;
            Ok(last)
        }
        None => self::last(conn).await,
    }
}

/// The number of the last change ever.
pub(crate) async fn last(conn: &mut SqliteConnection) -> sqlx::Result<i64> {
    let last: Option<i64> =
        sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'changes'").fetch_optional(conn).await?;
    Ok(last.unwrap_or(0))
}

/// What a turn found.
pub(crate) struct Read {
    /// Each row once, where it changed last.
    pub notes: Vec<Note>,
    /// Not all that was missed can be told: a snapshot must be sent.
    pub behind: bool,
    pub upto: i64,
    pub changes: Vec<Change>,
}

pub(crate) async fn read_since(conn: &mut SqliteConnection, since: i64, owner: &str) -> sqlx::Result<Read> {
    let rows = sqlx::query("SELECT seq, kind, id, name, skip FROM changes WHERE seq > ? ORDER BY seq LIMIT ?")
        .bind(since)
        .bind(BATCH_MAX as i64 + 1)
        .fetch_all(&mut *conn)
        .await?;
    let first: i64 = rows.first().map_or(since + 1, |row| row.get("seq"));
    if first > since + 1 || rows.len() > BATCH_MAX {
        return Ok(Read { notes: Vec::new(), behind: true, upto: last(conn).await?, changes: Vec::new() });
    }
    let upto = rows.last().map_or(since, |row| row.get("seq"));
    let mut seen = HashSet::new();
    let mut notes: Vec<Note> = rows
        .iter()
        .rev()
        .filter(|row| row.get::<Option<String>, _>("skip").is_none_or(|skip| skip != owner))
        .filter_map(|row| Note::read(row.get("kind"), row.get("id"), row.get("name")))
        .filter(|note| seen.insert(note.clone()))
        .collect();
    notes.reverse();
    Ok(Read { notes, behind: false, upto, changes: Vec::new() })
}

/// The rows behind the notes, as they are now.
pub(crate) async fn load(conn: &mut SqliteConnection, notes: &[Note], open: &[ChatId]) -> sqlx::Result<Vec<Change>> {
    let mut messages: HashMap<MessageId, Message> = HashMap::new();
    let ids: Vec<MessageId> =
        notes.iter().filter_map(|note| if let Note::Row(Key::Message(id)) = note { Some(*id) } else { None }).collect();
    if !ids.is_empty() {
        messages.extend(message::load_many(conn, &ids).await?.into_iter().map(|message| (message.id, message)));
    }
    let mut changes = Vec::with_capacity(notes.len());
    for note in notes {
        changes.push(match note {
            Note::Row(key) => {
                let row = match key {
                    Key::Chat(id) => chat::load(conn, *id).await?.map(Change::Chat),
                    Key::Folder(id) => folder::load(conn, *id).await?.map(Change::Folder),
                    Key::Persona(id) => persona::load(conn, *id).await?.map(Change::Persona),
                    Key::Model(id) => model::load(conn, *id).await?.map(Change::Model),
                    Key::Job(id) => job::load(conn, *id).await?.map(Change::Job),
                    Key::Report(id) => report::load(conn, *id).await?.map(Change::Report),
                    Key::Request(id) => request::load(conn, *id).await?.map(Change::Request),
                    Key::Draft(chat) => draft::load(conn, *chat).await?.map(Change::Draft),
                    Key::Message(id) => messages.remove(id).map(Change::Message),
                };
                row.unwrap_or(Change::Removed(*key))
            }
            Note::Setting(key) => Change::Setting(setting::load(conn, key).await?),
            Note::Tree(chat) if open.contains(chat) => load_opened(conn, *chat).await?,
            Note::Tree(_) => continue,
        });
    }
    Ok(changes)
}

pub(crate) async fn load_opened(conn: &mut SqliteConnection, chat: ChatId) -> sqlx::Result<Change> {
    Ok(Change::Opened { chat, messages: message::load_opened(conn, chat).await? })
}

/// All that a screen shows: the snapshot, and the chats that are open.
pub(crate) async fn load_screen(conn: &mut SqliteConnection, open: &[ChatId]) -> sqlx::Result<Vec<Change>> {
    let mut changes = vec![Change::Snapshot(load_snapshot(conn).await?)];
    for chat in open {
        changes.push(load_opened(conn, *chat).await?);
    }
    Ok(changes)
}

pub(crate) async fn load_snapshot(conn: &mut SqliteConnection) -> sqlx::Result<Snapshot> {
    Ok(Snapshot {
        chats: chat::load_all(conn).await?,
        folders: folder::load_all(conn).await?,
        personas: persona::load_all(conn).await?,
        models: model::load_all(conn).await?,
        jobs: job::load_all(conn).await?,
        reports: report::load_all(conn).await?,
        requests: request::load_all(conn).await?,
        settings: setting::load_all(conn).await?,
        drafts: draft::load_all(conn).await?,
    })
}

pub(crate) async fn require_chat(conn: &mut SqliteConnection, id: ChatId) -> Result<Chat> {
    let chat = chat::load(conn, id).await.attempt("read the chat")?;
    chat.ok_or(Error::Missing(Key::Chat(id)))
}
