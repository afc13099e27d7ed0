//! A few input rows: eight weight rows at a time, read as they stand in the file, are multiplied with up to three input rows.
//!
//! The lanes of the running sums are weight rows, so that each sums up its blocks in order. The memory is what limits this:
//! eight rows are as many streams as prefetchers follow, and what comes next is asked for in time.
//!
//! # Safety
//! Every function needs AVX2 (those that read f16 also F16C) or the set of its [`Arithmetic`]; pointers lead to what is read.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]
#![allow(clippy::needless_range_loop)] // the plainest form is the one that stays in registers

use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::arithmetic::{Arithmetic, sums_of_all, sums_of_halves};
use super::block::Block;
use super::grouped::Grouped;
use crate::format::{BLOCK, SUPER_BLOCK};
use crate::{Activations, SUM_LENGTH, Strip};

/// Weight rows at a time.
pub(super) const ROWS: usize = 8;

/// Bytes that a row is asked for ahead of its use: some microseconds of reading, over eight rows.
const AHEAD: usize = 256;

/// A cache line, and how many the largest block takes.
const LINE: usize = 64;
const LINES: usize = 4;

/// One input row: values, scales, sums.
#[derive(Clone, Copy)]
pub(super) struct InputRow {
    pub values: *const i8,
    pub scales: *const f32,
    pub sums: *const i16,
}

impl InputRow {
    #[inline(always)]
    pub fn of(input: &Activations, row: usize) -> InputRow {
        InputRow {
            values: input.values(row).as_ptr(),
            scales: input.scales(row).as_ptr(),
            sums: input.sums(row).as_ptr(),
        }
    }
}

/// Where the eight rows from `first` on begin; past the last one, the last one again.
///
/// # Safety
/// `rows` are `count` rows of `row_bytes`; there is one.
#[inline(always)]
pub(super) unsafe fn starts(rows: &[u8], row_bytes: usize, first: usize, count: usize) -> [*const u8; ROWS] {
    let mut starts = [rows.as_ptr(); ROWS];
    for (r, start) in starts.iter_mut().enumerate() {
        *start = rows.as_ptr().add((first + r).min(count - 1) * row_bytes);
    }
    starts
}

/// The products of eight weight rows with `N` input rows.
trait Dot {
    /// # Safety
    /// As the module says; the rows begin at `starts` and have `row_bytes` bytes.
    unsafe fn dot<const N: usize>(starts: [*const u8; ROWS], row_bytes: usize, inputs: [InputRow; N]) -> [__m256; N];
}

/// Every input row with every eight weight rows: up to three input rows at a time share what is unpacked. Tiles were faster for
/// more (Zen 3).
// SAFETY: as the module says.
#[inline(always)]
unsafe fn each<D: Dot>(rows: &[u8], row_bytes: usize, input: &Activations, out: &mut Strip<'_>) {
    let width = out.width();
    for first in (0..width).step_by(ROWS) {
        let starts = starts(rows, row_bytes, first, width);
        let mut i = 0;
        while i < input.rows() {
            i += match input.rows() - i {
                1 => some::<D, 1>(starts, row_bytes, input, i, first, out),
                2 => some::<D, 2>(starts, row_bytes, input, i, first, out),
                _ => some::<D, 3>(starts, row_bytes, input, i, first, out),
            };
        }
    }
}

/// `N` input rows from `row` on; answers `N`.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn some<D: Dot, const N: usize>(
    starts: [*const u8; ROWS],
    row_bytes: usize,
    input: &Activations,
    row: usize,
    first: usize,
    out: &mut Strip<'_>,
) -> usize {
    let inputs = std::array::from_fn(|n| InputRow::of(input, row + n));
    for (n, sums) in D::dot::<N>(starts, row_bytes, inputs).into_iter().enumerate() {
        let sums: [f32; ROWS] = std::mem::transmute(sums);
        let out = &mut out.row(row + n)[first..];
        let count = out.len().min(ROWS);
        out[..count].copy_from_slice(&sums[..count]);
    }
    N
}

struct OfBlocks<A, F>(PhantomData<(A, F)>);

impl<A: Arithmetic, F: Block> Dot for OfBlocks<A, F> {
    // SAFETY: as the trait says.
    #[inline(always)]
    unsafe fn dot<const N: usize>(starts: [*const u8; ROWS], row_bytes: usize, inputs: [InputRow; N]) -> [__m256; N] {
        dot_blocks::<A, F, N>(starts, row_bytes, inputs)
    }
}

struct OfGroups<A, F>(PhantomData<(A, F)>);

impl<A: Arithmetic, F: Grouped> Dot for OfGroups<A, F> {
    // SAFETY: as the trait says.
    #[inline(always)]
    unsafe fn dot<const N: usize>(starts: [*const u8; ROWS], row_bytes: usize, inputs: [InputRow; N]) -> [__m256; N] {
        dot_grouped::<A, F, N>(starts, row_bytes, inputs)
    }
}

/// Products with rows of blocks of 32.
///
/// # Safety
/// As [`super::super::Quantized`] says, of the format `F`; needs the set of `A`.
#[inline(always)]
pub(crate) unsafe fn blocks<A: Arithmetic, F: Block>(
    rows: &[u8],
    columns: usize,
    input: &Activations,
    out: &mut Strip<'_>,
) {
    each::<OfBlocks<A, F>>(rows, columns / BLOCK * F::BYTES, input, out);
}

/// Products with rows of blocks of 256.
///
/// # Safety
/// As [`blocks`].
#[inline(always)]
pub(crate) unsafe fn grouped<A: Arithmetic, F: Grouped>(
    rows: &[u8],
    columns: usize,
    input: &Activations,
    out: &mut Strip<'_>,
) {
    each::<OfGroups<A, F>>(rows, columns / SUPER_BLOCK * F::BYTES, input, out);
}

/// What is asked for of every row while the bytes at `at` are used: `at + AHEAD`; where a row ends before, the same place of
/// the row eight further on, which is next. It need not be one of our bytes: asking never fails.
#[inline(always)]
fn ahead(row_bytes: usize, at: usize) -> usize {
    if at + AHEAD < row_bytes { at + AHEAD } else { at + AHEAD + (ROWS - 1) * row_bytes }
}

/// Asks for what the next eight rows have where this row's part of the work of `step` bytes at `at` is done: four streams of
/// two rows each, into the second cache.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn ask_for_next(start: *const u8, row_bytes: usize, r: usize, at: usize, step: usize) {
    let place = ROWS * row_bytes + r % 4 * 2 * row_bytes + 2 * at + r / 4 * step;
    for line in 0..step.div_ceil(LINE) {
        _mm_prefetch::<_MM_HINT_T1>(start.wrapping_add(place + line * LINE).cast());
    }
}

// SAFETY: as the module says.
#[inline(always)]
unsafe fn ask(start: *const u8, place: usize) {
    _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(place).cast());
}

// SAFETY: as the module says.
#[inline(always)]
unsafe fn pair(a: *const i8, b: *const i8) -> __m256i {
    let a = _mm256_castsi128_si256(_mm_loadu_si128(a.cast()));
    _mm256_inserti128_si256(a, _mm_loadu_si128(b.cast()), 1)
}

/// Two blocks at a time: their sums stand in the two halves of the vectors until the end.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn dot_blocks<A: Arithmetic, F: Block, const N: usize>(
    starts: [*const u8; ROWS],
    row_bytes: usize,
    inputs: [InputRow; N],
) -> [__m256; N] {
    let count = row_bytes / F::BYTES;
    let mut accs = [_mm256_setzero_ps(); N];
    for first in (0..count).step_by(2) {
        // A last block that has no partner is multiplied twice and added once.
        let second = (first + 1).min(count - 1);
        let next = ahead(row_bytes, first * F::BYTES);
        let values: [[__m256i; 2]; N] = std::array::from_fn(|n| {
            let (a, b) = (inputs[n].values.add(first * BLOCK), inputs[n].values.add(second * BLOCK));
            [pair(a, b), pair(a.add(16), b.add(16))]
        });
        let mut sums = [[_mm256_setzero_si256(); ROWS]; N];
        for r in 0..ROWS {
            ask(starts[r], next);
            ask_for_next(starts[0], row_bytes, r, first * F::BYTES, 2 * F::BYTES);
            let codes = F::codes(starts[r].add(first * F::BYTES), starts[r].add(second * F::BYTES));
            for n in 0..N {
                sums[n][r] = A::dot(F::SIGNED, codes, values[n]);
            }
        }
        let factors = [factors::<F>(starts, first), factors::<F>(starts, second)];
        for n in 0..N {
            let sums = sums_of_halves(sums[n]);
            accs[n] = finish_block(accs[n], sums[0], factors[0], inputs[n], first, F::OFFSET, F::SHIFTED);
            if second > first {
                accs[n] = finish_block(accs[n], sums[1], factors[1], inputs[n], second, F::OFFSET, F::SHIFTED);
            }
        }
    }
    accs
}

/// Scales and minimums of one block of eight rows.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn factors<F: Block>(mut starts: [*const u8; ROWS], block: usize) -> [__m256; 2] {
    for start in &mut starts {
        *start = start.add(block * F::BYTES);
    }
    F::factors(starts)
}

/// `acc` with one block's sums, for eight weight rows: codes still with `offset`.
///
/// # Safety
/// Needs AVX2; there is such a block in the input.
#[inline(always)]
pub(super) unsafe fn finish_block(
    acc: __m256,
    sums: __m256i,
    [scales, minimums]: [__m256; 2],
    input: InputRow,
    block: usize,
    offset: i32,
    shifted: bool,
) -> __m256 {
    let scale = _mm256_set1_ps(*input.scales.add(block));
    let halves = input.sums.add(block * (BLOCK / SUM_LENGTH));
    let sum = if offset != 0 || shifted { i32::from(*halves) + i32::from(*halves.add(1)) } else { 0 };
    let sums = if offset != 0 { _mm256_sub_epi32(sums, _mm256_set1_epi32(sum * offset)) } else { sums };
    let mut product = _mm256_mul_ps(_mm256_mul_ps(scales, scale), _mm256_cvtepi32_ps(sums));
    if shifted {
        let minimums = _mm256_mul_ps(_mm256_mul_ps(minimums, scale), _mm256_set1_ps(sum as f32));
        product = _mm256_add_ps(product, minimums);
    }
    _mm256_add_ps(acc, product)
}

// SAFETY: as the module says.
#[inline(always)]
unsafe fn dot_grouped<A: Arithmetic, F: Grouped, const N: usize>(
    starts: [*const u8; ROWS],
    row_bytes: usize,
    inputs: [InputRow; N],
) -> [__m256; N] {
    let mut accs = [_mm256_setzero_ps(); N];
    for block in 0..row_bytes / F::BYTES {
        let at = block * F::BYTES;
        // Row by row, so that the memory is never without work.
        let next: [usize; LINES] = std::array::from_fn(|line| ahead(row_bytes, at + line * LINE));
        let input_sums: [__m256i; N] =
            std::array::from_fn(|n| F::sums(inputs[n].sums.add(block * (SUPER_BLOCK / SUM_LENGTH))));
        let mut blocks = starts;
        let mut sums = [[_mm256_setzero_si256(); ROWS]; N];
        let mut minimums = [[_mm256_setzero_si256(); ROWS]; N];
        for r in 0..ROWS {
            blocks[r] = starts[r].add(at);
            ask_for_next(starts[0], row_bytes, r, at, F::BYTES);
            for line in 0..F::BYTES.div_ceil(LINE) {
                ask(starts[r], next[line]);
            }
            let (codes, own) = (F::codes(blocks[r]), F::own(blocks[r]));
            for n in 0..N {
                let values = inputs[n].values.add(block * SUPER_BLOCK);
                [sums[n][r], minimums[n][r]] = row_of_block::<A, F>(codes, own, values, input_sums[n]);
            }
        }
        let factors = F::factors(blocks);
        for n in 0..N {
            let minimums = if F::SHIFTED { Some(sums_of_all(minimums[n])) } else { None };
            let scale = *inputs[n].scales.add(block);
            accs[n] = finish_grouped(accs[n], sums_of_all(sums[n]), minimums, factors, scale);
        }
    }
    accs
}

/// The products of one row of a block, and those of its minimums, in eight sums each.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn row_of_block<A: Arithmetic, F: Grouped>(
    codes: [__m256i; SUPER_BLOCK / BLOCK],
    [scales, minimums]: [__m256i; 2],
    values: *const i8,
    input_sums: __m256i,
) -> [__m256i; 2] {
    let mut sum = match F::OFFSET {
        Some(bits) => {
            let offset = _mm256_sll_epi32(_mm256_madd_epi16(scales, input_sums), _mm_cvtsi32_si128(bits));
            _mm256_sub_epi32(_mm256_setzero_si256(), offset)
        }
        None => _mm256_setzero_si256(),
    };
    for (i, codes) in codes.into_iter().enumerate() {
        let factors = _mm256_shuffle_epi8(scales, nth(i));
        sum = A::add_scaled(F::SIGNED, sum, codes, _mm256_loadu_si256(values.add(i * 32).cast()), factors);
    }
    [sum, if F::SHIFTED { _mm256_madd_epi16(minimums, input_sums) } else { minimums }]
}

/// For a shuffle: the `i`-th 16 bits of each half, everywhere in it.
// SAFETY: as the module says.
#[inline(always)]
pub(super) unsafe fn nth(i: usize) -> __m256i {
    _mm256_set1_epi16((2 * i + ((2 * i + 1) << 8)) as i16)
}

/// `acc` with one block's sums, for eight weight rows.
///
/// # Safety
/// Needs AVX2.
#[inline(always)]
pub(super) unsafe fn finish_grouped(
    acc: __m256,
    sums: __m256i,
    minimums: Option<__m256i>,
    factors: [__m256; 2],
    scale: f32,
) -> __m256 {
    let scale = _mm256_set1_ps(scale);
    let mut product = _mm256_mul_ps(_mm256_mul_ps(factors[0], scale), _mm256_cvtepi32_ps(sums));
    if let Some(minimums) = minimums {
        let minimums = _mm256_mul_ps(_mm256_mul_ps(factors[1], scale), _mm256_cvtepi32_ps(minimums));
        product = _mm256_sub_ps(product, minimums);
    }
    _mm256_add_ps(acc, product)
}
