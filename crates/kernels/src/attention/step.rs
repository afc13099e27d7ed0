//! From scores to weights, with what came before.

use super::{Running, Scores};
use crate::vector::exp::exp;
use crate::vector::lanes::Lanes;
use crate::vector::rows::{greatest, sum};

/// See [`super::Table`]. Where nothing but -infinity was seen so far, all weights are 0 and not NaN: a later tile may have more.
#[inline(always)]
pub(super) fn step<L: Lanes>(scores: &mut Scores, seen: usize, running: &mut Running) -> f32 {
    if seen == 0 {
        return 1.0;
    }
    scores[seen..].fill(f32::NEG_INFINITY);
    let here = greatest(scores);
    let new = if running.greatest > here { running.greatest } else { here };
    let shift = if new == f32::NEG_INFINITY { 0.0 } else { new };
    let factor = exp(running.greatest - shift);
    scores.iter_mut().for_each(|score| *score = exp(*score - shift));
    running.sum = running.sum * factor + sum::<L>(scores);
    running.greatest = new;
    factor
}
