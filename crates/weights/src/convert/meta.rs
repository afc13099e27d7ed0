//! Meta's own layout: `params.json`, and `consolidated.0N.pth`, each a rank's part of every matrix.
//!
//! Source: `model.py` of Llama (`ParallelEmbedding`, `ColumnParallelLinear`, `RowParallelLinear`). Pairs that turn together
//! lie side by side there, as llama.cpp has them: no row is moved.

use std::path::{Path, PathBuf};

use huacaya_kernels::Format;
use serde_json::{Value, json};

use super::folder::{as_plan, folder_name, is_whole, values};
use super::hyperparameters::{About, Hyperparameters, at};
use super::{Fault, tokenizer};
use crate::Error;
use crate::folder::folder_of;
use crate::gguf::{Metadata, TensorPlan};
use crate::json::read_config;
use crate::pytorch::{self, File};
use crate::quantize::Source;
use crate::vocabulary::{MODEL_NAME, has_tokenizer};

const CONFIG_NAME: &str = "params.json";
/// Llama 3.1 405B has 16.
const RANKS_MAX: usize = 64;
const EMBEDDINGS: &str = "tok_embeddings.weight";
/// Follows from the configuration.
const IGNORED: &str = "rope.freqs";
/// Lengths that the generations were trained for, which no file says: by the base of the rope, from this one up. Source:
/// Llama 2, 3 and Code Llama's papers.
const CONTEXT_BY_BASE: [(f64, u64); 3] = [(1e6, 16_384), (500_000.0, 8192), (0.0, 4096)];
/// The first generation's, which alone has a smaller epsilon, and that of Llama 3.1 and later.
const CONTEXT_FIRST: u64 = 2048;
const CONTEXT_SCALED: u64 = 131_072;
const EPS_FIRST: f64 = 5e-6;

/// The folder, where `path` is one of Meta's or a file in it.
pub(super) fn folder(path: &Path) -> Option<&Path> {
    let folder = if path.is_dir() { path } else { folder_of(path) };
    (folder.join(CONFIG_NAME).is_file() && folder.join(rank_name(0)).is_file()).then_some(folder)
}

fn rank_name(rank: usize) -> String {
    format!("consolidated.{rank:02}.pth")
}

pub(super) struct MetaSource {
    folder: PathBuf,
    ranks: Vec<File>,
    metadata: Metadata,
    tensors: Vec<TensorPlan>,
    origins: Vec<Origin>,
}

struct Origin {
    /// Meta's name.
    name: String,
    stored: Format,
    split: Split,
}

/// How a tensor lies over the ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Split {
    /// Each has all of it.
    Whole,
    /// Each has some rows.
    Rows,
    /// Each has some columns of every row.
    Columns,
}

/// GGUF's name, and how the matrix is split; an embedding is split either way, as its shape tells.
fn part(name: &str) -> Option<(String, Split)> {
    let outer = match name {
        EMBEDDINGS => Some(("token_embd.weight", Split::Rows)),
        "norm.weight" => Some(("output_norm.weight", Split::Whole)),
        "output.weight" => Some(("output.weight", Split::Rows)),
        _ => None,
    };
    if let Some((name, split)) = outer {
        return Some((name.to_owned(), split));
    }
    let (layer, part) = name.strip_prefix("layers.")?.split_once('.')?;
    let layer: u32 = layer.parse().ok()?;
    let (part, split) = match part {
        "attention_norm.weight" => ("attn_norm", Split::Whole),
        "attention.wq.weight" => ("attn_q", Split::Rows),
        "attention.wk.weight" => ("attn_k", Split::Rows),
        "attention.wv.weight" => ("attn_v", Split::Rows),
        "attention.wo.weight" => ("attn_output", Split::Columns),
        "ffn_norm.weight" => ("ffn_norm", Split::Whole),
        "feed_forward.w1.weight" => ("ffn_gate", Split::Rows),
        "feed_forward.w2.weight" => ("ffn_down", Split::Columns),
        "feed_forward.w3.weight" => ("ffn_up", Split::Rows),
        _ => return None,
    };
    Some((format!("blk.{layer}.{part}.weight"), split))
}

impl MetaSource {
    pub(super) fn open(folder: &Path) -> Result<MetaSource, Error> {
        let config_path = folder.join(CONFIG_NAME);
        let params = read_config(&config_path)?;
        let ranks = ranks(folder)?;
        let hidden = params["dim"].as_u64().ok_or_else(|| at(&config_path)(Fault::Key { key: "dim" }))?;
        let (mut tensors, mut origins) = (Vec::new(), Vec::new());
        for tensor in ranks[0].tensors().iter().filter(|tensor| tensor.name != IGNORED) {
            let unknown = || Error::new(ranks[0].path(), Fault::UnknownTensor { tensor: tensor.name.clone() });
            let (name, mut split) = part(&tensor.name).ok_or_else(unknown)?;
            if tensor.name == EMBEDDINGS && tensor.shape.get(1).is_some_and(|columns| (*columns as u64) < hidden) {
                split = Split::Columns;
            }
            let Some(stored) = tensor.dtype.format() else {
                let (tensor, dtype) = (tensor.name.clone(), tensor.dtype);
                return Err(Error::new(ranks[0].path(), pytorch::Fault::UnsupportedType { tensor, dtype }));
            };
            let shape = whole_shape(&ranks, tensor, split)?;
            tensors.push(as_plan(name, &shape, stored));
            origins.push(Origin { name: tensor.name.clone(), stored, split });
        }
        let config = config(&params, &tensors, hidden);
        let in_config = at(&config_path);
        let hyperparameters = Hyperparameters::read(&config).map_err(&in_config)?;
        is_whole(folder, &tensors, &hyperparameters)?;
        let name = folder_name(folder);
        let about = About { name: &name, generation: &Value::Null, parameters: values(&tensors) };
        let mut metadata = hyperparameters.keys(folder, &about).map_err(&in_config)?;
        // Llama 2's tokenizer stands beside the folders of all its sizes.
        let above = folder.parent().filter(|above| !has_tokenizer(folder) && above.join(MODEL_NAME).is_file());
        tokenizer::keys(&mut metadata, above.unwrap_or(folder), &config, &hyperparameters)?;
        let folder = folder.to_path_buf();
        Ok(MetaSource { folder, ranks, metadata, tensors, origins })
    }

    fn parts(&self, place: usize) -> impl Iterator<Item = (&File, &pytorch::Tensor)> {
        let origin = &self.origins[place];
        let count = if origin.split == Split::Whole { 1 } else { self.ranks.len() };
        self.ranks.iter().take(count).filter_map(|rank| rank.find(&origin.name).map(|tensor| (rank, tensor)))
    }
}

/// Every rank's file.
fn ranks(folder: &Path) -> Result<Vec<File>, Error> {
    let count = (0..RANKS_MAX).rev().find(|rank| folder.join(rank_name(*rank)).is_file()).map_or(0, |last| last + 1);
    let open = |rank: usize| {
        let path = folder.join(rank_name(rank));
        if !path.is_file() {
            return Err(Error::new(&path, Fault::RankMissing { count }));
        }
        File::open_meta(&path)
    };
    (0..count).map(open).collect()
}

/// The shape of the whole tensor, where every rank's part is alike.
fn whole_shape(ranks: &[File], first: &pytorch::Tensor, split: Split) -> Result<Vec<usize>, Error> {
    for rank in ranks {
        let same = rank.find(&first.name).is_some_and(|part| part.shape == first.shape && part.dtype == first.dtype);
        if !same {
            return Err(Error::new(rank.path(), Fault::RankDiffers { tensor: first.name.clone() }));
        }
    }
    let mut shape = first.shape.clone();
    let wanted = if split == Split::Whole { 1 } else { 2 };
    if shape.len() != wanted {
        return Err(Error::new(ranks[0].path(), Fault::RankDiffers { tensor: first.name.clone() }));
    }
    match split {
        Split::Whole => {}
        Split::Rows => shape[0] *= ranks.len(),
        Split::Columns => shape[1] *= ranks.len(),
    }
    Ok(shape)
}

/// `params.json` in the words of a `config.json`; what it leaves to the tensors comes from them.
fn config(params: &Value, tensors: &[TensorPlan], hidden: u64) -> Value {
    let rows = |name: &str| {
        let tensor = tensors.iter().find(|tensor| tensor.name == name);
        tensor.and_then(|tensor| tensor.dimensions.get(1).copied())
    };
    let base = params["rope_theta"].as_f64().unwrap_or(10_000.0);
    let eps = params["norm_eps"].as_f64().unwrap_or(1e-5);
    let scaled = params["use_scaled_rope"] == true;
    let by_base = CONTEXT_BY_BASE.iter().find(|(from, _)| base >= *from).map(|(_, context)| *context);
    let context = match (scaled, eps < EPS_FIRST) {
        (true, _) => Some(CONTEXT_SCALED),
        (_, true) => Some(CONTEXT_FIRST),
        _ => by_base,
    };
    let scaling =
        if scaled { json!({ "rope_type": "llama3", "original_max_position_embeddings": 8192 }) } else { Value::Null };
    json!({
        "model_type": "llama",
        "hidden_size": hidden,
        "num_hidden_layers": params["n_layers"],
        "num_attention_heads": params["n_heads"],
        "num_key_value_heads": params["n_kv_heads"],
        "intermediate_size": rows("blk.0.ffn_gate.weight"),
        "vocab_size": rows("token_embd.weight"),
        "max_position_embeddings": context,
        "rms_norm_eps": eps,
        "rope_theta": base,
        "rope_scaling": scaling,
        // Of every SentencePiece model of Meta's.
        "bos_token_id": 1,
        "eos_token_id": 2,
    })
}

impl Source for MetaSource {
    fn path(&self) -> &Path {
        &self.folder
    }

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn tensors(&self) -> &[TensorPlan] {
        &self.tensors
    }

    fn stored(&self, place: usize) -> Format {
        self.origins[place].stored
    }

    fn pieces(
        &self,
        place: usize,
        values: usize,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Origin { stored, split, .. } = self.origins[place];
        let plan = &self.tensors[place];
        let (rows, row_bytes) = (plan.rows_of(values), plan.row_bytes(stored));
        let parts: Vec<_> = self.parts(place).map(|(rank, tensor)| rank.bytes(tensor)).collect();
        if split != Split::Columns {
            return parts.iter().flat_map(|part| part.chunks(rows * row_bytes)).try_for_each(each);
        }
        let part_bytes = (row_bytes / parts.len().max(1)).max(1);
        let count = parts.first().map_or(0, |part| part.len() / part_bytes);
        let mut piece = Vec::new();
        for start in (0..count).step_by(rows) {
            piece.clear();
            for row in start..(start + rows).min(count) {
                parts.iter().for_each(|part| piece.extend_from_slice(&part[row * part_bytes..][..part_bytes]));
            }
            each(&piece)?;
        }
        Ok(())
    }

    fn will_need(&self, place: usize) {
        self.parts(place).for_each(|(rank, tensor)| rank.will_need(tensor));
    }

    fn release(&self, place: usize) {
        self.parts(place).for_each(|(rank, tensor)| rank.release(tensor));
    }
}
