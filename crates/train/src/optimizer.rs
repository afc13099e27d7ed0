//! AdamW with its state in the open, so that a checkpoint can hold it (Loshchilov and Hutter, arXiv 1711.05101).

use candle_core::{Tensor, Var};

use crate::Result;
use crate::recipe::Optimizer;

/// First and second moments of each parameter, in the order of the parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    pub first: Vec<Vec<f32>>,
    pub second: Vec<Vec<f32>>,
}

impl Moments {
    /// Zeros for parameters of these lengths.
    pub fn zeros(lengths: &[usize]) -> Moments {
        let zeros: Vec<Vec<f32>> = lengths.iter().map(|&length| vec![0.0; length]).collect();
        Moments { first: zeros.clone(), second: zeros }
    }
}

/// Norm of all gradients as one vector.
pub fn norm(gradients: &[Vec<f32>]) -> f32 {
    let squares: f64 = gradients.iter().flatten().map(|&value| f64::from(value) * f64::from(value)).sum();
    squares.sqrt() as f32
}

/// One step. `step` counts from 1; `scale` is multiplied to every gradient first (clipping).
pub fn step(
    settings: &Optimizer,
    rate: f32,
    step: usize,
    scale: f32,
    variables: &[Var],
    gradients: &[Vec<f32>],
    moments: &mut Moments,
) -> Result<()> {
    let step = i32::try_from(step).unwrap_or(i32::MAX);
    let (beta1, beta2) = (settings.beta1, settings.beta2);
    let (correction1, correction2) = (1.0 - beta1.powi(step), 1.0 - beta2.powi(step));
    for (index, variable) in variables.iter().enumerate() {
        let decay = if variable.rank() > 1 { rate * settings.decay } else { 0.0 };
        let mut values = variable.as_tensor().flatten_all()?.to_vec1::<f32>()?;
        let states = moments.first[index].iter_mut().zip(&mut moments.second[index]);
        for ((value, gradient), (first, second)) in values.iter_mut().zip(&gradients[index]).zip(states) {
            let gradient = gradient * scale;
            *first = beta1 * *first + (1.0 - beta1) * gradient;
            *second = beta2 * *second + (1.0 - beta2) * gradient * gradient;
            let change = (*first / correction1) / ((*second / correction2).sqrt() + settings.eps);
            *value -= rate * change + decay * *value;
        }
        variable.set(&Tensor::from_vec(values, variable.shape(), variable.device())?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// Values from `torch.optim.AdamW` (2.15): a matrix [[1, -2]], gradients [[0.5, 0.1]] then [[-0.2, 0.3]], rate 0.1,
    /// betas (0.9, 0.999), eps 1e-8, weight decay 0.1.
    #[test]
    fn two_steps_equal_pytorchs() {
        let settings = Optimizer { beta1: 0.9, beta2: 0.999, eps: 1e-8, decay: 0.1, clip: 1.0 };
        let variable = Var::from_vec(vec![1.0f32, -2.0], (1, 2), &Device::Cpu).unwrap();
        let mut moments = Moments::zeros(&[2]);
        for (number, gradient) in [vec![0.5f32, 0.1], vec![-0.2, 0.3]].into_iter().enumerate() {
            step(&settings, 0.1, number + 1, 1.0, std::slice::from_ref(&variable), &[gradient], &mut moments).unwrap();
        }
        let values = variable.as_tensor().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let expected = [0.846_539_5f32, -2.150_978];
        for (value, expected) in values.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-6, "{values:?}");
        }
    }
}
