//! Training over the engine's differentiable decoder: a recipe and data in, a model file or a LoRA adapter out.
//!
//! Modules in reading order: what is wanted (`recipe`), what is read (`data`), how it is computed (`ops`), how
//! weights move (`optimizer`, `schedule`), the run itself (`run`, `checkpoint`), what comes out (`export`, `evaluation`),
//! and the same beside a model that is there (`lora`).

pub mod checkpoint;
pub mod data;
mod error;
pub mod evaluation;
pub mod export;
pub mod lora;
pub mod ops;
pub mod optimizer;
mod random;
pub mod recipe;
pub mod run;
pub mod schedule;

pub use error::{Error, Result};
pub use recipe::Recipe;
pub use run::Run;
