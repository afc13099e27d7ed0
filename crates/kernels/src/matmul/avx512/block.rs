//! Formats with blocks of 32.
#![allow(unsafe_code, non_camel_case_types)] // registers of a set that the caller has; formats have their own names

use std::arch::x86_64::*;

use super::panel::{COLUMNS, Panel, Side};
use super::tile::{Tile, half, high, high_half, in_order, low, pattern, quarters, shuffle, table};
use crate::dequantize::{IQ4_VALUES, MXFP4_VALUES};
use crate::format::BLOCK;

/// Registers that hold a block of sixteen rows.
const WORDS: usize = BLOCK / 4;
/// Blocks in a panel.
const BLOCKS: usize = COLUMNS / BLOCK;

/// How a format's blocks are unpacked.
pub trait Block: Copy {
    const BYTES: usize;
    /// What is added to each code, so that it has no sign.
    const OFFSET: i16;
    /// Whether a block has a minimum.
    const MINIMUM: bool;

    /// Scale, minimum (0 where there is none), and the codes, four of each row in a register, of the block from byte `at` on.
    ///
    /// # Safety
    /// It is in the rows; the processor has the set.
    unsafe fn unpack(tile: &Tile, at: usize) -> (__m512, __m512, [__m512i; WORDS]);
}

/// Blocks of sixteen rows.
#[derive(Clone, Copy)]
pub struct Blocks<B> {
    codes: [[__m512i; WORDS]; BLOCKS],
    scales: [__m512; BLOCKS],
    minimums: [__m512; BLOCKS],
    format: std::marker::PhantomData<B>,
}

impl<B: Block> Panel for Blocks<B> {
    const BLOCK: usize = BLOCK;
    const BYTES: usize = B::BYTES;

    /// # Safety
    /// As the trait says.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn empty() -> Self {
        let codes = [[_mm512_setzero_si512(); WORDS]; BLOCKS];
        let scales = [_mm512_setzero_ps(); BLOCKS];
        Blocks { codes, scales, minimums: scales, format: std::marker::PhantomData }
    }

    /// # Safety
    /// As the trait says.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn unpack(&mut self, tile: &Tile, at: usize, blocks: usize) {
        for b in 0..blocks.min(BLOCKS) {
            // SAFETY: the caller's promise.
            (self.scales[b], self.minimums[b], self.codes[b]) = unsafe { B::unpack(tile, at + b * B::BYTES) };
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
        // SAFETY: the caller's promise: the sides' values, scales and sums are those of `blocks` blocks, and their sums may
        // be read as far as 256 columns have them.
        unsafe {
            let mut accs = *sums;
            let own: [[i32; BLOCKS]; T] = std::array::from_fn(|t| block_sums(sides[t].sums, -B::OFFSET));
            let plain: [[i32; BLOCKS]; T] =
                if B::MINIMUM { std::array::from_fn(|t| block_sums(sides[t].sums, 1)) } else { own };
            for b in 0..blocks.min(BLOCKS) {
                let mut dots: [[__m512i; P]; T] = std::array::from_fn(|t| [_mm512_set1_epi32(own[t][b]); P]);
                for word in 0..WORDS {
                    for t in 0..T {
                        let values = sides[t].values.add(b * BLOCK + word * 4).cast::<i32>().read_unaligned();
                        let values = _mm512_set1_epi32(values);
                        for p in 0..P {
                            dots[t][p] = _mm512_dpbusd_epi32(dots[t][p], panels[p].codes[b][word], values);
                            if P * T > 2 {
                                in_order(&mut dots[t][p]);
                            }
                        }
                    }
                }
                for t in 0..T {
                    let scale = _mm512_set1_ps(*sides[t].scales.add(b));
                    for p in 0..P {
                        let dot = _mm512_cvtepi32_ps(dots[t][p]);
                        let mut product = _mm512_mul_ps(_mm512_mul_ps(panels[p].scales[b], scale), dot);
                        if B::MINIMUM {
                            let sum = _mm512_set1_ps(plain[t][b] as f32);
                            let minimum = _mm512_mul_ps(_mm512_mul_ps(panels[p].minimums[b], scale), sum);
                            product = _mm512_add_ps(product, minimum);
                        }
                        accs[t][p] = _mm512_add_ps(accs[t][p], product);
                    }
                }
            }
            *sums = accs;
        }
    }
}

/// The activations' sums of each 32 columns, times `factor`.
///
/// # Safety
/// `sums` points to 16 sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn block_sums(sums: *const i16, factor: i16) -> [i32; BLOCKS] {
    let mut out = [0; BLOCKS];
    // SAFETY: the caller's promise; `out` is as long as a register.
    unsafe {
        let sums = _mm256_madd_epi16(_mm256_loadu_si256(sums.cast()), _mm256_set1_epi16(factor));
        _mm256_storeu_si256(out.as_mut_ptr().cast(), sums);
    }
    out
}

/// Low four bits of the sixteen bytes from `at` on, then high ones, each through `value`.
///
/// # Safety
/// The bytes are in the rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn nibbles(tile: &Tile, at: usize, value: impl Fn(__m512i) -> __m512i) -> [__m512i; WORDS] {
    // SAFETY: the caller's promise.
    let [a, b, c, d] = unsafe { tile.piece(at) };
    [low(a), low(b), low(c), low(d), high(a), high(b), high(c), high(d)].map(value)
}

/// The codes with the fifth bits of `bits` (bit `i` for code `i`) on top.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn with_fifths(codes: [__m512i; WORDS], bits: __m512i) -> [__m512i; WORDS] {
    // Eight codes have their bits in one byte: the first word in its low half.
    const BYTES: [[i8; 16]; 4] = [pattern([0; 4]), pattern([1; 4]), pattern([2; 4]), pattern([3; 4])];
    let (first, second) = (_mm512_set1_epi32(0x0804_0201), _mm512_set1_epi32(0x8040_2010_u32 as i32));
    let mut out = codes;
    for (word, out) in out.iter_mut().enumerate() {
        let byte = shuffle(bits, &BYTES[word / 2]);
        let mask = _mm512_test_epi8_mask(byte, if word % 2 == 0 { first } else { second });
        *out = _mm512_mask_add_epi8(*out, mask, *out, _mm512_set1_epi8(16));
    }
    out
}

/// IQ4_NL's values with 128 added.
pub const IQ4_TABLE: [i8; 16] = table(&IQ4_VALUES, 128);
const MXFP4_TABLE: [i8; 16] = table(&MXFP4_VALUES, 12);

/// A table's values, by the bytes of `codes`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub fn look_up(table: &[i8; 16], codes: __m512i) -> __m512i {
    _mm512_shuffle_epi8(quarters(table), codes)
}

macro_rules! block {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $offset:literal, $minimum:literal, |$tile:ident, $at:ident| $unpack:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name;
        impl Block for $name {
            const BYTES: usize = $bytes;
            const OFFSET: i16 = $offset;
            const MINIMUM: bool = $minimum;

            /// # Safety
            /// As the trait says.
            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
            unsafe fn unpack($tile: &Tile, $at: usize) -> (__m512, __m512, [__m512i; WORDS]) {
                // SAFETY: every byte that is read is in the block.
                unsafe { $unpack }
            }
        }
    };
}

block!(Q4_0, 18, 8, false, |tile, at| {
    (half(tile.word(at)), _mm512_setzero_ps(), nibbles(tile, at + 2, |codes| codes))
});
block!(Q4_1, 20, 0, true, |tile, at| {
    let scales = tile.word(at);
    (half(scales), high_half(scales), nibbles(tile, at + 4, |codes| codes))
});
block!(Q5_0, 22, 16, false, |tile, at| {
    let codes = with_fifths(nibbles(tile, at + 6, |codes| codes), tile.word(at + 2));
    (half(tile.word(at)), _mm512_setzero_ps(), codes)
});
block!(Q5_1, 24, 0, true, |tile, at| {
    let scales = tile.word(at);
    let codes = with_fifths(nibbles(tile, at + 8, |codes| codes), tile.word(at + 4));
    (half(scales), high_half(scales), codes)
});
block!(Q8_0, 34, 128, false, |tile, at| {
    let ([a, b, c, d], [e, f, g, h]) = (tile.piece(at + 2), tile.piece(at + 18));
    let codes = [a, b, c, d, e, f, g, h].map(|codes| _mm512_xor_si512(codes, _mm512_set1_epi8(-128)));
    (half(tile.word(at)), _mm512_setzero_ps(), codes)
});
block!(Iq4Nl, 18, 128, false, |tile, at| {
    let codes = nibbles(tile, at + 2, |codes| look_up(&IQ4_TABLE, codes));
    (half(tile.word(at)), _mm512_setzero_ps(), codes)
});
block!(Mxfp4, 17, 12, false, |tile, at| {
    let codes = nibbles(tile, at + 1, |codes| look_up(&MXFP4_TABLE, codes));
    let exponent = _mm512_and_si512(tile.word(at), _mm512_set1_epi32(0xff));
    (half_power_of_two(exponent), _mm512_setzero_ps(), codes)
});

/// As the specification's: 2^(exponent - 128), the two smallest of which have no exponent of their own in an f32.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn half_power_of_two(exponent: __m512i) -> __m512 {
    let plain = _mm512_slli_epi32::<23>(_mm512_sub_epi32(exponent, _mm512_set1_epi32(1)));
    let small = _mm512_sllv_epi32(_mm512_set1_epi32(0x0020_0000), exponent);
    let is_small = _mm512_cmplt_epi32_mask(exponent, _mm512_set1_epi32(2));
    _mm512_castsi512_ps(_mm512_mask_mov_epi32(plain, is_small, small))
}
