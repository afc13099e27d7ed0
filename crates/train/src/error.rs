//! What can go wrong in training.

use std::path::{Path, PathBuf};

/// `Result` with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    /// A recipe, a state or a line of data that is not what it should be.
    #[error("{path}, line {line}: {source}")]
    Json { path: PathBuf, line: usize, source: serde_json::Error },
    #[error("the recipe is unusable: {what}")]
    Recipe { what: String },
    #[error("the checkpoint {path} does not belong to this recipe: {what}")]
    Checkpoint { path: PathBuf, what: String },
    /// The loss is no number any more: the rate is too high or the data is broken.
    #[error("the loss at step {step} is {loss}")]
    Diverged { step: usize, loss: f32 },
    /// The watch asked to stop; a checkpoint was written.
    #[error("stopped")]
    Stopped,
    /// A fault of the program in a computing thread.
    #[error("a computing thread broke off")]
    Panicked,
    #[error(transparent)]
    Engine(#[from] huacaya_engine::Error),
    #[error(transparent)]
    Weights(#[from] huacaya_weights::Error),
    #[error("the computation failed: {0}")]
    Compute(#[from] candle_core::Error),
}

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<'_> {
        move |source| Error::Io { path: path.to_path_buf(), source }
    }
}
