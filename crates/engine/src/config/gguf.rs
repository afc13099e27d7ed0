//! A model's shape from the metadata of a GGUF file.
//!
//! Source: llama.cpp, `llama-arch.cpp` (keys) and `llama-model.cpp` (defaults).

use huacaya_kernels::dequantize;
use huacaya_weights::gguf::File;

use super::{Architecture, Biases, Config, unusable};
use crate::rope::{Pairs, RopeConfig, Scaling};
use crate::{Error, Result};

/// YaRN's range where a file does not say (the paper's values).
const BETA_FAST: f32 = 32.0;
const BETA_SLOW: f32 = 1.0;

impl Config {
    /// Reads and checks the metadata. Which biases and norms there are is told by the tensors.
    pub fn from_gguf(file: &File) -> Result<Config> {
        let metadata = file.metadata();
        let name: &str = metadata.get("general.architecture")?;
        let architecture = match name {
            "llama" | "mistral" => Architecture::Llama,
            "qwen2" => Architecture::Qwen2,
            "qwen3" => Architecture::Qwen3,
            _ => return Err(Error::Architecture { architecture: name.to_string() }),
        };
        let key = |rest: &str| format!("{name}.{rest}");
        let size = |rest: &str| -> Result<usize> { Ok(metadata.get::<usize>(&key(rest))?) };
        let maybe = |rest: &str| -> Result<Option<usize>> { Ok(metadata.find::<usize>(&key(rest))?) };
        if maybe("expert_count")?.unwrap_or(0) > 0 {
            return Err(Error::Architecture { architecture: format!("{name} with experts") });
        }
        let (hidden, heads) = (size("embedding_length")?, size("attention.head_count")?);
        let head_size = match maybe("attention.key_length")? {
            Some(head_size) => head_size,
            None if heads == 0 => return unusable("the model has no attention heads".to_string()),
            None => hidden / heads,
        };
        if maybe("attention.value_length")?.is_some_and(|value_size| value_size != head_size) {
            return unusable("keys and values differ in size".to_string());
        }
        let context = size("context_length")?;
        let has = |tensor: &str| file.find(tensor).is_some();
        let config = Config {
            architecture,
            hidden,
            layers: size("block_count")?,
            heads,
            kv_heads: maybe("attention.head_count_kv")?.unwrap_or(heads),
            head_size,
            ffn: size("feed_forward_length")?,
            vocabulary: file.tensor("token_embd.weight")?.shape().first().copied().unwrap_or(0),
            norm_eps: metadata.get::<f32>(&key("attention.layer_norm_rms_epsilon"))?,
            rope: rope(file, name, architecture, head_size, context)?,
            biases: Biases {
                query_key_value: has("blk.0.attn_q.bias"),
                attention_output: has("blk.0.attn_output.bias"),
                ffn: has("blk.0.ffn_gate.bias"),
            },
            query_key_norms: has("blk.0.attn_q_norm.weight"),
            tied: !has("output.weight"),
            // Beyond its window a model would attend differently from how it was trained.
            context: maybe("attention.sliding_window")?.filter(|&window| window > 0).unwrap_or(context).min(context),
        };
        config.validate()?;
        Ok(config)
    }
}

fn rope(file: &File, name: &str, architecture: Architecture, head_size: usize, context: usize) -> Result<RopeConfig> {
    let metadata = file.metadata();
    let key = |rest: &str| format!("{name}.rope.{rest}");
    let fraction = |rest: &str| -> Result<Option<f32>> { Ok(metadata.find::<f32>(&key(rest))?) };
    let factor = fraction("scaling.factor")?;
    let original = metadata.find::<usize>(&key("scaling.original_context_length"))?.unwrap_or(context);
    let kind = metadata.find::<&str>(&key("scaling.type"))?;
    let scaling = match (kind, factor, factors(file)?) {
        (Some("longrope"), ..) => return unusable("the rope's scaling `longrope` is not supported".to_string()),
        (Some("yarn"), factor, _) => {
            let factor = factor.unwrap_or(1.0);
            let extra = fraction("scaling.attn_factor")?.unwrap_or(1.0);
            Scaling::Yarn {
                factor,
                original,
                beta_fast: fraction("scaling.yarn_beta_fast")?.unwrap_or(BETA_FAST),
                beta_slow: fraction("scaling.yarn_beta_slow")?.unwrap_or(BETA_SLOW),
                attention: Some(extra * (0.1 * factor.ln() + 1.0)),
            }
        }
        (_, _, Some(factors)) => Scaling::Factors(factors),
        (Some("linear"), Some(factor), None) if factor != 1.0 => Scaling::Linear { factor },
        (None, _, None) => match fraction("scale_linear")?.or(factor) {
            Some(factor) if factor != 1.0 && factor != 0.0 => Scaling::Linear { factor },
            _ => Scaling::Plain,
        },
        (Some("none" | "linear"), ..) => Scaling::Plain,
        (Some(other), ..) => return unusable(format!("the rope's scaling `{other}` is not known")),
    };
    Ok(RopeConfig {
        base: fraction("freq_base")?.unwrap_or(10000.0),
        rotated: metadata.find::<usize>(&key("dimension_count"))?.unwrap_or(head_size),
        pairs: if architecture == Architecture::Llama { Pairs::Adjacent } else { Pairs::Halves },
        scaling,
    })
}

/// llama3's factors stand in the file as a tensor of one value for each pair.
fn factors(file: &File) -> Result<Option<Vec<f32>>> {
    let Some(tensor) = file.find("rope_freqs.weight") else { return Ok(None) };
    let mut values = vec![0.0; tensor.values().min(super::HEAD_SIZE_MAX as u64) as usize];
    match dequantize(tensor.format, file.bytes(tensor), &mut values) {
        Ok(()) => Ok(Some(values)),
        Err(error) => unusable(format!("rope_freqs.weight: {error}")),
    }
}
