//! Folders of chats, one level deep.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{FolderId, Result, Store};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Folder {
    pub id: FolderId,
    pub name: String,
    pub open: bool,
}

impl Store {
    pub async fn new_folder(&self, _name: &str) -> Result<Folder> {
        todo!()
    }

    pub async fn update_folder(&self, _folder: FolderId, _change: impl FnOnce(&mut Folder) + Send) -> Result<Folder> {
        todo!()
    }

    /// Its chats move out.
    pub async fn delete_folder(&self, _folder: FolderId) -> Result<()> {
        todo!()
    }
}
