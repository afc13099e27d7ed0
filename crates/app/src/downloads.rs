//! Downloads: what was picked becomes a job, its files come to the storage folder, and what passes every check is listed.

use huacaya_progress::Watch;
use huacaya_store::{JobId, ModelId};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{
    App,
    error::{Error, Result},
    finding::ChoiceKind,
    jobs::{Outcome, Task, Tell},
};

/// What is to be downloaded, whole: the files of one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Pick {
    /// `owner/name`; empty for a direct address.
    pub repository: String,
    /// A commit, where the hub tells one.
    pub revision: String,
    /// The endpoint that told of it, by address.
    pub endpoint: String,
    pub kind: ChoiceKind,
    pub files: Vec<PickFile>,
    /// A direct address, of a single file.
    pub url: Option<String>,
    /// Where the files go, below the storage folder, with `/` between its parts.
    pub folder: String,
    /// What is listed at the end, below `folder`: the first file, or a folder ("": `folder` itself).
    pub model: String,
}

/// A file of it, by its path in the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct PickFile {
    pub path: String,
    pub bytes: u64,
    /// Absent where the hub keeps the file itself (small files) or does not say.
    pub sha256: Option<String>,
}

impl App {
    pub(crate) async fn download(&self, _address: String, _choice: String) -> Result<JobId> {
        Err(Error::internal("not yet"))
    }

    pub(crate) async fn download_merged(&self, _entry: String) -> Result<JobId> {
        Err(Error::internal("not yet"))
    }

    pub(crate) async fn merge(&self, base: ModelId, adapter: ModelId, strength: f32, name: String) -> Result<JobId> {
        let (base, adapter) = (self.inner.store.model(base).await?.id, self.inner.store.model(adapter).await?.id);
        Ok(self.start_job(Task::Merge { name, base, adapter, strength }).await?.id)
    }
}

impl App {
    /// Removes what a download that nobody goes on with left behind.
    pub(crate) async fn clear_away(&self, _task: &Task) -> Result<()> {
        Ok(())
    }
}

/// The work of `Task::Download`, on a worker thread.
pub(crate) fn download(_app: &App, _pick: &Pick, _tell: Tell<'_>, _watch: Watch<'_>) -> Result<Outcome> {
    Err(Error::internal("not yet"))
}

pub(crate) fn download_and_merge(
    _app: &App,
    _name: &str,
    _base: &Pick,
    _adapter: &Pick,
    _tell: Tell<'_>,
    _watch: Watch<'_>,
) -> Result<Outcome> {
    Err(Error::internal("not yet"))
}

pub(crate) fn merge(
    _app: &App,
    _name: &str,
    _base: ModelId,
    _adapter: ModelId,
    _strength: f32,
    _tell: Tell<'_>,
    _watch: Watch<'_>,
) -> Result<Outcome> {
    Err(Error::internal("not yet"))
}
