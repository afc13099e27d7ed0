//! Weights that are plain numbers: sixteen lanes of fused multiply-adds, two vectors for each weight row and input row.
//!
//! Few input rows are multiplied with four weight rows at a time as they stand in the file; for many, six rows of 512
//! columns are made f32 once, and lanes wait between such pieces.
//!
//! # Safety
//! Every function needs AVX2, FMA and F16C; pointers lead to what is read.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]
#![allow(clippy::needless_range_loop)] // the plainest form is the one that stays in registers

use std::arch::x86_64::*;

use crate::Strip;

/// Lanes of a sum, in two vectors.
const LANES: usize = 16;
type Pair = [__m256; 2];

/// From so many input rows on, making f32 of weights once pays.
const MANY: usize = 4;

/// A format of plain numbers.
pub(super) trait Value {
    /// Of a number.
    const BYTES: usize;

    /// Eight numbers.
    // SAFETY: as the module says.
    unsafe fn eight(at: *const u8) -> __m256;
}

pub(super) struct F32;
impl Value for F32 {
    const BYTES: usize = 4;
    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn eight(at: *const u8) -> __m256 {
        _mm256_loadu_ps(at.cast())
    }
}

pub(super) struct F16;
impl Value for F16 {
    const BYTES: usize = 2;
    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn eight(at: *const u8) -> __m256 {
        _mm256_cvtph_ps(_mm_loadu_si128(at.cast()))
    }
}

pub(super) struct BF16;
impl Value for BF16 {
    const BYTES: usize = 2;
    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn eight(at: *const u8) -> __m256 {
        let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(at.cast()));
        _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16))
    }
}

/// Sixteen numbers from `at` on.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn sixteen<V: Value>(at: *const u8) -> Pair {
    [V::eight(at), V::eight(at.add(8 * V::BYTES))]
}

/// The last numbers of a row, fewer than sixteen, and zeros.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn rest<V: Value>(at: *const u8, count: usize) -> Pair {
    let mut bytes = [0u8; LANES * 4];
    std::ptr::copy_nonoverlapping(at, bytes.as_mut_ptr(), count * V::BYTES);
    sixteen::<V>(bytes.as_ptr())
}

/// All bits of the first `count` lanes.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn first_lanes(count: usize) -> Pair {
    let places = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    let count = _mm256_set1_epi32(count as i32);
    let high = _mm256_add_epi32(places, _mm256_set1_epi32(8));
    [_mm256_castsi256_ps(_mm256_cmpgt_epi32(count, places)), _mm256_castsi256_ps(_mm256_cmpgt_epi32(count, high))]
}

// SAFETY: as the module says.
#[inline(always)]
unsafe fn multiply(lanes: Pair, weights: Pair, values: Pair) -> Pair {
    [_mm256_fmadd_ps(weights[0], values[0], lanes[0]), _mm256_fmadd_ps(weights[1], values[1], lanes[1])]
}

/// Only the lanes of `mask` take part: the others stay as they are, down to the sign of a zero.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn multiply_rest(lanes: Pair, weights: Pair, values: Pair, mask: Pair) -> Pair {
    let all = multiply(lanes, weights, values);
    [_mm256_blendv_ps(lanes[0], all[0], mask[0]), _mm256_blendv_ps(lanes[1], all[1], mask[1])]
}

/// The sum of the lanes: 8 + 8, 4 + 4, 2 + 2, 1 + 1.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn fold(lanes: Pair) -> f32 {
    let eight = _mm256_add_ps(lanes[0], lanes[1]);
    let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// Products of plain rows.
///
/// # Safety
/// As [`super::super::Plain`] says, of the format `V`; needs AVX2, FMA and F16C.
#[inline(always)]
pub(super) unsafe fn products<V: Value>(rows: &[u8], columns: usize, values: &[f32], out: &mut Strip<'_>) {
    if out.rows() < MANY {
        few::<V>(rows, columns, values, out);
    } else {
        many::<V>(rows, columns, values, out);
    }
}

/// Weight rows at a time, with one input row.
const ROWS: usize = 4;
/// Bytes that a row is asked for ahead of its use.
const AHEAD: usize = 1024;

// SAFETY: as the module says.
#[inline(always)]
unsafe fn few<V: Value>(rows: &[u8], columns: usize, values: &[f32], out: &mut Strip<'_>) {
    let (width, row_bytes) = (out.width(), columns * V::BYTES);
    for first in (0..width).step_by(ROWS) {
        let mut starts = [rows.as_ptr(); ROWS];
        for (r, start) in starts.iter_mut().enumerate() {
            *start = rows.as_ptr().add((first + r).min(width - 1) * row_bytes);
        }
        for i in 0..out.rows() {
            let sums = dots::<V>(starts, columns, values.as_ptr().add(i * columns));
            let out = &mut out.row(i)[first..];
            let count = out.len().min(ROWS);
            out[..count].copy_from_slice(&sums[..count]);
        }
    }
}

// SAFETY: as the module says.
#[inline(always)]
unsafe fn dots<V: Value>(starts: [*const u8; ROWS], columns: usize, values: *const f32) -> [f32; ROWS] {
    let mut lanes = [[_mm256_setzero_ps(); 2]; ROWS];
    let whole = columns / LANES * LANES;
    for column in (0..whole).step_by(LANES) {
        let input = sixteen::<F32>(values.add(column).cast());
        for r in 0..ROWS {
            let at = starts[r].add(column * V::BYTES);
            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD).cast());
            lanes[r] = multiply(lanes[r], sixteen::<V>(at), input);
        }
    }
    if whole < columns {
        let (count, mask) = (columns - whole, first_lanes(columns - whole));
        let input = rest::<F32>(values.add(whole).cast(), count);
        for r in 0..ROWS {
            lanes[r] = multiply_rest(lanes[r], rest::<V>(starts[r].add(whole * V::BYTES), count), input, mask);
        }
    }
    let mut sums = [0.0; ROWS];
    for r in 0..ROWS {
        sums[r] = fold(lanes[r]);
    }
    sums
}

/// Weight rows and columns that are made f32 at a time: 12 KiB, a part of the nearest cache.
const TILE_ROWS: usize = 6;
const TILE_COLUMNS: usize = 512;
/// Input rows whose lanes wait: again 12 KiB.
const TILE_INPUTS: usize = 32;
/// Weight rows and input rows whose lanes fill twelve registers.
const R: usize = 3;
const M: usize = 2;

/// A piece of weights, as f32: sixteen columns at a time. Zeros past a row's end.
type Weights = [[Pair; TILE_COLUMNS / LANES]; TILE_ROWS];
type Waiting = [[Pair; TILE_ROWS]; TILE_INPUTS];

// SAFETY: as the module says.
#[inline(always)]
unsafe fn many<V: Value>(rows: &[u8], columns: usize, values: &[f32], out: &mut Strip<'_>) {
    let (width, inputs) = (out.width(), out.rows());
    let zero = [_mm256_setzero_ps(); 2];
    let mut weights: Weights = [[zero; TILE_COLUMNS / LANES]; TILE_ROWS];
    // The input rows outside: they are the larger part, and stay in the second cache for all weight rows.
    for input in (0..inputs).step_by(TILE_INPUTS) {
        for first in (0..width).step_by(TILE_ROWS) {
            let mut waiting: Waiting = [[zero; TILE_ROWS]; TILE_INPUTS];
            let count = TILE_INPUTS.min(inputs - input);
            for column in (0..columns).step_by(TILE_COLUMNS) {
                let length = TILE_COLUMNS.min(columns - column);
                for (r, weights) in weights.iter_mut().enumerate() {
                    let row = rows.as_ptr().add(((first + r).min(width - 1) * columns + column) * V::BYTES);
                    fill::<V>(weights, row, length);
                }
                let values = values.as_ptr().add(input * columns + column);
                piece(&weights, values, (columns, count, length), &mut waiting);
            }
            for (i, lanes) in waiting.iter().enumerate().take(count) {
                let out = &mut out.row(input + i)[first..];
                for (out, &lanes) in out.iter_mut().zip(lanes) {
                    *out = fold(lanes);
                }
            }
        }
    }
}

// SAFETY: as the module says.
#[inline(always)]
unsafe fn fill<V: Value>(weights: &mut [Pair; TILE_COLUMNS / LANES], row: *const u8, length: usize) {
    for step in 0..length / LANES {
        weights[step] = sixteen::<V>(row.add(step * LANES * V::BYTES));
    }
    let whole = length / LANES;
    if !length.is_multiple_of(LANES) {
        weights[whole] = rest::<V>(row.add(whole * LANES * V::BYTES), length % LANES);
    }
}

/// Multiplies a piece of weights with `count` input rows, `stride` apart.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn piece(
    weights: &Weights,
    values: *const f32,
    (stride, count, length): (usize, usize, usize),
    waiting: &mut Waiting,
) {
    for i in (0..count).step_by(M) {
        // A last row that has no partner is multiplied twice.
        let both = [i, (i + 1).min(count - 1)];
        let inputs = both.map(|i| values.wrapping_add(i * stride));
        for first in (0..TILE_ROWS).step_by(R) {
            let mut lanes = [[[_mm256_setzero_ps(); 2]; R]; M];
            for m in 0..M {
                for r in 0..R {
                    lanes[m][r] = waiting[both[m]][first + r];
                }
            }
            for step in 0..length / LANES {
                // Half by half, so that each number is read once and all lanes stay in registers.
                for half in 0..2 {
                    let mut input = [_mm256_setzero_ps(); M];
                    for m in 0..M {
                        input[m] = _mm256_loadu_ps(inputs[m].add(step * LANES + half * 8));
                    }
                    for r in 0..R {
                        let weights = weights[first + r][step][half];
                        for m in 0..M {
                            lanes[m][r][half] = _mm256_fmadd_ps(weights, input[m], lanes[m][r][half]);
                        }
                    }
                }
            }
            if !length.is_multiple_of(LANES) {
                let (whole, mask) = (length / LANES, first_lanes(length % LANES));
                for m in 0..M {
                    let input = rest::<F32>(inputs[m].add(whole * LANES).cast(), length % LANES);
                    for r in 0..R {
                        lanes[m][r] = multiply_rest(lanes[m][r], weights[first + r][whole], input, mask);
                    }
                }
            }
            for m in 0..M {
                for r in 0..R {
                    waiting[both[m]][first + r] = lanes[m][r];
                }
            }
        }
    }
}
