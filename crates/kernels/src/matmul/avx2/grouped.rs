//! Blocks of 256 values in groups with factors of their own: how each format's codes and factors are read.
//!
//! # Safety
//! Every function needs AVX2 (those that read f16 also F16C); pointers lead to what is read.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use std::arch::x86_64::*;

use super::arithmetic::halves;
use super::block::look_up;
use crate::dequantize::IQ4_VALUES;

/// A format with blocks of 256 values.
///
/// Factors of groups of 16 stand as i16: those of the groups 0, 2, 4 … 14 in a vector's lower half, of 1, 3 … 15 in the
/// upper one. Formats with groups of 32 have both halves equal.
pub(crate) trait Grouped {
    /// Of a block.
    const BYTES: usize;
    /// Values in a group: 16 or 32.
    const GROUP: usize;
    /// Codes are signed; else unsigned, with 2^`OFFSET` to be taken away, or nothing.
    const SIGNED: bool = false;
    const OFFSET: Option<i32> = None;
    /// There are minimums beside the scales.
    const SHIFTED: bool = false;
    /// How many sums of two products of a code and a value of at most 127 fit in i16 (a divisor of `GROUP / 4`).
    const CHAIN: usize;
    /// Where the scale, and the minimum, stand in a block.
    const FACTORS: [usize; 2];

    /// 32 codes each.
    ///
    /// # Safety
    /// Needs AVX2; leads to a block.
    unsafe fn codes(block: *const u8) -> [__m256i; 8];

    /// The groups' factors: for scale and minimum.
    ///
    /// # Safety
    /// Needs AVX2; leads to a block.
    unsafe fn own(block: *const u8) -> [__m256i; 2];

    /// The scales and, where there are any, the minimums of eight blocks.
    ///
    /// # Safety
    /// Needs AVX2 and F16C; each leads to a block.
    #[inline(always)]
    unsafe fn factors(blocks: [*const u8; 8]) -> [__m256; 2] {
        let scales = halves(blocks.map(|block| block.add(Self::FACTORS[0])));
        [scales, if Self::SHIFTED { halves(blocks.map(|block| block.add(Self::FACTORS[1]))) } else { scales }]
    }

    /// Sums of 16 activations each, as the factors of groups stand. For groups of 32: sums of 32, and zeros.
    ///
    /// # Safety
    /// Needs AVX2; leads to 16 sums.
    #[inline(always)]
    unsafe fn sums(sums: *const i16) -> __m256i {
        let sums = _mm256_loadu_si256(sums.cast());
        let order = bytes([0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15]);
        let ordered =
            _mm256_permute4x64_epi64(_mm256_shuffle_epi8(sums, _mm256_broadcastsi128_si256(order)), 0b11_01_10_00);
        if Self::GROUP == 16 {
            return ordered;
        }
        let (even, odd) = (_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1));
        _mm256_zextsi128_si256(_mm_add_epi16(even, odd)) // at most 32 * 127
    }
}

// SAFETY: as the module says.
#[inline(always)]
unsafe fn bytes(places: [i8; 16]) -> __m128i {
    std::mem::transmute(places)
}

#[inline(always)]
unsafe fn load(bytes: *const u8) -> __m256i {
    _mm256_loadu_si256(bytes.cast())
}

/// 16 bytes, those of even groups first.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn evens_first(groups: __m128i) -> __m128i {
    _mm_shuffle_epi8(groups, bytes([0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15]))
}

/// `bits` shifted to the left, or to the right where `by` is less than 0, and only the bits of `mask` of each byte kept.
#[inline(always)]
unsafe fn field(bits: __m256i, by: i32, mask: i8) -> __m256i {
    let count = _mm_cvtsi32_si128(by.abs());
    let moved = if by < 0 { _mm256_srl_epi16(bits, count) } else { _mm256_sll_epi16(bits, count) };
    _mm256_and_si256(moved, _mm256_set1_epi8(mask))
}

/// Scales and minimums, for eight groups of 32 each, in six bits each, behind two f16 numbers (`get_scale_min_k4`).
///
/// The 12 bytes are three words: low six bits of scales 0-3 and of minimums 0-3, with the highest two of those of 4-7 above
/// them, then scales and minimums 4-7, four bits each.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn six_bit_pairs(block: *const u8) -> [__m256i; 2] {
    let block = _mm_loadu_si128(block.cast());
    let low = _mm_shuffle_epi8(block, bytes([4, 5, 6, 7, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15]));
    let low = _mm_srlv_epi32(low, _mm_set_epi32(4, 0, 0, 0));
    let low = _mm_and_si128(low, _mm_set_epi32(0x0f0f_0f0f, 0x3f3f_3f3f, 0x0f0f_0f0f, 0x3f3f_3f3f));
    let high = _mm_shuffle_epi8(block, bytes([-1, -1, -1, -1, 4, 5, 6, 7, -1, -1, -1, -1, 8, 9, 10, 11]));
    let high = _mm_and_si128(_mm_srli_epi16(high, 2), _mm_set1_epi8(0x30));
    let pairs = _mm256_cvtepu8_epi16(_mm_or_si128(low, high));
    [_mm256_permute4x64_epi64(pairs, 0b01_00_01_00), _mm256_permute4x64_epi64(pairs, 0b11_10_11_10)]
}

#[allow(non_camel_case_types)]
pub(crate) struct Q2_K;
impl Grouped for Q2_K {
    const BYTES: usize = 84;
    const GROUP: usize = 16;
    const SHIFTED: bool = true;
    const CHAIN: usize = 4; // 4 * 2 * 3 * 127 = 3,048
    const FACTORS: [usize; 2] = [80, 82];

    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn codes(block: *const u8) -> [__m256i; 8] {
        let mut codes = [_mm256_setzero_si256(); 8];
        for (i, codes) in codes.iter_mut().enumerate() {
            *codes = field(load(block.add(16 + i / 4 * 32)), -2 * (i as i32 % 4), 3);
        }
        codes
    }

    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn own(block: *const u8) -> [__m256i; 2] {
        let own = evens_first(_mm_loadu_si128(block.cast()));
        let mask = _mm_set1_epi8(0x0f);
        let minimums = _mm_and_si128(_mm_srli_epi16(own, 4), mask);
        [_mm256_cvtepu8_epi16(_mm_and_si128(own, mask)), _mm256_cvtepu8_epi16(minimums)]
    }
}

#[allow(non_camel_case_types)]
pub(crate) struct Q3_K;
impl Grouped for Q3_K {
    const BYTES: usize = 110;
    const GROUP: usize = 16;
    const OFFSET: Option<i32> = Some(2);
    const CHAIN: usize = 4; // 4 * 2 * 7 * 127 = 7,112
    const FACTORS: [usize; 2] = [108, 108];

    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn codes(block: *const u8) -> [__m256i; 8] {
        let (high, mut codes) = (load(block), [_mm256_setzero_si256(); 8]);
        for (i, codes) in codes.iter_mut().enumerate() {
            let low = field(load(block.add(32 + i / 4 * 32)), -2 * (i as i32 % 4), 3);
            *codes = _mm256_or_si256(low, field(high, 2 - i as i32, 4));
        }
        codes
    }

    /// 12 bytes: the low four bits of the scales 0-7, of 8-15 above them; then two bits each of 0-3, with those of 4-7, 8-11
    /// and 12-15 above.
    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn own(block: *const u8) -> [__m256i; 2] {
        let own = _mm_loadu_si128(block.add(94).cast());
        let low = _mm_shuffle_epi8(own, bytes([2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5, 6, 7, 8, 9]));
        let low = _mm_and_si128(_mm_srlv_epi64(low, _mm_set_epi64x(4, 0)), _mm_set1_epi8(0x0f));
        let high = _mm_shuffle_epi8(own, bytes([10, 11, 12, 13, 10, 11, 12, 13, 10, 11, 12, 13, 10, 11, 12, 13]));
        let high = _mm_and_si128(_mm_srlv_epi32(high, _mm_set_epi32(6, 4, 2, 0)), _mm_set1_epi8(3));
        let scales = _mm_sub_epi8(_mm_or_si128(low, _mm_slli_epi16(high, 4)), _mm_set1_epi8(32));
        [_mm256_cvtepi8_epi16(evens_first(scales)); 2]
    }
}

#[allow(non_camel_case_types)]
pub(crate) struct Q4_K;
impl Grouped for Q4_K {
    const BYTES: usize = 144;
    const GROUP: usize = 32;
    const SHIFTED: bool = true;
    const CHAIN: usize = 8; // 8 * 2 * 15 * 127 = 30,480
    const FACTORS: [usize; 2] = [0, 2];

    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn codes(block: *const u8) -> [__m256i; 8] {
        let mut codes = [_mm256_setzero_si256(); 8];
        for (i, codes) in codes.iter_mut().enumerate() {
            *codes = field(load(block.add(16 + i / 2 * 32)), -4 * (i as i32 % 2), 0x0f);
        }
        codes
    }

    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn own(block: *const u8) -> [__m256i; 2] {
        six_bit_pairs(block)
    }
}

#[allow(non_camel_case_types)]
pub(crate) struct Q5_K;
impl Grouped for Q5_K {
    const BYTES: usize = 176;
    const GROUP: usize = 32;
    const SHIFTED: bool = true;
    const CHAIN: usize = 4; // 4 * 2 * 31 * 127 = 31,496
    const FACTORS: [usize; 2] = [0, 2];

    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn codes(block: *const u8) -> [__m256i; 8] {
        let (high, mut codes) = (load(block.add(16)), [_mm256_setzero_si256(); 8]);
        for (i, codes) in codes.iter_mut().enumerate() {
            let low = field(load(block.add(48 + i / 2 * 32)), -4 * (i as i32 % 2), 0x0f);
            *codes = _mm256_or_si256(low, field(high, 4 - i as i32, 0x10));
        }
        codes
    }

    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn own(block: *const u8) -> [__m256i; 2] {
        six_bit_pairs(block)
    }
}

#[allow(non_camel_case_types)]
pub(crate) struct Q6_K;
impl Grouped for Q6_K {
    const BYTES: usize = 210;
    const GROUP: usize = 16;
    const OFFSET: Option<i32> = Some(5);
    const CHAIN: usize = 2; // 2 * 2 * 63 * 127 = 32,004
    const FACTORS: [usize; 2] = [208, 208];

    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn codes(block: *const u8) -> [__m256i; 8] {
        let mut codes = [_mm256_setzero_si256(); 8];
        for (i, codes) in codes.iter_mut().enumerate() {
            // 128 values share 64 bytes of low codes and 32 of high bits: quarters of 32 values.
            let (half, quarter) = (i / 4, i % 4);
            let low = field(load(block.add(half * 64 + quarter % 2 * 32)), -4 * (quarter as i32 / 2), 0x0f);
            *codes = _mm256_or_si256(low, field(load(block.add(128 + half * 32)), 4 - 2 * quarter as i32, 0x30));
        }
        codes
    }

    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn own(block: *const u8) -> [__m256i; 2] {
        [_mm256_cvtepi8_epi16(evens_first(_mm_loadu_si128(block.add(192).cast()))); 2]
    }
}

pub(crate) struct Iq4Xs;
impl Grouped for Iq4Xs {
    const BYTES: usize = 136;
    const GROUP: usize = 32;
    const SIGNED: bool = true;
    const CHAIN: usize = 1;
    const FACTORS: [usize; 2] = [0, 0];

    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn codes(block: *const u8) -> [__m256i; 8] {
        let mut codes = [_mm256_setzero_si256(); 8];
        for (i, codes) in codes.iter_mut().enumerate() {
            let bytes = _mm_loadu_si128(block.add(8 + i * 16).cast());
            let both = _mm256_set_m128i(_mm_srli_epi16(bytes, 4), bytes);
            *codes = look_up(IQ4_VALUES, _mm256_and_si256(both, _mm256_set1_epi8(0x0f)));
        }
        codes
    }

    /// Two bits each from bytes 2 and 3, four each from bytes 4-7; less 32. A factor of 2^k moves a field to the highest
    /// bits of 16, whence it is shifted down.
    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn own(block: *const u8) -> [__m256i; 2] {
        let block = _mm_loadl_epi64(block.cast());
        let low = _mm_shuffle_epi8(block, bytes([4, -1, 4, -1, 5, -1, 5, -1, 6, -1, 6, -1, 7, -1, 7, -1]));
        let low = _mm_srli_epi16(_mm_mullo_epi16(low, _mm_set1_epi32(0x0100_1000)), 12);
        let high = _mm_shuffle_epi8(block, bytes([2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3]));
        let places = _mm_set_epi16(1, 1 << 2, 1 << 4, 1 << 6, 1 << 8, 1 << 10, 1 << 12, 1 << 14);
        let high = _mm_slli_epi16(_mm_srli_epi16(_mm_mullo_epi16(high, places), 14), 4);
        let scales = _mm_sub_epi16(_mm_or_si128(low, high), _mm_set1_epi16(32));
        [_mm256_broadcastsi128_si256(scales); 2]
    }
}
