//! A model on the disk under the engine's own names, whichever way it is stored.

use std::fs;
use std::path::Path;

use huacaya_weights::{Checkpoint, Place, View};
use serde_json::Value;

use crate::config::Config;
use crate::template::Hints;
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};

/// Templates have some thousands of characters; what follows could only cost memory.
const TEMPLATE_FILE_BYTES_MAX: u64 = 1 << 20;

/// Mapped tensors and the model's shape. Only headers have been read.
pub(crate) struct Source {
    pub checkpoint: Checkpoint,
    pub config: Config,
}

impl Source {
    pub fn open(path: &Path) -> Result<Source> {
        let checkpoint = Checkpoint::open(path)?;
        let config = match &checkpoint {
            Checkpoint::Gguf(file) => Config::from_gguf(file)?,
            Checkpoint::Folder(folder) => Config::from_json(folder.config())?,
        };
        Ok(Source { checkpoint, config })
    }

    /// The tensor with this canonical name and the shape that the configuration asks for.
    pub fn view(&self, name: &str, wanted: &[usize]) -> Result<View<'_>> {
        let view = self.checkpoint.find(&self.stored_name(name))?;
        let view = view.ok_or_else(|| Error::TensorMissing { tensor: name.to_string() })?;
        let found = view.shape();
        if found == wanted {
            return Ok(view);
        }
        Err(Error::TensorShape { tensor: name.to_string(), found, wanted: wanted.to_vec() })
    }

    /// Asks the system to start reading a tensor in.
    pub fn will_need(&self, name: &str) {
        self.checkpoint.will_need(&self.stored_name(name));
    }

    /// Where the tensor with this canonical name is.
    pub fn place(&self, name: &str) -> Option<Place> {
        self.checkpoint.place(&self.stored_name(name))
    }

    fn stored_name(&self, name: &str) -> String {
        match self.checkpoint {
            Checkpoint::Gguf(_) => name.to_string(),
            Checkpoint::Folder(_) => folder_name(name),
        }
    }

    pub fn tokenizer(&self) -> Result<Tokenizer> {
        Ok(match &self.checkpoint {
            Checkpoint::Gguf(file) => Tokenizer::from_gguf(file.metadata())?,
            Checkpoint::Folder(folder) => Tokenizer::from_folder(folder.path())?,
        })
    }

    /// What is known for the choice of a template; `set` is what the person chose.
    pub fn hints(&self, set: Option<&str>) -> Hints {
        let (mut names, file) = match &self.checkpoint {
            Checkpoint::Gguf(file) => {
                let text = |key: &str| file.metadata().find::<&str>(key).ok().flatten().map(str::to_string);
                let keys = ["general.name", "general.basename", "general.finetune"];
                (keys.into_iter().filter_map(text).collect::<Vec<_>>(), text("tokenizer.chat_template"))
            }
            Checkpoint::Folder(folder) => {
                let name = folder.config().get("_name_or_path").and_then(Value::as_str).map(str::to_string);
                (name.into_iter().collect(), folder_template(folder.path()))
            }
        };
        let path = self.checkpoint.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        let parent = path.parent().and_then(Path::file_name);
        names.extend(parent.map(|name| name.to_string_lossy().into_owned()));
        let architecture = self.config.architecture.name().to_string();
        Hints { architecture, names, file, set: set.map(str::to_string) }
    }

    /// The model's own name, or its file's.
    pub fn name(&self) -> String {
        if let Checkpoint::Gguf(file) = &self.checkpoint
            && let Ok(Some(name)) = file.metadata().find::<&str>("general.name")
            && !name.trim().is_empty()
        {
            return name.trim().to_string();
        }
        let path = self.checkpoint.path();
        let stem = if path.is_dir() { path.file_name() } else { path.file_stem() };
        stem.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }
}

/// `chat_template.jinja`, or `chat_template` in `tokenizer_config.json`: a text, or several by name.
fn folder_template(folder: &Path) -> Option<String> {
    if let Some(template) = small_text(&folder.join("chat_template.jinja")) {
        return Some(template);
    }
    let config: Value = serde_json::from_str(&small_text(&folder.join("tokenizer_config.json"))?).ok()?;
    match config.get("chat_template")? {
        Value::String(template) => Some(template.clone()),
        Value::Array(list) => {
            let default = list.iter().find(|entry| entry.get("name").and_then(Value::as_str) == Some("default"));
            Some(default.or(list.first())?.get("template")?.as_str()?.to_string())
        }
        _ => None,
    }
}

fn small_text(path: &Path) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    if metadata.is_file() && metadata.len() <= TEMPLATE_FILE_BYTES_MAX { fs::read_to_string(path).ok() } else { None }
}

/// Our name of a tensor in the naming of Hugging Face's Llama.
pub fn folder_name(name: &str) -> String {
    let outer = match name {
        "token_embd.weight" => Some("model.embed_tokens.weight"),
        "output_norm.weight" => Some("model.norm.weight"),
        "output.weight" => Some("lm_head.weight"),
        _ => None,
    };
    let inner = || {
        let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
        let (part, kind) = rest.rsplit_once('.')?;
        let part = match part {
            "attn_q" => "self_attn.q_proj",
            "attn_k" => "self_attn.k_proj",
            "attn_v" => "self_attn.v_proj",
            "attn_output" => "self_attn.o_proj",
            "attn_q_norm" => "self_attn.q_norm",
            "attn_k_norm" => "self_attn.k_norm",
            "attn_norm" => "input_layernorm",
            "ffn_norm" => "post_attention_layernorm",
            "ffn_gate" => "mlp.gate_proj",
            "ffn_up" => "mlp.up_proj",
            "ffn_down" => "mlp.down_proj",
            _ => return None,
        };
        Some(format!("model.layers.{layer}.{part}.{kind}"))
    };
    outer.map(str::to_string).or_else(inner).unwrap_or_else(|| name.to_string())
}
