//! `silu(gate) * up`.

use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};

use super::exponential::sigmoid;
use super::{made, values, with_values};

pub struct Gated;

impl CustomOp2 for Gated {
    fn name(&self) -> &'static str {
        "training-gated"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (gate, up) = (values(gate, gate_layout)?, values(up, up_layout)?);
        let out = gate.iter().zip(up).map(|(&gate, &up)| gate * sigmoid(gate) * up).collect();
        Ok(made(out, gate_layout.shape()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _out: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (of_gate, of_up) = with_values(gate, |gate| {
            with_values(up, |up| {
                with_values(gradient, |gradient| {
                    let mut of_gate = vec![0.0f32; gate.len()];
                    let mut of_up = vec![0.0f32; gate.len()];
                    let inputs = gate.iter().zip(up).zip(gradient);
                    for (((&gate, &up), &g), (of_gate, of_up)) in inputs.zip(of_gate.iter_mut().zip(&mut of_up)) {
                        let s = sigmoid(gate);
                        *of_gate = g * up * s * (1.0 + gate * (1.0 - s));
                        *of_up = g * gate * s;
                    }
                    Ok((of_gate, of_up))
                })
            })
        })?;
        let tensor = |values: Vec<f32>| Tensor::from_vec(values, gate.shape(), gate.device());
        Ok((Some(tensor(of_gate)?), Some(tensor(of_up)?)))
    }
}
