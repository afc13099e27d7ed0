//! A tokenizer from a Hugging Face folder: `tokenizer.model` or `tokenizer.json`, and what the files beside it say.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::byte_level::{ByteLevelBpe, Merges};
use super::vocabulary::{PIECE_BYTES_MAX, PIECES_MAX};
use super::{Algorithm, Error, Kind, Tokenizer, spell_byte_level, spell_spm};

/// The largest `tokenizer.json` in use has some 35 MB.
const FILE_BYTES_MAX: u64 = 256 << 20;

fn broken(what: impl std::fmt::Display) -> Error {
    Error::Broken(format!("tokenizer.json: {what}"))
}

/// Reads `tokenizer.json`.
pub(super) fn read(bytes: &[u8]) -> Result<Tokenizer, Error> {
    let json: Value = serde_json::from_slice(bytes).map_err(broken)?;
    let model = &json["model"];
    match model["type"].as_str() {
        Some("BPE") | None => {}
        Some(other) => return Err(Error::Unsupported(format!("tokenizer.json of the type `{other}`; BPE is"))),
    }
    for part in ["continuing_subword_prefix", "end_of_word_suffix"] {
        if model[part].as_str().is_some_and(|text| !text.is_empty()) {
            return Err(Error::Unsupported(format!("tokenizer.json with `{part}`")));
        }
    }
    let mut list = Pieces::default();
    let vocabulary = model["vocab"].as_object().ok_or_else(|| broken("it has no vocabulary"))?;
    let mut words = HashMap::with_capacity(vocabulary.len());
    for (piece, id) in vocabulary {
        let id = list.add(piece, id, Kind::Normal)?;
        words.insert(piece.clone(), id);
    }
    for token in json["added_tokens"].as_array().into_iter().flatten() {
        let piece = token["content"].as_str().ok_or_else(|| broken("an added token has no content"))?;
        let kind = if token["special"].as_bool().unwrap_or(false) { Kind::Control } else { Kind::UserDefined };
        list.add(piece, &token["id"], kind)?;
        words.remove(piece);
    }
    let byte_level = mentions_byte_level(&json["pre_tokenizer"]) || mentions_byte_level(&json["decoder"]);
    let byte_fallback = model["byte_fallback"].as_bool().unwrap_or(false);
    if !byte_level {
        for (piece, kind) in list.pieces.iter().zip(&mut list.kinds) {
            if *kind == Kind::Normal && super::byte_of(piece).is_some() {
                *kind = Kind::Byte;
            }
        }
    }
    let mut merges = read_merges(&model["merges"])?;
    // Text never becomes an added token, so no merge needs one.
    merges.retain(|(left, right)| {
        ![left, right, &format!("{left}{right}")].into_iter().any(|piece| list.is_added(piece))
    });
    let merges = Merges {
        vocabulary: words,
        merges,
        whole_words: model["ignore_merges"].as_bool().unwrap_or(false),
        byte_fallback,
        fuse_unknown: model["fuse_unk"].as_bool().unwrap_or(false),
        unknown: None,
    };
    let bpe = ByteLevelBpe::from_parts(merges, &json["normalizer"], &json["pre_tokenizer"])?;
    let spell = if byte_level { spell_byte_level } else { spell_spm };
    let mut tokenizer = Tokenizer::assemble(Algorithm::ByteLevel(Box::new(bpe)), list.pieces, list.kinds, spell);
    tokenizer.prefixes_every_segment = false;
    read_post_processor(&json["post_processor"], &mut tokenizer);
    tokenizer.find_ends();
    Ok(tokenizer)
}

#[derive(Default)]
struct Pieces {
    pieces: Vec<Box<str>>,
    kinds: Vec<Kind>,
    added: HashMap<Box<str>, u32>,
}

impl Pieces {
    /// An added token may repeat a piece of the vocabulary, with the same id.
    fn add(&mut self, piece: &str, id: &Value, kind: Kind) -> Result<u32, Error> {
        if piece.is_empty() || piece.len() > PIECE_BYTES_MAX {
            return Err(broken(format!("a piece has {} bytes; 1 to {PIECE_BYTES_MAX} are possible", piece.len())));
        }
        let place = id.as_u64().filter(|&id| id < PIECES_MAX as u64);
        let place = place.ok_or_else(|| broken(format!("the id of `{piece}` is {id}")))? as usize;
        if place >= self.pieces.len() {
            self.pieces.resize(place + 1, "".into());
            self.kinds.resize(place + 1, Kind::Unused);
        }
        let there = &self.pieces[place];
        if !there.is_empty() && **there != *piece {
            return Err(broken(format!("`{there}` and `{piece}` have the same id {place}")));
        }
        if kind != Kind::Normal
            && self.added.insert(piece.into(), place as u32).is_some_and(|other| other != place as u32)
        {
            return Err(broken(format!("the added token `{piece}` is there twice")));
        }
        self.pieces[place] = piece.into();
        self.kinds[place] = kind;
        Ok(place as u32)
    }

    fn is_added(&self, piece: &str) -> bool {
        self.added.contains_key(piece)
    }
}

/// Merges are pairs, or texts with a blank between.
fn read_merges(merges: &Value) -> Result<Vec<(String, String)>, Error> {
    let list = merges.as_array().ok_or_else(|| broken("it has no merges"))?;
    list.iter()
        .map(|merge| match merge {
            Value::String(text) => text.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned())),
            pair => match (pair[0].as_str(), pair[1].as_str()) {
                (Some(left), Some(right)) => Some((left.to_owned(), right.to_owned())),
                _ => None,
            },
        })
        .enumerate()
        .map(|(index, pair)| pair.ok_or_else(|| broken(format!("merge {index} is no pair"))))
        .collect()
}

fn mentions_byte_level(part: &Value) -> bool {
    let lists = ["pretokenizers", "decoders"].into_iter().filter_map(|list| part[list].as_array());
    part["type"] == "ByteLevel" || lists.flatten().any(mentions_byte_level)
}

/// A template post-processor that begins with a control token says what bos is, and that it is added.
fn read_post_processor(part: &Value, tokenizer: &mut Tokenizer) {
    let first = match part["type"].as_str() {
        Some("TemplateProcessing") => &part["single"][0]["SpecialToken"]["id"],
        Some("Sequence") => {
            part["processors"].as_array().into_iter().flatten().for_each(|part| read_post_processor(part, tokenizer));
            return;
        }
        _ => return,
    };
    if let Some(bos) = first.as_str().and_then(|name| tokenizer.find(name)) {
        tokenizer.bos = Some(bos);
        tokenizer.adds_bos = true;
    }
}

/// Reads a whole small file; `None` where there is none.
pub(crate) fn read_file(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::Broken(format!("{} is larger than {FILE_BYTES_MAX} bytes", path.display())));
    }
    Ok(Some(bytes))
}

fn read_json(path: &Path) -> Result<Value, Error> {
    match read_file(path)? {
        Some(bytes) => {
            serde_json::from_slice(&bytes).map_err(|error| Error::Broken(format!("{}: {error}", path.display())))
        }
        None => Ok(Value::Null),
    }
}

/// Reads the tokenizer of a model folder.
pub(super) fn read_folder(folder: &Path) -> Result<Tokenizer, Error> {
    let config = read_json(&folder.join("tokenizer_config.json"))?;
    let generation = read_json(&folder.join("generation_config.json"))?;
    let mut tokenizer = if let Some(bytes) = read_file(&folder.join("tokenizer.model"))? {
        Tokenizer::from_model_file(&bytes)?
    } else if let Some(bytes) = read_file(&folder.join("tokenizer.json"))? {
        Tokenizer::from_json(&bytes)?
    } else {
        let path = folder.join("tokenizer.model");
        return Err(Error::Read { path, source: std::io::ErrorKind::NotFound.into() });
    };
    if tokenizer.is_sentencepiece() {
        // Without the key, `transformers` takes the legacy behaviour.
        tokenizer.prefixes_every_segment = config["legacy"].as_bool().unwrap_or(true);
    }
    // A token is given by its text, or as an object with `content`.
    let named =
        |key: &str| config[key].as_str().or(config[key]["content"].as_str()).and_then(|name| tokenizer.find(name));
    let (bos, eos) = (named("bos_token"), named("eos_token"));
    tokenizer.bos = bos.or(tokenizer.bos);
    tokenizer.eos = eos.or(tokenizer.eos);
    if let Some(adds) = config["add_bos_token"].as_bool() {
        tokenizer.adds_bos = adds && tokenizer.bos.is_some();
    }
    let ids = &generation["eos_token_id"];
    let ids = ids.as_array().map_or(std::slice::from_ref(ids), Vec::as_slice);
    let count = tokenizer.vocabulary_size() as u64;
    tokenizer.ends.extend(ids.iter().filter_map(Value::as_u64).filter(|&id| id < count).map(|id| id as u32));
    tokenizer.find_ends();
    Ok(tokenizer)
}
