//! Reads a SentencePiece `tokenizer.model`: a protobuf message, of which few fields matter here.
//!
//! Source: `sentencepiece_model.proto` of google/sentencepiece. `ModelProto { repeated SentencePiece pieces = 1; TrainerSpec
//! trainer_spec = 2; NormalizerSpec normalizer_spec = 3; … }`, `SentencePiece { string piece = 1; float score = 2; Type type = 3; }`.

use super::vocabulary::PIECES_MAX;
use super::{Error, Kind, Vocabulary};

/// What a `tokenizer.model` says.
pub(super) struct ModelFile {
    pub vocabulary: Vocabulary,
    pub unknown: Option<u32>,
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub byte_fallback: bool,
    pub dummy_prefix: bool,
    pub extra_white_space_removed: bool,
}

/// TrainerSpec.model_type for BPE.
const MODEL_TYPE_BPE: u64 = 2;

/// One field of a message.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
    Fixed64,
}

/// The fields of a message, in order.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Result<u64, Error> {
        let mut value = 0u64;
        for (index, &byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f).checked_shl(7 * index as u32).unwrap_or(0);
            if byte < 0x80 {
                self.0 = &self.0[index + 1..];
                return Ok(value);
            }
        }
        Err(broken("a number does not end"))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Error> {
        match usize::try_from(length).ok().and_then(|length| self.0.split_at_checked(length)) {
            Some((head, tail)) => {
                self.0 = tail;
                Ok(head)
            }
            None => Err(broken("it ends in the middle of a field")),
        }
    }

    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.number()?;
        let value = match key & 7 {
            0 => Value::Number(self.number()?),
            1 => {
                self.take(8)?;
                Value::Fixed64
            }
            2 => {
                let length = self.number()?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                let mut bytes = [0; 4];
                bytes.copy_from_slice(self.take(4)?);
                Value::Fixed32(bytes)
            }
            kind => return Err(broken(&format!("it has a field of the unknown wire type {kind}"))),
        };
        Ok(Some((key >> 3, value)))
    }
}

fn broken(what: &str) -> Error {
    Error::Broken(format!("tokenizer.model: {what}"))
}

/// Reads the whole file.
pub(super) fn read(bytes: &[u8]) -> Result<ModelFile, Error> {
    let mut file = ModelFile {
        vocabulary: Vocabulary::default(),
        unknown: Some(0),
        bos: Some(1),
        eos: Some(2),
        byte_fallback: false,
        dummy_prefix: true,
        extra_white_space_removed: true,
    };
    let mut fields = Fields(bytes);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (1, Value::Bytes(piece)) => read_piece(piece, &mut file.vocabulary)?,
            (2, Value::Bytes(spec)) => read_trainer(spec, &mut file)?,
            (3, Value::Bytes(spec)) => read_normalizer(spec, &mut file)?,
            (1..=3, _) => return Err(broken(&format!("field {field} is of the wrong type"))),
            _ => {}
        }
    }
    let count = file.vocabulary.pieces.len() as u32;
    for id in [&mut file.unknown, &mut file.bos, &mut file.eos] {
        *id = id.filter(|&id| id < count);
    }
    Ok(file)
}

fn read_piece(bytes: &[u8], vocabulary: &mut Vocabulary) -> Result<(), Error> {
    let (mut piece, mut score, mut kind) = ("", 0.0, Kind::Normal);
    let mut fields = Fields(bytes);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (1, Value::Bytes(text)) => piece = std::str::from_utf8(text).map_err(|_| broken("a piece is not UTF-8"))?,
            (2, Value::Fixed32(bytes)) => score = f32::from_le_bytes(bytes),
            (3, Value::Number(number)) => {
                let known = i64::try_from(number).ok().and_then(Kind::from_number);
                kind = known.ok_or_else(|| broken(&format!("a piece is of the unknown kind {number}")))?;
            }
            (1..=3, _) => return Err(broken(&format!("field {field} of a piece is of the wrong type"))),
            _ => {}
        }
    }
    if vocabulary.pieces.len() >= PIECES_MAX {
        return Err(broken(&format!("it has more than {PIECES_MAX} pieces")));
    }
    vocabulary.pieces.push(piece.to_owned());
    vocabulary.scores.push(score);
    vocabulary.kinds.push(kind);
    Ok(())
}

/// An id that protobuf holds as a sign-extended `int32`; -1 says that there is none.
fn id(number: u64) -> Option<u32> {
    u32::try_from(number as i64).ok()
}

fn read_trainer(bytes: &[u8], file: &mut ModelFile) -> Result<(), Error> {
    let mut fields = Fields(bytes);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (3, Value::Number(MODEL_TYPE_BPE)) => {}
            (3, Value::Number(kind)) => {
                let name = ["", "unigram", "BPE", "word", "character"].get(kind as usize).unwrap_or(&"unknown");
                return Err(Error::Unsupported(format!("SentencePiece model of the type `{name}`")));
            }
            (24, Value::Number(1)) => {
                return Err(Error::Unsupported("SentencePiece with white space as suffix".into()));
            }
            (35, Value::Number(on)) => file.byte_fallback = on != 0,
            (40, Value::Number(number)) => file.unknown = id(number),
            (41, Value::Number(number)) => file.bos = id(number),
            (42, Value::Number(number)) => file.eos = id(number),
            _ => {}
        }
    }
    Ok(())
}

fn read_normalizer(bytes: &[u8], file: &mut ModelFile) -> Result<(), Error> {
    let mut fields = Fields(bytes);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (2, Value::Bytes(map)) if !map.is_empty() => {
                return Err(Error::Unsupported("SentencePiece with a normalizer other than `identity`".into()));
            }
            (3, Value::Number(on)) => file.dummy_prefix = on != 0,
            (4, Value::Number(on)) => file.extra_white_space_removed = on != 0,
            (5, Value::Number(0)) => {
                return Err(Error::Unsupported("SentencePiece without escaped white space".into()));
            }
            _ => {}
        }
    }
    Ok(())
}
