//! The stream of changes to this process's readers: one order for rows and for words in flight.

use crate::{Change, ChatId, MessageId, Result, Store};

/// One reader's stream. It begins with a `Change::Snapshot`; a reader that falls behind gets a new one, followed by
/// `Change::Opened` for each chat that is open.
pub struct Subscription {}

impl Subscription {
    /// Waits until there is something, then takes all there is, in order. `None`: the store was closed.
    pub async fn next(&mut self) -> Option<Vec<Change>> {
        todo!()
    }
}

impl Store {
    pub async fn subscribe(&self) -> Result<Subscription> {
        todo!()
    }

    /// Publishes `Change::Opened`: the whole tree, bodies on the visible path (words not yet saved included).
    pub async fn open_chat(&self, _chat: ChatId) -> Result<()> {
        todo!()
    }

    pub fn close_chat(&self, _chat: ChatId) {
        todo!()
    }

    /// Publishes these messages with their bodies.
    pub async fn read_messages(&self, _messages: &[MessageId]) -> Result<()> {
        todo!()
    }

    /// Adds words to an answer that this process is writing, and publishes them. Never waits for the disk.
    pub fn publish_text(&self, _message: MessageId, _thought: bool, _piece: &str) {
        todo!()
    }

    pub fn publish_reading(&self, _message: MessageId, _done: u32, _total: u32) {
        todo!()
    }

    /// The body so far of an answer that this process is writing.
    pub fn written(&self, _message: MessageId) -> Option<crate::Body> {
        todo!()
    }
}
