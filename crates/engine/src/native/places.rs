//! What a step is made of: pieces of runs, and which rows belong to whom. Filled anew for each step, in the same memory.

use std::ops::Range;

use crate::backend::{Run, SequenceId};
use crate::rope::{self, RopeConfig};

/// Queries (rows times heads that share keys) that go over a cache together: as attention takes them.
const BAND: usize = 128;

/// New tokens of one sequence: a run, or a part of it.
pub(super) struct Piece {
    pub sequence: SequenceId,
    /// Position of the first of them.
    pub first: usize,
    /// The run, and which of its tokens they are.
    pub run: usize,
    pub tokens: Range<usize>,
    /// Which of them are to have logits.
    pub wanted: Range<usize>,
    /// What the angles are for.
    pub span: usize,
    /// Their rows in the step.
    pub rows: Range<usize>,
}

#[derive(Default)]
pub(super) struct Places {
    pub pieces: Vec<Piece>,
    /// Of each row in its sequence.
    pub positions: Vec<usize>,
    /// Of the rows that attention takes together, and the piece that they are of.
    pub bands: Vec<Range<usize>>,
    pub owners: Vec<usize>,
    /// Rows that are to have logits.
    pub wanted: Vec<usize>,
}

/// How far the runs of a batch are shared out: so many of them, and so many tokens of the next.
#[derive(Default)]
pub(super) struct Mark {
    run: usize,
    token: usize,
}

impl Places {
    /// The next step: at most `rows_max` rows of what is behind the mark, which moves. False where nothing is left. `group`:
    /// heads that share keys.
    pub fn fill(&mut self, runs: &[Run], rope: &RopeConfig, mark: &mut Mark, rows_max: usize, group: usize) -> bool {
        self.pieces.clear();
        self.positions.clear();
        self.wanted.clear();
        while let Some(run) = runs.get(mark.run).filter(|_| self.positions.len() < rows_max) {
            let (at, start) = (mark.token, self.positions.len());
            let end = run.tokens.len().min(at + rows_max - start);
            let inside = |row: usize| row.clamp(at, end) - at;
            let piece = Piece {
                sequence: run.sequence,
                first: run.first + at,
                run: mark.run,
                tokens: at..end,
                wanted: inside(run.wanted.start)..inside(run.wanted.end),
                span: rope::span(rope, run.span.max(run.first + run.tokens.len())),
                rows: start..start + end - at,
            };
            self.positions.extend(run.first + at..run.first + end);
            self.wanted.extend(piece.wanted.clone().map(|row| start + row));
            self.pieces.push(piece);
            *mark = if end == run.tokens.len() {
                Mark { run: mark.run + 1, token: 0 }
            } else {
                Mark { token: end, ..*mark }
            };
        }
        self.share(group, |piece| piece.rows.len());
        !self.pieces.is_empty()
    }

    /// Only the wanted rows, moved together.
    pub fn keep_wanted(&mut self, group: usize) {
        for (to, &from) in self.wanted.iter().enumerate() {
            self.positions[to] = self.positions[from];
        }
        self.positions.truncate(self.wanted.len());
        self.wanted.iter_mut().enumerate().for_each(|(to, row)| *row = to);
        self.share(group, |piece| piece.wanted.len());
    }

    /// Cuts the rows of each piece, so many of it, into bands.
    fn share(&mut self, group: usize, count: impl Fn(&Piece) -> usize) {
        self.bands.clear();
        self.owners.clear();
        let (length, mut start) = ((BAND / group).max(1), 0);
        for (owner, piece) in self.pieces.iter().enumerate() {
            let end = start + count(piece);
            for first in (start..end).step_by(length) {
                self.bands.push(first..end.min(first + length));
                self.owners.push(owner);
            }
            start = end;
        }
    }
}
