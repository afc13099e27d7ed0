//! Folders of chats, one level deep.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::FolderId;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Folder {
    pub id: FolderId,
    pub name: String,
    pub open: bool,
}
