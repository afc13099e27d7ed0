//! Messages: a tree for each chat. Regenerate and edit make siblings; the chat remembers its chosen leaf.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{ChatId, MessageId, ModelId, Parameters, Problem, Time};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    User,
    Assistant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    Done,
    /// Its answer is being made, by the process that owns the row.
    Writing,
    /// The person stopped it.
    Stopped,
    /// The process that wrote it ended; it can be continued.
    Interrupted,
    /// `error` says why.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Message {
    pub id: MessageId,
    pub chat: ChatId,
    pub parent: Option<MessageId>,
    pub role: Role,
    pub state: MessageState,
    pub error: Option<Problem>,
    /// What made it; answers only.
    pub made: Option<Made>,
    pub stats: Option<Stats>,
    pub created_ms: Time,
    /// Left out (`None`) for messages off the visible path until they are asked for.
    pub body: Option<Body>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, TS)]
pub struct Body {
    pub text: String,
    /// The thought span of a thinking model, without its marks. Not copied, searched or sent back by default.
    pub thought: String,
    pub thought_tokens: u32,
    pub thought_ms: u32,
    pub attachments: Vec<Attachment>,
}

/// A text file that was placed whole in the prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Attachment {
    pub name: String,
    /// The encoding it was read in (WHATWG name), "UTF-8" most often.
    pub encoding: String,
    pub text: String,
    pub tokens: u32,
}

/// Everything that made an answer, so that it can be made again exactly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Made {
    pub model: ModelId,
    pub model_name: String,
    pub model_sha256: Option<String>,
    pub template: String,
    pub system: String,
    /// Every value filled, the seed too.
    pub parameters: Parameters,
    /// Path or name and strength of each adapter.
    pub adapters: Vec<(String, f32)>,
    /// The words the reply was made to begin with; they are part of the text.
    pub begin: String,
    pub backend: String,
    pub version: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model said so.
    End,
    /// One of the stop texts.
    StopText,
    /// `tokens_max` was reached.
    Length,
    /// The context is full.
    Context,
    /// The person stopped it.
    Stopped,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Stats {
    pub prompt_tokens: u32,
    /// Of these, how many were in the cache already.
    pub reused_tokens: u32,
    /// New tokens, thoughts included.
    pub tokens: u32,
    pub first_token_ms: u32,
    /// From the first new token to the last.
    pub tokens_per_second: f32,
    pub finish: Finish,
    /// How many of the oldest turns were left out of the prompt, and the first message that the model saw.
    pub turns_dropped: u32,
    pub memory_starts_at: Option<MessageId>,
}
