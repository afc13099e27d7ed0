//! Blocks of 32 values: how each format's codes and factors are read.
//!
//! # Safety
//! Every function needs AVX2 (those that read f16 also F16C); pointers lead to what is read.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use std::arch::x86_64::*;

use super::arithmetic::halves;
use crate::dequantize::IQ4_VALUES;

/// A format with blocks of 32 values.
pub(crate) trait Block {
    /// Of a block.
    const BYTES: usize;
    /// Codes are signed; else unsigned, with [`Block::OFFSET`] to be taken away.
    const SIGNED: bool = false;
    const OFFSET: i32 = 0;
    /// There is a minimum beside the scale.
    const SHIFTED: bool = false;
    /// How many sums of two products of a code and a value of at most 127 fit in i16 (a divisor of 8); of unsigned codes.
    const CHAIN: usize;

    /// The codes of two blocks: the first 16 values of each, side by side, and the last 16 of each.
    ///
    /// # Safety
    /// Needs AVX2; both lead to a block.
    unsafe fn codes(a: *const u8, b: *const u8) -> [__m256i; 2];

    /// The scales and, where there are any, the minimums of eight blocks.
    ///
    /// # Safety
    /// Needs AVX2 and F16C; each leads to a block.
    #[inline(always)]
    unsafe fn factors(blocks: [*const u8; 8]) -> [__m256; 2] {
        let scales = halves(blocks);
        [scales, if Self::SHIFTED { halves(blocks.map(|block| block.add(2))) } else { scales }]
    }
}

// SAFETY: as the module says.
#[inline(always)]
unsafe fn side_by_side(a: *const u8, b: *const u8) -> __m256i {
    let a = _mm256_castsi128_si256(_mm_loadu_si128(a.cast()));
    _mm256_inserti128_si256(a, _mm_loadu_si128(b.cast()), 1)
}

/// The low and the high four bits of 16 bytes each.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn nibbles(a: *const u8, b: *const u8) -> [__m256i; 2] {
    let (bytes, mask) = (side_by_side(a, b), _mm256_set1_epi8(0x0f));
    [_mm256_and_si256(bytes, mask), _mm256_and_si256(_mm256_srli_epi16(bytes, 4), mask)]
}

/// The fifth bits of two blocks, 32 of them at `a` and at `b`: 16 for each one that is set of the first 16 of each, or of the
/// last 16.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn fifths(a: *const u8, b: *const u8, last: bool) -> __m256i {
    let a = _mm256_set1_epi32(a.cast::<i32>().read_unaligned());
    let bits = _mm256_blend_epi32(a, _mm256_set1_epi32(b.cast::<i32>().read_unaligned()), 0b1111_0000);
    let first = if last { 0x0202_0202_0202_0202 } else { 0 };
    let second = first + 0x0101_0101_0101_0101;
    let spread = _mm256_shuffle_epi8(bits, _mm256_set_epi64x(second, first, second, first));
    let own = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
    let set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, own), own);
    _mm256_and_si256(set, _mm256_set1_epi8(16))
}

// SAFETY: as the module says.
#[inline(always)]
unsafe fn five_bits(low: [*const u8; 2], high: [*const u8; 2]) -> [__m256i; 2] {
    let codes = nibbles(low[0], low[1]);
    let (first, last) = (fifths(high[0], high[1], false), fifths(high[0], high[1], true));
    [_mm256_or_si256(codes[0], first), _mm256_or_si256(codes[1], last)]
}

/// The table's values in place of four-bit codes.
// SAFETY: as the module says.
#[inline(always)]
pub(super) unsafe fn look_up(table: [i8; 16], codes: __m256i) -> __m256i {
    let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
    _mm256_shuffle_epi8(table, codes)
}

#[allow(non_camel_case_types)]
pub(crate) struct Q4_0;
impl Block for Q4_0 {
    const BYTES: usize = 18;
    const OFFSET: i32 = 8;
    const CHAIN: usize = 8; // 8 * 2 * 15 * 127 = 30,480
    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn codes(a: *const u8, b: *const u8) -> [__m256i; 2] {
        nibbles(a.add(2), b.add(2))
    }
}

#[allow(non_camel_case_types)]
pub(crate) struct Q4_1;
impl Block for Q4_1 {
    const BYTES: usize = 20;
    const SHIFTED: bool = true;
    const CHAIN: usize = 8; // as Q4_0
    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn codes(a: *const u8, b: *const u8) -> [__m256i; 2] {
        nibbles(a.add(4), b.add(4))
    }
}

#[allow(non_camel_case_types)]
pub(crate) struct Q5_0;
impl Block for Q5_0 {
    const BYTES: usize = 22;
    const OFFSET: i32 = 16;
    const CHAIN: usize = 4; // 4 * 2 * 31 * 127 = 31,496
    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn codes(a: *const u8, b: *const u8) -> [__m256i; 2] {
        five_bits([a.add(6), b.add(6)], [a.add(2), b.add(2)])
    }
}

#[allow(non_camel_case_types)]
pub(crate) struct Q5_1;
impl Block for Q5_1 {
    const BYTES: usize = 24;
    const SHIFTED: bool = true;
    const CHAIN: usize = 4; // as Q5_0
    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn codes(a: *const u8, b: *const u8) -> [__m256i; 2] {
        five_bits([a.add(8), b.add(8)], [a.add(4), b.add(4)])
    }
}

#[allow(non_camel_case_types)]
pub(crate) struct Q8_0;
impl Block for Q8_0 {
    const BYTES: usize = 34;
    const SIGNED: bool = true;
    const CHAIN: usize = 1;
    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn codes(a: *const u8, b: *const u8) -> [__m256i; 2] {
        [side_by_side(a.add(2), b.add(2)), side_by_side(a.add(18), b.add(18))]
    }
}

pub(crate) struct Iq4Nl;
impl Block for Iq4Nl {
    const BYTES: usize = 18;
    const SIGNED: bool = true;
    const CHAIN: usize = 1;
    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn codes(a: *const u8, b: *const u8) -> [__m256i; 2] {
        let [low, high] = nibbles(a.add(2), b.add(2));
        [look_up(IQ4_VALUES, low), look_up(IQ4_VALUES, high)]
    }
}

pub(crate) struct Mxfp4;

/// The format's values with 12 added, so that none is negative.
const MXFP4_FROM_0: [i8; 16] = {
    let mut values = crate::dequantize::MXFP4_VALUES;
    let mut i = 0;
    while i < values.len() {
        values[i] += 12;
        i += 1;
    }
    values
};

impl Block for Mxfp4 {
    const BYTES: usize = 17;
    const OFFSET: i32 = 12;
    const CHAIN: usize = 4; // 4 * 2 * 24 * 127 = 24,384
    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn codes(a: *const u8, b: *const u8) -> [__m256i; 2] {
        let [low, high] = nibbles(a.add(1), b.add(1));
        [look_up(MXFP4_FROM_0, low), look_up(MXFP4_FROM_0, high)]
    }

    /// As `half_power_of_two`: a power of two; two subnormal ones where the exponent is too small.
    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn factors(blocks: [*const u8; 8]) -> [__m256; 2] {
        let exponents = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(blocks.map(|block| *block))));
        let powers = _mm256_slli_epi32(_mm256_sub_epi32(exponents, _mm256_set1_epi32(1)), 23);
        let small = _mm256_sllv_epi32(_mm256_set1_epi32(0x0020_0000), exponents);
        let bits = _mm256_blendv_epi8(powers, small, _mm256_cmpgt_epi32(_mm256_set1_epi32(2), exponents));
        [_mm256_castsi256_ps(bits); 2]
    }
}
