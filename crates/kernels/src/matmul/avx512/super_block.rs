//! Formats with blocks of 256: whole-number scales of groups in a block.
#![allow(unsafe_code)] // registers of a set that the caller has
#![allow(clippy::needless_range_loop)] // several arrays are walked side by side

use std::arch::x86_64::*;

use super::panel::{Panel, Side};
use super::tile::{Tile, in_order};
use crate::format::SUPER_BLOCK;

/// Registers that hold 32 columns of sixteen rows.
const WORDS: usize = 8;
/// Thirty-twos of a block.
pub const PARTS: usize = 8;
/// Sums of activations for a block: one for each 16 columns.
pub const SUMS: usize = 16;

/// How the groups' own scales come in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// They are in the codes already, which still fit in a byte then.
    Inside,
    /// For each 16 columns, a whole number.
    Of16,
    /// For each 32 columns, a whole number.
    Of32,
    /// For each 32 columns, a float: four groups' sums, scaled, stay below 2^24, and so are exact.
    Float,
}

/// How a format's blocks are unpacked.
pub trait Super: Copy {
    const BYTES: usize;
    const OWN: Own;
    /// What is added to each code, so that it has no sign.
    const OFFSET: i16;
    /// Whether groups have minimums.
    const MINIMUM: bool;

    /// Unpacks the block from byte `at` on.
    ///
    /// # Safety
    /// It is in the rows; the processor has the set.
    unsafe fn unpack(tile: &Tile, at: usize, out: &mut Block);
}

/// One block of sixteen rows.
#[derive(Clone, Copy)]
pub struct Block {
    pub codes: [[__m512i; WORDS]; PARTS],
    /// The groups' own scales, as [`Own`] says.
    pub own: [__m512i; SUMS],
    /// Pairs of i16: what the sums of two times 16 columns are multiplied with.
    pub own_minimums: [__m512i; SUMS / 2],
    pub scale: __m512,
    pub minimum: __m512,
}

/// A block of a format.
#[derive(Clone, Copy)]
pub struct SuperBlock<F> {
    block: Block,
    format: std::marker::PhantomData<F>,
}

impl<F: Super> Panel for SuperBlock<F> {
    const BLOCK: usize = SUPER_BLOCK;
    const BYTES: usize = F::BYTES;

    /// # Safety
    /// As the trait says.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn empty() -> Self {
        let (whole, float) = (_mm512_setzero_si512(), _mm512_setzero_ps());
        let (codes, own, own_minimums) = ([[whole; WORDS]; PARTS], [whole; SUMS], [whole; SUMS / 2]);
        let block = Block { codes, own, own_minimums, scale: float, minimum: float };
        SuperBlock { block, format: std::marker::PhantomData }
    }

    /// # Safety
    /// As the trait says.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn unpack(&mut self, tile: &Tile, at: usize, blocks: usize) {
        if blocks > 0 {
            // SAFETY: the caller's promise.
            unsafe { F::unpack(tile, at, &mut self.block) };
        }
    }

    /// # Safety
    /// As the trait says.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn add<const P: usize, const T: usize>(
        panels: &[Self; P],
        blocks: usize,
        sides: [Side; T],
        sums: &mut [[__m512; P]; T],
    ) {
        if blocks == 0 {
            return;
        }
        // SAFETY: the caller's promise: a whole block's values, scale and sums.
        unsafe {
            let dots = dots::<F, P, T>(panels, &sides);
            for t in 0..T {
                let scale = _mm512_set1_ps(*sides[t].scales);
                for p in 0..P {
                    let block = &panels[p].block;
                    let mut product = _mm512_mul_ps(_mm512_mul_ps(block.scale, scale), dots[t][p]);
                    if F::MINIMUM {
                        let mut minimums = _mm512_setzero_si512();
                        for (pair, own) in block.own_minimums.iter().enumerate() {
                            let sums = sides[t].sums.add(2 * pair).cast::<i32>().read_unaligned();
                            minimums = _mm512_dpwssd_epi32(minimums, *own, _mm512_set1_epi32(sums));
                        }
                        let minimums = _mm512_cvtepi32_ps(minimums);
                        let minimum = _mm512_mul_ps(_mm512_mul_ps(block.minimum, scale), minimums);
                        product = _mm512_sub_ps(product, minimum);
                    }
                    sums[t][p] = _mm512_add_ps(sums[t][p], product);
                }
            }
        }
    }
}

/// The sums of codes by values, scaled by the groups' own scales: whole numbers, rounded once to floats.
///
/// # Safety
/// As [`Panel::add`], one block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn dots<F: Super, const P: usize, const T: usize>(
    panels: &[SuperBlock<F>; P],
    sides: &[Side; T],
) -> [[__m512; P]; T] {
    // SAFETY: the caller's promise.
    unsafe {
        match F::OWN {
            Own::Inside => {
                // Two chains, as one would wait for itself.
                let own = offsets::<T>(sides, -F::OFFSET);
                let mut even: [[__m512i; P]; T] = std::array::from_fn(|t| [_mm512_set1_epi32(own[t].iter().sum()); P]);
                let mut odd = [[_mm512_setzero_si512(); P]; T];
                for part in (0..PARTS).step_by(2) {
                    multiply::<F, P, T>(panels, sides, part, 0, WORDS, &mut even);
                    multiply::<F, P, T>(panels, sides, part + 1, 0, WORDS, &mut odd);
                }
                each(|t, p| _mm512_cvtepi32_ps(_mm512_add_epi32(even[t][p], odd[t][p])))
            }
            Own::Of16 => {
                let own = offsets::<T>(sides, -F::OFFSET);
                let mut totals = [[_mm512_setzero_si512(); P]; T];
                for group in 0..SUMS {
                    let mut dots: [[__m512i; P]; T] = std::array::from_fn(|t| [_mm512_set1_epi32(own[t][group]); P]);
                    let first = group % 2 * (WORDS / 2);
                    multiply::<F, P, T>(panels, sides, group / 2, first, first + WORDS / 2, &mut dots);
                    add_scaled(panels, group, &dots, &mut totals);
                }
                each(|t, p| _mm512_cvtepi32_ps(totals[t][p]))
            }
            Own::Of32 => {
                let own = offsets::<T>(sides, -F::OFFSET);
                let mut totals = [[_mm512_setzero_si512(); P]; T];
                for part in 0..PARTS {
                    let mut dots: [[__m512i; P]; T] =
                        std::array::from_fn(|t| [_mm512_set1_epi32(own[t][2 * part] + own[t][2 * part + 1]); P]);
                    multiply::<F, P, T>(panels, sides, part, 0, WORDS, &mut dots);
                    add_scaled(panels, part, &dots, &mut totals);
                }
                each(|t, p| _mm512_cvtepi32_ps(totals[t][p]))
            }
            Own::Float => {
                let low = scaled_half::<F, P, T>(panels, sides, 0);
                let high = scaled_half::<F, P, T>(panels, sides, PARTS / 2);
                each(|t, p| _mm512_add_ps(low[t][p], high[t][p]))
            }
        }
    }
}

/// The sums of half a block from part `first` on, scaled as floats, exact.
///
/// # Safety
/// As [`Panel::add`], one block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn scaled_half<F: Super, const P: usize, const T: usize>(
    panels: &[SuperBlock<F>; P],
    sides: &[Side; T],
    first: usize,
) -> [[__m512; P]; T] {
    let mut totals = [[_mm512_setzero_ps(); P]; T];
    for part in first..first + PARTS / 2 {
        let mut dots = [[_mm512_setzero_si512(); P]; T];
        // SAFETY: the caller's promise.
        unsafe { multiply::<F, P, T>(panels, sides, part, 0, WORDS, &mut dots) };
        for t in 0..T {
            for p in 0..P {
                let own = _mm512_castsi512_ps(panels[p].block.own[part]);
                totals[t][p] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[t][p]), own, totals[t][p]);
            }
        }
    }
    totals
}

/// One for each input row and panel.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn each<const P: usize, const T: usize>(value: impl Fn(usize, usize) -> __m512) -> [[__m512; P]; T] {
    let mut out = [[_mm512_setzero_ps(); P]; T];
    for (t, out) in out.iter_mut().enumerate() {
        for (p, out) in out.iter_mut().enumerate() {
            *out = value(t, p);
        }
    }
    out
}

/// Adds to `dots` the products of words `first..end` of a part.
///
/// # Safety
/// As [`Panel::add`], one block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn multiply<F: Super, const P: usize, const T: usize>(
    panels: &[SuperBlock<F>; P],
    sides: &[Side; T],
    part: usize,
    first: usize,
    end: usize,
    dots: &mut [[__m512i; P]; T],
) {
    for word in first..end {
        for t in 0..T {
            // SAFETY: the caller's promise.
            let values = unsafe { sides[t].values.add(part * 32 + word * 4).cast::<i32>().read_unaligned() };
            let values = _mm512_set1_epi32(values);
            for p in 0..P {
                dots[t][p] = _mm512_dpbusd_epi32(dots[t][p], panels[p].block.codes[part][word], values);
                if P * T > 2 {
                    in_order(&mut dots[t][p]);
                }
            }
        }
    }
}

/// Adds a group's sums, times its own scale.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn add_scaled<F: Super, const P: usize, const T: usize>(
    panels: &[SuperBlock<F>; P],
    group: usize,
    dots: &[[__m512i; P]; T],
    totals: &mut [[__m512i; P]; T],
) {
    for t in 0..T {
        for p in 0..P {
            let scaled = _mm512_mullo_epi32(dots[t][p], panels[p].block.own[group]);
            totals[t][p] = _mm512_add_epi32(totals[t][p], scaled);
        }
    }
}

/// The activations' sums, times `factor`.
///
/// # Safety
/// The sides point to a block's sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn offsets<const T: usize>(sides: &[Side; T], factor: i16) -> [[i32; SUMS]; T] {
    let mut out = [[0; SUMS]; T];
    for (out, side) in out.iter_mut().zip(sides) {
        // SAFETY: the caller's promise; `out` is as long as a register.
        unsafe {
            let sums = _mm512_cvtepi16_epi32(_mm256_loadu_si256(side.sums.cast()));
            // A sum is in 16 bits and so is the factor: the product of the low halves is theirs.
            let sums = _mm512_madd_epi16(sums, _mm512_set1_epi32(i32::from(factor) & 0xffff));
            _mm512_storeu_si512(out.as_mut_ptr().cast(), sums);
        }
    }
    out
}
