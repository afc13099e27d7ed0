//! How many token ids a folder's tokenizer has: its pieces counted, nothing of them kept.
//!
//! Source: `tokenizer.json` of Hugging
//! Face's `tokenizers`. Tokens that were added later stand in files of their own.

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::json::read_bounded;
use crate::sentencepiece::count;
use crate::{Error, Fault};

/// The largest have 34 MB (`tokenizer.json` with 262,144 pieces).
pub(crate) const TOKENIZER_BYTES_MAX: u64 = 128 << 20;
/// Lists of added tokens have some hundred kilobytes at most.
pub(crate) const ADDED_BYTES_MAX: u64 = 8 << 20;
/// Four times the largest vocabulary in use.
pub(crate) const TOKENS_MAX: u64 = 1 << 20;

pub(crate) const MODEL_NAME: &str = "tokenizer.model";
pub(crate) const JSON_NAME: &str = "tokenizer.json";

/// Whether the folder has a tokenizer of its own.
pub(crate) fn has_tokenizer(folder: &Path) -> bool {
    folder.join(MODEL_NAME).is_file() || folder.join(JSON_NAME).is_file()
}

/// One more than the largest id of the folder's tokenizer; `None` where there is no tokenizer.
pub fn vocabulary(folder: &Path) -> Result<Option<usize>, Error> {
    let (model, json) = (folder.join(MODEL_NAME), folder.join(JSON_NAME));
    let pieces = if model.is_file() {
        let bytes = read_bounded(&model, TOKENIZER_BYTES_MAX)?;
        count(&bytes).ok_or_else(|| wrong(&model, "it is no SentencePiece model"))?
    } else if json.is_file() {
        let read: Tokenizer = parse(&json, TOKENIZER_BYTES_MAX)?;
        let added = read.added_tokens.iter().map(|token| u64::from(token.id) + 1).max().unwrap_or(0);
        read.model.vocab.0.max(added)
    } else {
        return Ok(None);
    };
    let mut count = pieces;
    let added = folder.join("added_tokens.json");
    if added.is_file() {
        count = count.max(parse::<Ids>(&added, ADDED_BYTES_MAX)?.0);
    }
    let config = folder.join("tokenizer_config.json");
    if config.is_file() {
        count = count.max(parse::<TokenizerConfig>(&config, ADDED_BYTES_MAX)?.added_tokens_decoder.0);
    }
    if count > TOKENS_MAX {
        return Err(wrong(folder, "its tokenizer has an id larger than any vocabulary"));
    }
    Ok(Some(count as usize))
}

fn wrong(path: &Path, detail: &str) -> Error {
    Error::new(path, Fault::Json { detail: detail.to_owned() })
}

fn parse<T: for<'a> Deserialize<'a>>(path: &Path, limit: u64) -> Result<T, Error> {
    let bytes = read_bounded(path, limit)?;
    serde_json::from_slice(&bytes).map_err(|error| Error::new(path, Fault::Json { detail: error.to_string() }))
}

#[derive(Deserialize)]
struct Tokenizer {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<Added>,
}

#[derive(Deserialize)]
struct Model {
    vocab: Ids,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
}

#[derive(Deserialize)]
struct TokenizerConfig {
    #[serde(default)]
    added_tokens_decoder: Keys,
}

/// Of an object of ids by piece, one more than the largest; of a list of pieces, its length.
#[derive(Default)]
struct Ids(u64);

/// Of an object by id, one more than the largest.
#[derive(Default)]
struct Keys(u64);

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ids, D::Error> {
        deserializer.deserialize_any(IdsVisitor)
    }
}

struct IdsVisitor;

impl<'de> Visitor<'de> for IdsVisitor {
    type Value = Ids;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ids by piece, or a list of pieces")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ids, A::Error> {
        let mut count = 0;
        while let Some((_, id)) = map.next_entry::<IgnoredAny, u32>()? {
            count = count.max(u64::from(id) + 1);
        }
        Ok(Ids(count))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Ids, A::Error> {
        let mut count = 0;
        while list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Ids(count))
    }
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Keys, D::Error> {
        deserializer.deserialize_map(KeysVisitor)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Keys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tokens by id")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let mut count = 0;
        while let Some((id, _)) = map.next_entry::<u32, IgnoredAny>()? {
            count = count.max(u64::from(id) + 1);
        }
        Ok(Keys(count))
    }
}
