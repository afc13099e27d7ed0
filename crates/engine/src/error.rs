//! What can go wrong between a model file and its answer.

use std::path::PathBuf;

/// `Result` with the engine's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Says what was attempted, on what; `app` maps each to a code that a person can read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the model's architecture is `{architecture}`, which is not supported (llama, mistral, qwen2 and qwen3 are)"
    )]
    Architecture { architecture: String },
    #[error("the model's description is unusable: {what}")]
    Config { what: String },
    #[error("the model has no tensor `{tensor}`")]
    TensorMissing { tensor: String },
    #[error("tensor `{tensor}` has the shape {found:?}; the model's description asks for {wanted:?}")]
    TensorShape { tensor: String, found: Vec<usize>, wanted: Vec<usize> },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    /// The watch or the listener asked to stop.
    #[error("stopped")]
    Stopped,
    #[error("the computation failed: {0}")]
    Compute(#[from] candle_core::Error),
}
