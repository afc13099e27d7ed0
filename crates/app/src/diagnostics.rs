//! What to copy into a report.

use serde::Serialize;
use ts_rs::TS;

/// No message text, no secrets.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Diagnostics {
    pub version: String,
    pub system: String,
    pub processor: String,
    pub cores: u32,
    pub memory_bytes: u64,
    pub memory_free_bytes: u64,
    pub devices: Vec<crate::devices::Device>,
    /// The data folder.
    pub home: String,
    pub models: String,
    pub log: String,
    /// The last lines of the log.
    pub log_tail: String,
    /// All of it, to copy.
    pub text: String,
}
