//! A tokenizer from a GGUF's `tokenizer.ggml.…` keys.

use std::collections::HashMap;

use huacaya_weights::gguf::Metadata;

use super::byte_level::{ByteLevelBpe, Merges, takes_whole_words};
use super::{Algorithm, Error, Kind, SpmOptions, Tokenizer, Vocabulary, spell_byte_level};

/// Reads the keys and builds the kind of tokenizer that they name.
pub(super) fn read(metadata: &Metadata) -> Result<Tokenizer, Error> {
    let model: &str = metadata.get("tokenizer.ggml.model")?;
    let tokens: &[String] = metadata.get("tokenizer.ggml.tokens")?;
    let count = tokens.len();
    let id = |key: &str| -> Result<Option<u32>, Error> {
        let key = format!("tokenizer.ggml.{key}");
        match metadata.find::<i64>(&key)? {
            // Some writers say -1 or 2^32 - 1 for "none".
            None | Some(-1 | 0xffff_ffff) => Ok(None),
            Some(id) => match u32::try_from(id) {
                Ok(id) if (id as usize) < count => Ok(Some(id)),
                _ => Err(Error::Broken(format!("{key} is {id}; the vocabulary has {count} pieces"))),
            },
        }
    };
    let flag = |key: &str| metadata.find::<bool>(&format!("tokenizer.ggml.{key}"));
    let mut kinds = match metadata.find::<Vec<i64>>("tokenizer.ggml.token_type")? {
        Some(numbers) => {
            numbers.into_iter().enumerate().map(|(id, number)| kind(id, number)).collect::<Result<_, _>>()?
        }
        None => vec![Kind::Normal; count],
    };
    let (bos, eos) = (id("bos_token_id")?, id("eos_token_id")?);
    let turn_ends = [id("eot_token_id")?, id("eom_token_id")?];
    for id in [bos, eos].into_iter().chain(turn_ends).flatten() {
        if let Some(kind) = kinds.get_mut(id as usize)
            && *kind == Kind::Normal
        {
            *kind = Kind::Control;
        }
    }
    let mut tokenizer = match model {
        "llama" => spm(metadata, tokens, kinds, id("unknown_token_id")?)?,
        "gpt2" => byte_level(metadata, tokens, kinds)?,
        other => return Err(Error::Unsupported(format!("`{other}` (tokenizer.ggml.model); `llama` and `gpt2` are"))),
    };
    let pre: &str = metadata.find("tokenizer.ggml.pre")?.unwrap_or("");
    let adds_bos = model == "llama" || takes_whole_words(pre);
    tokenizer.bos = bos;
    tokenizer.eos = eos;
    tokenizer.adds_bos = flag("add_bos_token")?.unwrap_or(adds_bos) && bos.is_some();
    tokenizer.ends.extend(turn_ends.into_iter().flatten());
    tokenizer.find_ends();
    Ok(tokenizer)
}

fn kind(id: usize, number: i64) -> Result<Kind, Error> {
    Kind::from_number(number).ok_or_else(|| Error::Broken(format!("piece {id} is of the unknown kind {number}")))
}

fn spm(metadata: &Metadata, tokens: &[String], mut kinds: Vec<Kind>, unknown: Option<u32>) -> Result<Tokenizer, Error> {
    let scores = match metadata.find::<Vec<f32>>("tokenizer.ggml.scores")? {
        Some(scores) => scores,
        None => return Err(Error::Broken("it has no scores (tokenizer.ggml.scores)".into())),
    };
    if kinds.len() == tokens.len() && !kinds.contains(&Kind::Byte) {
        // Files without token types: byte pieces are known by their form.
        for (token, kind) in tokens.iter().zip(&mut kinds) {
            if *kind == Kind::Normal && super::byte_of(token).is_some() {
                *kind = Kind::Byte;
            }
        }
    }
    let flag = |key: &str| metadata.find::<bool>(&format!("tokenizer.ggml.{key}"));
    let options = SpmOptions {
        dummy_prefix: flag("add_space_prefix")?.unwrap_or(true),
        extra_white_space_removed: flag("remove_extra_whitespaces")?.unwrap_or(false),
        byte_fallback: kinds.contains(&Kind::Byte),
        unknown: unknown.or_else(|| kinds.iter().position(|&kind| kind == Kind::Unknown).map(|id| id as u32)),
    };
    Tokenizer::from_spm(&Vocabulary { pieces: tokens.to_vec(), scores, kinds }, options)
}

fn byte_level(metadata: &Metadata, tokens: &[String], kinds: Vec<Kind>) -> Result<Tokenizer, Error> {
    let vocabulary = Vocabulary { pieces: tokens.to_vec(), scores: Vec::new(), kinds };
    vocabulary.check(false)?;
    let mut merges = Vec::new();
    for (index, merge) in metadata.get::<&[String]>("tokenizer.ggml.merges")?.iter().enumerate() {
        let (left, right) = merge.split_once(' ').ok_or_else(|| Error::Broken(format!("merge {index} is no pair")))?;
        merges.push((left.to_owned(), right.to_owned()));
    }
    let pre: &str = metadata.find("tokenizer.ggml.pre")?.unwrap_or("");
    let plain = |kind: Kind| kind != Kind::Control && kind != Kind::UserDefined;
    let words = tokens.iter().zip(&vocabulary.kinds).enumerate().filter(|(_, (_, kind))| plain(**kind));
    let words: HashMap<String, u32> = words.map(|(id, (token, _))| (token.clone(), id as u32)).collect();
    let merges = Merges {
        vocabulary: words,
        merges,
        whole_words: takes_whole_words(pre),
        byte_fallback: false,
        fuse_unknown: false,
        unknown: None,
    };
    let (bpe, warning) = ByteLevelBpe::from_name(merges, pre)?;
    let pieces = tokens.iter().map(|token| token.as_str().into()).collect();
    let mut tokenizer =
        Tokenizer::assemble(Algorithm::ByteLevel(Box::new(bpe)), pieces, vocabulary.kinds, spell_byte_level);
    tokenizer.prefixes_every_segment = false;
    tokenizer.warnings.extend(warning);
    Ok(tokenizer)
}
