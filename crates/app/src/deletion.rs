//! Deleting a model with its files: they wait beside the others for the undo, until the next start.

use huacaya_store::ModelId;
use serde::Serialize;
use ts_rs::TS;

use crate::{
    App,
    error::{Error, Result},
};

/// What deleting a model would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, TS)]
pub struct Deletion {
    pub files: Vec<String>,
    pub bytes: u64,
    /// The files are the program's: they go. Else the model is only taken off the list.
    pub frees: bool,
    pub used_by_chats: u32,
}

impl App {
    pub(crate) async fn deletion(&self, _model: ModelId) -> Result<Deletion> {
        Err(Error::internal("not yet"))
    }

    pub(crate) async fn delete_model(&self, _model: ModelId) -> Result<()> {
        Err(Error::internal("not yet"))
    }

    pub(crate) async fn purge_deleted(&self) -> Result<()> {
        Err(Error::internal("not yet"))
    }
}
