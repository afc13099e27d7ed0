//! Architecture as data: everything that one decoder must know of a model of the Llama family.
//!
//! Tensors have one canonical naming here, GGUF's (`token_embd.weight`, `blk.0.attn_q.weight`, …); Hugging Face folders
//! are translated to it when they are read. [`Config::parameters`] lists every name with its shape.

mod folder;
mod gguf;

use crate::rope::{RopeConfig, Scaling};
use crate::{Error, Result};

/// A hostile header may claim any size; these are far above the largest models and far below what overflows.
const HIDDEN_MAX: usize = 1 << 16;
const FFN_MAX: usize = 1 << 19;
const LAYERS_MAX: usize = 1 << 10;
const HEADS_MAX: usize = 1 << 10;
const HEAD_SIZE_MAX: usize = 1 << 10;
const VOCABULARY_MAX: usize = 1 << 21;
/// Positions are kept as `u32` and turned into `f32` angles.
pub(crate) const CONTEXT_MAX: usize = 1 << 24;

/// A family that the decoder knows. Mistral is `Llama` with other numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    Llama,
    Qwen2,
    Qwen3,
}

impl Architecture {
    /// The name in `general.architecture` of a GGUF.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::Llama => "llama",
            Architecture::Qwen2 => "qwen2",
            Architecture::Qwen3 => "qwen3",
        }
    }
}

/// Which linear layers add a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Biases {
    pub query_key_value: bool,
    pub attention_output: bool,
    pub ffn: bool,
}

/// The shape of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub architecture: Architecture,
    pub hidden: usize,
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    pub head_size: usize,
    pub ffn: usize,
    pub vocabulary: usize,
    pub norm_eps: f32,
    pub rope: RopeConfig,
    pub biases: Biases,
    /// Each query and key head is normalised before it is turned (Qwen3).
    pub query_key_norms: bool,
    /// The output layer is the input embedding.
    pub tied: bool,
    /// Positions that the model was made for.
    pub context: usize,
}

impl Config {
    /// Refuses what no decoder can compute, before anything is allocated for it.
    pub fn validate(&self) -> Result<()> {
        within("hidden size", self.hidden, HIDDEN_MAX)?;
        within("number of layers", self.layers, LAYERS_MAX)?;
        within("number of heads", self.heads, HEADS_MAX)?;
        within("number of key and value heads", self.kv_heads, HEADS_MAX)?;
        within("head size", self.head_size, HEAD_SIZE_MAX)?;
        within("feed-forward size", self.ffn, FFN_MAX)?;
        within("vocabulary", self.vocabulary, VOCABULARY_MAX)?;
        within("context length", self.context, CONTEXT_MAX)?;
        if !self.heads.is_multiple_of(self.kv_heads) {
            return unusable(format!("{} heads do not share {} key and value heads", self.heads, self.kv_heads));
        }
        if !(self.norm_eps > 0.0 && self.norm_eps < 1.0) {
            return unusable(format!("the norm's epsilon is {}", self.norm_eps));
        }
        self.rope.validate(self.head_size)
    }

    /// Width of all query heads together.
    pub fn query_width(&self) -> usize {
        self.heads * self.head_size
    }

    /// Width of all key (or value) heads together.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_size
    }

    /// Name and shape of every tensor, in the order of a GGUF file. Matrices are (out, in).
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let (hidden, query, kv) = (self.hidden, self.query_width(), self.kv_width());
        let mut list = vec![("token_embd.weight".to_string(), vec![self.vocabulary, hidden])];
        for layer in 0..self.layers {
            let mut linear = |name: &str, rows: usize, columns: usize, bias: bool| {
                list.push((format!("blk.{layer}.{name}.weight"), vec![rows, columns]));
                if bias {
                    list.push((format!("blk.{layer}.{name}.bias"), vec![rows]));
                }
            };
            linear("attn_q", query, hidden, self.biases.query_key_value);
            linear("attn_k", kv, hidden, self.biases.query_key_value);
            linear("attn_v", kv, hidden, self.biases.query_key_value);
            linear("attn_output", hidden, query, self.biases.attention_output);
            linear("ffn_gate", self.ffn, hidden, self.biases.ffn);
            linear("ffn_up", self.ffn, hidden, self.biases.ffn);
            linear("ffn_down", hidden, self.ffn, self.biases.ffn);
            list.push((format!("blk.{layer}.attn_norm.weight"), vec![hidden]));
            list.push((format!("blk.{layer}.ffn_norm.weight"), vec![hidden]));
            if self.query_key_norms {
                list.push((format!("blk.{layer}.attn_q_norm.weight"), vec![self.head_size]));
                list.push((format!("blk.{layer}.attn_k_norm.weight"), vec![self.head_size]));
            }
        }
        list.push(("output_norm.weight".to_string(), vec![hidden]));
        if !self.tied {
            list.push(("output.weight".to_string(), vec![self.vocabulary, hidden]));
        }
        list
    }

    /// How many numbers the model consists of.
    pub fn parameter_count(&self) -> u64 {
        self.parameters().iter().map(|(_, shape)| shape.iter().map(|&n| n as u64).product::<u64>()).sum()
    }

    /// Keys and values of one position in all layers, in numbers.
    pub fn kv_values_per_token(&self) -> usize {
        2 * self.layers * self.kv_width()
    }

    /// Whether a longer text changes the angles of the positions before it.
    pub fn angles_depend_on_length(&self) -> bool {
        matches!(self.rope.scaling, Scaling::NtkAdaptive { .. })
    }
}

fn within(what: &str, value: usize, max: usize) -> Result<()> {
    if value == 0 || value > max { unusable(format!("the {what} is {value}, not between 1 and {max}")) } else { Ok(()) }
}

pub(crate) fn unusable<T>(what: String) -> Result<T> {
    Err(Error::Config { what })
}
