//! The decoder over candle tensors: the reference, differentiable (training), and the way to CUDA and Metal.

mod decoder;
mod linear;
mod ops;

pub use decoder::Decoder;
pub use linear::{Linear, Weight};
pub use ops::{Fused, Ops, Plain};
