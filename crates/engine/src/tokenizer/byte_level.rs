//! Byte-level BPE (GPT-2's and its heirs') through the `tokenizers` crate.
//!
//! The crate gets a model without added tokens, so that no text becomes one. Its builder panics on a merge that is longer than
//! every piece and takes any regular expression, so merges and parts are checked here first.

use std::collections::HashMap;

use serde_json::Value;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;

use super::Error;
use super::vocabulary::PIECES_MAX;

/// The longest pattern in use has some 300 characters.
const PATTERN_BYTES_MAX: usize = 4096;

/// Two merges for each piece would be many; real files have about one.
const MERGES_MAX: usize = 2 * PIECES_MAX;

/// What `tokenizers` may be asked to do to text before it is split, and how it may split: parts that work character by character.
const PARTS: [&str; 15] = [
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "Lowercase",
    "Prepend",
    "Replace",
    "Strip",
    "Sequence",
    "ByteLevel",
    "Split",
    "Metaspace",
    "Digits",
    "Punctuation",
    "WhitespaceSplit",
];

pub(super) struct ByteLevelBpe {
    first: tokenizers::Tokenizer,
    /// For segments after the first, where they are split differently (no dummy prefix).
    rest: Option<tokenizers::Tokenizer>,
}

/// The model proper.
pub(super) struct Merges {
    /// Every piece with its id, added tokens left out.
    pub vocabulary: HashMap<String, u32>,
    pub merges: Vec<(String, String)>,
    /// A word that is a piece is taken whole, whatever the merges say.
    pub whole_words: bool,
    pub byte_fallback: bool,
    pub fuse_unknown: bool,
    pub unknown: Option<String>,
}

impl Merges {
    fn build(self) -> Result<BPE, Error> {
        if self.merges.len() > MERGES_MAX {
            return Err(Error::Broken(format!("{} merges; {MERGES_MAX} are possible", self.merges.len())));
        }
        let mut joined = String::new();
        for (left, right) in &self.merges {
            joined.clear();
            joined.push_str(left);
            joined.push_str(right);
            if [left, right, &joined].into_iter().any(|piece| !self.vocabulary.contains_key(piece)) {
                return Err(Error::Broken(format!("the merge of `{left}` and `{right}` is not in the vocabulary")));
            }
        }
        let vocabulary: Vocab = self.vocabulary.into_iter().collect();
        let mut builder = BPE::builder()
            .vocab_and_merges(vocabulary, self.merges)
            .ignore_merges(self.whole_words)
            .byte_fallback(self.byte_fallback)
            .fuse_unk(self.fuse_unknown);
        if let Some(unknown) = self.unknown {
            builder = builder.unk_token(unknown);
        }
        builder.build().map_err(|error| Error::Broken(error.to_string()))
    }
}

impl ByteLevelBpe {
    /// With the pre-tokenizer that `tokenizer.ggml.pre` names; the second value says so when the name is not known.
    pub fn from_name(merges: Merges, name: &str) -> Result<(ByteLevelBpe, Option<String>), Error> {
        let (pattern, normal) = pattern(name);
        let (pattern, warning) = match pattern {
            Some(pattern) => (pattern, None),
            None => {
                let warning = format!(
                    "the pre-tokenizer `{name}` is not known; GPT-2's is used, which may split text differently"
                );
                (GPT2, Some(warning))
            }
        };
        let split = Split::new(SplitPattern::Regex(pattern.into()), SplitDelimiterBehavior::Isolated, false);
        let split = split.map_err(|error| Error::Broken(error.to_string()))?;
        let parts = vec![PreTokenizerWrapper::from(split), ByteLevel::new(false, false, false).into()];
        let mut first = tokenizers::Tokenizer::new(merges.build()?);
        first.with_pre_tokenizer(Some(Sequence::new(parts)));
        if normal {
            let normalized = first.with_normalizer(Some(tokenizers::normalizers::unicode::NFC));
            normalized.map_err(|error| Error::Broken(error.to_string()))?;
        }
        Ok((ByteLevelBpe { first, rest: None }, warning))
    }

    /// With the normalizer and pre-tokenizer of a `tokenizer.json`.
    pub fn from_parts(merges: Merges, normalizer: &Value, pre_tokenizer: &Value) -> Result<ByteLevelBpe, Error> {
        check_part(normalizer)?;
        check_part(pre_tokenizer)?;
        let model = merges.build()?;
        let build = |pre_tokenizer: &Value| -> Result<tokenizers::Tokenizer, Error> {
            let broken = |error: serde_json::Error| Error::Broken(format!("tokenizer.json: {error}"));
            let mut tokenizer = tokenizers::Tokenizer::new(model.clone());
            if !normalizer.is_null() {
                let part: NormalizerWrapper = serde_json::from_value(normalizer.clone()).map_err(broken)?;
                tokenizer.with_normalizer(Some(part)).map_err(|error| Error::Broken(error.to_string()))?;
            }
            if !pre_tokenizer.is_null() {
                let part: PreTokenizerWrapper = serde_json::from_value(pre_tokenizer.clone()).map_err(broken)?;
                tokenizer.with_pre_tokenizer(Some(part));
            }
            Ok(tokenizer)
        };
        let first = build(pre_tokenizer)?;
        let mut later = pre_tokenizer.clone();
        let rest = if drop_first_prefix(&mut later) { Some(build(&later)?) } else { None };
        Ok(ByteLevelBpe { first, rest })
    }

    /// False when the text could not be encoded (a pattern of the file gave up on it).
    pub fn encode(&self, text: &str, first: bool, out: &mut Vec<u32>) -> bool {
        let tokenizer = self.rest.as_ref().filter(|_| !first).unwrap_or(&self.first);
        match tokenizer.encode_fast(text, false) {
            Ok(encoding) => {
                out.extend_from_slice(encoding.get_ids());
                true
            }
            Err(_) => false,
        }
    }
}

/// `Metaspace` with `prepend_scheme: first` puts a blank before the first segment only. True when something was changed.
fn drop_first_prefix(part: &mut Value) -> bool {
    if part["prepend_scheme"] == "first" {
        part["prepend_scheme"] = "never".into();
        return true;
    }
    let Some(parts) = part.get_mut("pretokenizers").and_then(Value::as_array_mut) else { return false };
    parts.iter_mut().map(drop_first_prefix).filter(|changed| *changed).count() > 0
}

fn check_part(part: &Value) -> Result<(), Error> {
    if part.is_null() {
        return Ok(());
    }
    let kind = part["type"].as_str().unwrap_or("");
    if !PARTS.contains(&kind) {
        return Err(Error::Unsupported(format!("tokenizer.json with the part `{kind}`")));
    }
    if part["pattern"].to_string().len() > PATTERN_BYTES_MAX {
        return Err(Error::Broken(format!("tokenizer.json: a pattern has more than {PATTERN_BYTES_MAX} bytes")));
    }
    for list in ["normalizers", "pretokenizers"] {
        // A nested sequence is as deep as JSON may be: serde_json stops at 128 levels.
        part[list].as_array().into_iter().flatten().try_for_each(check_part)?;
    }
    Ok(())
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The pattern by which a named pre-tokenizer splits, and whether text is brought into normal form C first.
/// Source: the `tokenizer.json` files of the families.
fn pattern(name: &str) -> (Option<&'static str>, bool) {
    match name {
        "llama3" | "llama-v3" | "llama-bpe" => (Some(LLAMA3), false),
        "qwen2" | "deepseek-r1-qwen" => (Some(QWEN2), true),
        "tekken" => (Some(TEKKEN), false),
        "gpt-2" | "gpt2" => (Some(GPT2), false),
        _ => (None, false),
    }
}

/// Whether words that are pieces are taken whole, by the name of the pre-tokenizer.
pub(super) fn takes_whole_words(name: &str) -> bool {
    matches!(name, "llama3" | "llama-v3" | "llama-bpe" | "tekken")
}

/// GPT-2's spelling of bytes as visible characters: printable Latin-1 stands for itself, the others follow from U+0100 on.
pub(super) fn byte_of_character(character: char) -> Option<u8> {
    let visible = |code: u32| matches!(code, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let code = u32::from(character);
    if code < 0x100 {
        return if visible(code) { Some(code as u8) } else { None };
    }
    (0..=255u8).filter(|&byte| !visible(byte.into())).nth((code - 0x100) as usize)
}
