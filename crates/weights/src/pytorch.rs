//! PyTorch files (`.bin`, `.pth`, `.pt`): a zip archive with a pickle that says what tensors there are, and their bytes.
//!
//! A pickle is a program. Ours runs none: it knows the few instructions that state dictionaries are made of, the few names
//! that they mention, and makes nothing but a list of tensors ([`Fault`] names the first thing that is not on the list).

mod archive;
mod fault;
mod file;
mod opcode;
mod pickle;
mod tensor;

pub use fault::Fault;
pub use file::{File, INDEX_NAME};
pub use tensor::Tensor;
