//! The small files of a merged model: its configuration, its tokenizer, and what else the base's folder says of itself.

use std::path::Path;

use serde_json::Value;

use super::Fault;
use super::plan::refused;
use crate::Error;
use crate::adapter::Adapter;
use crate::folder::{CONFIG_NAME, Folder};
use crate::json::{read_bounded, read_config};

/// The largest tokenizers have 34 MB.
const FILE_BYTES_MAX: u64 = 128 << 20;
/// All of one tokenizer: never some from one folder and some from another.
const TOKENIZER_FILES: [&str; 9] = [
    "tokenizer.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
];
/// What else goes along from the base.
const BASE_FILES: [&str; 7] =
    ["generation_config.json", "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE", "NOTICE.txt", "USE_POLICY.md"];
/// Keys of a configuration that decide the tensors' shapes: two that differ here are of two models.
const SHAPE_KEYS: [&str; 7] = [
    "model_type",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
];
/// How the weights are stored: newer files call it `dtype`.
const TYPE_KEYS: [&str; 2] = ["torch_dtype", "dtype"];

/// A file to be written as it is.
pub(super) struct SmallFile {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Reads every small file of the merged model.
pub(super) fn collect(config: &Value, base: &Path, tokenizer: &Path) -> Result<Vec<SmallFile>, Error> {
    let mut bytes = serde_json::to_vec_pretty(config).unwrap_or_default();
    bytes.push(b'\n');
    let mut files = vec![SmallFile { name: CONFIG_NAME.to_owned(), bytes }];
    for (folder, names) in [(base, &BASE_FILES[..]), (tokenizer, &TOKENIZER_FILES[..])] {
        for name in names {
            let path = folder.join(name);
            if path.is_file() {
                files.push(SmallFile { name: (*name).to_owned(), bytes: read_bounded(&path, FILE_BYTES_MAX)? });
            }
        }
    }
    Ok(files)
}

/// The base's configuration, or that of the last adapter that has one (a longer context, say), with the new vocabulary.
pub(super) fn config(base: &Folder, adapters: &[Adapter], vocabulary: usize) -> Result<Value, Error> {
    let mut config = base.config().clone();
    for adapter in adapters {
        let path = adapter.path().join(CONFIG_NAME);
        if path.is_file() {
            config = read_config(&path)?;
            of_the_same_model(&config, base.config()).map_err(|fault| refused(&path, fault))?;
        }
    }
    let name = adapters.last().and_then(|adapter| adapter.path().file_name()).map(|name| name.to_string_lossy());
    if let Value::Object(fields) = &mut config {
        for key in TYPE_KEYS {
            match base.config().get(key) {
                Some(value) => fields.insert(key.to_owned(), value.clone()),
                None => fields.shift_remove(key),
            };
        }
        fields.insert("vocab_size".to_owned(), vocabulary.into());
        if let Some(name) = name {
            fields.insert("_name_or_path".to_owned(), name.into());
        }
    }
    Ok(config)
}

fn of_the_same_model(config: &Value, base: &Value) -> Result<(), Fault> {
    for key in SHAPE_KEYS {
        if let (Some(found), Some(wanted)) = (config.get(key), base.get(key))
            && !found.is_null()
            && !wanted.is_null()
            && found != wanted
        {
            return Err(Fault::Config { key, found: short(found), wanted: short(wanted) });
        }
    }
    Ok(())
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(40).collect()
}
