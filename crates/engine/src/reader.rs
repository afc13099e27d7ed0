//! Tokens in, rows of logits out, a chunk at a time: what a whole text's logits would take is never held at once.

use std::ops::{ControlFlow, Range};
use std::sync::{Mutex, PoisonError};

use huacaya_progress::{Progress, Watch};

use crate::adapter::Adapters;
use crate::backend::{Backend, Batch, Run, SequenceId};
use crate::{Error, Model, Result};

/// One sequence of a model, read on the caller's thread beside any session.
pub(crate) struct Reader {
    backend: Box<dyn Backend>,
    sequence: SequenceId,
    /// What the sequence holds.
    held: Vec<u32>,
    context: usize,
    adapters: Adapters,
    /// Rows are hidden states instead of logits.
    hidden: bool,
}

impl Reader {
    pub fn new(model: &Model) -> Result<Reader> {
        Reader::over(model.backend(), model.context())
    }

    pub fn over(mut backend: Box<dyn Backend>, context: usize) -> Result<Reader> {
        let sequence = backend.create()?;
        Ok(Reader { backend, sequence, held: Vec::new(), context, adapters: Vec::new(), hidden: false })
    }

    /// Rows that a step may have.
    pub fn rows_max(&self) -> usize {
        self.backend.rows_max()
    }

    /// With these beside the model. Nothing must have been read yet.
    pub fn beside(mut self, adapters: Adapters) -> Reader {
        self.adapters = adapters;
        self
    }

    /// Rows are the last layer's output after the final norm (model's width) instead of logits.
    pub fn hidden(mut self) -> Reader {
        self.hidden = true;
        self
    }

    fn batch(&self, run: Run) -> Batch {
        Batch { runs: vec![run], adapters: self.adapters.clone(), hidden: self.hidden }
    }

    /// Reads a text from its first token on. `row` gets each of the wanted positions with the logits of the token after it.
    /// The watch counts tokens and is asked before every layer.
    pub fn read<E: From<Error>>(
        &mut self,
        tokens: &[u32],
        rows: Range<usize>,
        row: impl FnMut(usize, &[f32]) -> Result<(), E>,
        watch: Watch<'_>,
    ) -> Result<(), E> {
        self.rewind(0);
        self.go_on(tokens, rows, row, watch)
    }

    /// As `read`, without computing again what the text before began with. At least the first wanted row is computed.
    pub fn read_changed<E: From<Error>>(
        &mut self,
        tokens: &[u32],
        rows: Range<usize>,
        row: impl FnMut(usize, &[f32]) -> Result<(), E>,
        watch: Watch<'_>,
    ) -> Result<(), E> {
        let same = self.held.iter().zip(tokens).take_while(|(held, wanted)| held == wanted).count();
        self.rewind(same.min(rows.start));
        self.go_on(tokens, rows, row, watch)
    }

    /// Evaluates `tokens` behind what is held; the logits after the last of them.
    pub fn append(&mut self, tokens: &[u32], stop: &(dyn Fn() -> bool + Sync)) -> Result<Vec<f32>> {
        let (first, count) = (self.held.len(), tokens.len());
        let run = Run {
            sequence: self.sequence,
            first,
            tokens: tokens.to_vec(),
            wanted: count.saturating_sub(1)..count,
            span: first + count,
        };
        let batch = self.batch(run);
        let logits = self.backend.step(&batch, stop)?.pop();
        self.held.extend_from_slice(tokens);
        logits.ok_or(Error::PromptEmpty)
    }

    /// Forgets all but the first `length` tokens.
    pub fn rewind(&mut self, length: usize) {
        self.held.truncate(length);
        self.backend.truncate(self.sequence, length);
    }

    fn go_on<E: From<Error>>(
        &mut self,
        tokens: &[u32],
        rows: Range<usize>,
        mut row: impl FnMut(usize, &[f32]) -> Result<(), E>,
        watch: Watch<'_>,
    ) -> Result<(), E> {
        if tokens.is_empty() {
            return Err(Error::PromptEmpty.into());
        }
        if tokens.len() > self.context {
            return Err(Error::PromptTooLong { over: tokens.len() - self.context, context: self.context }.into());
        }
        let chunk = self.backend.rows_max();
        let total = tokens.len() as u64;
        let watch = Mutex::new(watch);
        let told_to_stop = |done: usize| {
            let mut watch = watch.lock().unwrap_or_else(PoisonError::into_inner);
            watch(Progress { done: done as u64, total }) == ControlFlow::Break(())
        };
        for first in (self.held.len()..tokens.len()).step_by(chunk) {
            let end = (first + chunk).min(tokens.len());
            let inside = |position: usize| position.clamp(first, end) - first;
            let wanted = inside(rows.start)..inside(rows.end);
            let start = first + wanted.start;
            let run =
                Run { sequence: self.sequence, first, tokens: tokens[first..end].to_vec(), wanted, span: tokens.len() };
            let batch = self.batch(run);
            let logits = self.backend.step(&batch, &|| told_to_stop(first))?;
            self.held.extend_from_slice(&tokens[first..end]);
            for (i, logits) in logits.iter().enumerate() {
                row(start + i, logits)?;
            }
            self.backend.recycle(logits);
            if told_to_stop(end) {
                return Err(Error::Stopped.into());
            }
        }
        Ok(())
    }
}
