//! The decoder of the Llama family: norm, attention, norm, gated feed-forward, for each layer.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::cache::Angles;
use super::linear::{Linear, Weight};
use super::ops::{Ops, Plain};
use super::tap::Tap;
use crate::adapter::Adapter;
use crate::config::{Config, unusable};
use crate::rope::{self, Rope};
use crate::{Error, Result};

/// A model's weights and how they compute. Cloning shares the weights.
#[derive(Clone)]
pub struct Decoder {
    config: Config,
    ops: Arc<dyn Ops>,
    device: Device,
    /// (vocabulary, hidden)
    embedding: Weight,
    layers: Vec<Layer>,
    /// (hidden)
    norm: Tensor,
    output: Linear,
    /// Listens to what the matrices of the layers are multiplied by.
    tap: Option<Arc<Tap>>,
}

#[derive(Clone)]
struct Layer {
    attention_norm: Tensor,
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    /// Query's and key's, each (head_size).
    head_norms: Option<(Tensor, Tensor)>,
    ffn_norm: Tensor,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Decoder {
    /// A decoder over dense tensors, by the names and shapes of [`Config::parameters`]: differentiable where they are
    /// `Var`s. Nothing is copied, so a `Var` that is set later is seen.
    pub fn new(config: &Config, tensors: &HashMap<String, Tensor>) -> Result<Decoder> {
        Decoder::with_ops(config, tensors, Arc::new(Plain))
    }

    /// As [`Decoder::new`], with other operations (training has its own, with a backward pass each).
    pub fn with_ops(config: &Config, tensors: &HashMap<String, Tensor>, ops: Arc<dyn Ops>) -> Result<Decoder> {
        config.validate()?;
        for (name, shape) in config.parameters() {
            let tensor = tensors.get(&name).ok_or_else(|| Error::TensorMissing { tensor: name.clone() })?;
            if tensor.dims() != shape {
                return Err(Error::TensorShape { tensor: name, found: tensor.dims().to_vec(), wanted: shape });
            }
        }
        let dense = |name: &str| {
            let tensor = tensors.get(name).ok_or_else(|| Error::TensorMissing { tensor: name.to_string() })?;
            Ok(Weight::Dense(tensor.clone()))
        };
        Decoder::build(config, ops, dense)
    }

    /// Asks `weight` for every tensor once.
    pub(super) fn build(
        config: &Config,
        ops: Arc<dyn Ops>,
        weight: impl Fn(&str) -> Result<Weight>,
    ) -> Result<Decoder> {
        let tensor = |name: &str| -> Result<Tensor> {
            match weight(name)? {
                Weight::Dense(tensor) => Ok(tensor),
                Weight::Quantized(_) => unusable(format!("`{name}` is quantized")),
            }
        };
        let embedding = weight("token_embd.weight")?;
        let layers = (0..config.layers).map(|layer| -> Result<Layer> {
            let named = |name: &str| format!("blk.{layer}.{name}");
            let linear = |name: &str, bias: bool| -> Result<Linear> {
                let bias = bias.then(|| tensor(&named(&format!("{name}.bias")))).transpose()?;
                Ok(Linear { weight: weight(&named(&format!("{name}.weight")))?, bias })
            };
            let norm = |name: &str| tensor(&named(&format!("{name}.weight")));
            Ok(Layer {
                attention_norm: norm("attn_norm")?,
                query: linear("attn_q", config.biases.query_key_value)?,
                key: linear("attn_k", config.biases.query_key_value)?,
                value: linear("attn_v", config.biases.query_key_value)?,
                attention_output: linear("attn_output", config.biases.attention_output)?,
                head_norms: match config.query_key_norms {
                    true => Some((norm("attn_q_norm")?, norm("attn_k_norm")?)),
                    false => None,
                },
                ffn_norm: norm("ffn_norm")?,
                gate: linear("ffn_gate", config.biases.ffn)?,
                up: linear("ffn_up", config.biases.ffn)?,
                down: linear("ffn_down", config.biases.ffn)?,
            })
        });
        let layers = layers.collect::<Result<_>>()?;
        let output = if config.tied { embedding.clone() } else { weight("output.weight")? };
        let norm = tensor("output_norm.weight")?;
        Ok(Decoder {
            config: config.clone(),
            ops,
            device: norm.device().clone(),
            embedding,
            layers,
            norm,
            output: Linear { weight: output, bias: None },
            tap: None,
        })
    }

    /// The same weights, with a listener.
    pub(crate) fn tapped(&self, tap: Arc<Tap>) -> Decoder {
        Decoder { tap: Some(tap), ..self.clone() }
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Logits of whole texts from their first position on. (batch, length) of `u32` -> (batch, length, vocabulary)
    pub fn forward(&self, tokens: &Tensor) -> Result<Tensor> {
        let (batch, length) = tokens.dims2()?;
        let rows = self.hidden(tokens)?.reshape((batch * length, self.config.hidden))?;
        Ok(self.logits(&rows)?.reshape((batch, length, self.config.vocabulary))?)
    }

    /// The last layer's output after the final norm, for a loss that makes its own logits.
    /// (batch, length) of `u32` -> (batch, length, hidden)
    pub fn hidden(&self, tokens: &Tensor) -> Result<Tensor> {
        let (batch, length) = tokens.dims2()?;
        let config = &self.config;
        let angles = self.angles(0, length, rope::span(&config.rope, length))?;
        let turned = |x: &Tensor| self.ops.rotate(x, &angles.cos, &angles.sin, config.rope.pairs);
        let heads_first = |x: &Tensor, heads: usize| -> Result<Tensor> {
            Ok(x.reshape((batch, length, heads, config.head_size))?.transpose(1, 2)?.contiguous()?)
        };
        let mut x = self.embed(&tokens.flatten_all()?)?; // (batch * length, hidden)
        for layer in 0..config.layers {
            x = self.layer(layer, &x, &[], |q, k, v| {
                let (q, k) = (heads_first(q, config.heads)?, heads_first(k, config.kv_heads)?);
                let mixed = self.ops.attention(&turned(&q)?, &turned(&k)?, &heads_first(v, config.kv_heads)?)?;
                Ok(mixed.transpose(1, 2)?.reshape((batch * length, config.query_width()))?)
            })?;
        }
        Ok(self.final_norm(&x)?.reshape((batch, length, config.hidden))?)
    }

    /// The output layer alone. (rows, hidden) -> (rows, vocabulary)
    pub fn logits(&self, rows: &Tensor) -> Result<Tensor> {
        self.output.forward(self.ops.as_ref(), rows)
    }

    /// The output layer's matrix where it is dense. (vocabulary, hidden)
    pub fn output_weight(&self) -> Option<&Tensor> {
        match &self.output.weight {
            Weight::Dense(tensor) => Some(tensor),
            Weight::Quantized(_) => None,
        }
    }

    pub(super) fn ops(&self) -> &dyn Ops {
        self.ops.as_ref()
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// (rows) -> (rows, hidden)
    pub(super) fn embed(&self, tokens: &Tensor) -> Result<Tensor> {
        self.embedding.rows(tokens)
    }

    /// (rows, hidden) -> the same
    pub(super) fn final_norm(&self, x: &Tensor) -> Result<Tensor> {
        self.ops.norm(x, &self.norm, self.config.norm_eps)
    }

    /// The angles of `length` positions from `first` on.
    pub(super) fn angles(&self, first: usize, length: usize, span: usize) -> Result<Angles> {
        let (cos, sin) = Rope::new(&self.config.rope, span).angles(first, length);
        let shape = (length, self.config.rope.rotated / 2);
        let tensor = |values: Vec<f32>| Tensor::from_vec(values, shape, &self.device);
        Ok(Angles { cos: tensor(cos)?, sin: tensor(sin)? })
    }

    /// One layer over any rows. `attend` gets queries, keys and values before they are turned, each
    /// (rows, heads, head_size), and answers the mixed values, (rows, heads * head_size). `adapters` add to the products of
    /// the layer's matrices. (rows, hidden) -> the same
    pub(super) fn layer(
        &self,
        number: usize,
        x: &Tensor,
        adapters: &[(Arc<Adapter>, f32)],
        attend: impl Fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let (config, ops, layer) = (&self.config, self.ops.as_ref(), &self.layers[number]);
        let rows = x.dim(0)?;
        let note = |parts: &[&str], x: &Tensor| self.tap.as_ref().map_or(Ok(()), |tap| tap.note(number, parts, x));
        let heads = |x: Tensor, heads: usize| x.reshape((rows, heads, config.head_size));
        let product = |linear: &Linear, part: &'static str, x: &Tensor| {
            let add =
                |out, (adapter, strength): &(Arc<Adapter>, f32)| adapter.add(ops, (number, part), *strength, x, out);
            adapters.iter().try_fold(linear.forward(ops, x)?, add)
        };
        let normed = ops.norm(x, &layer.attention_norm, config.norm_eps)?;
        note(&["attn_q", "attn_k", "attn_v"], &normed)?;
        let mut q = heads(product(&layer.query, "attn_q", &normed)?, config.heads)?;
        let mut k = heads(product(&layer.key, "attn_k", &normed)?, config.kv_heads)?;
        let v = heads(product(&layer.value, "attn_v", &normed)?, config.kv_heads)?;
        if let Some((query, key)) = &layer.head_norms {
            q = ops.norm(&q, query, config.norm_eps)?;
            k = ops.norm(&k, key, config.norm_eps)?;
        }
        let mixed = attend(&q, &k, &v)?;
        note(&["attn_output"], &mixed)?;
        let x = (x + product(&layer.attention_output, "attn_output", &mixed)?)?;

        let normed = ops.norm(&x, &layer.ffn_norm, config.norm_eps)?;
        note(&["ffn_gate", "ffn_up"], &normed)?;
        let gated = ops.gated(&product(&layer.gate, "ffn_gate", &normed)?, &product(&layer.up, "ffn_up", &normed)?)?;
        note(&["ffn_down"], &gated)?;
        Ok((&x + product(&layer.down, "ffn_down", &gated)?)?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Var};

    use super::*;
    use crate::config::{Architecture, Biases};
    use crate::rope::{Pairs, RopeConfig};

    fn tiny(pairs: Pairs) -> Config {
        Config {
            architecture: Architecture::Qwen3,
            hidden: 16,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            head_size: 8,
            ffn: 24,
            vocabulary: 13,
            norm_eps: 1e-5,
            rope: RopeConfig { rotated: 6, ..RopeConfig::plain(10000.0, 8, pairs) },
            biases: Biases { query_key_value: true, attention_output: true, ffn: true },
            query_key_norms: true,
            tied: false,
            context: 32,
        }
    }

    fn random(config: &Config) -> HashMap<String, Var> {
        let mut state = 7u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        let variable = |(name, shape): (String, Vec<usize>)| {
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
            (name, Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap())
        };
        config.parameters().into_iter().map(variable).collect()
    }

    fn loss(decoder: &Decoder) -> Tensor {
        let tokens = Tensor::new(&[[1u32, 5, 12, 3, 3], [0, 2, 9, 11, 4]], &Device::Cpu).unwrap();
        let logits = decoder.forward(&tokens).unwrap();
        assert_eq!(logits.dims(), [2, 5, 13]);
        (logits.to_dtype(DType::F64).unwrap().sin().unwrap()).sum_all().unwrap()
    }

    /// Against central differences, one value of every tensor.
    #[test]
    fn gradients_flow_to_every_parameter_and_are_right() {
        for pairs in [Pairs::Halves, Pairs::Adjacent] {
            let config = tiny(pairs);
            let variables = random(&config);
            let tensors = variables.iter().map(|(name, v)| (name.clone(), v.as_tensor().clone())).collect();
            let decoder = Decoder::new(&config, &tensors).unwrap();
            let gradients = loss(&decoder).backward().unwrap();
            for (name, variable) in &variables {
                let gradient = gradients.get(variable).unwrap_or_else(|| panic!("no gradient for {name}"));
                let gradient = gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let before = variable.as_tensor().copy().unwrap();
                let values = before.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let at = (0..values.len()).max_by(|&a, &b| gradient[a].abs().total_cmp(&gradient[b].abs())).unwrap();
                let moved = |by: f32| {
                    let mut values = values.clone();
                    values[at] += by;
                    variable.set(&Tensor::from_vec(values, before.shape(), &Device::Cpu).unwrap()).unwrap();
                    loss(&decoder).to_scalar::<f64>().unwrap()
                };
                let expected = (moved(5e-3) - moved(-5e-3)) / 1e-2;
                variable.set(&before).unwrap();
                let error = (f64::from(gradient[at]) - expected).abs();
                assert!(error < 2e-2 * expected.abs() + 2e-3, "{name}: {} instead of {expected}", gradient[at]);
            }
        }
    }
}
