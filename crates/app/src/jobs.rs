//! Jobs: long work as plain data in a row, run on worker threads.

use std::path::PathBuf;

use huacaya_store::ModelId;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// What a job does, whole: stored as JSON in its row. Retry and restart run the stored task again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Task {
    /// Brings a model into memory.
    Load { model: ModelId, name: String, context: Option<u32>, anyway: bool },
    /// Takes a model file into the list.
    Import { name: String, path: PathBuf, copy: bool },
    /// Computes a model file's SHA-256.
    Hash { model: ModelId, name: String },
}

/// What came out of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    Loaded { model: ModelId },
    Imported { model: ModelId },
    Hashed { model: ModelId, sha256: String },
}
