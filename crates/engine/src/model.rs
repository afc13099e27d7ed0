//! A loaded model: an immutable value.

use std::path::Path;

use huacaya_progress::Watch;

use crate::config::Config;
use crate::template::{Prompt, Rendered, Template};
use crate::tokenizer::Tokenizer;
use crate::{Memory, Result};

/// Whether a model answers or only continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Continues raw text; has no template.
    Base,
    Chat,
}

/// What to do where more positions are wanted than the model was made for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Extension {
    /// The rope's base grows with the text once it is longer than what the model was made for (NTK, adaptive), unless the
    /// model brings a scaling of its own.
    #[default]
    Auto,
    Off,
    /// NTK with this alpha from the first token on.
    Fixed(f32),
}

/// How a model is to be loaded.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// In tokens; `None`: what the model was made for.
    pub context: Option<usize>,
    /// An id of [`crate::devices`]; `None`: "cpu". Where it is not available, "cpu" with a reason.
    pub device: Option<String>,
    /// What the person set: a built-in template's name, "none", or a Jinja template.
    pub template: Option<String>,
    pub extension: Extension,
}

/// What is known from the header, without loading.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// `general.name`, or the file's or folder's name without its ending.
    pub name: String,
    pub kind: Kind,
    /// "llama", "qwen2", "qwen3".
    pub architecture: String,
    /// "Q4_K_M", "F16", …
    pub quantization: String,
    pub file_bytes: u64,
    pub parameter_count: u64,
    /// What it was made for, in tokens.
    pub context_tokens: usize,
    /// The template's name, "" for a base model.
    pub template: String,
    /// "built in", "file", "set by you", "none".
    pub template_source: &'static str,
    /// The template knows a thinking switch or a thought span.
    pub thinks: bool,
    /// What was not as expected but could be worked around.
    pub warnings: Vec<String>,
}

/// Weights, tokenizer and template, ready to answer.
pub struct Model {}

impl Model {
    /// Loads a GGUF file or a Hugging Face folder. The watch counts bytes and may stop it.
    pub fn load(_path: &Path, _options: &LoadOptions, _watch: Watch<'_>) -> Result<Model> {
        unimplemented!()
    }

    /// What loading would need, from the header alone.
    pub fn estimate(_path: &Path, _options: &LoadOptions) -> Result<Memory> {
        unimplemented!()
    }

    /// What the header says. Everything but the weights is checked.
    pub fn describe(_path: &Path, _template: Option<&str>) -> Result<Description> {
        unimplemented!()
    }

    pub fn description(&self) -> &Description {
        unimplemented!()
    }

    /// The prompt in the model's tokens.
    pub fn render(&self, _prompt: &Prompt) -> Result<Rendered> {
        unimplemented!()
    }

    /// A text as tokens, without any control token.
    pub fn tokenize(&self, _text: &str) -> Vec<u32> {
        unimplemented!()
    }

    pub fn tokenizer(&self) -> &Tokenizer {
        unimplemented!()
    }

    pub fn template(&self) -> &Template {
        unimplemented!()
    }

    pub fn config(&self) -> &Config {
        unimplemented!()
    }

    /// Positions that a text may have, prompt and reply together.
    pub fn context(&self) -> usize {
        unimplemented!()
    }

    pub fn memory(&self) -> Memory {
        unimplemented!()
    }

    /// "CPU", "CUDA: …", "Metal".
    pub fn device(&self) -> &str {
        unimplemented!()
    }

    /// Why it is not on the device that was asked for.
    pub fn fell_back(&self) -> Option<&str> {
        unimplemented!()
    }
}
