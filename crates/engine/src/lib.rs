//! A model file and a prompt in, tokens out: tokenizer, templates, decoder, sampling, sessions.
//!
//! Modules in reading order: what a model is (`config`, `rope`), how it computes (`candle`).

pub mod candle;
pub mod config;
mod error;
pub mod rope;
pub mod sampling;
pub mod template;
pub mod text;
pub mod tokenizer;

pub use error::{Error, Result};
