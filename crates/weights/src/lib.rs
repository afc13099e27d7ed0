//! Reads and writes model files: GGUF and safetensors. Untrusted bytes stop here.
//!
//! A file is mapped, its header checked whole before anything is believed, and every tensor handed out as the bytes it is
//! stored as. A hostile file gives an [`Error`], never a panic, an abort or an allocation out of proportion to the file.

pub mod gguf;
pub mod safetensors;

mod checkpoint;
mod error;
mod json;
mod map;
mod part;

pub use checkpoint::{Checkpoint, Folder, View};
pub use error::{Error, Fault, Kind};
pub use huacaya_kernels::Format;
