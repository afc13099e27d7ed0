//! The engine: one thread that owns all sessions and answers requests in turn.

use std::ops::Range;
use std::sync::Arc;

use huacaya_progress::Watch;

use crate::sampling::Sampling;
use crate::template::Prompt;
use crate::{Model, Result, TokenStream};

/// A prompt to be answered.
#[derive(Clone)]
pub struct Request {
    pub model: Arc<Model>,
    pub prompt: Prompt,
    /// For guidance: read beside the prompt, and its opinion taken away. Only looked at where `sampling.guidance` > 1.
    pub negative: Option<Prompt>,
    pub sampling: Sampling,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// How many alternatives to report with each token; 0 reports none.
    pub logprobs: usize,
    /// New tokens at most. 0 only reads the prompt.
    pub tokens_max: usize,
}

/// Tokens whose logits are wanted.
pub struct Score {
    pub model: Arc<Model>,
    pub tokens: Vec<u32>,
    /// The positions whose logits (of the token after each) are wanted.
    pub rows: Range<usize>,
}

pub struct Scores {
    /// A row of the vocabulary's length for each wanted position.
    pub logits: Vec<Vec<f32>>,
}

/// Cheap to clone; the thread ends with the last clone.
#[derive(Clone)]
pub struct Engine {}

impl Engine {
    /// Starts the thread.
    pub fn start() -> Result<Engine> {
        unimplemented!()
    }

    /// Returns at once; errors come through the stream.
    pub fn generate(&self, _request: Request) -> TokenStream {
        unimplemented!()
    }

    /// Runs on the caller's thread; the watch counts tokens.
    pub fn score(&self, _score: Score, _watch: Watch<'_>) -> Result<Scores> {
        unimplemented!()
    }
}
