//! The workshop: makes models of models (merged with adapters, quantized) and measures what that costs and gains.
//!
//! Here stands what faces send and get; the work is in the modules: what would come out (`planning`, `machine`), making
//! it (`making`, `names`), the evidence (`measuring`), and what is done with it (`reports`, `export`).

pub(crate) mod export;
pub(crate) mod machine;
pub(crate) mod making;
pub(crate) mod measuring;
pub(crate) mod names;
pub mod planning;
pub(crate) mod reports;
pub(crate) mod request;
pub(crate) mod weights;

use std::path::PathBuf;

pub use huacaya_store::Strength;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// The end of the name of a target whose formats were set by hand.
const CUSTOM: &str = "custom";

/// A scheme, and what is set otherwise by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Target {
    /// "Q4_K_M", "F16", …
    pub scheme: String,
    pub by_hand: Vec<ByHand>,
}

/// The format of a group of tensors, set by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ByHand {
    /// As GGUF files name it: "attn_q", "ffn_down", "token_embd", …
    pub group: String,
    /// "Q8_0", "Q6_K", …
    pub format: String,
}

/// What is made: a GGUF file, or a folder as Hugging Face lays it out (merged, not quantized).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    Gguf,
    Folder,
}

/// Where the importance matrix comes from, as a face asks for it; `chosen` is a file that the person chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ImportanceFrom {
    /// The text that comes with the program.
    Bundled,
    Text {
        chosen: u32,
    },
    /// A matrix that is there already, in either of llama.cpp's forms.
    File {
        chosen: u32,
    },
}

/// The same, as a job keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ImportanceSource {
    Bundled,
    Text { path: PathBuf },
    File { path: PathBuf },
}

/// What is to be measured, as a face asks for it; see `MeasureOptions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct MeasureRequest {
    pub perplexity: bool,
    /// 512 or 4096.
    pub context: u32,
    /// A text that the person chose; absent: the one that comes with the program.
    pub text: Option<u32>,
    pub divergence: bool,
    pub speed: bool,
    pub samples: bool,
    pub evaluation: Option<EvaluationRequest>,
}

/// Multiple choice from a CSV file or a folder of them that the person chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct EvaluationRequest {
    pub chosen: u32,
    /// 0 or 5.
    pub shots: u32,
}

impl Target {
    /// "Q4_K_M", "Q4_K_M-custom": how a made model is called after it.
    pub(crate) fn label(&self) -> String {
        if self.by_hand.is_empty() { self.scheme.clone() } else { format!("{}-{CUSTOM}", self.scheme) }
    }
}

/// The form of an exported report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ReportFormat {
    Markdown,
    Csv,
}
