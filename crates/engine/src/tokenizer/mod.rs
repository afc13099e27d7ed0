//! Text to token ids and back: SentencePiece BPE of our own, byte-level BPE through `tokenizers`.
//!
//! `encode` never makes a control token: what a person types is text. Control tokens are placed by templates, as ids.

mod vocabulary;

use std::collections::BTreeSet;
use std::path::Path;

pub use vocabulary::{Kind, Vocabulary};

/// A tokenizer that could not be made from a file's data.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the tokenizer data is broken: {0}")]
    Broken(String),
    #[error("this kind of tokenizer is not supported: {0}")]
    Unsupported(String),
    #[error("{path}: {source}")]
    Read { path: std::path::PathBuf, source: std::io::Error },
}

/// An immutable tokenizer.
pub struct Tokenizer {
    bos: Option<u32>,
    eos: Option<u32>,
    ends: BTreeSet<u32>,
}

impl Tokenizer {
    /// From the bytes of a SentencePiece `tokenizer.model`.
    pub fn from_model_file(_bytes: &[u8]) -> Result<Tokenizer, Error> {
        unimplemented!()
    }

    /// From the bytes of a Hugging Face `tokenizer.json`.
    pub fn from_json(_bytes: &[u8]) -> Result<Tokenizer, Error> {
        unimplemented!()
    }

    /// From a model folder: `tokenizer.model` or `tokenizer.json`, with `tokenizer_config.json` and `generation_config.json` where they are.
    pub fn from_folder(_folder: &Path) -> Result<Tokenizer, Error> {
        unimplemented!()
    }

    pub fn vocabulary_size(&self) -> usize {
        unimplemented!()
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
        unimplemented!()
    }

    /// Tokens of a text that begins a segment (with the dummy prefix, where the tokenizer has one). No control tokens, whatever the text says.
    pub fn encode(&self, _text: &str) -> Vec<u32> {
        unimplemented!()
    }

    /// What a token adds to the output; nothing for control tokens and ids beyond the vocabulary.
    pub fn bytes(&self, _id: u32) -> &[u8] {
        unimplemented!()
    }

    /// A token as shown to a person: control tokens by name, bytes that are no whole text as `<0xE4>`.
    pub fn display(&self, _id: u32) -> String {
        unimplemented!()
    }

    pub fn kind(&self, _id: u32) -> Kind {
        unimplemented!()
    }

    /// The id of exactly this piece, control tokens included.
    pub fn find(&self, _piece: &str) -> Option<u32> {
        unimplemented!()
    }

    /// What was not as expected but could be worked around.
    pub fn warnings(&self) -> &[String] {
        unimplemented!()
    }
}
