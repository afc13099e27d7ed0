//! One step: rows of several sequences through all layers.

use std::collections::HashMap;
use std::iter::repeat_with;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use huacaya_kernels::{
    ActivationRow, Activations, Error as KernelError, Format, Grouping, Input, Pairs, Part, Past, Queries, Rows, Strip,
    dequantize,
};

use super::decoder::Decoder;
use super::keys::Angles;
use super::kv::{PAGE, Sequence};
use super::load::{Linear, Need};
use super::places::Places;
use super::plan::{Buffers, Inputs};
use crate::adapter::{Adapter, Adapters, Pair};
use crate::backend::{Logits, Run, SequenceId, Stop};
use crate::candle::Tap;
use crate::config::unusable;
use crate::rope;
use crate::{Error, Result};

/// Up to this many rows, what is done row by row is done on the spot: waking threads would take longer.
const FEW: usize = 4;
/// Spans that angles are kept for from step to step.
const SPANS_MAX: usize = 16;
/// More rows than those go out to the threads so many at a time: what is known of each stands on the stack.
const TOGETHER: usize = 32;
/// Bytes of weights in a block of a product with few rows: some microseconds of reading.
const BLOCK_BYTES: usize = 64 << 10;
/// Weight rows in a block: kernels compute with 8 or 16 of them at a time.
const BLOCK_STEP: usize = 16;
/// Weight rows in a block where many rows share it: unpacked, they stay in the second cache.
const BLOCK_MANY: usize = 32;

pub(super) type Sequences = HashMap<SequenceId, Sequence>;

/// A kernel's complaint from inside a region. There is none unless this file is wrong.
#[derive(Default)]
struct Fault(OnceLock<KernelError>);

impl Fault {
    fn note(&self, result: Result<(), KernelError>) {
        if let Err(error) = result {
            let _ = self.0.set(error);
        }
    }
}

/// A step at work.
pub(super) struct Step<'a> {
    pub decoder: &'a Decoder,
    pub adapters: &'a Adapters,
    pub tap: Option<&'a Tap>,
    /// Hidden states are wanted instead of logits.
    hidden: bool,
    pairs: Pairs,
    fault: Fault,
}

impl<'a> Step<'a> {
    pub fn new(decoder: &'a Decoder, adapters: &'a Adapters, tap: Option<&'a Tap>) -> Step<'a> {
        let pairs = match decoder.config.rope.pairs {
            rope::Pairs::Halves => Pairs::Halves,
            rope::Pairs::Adjacent => Pairs::Adjacent,
        };
        Step { decoder, adapters, tap, hidden: false, pairs, fault: Fault::default() }
    }

    /// Rows are the last layer's output after the final norm instead of logits.
    pub fn hidden(mut self, hidden: bool) -> Step<'a> {
        self.hidden = hidden;
        self
    }

    /// Keys and values of the pieces' tokens into their sequences, which have room for them, and the wanted logits behind
    /// those that are there. Lengths stay as they are.
    pub fn run(
        &self,
        buffers: &mut Buffers,
        sequences: &mut Sequences,
        (runs, places): (&[Run], &mut Places),
        stop: Stop,
        logits: &mut Logits,
    ) -> Result<()> {
        let Decoder { config, weights, needs, .. } = self.decoder;
        let mut rows = places.positions.len();
        self.embed(buffers, runs, places)?;
        self.angles(buffers, places);
        let mut add = false;
        for (number, (layer, needs)) in weights.layers.iter().zip(needs).enumerate() {
            if stop() {
                return Err(Error::Stopped);
            }
            // Behind the last keys and values only what has logits goes on; a listener wants to hear all.
            let cut = number + 1 == config.layers && self.tap.is_none() && places.wanted.len() < rows;
            self.normalize(buffers, rows, add, &layer.attention_norm, needs.query_key_value);
            let Buffers { normed, inputs, q, k, v, .. } = &mut *buffers;
            let plain = &normed[..rows * config.hidden];
            self.note(number, &["attn_q", "attn_k", "attn_v"], plain, config.hidden);
            let (k, v) = (&mut k[..rows * config.kv_width()], &mut v[..rows * config.kv_width()]);
            match cut {
                true => self.products(inputs, plain, rows, [(&layer.key, k), (&layer.value, v)]),
                false => {
                    let q = &mut q[..rows * config.query_width()];
                    self.products(inputs, plain, rows, [(&layer.query, q), (&layer.key, k), (&layer.value, v)]);
                }
            }
            self.adapt(buffers, (number, "attn_k"), rows);
            self.adapt(buffers, (number, "attn_v"), rows);
            self.keep(buffers, sequences, places, number, rows)?;
            if cut {
                if places.wanted.is_empty() {
                    break;
                }
                rows = self.cut(buffers, places);
                self.normalize(buffers, rows, false, &layer.attention_norm, needs.query);
                let Buffers { normed, inputs, q, .. } = &mut *buffers;
                let q = &mut q[..rows * config.query_width()];
                self.products(inputs, &normed[..rows * config.hidden], rows, [(&layer.query, q)]);
            }
            self.adapt(buffers, (number, "attn_q"), rows);
            let Buffers { q, cos, sin, .. } = &mut *buffers;
            self.turn(&mut q[..rows * config.query_width()], config.query_width(), 0, number, cos, sin);
            self.attend(buffers, sequences, places, number)?;
            self.quantize(&buffers.mixed, &mut buffers.inputs, config.query_width(), rows, needs.attention_output);
            let Buffers { mixed, inputs, out, .. } = &mut *buffers;
            let mixed = &mixed[..rows * config.query_width()];
            self.note(number, &["attn_output"], mixed, config.query_width());
            self.products(inputs, mixed, rows, [(&layer.attention_output, &mut out[..rows * config.hidden])]);
            self.adapt(buffers, (number, "attn_output"), rows);
            self.feed_forward(buffers, number, rows);
            add = true;
            self.check()?;
        }
        self.logits(buffers, places, rows, logits)
    }

    /// The second half of a layer; what it adds stands in `out`.
    fn feed_forward(&self, buffers: &mut Buffers, number: usize, rows: usize) {
        let Decoder { config, weights, needs, pool, settings, .. } = self.decoder;
        let (layer, needs, ffn) = (&weights.layers[number], &needs[number], config.ffn);
        self.normalize(buffers, rows, true, &layer.ffn_norm, needs.gate_up);
        let adapted = ["ffn_gate", "ffn_up"].iter().any(|part| self.pairs_of((number, part)).next().is_some());
        let Buffers { normed, inputs, gate, up, .. } = &mut *buffers;
        let plain = &normed[..rows * config.hidden];
        self.note(number, &["ffn_gate", "ffn_up"], plain, config.hidden);
        let (gate, up) = (&mut gate[..rows * ffn], &mut up[..rows * ffn]);
        let swiglu = |gate: &mut [f32], up: &[f32]| self.fault.note(settings.kernels.swiglu(gate, up));
        if adapted {
            self.products(inputs, plain, rows, [(&layer.gate, gate), (&layer.up, up)]);
            self.adapt(buffers, (number, "ffn_gate"), rows);
            self.adapt(buffers, (number, "ffn_up"), rows);
            let both = buffers.gate.chunks_mut(ffn).zip(buffers.up.chunks(ffn)).take(rows);
            self.spread(both, rows, |(gate, up)| swiglu(gate, up));
        } else {
            pool.pairs([gate, up], ffn, self.block(&layer.gate, rows), &|columns, gate, up| {
                self.product(&layer.up, columns.clone(), inputs, plain, up);
                self.product(&layer.gate, columns, inputs, plain, gate);
                (0..rows).for_each(|row| swiglu(gate.row(row), up.row(row)));
            });
        }
        self.quantize(&buffers.gate, &mut buffers.inputs, ffn, rows, needs.down);
        let Buffers { gate, inputs, out, .. } = &mut *buffers;
        self.note(number, &["ffn_down"], &gate[..rows * ffn], ffn);
        self.products(inputs, &gate[..rows * ffn], rows, [(&layer.down, &mut out[..rows * config.hidden])]);
        self.adapt(buffers, (number, "ffn_down"), rows);
    }

    /// The tokens' rows of the embedding.
    fn embed(&self, buffers: &mut Buffers, runs: &[Run], places: &Places) -> Result<()> {
        let Decoder { config, weights, .. } = self.decoder;
        let tokens = places.pieces.iter().flat_map(|piece| &runs[piece.run].tokens[piece.tokens.clone()]);
        for (x, &token) in buffers.x.chunks_mut(config.hidden).zip(tokens) {
            let row = weights.rows(weights.embedding(), token as usize..token as usize + 1);
            dequantize(row.format, row.bytes, x)?;
        }
        Ok(())
    }

    /// Cosines and sines of every row, and those of the kept keys where they are turned as they are read.
    fn angles(&self, buffers: &mut Buffers, places: &Places) {
        let Decoder { config, layout, .. } = self.decoder;
        let half = config.rope.rotated / 2;
        let Buffers { cos, sin, angles, .. } = buffers;
        if angles.len() > SPANS_MAX {
            angles.clear();
        }
        let mut rows = cos.chunks_mut(half).zip(sin.chunks_mut(half));
        for piece in &places.pieces {
            let angles = Angles::of(angles, &config.rope, piece.span);
            if layout.unturned {
                angles.reach(piece.first + piece.rows.len());
            }
            for (i, (cos, sin)) in rows.by_ref().take(piece.rows.len()).enumerate() {
                angles.rope.turn(piece.first + i, cos, sin);
            }
        }
    }

    /// `x` plus, where told, `out`; its norm, and that quantized.
    fn normalize(&self, buffers: &mut Buffers, rows: usize, add: bool, weight: &[f32], need: Need) {
        let (hidden, kernels) = (self.decoder.config.hidden, self.decoder.settings.kernels);
        let Buffers { x, out, normed, inputs, .. } = buffers;
        let quantized = inputs.rows(rows, hidden, need);
        let all = x.chunks_mut(hidden).zip(out.chunks(hidden)).zip(normed.chunks_mut(hidden)).zip(quantized).take(rows);
        self.spread(all, rows, |(((x, out), normed), quantized)| {
            if add {
                self.fault.note(kernels.add(x, out));
            }
            self.fault.note(kernels.rms_norm(x, weight, self.decoder.config.norm_eps, normed));
            self.quantize_row(quantized, normed);
        });
    }

    fn quantize(&self, values: &[f32], inputs: &mut Inputs, width: usize, rows: usize, need: Need) {
        let all = values.chunks(width).zip(inputs.rows(rows, width, need)).take(rows);
        self.spread(all, rows, |(values, quantized)| self.quantize_row(quantized, values));
    }

    fn quantize_row(&self, quantized: &mut [Option<ActivationRow<'_>>; 2], values: &[f32]) {
        for row in quantized.iter_mut().filter_map(Option::take) {
            row.quantize(self.decoder.settings.kernels, values);
        }
    }

    /// Each matrix with the rows, in one region.
    fn products<const N: usize>(
        &self,
        inputs: &Inputs,
        plain: &[f32],
        rows: usize,
        matrices: [(&Linear, &mut [f32]); N],
    ) {
        let linears = matrices.each_ref().map(|(linear, _)| *linear);
        let mut parts = matrices.map(|(linear, out)| {
            let width = out.len() / rows;
            Part { out, width, block: self.block(linear, rows) }
        });
        self.decoder
            .pool
            .strips(&mut parts, &|i, columns, strip| self.product(linears[i], columns, inputs, plain, strip));
    }

    /// How many weight rows are multiplied at a time.
    fn block(&self, linear: &Linear, rows: usize) -> usize {
        match rows {
            0..=FEW => (BLOCK_BYTES / linear.weight.row_bytes().max(1)).next_multiple_of(BLOCK_STEP).max(BLOCK_STEP),
            _ => BLOCK_MANY,
        }
    }

    fn product(&self, linear: &Linear, columns: Range<usize>, inputs: &Inputs, plain: &[f32], strip: &mut Strip<'_>) {
        let weight = &linear.weight;
        let input = match weight.format.grouping() {
            None => Some(Input::Plain { values: plain, columns: weight.columns }),
            Some(Grouping::Block) => inputs.block.as_ref().map(Input::Quantized),
            Some(Grouping::Super) => inputs.wide.as_ref().map(Input::Quantized),
        };
        let Some(input) = input else {
            return self.fault.note(Err(KernelError::Input { format: weight.format }));
        };
        let rows = self.decoder.weights.rows(weight, columns.clone());
        self.fault.note(self.decoder.settings.kernels.product(rows, input, strip));
        if let Some(bias) = &linear.bias {
            (0..strip.rows()).for_each(|row| {
                self.fault.note(self.decoder.settings.kernels.add(strip.row(row), &bias[columns.clone()]));
            });
        }
    }

    /// Norms (0: query's, 1: key's) and turns each row of heads.
    fn turn(&self, rows: &mut [f32], width: usize, which: usize, layer: usize, cos: &[f32], sin: &[f32]) {
        let Decoder { config, weights, settings, .. } = self.decoder;
        let (half, size, kernels) = (config.rope.rotated / 2, config.head_size, settings.kernels);
        let norms = weights.layers[layer].head_norms.as_ref().map(|norms| &norms[which]);
        let count = rows.len() / width;
        let all = rows.chunks_mut(width).zip(cos.chunks(half)).zip(sin.chunks(half));
        self.spread(all, count, |((row, cos), sin)| {
            if let Some(norm) = norms {
                self.norm_heads(row, norm);
            }
            self.fault.note(kernels.rotate(row, size, cos, sin, self.pairs));
        });
    }

    fn norm_heads(&self, row: &mut [f32], weight: &[f32]) {
        let (config, kernels) = (&self.decoder.config, self.decoder.settings.kernels);
        let mut before = [0.0; huacaya_kernels::HEAD_SIZE_MAX];
        let before = &mut before[..config.head_size];
        for head in row.chunks_mut(config.head_size) {
            before.copy_from_slice(head);
            self.fault.note(kernels.rms_norm(before, weight, config.norm_eps, head));
        }
    }

    /// Keys, turned or to be turned when they are read, and values of all rows into their sequences.
    fn keep(
        &self,
        buffers: &mut Buffers,
        sequences: &mut Sequences,
        places: &Places,
        layer: usize,
        rows: usize,
    ) -> Result<()> {
        let Decoder { config, weights, layout, .. } = self.decoder;
        let width = config.kv_width();
        let Buffers { k, v, cos, sin, .. } = buffers;
        let (k, v) = (&mut k[..rows * width], &v[..rows * width]);
        if !layout.unturned {
            self.turn(k, width, 1, layer, cos, sin);
        } else if let Some([_, norm]) = &weights.layers[layer].head_norms {
            k.chunks_mut(width).for_each(|row| self.norm_heads(row, norm));
        }
        for piece in &places.pieces {
            let sequence = sequence_of(sequences, piece.sequence)?;
            let part = piece.rows.start * width..piece.rows.end * width;
            self.store(sequence, layer, piece.first, &k[part.clone()], &v[part]);
        }
        Ok(())
    }

    pub(super) fn encode(&self, format: Format, values: &[f32], bytes: &mut [u8]) {
        self.fault.note(self.decoder.settings.kernels.encode(format, values, bytes));
    }

    /// Every row's queries over what its sequence holds up to it.
    fn attend(&self, buffers: &mut Buffers, sequences: &Sequences, places: &Places, layer: usize) -> Result<()> {
        let Decoder { config, layout, pool, settings, .. } = self.decoder;
        let (size, width) = (config.head_size, config.query_width());
        let heads = config.heads / config.kv_heads;
        let scale = (size as f32).sqrt().recip();
        let rows = places.positions.len();
        let Buffers { q, mixed, angles, .. } = buffers;
        let (q, mixed, angles) = (&q[..rows * width], &mut mixed[..rows * width], &*angles);
        if let Some(missing) = places.pieces.iter().find(|piece| !sequences.contains_key(&piece.sequence)) {
            return unusable(format!("no such sequence: {:?}", missing.sequence));
        }
        pool.bands(mixed, width, &places.bands, heads * size, &|band, columns, strip| {
            let piece = &places.pieces[places.owners[band]];
            let Some(sequence) = sequences.get(&piece.sequence) else { return };
            let known = angles.iter().find(|angles| angles.span == piece.span);
            let turn = known.filter(|_| layout.unturned).map(|angles| angles.turn(self.pairs));
            let (range, head) = (places.bands[band].clone(), columns.start / (heads * size));
            let queries = Queries {
                values: &q[range.start * width + columns.start..],
                stride: width,
                positions: &places.positions[range],
                heads,
                head_size: size,
                scale,
            };
            let page = |number: usize| {
                let [keys, values] = sequence.pages[number].head(layout, layer, head);
                huacaya_kernels::Page { keys, values }
            };
            let past = Past { keys: layout.format, values: layout.format, page_length: PAGE, page: &page, turn };
            self.fault.note(settings.kernels.attend(&queries, &past, strip));
        });
        Ok(())
    }

    /// Leaves only the rows that are to have logits. How many these are.
    fn cut(&self, buffers: &mut Buffers, places: &mut Places) -> usize {
        let (hidden, half) = (self.decoder.config.hidden, self.decoder.config.rope.rotated / 2);
        for (to, &from) in places.wanted.iter().enumerate() {
            for (rows, width) in [(&mut buffers.x, hidden), (&mut buffers.cos, half), (&mut buffers.sin, half)] {
                rows.copy_within(from * width..(from + 1) * width, to * width);
            }
        }
        let group = self.decoder.config.heads / self.decoder.config.kv_heads;
        places.keep_wanted(group);
        places.positions.len()
    }

    /// The output layer for the wanted rows, or what it would be given, behind the rows that `logits` has.
    fn logits(&self, buffers: &mut Buffers, places: &Places, rows: usize, logits: &mut Logits) -> Result<()> {
        let Decoder { config, weights, output_need, .. } = self.decoder;
        let (hidden, vocabulary, wanted) = (config.hidden, config.vocabulary, places.wanted.len());
        if wanted == 0 {
            return Ok(());
        }
        if wanted < rows {
            for (to, &from) in places.wanted.iter().enumerate() {
                buffers.x.copy_within(from * hidden..(from + 1) * hidden, to * hidden);
                buffers.out.copy_within(from * hidden..(from + 1) * hidden, to * hidden);
            }
        }
        self.normalize(buffers, wanted, true, &weights.norm, *output_need);
        let Buffers { normed, inputs, logits: several, spare, .. } = buffers;
        let plain = &normed[..wanted * hidden];
        let mut row_of = |values: &[f32]| {
            let mut row = spare.pop().unwrap_or_default();
            row.clear();
            row.extend_from_slice(values);
            row
        };
        if self.hidden {
            logits.extend(plain.chunks(hidden).map(row_of));
            return Ok(());
        }
        several.resize(several.len().max(wanted * vocabulary), 0.0);
        let all = &mut several[..wanted * vocabulary];
        self.products(inputs, plain, wanted, [(weights.output(), &mut *all)]);
        logits.extend(all.chunks(vocabulary).map(&mut row_of));
        self.check()
    }

    fn pairs_of(&self, place: (usize, &'static str)) -> impl Iterator<Item = (&'a Pair, f32)> {
        let pair = move |(adapter, strength): &'a (Arc<Adapter>, f32)| Some((adapter.pair(place)?, *strength));
        self.adapters.iter().filter_map(pair)
    }

    /// What adapters add to a product that was just made.
    fn adapt(&self, buffers: &mut Buffers, place: (usize, &'static str), rows: usize) {
        let (config, kernels) = (&self.decoder.config, self.decoder.settings.kernels);
        let Buffers { normed, mixed, gate, up, q, k, v, out, narrow, extra, .. } = buffers;
        for (pair, strength) in self.pairs_of(place) {
            let (x, out): (&[f32], &mut [f32]) = match place.1 {
                "attn_q" => (normed, q),
                "attn_k" => (normed, k),
                "attn_v" => (normed, v),
                "attn_output" => (mixed, out),
                "ffn_gate" => (normed, gate),
                "ffn_up" => (normed, up),
                _ => (gate, out),
            };
            let Pair { rows: width, columns, rank, .. } = *pair;
            narrow.resize(narrow.len().max(rows * rank), 0.0);
            extra.resize(extra.len().max(rows * config.ffn.max(config.hidden).max(config.query_width())), 0.0);
            let (narrow, extra) = (&mut narrow[..rows * rank], &mut extra[..rows * width]);
            self.factor(&pair.a, &x[..rows * columns], columns, narrow, rank);
            let scale = (pair.scale * f64::from(strength)) as f32;
            narrow.iter_mut().for_each(|value| *value *= scale);
            self.factor(&pair.b, narrow, rank, extra, width);
            self.fault.note(kernels.add(&mut out[..rows * width], extra));
        }
    }

    /// (rows, columns) x (width, columns) -> (rows, width)
    fn factor(&self, matrix: &[u8], x: &[f32], columns: usize, out: &mut [f32], width: usize) {
        let (row, kernels) = (columns * size_of::<f32>(), self.decoder.settings.kernels);
        let block = (BLOCK_BYTES / row.max(1)).next_multiple_of(BLOCK_STEP).max(BLOCK_STEP);
        self.decoder.pool.strips(&mut [Part { out, width, block }], &|_, rows, strip| {
            let rows = Rows { format: Format::F32, columns, bytes: &matrix[rows.start * row..rows.end * row] };
            self.fault.note(kernels.product(rows, Input::Plain { values: x, columns }, strip));
        });
    }

    fn note(&self, layer: usize, parts: &[&str], x: &[f32], columns: usize) {
        if let Some(tap) = self.tap {
            tap.note_rows(layer, parts, x, columns);
        }
    }

    /// Does something with each row: on the spot where there are few, else on all threads.
    fn spread<T: Send>(&self, all: impl Iterator<Item = T>, rows: usize, work: impl Fn(&mut T) + Sync) {
        if rows <= FEW {
            all.for_each(|mut one| work(&mut one));
        } else {
            let mut all = all.fuse();
            loop {
                let mut some: [Option<T>; TOGETHER] = std::array::from_fn(|_| all.next());
                let count = some.iter().flatten().count();
                if count == 0 {
                    break;
                }
                self.decoder.pool.chunks(&mut some[..count], 1, &|_, one| one.iter_mut().flatten().for_each(&work));
            }
        }
    }

    fn check(&self) -> Result<()> {
        self.fault.0.get().map_or(Ok(()), |error| Err((*error).into()))
    }
}

impl Inputs {
    /// Rows to be quantized, of both kinds where both are needed.
    fn rows(
        &mut self,
        rows: usize,
        columns: usize,
        need: Need,
    ) -> impl Iterator<Item = [Option<ActivationRow<'_>>; 2]> {
        let block = rows_of(self.block.as_mut().filter(|_| need.block), rows, columns);
        block.zip(rows_of(self.wide.as_mut().filter(|_| need.wide), rows, columns)).map(|(block, wide)| [block, wide])
    }
}

/// Rows of one kind, or none for ever.
fn rows_of(
    mut activations: Option<&mut Activations>,
    rows: usize,
    columns: usize,
) -> impl Iterator<Item = Option<ActivationRow<'_>>> {
    if let Some(activations) = &mut activations {
        activations.reset(rows, columns);
    }
    activations.into_iter().flat_map(Activations::split_rows).map(Some).chain(repeat_with(|| None))
}

pub(super) fn sequence_of(sequences: &mut Sequences, id: SequenceId) -> Result<&mut Sequence> {
    match sequences.get_mut(&id) {
        Some(sequence) => Ok(sequence),
        None => unusable("no such sequence".to_string()),
    }
}
