//! The context meter: how the model's memory would be used if a message were sent now.

use huacaya_store::MessageId;
use serde::Serialize;
use ts_rs::TS;

/// In tokens. `system + history + draft + reserve` is at most `total` unless `over` is above 0.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct ContextUse {
    pub system: u32,
    /// What of the history will be sent.
    pub history: u32,
    /// The text and its attachments.
    pub draft: u32,
    /// Set aside for the reply.
    pub reserve: u32,
    pub total: u32,
    /// By how much even the newest message alone does not fit.
    pub over: u32,
    /// The oldest message that the model will see; absent: all of them.
    pub memory_starts_at: Option<MessageId>,
    /// Counted by the model's tokenizer; else estimated, because the model has not been opened yet.
    pub exact: bool,
}
