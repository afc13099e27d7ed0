//! What a session needs of whatever computes: sequences that grow by steps. CPU and graphics cards are the same to it.

use std::ops::Range;

use crate::Result;
use crate::adapter::Adapters;
use crate::candle::READ_CHUNK;

/// A sequence whose keys and values a back end holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SequenceId(pub u64);

/// New tokens of one sequence.
pub(crate) struct Run {
    pub sequence: SequenceId,
    /// Position of the first of them: the sequence's length so far.
    pub first: usize,
    pub tokens: Vec<u32>,
    /// Which of them are to have logits.
    pub wanted: Range<usize>,
    /// The length that the text will grow to at least while it is read: adaptive angles are made for it.
    pub span: usize,
}

/// Runs that are computed together.
pub(crate) struct Batch {
    pub runs: Vec<Run>,
    /// What is added to the layers' products in all of them. A sequence has the same in all its steps.
    pub adapters: Adapters,
    /// The last layer's output after the final norm is wanted instead of logits: the output layer is not computed.
    pub hidden: bool,
}

/// A row of the vocabulary's length for each wanted token, in order; of the model's width, where `hidden` was asked for.
pub(crate) type Logits = Vec<Vec<f32>>;

/// Answers "stop now?", often.
pub(crate) type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

pub(crate) trait Backend: Send {
    /// Rows that a step may have in all, and so how much of a prompt is read in one. At least 2 (guidance).
    fn rows_max(&self) -> usize {
        READ_CHUNK
    }

    /// Whether a row's logits have the same bits however many rows share its step and wherever runs are cut. Only then do
    /// answers share steps and are drafts of n-grams verified: the same seed gives the same text, whatever else runs.
    fn is_row_invariant(&self) -> bool {
        false
    }

    /// Positions that are held together: a sequence takes whole pages of them.
    fn page(&self) -> usize {
        1
    }

    /// A new, empty sequence.
    fn create(&mut self) -> Result<SequenceId>;
    /// Appends the batch's tokens and answers the wanted logits. An error leaves all lengths as they were.
    fn step(&mut self, batch: &Batch, stop: Stop) -> Result<Logits>;
    /// Takes back rows that nobody reads any more: later steps may write to them instead of asking for memory.
    fn recycle(&mut self, _rows: Logits) {}
    /// A copy of the first `length` positions.
    fn fork(&mut self, from: SequenceId, length: usize) -> Result<SequenceId>;
    fn truncate(&mut self, id: SequenceId, length: usize);
    fn release(&mut self, id: SequenceId);
}
