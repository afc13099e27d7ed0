//! The decoder over candle tensors: the reference, differentiable (training), and the way to CUDA and Metal.

mod backend;
mod cache;
mod decoder;
mod linear;
mod load;
mod ops;
mod tap;

pub(crate) use backend::{CandleBackend, READ_CHUNK};
pub use decoder::Decoder;
pub use linear::{Linear, Weight};
pub use load::unpacked;
pub(crate) use load::{block_type, keeps_blocks, load};
pub use ops::{Fused, Ops, Plain};
pub(crate) use tap::Tap;

pub use crate::source::folder_name;
