//! Evidence: what a model's file costs in quality, and what it gives in speed.
//!
//! Every function runs on the caller's thread, reads one model at a time, and is asked by its watch before each layer.
//! Perplexity, divergence and importance follow llama.cpp's definitions (`tools/perplexity`, `tools/imatrix`), so that their
//! figures can be laid beside published ones.

mod choice;
mod divergence;
mod exam;
mod importance;
mod perplexity;
mod samples;
mod speed;
mod subjects;
mod tuning;
mod usage;
mod windows;

use std::path::PathBuf;

pub use choice::{Accuracy, Evaluation, ExamOptions, evaluate};
pub use divergence::{Base, Divergence, divergence};
pub use exam::{Exam, Question, Subject};
pub use importance::importance;
pub use perplexity::{Perplexity, perplexity};
pub use samples::{SampleOptions, answers, questions};
pub use speed::{Rate, Speed, SpeedOptions, speed};
pub use tuning::{Freedom, Pace, Race, Trial, Tuning, race, tune};
pub use usage::{Loading, Peak, PeakMeter, load};
pub use windows::{Cut, load_options};

use crate::Error as Engine;

/// The text that is read where the person chose none: Chinese and English, written for this project (`assets/calibration.md`).
pub const CALIBRATION: &str = include_str!("../../../../assets/calibration.txt");

/// `Result` with the error of a measurement.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Engine(#[from] Engine),
    #[error("the text has {tokens} tokens; {needed} are needed")]
    TextTooShort { tokens: usize, needed: usize },
    #[error("windows of {wanted} tokens were asked for, but the model was loaded with a context of {context}")]
    ContextTooShort { wanted: usize, context: usize },
    #[error("the models cannot be compared: one knows {base} pieces, the other {other}")]
    VocabularyDiffers { base: usize, other: usize },
    #[error("the models cannot be compared: their tokenizers cut the text differently")]
    TokensDiffer,
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}: there is no column `{column}`")]
    ColumnMissing { path: PathBuf, column: &'static str },
    #[error("{path}: no question with the answer A, B, C or D was found")]
    ExamEmpty { path: PathBuf },
    #[error("{path}: {what}")]
    ExamTooLarge { path: PathBuf, what: String },
    #[error("{path}, line {line}: {what}")]
    ExamBroken { path: PathBuf, line: usize, what: &'static str },
    #[error("there are no example questions for `{subject}` (a `dev` folder beside the questions has them)")]
    ShotsMissing { subject: String },
    #[error("the model's vocabulary has no piece for each of the letters A, B, C and D")]
    NoLetters,
    #[error("the input of tensor `{tensor}` is no finite number: the model is broken")]
    NotFinite { tensor: String },
}

impl Error {
    /// The watch asked to stop: nothing is wrong.
    pub fn is_stopped(&self) -> bool {
        matches!(self, Error::Engine(Engine::Stopped))
    }
}
