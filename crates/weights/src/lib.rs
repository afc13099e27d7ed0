//! Reads and writes model files: GGUF, safetensors, PyTorch's. Untrusted bytes stop here.
//!
//! A file is mapped, its header checked whole before anything is believed, and every tensor handed out as the bytes it is
//! stored as. A hostile file gives an [`Error`], never a panic, an abort or an allocation out of proportion to the file.

pub mod gguf;
pub mod pytorch;
pub mod safetensors;

mod checkpoint;
mod error;
mod folder;
mod json;
mod magic;
mod map;
mod part;
mod shard;
mod split;

pub use checkpoint::{Checkpoint, Listed, View};
pub use error::{Error, Fault, Kind};
pub use folder::Folder;
pub use huacaya_kernels::Format;
pub use shard::{Raw, Shard};
pub use split::parts as split_parts;
