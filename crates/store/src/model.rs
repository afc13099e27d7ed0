//! Models: one row for each model file that passed its checks.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use std::path::{Path, PathBuf};

use crate::{ModelId, Parameters, Result, Store, Time};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// Continues raw text; has no template.
    Base,
    Chat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    Ready,
    /// The file is not where it was.
    Missing,
    /// Size or time differ from what was checked.
    Changed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Model {
    pub id: ModelId,
    pub name: String,
    /// Shown to the person; commands take ids.
    pub path: String,
    /// It came with the program.
    pub bundled: bool,
    pub kind: ModelKind,
    pub state: ModelState,
    /// "llama", "qwen2", …
    pub architecture: String,
    /// "Q4_K_M", "F16", …
    pub quantization: String,
    pub file_bytes: u64,
    pub parameter_count: u64,
    /// What it was made for, in tokens.
    pub context_tokens: u32,
    pub sha256: Option<String>,
    /// Name of the template in use and where it came from: "built in", "file", "set by you".
    pub template: String,
    pub template_source: String,
    /// The model knows a thinking switch.
    pub thinks: bool,
    /// Default parameters for this model, under the persona's.
    pub parameters: Parameters,
    /// The process that holds it in memory, and where it runs ("CPU", "CUDA", "Metal").
    pub loaded_by: Option<String>,
    pub device: Option<String>,
    pub added_ms: Time,
    pub used_ms: Option<Time>,
}

/// Where a model's file is and what it was when it was checked. The path as the operating system knows it, not as shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFile {
    pub path: PathBuf,
    pub bytes: u64,
    pub modified_ms: Time,
}

impl Store {
    /// A model file that passed its checks. `id`, `path`, `file_bytes`, `added_ms` and `loaded_by` of `model` are
    /// ignored. A row with the same path is replaced (and comes back if it was removed), and keeps its id, name, parameters.
    pub async fn add_model(&self, _model: Model, _file: &ModelFile) -> Result<Model> {
        todo!()
    }

    pub async fn model(&self, _model: ModelId) -> Result<Model> {
        todo!()
    }

    pub async fn models(&self) -> Result<Vec<Model>> {
        todo!()
    }

    pub async fn model_file(&self, _model: ModelId) -> Result<ModelFile> {
        todo!()
    }

    /// The row, removed ones too, that stands for this path.
    pub async fn model_at(&self, _path: &Path) -> Result<Option<ModelId>> {
        todo!()
    }

    /// Name, state, template, parameters, sha256, used_ms, …; `path`, `file_bytes` and `loaded_by` are left alone.
    pub async fn update_model(&self, _model: ModelId, _change: impl FnOnce(&mut Model) + Send) -> Result<Model> {
        todo!()
    }

    /// The file was found elsewhere (and checked again).
    pub async fn move_model(&self, _model: ModelId, _file: &ModelFile) -> Result<Model> {
        todo!()
    }

    /// This process holds the model in memory, on this device; `None`: no longer.
    pub async fn set_loaded(&self, _model: ModelId, _device: Option<&str>) -> Result<Model> {
        todo!()
    }

    /// The row, not the file.
    pub async fn remove_model(&self, _model: ModelId) -> Result<()> {
        todo!()
    }

    pub async fn restore_model(&self, _model: ModelId) -> Result<Model> {
        todo!()
    }
}
