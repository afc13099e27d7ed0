//! A linear layer: a dense matrix, or quantized blocks that candle multiplies without unpacking the whole.

use candle_core::quantized::QMatMul;
use candle_core::{Module, Tensor};

use super::ops::Ops;
use crate::Result;

/// A matrix of the shape (out, in).
#[derive(Clone, Debug)]
pub enum Weight {
    /// Differentiable.
    Dense(Tensor),
    /// Gradients stop here.
    Quantized(QMatMul),
}

/// `x W^T + b`.
#[derive(Clone, Debug)]
pub struct Linear {
    pub weight: Weight,
    /// (out)
    pub bias: Option<Tensor>,
}

impl Linear {
    /// (rows, in) -> (rows, out)
    pub fn forward(&self, ops: &dyn Ops, x: &Tensor) -> Result<Tensor> {
        let product = match &self.weight {
            Weight::Dense(weight) => ops.matmul(x, weight)?,
            Weight::Quantized(weight) => weight.forward(x)?,
        };
        Ok(match &self.bias {
            Some(bias) => product.broadcast_add(bias)?,
            None => product,
        })
    }
}
