//! Jobs: long work as rows, so that progress survives a reload and a restart shows what was interrupted.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{JobId, Problem, Result, Store, Time};

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
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Job {
    pub id: JobId,
    /// What to do, whole: `app::Task` as JSON (`{"kind": "load", …}`).
    pub task: serde_json::Value,
    pub state: JobState,
    /// Place in the queue.
    pub position: i64,
    /// Bytes or steps; `total` 0 while unknown.
    pub done: u64,
    pub total: u64,
    pub error: Option<Problem>,
    /// What came out, as JSON, when `Done`.
    pub outcome: Option<serde_json::Value>,
    pub created_ms: Time,
    pub finished_ms: Option<Time>,
}

impl Store {
    /// Waiting, last in the queue, owned by this process.
    pub async fn add_job(&self, _task: serde_json::Value) -> Result<Job> {
        todo!()
    }

    pub async fn job(&self, _job: JobId) -> Result<Job> {
        todo!()
    }

    /// The state, position, done, total, error, outcome. `finished_ms` is set by the store when the state becomes a final one.
    pub async fn update_job(&self, _job: JobId, _change: impl FnOnce(&mut Job) + Send) -> Result<Job> {
        todo!()
    }

    /// How far a running job is; call it a few times a second at most. A job that does not run any more is left alone.
    pub async fn progress_job(&self, _job: JobId, _done: u64, _total: u64) -> Result<()> {
        todo!()
    }

    /// The first waiting job of this process, now running.
    pub async fn take_job(&self) -> Result<Option<Job>> {
        todo!()
    }

    /// Removes the row of a job that is over.
    pub async fn dismiss_job(&self, _job: JobId) -> Result<()> {
        todo!()
    }
}
