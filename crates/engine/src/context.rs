//! What of a conversation is shown to a model whose context is too short for all of it.

use crate::template::{Chat, Prompt, Rendered};
use crate::{Model, Result};

/// A prompt that leaves room for the reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    pub prompt: Prompt,
    pub rendered: Rendered,
    /// The first turn of the conversation that the model sees, as an index into `Chat::turns`.
    pub first: usize,
    /// How many turns of the person were left out.
    pub dropped_turns: usize,
    /// Tokens of the prompt.
    pub tokens: usize,
}

/// Drops the oldest whole turns until prompt and `reserve` fit the model's context. The system prompt and the last turn
/// are always kept: where they do not fit, [`crate::Error::PromptTooLong`] says by how much.
pub fn fit(_model: &Model, _chat: &Chat, _reserve: usize) -> Result<Fitted> {
    unimplemented!()
}
