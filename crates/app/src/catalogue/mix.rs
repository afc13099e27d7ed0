//! Quantization mixes: which format each tensor of a model has under a name such as `Q4_K_M`.
//!
//! Source: llama.cpp, `llama_tensor_get_type` in `llama-quant.cpp` (dense models of the Llama family, no importance
//! matrix). The published sizes of the catalogue's files agree with it to a fraction of a percent.

use huacaya_engine::config::Config;
use huacaya_weights::Format;

/// A mix by its main format and its letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    main: Format,
    /// `S`, `M` or `L`; `M` where the name has none.
    letter: Letter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letter {
    Small,
    Medium,
    Large,
}

impl Mix {
    /// `Q4_K_M`, `q8_0`, `F16`, `Q4_K_M-im`; `None` where this program does not run it.
    pub fn from_name(name: &str) -> Option<Mix> {
        let name = name.to_ascii_uppercase();
        let name = name.strip_suffix("-IM").unwrap_or(&name);
        if let Some(main) = Format::from_name(name) {
            return Some(Mix { main, letter: Letter::Medium });
        }
        let (main, letter) = name.rsplit_once('_')?;
        let letter = match letter {
            "S" => Letter::Small,
            "M" => Letter::Medium,
            "L" => Letter::Large,
            _ => return None,
        };
        let main = Format::from_name(main)?;
        matches!(main, Format::Q3_K | Format::Q4_K | Format::Q5_K | Format::Q2_K).then_some(Mix { main, letter })
    }

    /// The format that a tensor, by its name in GGUF, is stored in.
    pub fn format_of(self, tensor: &str, config: &Config) -> Format {
        if !tensor.ends_with(".weight") || tensor.ends_with("_norm.weight") {
            return Format::F32;
        }
        if self.main.is_plain() || self.main == Format::Q8_0 {
            return self.main;
        }
        if tensor == "output.weight" || (config.tied && tensor == "token_embd.weight") {
            return Format::Q6_K;
        }
        let layer = || tensor.strip_prefix("blk.")?.split_once('.')?.0.parse::<usize>().ok();
        match layer() {
            Some(layer) => self.in_layer(tensor, layer, config),
            None => self.main,
        }
    }

    fn in_layer(self, tensor: &str, layer: usize, config: &Config) -> Format {
        let (value, down) = (tensor.ends_with("attn_v.weight"), tensor.ends_with("ffn_down.weight"));
        let output = tensor.ends_with("attn_output.weight");
        let grouped = config.heads >= 4 * config.kv_heads;
        let eighth = config.layers / 8;
        let more = layer < eighth || layer >= 7 * config.layers / 8 || (layer - eighth) % 3 == 2;
        match (self.main, self.letter) {
            (Format::Q2_K, _) if value && grouped => Format::Q4_K,
            (Format::Q2_K, _) if value || down || output => Format::Q3_K,
            (Format::Q3_K, Letter::Medium) if value => {
                if layer < 2 {
                    Format::Q5_K
                } else {
                    Format::Q4_K
                }
            }
            (Format::Q3_K, Letter::Medium) if down && layer < config.layers / 16 => Format::Q5_K,
            (Format::Q3_K, Letter::Medium) if down || output => Format::Q4_K,
            (Format::Q3_K, Letter::Large) if value || down || output => Format::Q5_K,
            (Format::Q4_K, Letter::Small) if (value && layer < 4) || (down && layer < eighth) => Format::Q5_K,
            (Format::Q4_K | Format::Q5_K, Letter::Medium) if (value || down) && more => Format::Q6_K,
            (Format::IQ4_XS | Format::IQ4_NL, _) if (value && grouped) || (down && layer < eighth) => Format::Q5_K,
            (main, _) => main,
        }
    }

    /// Bytes of all tensors of a model of this shape. A file holds its vocabulary beside them.
    pub fn bytes(self, config: &Config) -> u64 {
        let bytes = |(name, shape): (String, Vec<usize>)| {
            let values: u64 = shape.iter().map(|&n| n as u64).product();
            self.format_of(&name, config).bytes_of(values).unwrap_or(values * 2)
        };
        config.parameters().into_iter().map(bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::from_json(&serde_json::from_str(text).unwrap()).unwrap()
    }

    /// Sizes of bartowski's files of DeepSeek-R1-Distill-Qwen-7B, as the hub lists them. Each holds some 6 MB of vocabulary.
    #[test]
    fn sizes_are_those_of_published_files() {
        let config = config(
            r#"{"architectures": ["Qwen2ForCausalLM"], "hidden_size": 3584, "num_hidden_layers": 28,
            "num_attention_heads": 28, "num_key_value_heads": 4, "intermediate_size": 18944, "vocab_size": 152064,
            "max_position_embeddings": 131072, "rms_norm_eps": 1e-6, "tie_word_embeddings": false}"#,
        );
        for (name, published) in [
            ("Q2_K", 3_015_940_064u64),
            ("Q3_K_S", 3_492_368_352),
            ("Q3_K_M", 3_808_391_136),
            ("Q3_K_L", 4_088_459_232),
            ("Q4_K_S", 4_457_768_928),
            ("Q4_K_M", 4_683_073_504),
            ("Q5_K_S", 5_315_176_416),
            ("Q5_K_M", 5_444_831_200),
            ("Q6_K", 6_254_198_752),
            ("Q8_0", 8_098_525_152),
            ("f16", 15_237_853_152),
        ] {
            let bytes = Mix::from_name(name).unwrap().bytes(&config);
            assert_eq!(published - bytes, 5_953_504, "{name}");
        }
    }

    #[test]
    fn names_that_are_no_mix_are_not_taken_for_one() {
        for name in ["", "Q4", "Q4_K_X", "Q6_K_M", "IQ2_XXS", "F17", "_M", "-im"] {
            assert_eq!(Mix::from_name(name), None, "{name}");
        }
        assert_eq!(Mix::from_name("q4_k_m-im"), Mix::from_name("Q4_K"));
    }
}
