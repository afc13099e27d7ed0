//! Search over titles and texts, from one character on.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{ChatId, MessageId, Result, Store, Time};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Found {
    pub chat: ChatId,
    /// `None`: the title.
    pub message: Option<MessageId>,
    /// The chat's, as shown.
    pub title: String,
    pub snippet: Vec<SnippetPart>,
    pub created_ms: Time,
}

/// Text, never markup; `hit` parts are what was searched for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SnippetPart {
    pub text: String,
    pub hit: bool,
}

impl Store {
    /// Best first. Thoughts and deleted rows are left out.
    pub async fn search(&self, _query: &str, _limit: u32) -> Result<Vec<Found>> {
        todo!()
    }
}
