//! What a model will need in memory, known from its header alone.

use huacaya_kernels::Format;

use crate::Result;
use crate::candle::{READ_CHUNK, block_type, keeps_blocks};
use crate::config::Config;
use crate::native::{CHUNK, KvFormat, kv_bytes_per_token, scratch_bytes};
use crate::source::Source;

/// Keys and values of the candle decoder are computed with as they are kept: in f32.
const KV_BYTES: u64 = 4;

/// What computes, as far as it changes what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Weights stay in the mapped file.
    Native {
        kv: KvFormat,
        chunk: usize,
    },
    Candle {
        on_cpu: bool,
    },
}

/// Bytes on the chosen device.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// Weights as they are held for computing, repacked copies included.
    pub weights: u64,
    /// Keys and values of one position.
    pub kv_per_token: u64,
    /// What one step needs beside them, at the chosen context.
    pub scratch: u64,
    /// What is used beside the model takes: adapters, a model that guesses ahead.
    pub beside: u64,
    /// The chosen context, in tokens.
    pub context: usize,
    config: Config,
    holder: Holder,
}

impl Memory {
    pub(crate) fn of(source: &Source, config: &Config, context: usize, holder: Holder) -> Result<Memory> {
        Memory::count(config, context, holder, |name, shape| Ok(source.view(name, shape)?.format))
    }

    /// What a model of this shape would need on the processor before there is a file of it; `format_of` says how a tensor
    /// (by name) would be stored.
    pub fn expected(config: &Config, context: usize, format_of: impl Fn(&str) -> Format) -> Result<Memory> {
        config.validate()?;
        let holder = Holder::Native { kv: KvFormat::F16, chunk: CHUNK };
        Memory::count(config, context, holder, |name, _| Ok(format_of(name)))
    }

    fn count(
        config: &Config,
        context: usize,
        holder: Holder,
        format_of: impl Fn(&str, &[usize]) -> Result<Format>,
    ) -> Result<Memory> {
        let mut weights = 0;
        for (name, shape) in config.parameters() {
            let format = format_of(&name, &shape)?;
            weights += match holder {
                Holder::Native { .. } => stored(format, &shape),
                Holder::Candle { on_cpu } => {
                    let multiplied = name != "token_embd.weight" || config.tied;
                    held(format, &shape, multiplied, keeps_blocks(config, on_cpu), on_cpu)
                }
            };
        }
        let config = config.clone();
        Ok(Memory { weights, kv_per_token: 0, scratch: 0, beside: 0, context, config, holder }.at(context))
    }

    /// With so many bytes more for what is used beside the model.
    pub fn with(&self, bytes: u64) -> Memory {
        Memory { beside: self.beside + bytes, ..self.clone() }
    }

    /// The same model with keys and values kept in another format; `None` where nothing can be chosen: another decoder
    /// computes, or heads are no whole blocks of it.
    pub fn in_kv(&self, kv: KvFormat) -> Option<Memory> {
        match self.holder {
            Holder::Native { chunk, .. } if kv_bytes_per_token(&self.config, kv).is_ok() => {
                Some(self.held_by(Holder::Native { kv, chunk }))
            }
            _ => None,
        }
    }

    /// What keys and values are kept in, where that can be chosen.
    pub fn kv_format(&self) -> Option<KvFormat> {
        match self.holder {
            Holder::Native { kv, .. } => Some(kv),
            Holder::Candle { .. } => None,
        }
    }

    /// Keys and values of the whole context.
    pub fn kv(&self) -> u64 {
        self.kv_per_token * self.context as u64
    }

    pub fn total(&self) -> u64 {
        self.weights + self.kv() + self.scratch + self.beside
    }

    /// The same model held for other computing.
    pub(crate) fn held_by(&self, holder: Holder) -> Memory {
        Memory { holder, ..self.clone() }.at(self.context)
    }

    /// The same model with another context.
    pub fn at(&self, context: usize) -> Memory {
        let config = &self.config;
        let (kv_per_token, scratch) = match self.holder {
            Holder::Native { kv, chunk } => {
                // Heads that have no whole blocks are kept in f16.
                let bytes = kv_bytes_per_token(config, kv).or_else(|_| kv_bytes_per_token(config, KvFormat::F16));
                (bytes.unwrap_or_default(), scratch_bytes(config, chunk.min(context)))
            }
            Holder::Candle { .. } => {
                let values = config.kv_values_per_token();
                // Where angles depend on the length, keys are kept as they were before they were turned, too.
                let kept = if config.angles_depend_on_length() { values + values / 2 } else { values };
                let rows = READ_CHUNK.min(context);
                let layer = rows * (4 * config.hidden + 3 * config.ffn + 2 * config.query_width());
                let attention = 3 * rows * config.heads * context;
                (kept as u64 * KV_BYTES, 4 * (layer + attention + 2 * config.vocabulary) as u64)
            }
        };
        Memory { kv_per_token, scratch, context, ..self.clone() }
    }
}

/// Bytes of a tensor that is read where the file is mapped; what is small is held in f32 beside it.
fn stored(format: Format, shape: &[usize]) -> u64 {
    let values: u64 = shape.iter().map(|&n| n as u64).product();
    if shape.len() < 2 { values * 4 } else { format.bytes_of(values).unwrap_or(values * 4) }
}

/// Bytes that a tensor takes for computing.
fn held(format: Format, shape: &[usize], multiplied: bool, blocks: bool, on_cpu: bool) -> u64 {
    let values: u64 = shape.iter().map(|&n| n as u64).product();
    if shape.len() < 2 {
        return values * 4;
    }
    match block_type(format).filter(|_| blocks) {
        None if on_cpu => values * 4,
        None => values * 2,
        Some(_) => {
            let stored = format.bytes_of(values).unwrap_or(values * 4);
            let copy = if multiplied && on_cpu { repacked_bytes_per_value(format) } else { 0.0 };
            stored + (values as f64 * copy) as u64
        }
    }
}

/// candle keeps a copy in the layout that its kernels want beside the blocks (`repack_x86.rs`, `repack.rs`).
fn repacked_bytes_per_value(format: Format) -> f64 {
    #[cfg(target_arch = "x86_64")]
    let bytes = {
        let avx2 = std::arch::is_x86_feature_detected!("avx2");
        let avx512 = std::arch::is_x86_feature_detected!("avx512vnni");
        match format {
            // Tiles of 16 rows: the 4-bit codes and unpacked scales; with AMX (never without AVX-512) also as bytes.
            Format::Q4_K if avx512 => 0.75 + 1.25,
            Format::Q4_K if avx2 => 0.75,
            Format::Q6_K if avx2 => 1.25,
            Format::Q8_0 if avx512 => 1.0625,
            _ => 0.0,
        }
    };
    #[cfg(target_arch = "aarch64")]
    let bytes = match format {
        Format::Q4_0 | Format::Q4_K | Format::Q5_K | Format::Q6_K | Format::Q8_0 => {
            format.block_bytes() as f64 / format.block_length() as f64
        }
        _ => 0.0,
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let bytes = {
        let _ = format;
        0.0
    };
    bytes
}

#[cfg(test)]
mod tests {
    use huacaya_weights::gguf::TensorPlan;
    use huacaya_weights::quantize::{Scheme, Shape, Wanted, plan};

    use super::*;

    const SHAPE: [usize; 2] = [1024, 4096];
    const VALUES: u64 = 1024 * 4096;

    #[test]
    fn weights_are_counted_as_they_are_held() {
        let held = |format, multiplied, on_cpu| held(format, &SHAPE, multiplied, true, on_cpu);
        // Formats that candle cannot multiply by are unpacked: f32 on the processor, f16 on a graphics card.
        for format in [Format::F32, Format::F16, Format::BF16, Format::IQ4_XS, Format::MXFP4] {
            assert_eq!((held(format, true, true), held(format, true, false)), (VALUES * 4, VALUES * 2));
        }
        // Blocks stay blocks: 144 bytes for 256 values, and a repacked copy only where they are multiplied.
        assert_eq!(held(Format::Q4_K, false, true), VALUES / 256 * 144);
        assert_eq!(held(Format::Q4_K, true, false), VALUES / 256 * 144);
        assert!(held(Format::Q4_K, true, true) >= VALUES / 256 * 144);
        assert_eq!(super::held(Format::Q8_0, &[4096], false, true, true), 4096 * 4);
        assert_eq!(super::held(Format::Q8_0, &SHAPE, true, false, true), VALUES * 4);
    }

    /// The 7B of Chinese-LLaMA-2 at the length that its authors go to, its rope's base growing with the text.
    #[test]
    fn a_quantized_7b_at_18000_tokens_takes_less_than_8_gigabytes() {
        let text = r#"{"architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "num_hidden_layers": 32,
            "num_attention_heads": 32, "intermediate_size": 11008, "vocab_size": 55296, "max_position_embeddings": 18432,
            "rms_norm_eps": 1e-5, "rope_scaling": {"type": "dynamic", "factor": 2.0}}"#;
        let config = Config::from_json(&serde_json::from_str(text).unwrap()).unwrap();
        assert!(config.angles_depend_on_length());
        let tensors = config.parameters().into_iter().map(|(name, shape)| {
            let format = if shape.len() < 2 { Format::F32 } else { Format::F16 };
            TensorPlan::from_shape(&name, &shape, format)
        });
        let shape = Shape { layers: config.layers, heads: config.heads, kv_heads: config.kv_heads };
        let wanted = Wanted { scheme: Scheme::Q4_K_M, by_hand: Vec::new(), weighted: false };
        let planned = plan(&tensors.collect::<Vec<_>>(), shape, &wanted);
        let format_of = |name: &str| planned.iter().find(|tensor| tensor.name == name).unwrap().format;
        let memory = Memory::expected(&config, 18_000, format_of).unwrap();
        let memory = memory.held_by(Holder::Native { kv: KvFormat::Q4_0, chunk: CHUNK });
        // Keys and values, 32 layers of 4096 values each, 18 bytes for 32 of them.
        assert_eq!(memory.kv_per_token, 2 * 32 * 4096 / 32 * 18);
        // The file of Q4_K_M: 4.0 to 4.4 GB for 6.9 billion parameters.
        assert!((4_000_000_000..4_400_000_000).contains(&memory.weights), "{}", memory.weights);
        assert!(memory.total() < 7_500_000_000, "{}", memory.total());
    }

    /// The published f16 figure of the 1.3B, 64 KiB a token; twice where keys and values are kept in f32.
    #[test]
    fn keys_and_values_are_counted_as_published() {
        let text = r#"{"architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "num_hidden_layers": 4,
            "num_attention_heads": 32, "intermediate_size": 11008, "vocab_size": 55296,
            "max_position_embeddings": 4096, "rms_norm_eps": 1e-5}"#;
        let config = Config::from_json(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(config.parameter_count(), 1_262_522_368);
        let of = |holder| {
            let memory = Memory {
                weights: 5,
                kv_per_token: 0,
                scratch: 0,
                beside: 0,
                context: 0,
                config: config.clone(),
                holder,
            };
            memory.at(4096)
        };
        let native = of(Holder::Native { kv: KvFormat::F16, chunk: CHUNK });
        assert_eq!((native.kv_per_token, native.kv()), (64 << 10, 256 << 20));
        assert_eq!(of(Holder::Native { kv: KvFormat::Q8_0, chunk: CHUNK }).kv_per_token, (64 << 10) / 32 * 17);
        assert_eq!(native.with(7).with(2).at(512).total(), native.at(512).total() + 9);
        let small = native.in_kv(KvFormat::Q4_0).unwrap();
        assert_eq!((small.kv_per_token, small.kv_format()), ((64 << 10) / 64 * 18, Some(KvFormat::Q4_0)));
        let memory = of(Holder::Candle { on_cpu: true });
        assert_eq!((memory.kv_per_token, memory.kv()), (128 << 10, 512 << 20));
        assert_eq!((memory.in_kv(KvFormat::Q4_0), memory.kv_format()), (None, None));
        assert_eq!(memory.total(), 5 + memory.kv() + memory.scratch);
        // Attention's table for 64 rows: 32 heads * 4096 positions * 4 bytes, three of them at a time.
        assert!(memory.scratch > 3 * (32 << 20) && memory.scratch < 256 << 20, "{}", memory.scratch);
    }
}
