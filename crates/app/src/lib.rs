//! The use cases: everything a face can do, jobs included. Re-exports what faces need of the crates below.

pub mod bindings;
pub mod chats;
pub mod chosen;
pub mod commands;
pub mod context;
pub mod devices;
pub mod diagnostics;
pub mod error;
pub mod exchange;
pub mod inspector;
pub mod jobs;
pub mod models;
pub mod pages;
pub mod parameters;
pub mod personas;
pub mod talking;

pub use chosen::{Chosen, Purpose};
pub use error::{Code, Error, Result};

/// The program behind every face. Cheap to clone.
#[derive(Clone)]
pub struct App {}
