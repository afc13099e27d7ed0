//! The formats that need no search: plain numbers, and blocks of 32 with one scale (and one minimum). Their weighted forms
//! fit the scale by a search over the whole row's mean square.

use super::lanes::side_by_side;
use super::search::{self, Grid};
use super::{BLOCK, put_half, sum_of_squares, weights_of};

/// Each value for itself.
#[inline(always)]
pub(super) fn each<const N: usize>(values: &[f32], bytes: &mut [u8], convert: impl Fn(f32) -> [u8; N]) {
    let (out, _) = bytes.as_chunks_mut::<N>();
    values.iter().zip(out).for_each(|(&value, out)| *out = convert(value));
}

/// To nearest, ties to even; a NaN stays a NaN, made quiet.
#[inline(always)]
pub(super) fn bf16_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    if bits & 0x7fff_ffff > 0x7f80_0000 {
        return (bits >> 16) as u16 | 64;
    }
    (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// Scale = largest magnitude / 127, stored as f16; values rounded half away from zero with the scale before it was rounded.
#[inline(always)]
pub(super) fn q8_0(values: &[f32; BLOCK], block: &mut [u8; 34]) {
    // ggml's MAX: the left one only where it is greater, which tells for NaN.
    let largest = values.iter().fold(0.0f32, |largest, v| if largest > v.abs() { largest } else { v.abs() });
    let scale = largest / 127.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    put_half(block, 0, scale);
    for (out, value) in block[2..].iter_mut().zip(values) {
        let code = value * inverse;
        // A subnormal scale has no finite inverse. It is stored as 0, and C's conversion of infinity leaves 0 on x86.
        *out = if code.is_finite() { code.round() as i8 as u8 } else { 0 };
    }
}

/// scale f16 | 16 bytes of codes; the value of the largest magnitude gets code 0, which stands for -8.
#[inline(always)]
pub(super) fn q4_0(values: &[f32; BLOCK], block: &mut [u8; 18]) {
    let scale = search::peak(values) / -8.0;
    put_half(block, 0, scale);
    let inverse = inverse(scale);
    nibbles(&mut block[2..], |i| truncated(values[i] * inverse + 8.5, 15));
}

/// scale f16 | minimum f16 | 16 bytes of codes
#[inline(always)]
pub(super) fn q4_1(values: &[f32; BLOCK], block: &mut [u8; 20]) {
    let (least, scale) = range(values, 15.0);
    put_half(block, 0, scale);
    put_half(block, 2, least);
    let inverse = inverse(scale);
    nibbles(&mut block[4..], |i| truncated((values[i] - least) * inverse + 0.5, 15));
}

/// scale f16 | 32 high bits | 16 bytes of low codes
#[inline(always)]
pub(super) fn q5_0(values: &[f32; BLOCK], block: &mut [u8; 22]) {
    let scale = search::peak(values) / -16.0;
    put_half(block, 0, scale);
    let inverse = inverse(scale);
    five_bits(&mut block[2..], |i| truncated(values[i] * inverse + 16.5, 31));
}

/// scale f16 | minimum f16 | 32 high bits | 16 bytes of low codes
#[inline(always)]
pub(super) fn q5_1(values: &[f32; BLOCK], block: &mut [u8; 24]) {
    let (least, scale) = range(values, 31.0);
    put_half(block, 0, scale);
    put_half(block, 2, least);
    let inverse = inverse(scale);
    // Alone among the four, the reference does not bound these codes.
    five_bits(&mut block[4..], |i| truncated((values[i] - least) * inverse + 0.5, u8::MAX));
}

/// A row whose blocks' scales are fitted with weights; the mean square is that of the whole row.
#[inline(always)]
pub(super) fn weighted<const M: usize>(
    values: &[f32],
    importance: &[f32],
    bytes: &mut [u8],
    write: impl Fn(&[f32; BLOCK], &[f32; BLOCK], &mut [u8; M]),
) {
    let mean_square = sum_of_squares(values) / values.len() as f32;
    super::blocks(values, Some(importance), bytes, |values, importance, block| {
        let mut weights = [0.0; BLOCK];
        weights_of(values, importance.map_or(&[][..], |importance| importance), mean_square, &mut weights);
        write(values, &weights, block);
    });
}

#[inline(always)]
pub(super) fn q4_0_weighted(values: &[f32; BLOCK], weights: &[f32; BLOCK], block: &mut [u8; 18]) {
    let (scale, codes) = search::signed::<1, BLOCK>(&side_by_side(values), &side_by_side(weights), 8.0);
    put_half(block, 0, scale.0[0]);
    nibbles(&mut block[2..], |i| codes[i].0[0] as u8);
}

#[inline(always)]
pub(super) fn q4_1_weighted(values: &[f32; BLOCK], weights: &[f32; BLOCK], block: &mut [u8; 20]) {
    let fit = search::offset::<1, BLOCK>(&side_by_side(values), &side_by_side(weights), 15.0, Grid::WEIGHTED);
    put_half(block, 0, fit.scales.0[0]);
    put_half(block, 2, -fit.minimums.0[0]);
    nibbles(&mut block[4..], |i| fit.codes[i].0[0] as u8);
}

#[inline(always)]
pub(super) fn q5_0_weighted(values: &[f32; BLOCK], weights: &[f32; BLOCK], block: &mut [u8; 22]) {
    let (scale, codes) = search::signed::<1, BLOCK>(&side_by_side(values), &side_by_side(weights), 16.0);
    put_half(block, 0, scale.0[0]);
    five_bits(&mut block[2..], |i| codes[i].0[0] as u8);
}

#[inline(always)]
pub(super) fn q5_1_weighted(values: &[f32; BLOCK], weights: &[f32; BLOCK], block: &mut [u8; 24]) {
    let fit = search::offset::<1, BLOCK>(&side_by_side(values), &side_by_side(weights), 31.0, Grid::WEIGHTED);
    put_half(block, 0, fit.scales.0[0]);
    put_half(block, 2, -fit.minimums.0[0]);
    five_bits(&mut block[4..], |i| fit.codes[i].0[0] as u8);
}

/// 0 for a scale of 0.
#[inline(always)]
fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

/// The least value, and the step that takes `codes` steps from it to the greatest.
#[inline(always)]
fn range(values: &[f32], codes: f32) -> (f32, f32) {
    let least = values.iter().fold(f32::MAX, |least, &v| if v < least { v } else { least });
    let greatest = values.iter().fold(f32::MIN, |greatest, &v| if v > greatest { v } else { greatest });
    (least, (greatest - least) / codes)
}

/// C's conversion to a signed byte as x86 does it (toward zero; what does not fit an i32 becomes its least), then bounded.
#[inline(always)]
fn truncated(value: f32, most: u8) -> u8 {
    let fits = value > -2_147_483_904.0 && value < 2_147_483_648.0;
    let whole = if fits { value as i32 } else { i32::MIN };
    i32::from(whole as i8).min(i32::from(most)) as u8
}

/// Byte `i` holds the codes of values `i` and `i + 16`.
#[inline(always)]
pub(super) fn nibbles(out: &mut [u8], code: impl Fn(usize) -> u8) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = code(i) | code(i + BLOCK / 2) << 4;
    }
}

/// Four bytes of fifth bits, then the low four as [`nibbles`].
#[inline(always)]
fn five_bits(out: &mut [u8], code: impl Fn(usize) -> u8) {
    let high = (0..BLOCK).fold(0u32, |high, i| high | u32::from(code(i) >> 4 & 1) << i);
    out[..4].copy_from_slice(&high.to_le_bytes());
    nibbles(&mut out[4..], |i| code(i) & 0x0f);
}
