//! What can go wrong between a model file and its answer.

use std::path::PathBuf;

use crate::{sampling, template, tokenizer};

/// `Result` with the engine's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Says what was attempted, on what; `app` maps each to a code that a person can read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is missing, damaged, incomplete, or no model: `error.kind()` says which.
    #[error(transparent)]
    Weights(#[from] huacaya_weights::Error),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
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
    /// An adapter that cannot be used beside this model.
    #[error("{path}: the adapter cannot be used with this model: {what}")]
    Adapter { path: PathBuf, what: String },
    #[error("the model's tokenizer: {0}")]
    Tokenizer(#[from] tokenizer::Error),
    #[error(transparent)]
    Template(#[from] template::Error),
    #[error(transparent)]
    Sampling(#[from] sampling::Error),
    /// A form that an answer was to keep to.
    #[error("the format of the answer cannot be used: {what}")]
    Grammar { what: String },
    #[error("the prompt has no tokens")]
    PromptEmpty,
    /// A model that cannot guess for this one.
    #[error("the draft model cannot be used with this model: {what}")]
    Draft { what: String },
    /// Even the last turn alone does not fit beside the system prompt and the reserve.
    #[error("the prompt is {over} tokens too long for the context of {context}")]
    PromptTooLong { over: usize, context: usize },
    #[error("token {id} is not in the model's vocabulary of {vocabulary}")]
    TokenUnknown { id: u32, vocabulary: usize },
    /// The watch or the listener asked to stop.
    #[error("stopped")]
    Stopped,
    #[error("the computation failed: {0}")]
    Compute(#[from] candle_core::Error),
    #[error("the computation failed: {0}")]
    Kernels(#[from] huacaya_kernels::Error),
    #[error("the graphics card failed: {0}")]
    Graphics(#[from] huacaya_gpu::Error),
    /// A fault of the program: the request is lost, the engine goes on.
    #[error("the computation broke off: {message}")]
    Panicked { message: String },
    #[error("the engine has been shut down")]
    ShutDown,
}
