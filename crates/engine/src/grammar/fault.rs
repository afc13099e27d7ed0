//! What is wrong with a grammar, and where: told before there is a model.

use regex_syntax::ast::parse::Parser;

use super::words::Words;
use super::{Grammar, check, compile};
use crate::{Error, Result};

/// Why no answer can be held to a grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line and column in what was written, from 1, where the fault has one.
    pub place: Option<(usize, usize)>,
    pub reason: String,
}

impl Grammar {
    /// Compiles it for a vocabulary of single bytes, which can write whatever any other can. Only a Lark grammar that names a
    /// model's control tokens is refused here and may be taken by that model.
    pub fn check(&self) -> Result<(), Fault> {
        if let (Grammar::Regex(source), Ok(())) = (self, check(self))
            && let Err(error) = Parser::new().parse(source)
        {
            let start = error.span().start;
            return Err(Fault { place: Some((start.line, start.column)), reason: error.kind().to_string() });
        }
        let done = Words::of_bytes().map_err(super::refused).and_then(|words| compile(self, &words));
        done.map(drop).map_err(|error| match error {
            Error::Grammar { what } => Fault::of(&what),
            error => Fault { place: None, reason: error.to_string() },
        })
    }
}

impl Fault {
    /// The compiler says "2(8): why", perhaps with "at" before it, and shows the lines behind.
    fn of(words: &str) -> Fault {
        let first = words.lines().next().unwrap_or_default();
        let found = first.split_once("): ").and_then(|(place, reason)| {
            let (line, column) = place.split_once('(')?;
            let line = line.rsplit(' ').next()?;
            Some(Fault { place: Some((line.parse().ok()?, column.parse().ok()?)), reason: reason.trim().to_string() })
        });
        found.unwrap_or_else(|| Fault { place: None, reason: first.trim().to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_taken_out_of_the_compilers_words() {
        let fault = |place, reason: &str| Fault { place, reason: reason.to_string() };
        assert_eq!(Fault::of("at 2(8): no (rule)\n   1 | start"), fault(Some((2, 8)), "no (rule)"));
        assert_eq!(Fault::of("3(1): lexer error\n"), fault(Some((3, 1)), "lexer error"));
        assert_eq!(Fault::of("a schema (draft 4): is old"), fault(None, "a schema (draft 4): is old"));
    }
}
