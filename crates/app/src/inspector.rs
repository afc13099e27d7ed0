//! The prompt made visible: rendered, token by token.

use serde::Serialize;
use ts_rs::TS;

/// The prompt as the model would see it.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Inspection {
    /// The template's name, and where it came from.
    pub template: String,
    pub source: String,
    pub text: String,
    pub tokens: Vec<InspectedToken>,
    /// What ends an answer: stop tokens and texts.
    pub stops: Vec<String>,
    /// Of the person's and the model's own words, without the template's marks.
    pub tokens_per_100_characters: f32,
}

#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct InspectedToken {
    pub id: u32,
    pub text: String,
    /// A control token, which no typed text can become.
    pub special: bool,
}
