//! Fused operations with a backward pass of their own, in the place of the decoder's plain ones.
//!
//! Where plain candle ops walk over memory many times and keep every intermediate result, each of these walks once. All
//! work on contiguous `f32` on the CPU.

mod attention;
mod entropy;
mod exponential;
mod gated;
mod norm;
mod rotate;
#[cfg(test)]
mod tests;

pub use entropy::cross_entropy;

use candle_core::{CpuStorage, Layout, Shape, Tensor};
use huacaya_engine::candle::Ops;
use huacaya_engine::rope::Pairs;

/// The decoder's operations as training uses them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Training;

impl Ops for Training {
    fn norm(&self, x: &Tensor, weight: &Tensor, eps: f32) -> huacaya_engine::Result<Tensor> {
        Ok(x.contiguous()?.apply_op2(weight, norm::Norm { eps })?)
    }

    fn rotate(&self, x: &Tensor, cos: &Tensor, sin: &Tensor, pairs: Pairs) -> huacaya_engine::Result<Tensor> {
        let turn = rotate::Rotate::new(cos, sin, pairs)?;
        Ok(x.contiguous()?.apply_op1(turn)?)
    }

    fn attention(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> huacaya_engine::Result<Tensor> {
        Ok(attention::attention(q, k, v)?)
    }

    fn gated(&self, gate: &Tensor, up: &Tensor) -> huacaya_engine::Result<Tensor> {
        Ok(gate.apply_op2(up, gated::Gated)?)
    }
}

/// The values of a contiguous `f32` tensor.
fn values<'s>(storage: &'s CpuStorage, layout: &Layout) -> candle_core::Result<&'s [f32]> {
    let all = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&all[start..end]),
        None => Err(candle_core::Error::Msg("a training operation needs contiguous values".into())),
    }
}

/// The same, of a tensor in a backward pass.
fn with_values<T>(tensor: &Tensor, use_them: impl FnOnce(&[f32]) -> candle_core::Result<T>) -> candle_core::Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        candle_core::Storage::Cpu(storage) => use_them(values(storage, layout)?),
        _ => Err(candle_core::Error::Msg("training runs on the CPU".into())),
    }
}

fn made(values: Vec<f32>, shape: &Shape) -> (CpuStorage, Shape) {
    (CpuStorage::F32(values), shape.clone())
}
