//! From-scratch training over the engine's differentiable decoder: a recipe and data in, a model file out.
//!
//! Modules in reading order: what is wanted (`recipe`), what is read (`data`), how it is computed (`ops`), how
//! weights move (`optimizer`, `schedule`), the run itself (`run`, `checkpoint`), and what comes out (`export`, `evaluation`).

pub mod checkpoint;
pub mod data;
mod error;
pub mod evaluation;
pub mod export;
pub mod ops;
pub mod optimizer;
mod random;
pub mod recipe;
pub mod run;
pub mod schedule;

pub use error::{Error, Result};
pub use recipe::Recipe;
pub use run::Run;
