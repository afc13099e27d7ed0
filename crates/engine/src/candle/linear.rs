//! A linear layer and the input embedding: a dense matrix, or quantized blocks that are never unpacked whole.

use std::sync::Arc;

use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{DType, Module, Tensor};

use super::ops::Ops;
use crate::Result;

/// A matrix of the shape (out, in).
#[derive(Clone, Debug)]
pub enum Weight {
    /// Differentiable where it is in f32.
    Dense(Tensor),
    /// Gradients stop here.
    Quantized(Arc<QTensor>),
}

impl Weight {
    /// Rows by their numbers. (rows) of `u32` -> (rows, in)
    pub fn rows(&self, numbers: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Weight::Dense(matrix) => matrix.index_select(numbers, 0)?.to_dtype(DType::F32)?,
            Weight::Quantized(blocks) => blocks.embedding(numbers)?,
        })
    }
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
            Weight::Dense(weight) if weight.dtype() == x.dtype() => ops.matmul(x, weight)?,
            Weight::Dense(weight) => ops.matmul(&x.to_dtype(weight.dtype())?, weight)?.to_dtype(x.dtype())?,
            Weight::Quantized(blocks) => QMatMul::QTensor(blocks.clone()).forward(x)?,
        };
        Ok(match &self.bias {
            Some(bias) => product.broadcast_add(bias)?,
            None => product,
        })
    }
}
