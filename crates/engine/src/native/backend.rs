//! Inference over our own kernels: the decoder, and the keys and values of every sequence.

use std::collections::HashMap;
use std::mem::take;
use std::sync::Arc;

use super::decoder::Decoder;
use super::kv::{PAGE, Sequence};
use super::places::{Mark, Places};
use super::plan::Buffers;
use super::step::{Sequences, Step, sequence_of};
use crate::backend::{Backend, Batch, Logits, Run, SequenceId, Stop};
use crate::candle::Tap;
use crate::config::unusable;
use crate::{Error, Result};

pub(crate) struct NativeBackend {
    decoder: Arc<Decoder>,
    buffers: Buffers,
    places: Places,
    /// Empty, but with room for what the next step answers.
    answer: Logits,
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
        let (places, sequences) = (Places::default(), HashMap::new());
        NativeBackend { decoder, buffers, places, answer: Vec::new(), sequences, next: 0, tap }
    }

    fn keep(&mut self, sequence: Sequence) -> SequenceId {
        let id = SequenceId(self.next);
        self.next += 1;
        self.sequences.insert(id, sequence);
        id
    }

    /// Checks a run against its sequence, and makes room for it.
    fn prepare(&mut self, run: &Run) -> Result<()> {
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
        sequence.reserve(&decoder.layout, run.first, end);
        Ok(())
    }

    fn forward(&mut self, Batch { runs, adapters, hidden }: &Batch, stop: Stop, logits: &mut Logits) -> Result<()> {
        runs.iter().try_for_each(|run| self.prepare(run))?;
        let NativeBackend { decoder, buffers, places, sequences, tap, .. } = self;
        let (config, mut mark) = (&decoder.config, Mark::default());
        let step = Step::new(decoder, adapters, tap.as_deref()).hidden(*hidden);
        while places.fill(runs, &config.rope, &mut mark, buffers.rows_max, config.heads / config.kv_heads) {
            step.run(buffers, sequences, (runs, places), stop, logits)?;
        }
        Ok(())
    }
}

impl Backend for NativeBackend {
    fn rows_max(&self) -> usize {
        self.buffers.rows_max
    }

    fn is_row_invariant(&self) -> bool {
        true
    }

    fn page(&self) -> usize {
        PAGE
    }

    fn create(&mut self) -> Result<SequenceId> {
        Ok(self.keep(Sequence::new()))
    }

    fn step(&mut self, batch: &Batch, stop: Stop) -> Result<Logits> {
        let mut logits = take(&mut self.answer);
        self.forward(batch, stop, &mut logits)?;
        for run in &batch.runs {
            if let Some(sequence) = self.sequences.get_mut(&run.sequence) {
                sequence.length += run.tokens.len();
            }
        }
        Ok(logits)
    }

    fn recycle(&mut self, mut rows: Logits) {
        let spare = &mut self.buffers.spare;
        spare.append(&mut rows);
        spare.truncate(self.buffers.rows_max);
        if rows.capacity() > self.answer.capacity() {
            self.answer = rows;
        }
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
