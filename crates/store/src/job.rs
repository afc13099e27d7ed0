//! Jobs: long work as rows, so that progress survives a reload and a restart shows what was interrupted.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{JobId, Problem, Time};

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
