//! Personas: a system prompt with parameters, a greeting and example turns.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{Parameters, PersonaId};

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
