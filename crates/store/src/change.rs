//! What a face mirrors: one snapshot, then every change in order.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{
    Chat, ChatId, Draft, Folder, FolderId, Job, JobId, Message, MessageId, Model, ModelId, Persona, PersonaId, Setting,
};

/// The state before the first change. Messages are mirrored for open chats only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Snapshot {
    pub chats: Vec<Chat>,
    pub folders: Vec<Folder>,
    pub personas: Vec<Persona>,
    pub models: Vec<Model>,
    pub jobs: Vec<Job>,
    pub settings: Vec<Setting>,
    pub drafts: Vec<Draft>,
}

/// One step of the mirror. A row replaces the row of its id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum Change {
    /// First in every stream, and again where the reader fell behind.
    Snapshot(Snapshot),
    Chat(Chat),
    Folder(Folder),
    Persona(Persona),
    Model(Model),
    Job(Job),
    Setting(Setting),
    Draft(Draft),
    Message(Message),
    /// The answer to `open_chat`: the whole tree, bodies on the visible path only.
    Opened {
        chat: ChatId,
        messages: Vec<Message>,
    },
    /// Words just written; not yet in the row.
    Text {
        message: MessageId,
        thought: bool,
        piece: String,
    },
    /// Prompt tokens evaluated so far of an answer that has no words yet.
    Reading {
        message: MessageId,
        done: u32,
        total: u32,
    },
    Removed(Key),
}

/// A row that is gone from the mirror (deleted rows wait for their undo unseen).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(tag = "table", content = "id", rename_all = "snake_case")]
pub enum Key {
    Chat(ChatId),
    Folder(FolderId),
    Persona(PersonaId),
    Model(ModelId),
    Job(JobId),
    Message(MessageId),
    /// The draft of a chat; `None` of the one that does not exist yet.
    Draft(Option<ChatId>),
}
