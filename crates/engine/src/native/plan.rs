//! What one step needs beside weights and cache: made once, used by every step.

use huacaya_kernels::{Activations, Grouping};

use super::keys::Angles;
use super::load::{Need, Weights};
use crate::backend::Logits;
use crate::config::Config;

/// Rows of a step: enough that a prompt's products use each weight many times, few enough that a request beside it waits
/// little.
pub const CHUNK: usize = 128;

/// Activations as products take them: quantized in the groups that the weights ask for.
pub(super) struct Inputs {
    pub block: Option<Activations>,
    pub wide: Option<Activations>,
}

/// Rows of f32, row-major, and their kin.
pub(super) struct Buffers {
    pub rows_max: usize,
    /// (rows, hidden): what goes from layer to layer.
    pub x: Vec<f32>,
    /// (rows, hidden): what a layer's part adds to it.
    pub out: Vec<f32>,
    /// (rows, hidden)
    pub normed: Vec<f32>,
    /// (rows, heads * head_size)
    pub q: Vec<f32>,
    /// (rows, kv_heads * head_size)
    pub k: Vec<f32>,
    pub v: Vec<f32>,
    /// As `q`.
    pub mixed: Vec<f32>,
    /// (rows, ffn)
    pub gate: Vec<f32>,
    pub up: Vec<f32>,
    /// (rows, rotated / 2)
    pub cos: Vec<f32>,
    pub sin: Vec<f32>,
    pub inputs: Inputs,
    /// What adapters need: (rows, rank) and (rows, out). Grown when first used.
    pub narrow: Vec<f32>,
    pub extra: Vec<f32>,
    pub angles: Vec<Angles>,
    /// (wanted, vocabulary). Grown to the most that were wanted.
    pub logits: Vec<f32>,
    /// Rows that were given out and came back.
    pub spare: Logits,
}

impl Buffers {
    pub fn new(config: &Config, weights: &Weights, rows_max: usize) -> Buffers {
        let rows = |width: usize| vec![0.0; rows_max * width];
        let all = weights.layers.iter().flat_map(|layer| {
            let attention = [&layer.query, &layer.key, &layer.value, &layer.attention_output];
            attention.into_iter().chain([&layer.gate, &layer.up, &layer.down]).map(|linear| &linear.weight)
        });
        let all: Vec<_> = all.chain([&weights.output().weight]).collect();
        let need = Need::of(&all);
        let widest = config.hidden.max(config.ffn).max(config.query_width());
        let quantized = |wanted: bool, grouping| wanted.then(|| Activations::new(grouping, rows_max, widest));
        let (hidden, query, kv, pairs) =
            (config.hidden, config.query_width(), config.kv_width(), config.rope.rotated / 2);
        Buffers {
            rows_max,
            x: rows(hidden),
            out: rows(hidden),
            normed: rows(hidden),
            q: rows(query),
            k: rows(kv),
            v: rows(kv),
            mixed: rows(query),
            gate: rows(config.ffn),
            up: rows(config.ffn),
            cos: rows(pairs),
            sin: rows(pairs),
            inputs: Inputs {
                block: quantized(need.block, Grouping::Block),
                wide: quantized(need.wide, Grouping::Super),
            },
            narrow: Vec::new(),
            extra: Vec::new(),
            angles: Vec::new(),
            logits: Vec::new(),
            spare: Vec::new(),
        }
    }
}

/// Bytes that a step takes at most, the logits of a whole chunk included, which evaluation asks for.
pub(crate) fn scratch_bytes(config: &Config, rows_max: usize) -> u64 {
    let widest = config.hidden.max(config.ffn).max(config.query_width());
    let floats = 3 * config.hidden + 2 * config.query_width() + 2 * config.kv_width() + 2 * config.ffn;
    let quantized = 2 * (widest + widest / 8 + widest / 8);
    (rows_max * (4 * (floats + config.rope.rotated + 2 * config.vocabulary) + quantized)) as u64
}
