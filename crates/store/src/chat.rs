//! Chats: one row for each conversation or completion page.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{ChatId, FolderId, MessageId, ModelId, Parameters, PersonaId, Result, Store, Time};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ChatKind {
    /// Turns of a person and a model, through a template.
    Chat,
    /// Raw text that the model continues. Its tree: a `user` message holds the text so far, its `assistant` child the
    /// continuation; the editor shows the path joined; an edit of the text makes a new root.
    Page,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Chat {
    pub id: ChatId,
    pub kind: ChatKind,
    /// As the person named it; empty: shown as `heading`.
    pub title: String,
    /// The first words of the first message.
    pub heading: String,
    pub folder: Option<FolderId>,
    pub pinned: bool,
    pub persona: Option<PersonaId>,
    /// `None`: the default model.
    pub model: Option<ModelId>,
    /// This chat's own system prompt; `None`: the persona's, else the default.
    pub system: Option<String>,
    /// This chat's own layer.
    pub parameters: Parameters,
    /// The end of the path that is shown.
    pub leaf: Option<MessageId>,
    pub created_ms: Time,
    /// When its last message came or it was changed: the list's order.
    pub changed_ms: Time,
}

/// What `new_chat` sets; the rest is filled later by `update_chat`.
#[derive(Clone, Debug)]
pub struct NewChat {
    pub kind: ChatKind,
    pub folder: Option<FolderId>,
    pub persona: Option<PersonaId>,
    pub model: Option<ModelId>,
}

impl Store {
    pub async fn new_chat(&self, _new: NewChat) -> Result<Chat> {
        todo!()
    }

    pub async fn chat(&self, _chat: ChatId) -> Result<Chat> {
        todo!()
    }

    /// Reads, changes and writes the row in one transaction (title, pinned, folder, persona, model, system,
    /// parameters; the other fields are the store's own). Not `changed_ms`: the list is in the order of talk.
    pub async fn update_chat(&self, _chat: ChatId, _change: impl FnOnce(&mut Chat) + Send) -> Result<Chat> {
        todo!()
    }

    pub async fn delete_chat(&self, _chat: ChatId) -> Result<()> {
        todo!()
    }

    pub async fn restore_chat(&self, _chat: ChatId) -> Result<Chat> {
        todo!()
    }
}
