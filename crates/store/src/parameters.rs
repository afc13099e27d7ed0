//! What a person may set about how an answer is drawn.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// One layer of parameters. `None` means that the layer below decides: chat over persona over the person's defaults over the program's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, TS)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// 0 is greedy.
    pub temperature: Option<f32>,
    /// 0 keeps all.
    pub top_k: Option<u32>,
    /// 1 keeps all.
    pub top_p: Option<f32>,
    /// 0 keeps all.
    pub min_p: Option<f32>,
    /// 1 changes nothing.
    pub repetition_penalty: Option<f32>,
    /// How many of the last tokens the three penalties look at.
    pub penalty_window: Option<u32>,
    pub frequency_penalty: Option<f32>,
    pub presence_penalty: Option<f32>,
    /// 0 switches DRY off.
    pub dry_multiplier: Option<f32>,
    pub dry_base: Option<f32>,
    pub dry_allowed_length: Option<u32>,
    /// 0 switches XTC off.
    pub xtc_probability: Option<f32>,
    pub xtc_threshold: Option<f32>,
    /// Token id and what is added to its logit.
    pub logit_bias: Option<Vec<(u32, f32)>>,
    /// The same seed gives the same text. `None` in every layer: drawn anew for each answer, and kept in `Made`.
    pub seed: Option<u32>,
    /// New tokens at most; also what is set aside of the context for the reply.
    pub tokens_max: Option<u32>,
    /// Texts that end the answer; they are not part of it.
    pub stop: Option<Vec<String>>,
    /// Classifier-free guidance; active above 1.
    pub guidance: Option<f32>,
    /// System prompt of the negative branch of guidance.
    pub negative_prompt: Option<String>,
    /// Context length in tokens; `None` in every layer: what the model was made for, as far as memory allows.
    pub context: Option<u32>,
    /// The template's `enable_thinking`.
    pub thinking: Option<bool>,
    /// What the answer keeps to.
    pub format: Option<AnswerFormat>,
}

/// A form that an answer is held to; sources stand as they were typed. A thought before the answer is free.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", content = "source", rename_all = "snake_case")]
pub enum AnswerFormat {
    /// Any text.
    Free,
    /// A JSON object with any fields.
    JsonObject,
    /// JSON that this schema, itself JSON, holds for.
    JsonSchema(String),
    /// A grammar in llguidance's variant of Lark; its first rule is `start`.
    Lark(String),
    /// A regular expression for the whole answer, in the syntax of Rust's `regex`.
    Regex(String),
}
