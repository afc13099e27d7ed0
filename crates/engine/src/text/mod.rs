//! Tokens to text while they come: whole UTF-8 only, stop texts that never leak, thoughts apart from the answer.

mod bytes;
mod stops;
#[cfg(test)]
mod tests;
mod thoughts;

pub use bytes::Utf8;
pub use stops::{STOP_BYTES_MAX, Stops};
pub use thoughts::{Piece, Thoughts};

use crate::template::Rendered;
use crate::tokenizer::Tokenizer;

/// Reads one reply, token by token: bytes, then stop texts, then thoughts.
pub struct Reply {
    utf8: Utf8,
    stops: Stops,
    thoughts: Thoughts,
    /// Marks of thoughts and calls, which may be control tokens.
    marks: Vec<String>,
    /// The reply's first blank is still to be dropped.
    drops_space: bool,
    decoded: String,
    certain: String,
}

impl Reply {
    /// `stops` are the person's stop texts; the template's own come from `rendered`.
    pub fn new(rendered: &Rendered, stops: &[String]) -> Reply {
        let stops = rendered.stops.iter().chain(stops);
        let marks = rendered.marks.iter().flat_map(|marks| [marks.open.clone(), marks.close.clone()]);
        let marks = marks.chain(rendered.shown.iter().cloned()).collect();
        Reply {
            utf8: Utf8::default(),
            stops: Stops::new(stops.cloned()),
            thoughts: Thoughts::new(rendered.marks.as_ref(), rendered.in_thought, rendered.reply_began),
            marks,
            drops_space: rendered.drops_space,
            decoded: String::new(),
            certain: String::new(),
        }
    }

    /// Takes the next token and gives out all text that is certain. True when a stop text was reached: the reply is over, and what
    /// came before the stop text has been given out. Tokens that end the reply (`Rendered::ends`) are not pushed.
    pub fn push(&mut self, id: u32, tokenizer: &Tokenizer, out: &mut Vec<Piece>) -> bool {
        let mut bytes = tokenizer.bytes(id);
        if bytes.is_empty()
            && let Some(name) = tokenizer.piece(id)
            && self.marks.iter().any(|mark| mark == name)
        {
            bytes = name.as_bytes();
        }
        if self.drops_space && !bytes.is_empty() {
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
            self.drops_space = false;
        }
        self.decoded.clear();
        self.utf8.push(bytes, &mut self.decoded);
        self.certain.clear();
        let stopped = self.stops.push(&self.decoded, &mut self.certain);
        self.thoughts.push(&self.certain, out);
        if stopped {
            self.thoughts.finish(out);
        }
        stopped
    }

    /// Whether what comes next belongs to a thought.
    pub fn in_thought(&self) -> bool {
        self.thoughts.in_thought()
    }

    /// The reply is over without a stop text: gives out what was held back.
    pub fn finish(&mut self, out: &mut Vec<Piece>) {
        self.decoded.clear();
        self.utf8.finish(&mut self.decoded);
        self.certain.clear();
        self.stops.push(&self.decoded, &mut self.certain);
        self.stops.finish(&mut self.certain);
        self.thoughts.push(&self.certain, out);
        self.thoughts.finish(out);
    }
}
