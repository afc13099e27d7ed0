//! How far a long piece of work is, and whether it should go on: `Progress` and `Watch`.
//!
//! Long work is a function that takes a [`Watch`]. It reports at least every tenth of a second or so, and returns early
//! with an error of its own crate (`Stopped`) when the watch answers `Break`.

use std::ops::ControlFlow;

/// How far the work is. The unit is the work's own (bytes, tokens, tensors); `total` is 0 while it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub done: u64,
    pub total: u64,
}

/// Told how far the work is, answers whether to go on: report and stop in one arrow.
pub type Watch<'a> = &'a mut (dyn FnMut(Progress) -> ControlFlow<()> + Send);

/// A watch for work that nobody follows: it never stops.
pub fn unwatched() -> impl FnMut(Progress) -> ControlFlow<()> + Send {
    |_| ControlFlow::Continue(())
}
