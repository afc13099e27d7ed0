//! Reads and writes model files: GGUF, safetensors, PyTorch's, LoRA adapters. Untrusted bytes stop here.
//!
//! A file is mapped, its header checked whole before anything is believed, and every tensor handed out as the bytes it is
//! stored as. A hostile file gives an [`Error`], never a panic, an abort or an allocation out of proportion to the file.

pub mod adapter;
pub mod convert;
pub mod gguf;
pub mod merge;
pub mod pytorch;
pub mod quantize;
pub mod safetensors;

mod checkpoint;
mod error;
mod folder;
mod json;
mod magic;
mod map;
mod part;
mod sentencepiece;
mod shard;
mod split;
mod vocabulary;

pub use adapter::{Adapter, is_adapter};
pub use checkpoint::{Checkpoint, Listed, Place, View};
pub use error::{Error, Fault, Kind};
pub use folder::Folder;
pub use huacaya_kernels::Format;
pub use merge::{MergeReport, merge, merged_size};
pub use shard::{Raw, Shard};
pub use split::parts as split_parts;
pub use vocabulary::vocabulary;
