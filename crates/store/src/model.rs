//! Models: one row for each model file that passed its checks.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{ModelId, Parameters, Time};

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
