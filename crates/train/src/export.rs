//! Trained weights to a GGUF file.

use std::path::Path;

use huacaya_engine::config::Config;
use huacaya_engine::tokenizer::{Kind, Tokenizer};
use huacaya_weights::Format;
use huacaya_weights::gguf::{Array, Metadata, TensorPlan, Value, Writer};

use crate::Result;
use crate::checkpoint::Named;

/// The Alpaca-2 template for programs that read templates from the file.
const CHAT_TEMPLATE: &str = include_str!("chat_template.jinja");
/// `general.file_type` of files whose matrices are Q8_0 and of plain ones (llama.cpp's `llama_ftype`).
const MOSTLY_Q8_0: u32 = 7;
const ALL_F32: u32 = 0;

/// What a file says about its model in words.
pub struct About<'a> {
    pub name: &'a str,
    pub description: &'a str,
}

/// Writes the model: matrices in `format`, norms as F32.
pub fn write(
    path: &Path,
    about: &About,
    config: &Config,
    tokenizer: &Tokenizer,
    weights: &Named,
    format: Format,
) -> Result<()> {
    let mut metadata = Metadata::new(path);
    describe(&mut metadata, about, config, format);
    vocabulary(&mut metadata, tokenizer);
    let plan: Vec<TensorPlan> = weights
        .iter()
        .map(|(name, tensor)| {
            let format = if tensor.rank() > 1 { format } else { Format::F32 };
            TensorPlan::from_shape(name, tensor.dims(), format)
        })
        .collect();
    let mut writer = Writer::create(path, &metadata, &plan)?;
    for (name, tensor) in weights {
        writer.values(name, &tensor.flatten_all()?.to_vec1::<f32>()?)?;
    }
    Ok(writer.finish()?)
}

fn describe(metadata: &mut Metadata, about: &About, config: &Config, format: Format) {
    let number = |value: usize| Value::U32(value as u32);
    let text = |value: &str| Value::String(value.to_owned());
    metadata.set("general.architecture", text(config.architecture.name()));
    metadata.set("general.name", text(about.name));
    metadata.set("general.description", text(about.description));
    metadata.set("general.license", text("apache-2.0"));
    metadata.set("general.languages", Value::Array(Array::String(vec!["zh".to_owned(), "en".to_owned()])));
    metadata.set("general.file_type", Value::U32(if format == Format::Q8_0 { MOSTLY_Q8_0 } else { ALL_F32 }));
    metadata.set("general.quantization_version", Value::U32(2));
    metadata.set("llama.vocab_size", number(config.vocabulary));
    metadata.set("llama.context_length", number(config.context));
    metadata.set("llama.embedding_length", number(config.hidden));
    metadata.set("llama.block_count", number(config.layers));
    metadata.set("llama.feed_forward_length", number(config.ffn));
    metadata.set("llama.attention.head_count", number(config.heads));
    metadata.set("llama.attention.head_count_kv", number(config.kv_heads));
    metadata.set("llama.attention.layer_norm_rms_epsilon", Value::F32(config.norm_eps));
    metadata.set("llama.rope.dimension_count", number(config.rope.rotated));
    metadata.set("llama.rope.freq_base", Value::F32(config.rope.base));
}

fn vocabulary(metadata: &mut Metadata, tokenizer: &Tokenizer) {
    let ids = 0..tokenizer.vocabulary_size() as u32;
    let pieces = ids.clone().map(|id| tokenizer.piece(id).unwrap_or_default().to_owned()).collect();
    let first = ids.clone().find(|&id| tokenizer.kind(id) == Kind::Normal).unwrap_or(0);
    // SentencePiece's BPE gives each merged piece the score of its rank: 0, -1, -2, …
    let scores = ids.clone().map(|id| if id < first { 0.0 } else { -((id - first) as f32) }).collect();
    let kinds = ids.map(|id| kind_number(tokenizer.kind(id))).collect();
    metadata.set("tokenizer.ggml.model", Value::String("llama".to_owned()));
    metadata.set("tokenizer.ggml.tokens", Value::Array(Array::String(pieces)));
    metadata.set("tokenizer.ggml.scores", Value::Array(Array::F32(scores)));
    metadata.set("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds)));
    for (key, id) in [("bos", tokenizer.bos()), ("eos", tokenizer.eos()), ("unknown", Some(0))] {
        if let Some(id) = id {
            metadata.set(&format!("tokenizer.ggml.{key}_token_id"), Value::U32(id));
        }
    }
    metadata.set("tokenizer.ggml.add_bos_token", Value::Bool(true));
    metadata.set("tokenizer.ggml.add_eos_token", Value::Bool(false));
    metadata.set("tokenizer.ggml.add_space_prefix", Value::Bool(true));
    metadata.set("tokenizer.ggml.remove_extra_whitespaces", Value::Bool(false));
    metadata.set("tokenizer.chat_template", Value::String(CHAT_TEMPLATE.trim_end().to_owned()));
}

/// The numbers of SentencePiece's and llama.cpp's token types.
fn kind_number(kind: Kind) -> i32 {
    match kind {
        Kind::Normal => 1,
        Kind::Unknown => 2,
        Kind::Control => 3,
        Kind::UserDefined => 4,
        Kind::Unused => 5,
        Kind::Byte => 6,
    }
}
