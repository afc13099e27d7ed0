//! Tokens to text while they come: whole UTF-8 only, stop texts that never leak, thoughts apart from the answer.

use crate::template::Rendered;
use crate::tokenizer::Tokenizer;

/// A piece of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Answer(String),
    Thought(String),
}

/// Reads one reply, token by token.
pub struct Reply {}

impl Reply {
    /// `stops` are the person's stop texts; the template's own come from `rendered`.
    pub fn new(_rendered: &Rendered, _stops: &[String]) -> Reply {
        unimplemented!()
    }

    /// Takes the next token and gives out all text that is certain. True when a stop text was reached: the reply is over.
    pub fn push(&mut self, _id: u32, _tokenizer: &Tokenizer, _out: &mut Vec<Piece>) -> bool {
        unimplemented!()
    }

    /// The reply is over: gives out what was held back.
    pub fn finish(&mut self, _out: &mut Vec<Piece>) {
        unimplemented!()
    }
}
