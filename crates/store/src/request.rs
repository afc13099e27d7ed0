//! Requests that the local server answered or is answering, the newest some hundreds.

use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use ts_rs::TS;

use crate::error::Attempt;
use crate::sql::{integer, now_ms, optional_integer, optional_text, text};
use crate::{Key, RequestId, Result, Store, Time};

/// Enough to see what programs asked for lately; the oldest go.
const REQUESTS_MAX: i64 = 500;

/// What became of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    #[default]
    Running,
    Done,
    /// Who asked went away, or the server was switched off.
    Stopped,
    Failed,
    /// The program ended meanwhile.
    Interrupted,
}

impl RequestState {
    const ALL: [(RequestState, &str); 5] = [
        (RequestState::Running, "running"),
        (RequestState::Done, "done"),
        (RequestState::Stopped, "stopped"),
        (RequestState::Failed, "failed"),
        (RequestState::Interrupted, "interrupted"),
    ];

    fn name(self) -> &'static str {
        RequestState::ALL.iter().find(|(state, _)| *state == self).map_or("failed", |(_, name)| name)
    }

    fn from_name(name: &str) -> RequestState {
        RequestState::ALL.iter().find(|(_, known)| *known == name).map_or(RequestState::Failed, |(state, _)| *state)
    }
}

/// A request for an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, TS)]
pub struct Request {
    pub id: RequestId,
    pub begun_ms: Time,
    /// Absent while it runs.
    pub took_ms: Option<Time>,
    /// "POST".
    pub method: String,
    pub path: String,
    /// The model's name; empty where none was found.
    pub model: String,
    pub state: RequestState,
    pub prompt_tokens: u32,
    /// New tokens, of all answers together.
    pub tokens: u32,
    /// The code of an error.
    pub error: Option<String>,
    /// What was asked and answered, where the person wants it kept.
    pub text: Option<String>,
}

pub(crate) const V3: &str = "
    CREATE TABLE requests (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        begun_ms INTEGER NOT NULL,
        took_ms INTEGER,
        method TEXT NOT NULL,
        path TEXT NOT NULL,
        model TEXT NOT NULL,
        state TEXT NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        tokens INTEGER NOT NULL,
        error TEXT,
        text TEXT,
        owner TEXT
    ) STRICT;
";

fn read(row: &SqliteRow) -> Request {
    let count = |name| u32::try_from(integer(row, name)).unwrap_or_default();
    Request {
        id: RequestId(integer(row, "id")),
        begun_ms: integer(row, "begun_ms"),
        took_ms: optional_integer(row, "took_ms"),
        method: text(row, "method"),
        path: text(row, "path"),
        model: text(row, "model"),
        state: RequestState::from_name(&text(row, "state")),
        prompt_tokens: count("prompt_tokens"),
        tokens: count("tokens"),
        error: optional_text(row, "error"),
        text: optional_text(row, "text"),
    }
}

pub(crate) async fn load(conn: &mut SqliteConnection, id: RequestId) -> sqlx::Result<Option<Request>> {
    let row = sqlx::query("SELECT * FROM requests WHERE id = ?").bind(id.0).fetch_optional(conn).await?;
    Ok(row.as_ref().map(read))
}

pub(crate) async fn load_all(conn: &mut SqliteConnection) -> sqlx::Result<Vec<Request>> {
    let rows = sqlx::query("SELECT * FROM requests ORDER BY id DESC").fetch_all(conn).await?;
    Ok(rows.iter().map(read).collect())
}

impl Store {
    /// Writes a new request down as running, owned by this process; the oldest that are over go.
    pub async fn add_request(&self, request: &Request) -> Result<RequestId> {
        let mut write = self.write("note the request").await?;
        let (attempt, owner) = (write.attempt, write.owner().to_string());
        let added = sqlx::query(
            "INSERT INTO requests (begun_ms, method, path, model, state, prompt_tokens, tokens, text, owner)
             VALUES (?, ?, ?, ?, 'running', ?, ?, ?, ?)",
        )
        .bind(now_ms())
        .bind(&request.method)
        .bind(&request.path)
        .bind(&request.model)
        .bind(request.prompt_tokens)
        .bind(request.tokens)
        .bind(&request.text)
        .bind(owner)
        .execute(write.conn())
        .await
        .attempt(attempt)?;
        let id = RequestId(added.last_insert_rowid());
        let gone: Vec<i64> =
            sqlx::query_scalar("DELETE FROM requests WHERE id <= ? AND state <> 'running' RETURNING id")
                .bind(id.0 - REQUESTS_MAX)
                .fetch_all(write.conn())
                .await
                .attempt(attempt)?;
        write.note(Key::Request(id));
        gone.into_iter().for_each(|gone| write.note(Key::Request(RequestId(gone))));
        write.commit().await?;
        Ok(id)
    }

    /// What became of it: its model, state, counts, error and text. One that was forgotten meanwhile stays so.
    pub async fn end_request(&self, request: &Request) -> Result<()> {
        let mut write = self.write("note the end of the request").await?;
        let attempt = write.attempt;
        sqlx::query(
            "UPDATE requests SET took_ms = ? - begun_ms, model = ?, state = ?, prompt_tokens = ?, tokens = ?, error = ?, text = ?,
                owner = NULL WHERE id = ?",
        )
        .bind(now_ms())
        .bind(&request.model)
        .bind(request.state.name())
        .bind(request.prompt_tokens)
        .bind(request.tokens)
        .bind(&request.error)
        .bind(&request.text)
        .bind(request.id.0)
        .execute(write.conn())
        .await
        .attempt(attempt)?;
        write.note(Key::Request(request.id));
        write.commit().await
    }

    /// Forgets the requests that are over.
    pub async fn forget_requests(&self) -> Result<()> {
        let mut write = self.write("forget the requests").await?;
        let attempt = write.attempt;
        let gone: Vec<i64> = sqlx::query_scalar("DELETE FROM requests WHERE state <> 'running' RETURNING id")
            .fetch_all(write.conn())
            .await
            .attempt(attempt)?;
        gone.into_iter().for_each(|gone| write.note(Key::Request(RequestId(gone))));
        write.commit().await
    }
}
