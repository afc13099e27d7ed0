//! Chats and folders: made, named, moved, branched, opened.

use huacaya_store::{ChatKind, FolderId, ModelId, Parameters, PersonaId};

/// What a new chat starts from.
pub struct NewChat {
    pub kind: ChatKind,
    pub folder: Option<FolderId>,
    pub persona: Option<PersonaId>,
    pub model: Option<ModelId>,
}

/// What a chat answers with.
pub struct ChatEdit {
    pub persona: Option<PersonaId>,
    pub model: Option<ModelId>,
    pub system: Option<String>,
    pub parameters: Parameters,
}
