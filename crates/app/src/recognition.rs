//! A file that came another way (a net disk, a friend): which model it is, whatever its name, and whether it is whole.

use std::path::Path;

use huacaya_progress::Watch;
use huacaya_store::JobId;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{
    App,
    chosen::Purpose,
    error::{Error, Result},
    jobs::{Outcome, Task},
    model_files::file_name,
};

/// What a file turned out to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Recognised {
    pub state: Recognition,
    /// Of the model, where it is known; else the file's own.
    pub name: String,
    /// The catalogue's entry.
    pub entry: Option<String>,
    pub bytes: u64,
    /// How long the whole file is.
    pub expected: Option<u64>,
    /// For `import_model`.
    pub chosen: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Recognition {
    /// Its hash is a known one, or, where none is known, its header's sizes are its own.
    Complete,
    Truncated,
    Unknown,
}

impl App {
    pub(crate) async fn recognise(&self, chosen: u32) -> Result<JobId> {
        let path = self.chosen(chosen, Purpose::Read)?;
        Ok(self.start_job(Task::Recognise { name: file_name(&path), path }).await?.id)
    }
}

/// The work of `Task::Recognise`.
pub(crate) fn recognise(_app: &App, _path: &Path, _watch: Watch<'_>) -> Result<Outcome> {
    Err(Error::internal("not yet"))
}
