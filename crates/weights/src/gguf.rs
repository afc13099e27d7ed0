//! GGUF, versions 2 and 3: header with metadata and tensors, then the tensors' bytes.
//!
//! Source: `docs/gguf.md` of ggml. Little-endian only; big-endian files are recognised and named.

mod fault;
mod file;
mod header;
mod metadata;
mod value;
mod write;

pub use fault::{Fault, Place};
pub use file::File;
pub use header::{ALIGNMENT_DEFAULT, Front, Header, Tensor};
pub use metadata::{FromValue, Metadata};
pub use value::{Array, Value, ValueKind};
pub use write::{TensorPlan, Writer};
