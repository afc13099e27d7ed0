//! Many input rows: a tile of 16 weight rows and 256 columns is unpacked once and multiplied with all of them.
//!
//! Lanes are weight rows: a vector holds four (or, of i16, two) neighbouring columns of eight rows, and meets the same
//! columns of an input row in every lane. The running sums wait in `out` from one 256 columns to the next.
//!
//! # Safety
//! Every function needs AVX2 (those that read f16 also F16C) or the set of its [`Arithmetic`]; pointers lead to what is read.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]
#![allow(clippy::needless_range_loop)] // the plainest form is the one that stays in registers

use std::arch::x86_64::*;
use std::ops::Range;

use super::arithmetic::{Arithmetic, INPUTS, Sums, VECTORS, transpose};
use super::block::Block;
use super::few::{InputRow, ROWS, finish_block, finish_grouped, nth, starts};
use super::grouped::Grouped;
use crate::format::{BLOCK, SUPER_BLOCK};
use crate::{Activations, SUM_LENGTH, Strip};

/// Weight rows of a tile.
const TILE_ROWS: usize = VECTORS * ROWS;
/// Blocks of 32 columns in a tile.
const BLOCKS: usize = SUPER_BLOCK / BLOCK;
const GROUPS: usize = SUPER_BLOCK / SUM_LENGTH;

/// An unpacked tile. Of 32 columns: 8 steps of 4 columns (or, of i16, 16 of 2), each a vector for each eight rows.
#[repr(C)]
struct Tile {
    codes: [[[__m256i; VECTORS]; 16]; BLOCKS],
    /// Of blocks of 32: scales and minimums.
    factors: [[[__m256; VECTORS]; 2]; BLOCKS],
    /// Of the groups of blocks of 256: scales, as [`Arithmetic::factors`] makes them.
    own: [[__m256i; VECTORS]; GROUPS],
    /// The same in pairs, as the input's sums stand: scales and minimums.
    pairs: [[[__m256i; VECTORS]; GROUPS / 2]; 2],
}

/// Values of input rows as i16.
type Wide<const M: usize> = [[__m256i; SUPER_BLOCK / 16]; M];

// SAFETY: as the module says.
#[inline(always)]
unsafe fn zeros() -> Tile {
    std::mem::zeroed()
}

/// Whether the codes of a tile are i16.
const fn is_wide<A: Arithmetic>(signed: bool) -> bool {
    signed && A::WIDE
}

/// What is to be taken away from a tile's codes: signed ones that are not wide have 128 added.
const fn offset_bits(signed: bool, offset: Option<i32>) -> Option<i32> {
    if signed { Some(7) } else { offset }
}

impl Tile {
    /// Puts 32 columns of eight rows in their place.
    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn put<A: Arithmetic>(&mut self, signed: bool, block: usize, vector: usize, rows: [__m256i; ROWS]) {
        let flip = if signed { _mm256_set1_epi8(-128) } else { _mm256_setzero_si256() };
        let columns = transpose(rows);
        for (step, codes) in columns.into_iter().enumerate() {
            let vectors: *mut __m256i = self.codes[block].as_mut_ptr().cast();
            vectors.add(step * VECTORS + vector).write(_mm256_xor_si256(codes, flip));
        }
    }

    /// Puts 32 columns of eight rows in their place as i16, each with its row's factor.
    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn put_wide(
        &mut self,
        block: usize,
        vector: usize,
        rows: [__m256i; ROWS],
        factors: Option<[__m256i; ROWS]>,
    ) {
        let (mut low, mut high) = (rows, rows);
        for r in 0..ROWS {
            low[r] = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(rows[r]));
            high[r] = _mm256_cvtepi8_epi16(_mm256_extracti128_si256(rows[r], 1));
            if let Some(factors) = factors {
                (low[r], high[r]) = (_mm256_mullo_epi16(low[r], factors[r]), _mm256_mullo_epi16(high[r], factors[r]));
            }
        }
        let (low, high) = (transpose(low), transpose(high));
        for step in 0..8 {
            self.codes[block][step][vector] = low[step];
            self.codes[block][step + 8][vector] = high[step];
        }
    }

    /// Unpacks `count` blocks of 32 of eight rows.
    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn fill_blocks<A: Arithmetic, F: Block>(&mut self, vector: usize, rows: [*const u8; ROWS], count: usize) {
        for first in (0..count).step_by(2) {
            let second = (first + 1).min(count - 1);
            let (mut one, mut two) = ([_mm256_setzero_si256(); ROWS], [_mm256_setzero_si256(); ROWS]);
            for r in 0..ROWS {
                let [low, high] = F::codes(rows[r].add(first * F::BYTES), rows[r].add(second * F::BYTES));
                one[r] = _mm256_permute2x128_si256(low, high, 0x20);
                two[r] = _mm256_permute2x128_si256(low, high, 0x31);
            }
            for (block, codes) in [(first, one), (first + 1, two)] {
                if is_wide::<A>(F::SIGNED) {
                    self.put_wide(block, vector, codes, None);
                } else {
                    self.put::<A>(F::SIGNED, block, vector, codes);
                }
            }
        }
        for block in 0..count {
            let mut blocks = rows;
            for place in &mut blocks {
                *place = place.add(block * F::BYTES);
            }
            let [scales, minimums] = F::factors(blocks);
            self.factors[block][0][vector] = scales;
            self.factors[block][1][vector] = minimums;
        }
    }

    /// Unpacks a block of 256 of eight rows.
    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn fill_grouped<A: Arithmetic, F: Grouped>(&mut self, vector: usize, rows: [*const u8; ROWS]) {
        let mut codes = [[_mm256_setzero_si256(); ROWS]; BLOCKS];
        let (mut scales, mut minimums) = ([_mm256_setzero_si256(); ROWS], [_mm256_setzero_si256(); ROWS]);
        for r in 0..ROWS {
            for (block, row) in F::codes(rows[r]).into_iter().enumerate() {
                codes[block][r] = row;
            }
            [scales[r], minimums[r]] = F::own(rows[r]);
        }
        for (block, codes) in codes.into_iter().enumerate() {
            if !is_wide::<A>(F::SIGNED) {
                self.put::<A>(F::SIGNED, block, vector, codes);
                continue;
            }
            let mut factors = scales;
            for factors in &mut factors {
                *factors = _mm256_shuffle_epi8(*factors, nth(block));
            }
            self.put_wide(block, vector, codes, Some(factors));
        }
        let scales = transpose(scales);
        for (pair, scales) in scales.into_iter().enumerate() {
            self.pairs[0][pair][vector] = scales;
        }
        if F::SHIFTED {
            for (pair, minimums) in transpose(minimums).into_iter().enumerate() {
                self.pairs[1][pair][vector] = minimums;
            }
        }
        for group in 0..SUPER_BLOCK / F::GROUP {
            // Even groups of 16 stand in the first four pairs, odd ones in the last four; groups of 32 in the first four.
            let (place, odd) = if F::GROUP == 16 { (group / 2, group % 2) } else { (group, 0) };
            self.own[group][vector] = A::factors(scales[odd * 4 + place / 2], place % 2 == 1);
        }
        let [scales, minimums] = F::factors(rows);
        self.factors[0][0][vector] = scales;
        self.factors[0][1][vector] = minimums;
    }
}

/// The sums that wait in `out` for 16 weight rows from `row` on; past the last row, zeros.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn load(out: &[f32]) -> [__m256; VECTORS] {
    if let Some(out) = out.first_chunk::<TILE_ROWS>() {
        return [_mm256_loadu_ps(out.as_ptr()), _mm256_loadu_ps(out.as_ptr().add(ROWS))];
    }
    let mut all = [0.0; TILE_ROWS];
    all[..out.len()].copy_from_slice(out);
    std::mem::transmute(all)
}

// SAFETY: as the module says.
#[inline(always)]
unsafe fn store(sums: [__m256; VECTORS], out: &mut [f32]) {
    if let Some(out) = out.first_chunk_mut::<TILE_ROWS>() {
        _mm256_storeu_ps(out.as_mut_ptr(), sums[0]);
        _mm256_storeu_ps(out.as_mut_ptr().add(ROWS), sums[1]);
        return;
    }
    let all: [f32; TILE_ROWS] = std::mem::transmute(sums);
    out.copy_from_slice(&all[..out.len()]);
}

/// Where a product goes: rows of `out` from `input` on, columns from `row` on; new, or added to what is there.
struct Place<'a, 'b> {
    out: &'a mut Strip<'b>,
    input: usize,
    row: usize,
    is_first: bool,
}

impl Place<'_, '_> {
    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn load<const M: usize>(&mut self) -> [[__m256; VECTORS]; M] {
        let mut accs = [[_mm256_setzero_ps(); VECTORS]; M];
        if !self.is_first {
            for (m, acc) in accs.iter_mut().enumerate() {
                *acc = load(&self.out.row(self.input + m)[self.row..]);
            }
        }
        accs
    }

    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn store<const M: usize>(&mut self, accs: [[__m256; VECTORS]; M]) {
        for (m, acc) in accs.into_iter().enumerate() {
            store(acc, &mut self.out.row(self.input + m)[self.row..]);
        }
    }
}

/// Values of input rows from `column` on as i16.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn widen<const M: usize>(inputs: [InputRow; M], column: usize, count: usize) -> Wide<M> {
    let mut wide = [[_mm256_setzero_si256(); SUPER_BLOCK / 16]; M];
    for m in 0..M {
        for i in 0..count / 16 {
            let values = inputs[m].values.add(column + i * 16);
            wide[m][i] = _mm256_cvtepi8_epi16(_mm_loadu_si128(values.cast()));
        }
    }
    wide
}

/// Adds the products of 32 columns of i16.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn add_wide<const M: usize>(sums: &mut Sums<M>, tile: &[[__m256i; VECTORS]; 16], wide: &Wide<M>, block: usize) {
    for (step, tile) in tile.iter().enumerate() {
        for m in 0..M {
            let values: *const i8 = wide[m].as_ptr().add(block * 2).cast();
            let two = super::arithmetic::four(values.add(step * 4));
            for v in 0..VECTORS {
                sums[v][m] = _mm256_add_epi32(sums[v][m], _mm256_madd_epi16(tile[v], two));
            }
        }
    }
}

// SAFETY: as the module says.
#[inline(always)]
unsafe fn inputs<const M: usize>(input: &Activations, first: usize) -> [InputRow; M] {
    let mut inputs = [InputRow::of(input, first); M];
    for (m, row) in inputs.iter_mut().enumerate() {
        *row = InputRow::of(input, first + m);
    }
    inputs
}

/// Multiplies `count` blocks of 32, from the `block`-th of the row on, with `M` input rows.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn multiply_blocks<A: Arithmetic, F: Block, const M: usize>(
    tile: &Tile,
    (block, count): (usize, usize),
    inputs: [InputRow; M],
    mut place: Place<'_, '_>,
) {
    let is_wide = is_wide::<A>(F::SIGNED);
    let offset = if F::SIGNED && !is_wide { 128 } else { F::OFFSET };
    let mut accs = place.load::<M>();
    let wide = if is_wide { Some(widen(inputs, block * BLOCK, count * BLOCK)) } else { None };
    for b in 0..count {
        let mut sums = [[_mm256_setzero_si256(); M]; VECTORS];
        if let Some(wide) = &wide {
            add_wide(&mut sums, &tile.codes[b], wide, b);
        } else {
            let mut values = [inputs[0].values; M];
            for m in 0..M {
                values[m] = inputs[m].values.add((block + b) * BLOCK);
            }
            A::add_group(&mut sums, (BLOCK / 4, F::CHAIN), tile.codes[b].as_ptr().cast(), values, None);
        }
        for m in 0..M {
            for v in 0..VECTORS {
                let factors = [tile.factors[b][0][v], tile.factors[b][1][v]];
                accs[m][v] = finish_block(accs[m][v], sums[v][m], factors, inputs[m], block + b, offset, F::SHIFTED);
            }
        }
    }
    place.store(accs);
}

/// Multiplies a block of 256, the `block`-th of the row, with `M` input rows.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn multiply_grouped<A: Arithmetic, F: Grouped, const M: usize>(
    tile: &Tile,
    block: usize,
    inputs: [InputRow; M],
    mut place: Place<'_, '_>,
) {
    let is_wide = is_wide::<A>(F::SIGNED);
    let offset = if is_wide { None } else { offset_bits(F::SIGNED, F::OFFSET) };
    let mut sums = [[_mm256_setzero_si256(); M]; VECTORS];
    let mut values = [inputs[0].values; M];
    let mut input_sums = [_mm256_setzero_si256(); M];
    for m in 0..M {
        values[m] = inputs[m].values.add(block * SUPER_BLOCK);
        input_sums[m] = F::sums(inputs[m].sums.add(block * GROUPS));
    }
    if let Some(bits) = offset {
        let bits = _mm_cvtsi32_si128(bits);
        let offsets = of_pairs::<F, M>(&tile.pairs[0], &input_sums);
        for v in 0..VECTORS {
            for m in 0..M {
                sums[v][m] = _mm256_sub_epi32(sums[v][m], _mm256_sll_epi32(offsets[v][m], bits));
            }
        }
    }
    if is_wide {
        let wide = widen(inputs, block * SUPER_BLOCK, SUPER_BLOCK);
        for b in 0..BLOCKS {
            add_wide(&mut sums, &tile.codes[b], &wide, b);
        }
    } else {
        let steps = F::GROUP / 4;
        let codes: *const __m256i = tile.codes.as_ptr().cast();
        for group in 0..SUPER_BLOCK / F::GROUP {
            // Of the 16 places for 32 columns, those of i16 are half empty here.
            let codes = codes.add((group * steps / 8 * 16 + group * steps % 8) * VECTORS);
            A::add_group(&mut sums, (steps, F::CHAIN), codes, values, Some(tile.own[group]));
            for values in &mut values {
                *values = values.add(F::GROUP);
            }
        }
    }
    let minimums = if F::SHIFTED { Some(of_pairs::<F, M>(&tile.pairs[1], &input_sums)) } else { None };
    let mut accs = place.load::<M>();
    for m in 0..M {
        for v in 0..VECTORS {
            let factors = [tile.factors[0][0][v], tile.factors[0][1][v]];
            let minimums = minimums.map(|minimums| minimums[v][m]);
            accs[m][v] = finish_grouped(accs[m][v], sums[v][m], minimums, factors, *inputs[m].scales.add(block));
        }
    }
    place.store(accs);
}

/// Sums of groups' factors times sums of activations.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn of_pairs<F: Grouped, const M: usize>(
    pairs: &[[__m256i; VECTORS]; GROUPS / 2],
    input_sums: &[__m256i; M],
) -> Sums<M> {
    let mut sums = [[_mm256_setzero_si256(); M]; VECTORS];
    for (pair, factors) in pairs.iter().enumerate().take(SUPER_BLOCK / F::GROUP / 2) {
        for m in 0..M {
            let input: *const __m256i = &input_sums[m];
            let two = super::arithmetic::four(input.cast::<i8>().add(pair * 4));
            for v in 0..VECTORS {
                sums[v][m] = _mm256_add_epi32(sums[v][m], _mm256_madd_epi16(factors[v], two));
            }
        }
    }
    sums
}

/// Calls `multiply` for four input rows at a time, then for what is left.
macro_rules! for_inputs {
    ($input:ident, $range:ident, $out:ident, $row:expr, $is_first:expr, |$inputs:ident, $place:ident, $m:ident| $multiply:expr) => {
        let mut first = $range.start;
        while first < $range.end {
            let $place = Place { out: $out, input: first, row: $row, is_first: $is_first };
            let left = $range.end - first;
            for_inputs!(@of $input, first, left, $inputs, $m, $multiply, [4 3 2 1]);
            first += left.min(INPUTS);
        }
    };
    (@of $input:ident, $first:ident, $left:ident, $inputs:ident, $m:ident, $multiply:expr, [$($count:literal)*]) => {
        match $left.min(INPUTS) {
            $($count => {
                const $m: usize = $count;
                let $inputs = inputs::<$m>($input, $first);
                $multiply
            })*
            _ => {}
        }
    };
}

/// Bytes of input rows that stay in the second cache while all weight rows meet them.
const INPUT_BYTES: usize = 256 << 10;
/// As few as that are taken together, however long they are: fewer would not be worth unpacking a tile.
const INPUTS_MIN: usize = 64;

/// Ranges of input rows that are taken together.
fn ranges(input: &Activations) -> impl Iterator<Item = Range<usize>> {
    let (count, length) = (input.rows(), (INPUT_BYTES / input.columns()).max(INPUTS_MIN));
    (0..count).step_by(length).map(move |first| first..(first + length).min(count))
}

/// Products with rows of blocks of 32.
///
/// # Safety
/// As [`super::super::Quantized`] says, of the format `F`; needs the set of `A`.
#[inline(always)]
pub(super) unsafe fn blocks<A: Arithmetic, F: Block>(
    rows: &[u8],
    columns: usize,
    input: &Activations,
    out: &mut Strip<'_>,
) {
    let mut tile = zeros();
    for range in ranges(input) {
        blocks_of_range::<A, F>(&mut tile, (rows, columns), input, range, out);
    }
}

// SAFETY: as the module says.
#[inline(always)]
unsafe fn blocks_of_range<A: Arithmetic, F: Block>(
    tile: &mut Tile,
    (rows, columns): (&[u8], usize),
    input: &Activations,
    range: Range<usize>,
    out: &mut Strip<'_>,
) {
    let (width, blocks) = (out.width(), columns / BLOCK);
    for row in (0..width).step_by(TILE_ROWS) {
        for block in (0..blocks).step_by(BLOCKS) {
            let count = BLOCKS.min(blocks - block);
            for vector in 0..VECTORS {
                let mut starts = starts(rows, blocks * F::BYTES, row + vector * ROWS, width);
                for start in &mut starts {
                    *start = start.add(block * F::BYTES);
                }
                tile.fill_blocks::<A, F>(vector, starts, count);
            }
            for_inputs!(input, range, out, row, block == 0, |inputs, place, M| {
                multiply_blocks::<A, F, M>(tile, (block, count), inputs, place)
            });
        }
    }
}

/// Products with rows of blocks of 256.
///
/// # Safety
/// As [`blocks`].
#[inline(always)]
pub(super) unsafe fn grouped<A: Arithmetic, F: Grouped>(
    rows: &[u8],
    columns: usize,
    input: &Activations,
    out: &mut Strip<'_>,
) {
    let mut tile = zeros();
    for range in ranges(input) {
        grouped_of_range::<A, F>(&mut tile, (rows, columns), input, range, out);
    }
}

// SAFETY: as the module says.
#[inline(always)]
unsafe fn grouped_of_range<A: Arithmetic, F: Grouped>(
    tile: &mut Tile,
    (rows, columns): (&[u8], usize),
    input: &Activations,
    range: Range<usize>,
    out: &mut Strip<'_>,
) {
    let (width, blocks) = (out.width(), columns / SUPER_BLOCK);
    for row in (0..width).step_by(TILE_ROWS) {
        for block in 0..blocks {
            for vector in 0..VECTORS {
                let mut starts = starts(rows, blocks * F::BYTES, row + vector * ROWS, width);
                for start in &mut starts {
                    *start = start.add(block * F::BYTES);
                }
                tile.fill_grouped::<A, F>(vector, starts);
            }
            for_inputs!(input, range, out, row, block == 0, |inputs, place, M| {
                multiply_grouped::<A, F, M>(tile, block, inputs, place)
            });
        }
    }
}
