//! What an answer to a program is made of.

/// A token with what the model thought of it.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenProbability {
    pub id: u32,
    /// What it stands for: not always whole UTF-8.
    pub bytes: Vec<u8>,
    /// Natural logarithm, before penalties and filters. Not a number for a prompt's first token, which follows nothing.
    pub logprob: f32,
    /// The likeliest at its place, the likeliest first.
    pub top: Vec<(Vec<u8>, f32)>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The model said so.
    End,
    /// One of the stop texts was reached.
    StopText,
    /// The limit of tokens, or the end of the context.
    Length,
    /// The model said so, and wants to hear what the tools answer that it called.
    ToolCalls,
}

/// What an answer took, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub prompt: u32,
    pub completion: u32,
    /// Of the prompt's, how many were known from before.
    pub cached: u32,
    /// Of the completion's, how many were thought.
    pub thought: u32,
    /// Tokens that were guessed ahead, and how many of them are in the completion.
    pub drafted: u32,
    pub accepted: u32,
    pub first_token_ms: u64,
}

/// A step of one of the answers: `index` says of which.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// The prompt is being read.
    Reading {
        index: u32,
        done: u32,
        total: u32,
    },
    /// Tokens of the prompt, in order, where they were asked for, and with the first of them the prompt as a text; all of
    /// them come before the first text of the answer.
    Prompt {
        index: u32,
        text: String,
        tokens: Vec<TokenProbability>,
    },
    /// More text; the token where one was drawn with it and probabilities were asked for.
    Text {
        index: u32,
        text: String,
        token: Option<TokenProbability>,
    },
    /// More of a thought, with the token as with a text.
    Thought {
        index: u32,
        text: String,
        token: Option<TokenProbability>,
    },
    /// A call of a tool, whole.
    Call {
        index: u32,
        /// The tool's answer bears it.
        id: String,
        name: String,
        /// A JSON object.
        arguments: String,
    },
    Finished {
        index: u32,
        reason: Reason,
        usage: Usage,
    },
}

impl Piece {
    /// The same of an answer whose number is larger by so much.
    pub fn shifted(mut self, by: u32) -> Piece {
        match &mut self {
            Piece::Reading { index, .. }
            | Piece::Prompt { index, .. }
            | Piece::Text { index, .. }
            | Piece::Thought { index, .. }
            | Piece::Call { index, .. }
            | Piece::Finished { index, .. } => *index += by,
        }
        self
    }
}
