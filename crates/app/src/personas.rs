//! Personas: a system prompt with parameters, a greeting and example turns.

use huacaya_store::{Example, Parameters, Persona, PersonaId};

use crate::{
    App,
    chats::{bounded, one_line},
    error::Result,
    exchange, parameters, transfer,
};

/// What a persona says of itself, its greeting and each example turn: as much as a large context holds.
const TEXT_CHARACTERS_MAX: usize = 1 << 18;
/// Examples stand before every prompt; more would leave no room for talk.
const EXAMPLES_MAX: usize = 64;

/// A persona's values, whole.
pub struct PersonaFields {
    pub name: String,
    pub system: String,
    pub parameters: Parameters,
    pub greeting: String,
    pub examples: Vec<Example>,
}

impl App {
    pub(crate) async fn save_persona(&self, persona: Option<PersonaId>, fields: PersonaFields) -> Result<Persona> {
        parameters::check(&fields.parameters)?;
        for text in [&fields.system, &fields.greeting] {
            bounded(text, TEXT_CHARACTERS_MAX)?;
        }
        for example in fields.examples.iter().take(EXAMPLES_MAX) {
            bounded(&example.user, TEXT_CHARACTERS_MAX)?;
            bounded(&example.assistant, TEXT_CHARACTERS_MAX)?;
        }
        let mut row = Persona {
            id: PersonaId(0),
            name: one_line(&fields.name)?,
            system: fields.system,
            parameters: fields.parameters,
            greeting: fields.greeting,
            examples: fields.examples.into_iter().take(EXAMPLES_MAX).collect(),
        };
        let Some(id) = persona else { return Ok(self.inner.store.add_persona(row).await?) };
        row.id = id;
        Ok(self.inner.store.update_persona(id, |old| *old = row).await?)
    }

    pub(crate) async fn delete_persona(&self, persona: PersonaId) -> Result<()> {
        Ok(self.inner.store.delete_persona(persona).await?)
    }

    pub(crate) async fn restore_persona(&self, persona: PersonaId) -> Result<()> {
        self.inner.store.restore_persona(persona).await?;
        Ok(())
    }

    pub(crate) async fn import_character(&self, name: String, base64: String) -> Result<Persona> {
        let bytes = transfer::decode(&name, &base64)?;
        Ok(self.inner.store.add_persona(exchange::read_character(&name, &bytes)?).await?)
    }
}
