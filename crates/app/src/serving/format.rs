//! What an answer keeps to.

use huacaya_engine::Grammar;
use serde_json::Value;

/// A form that answers can be held to. Every one of them is checked before anything is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// A JSON object with any fields.
    JsonObject,
    /// JSON that the schema holds for.
    JsonSchema(Value),
    /// A grammar in llguidance's variant of Lark; its first rule is `start`.
    Lark(String),
    /// A regular expression for the whole answer.
    Regex(String),
}

impl Format {
    pub(crate) fn grammar(self) -> Grammar {
        match self {
            Format::JsonObject => Grammar::JsonObject,
            Format::JsonSchema(schema) => Grammar::JsonSchema(schema),
            Format::Lark(source) => Grammar::Lark(source),
            Format::Regex(source) => Grammar::Regex(source),
        }
    }
}
