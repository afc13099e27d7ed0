//! Weights as the file has them: matrices where they are mapped, norms and biases in f32.

use std::borrow::Cow;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicU64, Ordering};

use huacaya_kernels::{Format, Grouping, Pool, Rows, dequantize};
use huacaya_progress::{Progress, Watch};
use huacaya_weights::{Checkpoint, Place};

use crate::config::{Config, unusable};
use crate::source::Source;
use crate::{Error, Result};

/// Bytes that are brought in between two looks at the watch: some milliseconds of work when they are in memory already.
const BYTES_AT_A_TIME: usize = 64 << 20;
/// What one thread brings in at a time.
const PIECE: usize = 1 << 20;
/// No system has smaller pages.
const PAGE: usize = 4096;

/// A matrix of whole rows.
pub(super) struct Matrix {
    pub format: Format,
    pub columns: usize,
    held: Held,
}

enum Held {
    Mapped(Place),
    /// What a PyTorch file has in steps, gathered once.
    Own(Vec<u8>),
}

pub(super) struct Linear {
    pub weight: Matrix,
    /// (out)
    pub bias: Option<Vec<f32>>,
}

pub(super) struct Layer {
    pub attention_norm: Vec<f32>,
    pub query: Linear,
    pub key: Linear,
    pub value: Linear,
    pub attention_output: Linear,
    /// Query's and key's, each (head_size).
    pub head_norms: Option<[Vec<f32>; 2]>,
    pub ffn_norm: Vec<f32>,
    pub gate: Linear,
    pub up: Linear,
    pub down: Linear,
}

/// All of a model's tensors.
pub(crate) struct Weights {
    checkpoint: Checkpoint,
    /// (vocabulary, hidden)
    embedding: Linear,
    pub(super) layers: Vec<Layer>,
    /// (hidden)
    pub(super) norm: Vec<f32>,
    /// `None`: the embedding is the output layer, too.
    output: Option<Linear>,
}

impl Weights {
    /// Some rows of a matrix.
    pub fn rows<'a>(&'a self, matrix: &'a Matrix, rows: Range<usize>) -> Rows<'a> {
        let bytes: &[u8] = match &matrix.held {
            Held::Own(bytes) => bytes,
            Held::Mapped(place) => match self.checkpoint.bytes(*place) {
                Cow::Borrowed(bytes) => bytes,
                // What is no borrowed view was gathered when it was loaded.
                Cow::Owned(_) => &[],
            },
        };
        let row = matrix.row_bytes();
        Rows { format: matrix.format, columns: matrix.columns, bytes: &bytes[rows.start * row..rows.end * row] }
    }

    pub fn embedding(&self) -> &Matrix {
        &self.embedding.weight
    }

    pub fn output(&self) -> &Linear {
        self.output.as_ref().unwrap_or(&self.embedding)
    }
}

impl Matrix {
    pub fn row_bytes(&self) -> usize {
        self.columns / self.format.block_length() * self.format.block_bytes()
    }
}

/// Finds every tensor and brings their bytes in. The watch counts bytes of the file.
pub(crate) fn load(source: Source, config: &Config, pool: &Pool, watch: Watch<'_>) -> Result<Weights> {
    bring_in(&source, config, pool, watch)?;
    let matrix = |name: &str, rows: usize, columns: usize| -> Result<Matrix> {
        let view = source.view(name, &[rows, columns])?;
        let wanted = view.format.bytes_of(columns as u64).map(|row| row * rows as u64);
        if wanted != Some(view.bytes.len() as u64) {
            return unusable(format!("`{name}` is no whole number of {} blocks in a row", view.format));
        }
        let place = source.place(name).ok_or_else(|| Error::TensorMissing { tensor: name.to_string() })?;
        let format = view.format;
        let held = match view.bytes {
            Cow::Borrowed(_) => Held::Mapped(place),
            Cow::Owned(bytes) => Held::Own(bytes),
        };
        Ok(Matrix { format, columns, held })
    };
    let vector = |name: &str, length: usize| -> Result<Vec<f32>> {
        let view = source.view(name, &[length])?;
        let mut values = vec![0.0; length];
        match dequantize(view.format, &view.bytes, &mut values) {
            Ok(()) => Ok(values),
            Err(error) => unusable(format!("`{name}`: {error}")),
        }
    };
    let (hidden, query, kv, ffn) = (config.hidden, config.query_width(), config.kv_width(), config.ffn);
    let layer = |number: usize| -> Result<Layer> {
        let named = |name: &str| format!("blk.{number}.{name}");
        let linear = |name: &str, rows: usize, columns: usize, bias: bool| -> Result<Linear> {
            let bias = bias.then(|| vector(&named(&format!("{name}.bias")), rows)).transpose()?;
            Ok(Linear { weight: matrix(&named(&format!("{name}.weight")), rows, columns)?, bias })
        };
        let norm = |name: &str, length: usize| vector(&named(&format!("{name}.weight")), length);
        let biases = config.biases;
        Ok(Layer {
            attention_norm: norm("attn_norm", hidden)?,
            query: linear("attn_q", query, hidden, biases.query_key_value)?,
            key: linear("attn_k", kv, hidden, biases.query_key_value)?,
            value: linear("attn_v", kv, hidden, biases.query_key_value)?,
            attention_output: linear("attn_output", hidden, query, biases.attention_output)?,
            head_norms: match config.query_key_norms {
                true => Some([norm("attn_q_norm", config.head_size)?, norm("attn_k_norm", config.head_size)?]),
                false => None,
            },
            ffn_norm: norm("ffn_norm", hidden)?,
            gate: linear("ffn_gate", ffn, hidden, biases.ffn)?,
            up: linear("ffn_up", ffn, hidden, biases.ffn)?,
            down: linear("ffn_down", hidden, ffn, biases.ffn)?,
        })
    };
    let layers = (0..config.layers).map(layer).collect::<Result<_>>()?;
    let norm = vector("output_norm.weight", hidden)?;
    let whole =
        |name: &str| -> Result<Linear> { Ok(Linear { weight: matrix(name, config.vocabulary, hidden)?, bias: None }) };
    let embedding = whole("token_embd.weight")?;
    let output = if config.tied { None } else { Some(whole("output.weight")?) };
    Ok(Weights { embedding, layers, norm, output, checkpoint: source.checkpoint })
}

/// Touches every page of every tensor, so that the first answer finds them in memory.
fn bring_in(source: &Source, config: &Config, pool: &Pool, watch: Watch<'_>) -> Result<()> {
    let parameters = config.parameters();
    let mut total = 0;
    for (name, shape) in &parameters {
        total += source.view(name, shape)?.bytes.len() as u64;
    }
    let mut done = 0;
    for (i, (name, shape)) in parameters.iter().enumerate() {
        if let Some((next, _)) = parameters.get(i + 1) {
            source.will_need(next);
        }
        let view = source.view(name, shape)?;
        for bytes in view.bytes.chunks(BYTES_AT_A_TIME) {
            touch(bytes, pool);
            done += bytes.len() as u64;
            if watch(Progress { done, total }) == ControlFlow::Break(()) {
                return Err(Error::Stopped);
            }
        }
    }
    Ok(())
}

fn touch(bytes: &[u8], pool: &Pool) {
    let sum = AtomicU64::new(0);
    pool.each(bytes.len().div_ceil(PIECE), &|piece| {
        let start = piece * PIECE;
        let piece = &bytes[start..bytes.len().min(start + PIECE)];
        let part = piece.iter().step_by(PAGE).map(|&byte| u64::from(byte)).sum();
        sum.fetch_add(part, Ordering::Relaxed);
    });
    // Nobody wants the sum; a reader of memory that nobody looks at would be optimized away.
    std::hint::black_box(sum.into_inner());
}

/// Which kinds of quantized activations a group of products needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Need {
    pub block: bool,
    pub wide: bool,
}

impl Need {
    pub fn of(matrices: &[&Matrix]) -> Need {
        let wants = |grouping| matrices.iter().any(|matrix| matrix.format.grouping() == Some(grouping));
        Need { block: wants(Grouping::Block), wide: wants(Grouping::Super) }
    }
}
