//! Moving the storage folder: every file copied or renamed, every row switched, and only then the old ones removed.

use std::path::Path;

use huacaya_progress::Watch;
use huacaya_store::JobId;

use crate::{
    App,
    chosen::Purpose,
    error::{Error, Result},
    jobs::{Outcome, Task},
    model_files::file_name,
};

impl App {
    pub(crate) async fn move_storage(&self, chosen: u32) -> Result<JobId> {
        let to = self.chosen(chosen, Purpose::Read)?;
        Ok(self.start_job(Task::MoveStorage { name: file_name(&to), to }).await?.id)
    }
}

/// The work of `Task::MoveStorage`.
pub(crate) fn move_storage(_app: &App, _to: &Path, _watch: Watch<'_>) -> Result<Outcome> {
    Err(Error::internal("not yet"))
}
