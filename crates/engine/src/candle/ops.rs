//! The operations that a decoder is made of, so that training can put its own, with a backward pass, in their place.

use candle_core::{D, Tensor};
use candle_nn::ops::{rms_norm, softmax_last_dim};
use candle_nn::rotary_emb::{rope, rope_i};

use crate::Result;
use crate::rope::Pairs;

/// Each operation has a default of plain candle ops, through which gradients flow.
pub trait Ops: Send + Sync {
    /// (rows, in) x (out, in) -> (rows, out)
    fn matmul(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        Ok(x.matmul(&weight.t()?)?)
    }

    /// Root mean square norm over the last dimension. `weight`: (last)
    fn norm(&self, x: &Tensor, weight: &Tensor, eps: f32) -> Result<Tensor> {
        let mean = (x.sqr()?.sum_keepdim(D::Minus1)? / x.dim(D::Minus1)? as f64)?;
        Ok(x.broadcast_div(&(mean + f64::from(eps))?.sqrt()?)?.broadcast_mul(weight)?)
    }

    /// Turns the first `2 * cos.dim(1)` values of each head; `cos` and `sin`: (length, pairs), `x`: (batch, heads, length, head_size)
    fn rotate(&self, x: &Tensor, cos: &Tensor, sin: &Tensor, pairs: Pairs) -> Result<Tensor> {
        partly(x, 2 * cos.dim(1)?, |x| {
            let (batch, heads, length, rotated) = x.dims4()?;
            match pairs {
                Pairs::Halves => {
                    let (a, b) = (x.narrow(3, 0, rotated / 2)?, x.narrow(3, rotated / 2, rotated / 2)?);
                    let (a, b) = turned(&a, &b, cos, sin)?;
                    Ok(Tensor::cat(&[a, b], 3)?)
                }
                Pairs::Adjacent => {
                    let split = x.reshape((batch, heads, length, rotated / 2, 2))?;
                    let (a, b) = (split.narrow(4, 0, 1)?.squeeze(4)?, split.narrow(4, 1, 1)?.squeeze(4)?);
                    let (a, b) = turned(&a, &b, cos, sin)?;
                    Ok(Tensor::stack(&[a, b], 4)?.reshape((batch, heads, length, rotated))?)
                }
            }
        })
    }

    /// Causal attention of the last `length` positions over all `total`.
    /// `q`: (batch, heads, length, head_size), `k` and `v`: (batch, kv_heads, total, head_size) -> as `q`
    fn attention(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        attention(q, k, v, |scores| {
            let exponents = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
            Ok(exponents.broadcast_div(&exponents.sum_keepdim(D::Minus1)?)?)
        })
    }

    /// `silu(gate) * up`
    fn gated(&self, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
        Ok((gate.silu()? * up)?)
    }
}

/// Plain candle ops only: slow, and differentiable everywhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Ops for Plain {}

/// candle's fused ops: fast, and they drop gradients silently. For inference.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fused;

impl Ops for Fused {
    fn norm(&self, x: &Tensor, weight: &Tensor, eps: f32) -> Result<Tensor> {
        Ok(rms_norm(&x.contiguous()?, weight, eps)?)
    }

    fn rotate(&self, x: &Tensor, cos: &Tensor, sin: &Tensor, pairs: Pairs) -> Result<Tensor> {
        partly(x, 2 * cos.dim(1)?, |x| {
            Ok(match pairs {
                Pairs::Halves => rope(&x.contiguous()?, cos, sin)?,
                Pairs::Adjacent => rope_i(&x.contiguous()?, cos, sin)?,
            })
        })
    }

    fn attention(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        attention(q, k, v, |scores| Ok(softmax_last_dim(&scores.contiguous()?)?))
    }
}

fn turned(a: &Tensor, b: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<(Tensor, Tensor)> {
    let first = (a.broadcast_mul(cos)? - b.broadcast_mul(sin)?)?;
    let second = (b.broadcast_mul(cos)? + a.broadcast_mul(sin)?)?;
    Ok((first, second))
}

/// Applies `turn` to the first `rotated` values of each head.
fn partly(x: &Tensor, rotated: usize, turn: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let size = x.dim(3)?;
    if rotated == size {
        return turn(x);
    }
    let (turning, staying) = (x.narrow(3, 0, rotated)?.contiguous()?, x.narrow(3, rotated, size - rotated)?);
    Ok(Tensor::cat(&[&turn(&turning)?, &staying.contiguous()?], 3)?)
}

/// The heads that share keys and values stand as rows of one matrix, so no key is copied for them.
fn attention(q: &Tensor, k: &Tensor, v: &Tensor, softmax: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let (batch, heads, length, head_size) = q.dims4()?;
    let (_, kv_heads, total, _) = k.dims4()?;
    let group = heads / kv_heads;
    let q = (q * (head_size as f64).powf(-0.5))?.reshape((batch, kv_heads, group * length, head_size))?;
    let scores = q.matmul(&k.t()?)?; // (batch, kv_heads, group * length, total)
    let scores = match length {
        1 => scores,
        _ => {
            let mask = causal_mask(length, total, q.device())?.to_dtype(q.dtype())?;
            scores.reshape((batch, kv_heads, group, length, total))?.broadcast_add(&mask)?.reshape((
                batch,
                kv_heads,
                group * length,
                total,
            ))?
        }
    };
    let mixed = softmax(&scores)?.matmul(v)?; // (batch, kv_heads, group * length, head_size)
    Ok(mixed.reshape((batch, heads, length, head_size))?)
}

/// (length, total): 0 where the row's position sees the column, minus infinity where it lies in its future.
fn causal_mask(length: usize, total: usize, device: &candle_core::Device) -> Result<Tensor> {
    let seen = |row: usize, column: usize| column <= total - length + row;
    let values: Vec<f32> = (0..length)
        .flat_map(|row| (0..total).map(move |column| if seen(row, column) { 0.0 } else { f32::NEG_INFINITY }))
        .collect();
    Ok(Tensor::from_vec(values, (length, total), device)?)
}
