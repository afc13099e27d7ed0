//! The use cases: everything a face can do, jobs included. Re-exports what faces need of the crates below.
//!
//! In reading order: where data lives (`places`, `log`), the program as one value (`app`), what faces may ask for
//! (`commands`, `bindings`, `error`), then one noun a file.

mod answer;
mod app;
mod attachments;
pub mod bindings;
pub mod browse;
pub mod catalogue;
pub mod chats;
mod choices;
pub mod chosen;
pub mod commands;
pub mod computing;
pub mod context;
pub mod deletion;
pub mod devices;
pub mod diagnostics;
pub mod downloads;
pub mod elsewhere;
pub mod error;
pub mod exchange;
mod family;
mod fetching;
pub mod finding;
mod hashing;
mod import;
pub mod inspector;
pub mod jobs;
pub mod loading;
pub mod log;
mod merging;
pub mod metadata;
mod model_files;
pub mod models;
mod moving;
pub mod network;
pub mod pages;
pub mod parameters;
pub mod personas;
pub mod places;
mod prompt;
mod queue;
pub mod recognition;
pub mod serving;
pub mod settings;
mod shape;
mod sharing;
pub mod storage;
pub mod talking;
mod transfer;
pub mod workshop;

pub use app::{App, Changes};
pub use chosen::{Chosen, Purpose, Shown};
pub use error::{Code, Error, Result};
pub use huacaya_engine as engine;
pub use huacaya_progress as progress;
pub use huacaya_store as rows;
pub use huacaya_store::{Change, Problem};
pub use huacaya_weights as weights;
pub use places::Places;

/// The program's version, as answers and reports name it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs work that may block, off the threads that must not.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(Error::internal(error)))
}

/// Milliseconds since 1970-01-01 UTC.
pub(crate) fn now_ms() -> huacaya_store::Time {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_millis() as huacaya_store::Time)
}
