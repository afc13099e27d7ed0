//! Inference over our own kernels: the decoder, and the keys and values of every sequence.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::decoder::Decoder;
use super::kv::Sequence;
use super::plan::Buffers;
use super::step::{Piece, Sequences, Step, sequence_of};
use crate::backend::{Backend, Batch, Logits, Run, SequenceId, Stop};
use crate::candle::Tap;
use crate::config::unusable;
use crate::rope;
use crate::{Error, Result};

pub(crate) struct NativeBackend {
    decoder: Arc<Decoder>,
    buffers: Buffers,
    sequences: Sequences,
    next: u64,
    /// Listens to what the matrices of the layers are multiplied by.
    tap: Option<Arc<Tap>>,
}

impl NativeBackend {
    /// `limit`: positions that a sequence may have.
    pub fn new(decoder: Arc<Decoder>, limit: usize, tap: Option<Arc<Tap>>) -> NativeBackend {
        let rows_max = decoder.settings.chunk.min(limit).max(2);
        let buffers = Buffers::new(&decoder.config, &decoder.weights, rows_max);
        NativeBackend { decoder, buffers, sequences: HashMap::new(), next: 0, tap }
    }

    fn keep(&mut self, sequence: Sequence) -> SequenceId {
        let id = SequenceId(self.next);
        self.next += 1;
        self.sequences.insert(id, sequence);
        id
    }

    /// Checks a run against its sequence, makes room, and turns what is there to the run's angles. Answers their span.
    fn prepare(&mut self, run: &Run) -> Result<usize> {
        let decoder = &*self.decoder;
        let sequence = sequence_of(&mut self.sequences, run.sequence)?;
        let end = run.first + run.tokens.len();
        if run.first != sequence.length || run.tokens.is_empty() || run.wanted.end > run.tokens.len() {
            return unusable(format!(
                "a run from {} to {end} does not follow {} positions",
                run.first, sequence.length
            ));
        }
        if let Some(&id) = run.tokens.iter().find(|&&id| id as usize >= decoder.config.vocabulary) {
            return Err(Error::TokenUnknown { id, vocabulary: decoder.config.vocabulary });
        }
        let span = rope::span(&decoder.config.rope, run.span.max(end));
        let turns = decoder.layout.unturned && span != sequence.span;
        sequence.reserve(&decoder.layout, if turns { 0 } else { run.first }, end);
        Step::new(decoder, &Vec::new(), None).turn_for(sequence, span)?;
        Ok(span)
    }

    /// The runs cut so that each list has no more rows than a step may have.
    fn pieces<'a>(&self, runs: &'a [Run], spans: &[usize]) -> Vec<Vec<Piece<'a>>> {
        let (mut steps, mut room) = (Vec::new(), 0);
        for (run, &span) in runs.iter().zip(spans) {
            let mut at = 0;
            while at < run.tokens.len() {
                if room == 0 {
                    steps.push(Vec::new());
                    room = self.buffers.rows_max;
                }
                let end = run.tokens.len().min(at + room);
                let inside = |row: usize| row.clamp(at, end) - at;
                let wanted: Range<usize> = inside(run.wanted.start)..inside(run.wanted.end);
                let piece =
                    Piece { sequence: run.sequence, first: run.first + at, tokens: &run.tokens[at..end], wanted, span };
                if let Some(step) = steps.last_mut() {
                    step.push(piece);
                }
                room -= end - at;
                at = end;
            }
        }
        steps
    }

    fn forward(&mut self, batch: &Batch, stop: Stop) -> Result<Logits> {
        let Batch { runs, adapters, hidden } = batch;
        let spans = runs.iter().map(|run| self.prepare(run)).collect::<Result<Vec<_>>>()?;
        let mut logits = Vec::new();
        for pieces in self.pieces(runs, &spans) {
            let step = Step::new(&self.decoder, adapters, self.tap.as_deref()).hidden(*hidden);
            logits.extend(step.run(&mut self.buffers, &mut self.sequences, &pieces, stop)?);
        }
        Ok(logits)
    }
}

impl Backend for NativeBackend {
    fn rows_max(&self) -> usize {
        self.buffers.rows_max
    }

    fn is_row_invariant(&self) -> bool {
        true
    }

    fn create(&mut self) -> Result<SequenceId> {
        Ok(self.keep(Sequence::new()))
    }

    fn step(&mut self, batch: &Batch, stop: Stop) -> Result<Logits> {
        let logits = self.forward(batch, stop)?;
        for run in &batch.runs {
            if let Some(sequence) = self.sequences.get_mut(&run.sequence) {
                sequence.length += run.tokens.len();
            }
        }
        Ok(logits)
    }

    fn fork(&mut self, from: SequenceId, length: usize) -> Result<SequenceId> {
        let forked = sequence_of(&mut self.sequences, from)?.fork(length);
        Ok(self.keep(forked))
    }

    fn truncate(&mut self, id: SequenceId, length: usize) {
        if let Some(sequence) = self.sequences.get_mut(&id) {
            sequence.truncate(length);
        }
    }

    fn release(&mut self, id: SequenceId) {
        self.sequences.remove(&id);
    }
}
