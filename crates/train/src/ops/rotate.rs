//! Rotary embedding: the gradient is turned back by the same angles.

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};
use huacaya_engine::rope::Pairs;

use super::{made, values, with_values};

pub struct Rotate {
    /// (length, pairs) each
    cos: Vec<f32>,
    sin: Vec<f32>,
    pairs: usize,
    kind: Pairs,
}

impl Rotate {
    pub fn new(cos: &Tensor, sin: &Tensor, kind: Pairs) -> candle_core::Result<Rotate> {
        let pairs = cos.dim(1)?;
        Ok(Rotate { cos: cos.flatten_all()?.to_vec1()?, sin: sin.flatten_all()?.to_vec1()?, pairs, kind })
    }

    /// `x`: (batch, heads, length, head_size); `direction` is 1 or -1.
    fn turned(&self, x: &[f32], size: usize, direction: f32) -> Vec<f32> {
        let length = self.cos.len() / self.pairs;
        let mut out = x.to_vec();
        for (index, row) in out.chunks_exact_mut(size).enumerate() {
            let at = index % length * self.pairs;
            let (cos, sin) = (&self.cos[at..at + self.pairs], &self.sin[at..at + self.pairs]);
            let turn = |a: &mut f32, b: &mut f32, cos: f32, sin: f32| {
                (*a, *b) = (*a * cos - *b * sin * direction, *b * cos + *a * sin * direction);
            };
            match self.kind {
                Pairs::Adjacent => {
                    for ((pair, &cos), &sin) in row.chunks_exact_mut(2).zip(cos).zip(sin) {
                        let (a, b) = pair.split_at_mut(1);
                        turn(&mut a[0], &mut b[0], cos, sin);
                    }
                }
                Pairs::Halves => {
                    let (a, b) = row.split_at_mut(self.pairs);
                    for (((a, b), &cos), &sin) in a.iter_mut().zip(b).zip(cos).zip(sin) {
                        turn(a, b, cos, sin);
                    }
                }
            }
        }
        out
    }
}

impl CustomOp1 for Rotate {
    fn name(&self) -> &'static str {
        "training-rotate"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let size = layout.dims()[layout.dims().len() - 1];
        Ok(made(self.turned(values(x, layout)?, size, 1.0), layout.shape()))
    }

    fn bwd(&self, x: &Tensor, _out: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let size = x.dim(candle_core::D::Minus1)?;
        let back = with_values(gradient, |gradient| Ok(self.turned(gradient, size, -1.0)))?;
        Ok(Some(Tensor::from_vec(back, x.shape(), x.device())?))
    }
}
