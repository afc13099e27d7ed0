//! Drafts: what was typed and not sent, for each chat.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{Attachment, ChatId, Result, Store};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Draft {
    /// `None`: the chat that does not exist yet.
    pub chat: Option<ChatId>,
    pub text: String,
    pub attachments: Vec<Attachment>,
}

impl Store {
    /// An empty one is removed.
    pub async fn save_draft(&self, _draft: &Draft) -> Result<()> {
        todo!()
    }
}
