//! Models that other programs downloaded, found on request and used in their place.

use huacaya_store::ModelId;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{
    App,
    error::{Error, Result},
};

/// A program that keeps models on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    Ollama,
    LmStudio,
    Jan,
    ModelScope,
    HuggingFace,
}

impl Program {
    /// As rows name it.
    pub fn word(self) -> &'static str {
        match self {
            Program::Ollama => "ollama",
            Program::LmStudio => "lm_studio",
            Program::Jan => "jan",
            Program::ModelScope => "model_scope",
            Program::HuggingFace => "hugging_face",
        }
    }
}

/// A model of another program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, TS)]
pub struct Elsewhere {
    pub program: Program,
    pub name: String,
    /// Empty where the name does not say it.
    pub quantization: String,
    pub bytes: u64,
    /// For `import_model`.
    pub chosen: u32,
    /// The model in the list that it is.
    pub here: Option<ModelId>,
}

impl App {
    pub(crate) async fn find_elsewhere(&self) -> Result<Vec<Elsewhere>> {
        Err(Error::internal("not yet"))
    }
}
