//! The pieces of a vocabulary with their scores and kinds, checked.

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

/// Plain values, index = token id. Checked when a `Tokenizer` is made from them.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    pub pieces: Vec<String>,
    pub scores: Vec<f32>,
    pub kinds: Vec<Kind>,
}
