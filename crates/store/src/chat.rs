//! Chats: one row for each conversation or completion page.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{ChatId, FolderId, MessageId, ModelId, Parameters, PersonaId, Time};

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
