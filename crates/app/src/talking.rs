//! Talking: a message goes out, an answer streams in.

use huacaya_store::{Attachment, ChatId, MessageId};
use serde::Serialize;
use ts_rs::TS;

/// A message to be sent.
pub struct Sending {
    /// Absent: a new chat is made.
    pub chat: Option<ChatId>,
    /// Absent: the chat's leaf.
    pub parent: Option<MessageId>,
    pub text: String,
    pub attachments: Vec<Attachment>,
    /// The words that the reply begins with.
    pub begin: String,
}

/// The rows that sending made.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Sent {
    pub chat: ChatId,
    pub user: MessageId,
    pub answer: MessageId,
}
