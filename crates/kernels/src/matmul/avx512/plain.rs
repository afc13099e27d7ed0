//! Formats without blocks: lane `i % 16` of a register takes column `i`, and the lanes are folded at the end.
#![allow(unsafe_code)] // registers of a set that the caller has, and pointers into what it handed over
#![allow(clippy::needless_range_loop)] // several arrays are walked side by side

use std::arch::x86_64::*;

use crate::Strip;

/// Columns in a register.
const LANES: usize = 16;
/// Columns that are walked at a time: those of six input rows are 24 KB, and stay in the nearest cache.
const COLUMNS: usize = 1024;
/// Weight rows whose sums are kept at a time.
const ROWS: usize = 32;
/// Input rows and weight rows whose sums are in registers together: 24 of the 32 that there are.
const TOGETHER: usize = 6;
const WEIGHTS: usize = 4;
/// Weight rows that go together for few input rows: as many streams as a processor follows.
const STREAMS: usize = 8;
/// Bytes fetched ahead of what is being read.
const AHEAD: usize = 1024;

/// How sixteen values are read.
pub trait Value {
    const BYTES: usize;

    /// Those lanes of `mask`; the others are 0 and their bytes are not touched.
    ///
    /// # Safety
    /// `from` points to the values in the mask; the processor has the set.
    unsafe fn load(from: *const u8, mask: __mmask16) -> __m512;
}

macro_rules! value {
    ($name:ident, $bytes:literal, |$from:ident, $mask:ident| $load:expr) => {
        pub struct $name;
        impl Value for $name {
            const BYTES: usize = $bytes;

            /// # Safety
            /// As the trait says.
            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
            unsafe fn load($from: *const u8, $mask: __mmask16) -> __m512 {
                // SAFETY: the caller's promise.
                unsafe { $load }
            }
        }
    };
}

value!(F32, 4, |from, mask| _mm512_maskz_loadu_ps(mask, from.cast()));
value!(F16, 2, |from, mask| _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, from.cast())));
value!(BF16, 2, |from, mask| {
    let halves = _mm256_maskz_loadu_epi16(mask, from.cast());
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
});

/// See [`crate::matmul::Plain`].
///
/// # Safety
/// As there.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub unsafe fn product<V: Value>(rows: &[u8], columns: usize, values: &[f32], out: &mut Strip<'_>) {
    let count = out.rows();
    for first in (0..out.width()).step_by(ROWS) {
        let weights = &rows[first * columns * V::BYTES..];
        let width = ROWS.min(out.width() - first);
        let mut from = 0;
        while from < count {
            let values = &values[from * columns..];
            // SAFETY: `width` rows of weights and the input rows are there, each `columns` long.
            from += unsafe {
                match count - from {
                    1 => rows_of::<V, STREAMS, 1>(weights, columns, values, out, (first, width, from)),
                    2..4 => rows_of::<V, STREAMS, 2>(weights, columns, values, out, (first, width, from)),
                    4..TOGETHER => rows_of::<V, WEIGHTS, 4>(weights, columns, values, out, (first, width, from)),
                    _ => rows_of::<V, WEIGHTS, TOGETHER>(weights, columns, values, out, (first, width, from)),
                }
            };
        }
    }
}

/// The products of `width` weight rows, `W` at a time, with `T` input rows; gives `T`. `place` is the first column of `out`,
/// the width, and the first row.
///
/// # Safety
/// So many rows are there; `width` is at most [`ROWS`]; the processor has the set.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn rows_of<V: Value, const W: usize, const T: usize>(
    weights: &[u8],
    columns: usize,
    values: &[f32],
    out: &mut Strip<'_>,
    place: (usize, usize, usize),
) -> usize {
    let (first, width, from) = place;
    let mut sums = [[[_mm512_setzero_ps(); T]; W]; ROWS / WEIGHTS];
    let groups = width.div_ceil(W);
    for start in (0..columns).step_by(COLUMNS) {
        let end = columns.min(start + COLUMNS);
        for (group, sums) in sums.iter_mut().enumerate().take(groups) {
            // Where fewer rows are left, the last one is multiplied again, and not stored.
            // SAFETY: rows below `width`, and `T` input rows, are there.
            unsafe {
                let weights =
                    std::array::from_fn(|w| weights.as_ptr().add((group * W + w).min(width - 1) * columns * V::BYTES));
                let values = std::array::from_fn(|t| values.as_ptr().add(t * columns));
                add::<V, W, T>(weights, values, start, end, sums);
            }
        }
    }
    for r in 0..width {
        for (t, sum) in sums[r / W][r % W].iter().enumerate() {
            out.row(from + t)[first + r] = fold(*sum);
        }
    }
    T
}

/// Adds the products of columns `start..end`.
///
/// # Safety
/// All rows have them; the processor has the set.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn add<V: Value, const W: usize, const T: usize>(
    weights: [*const u8; W],
    values: [*const f32; T],
    start: usize,
    end: usize,
    sums: &mut [[__m512; T]; W],
) {
    let mut accs = *sums;
    let whole = end - (end - start) % LANES;
    // SAFETY: these columns are in the rows.
    unsafe {
        for column in (start..whole).step_by(LANES) {
            step::<V, W, T, true>(&weights, &values, column, !0, &mut accs);
        }
        if whole < end {
            step::<V, W, T, false>(&weights, &values, whole, (1 << (end - whole)) - 1, &mut accs);
        }
    }
    *sums = accs;
}

/// One register of columns from `column` on, those in the mask; `A` says that it is all of them, and is a constant so that
/// the loop over whole registers stands alone.
///
/// # Safety
/// All rows have them; the processor has the set.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn step<V: Value, const W: usize, const T: usize, const A: bool>(
    weights: &[*const u8; W],
    values: &[*const f32; T],
    column: usize,
    mask: __mmask16,
    accs: &mut [[__m512; T]; W],
) {
    let mask = if A { !0 } else { mask };
    for w in 0..W {
        // SAFETY: the caller's promise.
        let weight = unsafe {
            let place = weights[w].add(column * V::BYTES);
            _mm_prefetch::<_MM_HINT_T0>(place.wrapping_add(AHEAD).cast());
            V::load(place, mask)
        };
        for t in 0..T {
            // SAFETY: the caller's promise.
            let value = unsafe { _mm512_maskz_loadu_ps(mask, values[t].add(column)) };
            // Lanes out of the mask keep their bits: adding 0 would make -0 to 0.
            accs[w][t] = _mm512_mask3_fmadd_ps(weight, value, accs[w][t], mask);
        }
    }
}

/// 8 + 8, 4 + 4, 2 + 2, 1 + 1.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn fold(lanes: __m512) -> f32 {
    let eight = _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps::<1>(lanes));
    let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}
