//! A model's shape and rope: from `config.json` to a GGUF's keys.
//!
//! Source: `TextModel.set_gguf_parameters`, `LlamaModel` and `Qwen3Model` of `convert_hf_to_gguf.py`; what a configuration
//! leaves out is as in `transformers`.

use std::f32::consts::PI;
use std::path::Path;

use serde_json::Value;

use super::Fault;
use crate::Error;
use crate::gguf::Metadata;

/// Far more than any model has; so that no product of two overflows.
const SIZE_MAX: u64 = 1 << 31;
/// Heads have 64 to 256 values; llama3's scaling has a number for each pair.
const HEAD_SIZE_MAX: u64 = 1 << 16;
/// Where llama3's scaling leaves it out.
const LLAMA3_FACTOR: f64 = 8.0;
const LLAMA3_ORIGINAL: f64 = 8192.0;
/// Units of a label such as `7B`.
const UNITS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")];

/// Whose layers these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Architecture {
    Llama,
    Mistral,
    Qwen2,
    Qwen3,
}

impl Architecture {
    fn of(config: &Value) -> Result<Architecture, Fault> {
        let named = config["architectures"][0].as_str().or(config["model_type"].as_str()).unwrap_or_default();
        Ok(match named {
            "LlamaForCausalLM" | "LLaMAForCausalLM" | "LlamaModel" | "llama" => Architecture::Llama,
            "MistralForCausalLM" | "mistral" => Architecture::Mistral,
            "Qwen2ForCausalLM" | "Qwen2Model" | "qwen2" => Architecture::Qwen2,
            "Qwen3ForCausalLM" | "Qwen3Model" | "qwen3" => Architecture::Qwen3,
            other => return Err(Fault::Architecture { architecture: other.to_owned() }),
        })
    }

    /// GGUF's name: Mistral's layers are Llama's.
    fn name(self) -> &'static str {
        match self {
            Architecture::Llama | Architecture::Mistral => "llama",
            Architecture::Qwen2 => "qwen2",
            Architecture::Qwen3 => "qwen3",
        }
    }

    pub(super) fn is_llama(self) -> bool {
        self.name() == "llama"
    }

    fn context(self) -> u64 {
        match self {
            Architecture::Llama => 2048,
            Architecture::Mistral => 131_072,
            Architecture::Qwen2 | Architecture::Qwen3 => 32_768,
        }
    }
}

/// What the tensors' conversion and the keys need to know.
#[derive(Clone, Debug)]
pub(super) struct Hyperparameters {
    pub architecture: Architecture,
    pub layers: u64,
    pub heads: u64,
    pub kv_heads: u64,
    pub vocabulary: u64,
    hidden: u64,
    ffn: u64,
    /// Values of a head, where the file says so.
    head_size: Option<u64>,
    context: u64,
    norm_eps: f64,
    rope: Rope,
}

#[derive(Clone, Debug)]
struct Rope {
    base: f64,
    scaling: Value,
    kind: String,
}

impl Hyperparameters {
    pub(super) fn read(config: &Value) -> Result<Hyperparameters, Fault> {
        let architecture = Architecture::of(config)?;
        if let Some(quantization) = config.get("quantization_config").filter(|value| value.is_object()) {
            let method = quantization["quant_method"].as_str().unwrap_or("?").to_owned();
            return Err(Fault::Quantized { method });
        }
        if let Some(activation) = config["hidden_act"].as_str().filter(|name| !matches!(*name, "silu" | "swish")) {
            return Err(Fault::Activation { activation: activation.to_owned() });
        }
        let hidden = required(config, "hidden_size")?;
        let heads = required(config, "num_attention_heads")?;
        let head_size = match (size(config, "head_dim")?, architecture) {
            (Some(size), _) => Some(size),
            (None, Architecture::Llama | Architecture::Mistral) => Some(hidden / heads),
            (None, Architecture::Qwen2) => None,
            (None, Architecture::Qwen3) => Some(128),
        };
        let values = head_size.unwrap_or(hidden / heads);
        if !(1..=HEAD_SIZE_MAX).contains(&values) || !values.is_multiple_of(2) {
            return Err(Fault::Key { key: "head_dim" });
        }
        Ok(Hyperparameters {
            architecture,
            layers: required(config, "num_hidden_layers")?,
            heads,
            kv_heads: size(config, "num_key_value_heads")?.unwrap_or(heads),
            vocabulary: required(config, "vocab_size")?,
            hidden,
            ffn: required(config, "intermediate_size")?,
            head_size,
            context: size(config, "max_position_embeddings")?.unwrap_or(architecture.context()),
            norm_eps: number(config, "rms_norm_eps")?.unwrap_or(1e-6),
            rope: rope(config)?,
        })
    }

    fn head_size(&self) -> u64 {
        self.head_size.unwrap_or(self.hidden / self.heads)
    }

    /// GGUF's dimensions, row length first, of the tensor of this name.
    pub(super) fn dimensions(&self, name: &str) -> Option<Vec<u64>> {
        let (queries, keys) = (self.heads * self.head_size(), self.kv_heads * self.head_size());
        let part = match name.strip_prefix("blk.") {
            Some(rest) => rest.split_once('.')?.1,
            None => name,
        };
        Some(match part {
            "token_embd.weight" | "output.weight" => vec![self.hidden, self.vocabulary],
            "attn_q.weight" => vec![self.hidden, queries],
            "attn_k.weight" | "attn_v.weight" => vec![self.hidden, keys],
            "attn_output.weight" => vec![queries, self.hidden],
            "ffn_gate.weight" | "ffn_up.weight" => vec![self.hidden, self.ffn],
            "ffn_down.weight" => vec![self.ffn, self.hidden],
            "attn_q.bias" => vec![queries],
            "attn_k.bias" | "attn_v.bias" => vec![keys],
            "attn_q_norm.weight" | "attn_k_norm.weight" => vec![self.head_size()],
            "ffn_gate.bias" | "ffn_up.bias" => vec![self.ffn],
            "output_norm.weight" | "attn_norm.weight" | "ffn_norm.weight" | "attn_output.bias" | "ffn_down.bias" => {
                vec![self.hidden]
            }
            _ => return None,
        })
    }

    /// The keys of a model of this shape, without the tokenizer's.
    pub(super) fn keys(&self, path: &Path, about: &About<'_>) -> Result<Metadata, Fault> {
        let mut metadata = Metadata::new(path);
        let name = self.architecture.name();
        metadata.set("general.architecture", name.into());
        metadata.set("general.type", "model".into());
        sampling(&mut metadata, about.generation);
        metadata.set("general.name", title(about.name).into());
        metadata.set("general.size_label", size_label(about.parameters).into());
        let mut count = |key: &str, value: u64| metadata.set(&format!("{name}.{key}"), (value as u32).into());
        count("block_count", self.layers);
        count("context_length", self.context);
        count("embedding_length", self.hidden);
        count("feed_forward_length", self.ffn);
        count("attention.head_count", self.heads);
        count("attention.head_count_kv", self.kv_heads);
        if let Some(head_size) = self.head_size {
            count("attention.key_length", head_size);
            count("attention.value_length", head_size);
        }
        if self.architecture.is_llama() {
            count("vocab_size", self.vocabulary);
            count("rope.dimension_count", self.head_size());
        }
        let key = |rest: &str| format!("{name}.{rest}");
        metadata.set(&key("attention.layer_norm_rms_epsilon"), (self.norm_eps as f32).into());
        metadata.set(&key("rope.freq_base"), (self.rope.base as f32).into());
        self.rope.scaling_keys(name, &mut metadata)?;
        Ok(metadata)
    }

    /// What each pair's frequency is divided by: of llama3's scaling, which GGUF files have as a tensor.
    ///
    /// In f32 throughout, as llama.cpp's converter computes it.
    pub(super) fn rope_factors(&self) -> Result<Option<Vec<f32>>, Fault> {
        // The converter knows this scaling in Llama's class only.
        if self.rope.kind != "llama3" || !self.architecture.is_llama() {
            return Ok(None);
        }
        let or = |key, default| number(&self.rope.scaling, key).map(|value| value.unwrap_or(default) as f32);
        let (factor, original) =
            (or("factor", LLAMA3_FACTOR)?, or("original_max_position_embeddings", LLAMA3_ORIGINAL)?);
        let (low, high) = (or("low_freq_factor", 1.0)?, or("high_freq_factor", 4.0)?);
        let size = self.head_size() as f32;
        let divisor = |pair: u64| {
            let frequency = 1.0 / (self.rope.base as f32).powf((2 * pair) as f32 / size);
            let wave = 2.0 * PI / frequency;
            if wave < original / high {
                1.0
            } else if wave > original / low {
                factor
            } else {
                let smooth = (original / wave - low) / (high - low);
                1.0 / ((1.0 - smooth) / factor + smooth)
            }
        };
        Ok(Some((0..self.head_size() / 2).map(divisor).collect()))
    }
}

/// What a file says of a model besides its shape.
pub(super) struct About<'a> {
    /// As on Hugging Face or of the folder: `chinese-alpaca-2-7b`.
    pub name: &'a str,
    /// `generation_config.json`, or null.
    pub generation: &'a Value,
    /// Values of all tensors.
    pub parameters: u64,
}

fn rope(config: &Value) -> Result<Rope, Fault> {
    let scaling = [&config["rope_parameters"], &config["rope_scaling"]].into_iter().find(|value| value.is_object());
    let scaling = scaling.cloned().unwrap_or(Value::Null);
    let base = number(&scaling, "rope_theta")?.or(number(config, "rope_theta")?).unwrap_or(10_000.0);
    let kind = scaling["rope_type"].as_str().or(scaling["type"].as_str()).unwrap_or("default").to_lowercase();
    match kind.as_str() {
        // The dynamic one has no place in a GGUF: it changes nothing within the length that the model was made for.
        "default" | "linear" | "yarn" | "llama3" | "dynamic" => Ok(Rope { base, scaling, kind }),
        _ => Err(Fault::RopeScaling { kind }),
    }
}

impl Rope {
    fn scaling_keys(&self, name: &str, metadata: &mut Metadata) -> Result<(), Fault> {
        if !matches!(self.kind.as_str(), "linear" | "yarn") {
            return Ok(());
        }
        let key = |rest: &str| format!("{name}.rope.scaling.{rest}");
        let Some(factor) = number(&self.scaling, "factor")? else { return Err(Fault::Key { key: "factor" }) };
        metadata.set(&key("type"), self.kind.as_str().into());
        metadata.set(&key("factor"), (factor as f32).into());
        if self.kind == "linear" {
            return Ok(());
        }
        let original = required(&self.scaling, "original_max_position_embeddings")?;
        metadata.set(&key("original_context_length"), (original as u32).into());
        let attention = if self.scaling["attention_factor"].is_null() { "attn_factor" } else { "attention_factor" };
        for (ours, theirs) in [
            ("yarn_ext_factor", "extrapolation_factor"),
            ("yarn_attn_factor", attention),
            ("yarn_beta_fast", "beta_fast"),
            ("yarn_beta_slow", "beta_slow"),
        ] {
            if let Some(value) = number(&self.scaling, theirs)? {
                metadata.set(&key(ours), (value as f32).into());
            }
        }
        Ok(())
    }
}

/// What `generation_config.json` recommends.
fn sampling(metadata: &mut Metadata, generation: &Value) {
    if let Some(top_k) = generation["top_k"].as_i64().and_then(|value| i32::try_from(value).ok()) {
        metadata.set("general.sampling.top_k", top_k.into());
    }
    for (ours, theirs) in
        [("top_p", "top_p"), ("min_p", "min_p"), ("temp", "temperature"), ("penalty_repeat", "repetition_penalty")]
    {
        if let Some(value) = generation[theirs].as_f64() {
            metadata.set(&format!("general.sampling.{ours}"), (value as f32).into());
        }
    }
}

/// `chinese-alpaca-2-7b` as `Chinese Alpaca 2 7b`: words with a capital of their own, and versions, stay as they are.
fn title(name: &str) -> String {
    let words = name.replace('-', " ");
    let words = words.split_whitespace().map(|word| {
        let is_lower = word.chars().any(char::is_lowercase) && !word.chars().any(char::is_uppercase);
        if is_lower && !is_version(word) { capitals(word) } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// `v1.5`, or anything that begins with a digit.
fn is_version(word: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    word.starts_with(|first: char| first.is_ascii_digit())
        || word.strip_prefix('v').is_some_and(|rest| rest.split('.').all(digits))
}

/// A capital after everything that is no letter.
fn capitals(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut inside = false;
    for character in word.chars() {
        if inside {
            out.push(character)
        } else {
            out.extend(character.to_uppercase())
        }
        inside = character.is_alphabetic();
    }
    out
}

/// Values of all tensors, to two digits at least: `6.9B`.
fn size_label(parameters: u64) -> String {
    let count = parameters as f64;
    let (unit, letter) = UNITS.into_iter().find(|(unit, _)| count > *unit).unwrap_or((1e3, "K"));
    let scaled = count / unit;
    let whole = scaled.round_ties_even() as u64;
    let digits = if whole == 0 { 0 } else { whole.ilog10() as usize + 1 };
    format!("{scaled:.*}{letter}", 2usize.saturating_sub(digits))
}

fn size(value: &Value, key: &'static str) -> Result<Option<u64>, Fault> {
    match value.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(found) => found.as_u64().filter(|size| (1..SIZE_MAX).contains(size)).map(Some).ok_or(Fault::Key { key }),
    }
}

fn required(value: &Value, key: &'static str) -> Result<u64, Fault> {
    size(value, key)?.ok_or(Fault::Key { key })
}

fn number(value: &Value, key: &'static str) -> Result<Option<f64>, Fault> {
    match value.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(found) => found.as_f64().filter(|number| number.is_finite()).map(Some).ok_or(Fault::Key { key }),
    }
}

/// The fault of a configuration, at its file.
pub(super) fn at(path: &Path) -> impl Fn(Fault) -> Error {
    move |fault| Error::new(path, fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sizes_read_as_llama_cpp_writes_them() {
        // As `Metadata.id_to_title` and `model_weight_count_rounded_notation` of gguf-py give them.
        assert_eq!(title("chinese-alpaca-2-7b-v1.5"), "Chinese Alpaca 2 7b v1.5");
        assert_eq!(title("Llama-2-chat_hf"), "Llama 2 Chat_Hf");
        let labels =
            [(6_929_256_448, "6.9B"), (1_262_522_368, "1.3B"), (13_254_415_360, "13B"), (25_000, "25K"), (900, "0.9K")];
        for (parameters, label) in labels {
            assert_eq!(size_label(parameters), label);
        }
    }
}
