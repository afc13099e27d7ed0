//! Row ids: one type for each table, so that a chat's id is never taken for a message's.
//!
//! SQLite gives out 64-bit integers; they stay below 2^53, so that JSON and JavaScript hold them exactly.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type, TS)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub i64);
    )+};
}

id! {
    /// A row of `chats`.
    ChatId,
    /// A row of `messages`.
    MessageId,
    /// A row of `folders`.
    FolderId,
    /// A row of `personas`.
    PersonaId,
    /// A row of `models`.
    ModelId,
    /// A row of `jobs`.
    JobId,
    /// A row of `reports`.
    ReportId,
    /// A row of `requests`.
    RequestId,
}
