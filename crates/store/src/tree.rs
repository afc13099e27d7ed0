//! Walks over a chat's tree of messages: paths, siblings, leaves, and what is cut off and put back.

use crate::{Body, Chat, ChatId, Message, MessageId, Result, Role, Store};

impl Store {
    /// A message that is complete as it stands (an edit of the model's words, a greeting); it becomes the leaf.
    pub async fn add_message(
        &self,
        _chat: ChatId,
        _parent: Option<MessageId>,
        _role: Role,
        _body: Body,
    ) -> Result<MessageId> {
        todo!()
    }

    /// With body; words in flight included.
    pub async fn message(&self, _message: MessageId) -> Result<Message> {
        todo!()
    }

    /// From the root down to `leaf`, with bodies.
    pub async fn path(&self, _leaf: MessageId) -> Result<Vec<Message>> {
        todo!()
    }

    /// The texts of the path, joined: what a page shows.
    pub async fn path_text(&self, _leaf: MessageId) -> Result<String> {
        todo!()
    }

    /// All versions at the message's place, itself too, oldest first; without bodies.
    pub async fn siblings(&self, _message: MessageId) -> Result<Vec<Message>> {
        todo!()
    }

    /// Shows the path through `message` down to the deepest last-chosen leaf below it; returns that leaf.
    pub async fn choose_leaf(&self, _chat: ChatId, _message: MessageId) -> Result<MessageId> {
        todo!()
    }

    /// Takes a message and all below it out of sight; the leaf moves to the nearest version, else to the parent.
    pub async fn delete_message(&self, _message: MessageId) -> Result<()> {
        todo!()
    }

    /// Undoes `delete_message`, the leaf too.
    pub async fn restore_message(&self, _message: MessageId) -> Result<()> {
        todo!()
    }

    /// A new chat with a copy of the path down to `message`.
    pub async fn copy_path(&self, _message: MessageId) -> Result<Chat> {
        todo!()
    }

    /// The whole tree with bodies (deleted ones left out), parents before children.
    pub async fn messages(&self, _chat: ChatId) -> Result<Vec<Message>> {
        todo!()
    }
}
