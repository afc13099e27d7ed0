//! A whole step of a model of the Llama family: rows of several sequences through all layers, in one submission.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use huacaya_kernels::Format;
use huacaya_progress::Watch;

use crate::attention::{ATTENTION_BLOCK, AttendCall, FlashCall, QUERY_TILE};
use crate::cache::Cache;
use crate::recorder::Counts;
use crate::rows::{NormCall, TurnCall};
use crate::weights::{Find, Layer, Shape, Weights, load};
use crate::{Buffer, COLUMNS_FEW, Error, Gpu, Product, Recorder, Result};

/// Up to so many workgroups share the past of a row.
const SPLITS_MAX: usize = 16;
/// Rows times splits, at most: what their parts take is bounded by it.
const PARTS_MAX: usize = 128;

/// A model in the card's memory; immutable.
#[derive(Debug)]
pub struct Decoder {
    pub gpu: Arc<Gpu>,
    pub shape: Shape,
    weights: Weights,
}

impl Decoder {
    /// Brings the tensors that `tensor` finds by GGUF's names and shapes (out, in) to the card. The watch counts bytes of
    /// `total`; `None` where it stopped the loading.
    pub fn load<'t, E: From<Error>>(
        gpu: Arc<Gpu>,
        shape: Shape,
        total: u64,
        tensor: Find<'_, 't, E>,
        watch: Watch<'_>,
    ) -> Result<Option<Decoder>, E> {
        let weights = load(&gpu, &shape, total, tensor, watch)?;
        Ok(weights.map(|weights| Decoder { gpu, shape, weights }))
    }
}

/// What a submission should take.
const SUBMISSION_SECONDS: f64 = 0.1;
/// Layers of a submission before it is known what one takes.
const LAYERS_FIRST: usize = 1;

/// What an adapter adds to the matrices of a model, in the card's memory.
#[derive(Debug, Default)]
pub struct Addition {
    pairs: HashMap<(usize, &'static str), Pair>,
    rank_max: usize,
}

#[derive(Debug)]
struct Pair {
    a: Buffer,
    b: Buffer,
    rows: usize,
    columns: usize,
    rank: usize,
    scale: f32,
}

impl Addition {
    /// Adds the pair for one part ("attn_q", …, "ffn_down") of a layer: `scale * b a`; a is (rank, columns), b (rows, rank).
    pub fn insert(
        &mut self,
        gpu: &Gpu,
        place: (usize, &'static str),
        shape: [usize; 3],
        a: &[u8],
        b: &[u8],
        scale: f32,
    ) -> Result<()> {
        let [rows, rank, columns] = shape;
        // Rows are read in vectors of four: what is missing is zero.
        let padded = rank.next_multiple_of(4);
        let mut wide = vec![0; rows * padded * 4];
        for (to, from) in wide.chunks_exact_mut(padded * 4).zip(b.chunks_exact(rank.max(1) * 4)) {
            to[..from.len()].copy_from_slice(from);
        }
        let mut long = a.to_vec();
        long.resize(padded * columns * 4, 0);
        let (a, b) = (gpu.upload("adapter", &long)?, gpu.upload("adapter", &wide)?);
        self.rank_max = self.rank_max.max(padded);
        self.pairs.insert(place, Pair { a, b, rows, columns, rank: padded, scale });
        Ok(())
    }
}

/// New tokens of one sequence.
pub struct Piece<'a> {
    pub sequence: u64,
    pub first: usize,
    pub tokens: &'a [u32],
    /// Which of them are to have logits.
    pub wanted: Range<usize>,
    /// (tokens, rotated): cosines, then sines.
    pub angles: &'a [f32],
}

/// What is asked of a step.
pub struct Batch<'a> {
    pub pieces: &'a [Piece<'a>],
    /// Adapters and their strengths.
    pub additions: &'a [(Arc<Addition>, f32)],
    /// What goes into the output layer instead of what comes out of it.
    pub hidden: bool,
}

/// Sequences at work on a decoder, and what a step needs beside them.
#[derive(Debug)]
pub struct Running {
    decoder: Arc<Decoder>,
    cache: Cache,
    rows_max: usize,
    x: Buffer,
    delta: Buffer,
    normed: Buffer,
    heads: Buffer,
    mixed: Buffer,
    gate_up: Buffer,
    active: Buffer,
    parts: Buffer,
    logits: Buffer,
    narrow: Buffer,
    ids: Buffer,
    angles: Buffer,
    rows: Buffer,
    tables: Buffer,
    tiles: Buffer,
    places: Buffer,
    /// What a row of a layer took when many were read.
    row_seconds: f64,
    /// Of all steps so far.
    pub counts: Counts,
    pub steps: u64,
}

/// How the rows of a step go over their pasts.
enum Way {
    Split { splits: usize, blocks: usize },
    Tiles(usize),
}

impl Running {
    /// `rows_max`: rows of a step, at most.
    pub fn new(decoder: Arc<Decoder>, rows_max: usize) -> Result<Running> {
        let (gpu, shape) = (decoder.gpu.clone(), decoder.shape.clone());
        let floats = |what: &str, width: usize| gpu.buffer(what, (rows_max * width * 4) as u64);
        let (query, key) = (shape.query(), shape.key());
        Ok(Running {
            cache: Cache::new(&gpu, &shape)?,
            rows_max,
            x: floats("x", shape.hidden)?,
            delta: floats("delta", shape.hidden)?,
            normed: floats("normed", shape.hidden)?,
            heads: floats("heads", query + 2 * key)?,
            mixed: floats("mixed", query)?,
            gate_up: floats("gate and up", 2 * shape.ffn)?,
            active: floats("active", shape.ffn)?,
            parts: gpu.buffer("parts", (PARTS_MAX.max(rows_max) * shape.heads * (shape.head_size + 2) * 4) as u64)?,
            logits: gpu.buffer("logits", (shape.vocabulary * 4) as u64)?,
            narrow: gpu.buffer("narrow", 16)?,
            ids: floats("ids", 1)?,
            angles: floats("angles", shape.rotated)?,
            rows: floats("rows", 4)?,
            tables: gpu.buffer("tables", 1 << 12)?,
            tiles: floats("tiles", 2)?,
            places: floats("places", 1)?,
            decoder,
            row_seconds: 0.0,
            counts: Counts::default(),
            steps: 0,
        })
    }

    pub fn create(&mut self, id: u64) {
        self.cache.create(id);
    }

    /// Whether there is a sequence to copy from.
    pub fn fork(&mut self, from: u64, to: u64, length: usize) -> bool {
        self.cache.fork(from, to, length)
    }

    pub fn truncate(&mut self, id: u64, length: usize) {
        self.cache.truncate(id, length);
    }

    pub fn release(&mut self, id: u64) {
        self.cache.release(id);
    }

    pub fn length(&self, id: u64) -> Option<usize> {
        self.cache.length(id)
    }

    /// Bytes that keys and values take now.
    pub fn cache_bytes(&self) -> u64 {
        self.cache.bytes()
    }

    /// Appends the pieces' tokens to their sequences and answers a row for each wanted token. Rows in all: `rows_max` at
    /// most. An error leaves the lengths as they were.
    pub fn step(&mut self, batch: &Batch<'_>) -> Result<Vec<Vec<f32>>> {
        let decoder = self.decoder.clone();
        let (gpu, shape) = (&*decoder.gpu, &decoder.shape);
        let count: usize = batch.pieces.iter().map(|piece| piece.tokens.len()).sum();
        if count == 0 || count > self.rows_max {
            return Err(Error::Shape { what: "the rows of a step", found: count as u64, wanted: self.rows_max as u64 });
        }
        let mut recorder = Recorder::new(gpu);
        let (way, wanted) = match self.prepare(&mut recorder, batch) {
            Ok(prepared) => prepared,
            Err(error) => {
                // Blocks that sequences were given are copied all the same: they hold what those had before.
                recorder.finish(None)?;
                return Err(error);
            }
        };
        let rank = batch.additions.iter().map(|(addition, _)| addition.rank_max).max().unwrap_or(0);
        grow(gpu, &mut self.narrow, "narrow", (self.rows_max * rank * 4) as u64)?;
        decoder.weights.embedding.pick(&mut recorder, &self.ids, &self.x, count)?;
        let layers_each = self.layers_each(count);
        for (number, layer) in decoder.weights.layers.iter().enumerate() {
            if number > 0 && number.is_multiple_of(layers_each) {
                recorder.flush();
            }
            self.layer(&mut recorder, number, layer, &way, batch, count)?;
        }
        let width = if batch.hidden { shape.hidden } else { shape.vocabulary };
        if wanted > 0 {
            self.norm(&mut recorder, true, &decoder.weights.norm, wanted, true)?;
            if !batch.hidden {
                grow(gpu, &mut self.logits, "logits", (wanted * width * 4) as u64)?;
                let output = decoder.weights.output.as_ref().unwrap_or(&decoder.weights.embedding);
                output.multiply(&mut recorder, &self.normed, (&self.logits, 0, width), wanted)?;
            }
        }
        let results = if batch.hidden { &self.normed } else { &self.logits };
        let begun = Instant::now();
        let words = recorder.finish((wanted > 0).then_some((results, wanted * width)))?;
        self.pace(count, begun.elapsed());
        self.note(recorder.counts);
        for piece in batch.pieces {
            self.cache.set_length(piece.sequence, piece.first + piece.tokens.len());
        }
        Ok(words.chunks(width).map(|row| row.iter().map(|word| f32::from_bits(*word)).collect()).collect())
    }

    /// Layers of a submission: as many as take it some tenths of a second at most. Systems take a card away from who keeps it
    /// for two, and a desktop that waits for it stutters.
    fn layers_each(&self, rows: usize) -> usize {
        let layer = self.row_seconds * rows as f64;
        if rows <= COLUMNS_FEW {
            usize::MAX
        } else if layer > 0.0 {
            ((SUBMISSION_SECONDS / layer) as usize).max(1)
        } else {
            LAYERS_FIRST
        }
    }

    /// Notes how long a step of many rows took: what few rows take is no measure for them.
    fn pace(&mut self, rows: usize, took: Duration) {
        if rows > COLUMNS_FEW {
            self.row_seconds = took.as_secs_f64() / (rows * self.decoder.shape.layers.max(1)) as f64;
        }
    }

    fn note(&mut self, counts: Counts) {
        self.steps += 1;
        self.counts.dispatches += counts.dispatches;
        self.counts.submissions += counts.submissions;
        self.counts.bytes_back += counts.bytes_back;
        self.counts.bytes_sent += counts.bytes_sent;
        self.counts.bytes_of_weights += counts.bytes_of_weights;
    }

    /// Makes room and sends what the programs must know of the rows. How they go over their pasts, and how many are wanted.
    fn prepare(&mut self, recorder: &mut Recorder<'_>, batch: &Batch<'_>) -> Result<(Way, usize)> {
        let (mut ids, mut angles, mut rows, mut tables) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut tiles, mut places, mut longest, mut most) = (Vec::new(), Vec::new(), 0, 0);
        for piece in batch.pieces {
            let (first, end) = (piece.first, piece.first + piece.tokens.len());
            let held = self.cache.length(piece.sequence);
            if held != Some(first) {
                let found = held.map_or(u64::MAX, |held| held as u64);
                return Err(Error::Shape { what: "the length of a sequence", found, wanted: first as u64 });
            }
            self.cache.reserve(recorder, piece.sequence, first, end)?;
            let blocks = self.cache.blocks(piece.sequence);
            let start = ids.len();
            for position in first..end {
                let place = blocks[position / ATTENTION_BLOCK] as usize * ATTENTION_BLOCK + position % ATTENTION_BLOCK;
                rows.extend([position as u32, tables.len() as u32, place as u32, 0]);
            }
            for row in (0..piece.tokens.len()).step_by(QUERY_TILE) {
                tiles.extend([(start + row) as u32, QUERY_TILE.min(piece.tokens.len() - row) as u32]);
            }
            tables.extend_from_slice(&blocks[..end.div_ceil(ATTENTION_BLOCK)]);
            places.extend(piece.wanted.clone().map(|row| (start + row) as u32));
            ids.extend_from_slice(piece.tokens);
            angles.extend(piece.angles.iter().map(|value| value.to_bits()));
            (longest, most) = (longest.max(end), most.max(piece.tokens.len()));
        }
        let gpu = recorder.gpu();
        grow(gpu, &mut self.tables, "tables", tables.len() as u64 * 4)?;
        for (buffer, words) in [
            (&self.ids, &ids),
            (&self.angles, &angles),
            (&self.rows, &rows),
            (&self.tables, &tables),
            (&self.tiles, &tiles),
            (&self.places, &places),
        ] {
            recorder.counts.bytes_sent += words.len() as u64 * 4;
            gpu.write(buffer, &words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>())?;
        }
        let way = if most <= COLUMNS_FEW {
            let blocks = longest.div_ceil(ATTENTION_BLOCK);
            let splits = blocks.min(SPLITS_MAX).min((PARTS_MAX / ids.len()).max(1));
            let each = blocks.div_ceil(splits);
            Way::Split { splits: blocks.div_ceil(each), blocks: each }
        } else {
            Way::Tiles(tiles.len() / 2)
        };
        Ok((way, places.len()))
    }

    fn layer(
        &self,
        recorder: &mut Recorder<'_>,
        number: usize,
        layer: &Layer,
        way: &Way,
        batch: &Batch<'_>,
        count: usize,
    ) -> Result<()> {
        let shape = &self.decoder.shape;
        let (query, key, hidden, ffn) = (shape.query(), shape.key(), shape.hidden, shape.ffn);
        let add = |recorder: &mut Recorder<'_>, part, x: &Buffer, out: (&Buffer, usize, usize)| {
            self.add(recorder, batch, (number, part), x, out, count)
        };
        self.norm(recorder, number > 0, &layer.attention_norm, count, false)?;
        let width = query + 2 * key;
        layer.query_key_value.multiply(recorder, &self.normed, (&self.heads, width), count)?;
        for (part, start) in [("attn_q", 0), ("attn_k", query), ("attn_v", query + key)] {
            add(recorder, part, &self.normed, (&self.heads, start, width))?;
        }
        self.attend(recorder, number, layer, way, count)?;
        layer.attention_output.multiply(recorder, &self.mixed, (&self.delta, hidden), count)?;
        add(recorder, "attn_output", &self.mixed, (&self.delta, 0, hidden))?;
        self.norm(recorder, true, &layer.ffn_norm, count, false)?;
        layer.gate_up.multiply(recorder, &self.normed, (&self.gate_up, 2 * ffn), count)?;
        add(recorder, "ffn_gate", &self.normed, (&self.gate_up, 0, 2 * ffn))?;
        add(recorder, "ffn_up", &self.normed, (&self.gate_up, ffn, 2 * ffn))?;
        recorder.swiglu(&self.gate_up, &self.active, ffn, count)?;
        layer.down.multiply(recorder, &self.active, (&self.delta, hidden), count)?;
        add(recorder, "ffn_down", &self.active, (&self.delta, 0, hidden))
    }

    fn norm(
        &self,
        recorder: &mut Recorder<'_>,
        with_delta: bool,
        weight: &Buffer,
        count: usize,
        of_wanted: bool,
    ) -> Result<()> {
        let call = NormCall {
            columns: self.decoder.shape.hidden,
            epsilon: self.decoder.shape.epsilon,
            x: &self.x,
            delta: with_delta.then_some(&self.delta),
            weight,
            out: &self.normed,
            places: of_wanted.then_some(&self.places),
            count,
        };
        call.start(recorder)
    }

    fn attend(&self, recorder: &mut Recorder<'_>, number: usize, layer: &Layer, way: &Way, count: usize) -> Result<()> {
        let &Shape { heads, kv_heads, head_size, kv, rotated, halves, epsilon, .. } = &self.decoder.shape;
        let [keys, values] = self.cache.layer(number);
        let norms = layer.head_norms.as_ref();
        let (x, angles, rows) = (&self.heads, &self.angles, &self.rows);
        let turn = TurnCall {
            heads,
            kv_heads,
            head_size,
            rotated,
            halves,
            kv,
            epsilon,
            x,
            angles,
            norms,
            keys,
            values,
            rows,
            count,
        };
        turn.start(recorder)?;
        let (stride, tables, out) = ((heads + 2 * kv_heads) * head_size, &self.tables, &self.mixed);
        let call = AttendCall { heads, kv_heads, head_size, kv, x, stride, keys, values, rows, tables, out, count };
        match way {
            Way::Split { splits, blocks } => call.start_split(recorder, &self.parts, *splits, *blocks),
            Way::Tiles(count) => call.start_tiled(recorder, &FlashCall { tiles: &self.tiles, count: *count }),
        }
    }

    /// What adapters add to a product that was just made.
    fn add(
        &self,
        recorder: &mut Recorder<'_>,
        batch: &Batch<'_>,
        place: (usize, &'static str),
        x: &Buffer,
        out: (&Buffer, usize, usize),
        count: usize,
    ) -> Result<()> {
        for (addition, strength) in batch.additions {
            let Some(pair) = addition.pairs.get(&place) else { continue };
            let &Pair { rows, columns, rank, scale, .. } = pair;
            let narrow = Product {
                format: Format::F32,
                rows: rank,
                columns,
                weights: &pair.a,
                x,
                x_start: 0,
                x_stride: columns,
                count,
                out: &self.narrow,
                out_start: 0,
                out_stride: rank,
                bias: None,
                scale: scale * strength,
                accumulate: false,
            };
            narrow.start(recorder)?;
            let (out, out_start, out_stride) = out;
            let wide = Product {
                rows,
                columns: rank,
                weights: &pair.b,
                x: &self.narrow,
                x_stride: rank,
                out,
                out_start,
                out_stride,
                scale: 1.0,
                accumulate: true,
                ..narrow
            };
            wide.start(recorder)?;
        }
        Ok(())
    }
}

/// A larger buffer in a buffer's place, where it is too small. What it held is gone.
fn grow(gpu: &Gpu, buffer: &mut Buffer, what: &str, bytes: u64) -> Result<()> {
    if bytes > buffer.bytes {
        *buffer = gpu.buffer(what, bytes)?;
    }
    Ok(())
}
