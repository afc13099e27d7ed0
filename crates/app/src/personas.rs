//! Personas: a system prompt with parameters, a greeting and example turns.

use huacaya_store::{Example, Parameters};

/// A persona's values, whole.
pub struct PersonaFields {
    pub name: String,
    pub system: String,
    pub parameters: Parameters,
    pub greeting: String,
    pub examples: Vec<Example>,
}
