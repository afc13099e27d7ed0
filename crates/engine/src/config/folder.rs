//! A model's shape from the `config.json` of a Hugging Face folder.
//!
//! Source: transformers, `configuration_llama.py`, `configuration_mistral.py`, `configuration_qwen2.py`,
//! `configuration_qwen3.py`, `modeling_rope_utils.py` (older files say `rope_theta` and `rope_scaling`, newer ones
//! `rope_parameters`).

use serde_json::{Map, Value};

use super::{Architecture, Biases, Config, unusable};
use crate::rope::{Pairs, RopeConfig, Scaling};
use crate::{Error, Result};

impl Config {
    /// Reads and checks what a `config.json` holds.
    pub fn from_json(config: &Value) -> Result<Config> {
        let Value::Object(fields) = config else { return unusable("config.json is not an object".to_string()) };
        let fields = Fields(fields);
        let architecture = architecture(&fields)?;
        if let Some(activation) = fields.text("hidden_act").filter(|&name| name != "silu" && name != "swish") {
            return unusable(format!("the activation `{activation}` is not supported"));
        }
        let (hidden, heads) = (fields.required("hidden_size")?, fields.required("num_attention_heads")?);
        let head_size = match fields.size("head_dim")? {
            Some(head_size) => head_size,
            None if heads == 0 => return unusable("the model has no attention heads".to_string()),
            None if architecture == Architecture::Qwen3 => 128,
            None => hidden / heads,
        };
        let context = fields.required("max_position_embeddings")?;
        let window = match fields.flag("use_sliding_window") {
            Some(false) => None,
            None if architecture == Architecture::Qwen2 || architecture == Architecture::Qwen3 => None,
            _ => fields.size("sliding_window")?,
        };
        let attention_bias = fields.flag("attention_bias").unwrap_or(false);
        let config = Config {
            architecture,
            hidden,
            layers: fields.required("num_hidden_layers")?,
            heads,
            kv_heads: fields.size("num_key_value_heads")?.unwrap_or(heads),
            head_size,
            ffn: fields.required("intermediate_size")?,
            vocabulary: fields.required("vocab_size")?,
            norm_eps: fields.fraction("rms_norm_eps")?.unwrap_or(1e-6),
            rope: rope(&fields, head_size, context)?,
            biases: Biases {
                query_key_value: attention_bias || architecture == Architecture::Qwen2,
                attention_output: attention_bias,
                ffn: fields.flag("mlp_bias").unwrap_or(false),
            },
            query_key_norms: architecture == Architecture::Qwen3,
            tied: fields.flag("tie_word_embeddings").unwrap_or(false),
            // Beyond its window a model would attend differently from how it was trained.
            context: window.unwrap_or(context).min(context),
        };
        config.validate()?;
        Ok(config)
    }
}

fn architecture(fields: &Fields) -> Result<Architecture> {
    let named = fields.0.get("architectures").and_then(|names| names.get(0)).and_then(Value::as_str);
    let name = named.or_else(|| fields.text("model_type")).unwrap_or("(none)");
    match name {
        "LlamaForCausalLM" | "MistralForCausalLM" | "llama" | "mistral" => Ok(Architecture::Llama),
        "Qwen2ForCausalLM" | "qwen2" => Ok(Architecture::Qwen2),
        "Qwen3ForCausalLM" | "qwen3" => Ok(Architecture::Qwen3),
        _ => Err(Error::Architecture { architecture: name.to_string() }),
    }
}

fn rope(fields: &Fields, head_size: usize, context: usize) -> Result<RopeConfig> {
    let none = Map::new();
    let inner = |key: &str| fields.0.get(key).and_then(Value::as_object);
    let scaling = Fields(inner("rope_parameters").or_else(|| inner("rope_scaling")).unwrap_or(&none));
    let base = scaling.fraction("rope_theta")?.or(fields.fraction("rope_theta")?).unwrap_or(10000.0);
    let part = scaling.fraction("partial_rotary_factor")?.or(fields.fraction("partial_rotary_factor")?);
    let factor =
        || scaling.fraction("factor")?.map_or_else(|| unusable("the rope's scaling has no factor".to_string()), Ok);
    let original = scaling.size("original_max_position_embeddings")?.unwrap_or(context);
    let or = |key: &str, default: f32| -> Result<f32> { Ok(scaling.fraction(key)?.unwrap_or(default)) };
    let scaling = match scaling.text("rope_type").or_else(|| scaling.text("type")) {
        None | Some("default") => Scaling::Plain,
        Some("linear") => Scaling::Linear { factor: factor()? },
        Some("dynamic") => Scaling::NtkAdaptive { factor: factor()?, original, linear: 1.0 },
        Some("yarn") => Scaling::Yarn {
            factor: factor()?,
            original,
            beta_fast: or("beta_fast", 32.0)?,
            beta_slow: or("beta_slow", 1.0)?,
            attention: scaling.fraction("attention_factor")?,
        },
        Some("llama3") => Scaling::Llama3 {
            factor: factor()?,
            low: or("low_freq_factor", 1.0)?,
            high: or("high_freq_factor", 4.0)?,
            original,
        },
        Some(other) => return unusable(format!("the rope's scaling `{other}` is not supported")),
    };
    let rotated = part.map_or(head_size, |part| (head_size as f32 * part) as usize);
    Ok(RopeConfig { base, rotated, pairs: Pairs::Halves, scaling })
}

/// An object's fields, where `null` is as good as missing.
struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn value(&self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.value(key)?.as_str()
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.value(key)?.as_bool()
    }

    fn size(&self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match value.as_u64().and_then(|value| usize::try_from(value).ok()) {
            Some(size) => Ok(Some(size)),
            None => unusable(format!("config.json: `{key}` is {value}, not a whole number")),
        }
    }

    fn required(&self, key: &str) -> Result<usize> {
        self.size(key)?.map_or_else(|| unusable(format!("config.json has no `{key}`")), Ok)
    }

    fn fraction(&self, key: &str) -> Result<Option<f32>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match value.as_f64() {
            Some(fraction) => Ok(Some(fraction as f32)),
            None => unusable(format!("config.json: `{key}` is {value}, not a number")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config> {
        Config::from_json(&serde_json::from_str(text).unwrap())
    }

    fn json(extra: &str) -> String {
        format!(
            r#"{{"architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
            "intermediate_size": 11008, "vocab_size": 55296, "max_position_embeddings": 65536, "rms_norm_eps": 1e-05{extra}}}"#
        )
    }

    #[test]
    fn chinese_alpaca_2_7b_64k_is_read_as_published() {
        let text = json(
            r#", "num_key_value_heads": 32, "rope_scaling": {"type": "yarn", "factor": 16.0,
            "original_max_position_embeddings": 4096, "finetuned": true}, "tie_word_embeddings": false"#,
        );
        let config = read(&text).unwrap();
        assert_eq!(config.parameter_count(), 6_929_256_448);
        assert_eq!(config.kv_values_per_token() * 2, 512 * 1024);
        let Scaling::Yarn { factor, original, .. } = config.rope.scaling else { panic!("{:?}", config.rope) };
        assert_eq!((factor, original, config.context), (16.0, 4096, 65536));
    }

    #[test]
    fn another_architecture_is_named() {
        let text = json("").replace("LlamaForCausalLM", "GPT2LMHeadModel");
        assert!(read(&text).unwrap_err().to_string().contains("GPT2LMHeadModel"));
    }

    #[test]
    fn shapes_that_cannot_be_computed_are_refused() {
        for (from, to) in [
            ("4096", "0"),
            ("4096", "-1"),
            ("4096", "99999999999999"),
            ("\"num_attention_heads\": 32", "\"num_attention_heads\": 0"),
            ("\"num_attention_heads\": 32", "\"num_attention_heads\": 32, \"num_key_value_heads\": 5"),
            ("1e-05", "0"),
            ("1e-05", "\"x\""),
            ("65536", "0"),
            ("65536", "65536, \"rope_scaling\": {\"type\": \"longrope\"}"),
            ("65536", "65536, \"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}"),
            ("65536", "65536, \"rope_theta\": 0"),
            ("65536", "65536, \"hidden_act\": \"gelu\""),
        ] {
            let text = json("").replacen(from, to, 1);
            assert!(read(&text).is_err(), "{from} -> {to}");
        }
        assert!(read("[]").is_err());
    }

    #[test]
    fn mistrals_window_bounds_the_context() {
        let text = json(r#", "sliding_window": 4096"#).replace("Llama", "Mistral");
        assert_eq!(read(&text).unwrap().context, 4096);
    }
}
