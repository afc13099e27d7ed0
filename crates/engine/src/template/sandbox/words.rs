//! What a template's words may look like before they are parsed: the parser and the compiler recurse along a chain of operators,
//! and work out constants themselves, without any bound.

use minijinja::machinery::{Token, tokenize};
use minijinja::{Error, ErrorKind};

use super::{LIMIT, SOURCE_BYTES_MAX, WHITE_SPACE};

/// The longest expressions in use have some 200 words.
const WORDS_MAX: usize = 2000;

/// Branches of a condition are parsed within each other.
const BRANCHES_MAX: usize = 500;

/// A written text may be repeated this often; templates draw a line with it at most.
const REPEAT_MAX: u64 = 200;

/// Refuses what no template has.
pub(super) fn check(source: &str) -> Result<(), Error> {
    let refuse = |what: String| Err(Error::new(ErrorKind::SyntaxError, format!("{LIMIT}{what}")));
    if source.len() > SOURCE_BYTES_MAX {
        return refuse(format!("it has more than {SOURCE_BYTES_MAX} bytes"));
    }
    let (mut words, mut branches) = (0, 0);
    let mut before: Option<Token> = None;
    let mut tokens = tokenize(source, false, Default::default(), WHITE_SPACE).peekable();
    while let Some(token) = tokens.next() {
        let token = token?.0;
        words += 1;
        match &token {
            Token::VariableStart | Token::BlockStart => words = 0,
            Token::Ident("elif") => branches += 1,
            Token::Mul => {
                let after = tokens.peek().and_then(|next| next.as_ref().ok()).map(|next| &next.0);
                if !may_multiply(before.as_ref(), after) {
                    return refuse("it multiplies a written text or list".into());
                }
            }
            _ => {}
        }
        if words > WORDS_MAX || branches > BRANCHES_MAX {
            return refuse(format!("it has an expression of more than {WORDS_MAX} words or {BRANCHES_MAX} branches"));
        }
        before = Some(token);
    }
    Ok(())
}

/// Constants that are multiplied are worked out by the compiler: numbers and names may be, and a text by a small number.
fn may_multiply(before: Option<&Token>, after: Option<&Token>) -> bool {
    let plain = |token: &Token| matches!(token, Token::Ident(_) | Token::Int(_) | Token::Float(_));
    match (before, after) {
        (Some(Token::Str(_) | Token::String(_)), Some(Token::Int(count))) => *count <= REPEAT_MAX,
        (Some(before), Some(after)) => plain(before) && plain(after),
        _ => false,
    }
}
