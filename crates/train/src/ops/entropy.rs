//! Cross-entropy over the vocabulary. The gradient falls out of the forward pass, so the softmax is made once.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

use super::exponential::exp;
use super::values;

/// `weight` times the sum over rows of `-log softmax(logits)[target]`. logits: (rows, vocabulary), one target for each row.
pub fn cross_entropy(logits: &Tensor, targets: Vec<u32>, weight: f32) -> candle_core::Result<Tensor> {
    let (rows, vocabulary) = logits.dims2()?;
    if rows != targets.len() || targets.iter().any(|&target| target as usize >= vocabulary) {
        return Err(candle_core::Error::Msg("the targets do not fit the logits".into()));
    }
    logits.contiguous()?.apply_op1(Entropy { targets, weight, gradient: Mutex::new(Vec::new()) })
}

struct Entropy {
    targets: Vec<u32>,
    weight: f32,
    gradient: Mutex<Vec<f32>>,
}

impl CustomOp1 for Entropy {
    fn name(&self) -> &'static str {
        "training-cross-entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let logits = values(logits, layout)?;
        let vocabulary = layout.dims()[1];
        let mut gradient = vec![0.0f32; logits.len()];
        let mut loss = 0.0f64;
        let rows = logits.chunks_exact(vocabulary).zip(gradient.chunks_exact_mut(vocabulary));
        for ((logits, gradient), &target) in rows.zip(&self.targets) {
            let max = logits.iter().fold(f32::NEG_INFINITY, |max, &logit| max.max(logit));
            for (gradient, &logit) in gradient.iter_mut().zip(logits) {
                *gradient = exp(logit - max);
            }
            let sum: f32 = gradient.iter().sum();
            let scale = self.weight / sum;
            gradient.iter_mut().for_each(|gradient| *gradient *= scale);
            gradient[target as usize] -= self.weight;
            loss += f64::from(sum.ln() + max - logits[target as usize]);
        }
        *self.gradient.lock().unwrap_or_else(PoisonError::into_inner) = gradient;
        Ok((CpuStorage::F32(vec![(loss * f64::from(self.weight)) as f32]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _out: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let saved = std::mem::take(&mut *self.gradient.lock().unwrap_or_else(PoisonError::into_inner));
        if saved.is_empty() {
            return Err(candle_core::Error::Msg("the cross-entropy's backward pass ran twice".into()));
        }
        let back = Tensor::from_vec(saved, logits.shape(), logits.device())?;
        Ok(Some(match gradient.to_scalar::<f32>()? {
            1.0 => back,
            factor => (back * f64::from(factor))?,
        }))
    }
}
