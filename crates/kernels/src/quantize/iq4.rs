//! IQ4_NL and IQ4_XS: 4-bit codes into a table of 16 values that lie closer together near zero.

use super::search::{self, nearest};
use super::{BLOCK, SUPER_BLOCK, plain, put_half, sum_of_squares, weights_of};
use crate::dequantize::IQ4_VALUES;

/// Scales on each side of the plain one that are tried.
const TRIES: i32 = 7;

/// scale f16 | 16 bytes of codes
pub(super) fn iq4_nl(values: &[f32; BLOCK], importance: Option<&[f32; BLOCK]>, block: &mut [u8; 18]) {
    let mean_square = sum_of_squares(values) * (2.0 / BLOCK as f32);
    let scale = fit(values, importance.map(|all| &all[..]), mean_square);
    put_half(block, 0, scale);
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    plain::nibbles(&mut block[2..], |i| nearest_entry(inverse * values[i]));
}

/// scale f16 | 16 bits of high scale bits | 4 bytes of low scale bits | 128 bytes of codes; scale of a group of 32 - 32
pub(super) fn iq4_xs(values: &[f32; SUPER_BLOCK], importance: Option<&[f32; SUPER_BLOCK]>, block: &mut [u8; 136]) {
    let mean_square = sum_of_squares(values) * (2.0 / SUPER_BLOCK as f32);
    let mut scales = [0.0f32; SUPER_BLOCK / BLOCK];
    for (group, values) in values.chunks_exact(BLOCK).enumerate() {
        let importance = importance.map(|all| &all[group * BLOCK..][..BLOCK]);
        scales[group] = fit(values, importance, mean_square);
    }
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

/// value ~ scale * entry. Returns the scale; a group of zeros has 0.
fn fit(values: &[f32], importance: Option<&[f32]>, mean_square: f32) -> f32 {
    let mut weights = [0.0; BLOCK];
    match importance {
        Some(importance) => weights_of(values, importance, mean_square, &mut weights),
        None => weights.iter_mut().zip(values).for_each(|(weight, value)| *weight = value * value),
    }
    let peak = search::peak(values);
    if peak.abs() < search::ZERO {
        return 0.0;
    }
    let sums = |inverse: f32| {
        let (mut products, mut squares) = (0.0f32, 0.0f32);
        for (&value, &weight) in values.iter().zip(&weights) {
            let entry = f32::from(IQ4_VALUES[usize::from(nearest_entry(inverse * value))]);
            products += weight * entry * value;
            squares += weight * entry * entry;
        }
        (products, squares)
    };
    let least = f32::from(IQ4_VALUES[0]);
    let (products, squares) = sums(1.0 / (-peak / least));
    let mut scale = if squares > 0.0 { products / squares } else { 0.0 };
    let mut best = scale * products;
    for step in -TRIES..=TRIES {
        let (products, squares) = sums((step as f32 + least) / peak);
        if squares > 0.0 && products * products > best * squares {
            scale = products / squares;
            best = scale * products;
        }
    }
    scale
}

/// The place of the table's entry that is nearest; the upper of two at the same distance.
fn nearest_entry(value: f32) -> u8 {
    let last = IQ4_VALUES.len() - 1;
    let entry = |at: usize| f32::from(IQ4_VALUES[at]);
    if value <= entry(0) {
        return 0;
    }
    // NaN is below nothing and comes out as the last.
    let upper = (1..=last).find(|&at| value < entry(at)).unwrap_or(last);
    let lower_is_nearer = value < entry(last) && value - entry(upper - 1) < entry(upper) - value;
    (if lower_is_nearer { upper - 1 } else { upper }) as u8
}
