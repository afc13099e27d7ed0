//! The decoder's operations with an adapter in training: what to do with a matrix is told by which tensor it is.

use std::collections::{HashMap, HashSet};

use candle_core::{Tensor, TensorId};
use huacaya_engine::candle::Ops;
use huacaya_engine::rope::Pairs;

use super::frozen;
use crate::ops::Training;

/// Two trained matrices beside a frozen one.
pub(super) struct Pair {
    /// (rank, in)
    pub a: Tensor,
    /// (out, rank)
    pub b: Tensor,
    pub scale: f64,
}

/// Every matrix is frozen, but for those that were told.
#[derive(Default)]
pub(super) struct LoraOps {
    pairs: HashMap<TensorId, Pair>,
    trained: HashSet<TensorId>,
}

impl LoraOps {
    /// The pair adds to products with the frozen `matrix`.
    pub fn add(&mut self, matrix: &Tensor, pair: Pair) {
        self.pairs.insert(matrix.id(), pair);
    }

    /// The matrix itself is trained.
    pub fn train(&mut self, matrix: &Tensor) {
        self.trained.insert(matrix.id());
    }
}

impl Ops for LoraOps {
    fn matmul(&self, x: &Tensor, weight: &Tensor) -> huacaya_engine::Result<Tensor> {
        if self.trained.contains(&weight.id()) {
            return Training.matmul(x, weight);
        }
        let product = frozen::product(x, weight)?;
        let Some(Pair { a, b, scale }) = self.pairs.get(&weight.id()) else { return Ok(product) };
        let narrow = (x.matmul(&a.t()?)? * *scale)?; // (rows, rank)
        Ok((product + narrow.matmul(&b.t()?)?)?)
    }

    fn norm(&self, x: &Tensor, weight: &Tensor, eps: f32) -> huacaya_engine::Result<Tensor> {
        Training.norm(x, weight, eps)
    }

    fn rotate(&self, x: &Tensor, cos: &Tensor, sin: &Tensor, pairs: Pairs) -> huacaya_engine::Result<Tensor> {
        Training.rotate(x, cos, sin, pairs)
    }

    fn attention(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> huacaya_engine::Result<Tensor> {
        Training.attention(q, k, v)
    }

    fn gated(&self, gate: &Tensor, up: &Tensor) -> huacaya_engine::Result<Tensor> {
        Training.gated(gate, up)
    }
}
