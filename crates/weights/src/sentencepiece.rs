//! The pieces of a SentencePiece model (`tokenizer.model`).
//!
//! Source: `sentencepiece_model.proto`: `ModelProto { repeated SentencePiece pieces = 1; … }`, `SentencePiece { string piece
//! = 1; float score = 2; Type type = 3; }`.

/// One piece. Its place in the list is its id.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Piece {
    pub text: String,
    pub score: f32,
    pub kind: u32,
}

/// Types of pieces; GGUF numbers them alike.
pub(crate) const NORMAL: u32 = 1;
pub(crate) const CONTROL: u32 = 3;
pub(crate) const USER_DEFINED: u32 = 4;
pub(crate) const UNUSED: u32 = 5;
const KIND_MAX: u64 = 6;

/// How many pieces there are. `None` where this is no such model.
pub(crate) fn count(bytes: &[u8]) -> Option<u64> {
    let mut count = 0;
    fields(bytes, |field| {
        count += u64::from(matches!(field, (1, Field::Bytes(_))));
        Some(())
    })?;
    (count > 0).then_some(count)
}

/// Every piece. `None` where this is no such model.
pub(crate) fn pieces(bytes: &[u8]) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    fields(bytes, |field| {
        if let (1, Field::Bytes(message)) = field {
            pieces.push(piece(message)?);
        }
        Some(())
    })?;
    (!pieces.is_empty()).then_some(pieces)
}

fn piece(message: &[u8]) -> Option<Piece> {
    let mut piece = Piece { text: String::new(), score: 0.0, kind: NORMAL };
    fields(message, |field| {
        match field {
            (1, Field::Bytes(text)) => piece.text = String::from_utf8(text.to_vec()).ok()?,
            (2, Field::Four(score)) => piece.score = f32::from_le_bytes(score),
            (3, Field::Number(kind)) => {
                piece.kind = u32::try_from(kind).ok().filter(|_| (1..=KIND_MAX).contains(&kind))?;
            }
            _ => {}
        }
        Some(())
    })?;
    Some(piece)
}

/// What a field of a message holds, as far as it matters here.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Four([u8; 4]),
    Eight,
}

/// Hands every field to `each`, with its number. `None` where this is no message, or `each` says so.
fn fields<'a>(mut bytes: &'a [u8], mut each: impl FnMut((u64, Field<'a>)) -> Option<()>) -> Option<()> {
    while !bytes.is_empty() {
        let key = number(&mut bytes)?;
        let field = match key & 7 {
            0 => Field::Number(number(&mut bytes)?),
            1 => take(&mut bytes, 8).map(|_| Field::Eight)?,
            2 => {
                let length = usize::try_from(number(&mut bytes)?).ok()?;
                Field::Bytes(take(&mut bytes, length)?)
            }
            5 => Field::Four(take(&mut bytes, 4)?.try_into().ok()?),
            _ => return None,
        };
        each((key >> 3, field))?;
    }
    Some(())
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// A number of seven bits a byte, the lowest first.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * i as u32).unwrap_or(0);
        if byte < 0x80 {
            *bytes = &bytes[i + 1..];
            return Some(value);
        }
    }
    None
}
