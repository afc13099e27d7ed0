//! A model's inside, to look through: every key of its metadata, every tensor.

use huacaya_store::ModelId;
use serde::Serialize;
use ts_rs::TS;

use crate::{
    App,
    error::{Error, Result},
};

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
    /// Characters of a text, values of an array; 1 of anything else.
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
    pub(crate) async fn read_metadata(&self, _model: ModelId) -> Result<ModelInside> {
        Err(Error::internal("not yet"))
    }
}
