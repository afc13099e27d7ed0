//! Safetensors: a length, a JSON header with every tensor's type, shape and place, then the tensors' bytes.
//!
//! Source: the format's description by Hugging Face. The header is read here and not by their library, so that faults are
//! named, duplicates are seen, and types that no layer uses (token positions as integers) do not spoil a file.

mod dtype;
mod fault;
mod file;
mod header;
mod index;
mod pairs;
mod write;

pub use dtype::Dtype;
pub use fault::Fault;
pub use file::File;
pub use header::{Header, Tensor};
pub use index::{INDEX_NAME, Index};
pub(crate) use write::size_of;
pub use write::{TensorPlan, Writer};
