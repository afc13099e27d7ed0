//! What comes out of the engine while it answers: a blocking iterator over a bounded queue.

use crate::Result;

/// Why an answer ended. That a person stopped it, only the listener knows: it dropped the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model said so.
    End,
    /// One of the stop texts.
    StopText,
    /// `tokens_max` was reached.
    Length,
    /// The context is full.
    Context,
}

/// What an answer took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    pub prompt_tokens: usize,
    /// Of these, how many were in the cache already.
    pub reused: usize,
    /// New tokens, thoughts included, the ending token not.
    pub tokens: usize,
    pub thought_tokens: usize,
    /// From the request to the first new token.
    pub first_token_ms: u64,
    /// From the first new token to the last.
    pub tokens_per_second: f32,
}

/// A step of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The prompt is being read: `done` of `total` tokens, those of the cache among them.
    Reading { done: usize, total: usize },
    /// A new token. `text` is what became certain with it: whole UTF-8, often empty. `logprobs`: the drawn token first,
    /// then the likeliest, natural logarithms, before penalties and filters.
    Token { id: u32, text: String, thought: bool, logprobs: Vec<(u32, f32)> },
    /// More text that became certain (a token that ends a thought and begins the answer; what was held back at the end).
    Text { text: String, thought: bool },
    /// The last event.
    Finished { why: Finish, stats: Stats },
}

/// The events of one request. Dropping it stops the work within one token, during the reading of the prompt too.
pub struct TokenStream {}

impl Iterator for TokenStream {
    type Item = Result<Event>;

    /// Waits for the next event; `None` after `Finished` or an error.
    fn next(&mut self) -> Option<Result<Event>> {
        unimplemented!()
    }
}
