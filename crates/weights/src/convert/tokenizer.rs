//! A tokenizer's keys: from `tokenizer.model` (SentencePiece), or else `tokenizer.json` (byte-level BPE, or SentencePiece's
//! pieces and merges).
//!
//! Source: `_create_vocab_sentencepiece`, `get_vocab_base` and `LlamaModel.set_vocab` of `convert_hf_to_gguf.py`.

use std::path::Path;

use serde_json::Value;

use super::hyperparameters::Hyperparameters;
use super::{Fault, merges, special};
use crate::Error;
use crate::folder::folder_of;
use crate::gguf::{Array, Metadata, Value as Gguf};
use crate::json::read_bounded;
use crate::sentencepiece::{CONTROL, NORMAL, Piece, UNUSED, USER_DEFINED, pieces};
use crate::vocabulary::{ADDED_BYTES_MAX, JSON_NAME, MODEL_NAME, TOKENIZER_BYTES_MAX, TOKENS_MAX};

/// Of tokens that were added to a SentencePiece model, and of rows that no token has.
pub(super) const ADDED_SCORE: f32 = -1000.0;
pub(super) const PADDING_SCORE: f32 = -10000.0;
const TOO_MANY_ROWS: &str = "the model has more rows than any vocabulary";
/// Code Llama's vocabulary, and the tokens for text with a gap that only its size tells of.
const CODE_LLAMA: u64 = 32_016;
const CODE_LLAMA_TOKENS: [(&str, u32); 4] =
    [("prefix", 32_007), ("suffix", 32_008), ("middle", 32_009), ("eot", 32_010)];
/// Granite's small models, of Llama's architecture, begin no text with a token.
const GRANITE: u64 = 49_152;

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// How a text is split, by the name that llama.cpp gave it. llama.cpp tells by the tokens of a long sample, which comes to
/// the same for these families.
const PATTERNS: [(&str, &str); 3] = [(LLAMA3, "llama-bpe"), (QWEN2, "qwen2"), (TEKKEN, "tekken")];

/// Adds the tokenizer of `folder`.
pub(super) fn keys(
    metadata: &mut Metadata,
    folder: &Path,
    config: &Value,
    hyperparameters: &Hyperparameters,
) -> Result<(), Error> {
    let (model, json) = (folder.join(MODEL_NAME), folder.join(JSON_NAME));
    let described = optional(&folder.join("tokenizer_config.json"), ADDED_BYTES_MAX)?;
    if hyperparameters.architecture.is_llama()
        && let Some(Value::Bool(prefix)) = described.as_ref().and_then(|config| config.get("add_prefix_space"))
    {
        metadata.set("tokenizer.ggml.add_space_prefix", (*prefix).into());
    }
    let tokenizer = optional(&json, TOKENIZER_BYTES_MAX)?;
    let size = hyperparameters.vocabulary;
    if model.is_file() {
        sentencepiece(metadata, &model, size, described.as_ref())?;
        special::keys(metadata, folder, config, tokenizer.as_ref(), Some(size))?;
    } else if let Some(tokenizer) = &tokenizer {
        let failed = |detail: &str| Error::new(&json, Fault::Tokenizer { detail: detail.to_owned() });
        if size > TOKENS_MAX {
            return Err(failed(TOO_MANY_ROWS));
        }
        let has_pieces = merges::are_in(tokenizer);
        if has_pieces {
            write_pieces(metadata, merges::pieces(tokenizer, size).map_err(|detail| failed(&detail))?);
        } else {
            byte_level(metadata, tokenizer, size, described.as_ref()).map_err(|detail| failed(&detail))?;
        }
        special::keys(metadata, folder, config, Some(tokenizer), has_pieces.then_some(size))?;
    } else {
        return Err(Error::new(folder, Fault::NoTokenizer));
    }
    if hyperparameters.architecture.is_llama() && size == CODE_LLAMA {
        for (kind, id) in CODE_LLAMA_TOKENS {
            metadata.set(&format!("tokenizer.ggml.{kind}_token_id"), id.into());
        }
    }
    if hyperparameters.architecture.is_llama() && size == GRANITE {
        metadata.set("tokenizer.ggml.add_bos_token", false.into());
    }
    Ok(())
}

/// A JSON file that may be missing.
fn optional(path: &Path, limit: u64) -> Result<Option<Value>, Error> {
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = read_bounded(path, limit)?;
    let json = serde_json::from_slice(&bytes);
    json.map(Some).map_err(|error| Error::new(path, crate::Fault::Json { detail: error.to_string() }))
}

/// The pieces of a SentencePiece model, with what was added to them later, as many as the model has rows.
pub(super) fn sentencepiece(
    metadata: &mut Metadata,
    path: &Path,
    size: u64,
    described: Option<&Value>,
) -> Result<(), Error> {
    let failed = |detail: &str| Error::new(path, Fault::Tokenizer { detail: detail.to_owned() });
    if size > TOKENS_MAX {
        return Err(failed(TOO_MANY_ROWS));
    }
    let bytes = read_bounded(path, TOKENIZER_BYTES_MAX)?;
    let mut list = pieces(&bytes).ok_or_else(|| failed("it is no SentencePiece model"))?;
    // What was set by the model's trainer is text for all that llama.cpp does.
    list.iter_mut().filter(|piece| piece.kind == USER_DEFINED).for_each(|piece| piece.kind = NORMAL);
    let found = list.len();
    list.truncate(size as usize);
    list.extend((found..size as usize).map(|id| Piece { text: padding(id), score: PADDING_SCORE, kind: UNUSED }));
    let mut put = |id: u64, text: String, kind: u32| {
        if let Some(piece) = usize::try_from(id).ok().and_then(|id| list.get_mut(id)) {
            *piece = Piece { text, score: ADDED_SCORE, kind };
        }
    };
    if let Some(Value::Object(added)) = optional(&folder_of(path).join("added_tokens.json"), ADDED_BYTES_MAX)? {
        for (text, id) in added {
            let id = id.as_u64().ok_or_else(|| failed("added_tokens.json has an id that is none"))?;
            put(id, text, USER_DEFINED);
        }
    }
    for (id, token) in decoder(described) {
        let id = id.parse().map_err(|_| failed("tokenizer_config.json has an id that is none"))?;
        let text =
            token["content"].as_str().ok_or_else(|| failed("tokenizer_config.json has a token without a text"))?;
        let (text, kind) = added(text, token["special"] == true);
        put(id, text, kind);
    }
    write_pieces(metadata, list);
    Ok(())
}

fn write_pieces(metadata: &mut Metadata, list: Vec<Piece>) {
    metadata.set("tokenizer.ggml.model", "llama".into());
    metadata.set("tokenizer.ggml.pre", "default".into());
    metadata.set("tokenizer.ggml.scores", list.iter().map(|piece| piece.score).collect::<Vec<f32>>().into());
    let (texts, kinds) = list.into_iter().map(|piece| (piece.text, piece.kind)).unzip();
    tokens(metadata, texts, kinds);
}

pub(super) fn padding(id: usize) -> String {
    format!("[PAD{id}]")
}

fn tokens(metadata: &mut Metadata, texts: Vec<String>, kinds: Vec<u32>) {
    metadata.set("tokenizer.ggml.tokens", texts.into());
    let kinds = Array::I32(kinds.into_iter().map(|kind| kind as i32).collect());
    metadata.set("tokenizer.ggml.token_type", Gguf::Array(kinds));
}

/// `added_tokens_decoder` of a `tokenizer_config.json`: tokens by their id.
fn decoder(described: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    let tokens = described.and_then(|config| config.get("added_tokens_decoder")).and_then(Value::as_object);
    tokens.into_iter().flatten()
}

/// The text and kind of a token that was added. Some that look like marks are not said to be.
fn added(text: &str, special: bool) -> (String, u32) {
    let between = |open: &str, close: &str| text.starts_with(open) && text.ends_with(close);
    let looks_special = matches!(text, "<pad>" | "<mask>" | "<2mass>" | "[@BOS@]")
        || between("<|", "|>")
        || between("<｜", "｜>")
        || between("<unused", ">");
    if special || looks_special { (text.to_owned(), CONTROL) } else { (text.replace('▁', " "), USER_DEFINED) }
}

/// Byte-level BPE.
fn byte_level(metadata: &mut Metadata, json: &Value, size: u64, described: Option<&Value>) -> Result<(), String> {
    let model = &json["model"];
    if model["type"].as_str().is_some_and(|kind| kind != "BPE") || !model["vocab"].is_object() {
        return Err(format!(
            "it is of the type {}; only BPE can be written. Fetch tokenizer.model, too, if there is one",
            model["type"]
        ));
    }
    let pre = pre_tokenizer(&json["pre_tokenizer"])?;
    let mut texts: Vec<String> = (0..size as usize).map(padding).collect();
    let mut kinds = vec![UNUSED; size as usize];
    let mut put = |id: Option<u64>, text: String, kind: u32| {
        let place = id.and_then(|id| usize::try_from(id).ok()).filter(|id| *id < texts.len());
        let place = place.ok_or_else(|| format!("the id of {text:?} is beyond the model's {size} rows"))?;
        (texts[place], kinds[place]) = (text, kind);
        Ok::<(), String>(())
    };
    for (text, id) in model["vocab"].as_object().into_iter().flatten() {
        put(id.as_u64(), text.clone(), NORMAL)?;
    }
    let listed = json["added_tokens"].as_array().into_iter().flatten().map(|token| (token["id"].as_u64(), token));
    for (id, token) in decoder(described).map(|(id, token)| (id.parse().ok(), token)).chain(listed) {
        let text = token["content"].as_str().ok_or("an added token has no text")?;
        let (text, kind) = added(text, token["special"] == true);
        put(id, text, kind)?;
    }
    metadata.set("tokenizer.ggml.model", "gpt2".into());
    metadata.set("tokenizer.ggml.pre", pre.into());
    tokens(metadata, texts, kinds);
    metadata.set("tokenizer.ggml.merges", merges(&model["merges"])?.into());
    Ok(())
}

/// Pairs, or texts with a blank between; a blank inside a piece is spelled as byte-level BPE spells it.
fn merges(list: &Value) -> Result<Vec<String>, String> {
    let merge = |merge: &Value| match merge {
        Value::String(text) => Some(text.clone()),
        pair => Some(format!("{} {}", pair[0].as_str()?.replace(' ', "Ġ"), pair[1].as_str()?.replace(' ', "Ġ"))),
    };
    let list = list.as_array().ok_or("it has no merges")?;
    list.iter().map(|pair| merge(pair).ok_or_else(|| "a merge is no pair".to_owned())).collect()
}

/// llama.cpp's name for the way in which a text is split.
fn pre_tokenizer(part: &Value) -> Result<&'static str, String> {
    let parts = part["pretokenizers"].as_array().map_or(std::slice::from_ref(part), Vec::as_slice);
    let kinds: Vec<&str> = parts.iter().filter_map(|part| part["type"].as_str()).collect();
    match kinds[..] {
        ["ByteLevel"] => return Ok("gpt-2"),
        ["Digits", "ByteLevel"] => return Ok("smollm"),
        _ => {}
    }
    let pattern = parts.iter().find_map(|part| part["pattern"]["Regex"].as_str());
    let known = PATTERNS.iter().find(|(known, _)| Some(*known) == pattern).map(|(_, name)| *name);
    known.ok_or_else(|| "it splits text in a way that llama.cpp has no name for".to_owned())
}
