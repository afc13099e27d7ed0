//! Text to token ids and back: SentencePiece BPE of our own, byte-level BPE through `tokenizers`.
//!
//! `encode` never makes a control token: what a person types is text. Templates place control tokens, as ids.

mod byte_level;
mod gguf;
mod json;
mod model_file;
mod spm;
#[cfg(test)]
pub(crate) mod tests;
mod vocabulary;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use byte_level::{ByteLevelBpe, byte_of_character};
use spm::Spm;
use vocabulary::{byte_of, looks_like_a_mark};

pub use spm::SpmOptions;
pub use vocabulary::{Kind, Vocabulary};

/// A tokenizer that could not be made from a file's data.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the tokenizer's data is broken: {0}")]
    Broken(String),
    #[error("this kind of tokenizer is not supported: {0}")]
    Unsupported(String),
    #[error("{path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Metadata(#[from] huacaya_weights::Error),
}

enum Algorithm {
    Spm(Box<Spm>),
    ByteLevel(Box<ByteLevelBpe>),
}

/// An immutable tokenizer.
pub struct Tokenizer {
    algorithm: Algorithm,
    /// Index = id. Empty for ids without a piece.
    pieces: Vec<Box<str>>,
    kinds: Vec<Kind>,
    /// What each token adds to the output, one after another; `offsets[id]..offsets[id + 1]`.
    spelled: Vec<u8>,
    offsets: Vec<usize>,
    ids: HashMap<Box<str>, u32>,
    /// Control tokens and chat marks by their first character, longest first: what a template's own words can become.
    marks: HashMap<char, Vec<(Box<str>, u32)>>,
    bos: Option<u32>,
    eos: Option<u32>,
    ends: BTreeSet<u32>,
    adds_bos: bool,
    /// Every segment after a control token gets the dummy prefix (the `legacy` behaviour), not only the first.
    prefixes_every_segment: bool,
    warnings: Vec<String>,
}

/// Control tokens that end a turn in some family, whatever the file says of them.
const ENDS: [&str; 12] = [
    "</s>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|end|>",
    "<end_of_turn>",
    "<EOT>",
    "<|eot|>",
    "<|end_of_turn|>",
    "<｜end▁of▁sentence｜>",
];

impl Tokenizer {
    /// From the bytes of a SentencePiece `tokenizer.model`.
    pub fn from_model_file(bytes: &[u8]) -> Result<Tokenizer, Error> {
        let file = model_file::read(bytes)?;
        let options = SpmOptions {
            dummy_prefix: file.dummy_prefix,
            extra_white_space_removed: file.extra_white_space_removed,
            byte_fallback: file.byte_fallback,
            unknown: file.unknown,
        };
        let mut tokenizer = Tokenizer::from_spm(&file.vocabulary, options)?;
        tokenizer.bos = file.bos;
        tokenizer.eos = file.eos;
        tokenizer.adds_bos = file.bos.is_some();
        tokenizer.find_ends();
        Ok(tokenizer)
    }

    /// SentencePiece BPE from plain values.
    pub fn from_spm(vocabulary: &Vocabulary, options: SpmOptions) -> Result<Tokenizer, Error> {
        vocabulary.check(true)?;
        if options.unknown.is_some_and(|id| id as usize >= vocabulary.pieces.len()) {
            return Err(Error::Broken("the unknown token is beyond the vocabulary".into()));
        }
        let spm = Spm::new(vocabulary, options)?;
        let pieces = vocabulary.pieces.iter().map(|piece| piece.as_str().into()).collect();
        Ok(Tokenizer::assemble(Algorithm::Spm(Box::new(spm)), pieces, vocabulary.kinds.clone(), spell_spm))
    }

    /// From the bytes of a Hugging Face `tokenizer.json`.
    pub fn from_json(bytes: &[u8]) -> Result<Tokenizer, Error> {
        json::read(bytes)
    }

    /// From a GGUF's `tokenizer.ggml.…` keys.
    pub fn from_gguf(metadata: &huacaya_weights::gguf::Metadata) -> Result<Tokenizer, Error> {
        gguf::read(metadata)
    }

    /// From a model folder: `tokenizer.model` or else `tokenizer.json`, with `tokenizer_config.json` and `generation_config.json`
    /// where they are.
    pub fn from_folder(folder: &Path) -> Result<Tokenizer, Error> {
        json::read_folder(folder)
    }

    fn assemble(
        algorithm: Algorithm,
        pieces: Vec<Box<str>>,
        kinds: Vec<Kind>,
        spell: fn(&str, Kind, &mut Vec<u8>),
    ) -> Tokenizer {
        let mut tokenizer = Tokenizer {
            algorithm,
            spelled: Vec::new(),
            offsets: vec![0],
            ids: HashMap::with_capacity(pieces.len()),
            marks: HashMap::new(),
            bos: None,
            eos: None,
            ends: BTreeSet::new(),
            adds_bos: false,
            prefixes_every_segment: true,
            warnings: Vec::new(),
            pieces,
            kinds,
        };
        for (id, (piece, &kind)) in tokenizer.pieces.iter().zip(&tokenizer.kinds).enumerate() {
            spell(piece, kind, &mut tokenizer.spelled);
            tokenizer.offsets.push(tokenizer.spelled.len());
            let Some(first) = piece.chars().next() else { continue };
            tokenizer.ids.insert(piece.clone(), id as u32);
            if kind == Kind::Control || kind == Kind::UserDefined {
                tokenizer.marks.entry(first).or_default().push((piece.clone(), id as u32));
            }
        }
        tokenizer.marks.values_mut().for_each(|list| list.sort_by_key(|(piece, _)| std::cmp::Reverse(piece.len())));
        tokenizer
    }

    fn find_ends(&mut self) {
        let named = ENDS.iter().filter_map(|name| self.ids.get(*name).copied());
        let marks = named.filter(|&id| self.kinds[id as usize] != Kind::Normal);
        let ends: Vec<u32> = marks.chain(self.eos).collect();
        self.ends.extend(ends);
    }

    /// How many ids there are.
    pub fn vocabulary_size(&self) -> usize {
        self.pieces.len()
    }

    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// Tokens that end a reply.
    pub fn ends(&self) -> &BTreeSet<u32> {
        &self.ends
    }

    /// Whether a raw prompt begins with `bos`.
    pub fn adds_bos(&self) -> bool {
        self.adds_bos
    }

    /// Another end of text, for tests.
    #[cfg(test)]
    pub(crate) fn with_eos(mut self, name: &str) -> Tokenizer {
        self.eos = self.find(name);
        self
    }

    /// What was not as expected but could be worked around.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// SentencePiece puts a blank before every text; a reply's first blank is of that kind.
    pub fn is_sentencepiece(&self) -> bool {
        matches!(self.algorithm, Algorithm::Spm(_))
    }

    /// Every segment after a control token gets the dummy prefix, not only the first.
    pub(crate) fn prefixes_every_segment(&self) -> bool {
        self.prefixes_every_segment
    }

    /// Tokens of a text that begins a segment (with the dummy prefix, where the tokenizer has one). No control tokens, whatever
    /// the text says.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut out = Vec::new();
        self.encode_segment(text, true, &mut out);
        out
    }

    /// `encode` without the dummy prefix: text that goes on.
    pub fn encode_rest(&self, text: &str) -> Vec<u32> {
        let mut out = Vec::new();
        match &self.algorithm {
            Algorithm::Spm(spm) => spm.encode(text, false, &mut out),
            Algorithm::ByteLevel(_) => self.encode_segment(text, false, &mut out),
        }
        out
    }

    pub(crate) fn encode_segment(&self, text: &str, first: bool, out: &mut Vec<u32>) {
        if text.is_empty() {
            return;
        }
        match &self.algorithm {
            Algorithm::Spm(spm) => spm.encode(text, first || self.prefixes_every_segment, out),
            Algorithm::ByteLevel(bpe) => {
                let start = out.len();
                if !bpe.encode(text, first || self.prefixes_every_segment, out) {
                    out.truncate(start);
                    self.spell_out(text.as_bytes(), out);
                } else if out[start..].iter().any(|&id| self.kind(id) == Kind::Control) {
                    let made = out.split_off(start);
                    self.without_control(&made, out);
                }
            }
        }
    }

    /// A hostile file can have merges or whole words that give a control token; its letters are written instead.
    fn without_control(&self, made: &[u32], out: &mut Vec<u32>) {
        for &id in made {
            if self.kind(id) == Kind::Control {
                self.spell_out(self.pieces[id as usize].as_bytes(), out);
            } else {
                out.push(id);
            }
        }
    }

    fn spell_out(&self, bytes: &[u8], out: &mut Vec<u32>) {
        let letters: Vec<char> = (0..0x144u32).filter_map(char::from_u32).collect();
        for &byte in bytes {
            let letter = letters.iter().find(|&&letter| byte_of_character(letter) == Some(byte));
            let id = letter.and_then(|letter| self.ids.get(letter.encode_utf8(&mut [0; 4]) as &str));
            out.extend(id.filter(|&&id| self.kind(id) != Kind::Control));
        }
    }

    /// Tokens of a template's text: its control tokens and marks become ids, the segments between them text. `divider` stands
    /// where a mark in a person's words was broken; it is taken out.
    pub(crate) fn encode_marked(&self, text: &str, divider: char) -> Vec<u32> {
        let mut out = Vec::new();
        let mut segment = String::new();
        let mut rest = text;
        let mut first = true;
        while let Some(character) = rest.chars().next() {
            let list = self.marks.get(&character).map_or(&[][..], Vec::as_slice);
            match list.iter().find(|(mark, _)| rest.starts_with(&**mark)) {
                Some((mark, id)) => {
                    self.encode_segment(&segment, first, &mut out);
                    segment.clear();
                    out.push(*id);
                    first = false;
                    rest = &rest[mark.len()..];
                }
                None => {
                    if character != divider {
                        segment.push(character);
                    }
                    rest = &rest[character.len_utf8()..];
                }
            }
        }
        self.encode_segment(&segment, first, &mut out);
        out
    }

    /// Puts `divider` into every mark that a person's words contain or end with the beginning of, so that `encode_marked` takes
    /// them as text.
    pub(crate) fn defuse<'t>(&self, text: &'t str, divider: char) -> Cow<'t, str> {
        let mut out = String::new();
        let mut copied = 0;
        for (at, character) in text.char_indices() {
            let Some(list) = self.marks.get(&character) else { continue };
            let rest = &text[at..];
            if list.iter().any(|(mark, _)| rest.starts_with(&**mark) || mark.starts_with(rest)) {
                let end = at + character.len_utf8();
                out.push_str(&text[copied..end]);
                out.push(divider);
                copied = end;
            }
        }
        if copied == 0 {
            return Cow::Borrowed(text);
        }
        out.push_str(&text[copied..]);
        Cow::Owned(out)
    }

    /// What a token adds to the output; nothing for control tokens and ids beyond the vocabulary.
    pub fn bytes(&self, id: u32) -> &[u8] {
        match (self.offsets.get(id as usize), self.offsets.get(id as usize + 1)) {
            (Some(&start), Some(&end)) => &self.spelled[start..end],
            _ => &[],
        }
    }

    /// The piece as the vocabulary has it.
    pub fn piece(&self, id: u32) -> Option<&str> {
        self.pieces.get(id as usize).map(|piece| &**piece)
    }

    /// A token as shown to a person: control tokens by name, bytes that are no whole text as `<0xE4>`.
    pub fn display(&self, id: u32) -> String {
        let bytes = self.bytes(id);
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.is_empty() => text.to_owned(),
            Ok(_) => self.piece(id).filter(|piece| !piece.is_empty()).map_or(format!("<{id}>"), str::to_owned),
            Err(_) => bytes.iter().map(|byte| format!("<0x{byte:02X}>")).collect(),
        }
    }

    pub fn kind(&self, id: u32) -> Kind {
        self.kinds.get(id as usize).copied().unwrap_or(Kind::Unused)
    }

    /// A control token or a chat mark: shown apart from text.
    pub fn is_special(&self, id: u32) -> bool {
        match self.kind(id) {
            Kind::Control | Kind::Unknown => true,
            Kind::UserDefined => self.piece(id).is_some_and(looks_like_a_mark),
            Kind::Normal | Kind::Unused | Kind::Byte => false,
        }
    }

    /// The id of exactly this piece, control tokens included.
    pub fn find(&self, piece: &str) -> Option<u32> {
        self.ids.get(piece).copied()
    }

    /// The id of a control token or chat mark of this name.
    pub(crate) fn find_mark(&self, name: &str) -> Option<u32> {
        self.find(name).filter(|&id| matches!(self.kind(id), Kind::Control | Kind::UserDefined))
    }

    /// The text of tokens, control tokens left out; what is no UTF-8 becomes U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.bytes(id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// SentencePiece: `▁` is a blank, byte pieces are their byte.
fn spell_spm(piece: &str, kind: Kind, out: &mut Vec<u8>) {
    match kind {
        Kind::Control => {}
        Kind::Unknown => out.extend(" \u{2047} ".as_bytes()),
        Kind::Byte => out.extend(byte_of(piece)),
        Kind::Normal | Kind::UserDefined | Kind::Unused => out.extend(piece.replace('▁', " ").as_bytes()),
    }
}

/// Byte-level BPE: every character is a byte; added pieces stand for themselves.
fn spell_byte_level(piece: &str, kind: Kind, out: &mut Vec<u8>) {
    match kind {
        Kind::Control => {}
        Kind::UserDefined | Kind::Unknown => out.extend(piece.as_bytes()),
        Kind::Normal | Kind::Unused | Kind::Byte => {
            let bytes: Option<Vec<u8>> = piece.chars().map(byte_of_character).collect();
            out.extend(bytes.as_deref().unwrap_or(piece.as_bytes()));
        }
    }
}

/// SentencePiece's white space: blanks become `▁`, a dummy one comes first.
fn normalize(text: &str, prefix: bool, extra_removed: bool) -> String {
    let mut out = String::with_capacity(text.len() + 3);
    let text = if extra_removed { text.trim_matches(' ') } else { text };
    if prefix && !text.is_empty() {
        out.push('▁');
    }
    let mut after_blank = false;
    for character in text.chars() {
        let blank = character == ' ';
        if !(blank && after_blank && extra_removed) {
            out.push(if blank { '▁' } else { character });
        }
        after_blank = blank;
    }
    if extra_removed {
        // Its own sign, typed at the end of a text, is taken for a blank too.
        out.truncate(out.trim_end_matches('▁').len());
    }
    out
}
