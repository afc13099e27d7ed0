//! Personas: a system prompt with parameters, a greeting and example turns.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{Parameters, PersonaId, Result, Store};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Persona {
    pub id: PersonaId,
    pub name: String,
    pub system: String,
    pub parameters: Parameters,
    /// Shown (and sent) as the model's first message; may be empty.
    pub greeting: String,
    /// Turns placed before the conversation.
    pub examples: Vec<Example>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Example {
    pub user: String,
    pub assistant: String,
}

impl Store {
    /// The id in `persona` is ignored.
    pub async fn add_persona(&self, _persona: Persona) -> Result<Persona> {
        todo!()
    }

    pub async fn persona(&self, _persona: PersonaId) -> Result<Persona> {
        todo!()
    }

    pub async fn update_persona(&self, _id: PersonaId, _change: impl FnOnce(&mut Persona) + Send) -> Result<Persona> {
        todo!()
    }

    /// Chats keep its id, so that restoring it gives it back to them; until then they go without.
    pub async fn delete_persona(&self, _persona: PersonaId) -> Result<()> {
        todo!()
    }

    pub async fn restore_persona(&self, _persona: PersonaId) -> Result<Persona> {
        todo!()
    }
}
