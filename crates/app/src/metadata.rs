//! A model's inside, to look through: every key of its metadata, every tensor.

use std::{fmt::Display, path::Path};

use huacaya_store::ModelId;
use huacaya_weights::{
    Checkpoint, Listed, Shard,
    gguf::{Array, Metadata, Value},
};
use serde::Serialize;
use serde_json::Value as Json;
use ts_rs::TS;

use crate::{
    App, blocking,
    error::{Code, Error, Result},
    model_files::{ADAPTER_CONFIG, adapter_weights, incomplete, is_adapter, small_text},
};

/// A vocabulary has hundreds of thousands of values; a person reads the first few.
const VALUE_CHARACTERS_MAX: usize = 2_000;

/// What a model's files say.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct ModelInside {
    /// "GGUF", "safetensors", "PyTorch".
    pub format: String,
    /// Of the format; 0 where it has none.
    pub version: u32,
    pub metadata: Vec<MetadataRow>,
    pub tensors: Vec<TensorRow>,
}

/// A key of the metadata (GGUF) or of `config.json` and its like.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct MetadataRow {
    pub key: String,
    /// "UINT32", "STRING", "ARRAY of STRING", …
    pub kind: String,
    /// Shortened.
    pub value: String,
    /// Characters of a text, values of an array, keys of an object; 1 of anything else.
    pub length: u64,
}

/// A tensor.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct TensorRow {
    pub name: String,
    /// Row-major, slowest dimension first.
    pub shape: Vec<u64>,
    /// "Q4_K", "F16", …
    pub kind: String,
    pub bytes: u64,
}

impl App {
    pub(crate) async fn read_metadata(&self, model: ModelId) -> Result<ModelInside> {
        let (row, file) = self.ready_model(model).await?;
        blocking(move || read(&file.path, &row.name)).await
    }
}

fn read(path: &Path, name: &str) -> Result<ModelInside> {
    if path.is_dir() && is_adapter(path) {
        return read_adapter(path, name);
    }
    let checkpoint = Checkpoint::open(path).map_err(|error| broken(name, &error))?;
    let tensors = checkpoint.list().into_iter().map(tensor_row).collect();
    let (format, version, metadata) = match &checkpoint {
        Checkpoint::Gguf(file) => ("GGUF", file.header().version, gguf_rows(file.metadata())),
        Checkpoint::Folder(folder) => (format_of(folder.shards().first()), 0, json_rows(folder.config())),
    };
    Ok(ModelInside { format: format.to_string(), version, metadata, tensors })
}

fn read_adapter(folder: &Path, name: &str) -> Result<ModelInside> {
    let config = folder.join(ADAPTER_CONFIG);
    let text = small_text(&config).map_err(|error| Error::unreadable(&config, &error))?;
    let config: Json = serde_json::from_str(&text).map_err(|error| {
        let reason = format!("{ADAPTER_CONFIG}: {error}");
        Error::new(Code::ModelBroken, format!("{name}: {reason}")).with("model", name).with("reason", reason)
    })?;
    let weights = adapter_weights(folder)?;
    let shard = Shard::open(&weights).map_err(|error| broken(name, &error))?;
    let tensors = shard.tensors().map(|raw| TensorRow {
        name: raw.name.to_string(),
        shape: raw.shape.iter().map(|&n| n as u64).collect(),
        kind: raw.dtype.name().to_string(),
        bytes: raw.bytes,
    });
    let (format, tensors) = (format_of(Some(&shard)).to_string(), tensors.collect());
    Ok(ModelInside { format, version: 0, metadata: json_rows(&config), tensors })
}

fn broken(name: &str, error: &huacaya_weights::Error) -> Error {
    incomplete(error).unwrap_or_else(|| {
        Error::new(Code::ModelBroken, format!("{name}: {error}")).with("model", name).with("reason", error)
    })
}

fn format_of(shard: Option<&Shard>) -> &'static str {
    if matches!(shard, Some(Shard::PyTorch(_))) { "PyTorch" } else { "safetensors" }
}

fn tensor_row(listed: Listed) -> TensorRow {
    let shape = listed.shape.iter().map(|&n| n as u64).collect();
    TensorRow { name: listed.name, shape, kind: listed.kind.to_string(), bytes: listed.bytes }
}

fn gguf_rows(metadata: &Metadata) -> Vec<MetadataRow> {
    let rows = metadata.iter().map(|(key, value)| {
        let (kind, length, value) = match value {
            Value::String(text) => ("STRING".to_string(), text.chars().count(), shortened(text)),
            Value::Array(array) => (format!("ARRAY of {}", array.kind().name()), array.len(), array_text(array)),
            Value::F32(number) => ("FLOAT32".to_string(), 1, number.to_string()),
            Value::F64(number) => ("FLOAT64".to_string(), 1, number.to_string()),
            Value::Bool(truth) => ("BOOL".to_string(), 1, truth.to_string()),
            other => (other.kind().name().to_string(), 1, other.as_integer().unwrap_or_default().to_string()),
        };
        MetadataRow { key: key.to_string(), kind, value, length: length as u64 }
    });
    rows.collect()
}

fn array_text(array: &Array) -> String {
    match array {
        Array::U8(values) => listed(values),
        Array::I8(values) => listed(values),
        Array::U16(values) => listed(values),
        Array::I16(values) => listed(values),
        Array::U32(values) => listed(values),
        Array::I32(values) => listed(values),
        Array::F32(values) => listed(values),
        Array::Bool(values) => listed(values),
        Array::U64(values) => listed(values),
        Array::I64(values) => listed(values),
        Array::F64(values) => listed(values),
        Array::String(values) => first_of(values.iter().map(|text| format!("{:?}", shortened(text)))),
    }
}

fn listed<T: Display>(values: &[T]) -> String {
    first_of(values.iter().map(T::to_string))
}

/// As many of the values as have room.
fn first_of(values: impl Iterator<Item = String>) -> String {
    let mut out = String::new();
    for value in values {
        if !out.is_empty() {
            out.push_str(", ");
        }
        out.push_str(&value);
        if out.chars().count() > VALUE_CHARACTERS_MAX {
            break;
        }
    }
    shortened(&out)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

fn json_rows(config: &Json) -> Vec<MetadataRow> {
    let keys = config.as_object().into_iter().flatten();
    let rows = keys.map(|(key, value)| {
        let (kind, length, text) = match value {
            Json::String(text) => ("STRING", text.chars().count(), shortened(text)),
            Json::Array(values) => ("ARRAY", values.len(), first_of(values.iter().map(Json::to_string))),
            Json::Object(keys) => ("OBJECT", keys.len(), shortened(&value.to_string())),
            Json::Number(_) => ("NUMBER", 1, value.to_string()),
            Json::Bool(_) => ("BOOL", 1, value.to_string()),
            Json::Null => ("NULL", 1, value.to_string()),
        };
        MetadataRow { key: key.clone(), kind: kind.to_string(), value: text, length: length as u64 }
    });
    rows.collect()
}
