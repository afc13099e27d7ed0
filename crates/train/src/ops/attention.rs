//! Causal attention: candle's batched products, and between them scale, mask and softmax as one operation.

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

use super::exponential::exp;
use super::{made, values, with_values};

/// As `Ops::attention`. The heads that share keys and values stand as rows of one matrix.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> candle_core::Result<Tensor> {
    let (batch, heads, length, head_size) = q.dims4()?;
    let (_, kv_heads, total, _) = k.dims4()?;
    let rows = heads / kv_heads * length;
    let q = q.reshape((batch, kv_heads, rows, head_size))?;
    let scores = q.matmul(&k.t()?)?; // (batch, kv_heads, rows, total)
    let softmax = CausalSoftmax { scale: (head_size as f32).powf(-0.5), length, total };
    let mixed = scores.apply_op1(softmax)?.matmul(&v.contiguous()?)?;
    mixed.reshape((batch, heads, length, head_size))
}

struct CausalSoftmax {
    scale: f32,
    length: usize,
    total: usize,
}

impl CausalSoftmax {
    /// How many columns a row sees.
    fn seen(&self, row: usize) -> usize {
        self.total - self.length + row % self.length + 1
    }
}

impl CustomOp1 for CausalSoftmax {
    fn name(&self) -> &'static str {
        "training-causal-softmax"
    }

    fn cpu_fwd(&self, scores: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let scores = values(scores, layout)?;
        let mut out = vec![0.0f32; scores.len()];
        let rows = scores.chunks_exact(self.total).zip(out.chunks_exact_mut(self.total));
        for (row, (scores, out)) in rows.enumerate() {
            let (scores, out) = (&scores[..self.seen(row)], &mut out[..self.seen(row)]);
            let max = scores.iter().fold(f32::NEG_INFINITY, |max, &score| max.max(score));
            for (out, &score) in out.iter_mut().zip(scores) {
                *out = exp((score - max) * self.scale);
            }
            let inverse = out.iter().sum::<f32>().recip();
            out.iter_mut().for_each(|out| *out *= inverse);
        }
        Ok(made(out, layout.shape()))
    }

    fn bwd(&self, scores: &Tensor, out: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let back = with_values(out, |out| {
            with_values(gradient, |gradient| {
                let mut back = vec![0.0f32; out.len()];
                let rows = out.chunks_exact(self.total).zip(gradient.chunks_exact(self.total));
                for (row, ((out, gradient), back)) in rows.zip(back.chunks_exact_mut(self.total)).enumerate() {
                    let seen = self.seen(row);
                    let mean: f32 = out[..seen].iter().zip(gradient).map(|(&p, &g)| p * g).sum();
                    for ((back, &p), &g) in back[..seen].iter_mut().zip(out).zip(gradient) {
                        *back = p * (g - mean) * self.scale;
                    }
                }
                Ok(back)
            })
        })?;
        Ok(Some(Tensor::from_vec(back, scores.shape(), scores.device())?))
    }
}
