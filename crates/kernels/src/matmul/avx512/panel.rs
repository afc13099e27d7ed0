//! The walk over weight rows, columns and input rows that all quantized formats share.
#![allow(unsafe_code)] // registers of a set that the caller has, and pointers into what it handed over

use std::arch::x86_64::*;

use super::tile::{LANES, Tile};
use crate::{Activations, Strip};

/// Columns that are unpacked at a time: 4 KB of codes for sixteen rows, so that two panels and the input stay in the nearest
/// cache.
pub const COLUMNS: usize = 256;
/// Up to so many input rows the weights are read once, one panel after the other.
const FEW: usize = 8;
/// Input rows that a panel is used for before the next is unpacked, which takes as long as some ten of them.
const MANY: usize = 256;
/// Input rows whose sums are in registers together: with two panels as many chains of sums as the units need to be busy.
const TOGETHER: usize = 6;
/// Weight rows of a lane that stand one after the other in few input rows' walk: lanes then read from as many pages of
/// memory, and the processor looks up several of them at a time (10 GB/s became 14). More would add nothing.
const RUN: usize = 8;
/// Rows are found by 32-bit distances, 128 at a time.
const ROW_BYTES_MAX: usize = 1 << 24;
const LINE: usize = 64;

/// One input row from the panel's first column on.
#[derive(Clone, Copy)]
pub struct Side {
    pub values: *const i8,
    pub scales: *const f32,
    pub sums: *const i16,
}

/// Up to 256 columns of sixteen weight rows of one format, unpacked.
pub trait Panel: Copy {
    /// Columns and bytes of a block.
    const BLOCK: usize;
    const BYTES: usize;

    /// # Safety
    /// The processor has the set.
    unsafe fn empty() -> Self;

    /// Unpacks `blocks` blocks from byte `at` of each row on.
    ///
    /// # Safety
    /// They are in the rows; the processor has the set.
    unsafe fn unpack(&mut self, tile: &Tile, at: usize, blocks: usize);

    /// Adds the products of `blocks` blocks of the panels' rows and `T` input rows to `sums`.
    ///
    /// # Safety
    /// The sides point to that many blocks, the sums to as many as 256 columns have; the processor has the set.
    unsafe fn add<const P: usize, const T: usize>(
        panels: &[Self; P],
        blocks: usize,
        sides: [Side; T],
        sums: &mut [[__m512; P]; T],
    );
}

/// See [`crate::matmul::Quantized`].
///
/// # Safety
/// As there.
pub unsafe fn product<F: Panel>(rows: &[u8], columns: usize, input: &Activations, out: &mut Strip<'_>) {
    assert!(columns / F::BLOCK * F::BYTES < ROW_BYTES_MAX, "a weight row of {columns} values");
    // SAFETY: the caller's promise.
    unsafe {
        if input.rows() <= FEW {
            walk::<F, 1, FEW, RUN>(rows, columns, input, out);
        } else {
            walk::<F, 2, MANY, 1>(rows, columns, input, out);
        }
    }
}

/// `P` panels side by side, `N` input rows at a time, with lanes of up to `R` weight rows.
///
/// # Safety
/// As [`product`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn walk<F: Panel, const P: usize, const N: usize, const R: usize>(
    rows: &[u8],
    columns: usize,
    input: &Activations,
    out: &mut Strip<'_>,
) {
    let (width, stride) = (out.width(), columns / F::BLOCK * F::BYTES);
    // SAFETY: the processor has the set.
    let mut panels = unsafe { [F::empty(); P] };
    let mut sums = [[_mm512_setzero_ps(); P]; N];
    for from in (0..input.rows()).step_by(N) {
        let count = N.min(input.rows() - from);
        let sums = &mut sums[..count];
        for first in (0..width).step_by(P * LANES * R) {
            // Of the last ones, a tile may be of the last row alone, or of one that is not there: then it counts for nothing.
            let starts: [usize; P] = std::array::from_fn(|p| first + p * LANES * R);
            let length = (width - first).div_ceil(LANES).min(R);
            for at in 0..length {
                sums.fill([_mm512_setzero_ps(); P]);
                let tiles = starts.map(|start| {
                    let start = start.min(width - 1);
                    // SAFETY: those rows are in `rows`, which are whole, and shorter than the limit.
                    unsafe { Tile::new(rows.as_ptr().add(start * stride), stride, width - start, length, at) }
                });
                for column in (0..columns).step_by(COLUMNS) {
                    let (block, blocks) = (column / F::BLOCK, COLUMNS.min(columns - column) / F::BLOCK);
                    for (panel, tile) in panels.iter_mut().zip(&tiles) {
                        tile.fetch(block * F::BYTES, blocks * F::BYTES);
                        // SAFETY: these blocks are in the row.
                        unsafe { panel.unpack(tile, block * F::BYTES, blocks) };
                    }
                    // SAFETY: these rows and columns are in `input`.
                    unsafe { add_rows(&panels, blocks, Source::new(input, from, column), sums) };
                }
                for (i, sums) in sums.iter().enumerate() {
                    let row = out.row(from + i);
                    for (sum, start) in sums.iter().zip(starts) {
                        store(*sum, length, row.get_mut(start + at..).unwrap_or(&mut []));
                    }
                }
            }
        }
    }
}

/// As many of `sum`'s lanes as there is room for, `length` places apart.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn store(sum: __m512, length: usize, out: &mut [f32]) {
    if length > 1 {
        let mut lanes = [0.0; LANES];
        // SAFETY: as many as a register has.
        unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), sum) };
        out.iter_mut().step_by(length).zip(lanes).for_each(|(out, lane)| *out = lane);
        return;
    }
    let mask = (1u32 << out.len().min(LANES)) - 1;
    // SAFETY: the mask leaves out what is past the end.
    unsafe { _mm512_mask_storeu_ps(out.as_mut_ptr(), mask as __mmask16, sum) };
}

/// Where input rows are read.
struct Source {
    first: Side,
    strides: (usize, usize, usize),
}

impl Source {
    /// From row `row` and `column` on.
    ///
    /// # Safety
    /// They are in `input`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn new(input: &Activations, row: usize, column: usize) -> Source {
        let (values, scales, sums) = input.whole();
        let strides = (input.values_stride(), input.scales_stride(), input.sums_stride());
        // SAFETY: inside the row, as the caller says.
        let first = unsafe {
            Side {
                values: values.as_ptr().add(row * strides.0 + column),
                scales: scales.as_ptr().add(row * strides.1 + column / input.grouping().length()),
                sums: sums.as_ptr().add(row * strides.2 + column / crate::SUM_LENGTH),
            }
        };
        Source { first, strides }
    }

    /// The `i`-th row from there.
    ///
    /// # Safety
    /// There is one.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn side(&self, i: usize) -> Side {
        let (first, strides) = (self.first, self.strides);
        // SAFETY: the caller's promise.
        unsafe {
            Side {
                values: first.values.add(i * strides.0),
                scales: first.scales.add(i * strides.1),
                sums: first.sums.add(i * strides.2),
            }
        }
    }
}

/// # Safety
/// As [`Panel::add`], for as many rows of `source` as there are `sums`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn add_rows<F: Panel, const P: usize>(panels: &[F; P], blocks: usize, source: Source, sums: &mut [[__m512; P]]) {
    let (groups, rest) = sums.as_chunks_mut::<TOGETHER>();
    let done = groups.len() * TOGETHER;
    for (group, sums) in groups.iter_mut().enumerate() {
        for i in (group + 1) * TOGETHER..(group + 2) * TOGETHER {
            // A row's part is some lines far from the last row's: no processor foresees it.
            let next = source.first.values.wrapping_add(i * source.strides.0);
            (0..COLUMNS).step_by(LINE).for_each(|at| _mm_prefetch::<_MM_HINT_T0>(next.wrapping_add(at)));
        }
        // SAFETY: the caller's promise.
        unsafe { F::add(panels, blocks, std::array::from_fn(|i| source.side(group * TOGETHER + i)), sums) };
    }
    // SAFETY: the caller's promise, for what is left.
    unsafe {
        let (done, rest) = add_some::<F, P, 4>(panels, blocks, &source, done, rest);
        let (done, rest) = add_some::<F, P, 2>(panels, blocks, &source, done, rest);
        add_some::<F, P, 1>(panels, blocks, &source, done, rest);
    }
}

/// Adds the next `T` rows, where there are so many. What is left then.
///
/// # Safety
/// As [`add_rows`], for the rows from `done` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn add_some<'a, F: Panel, const P: usize, const T: usize>(
    panels: &[F; P],
    blocks: usize,
    source: &Source,
    done: usize,
    sums: &'a mut [[__m512; P]],
) -> (usize, &'a mut [[__m512; P]]) {
    if sums.len() < T {
        return (done, sums);
    }
    let (first, rest) = sums.split_at_mut(T);
    let Some(first) = first.first_chunk_mut::<T>() else { return (done, rest) };
    // SAFETY: the caller's promise.
    unsafe { F::add(panels, blocks, std::array::from_fn(|i| source.side(done + i)), first) };
    (done + T, rest)
}
