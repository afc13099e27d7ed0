//! Completion pages: raw text that a model continues.

use serde::Serialize;
use ts_rs::TS;

/// A token that could come next.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct NextToken {
    pub id: u32,
    pub text: String,
    pub probability: f32,
}
