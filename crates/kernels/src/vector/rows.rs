//! The operations themselves, on slices whose lengths fit each other. Compiled once for each instruction set.

use super::Pairs;
use super::exp::exp;
use super::half::{from_bf16, to_bf16};
use super::lanes::{LANES, Lanes, padded};
use crate::Format;
use crate::stored::{self, Stored};

/// Chunks of sixteen, and what is left.
#[inline(always)]
fn chunks(values: &[f32]) -> (&[[f32; LANES]], &[f32]) {
    values.as_chunks::<LANES>()
}

#[inline(always)]
pub(super) fn dot<L: Lanes>(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (chunks(a), chunks(b));
    let mut sums = L::zero();
    for (a, b) in a.iter().zip(b) {
        sums = L::load(a).fused(L::load(b), sums);
    }
    if !a_rest.is_empty() {
        sums = L::load_part(a_rest).fused(L::load_part(b_rest), sums);
    }
    sums.fold()
}

#[inline(always)]
pub(super) fn rms_norm<L: Lanes>(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let factor = 1.0 / (dot::<L>(x, x) / x.len() as f32 + epsilon).sqrt();
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = x * factor * weight;
    }
}

#[inline(always)]
pub(crate) fn rotate(row: &mut [f32], head_size: usize, cos: &[f32], sin: &[f32], pairs: Pairs) {
    if row.is_empty() {
        return;
    }
    for head in row.chunks_exact_mut(head_size) {
        let rotated = &mut head[..2 * cos.len()];
        let angles = cos.iter().zip(sin);
        match pairs {
            Pairs::Halves => {
                let (first, second) = rotated.split_at_mut(cos.len());
                for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(angles) {
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
            Pairs::Adjacent => {
                let (pairs, _) = rotated.as_chunks_mut::<2>();
                for (pair, (cos, sin)) in pairs.iter_mut().zip(angles) {
                    let [a, b] = *pair;
                    *pair = [a * cos - b * sin, b * cos + a * sin];
                }
            }
        }
    }
}

#[inline(always)]
pub(super) fn swiglu(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + exp(-*gate)) * up;
    }
}

#[inline(always)]
pub(super) fn softmax<L: Lanes>(row: &mut [f32]) {
    let greatest = greatest(row);
    row.iter_mut().for_each(|value| *value = exp(*value - greatest));
    let sum = sum::<L>(row);
    row.iter_mut().for_each(|value| *value /= sum);
}

/// The greatest value; -infinity of none. Which NaN is left out is not told.
#[inline(always)]
pub(crate) fn greatest(row: &[f32]) -> f32 {
    let greater = |a: f32, b: f32| if a > b { a } else { b };
    let (whole, rest) = chunks(row);
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for values in whole {
        lanes.iter_mut().zip(values).for_each(|(lane, &value)| *lane = greater(*lane, value));
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| greater(a, b))
}

/// The sum, in sixteen lanes.
#[inline(always)]
pub(crate) fn sum<L: Lanes>(row: &[f32]) -> f32 {
    let (whole, rest) = chunks(row);
    let mut sums = L::zero();
    for values in whole {
        sums = sums.plus(L::load(values));
    }
    if !rest.is_empty() {
        sums = sums.plus(L::load_part(rest));
    }
    sums.fold()
}

#[inline(always)]
pub(super) fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

#[inline(always)]
pub(super) fn scale_add(x: &mut [f32], scale: f32, y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, &y)| *x = scale.mul_add(y, *x));
}

/// F16, BF16, Q8_0 or Q4_0.
#[inline(always)]
pub(super) fn encode<L: Lanes>(format: Format, values: &[f32], bytes: &mut [u8]) {
    match format {
        Format::F16 => {
            let (whole, rest) = chunks(values);
            let (out, out_rest) = bytes.as_chunks_mut::<{ 2 * LANES }>();
            whole.iter().zip(out).for_each(|(values, out)| *out = L::load(values).to_halves());
            if !rest.is_empty() {
                out_rest.copy_from_slice(&L::load_part(rest).to_halves()[..2 * rest.len()]);
            }
        }
        Format::BF16 => {
            let (out, _) = bytes.as_chunks_mut::<2>();
            values.iter().zip(out).for_each(|(&value, out)| *out = to_bf16(value).to_le_bytes());
        }
        _ => crate::quantize::simple(format, values, bytes),
    }
}

/// F16, BF16, Q8_0 or Q4_0.
#[inline(always)]
pub(super) fn decode<L: Lanes>(format: Format, bytes: &[u8], values: &mut [f32]) {
    match format {
        Format::BF16 => {
            let (bytes, _) = bytes.as_chunks::<2>();
            values.iter_mut().zip(bytes).for_each(|(value, &half)| *value = from_bf16(u16::from_le_bytes(half)));
        }
        Format::F16 => {
            let (whole, rest) = bytes.as_chunks::<{ 2 * LANES }>();
            let (out, out_rest) = values.as_chunks_mut::<LANES>();
            whole.iter().zip(out).for_each(|(halves, out)| L::halves(halves).store(out));
            if !rest.is_empty() {
                L::halves(&padded(rest, 0)).store_part(out_rest);
            }
        }
        Format::Q8_0 => blocks::<L, stored::Q8>(bytes, values),
        _ => blocks::<L, stored::Q4>(bytes, values),
    }
}

#[inline(always)]
fn blocks<L: Lanes, S: Stored<Unit = u8>>(bytes: &[u8], values: &mut [f32]) {
    let (out, _) = values.as_chunks_mut::<LANES>();
    for (bytes, out) in bytes.chunks_exact(S::LENGTH).zip(out.chunks_exact_mut(2)) {
        let [first, second] = S::block::<L>(bytes);
        first.store(&mut out[0]);
        second.store(&mut out[1]);
    }
}
