//! LoRA adapters at run time: what they add to the products of a model's matrices, whatever those are stored in.
//!
//! x W^T becomes x W^T + scale * strength * (x A^T) B^T, as PEFT's `tuners/lora/layer.py` computes it.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use candle_core::{DType, Tensor};
use huacaya_weights::adapter::Factors;

use crate::candle::Ops;
use crate::config::Config;
use crate::rope::Pairs;
use crate::source::folder_name;
use crate::{Error, Model, Result};

/// The matrices of a layer, which something can be added to.
const PARTS: [&str; 7] = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];
/// Matrices with a row for each piece of the vocabulary: what changes them has to be merged.
const VOCABULARY_TENSORS: [&str; 2] = ["token_embd.weight", "output.weight"];

/// A LoRA adapter beside one loaded model, on its device.
pub struct Adapter {
    id: u64,
    model: u64,
    path: PathBuf,
    /// By layer and part.
    pairs: HashMap<(usize, &'static str), Pair>,
}

/// Adapters with their strengths, in their order.
pub(crate) type Adapters = Vec<(Arc<Adapter>, f32)>;

/// What tells sessions apart whose keys and values were computed with other adapters or strengths: each adapter's number
/// and its strength's bits.
pub(crate) type Mark = Vec<(u64, u32)>;

/// The two factors of one matrix's addition, in f32 as they would stand in a file.
pub(crate) struct Pair {
    /// Of the matrix that is added to.
    pub rows: usize,
    pub columns: usize,
    pub rank: usize,
    /// (rank, columns)
    pub a: Vec<u8>,
    /// (rows, rank), its rows in the order of the model's own.
    pub b: Vec<u8>,
    pub scale: f64,
    /// Both on the model's device, once the candle decoder has asked for them.
    tensors: OnceLock<[Tensor; 2]>,
}

impl Adapter {
    /// Reads the adapter in a folder and checks it against the model: every tensor must have its place and shape there.
    /// One that brings or changes embeddings, or was made for another vocabulary, is refused ([`Error::Adapter`]).
    pub fn load(folder: &Path, model: &Model) -> Result<Adapter> {
        let opened = huacaya_weights::Adapter::open(folder)?;
        let config = model.config();
        let refused = |what: String| Err(Error::Adapter { path: opened.path().to_path_buf(), what });
        let merge_instead = |tensor: &str| {
            refused(format!(
                "it changes {tensor:?}, which can be no addition beside a model: merge it into the model instead"
            ))
        };
        if let Some(tensor) = opened.replacing().next() {
            return merge_instead(tensor);
        }
        let mut left: BTreeSet<&str> = opened.changed().collect();
        if let Some(tensor) = VOCABULARY_TENSORS.map(folder_name).iter().find(|name| left.contains(name.as_str())) {
            return merge_instead(tensor);
        }
        let tokens = huacaya_weights::vocabulary(opened.path())?;
        let fits = |tokens: usize| tokens == config.vocabulary || tokens == model.tokenizer().vocabulary_size();
        if let Some(tokens) = tokens.filter(|&tokens| !fits(tokens)) {
            return refused(format!("it was made for {tokens} tokens, the model has {}", config.vocabulary));
        }
        let mut pairs = HashMap::new();
        let mut adds = false;
        for (layer, part) in (0..config.layers).flat_map(|layer| PARTS.map(|part| (layer, part))) {
            let tensor = folder_name(&format!("blk.{layer}.{part}.weight"));
            left.remove(tensor.as_str());
            let Some(factors) = opened.factors(&tensor)? else {
                let module = tensor.trim_end_matches(".weight");
                if !opened.config().some_layers && opened.config().targets(module) {
                    return refused(format!("it is incomplete: it has nothing for {tensor:?}. Fetch it again"));
                }
                continue;
            };
            let (found, wanted) = ([factors.rows, factors.columns], shape(config, part));
            if found != wanted {
                return refused(format!("for {tensor:?} it is made for {found:?}, where the model has {wanted:?}"));
            }
            adds |= factors.scale != 0.0 && [&factors.left, &factors.right].iter().all(|f| f.iter().any(|&v| v != 0.0));
            pairs.insert((layer, part), pair(factors, part, model));
        }
        if let Some(tensor) = left.first() {
            return refused(format!("it does not belong to this model, which has no {tensor:?}"));
        }
        if !adds {
            return refused("all that it would add is zero: it was never trained, or is damaged".to_string());
        }
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Adapter { id, model: model.id(), path: opened.path().to_path_buf(), pairs })
    }

    /// Bytes that the adapter in a folder would take in memory, from its header alone.
    pub fn estimate(folder: &Path) -> Result<u64> {
        let values = |shape: &[usize]| shape.iter().map(|&n| n as u64).product::<u64>();
        let opened = huacaya_weights::Adapter::open(folder)?;
        Ok(opened.list().iter().map(|tensor| values(&tensor.shape) * size_of::<f32>() as u64).sum())
    }

    /// `out` and what is added to it for this part of this layer. `x`: (rows, in), `out`: (rows, out)
    pub(crate) fn add(
        &self,
        ops: &dyn Ops,
        place: (usize, &'static str),
        strength: f32,
        x: &Tensor,
        out: Tensor,
    ) -> Result<Tensor> {
        let Some(pair) = self.pair(place) else { return Ok(out) };
        let [a, b] = match pair.tensors.get() {
            Some(tensors) => tensors,
            None => {
                let tensor = |bytes: &[u8], shape: (usize, usize)| {
                    Tensor::from_raw_buffer(bytes, DType::F32, &[shape.0, shape.1], x.device())
                };
                let tensors = [tensor(&pair.a, (pair.rank, pair.columns))?, tensor(&pair.b, (pair.rows, pair.rank))?];
                pair.tensors.get_or_init(|| tensors)
            }
        };
        let narrow = (ops.matmul(x, a)? * (pair.scale * f64::from(strength)))?; // (rows, rank)
        Ok((out + ops.matmul(&narrow, b)?)?)
    }

    /// All that it adds, by layer and part.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = ((usize, &'static str), &Pair)> {
        self.pairs.iter().map(|(place, pair)| (*place, pair))
    }

    /// What it adds to a part of a layer.
    pub(crate) fn pair(&self, place: (usize, &'static str)) -> Option<&Pair> {
        self.pairs.get(&place)
    }

    /// Bytes that it takes in memory.
    pub fn bytes(&self) -> u64 {
        self.pairs.values().map(|pair| (pair.a.len() + pair.b.len()) as u64).sum()
    }
}

/// What of the adapters changes an answer of this model: none of strength 0. Refuses what was loaded for another model.
pub(crate) fn effective(adapters: Adapters, model: &Model) -> Result<Adapters> {
    for (adapter, strength) in &adapters {
        let refused = |what: String| Err(Error::Adapter { path: adapter.path.clone(), what });
        if adapter.model != model.id() {
            return refused("it was loaded for another model".to_string());
        }
        if !strength.is_finite() {
            return refused(format!("its strength is {strength}"));
        }
    }
    Ok(adapters.into_iter().filter(|(_, strength)| *strength != 0.0).collect())
}

pub(crate) fn mark(adapters: &Adapters) -> Mark {
    adapters.iter().map(|(adapter, strength)| (adapter.id, strength.to_bits())).collect()
}

/// Rows and columns of a part of each layer.
fn shape(config: &Config, part: &str) -> [usize; 2] {
    let (hidden, query, kv, ffn) = (config.hidden, config.query_width(), config.kv_width(), config.ffn);
    match part {
        "attn_q" => [query, hidden],
        "attn_k" | "attn_v" => [kv, hidden],
        "attn_output" => [hidden, query],
        "ffn_down" => [hidden, ffn],
        _ => [ffn, hidden],
    }
}

fn pair(factors: Factors, part: &str, model: &Model) -> Pair {
    let Factors { rows, rank, columns, mut left, right, scale } = factors;
    let config = model.config();
    if config.rope.pairs == Pairs::Adjacent && matches!(part, "attn_q" | "attn_k") {
        left = side_by_side(&left, rank, config.head_size);
    }
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Pair { rows, columns, rank, a: bytes(&right), b: bytes(&left), scale, tensors: OnceLock::new() }
}

/// PEFT has the two rows of a head that turn together half a head apart, llama's GGUF has them side by side.
/// Source: `LlamaModel.permute` of llama.cpp's `convert_hf_to_gguf.py`.
fn side_by_side(rows: &[f32], width: usize, head_rows: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(rows.len());
    for head in rows.chunks(head_rows * width) {
        let (first, second) = head.split_at(head.len() / width / 2 * width);
        for (a, b) in first.chunks(width).zip(second.chunks(width)) {
            out.extend_from_slice(a);
            out.extend_from_slice(b);
        }
    }
    out
}
