//! IQ4_NL and IQ4_XS: 4-bit codes into a table of 16 values that lie closer together near zero.

use super::lanes::{Lanes, side_by_side};
use super::search::{self, nearest};
use super::{BLOCK, SUPER_BLOCK, plain, put_half, sum_of_squares, weights_of};
use crate::dequantize::IQ4_VALUES;

/// Scales on each side of the plain one that are tried.
const TRIES: i32 = 7;

/// A row of blocks: scale f16 | 16 bytes of codes. As many blocks are fitted side by side as there are lanes.
#[inline(always)]
pub(super) fn iq4_nl(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
    const LANES: usize = 8;
    for (at, bytes) in bytes.chunks_mut(LANES * 18).enumerate() {
        let from = at * LANES * BLOCK;
        let values = &values[from..values.len().min(from + LANES * BLOCK)];
        let mut weights = [0.0; LANES * BLOCK];
        for (block, (values, weights)) in values.chunks(BLOCK).zip(weights.chunks_mut(BLOCK)).enumerate() {
            let mean_square = sum_of_squares(values) * (2.0 / BLOCK as f32);
            weigh(values, importance.map(|all| &all[from + block * BLOCK..][..BLOCK]), mean_square, weights);
        }
        // Where the row ends within the lanes, the last ones are groups of zeros, which nobody asks for.
        let scales = fit::<LANES>(&side_by_side(values), &side_by_side(&weights)).0;
        for ((values, block), scale) in values.chunks(BLOCK).zip(bytes.chunks_mut(18)).zip(scales) {
            put_half(block, 0, scale);
            let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
            plain::nibbles(&mut block[2..], |i| nearest_entry(inverse * values[i]));
        }
    }
}

/// scale f16 | 16 bits of high scale bits | 4 bytes of low scale bits | 128 bytes of codes; scale of a group of 32 - 32
#[inline(always)]
pub(super) fn iq4_xs(values: &[f32; SUPER_BLOCK], importance: Option<&[f32; SUPER_BLOCK]>, block: &mut [u8; 136]) {
    let mean_square = sum_of_squares(values) * (2.0 / SUPER_BLOCK as f32);
    let mut weights = [0.0; SUPER_BLOCK];
    weigh(values, importance.map(|all| &all[..]), mean_square, &mut weights);
    let scales = fit::<8>(&side_by_side(values), &side_by_side(&weights)).0;
    let scale = -search::peak(&scales) / 32.0;
    put_half(block, 0, scale);
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let (mut high, mut low) = (0u16, [0u8; 4]);
    for (group, values) in values.chunks_exact(BLOCK).enumerate() {
        let own = nearest(inverse * scales[group]).clamp(-32, 31);
        let own_scale = scale * own as f32;
        let inverse = if own_scale == 0.0 { 0.0 } else { 1.0 / own_scale };
        plain::nibbles(&mut block[8 + group * 16..][..16], |i| nearest_entry(inverse * values[i]));
        let stored = (own + 32) as u8;
        low[group / 2] |= (stored & 0x0f) << (group % 2 * 4);
        high |= u16::from(stored >> 4) << (group * 2);
    }
    block[2..4].copy_from_slice(&high.to_le_bytes());
    block[4..8].copy_from_slice(&low);
}

/// The weights of the search: by the importance, or the values' squares.
#[inline(always)]
fn weigh(values: &[f32], importance: Option<&[f32]>, mean_square: f32, weights: &mut [f32]) {
    match importance {
        Some(importance) => weights_of(values, importance, mean_square, weights),
        None => weights.iter_mut().zip(values).for_each(|(weight, value)| *weight = value * value),
    }
}

/// value ~ scale * entry, for `L` groups side by side. Returns the scales; a group of zeros has 0.
#[inline(always)]
fn fit<const L: usize>(values: &[Lanes<L>; BLOCK], weights: &[Lanes<L>; BLOCK]) -> Lanes<L> {
    let (peaks, nothing) = (search::peaks(values), Lanes::all(0.0));
    let least = f32::from(IQ4_VALUES[0]);
    let (products, squares) = sums(values, weights, 1.0 / (-peaks / Lanes::all(least)));
    let mut scales = squares.above(nothing).choose(products / squares, nothing);
    let mut best = scales * products;
    for step in -TRIES..=TRIES {
        let (products, squares) = sums(values, weights, (step as f32 + least) / peaks);
        let better = squares.above(nothing).and((products * products).above(best * squares));
        let scale = products / squares;
        scales = better.choose(scale, scales);
        best = better.choose(scale * products, best);
    }
    peaks.abs().below(Lanes::all(search::ZERO)).choose(nothing, scales)
}

/// The sums of weight * entry * value and of weight * entry * entry, with the entries nearest to the scaled values.
#[inline(always)]
fn sums<const L: usize>(
    values: &[Lanes<L>; BLOCK],
    weights: &[Lanes<L>; BLOCK],
    inverse: Lanes<L>,
) -> (Lanes<L>, Lanes<L>) {
    let (mut products, mut squares) = (Lanes::all(0.0), Lanes::all(0.0));
    for (&value, &weight) in values.iter().zip(weights) {
        let entry = entry_nearest(inverse * value);
        products = products + weight * entry * value;
        squares = squares + weight * entry * entry;
    }
    (products, squares)
}

/// The table's entry that is nearest; the upper of two at the same distance.
#[inline(always)]
fn entry_nearest<const L: usize>(value: Lanes<L>) -> Lanes<L> {
    let entry = |at: usize| Lanes::all(f32::from(IQ4_VALUES[at]));
    let last = IQ4_VALUES.len() - 1;
    let (mut lower, mut upper) = (entry(0), entry(last));
    for at in 1..last {
        lower = value.below(entry(at)).choose(lower, entry(at));
        upper = value.below(entry(last - at)).choose(entry(last - at), upper);
    }
    let nearer = (value - lower).below(upper - value).choose(lower, upper);
    value.above(entry(0)).choose(nearer, entry(0))
}

/// The place of [`entry_nearest`] in the table.
#[inline(always)]
fn nearest_entry(value: f32) -> u8 {
    let nearest = entry_nearest(Lanes([value])).0[0];
    IQ4_VALUES.iter().map(|&entry| u8::from(f32::from(entry) < nearest)).sum()
}
