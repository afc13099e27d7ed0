//! Root mean square norm.

use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};

use super::{made, values, with_values};

/// x: (.., last), weight: (last)
pub struct Norm {
    pub eps: f32,
}

impl Norm {
    /// `1 / sqrt(mean(x^2) + eps)`
    fn scale(&self, row: &[f32]) -> f32 {
        let mut sums = [0.0f32; 16];
        for chunk in row.chunks(16) {
            sums.iter_mut().zip(chunk).for_each(|(sum, &value)| *sum += value * value);
        }
        (sums.iter().sum::<f32>() / row.len() as f32 + self.eps).sqrt().recip()
    }
}

/// Sum of products in sixteen lanes.
fn dot(a: impl Iterator<Item = f32>) -> f32 {
    let mut sums = [0.0f32; 16];
    for (index, value) in a.enumerate() {
        sums[index & 15] += value;
    }
    sums.iter().sum()
}

impl CustomOp2 for Norm {
    fn name(&self) -> &'static str {
        "training-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (x, weight) = (values(x, x_layout)?, values(weight, weight_layout)?);
        let mut out = Vec::with_capacity(x.len());
        for row in x.chunks_exact(weight.len()) {
            let scale = self.scale(row);
            out.extend(row.iter().zip(weight).map(|(&value, &weight)| value * scale * weight));
        }
        Ok(made(out, x_layout.shape()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _out: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let size = weight.elem_count();
        let (of_x, of_weight) = with_values(x, |x| {
            with_values(weight, |weight| {
                with_values(gradient, |gradient| {
                    let mut of_x = Vec::with_capacity(x.len());
                    let mut of_weight = vec![0.0f32; size];
                    for (row, gradient) in x.chunks_exact(size).zip(gradient.chunks_exact(size)) {
                        let scale = self.scale(row);
                        let products = row.iter().zip(weight).zip(gradient).map(|((&x, &w), &g)| x * w * g);
                        let pull = dot(products) * scale * scale * scale / size as f32;
                        let each = row.iter().zip(weight).zip(gradient);
                        of_x.extend(each.map(|((&x, &w), &g)| g * w * scale - x * pull));
                        let each = of_weight.iter_mut().zip(row).zip(gradient);
                        each.for_each(|((sum, &x), &g)| *sum += g * x * scale);
                    }
                    Ok((of_x, of_weight))
                })
            })
        })?;
        let of_x = Tensor::from_vec(of_x, x.shape(), x.device())?;
        let of_weight = Tensor::from_vec(of_weight, weight.shape(), weight.device())?;
        Ok((Some(of_x), Some(of_weight)))
    }
}
