//! Whole chats in and out: what export reads and import writes.

use crate::{Chat, ChatId, Message, Persona, Result, Store};

/// A chat with everything that belongs to it. On the way in, ids only say who belongs to whom: rows get new ones.
#[derive(Clone, Debug, PartialEq)]
pub struct WholeChat {
    pub chat: Chat,
    /// Parents before children.
    pub messages: Vec<Message>,
    pub persona: Option<Persona>,
}

impl Store {
    /// `None`: all, oldest first.
    pub async fn whole_chats(&self, _chats: Option<&[ChatId]>) -> Result<Vec<WholeChat>> {
        todo!()
    }

    /// Adds chats in one transaction. A persona equal to one that is there is taken for it. Messages whose parent is
    /// not before them are left out.
    pub async fn add_chats(&self, _chats: Vec<WholeChat>) -> Result<Vec<ChatId>> {
        todo!()
    }
}
