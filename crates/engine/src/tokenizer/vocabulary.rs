//! The pieces of a vocabulary with their scores and kinds, checked before anything is built on them.

use std::collections::HashMap;

use super::Error;

/// The largest vocabularies have some 260,000 pieces; a hostile file may claim 2^60.
pub(super) const PIECES_MAX: usize = 1 << 20;

/// The longest pieces are runs of some hundreds of blanks; a longer one would make every merge around it slow.
pub(super) const PIECE_BYTES_MAX: usize = 4096;

/// What a piece is for; the numbers are those of SentencePiece and GGUF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

impl Kind {
    pub(super) fn from_number(number: i64) -> Option<Kind> {
        Some(match number {
            1 => Kind::Normal,
            2 => Kind::Unknown,
            3 => Kind::Control,
            4 => Kind::UserDefined,
            5 => Kind::Unused,
            6 => Kind::Byte,
            _ => return None,
        })
    }
}

/// Plain values, index = token id. Checked when a `Tokenizer` is made from them.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    pub pieces: Vec<String>,
    /// Needed by SentencePiece only; may be empty for byte-level BPE.
    pub scores: Vec<f32>,
    pub kinds: Vec<Kind>,
}

impl Vocabulary {
    /// Refuses what no trainer writes: no pieces or too many, lists of different lengths, NaN scores, empty, giant or repeated pieces.
    pub(super) fn check(&self, scored: bool) -> Result<(), Error> {
        let count = self.pieces.len();
        if count == 0 || count > PIECES_MAX {
            return Err(Error::Broken(format!("it has {count} pieces; 1 to {PIECES_MAX} are possible")));
        }
        if self.kinds.len() != count {
            return Err(Error::Broken(format!("{count} pieces, but {} kinds of pieces", self.kinds.len())));
        }
        if scored && self.scores.len() != count {
            return Err(Error::Broken(format!("{count} pieces, but {} scores", self.scores.len())));
        }
        if let Some(id) = self.scores.iter().position(|score| score.is_nan()) {
            return Err(Error::Broken(format!("the score of piece {id} is not a number")));
        }
        let mut seen = HashMap::with_capacity(count);
        for (id, piece) in self.pieces.iter().enumerate() {
            if piece.is_empty() || piece.len() > PIECE_BYTES_MAX {
                let length = piece.len();
                return Err(Error::Broken(format!(
                    "piece {id} has {length} bytes; 1 to {PIECE_BYTES_MAX} are possible"
                )));
            }
            if let Some(first) = seen.insert(piece.as_str(), id) {
                return Err(Error::Broken(format!("pieces {first} and {id} are the same")));
            }
        }
        Ok(())
    }
}

/// `<…>` or `[UPPER]`, without blanks inside: a chat mark. Files often list those as user-defined (`<think>`, `<|im_end|>`), yet what
/// a person types must not make them.
pub(super) fn looks_like_a_mark(piece: &str) -> bool {
    let inner = |open, close| piece.strip_prefix(open).and_then(|rest: &str| rest.strip_suffix(close));
    if let Some(inner) = inner('<', '>') {
        return inner.chars().any(char::is_alphanumeric) && !inner.contains([' ', '▁']);
    }
    inner('[', ']').is_some_and(|name| {
        let letters = name.chars().filter(char::is_ascii_uppercase).count();
        letters > 0 && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_' || c == '/')
    })
}

/// The byte that a byte piece stands for: `<0x0A>` is 10.
pub(super) fn byte_of(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}
