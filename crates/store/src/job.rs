//! Jobs: long work as rows, so that progress survives a reload and a restart shows what was interrupted.

use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use ts_rs::TS;

use crate::error::Attempt;
use crate::sql::{Damaged, as_text, integer, json, now_ms, optional_integer, optional_text, text, to_json};
use crate::{Error, JobId, Key, Problem, Result, Store, Time};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Waiting,
    Running,
    Done,
    Failed,
    /// The person stopped it.
    Stopped,
    /// The process that ran it ended; it can be run again.
    Interrupted,
    /// The person told it to wait; it goes on when the person says so. No process's.
    Paused,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Job {
    pub id: JobId,
    /// What to do, whole: `app::Task` as JSON (`{"kind": "load", …}`).
    pub task: serde_json::Value,
    pub state: JobState,
    /// Place in the queue.
    pub position: i64,
    /// What it is at while it runs or waits: "connecting", "fetching", "verifying", …
    pub stage: Option<String>,
    /// Bytes or steps; `total` 0 while unknown.
    pub done: u64,
    pub total: u64,
    pub error: Option<Problem>,
    /// What came out, as JSON, when `Done`.
    pub outcome: Option<serde_json::Value>,
    pub created_ms: Time,
    pub finished_ms: Option<Time>,
}

impl JobState {
    /// It will not change by itself any more.
    pub fn is_over(self) -> bool {
        !matches!(self, JobState::Waiting | JobState::Running | JobState::Paused)
    }

    /// A process has it: it runs there, or waits there for its turn.
    fn is_owned(self) -> bool {
        matches!(self, JobState::Waiting | JobState::Running)
    }
}

as_text!(JobState {
    Waiting = "waiting", Running = "running", Done = "done", Failed = "failed", Stopped = "stopped", Interrupted = "interrupted",
    Paused = "paused"
} else Interrupted);

pub(crate) const V1: &str = "
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        task TEXT NOT NULL,
        state TEXT NOT NULL,
        position INTEGER NOT NULL,
        done INTEGER NOT NULL DEFAULT 0,
        total INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        outcome TEXT,
        created_ms INTEGER NOT NULL,
        finished_ms INTEGER,
        owner TEXT
    ) STRICT;
    CREATE INDEX jobs_state ON jobs (state, position);
";

pub(crate) const V2: &str = "
    ALTER TABLE jobs ADD COLUMN stage TEXT;
";

fn read(row: &SqliteRow) -> Job {
    let id = JobId(integer(row, "id"));
    let mut damaged = Damaged::default();
    let task = json(row, "task", &mut damaged).unwrap_or_default();
    let error = json(row, "error", &mut damaged);
    let outcome = json(row, "outcome", &mut damaged);
    let damage = damaged.problem("jobs", id.0);
    Job {
        id,
        task,
        state: JobState::from_text(&text(row, "state")),
        position: integer(row, "position"),
        stage: optional_text(row, "stage"),
        done: integer(row, "done").max(0) as u64,
        total: integer(row, "total").max(0) as u64,
        error: error.or(damage),
        outcome,
        created_ms: integer(row, "created_ms"),
        finished_ms: optional_integer(row, "finished_ms"),
    }
}

pub(crate) async fn load(conn: &mut SqliteConnection, id: JobId) -> sqlx::Result<Option<Job>> {
    let query = sqlx::query("SELECT * FROM jobs WHERE id = ?").bind(id);
    Ok(query.fetch_optional(conn).await?.as_ref().map(read))
}

pub(crate) async fn load_all(conn: &mut SqliteConnection) -> sqlx::Result<Vec<Job>> {
    Ok(sqlx::query("SELECT * FROM jobs ORDER BY position, id").fetch_all(conn).await?.iter().map(read).collect())
}

impl Store {
    /// Waiting, last in the queue, owned by this process.
    pub async fn add_job(&self, task: serde_json::Value) -> Result<Job> {
        let mut write = self.write("queue the job").await?;
        let attempt = write.attempt;
        let owner = write.owner().to_string();
        let id: JobId = sqlx::query_scalar(
            "INSERT INTO jobs (task, state, position, created_ms, owner)
             VALUES (?, 'waiting', (SELECT COALESCE(MAX(position), 0) + 1 FROM jobs), ?, ?) RETURNING id",
        )
        .bind(to_json(&task))
        .bind(now_ms())
        .bind(owner)
        .fetch_one(write.conn())
        .await
        .attempt(attempt)?;
        let job = load(write.conn(), id).await.attempt(attempt)?.ok_or(Error::Missing(Key::Job(id)))?;
        write.note(Key::Job(id));
        write.commit().await?;
        Ok(job)
    }

    pub async fn job(&self, id: JobId) -> Result<Job> {
        let mut tx = self.read("read the job").await?;
        load(&mut tx, id).await.attempt("read the job")?.ok_or(Error::Missing(Key::Job(id)))
    }

    /// The state, position, stage, done, total, error, outcome. A job that is set waiting or running is this process's
    /// from then on; `finished_ms` is set by the store when the state becomes a final one.
    pub async fn update_job(&self, id: JobId, change: impl FnOnce(&mut Job) + Send) -> Result<Job> {
        let mut write = self.write("change the job").await?;
        let attempt = write.attempt;
        let before = load(write.conn(), id).await.attempt(attempt)?.ok_or(Error::Missing(Key::Job(id)))?;
        let mut job = before.clone();
        change(&mut job);
        job.finished_ms = match (before.state.is_over(), job.state.is_over()) {
            (true, true) => before.finished_ms,
            (false, true) => Some(now_ms()),
            (_, false) => None,
        };
        let owner = job.state.is_owned().then(|| write.owner().to_string());
        sqlx::query(
            "UPDATE jobs SET state = ?, position = ?, stage = ?, done = ?, total = ?, error = ?, outcome = ?,
                finished_ms = ?, owner = ? WHERE id = ?",
        )
        .bind(job.state.as_text())
        .bind(job.position)
        .bind(&job.stage)
        .bind(job.done as i64)
        .bind(job.total as i64)
        .bind(job.error.as_ref().map(to_json))
        .bind(job.outcome.as_ref().map(to_json))
        .bind(job.finished_ms)
        .bind(owner)
        .bind(id)
        .execute(write.conn())
        .await
        .attempt(attempt)?;
        let job = load(write.conn(), id).await.attempt(attempt)?.ok_or(Error::Missing(Key::Job(id)))?;
        write.note(Key::Job(id));
        write.commit().await?;
        Ok(job)
    }

    /// How far a running job is; call it a few times a second at most. A job that does not run any more is left alone.
    pub async fn progress_job(&self, job: JobId, done: u64, total: u64) -> Result<()> {
        let mut write = self.write("note how far the job is").await?;
        let attempt = write.attempt;
        sqlx::query("UPDATE jobs SET done = ?, total = ? WHERE id = ? AND state = 'running'")
            .bind(done as i64)
            .bind(total as i64)
            .bind(job)
            .execute(write.conn())
            .await
            .attempt(attempt)?;
        write.note(Key::Job(job));
        write.commit().await
    }

    /// What a running job is at. A job that does not run any more is left alone.
    pub async fn stage_job(&self, job: JobId, stage: Option<&str>) -> Result<()> {
        let mut write = self.write("note what the job is at").await?;
        let attempt = write.attempt;
        sqlx::query("UPDATE jobs SET stage = ? WHERE id = ? AND state = 'running'")
            .bind(stage)
            .bind(job)
            .execute(write.conn())
            .await
            .attempt(attempt)?;
        write.note(Key::Job(job));
        write.commit().await
    }

    /// A job that rests (paused, interrupted, failed or stopped) waits for its turn again, as this process's. `None`:
    /// it does not rest, so somebody has it already.
    pub async fn revive_job(&self, job: JobId) -> Result<Option<Job>> {
        let mut write = self.write("take the job up again").await?;
        let attempt = write.attempt;
        let owner = write.owner().to_string();
        let revived = sqlx::query(
            "UPDATE jobs SET state = 'waiting', stage = NULL, error = NULL, finished_ms = NULL, owner = ?
             WHERE id = ? AND state IN ('paused', 'interrupted', 'failed', 'stopped')",
        )
        .bind(owner)
        .bind(job)
        .execute(write.conn())
        .await
        .attempt(attempt)?;
        if revived.rows_affected() == 0 {
            return Ok(None);
        }
        let row = load(write.conn(), job).await.attempt(attempt)?;
        write.note(Key::Job(job));
        write.commit().await?;
        Ok(row)
    }

    /// A job that waits (as this process's) or rests already is put into this state of rest. `false`: another process has
    /// it, or it runs.
    pub async fn rest_job(&self, job: JobId, state: JobState) -> Result<bool> {
        let mut write = self.write("let the job rest").await?;
        let attempt = write.attempt;
        let owner = write.owner().to_string();
        let rested = sqlx::query(
            "UPDATE jobs SET state = ?, stage = NULL, finished_ms = ?, owner = NULL
             WHERE id = ? AND (state NOT IN ('waiting', 'running') OR (state = 'waiting' AND owner = ?))",
        )
        .bind(state.as_text())
        .bind(state.is_over().then(now_ms))
        .bind(job)
        .bind(owner)
        .execute(write.conn())
        .await
        .attempt(attempt)?;
        write.note(Key::Job(job));
        write.commit().await?;
        Ok(rested.rows_affected() > 0)
    }

    /// Puts a job before another one in the queue; without one, at the end.
    pub async fn move_job(&self, job: JobId, before: Option<JobId>) -> Result<()> {
        let mut write = self.write("move the job").await?;
        let attempt = write.attempt;
        let rows = load_all(write.conn()).await.attempt(attempt)?;
        if rows.iter().all(|row| row.id != job) {
            return Err(Error::Missing(Key::Job(job)));
        }
        let mut order: Vec<JobId> = rows.iter().map(|row| row.id).filter(|id| *id != job).collect();
        let place = before.and_then(|before| order.iter().position(|id| *id == before)).unwrap_or(order.len());
        order.insert(place, job);
        for (position, id) in (1i64..).zip(order) {
            if rows.iter().any(|row| row.id == id && row.position != position) {
                let update = sqlx::query("UPDATE jobs SET position = ? WHERE id = ?").bind(position).bind(id);
                update.execute(write.conn()).await.attempt(attempt)?;
                write.note(Key::Job(id));
            }
        }
        write.commit().await
    }

    /// All jobs, in the order of the queue.
    pub async fn jobs(&self) -> Result<Vec<Job>> {
        let mut tx = self.read("read the jobs").await?;
        load_all(&mut tx).await.attempt("read the jobs")
    }

    /// Starts this waiting job of this process; whether it was still there to be started.
    pub async fn begin_job(&self, job: JobId) -> Result<bool> {
        let mut write = self.write("start the job").await?;
        let attempt = write.attempt;
        let owner = write.owner().to_string();
        let begun = sqlx::query(
            "UPDATE jobs SET state = 'running', stage = NULL WHERE id = ? AND state = 'waiting' AND owner = ?",
        )
        .bind(job)
        .bind(owner)
        .execute(write.conn())
        .await
        .attempt(attempt)?;
        write.note(Key::Job(job));
        write.commit().await?;
        Ok(begun.rows_affected() > 0)
    }

    /// The first waiting job of this process, now running.
    pub async fn take_job(&self) -> Result<Option<Job>> {
        let mut write = self.write("take the next job").await?;
        let attempt = write.attempt;
        let owner = write.owner().to_string();
        let id: Option<JobId> = sqlx::query_scalar(
            "UPDATE jobs SET state = 'running' WHERE id =
                (SELECT id FROM jobs WHERE state = 'waiting' AND owner = ? ORDER BY position, id LIMIT 1)
             RETURNING id",
        )
        .bind(owner)
        .fetch_optional(write.conn())
        .await
        .attempt(attempt)?;
        let Some(id) = id else { return Ok(None) };
        let job = load(write.conn(), id).await.attempt(attempt)?;
        write.note(Key::Job(id));
        write.commit().await?;
        Ok(job)
    }

    /// Removes the row of a job that is over.
    pub async fn dismiss_job(&self, job: JobId) -> Result<()> {
        let mut write = self.write("dismiss the job").await?;
        let attempt = write.attempt;
        let result = sqlx::query("DELETE FROM jobs WHERE id = ? AND state NOT IN ('waiting', 'running', 'paused')")
            .bind(job)
            .execute(write.conn())
            .await
            .attempt(attempt)?;
        if result.rows_affected() == 0 {
            return Err(Error::Unfit { key: Key::Job(job), why: "it is gone, or not over" });
        }
        write.note(Key::Job(job));
        write.commit().await
    }
}
