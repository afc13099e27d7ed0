//! What a model that is not here yet would need in memory: its shape from the catalogue, from its `config.json`, or from
//! the header of one of its files.

use std::path::Path;

use huacaya_engine::{Memory, config::Config};
use huacaya_hub::FileSource;
use huacaya_weights::{Format, gguf::Front};
use serde_json::{Value, json};

use crate::{
    App,
    catalogue::{self, Catalogue},
    choices::Choice,
    downloads::Pick,
    finding::{ChoiceKind, Found},
    network,
};

/// A `config.json` has some kilobytes.
const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// How much of a file is read for its shape, which stands before the vocabulary; more where somebody put much before it.
const START_BYTES: [u64; 2] = [256 << 10, 8 << 20];
/// The context that needs are told for, as in the catalogue.
const CONTEXT_TOLD: usize = 4096;

/// The shape of the models of a repository: all of its choices have the same. `None` where it cannot be known, or is not
/// one that runs here.
pub(crate) async fn of(app: &App, found: &Found, offers: &[(Choice, Pick)]) -> Option<Config> {
    if let Found::Repository(repository) = found {
        let catalogue = Catalogue::bundled();
        let entry = catalogue.entry_of(&repository.id.to_string());
        if let Some(config) = entry.and_then(|entry| catalogue.config(entry)) {
            return Some(config.clone());
        }
        if let Some(file) = repository.files.iter().find(|file| file.name.as_str() == "config.json") {
            let text = app.hub().start_of(&repository.source(&file.name), CONFIG_BYTES_MAX).await.ok()?;
            let config = serde_json::from_slice::<Value>(&text).ok()?;
            if let Ok(config) = Config::from_json(&config) {
                return Some(config);
            }
        }
    }
    let ggufs = offers.iter().filter(|(choice, _)| choice.kind == ChoiceKind::Gguf && choice.files.len() == 1);
    let (choice, pick) = ggufs.min_by_key(|(choice, _)| choice.bytes())?;
    let source = match (found, &pick.url) {
        (_, Some(url)) => FileSource { url: network::address(url).ok()?, etag: None },
        (Found::Repository(repository), None) => repository.source(&repository.file(&choice.id)?.name),
        (Found::File(_), None) => return None,
    };
    of_header(app, &source, choice.bytes()).await
}

async fn of_header(app: &App, source: &FileSource, bytes: u64) -> Option<Config> {
    for most in START_BYTES {
        let start = app.hub().start_of(source, most).await.ok()?;
        match Front::parse(Path::new("header"), &start) {
            Ok(front) => {
                if let Some(config) = of_front(&front) {
                    return Some(config);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a file on the hub is no model");
                return None;
            }
        }
        if most >= bytes {
            return None;
        }
    }
    None
}

/// The shape by the keys of a header's beginning, said in the words of a `config.json`.
fn of_front(front: &Front) -> Option<Config> {
    let architecture = front.metadata.find::<&str>("general.architecture").ok()??;
    let number = |key: &str| front.metadata.value(&format!("{architecture}.{key}"))?.as_integer();
    let layers = number("block_count")?;
    let mut config = json!({
        "model_type": architecture,
        "hidden_size": number("embedding_length")?,
        "num_hidden_layers": layers,
        "num_attention_heads": number("attention.head_count")?,
        "num_key_value_heads": number("attention.head_count_kv").or(number("attention.head_count"))?,
        "intermediate_size": number("feed_forward_length")?,
        "max_position_embeddings": number("context_length")?,
        "vocab_size": front.array_length("tokenizer.ggml.tokens")?,
        // Each layer has as many tensors as the others; beside them stand the embeddings, a norm, and the output's
        // matrix where it is one of its own.
        "tie_word_embeddings": i128::from(front.tensor_count).checked_rem(layers)? == 2,
    });
    if let (Some(size), Value::Object(fields)) = (number("attention.key_length"), &mut config) {
        fields.insert("head_dim".to_string(), json!(size));
    }
    Config::from_json(&config).ok()
}

/// Bytes that a choice of this shape needs; where its quantization is not known by its name, from its size.
pub(crate) fn memory(config: &Config, kind: ChoiceKind, quantization: &str, bytes: u64) -> Option<u64> {
    // A folder's weights are held as 16-bit ones are.
    let name = if kind == ChoiceKind::Folder { "F16" } else { quantization };
    let by_size = || {
        let context = config.context.min(CONTEXT_TOLD);
        let memory = Memory::expected(config, context, |_| Format::F16).ok()?;
        Some(bytes + memory.kv() + memory.scratch)
    };
    catalogue::memory_of(config, name).or_else(by_size)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bundled model's file, cut long before its vocabulary ends, says what the whole file says.
    #[test]
    fn the_shape_is_known_from_a_files_first_bytes() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/demo/huacaya-demo.gguf");
        let whole = Config::from_gguf(&huacaya_weights::gguf::File::open(Path::new(file)).unwrap()).unwrap();
        let bytes = std::fs::read(file).unwrap();
        let front = Front::parse(Path::new(file), &bytes[..4096]).unwrap();
        let config = of_front(&front).unwrap();
        assert!(front.cut.is_some_and(|(key, _)| key == "tokenizer.ggml.tokens"));
        assert_eq!((config.hidden, config.layers, config.heads), (whole.hidden, whole.layers, whole.heads));
        assert_eq!((config.kv_heads, config.head_size, config.ffn), (whole.kv_heads, whole.head_size, whole.ffn));
        assert_eq!((config.vocabulary, config.tied, config.context), (whole.vocabulary, whole.tied, whole.context));
        assert_eq!(config.parameter_count(), whole.parameter_count());
    }

    #[test]
    fn what_is_no_model_has_no_shape() {
        assert!(Front::parse(Path::new("page"), b"<html>").is_err());
        let front = Front::parse(Path::new("short"), b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0\xff\0\0\0\0\0\0\0").unwrap();
        assert!(of_front(&front).is_none());
    }
}
