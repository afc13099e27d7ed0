//! Character cards (Tavern, `chara_card_v2`, `chara_card_v3`), as JSON or inside a PNG, read into a persona.

use huacaya_store::Persona;

use crate::Result;

/// The persona's id is 0: `Store::add_persona` gives it one. `name` is the file's, for messages.
pub fn read_character(_name: &str, _bytes: &[u8]) -> Result<Persona> {
    todo!()
}
