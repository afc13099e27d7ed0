//! How the formats with blocks of 256 are unpacked.
#![allow(unsafe_code, non_camel_case_types)] // registers of a set that the caller has; formats have their own names
#![allow(clippy::needless_range_loop)] // several arrays are walked side by side

use std::arch::x86_64::*;

use super::block::{IQ4_TABLE, look_up};
use super::super_block::{Block, Own, PARTS, SUMS, Super};
use super::tile::{Tile, half, high, high_half, low, pattern, shuffle};

/// The six-bit scales and minimums of the header that Q4_K and Q5_K share, and the sixteen rows' scale and minimum.
///
/// # Safety
/// The header's sixteen bytes from `at` on are in the rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn header(tile: &Tile, at: usize, out: &mut Block, own: impl Fn(__m512i) -> __m512i) {
    // SAFETY: the caller's promise.
    let [scales, a, b, c] = unsafe { tile.piece(at) };
    (out.scale, out.minimum) = (half(scales), high_half(scales));
    let six = _mm512_set1_epi8(63);
    let top = |word: __m512i| _mm512_and_si512(_mm512_srli_epi16::<2>(word), _mm512_set1_epi8(0x30));
    let own_scales = [_mm512_and_si512(a, six), _mm512_or_si512(low(c), top(a))];
    let own_minimums = [_mm512_and_si512(b, six), _mm512_or_si512(high(c), top(b))];
    for part in 0..PARTS {
        out.own[part] = own(shuffle(own_scales[part / 4], &BYTE[part % 4]));
        out.own_minimums[part] = shuffle(own_minimums[part / 4], &TWICE[part % 4]);
    }
}

/// Patterns: a byte alone; as the low byte of both halves of a lane; as the high byte of both; as the highest of all.
const BYTE: [[i8; 16]; 4] = [alone(0), alone(1), alone(2), alone(3)];
const TWICE: [[i8; 16]; 4] = [twice(0), twice(1), twice(2), twice(3)];
const TWICE_HIGH: [[i8; 16]; 4] = [twice_high(0), twice_high(1), twice_high(2), twice_high(3)];
const HIGHEST: [[i8; 16]; 4] = [highest(0), highest(1), highest(2), highest(3)];
/// Two bytes, each in a half of a lane.
const PAIR: [[i8; 16]; 2] = [pattern([0, -1, 1, -1]), pattern([2, -1, 3, -1])];

const fn alone(byte: i8) -> [i8; 16] {
    pattern([byte, -1, -1, -1])
}

const fn twice(byte: i8) -> [i8; 16] {
    pattern([byte, -1, byte, -1])
}

const fn twice_high(byte: i8) -> [i8; 16] {
    pattern([-1, byte, -1, byte])
}

const fn highest(byte: i8) -> [i8; 16] {
    pattern([-1, -1, -1, byte])
}

/// `bytes` with bits `mask` of `others` put in.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn with_bits(bytes: __m512i, others: __m512i, mask: i8) -> __m512i {
    // bytes | (others & mask)
    _mm512_ternarylogic_epi32::<0xf8>(bytes, others, _mm512_set1_epi8(mask))
}

/// Each byte moved up by `UP` bits, or down where that is negative; bits of the next byte come in.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn moved(bytes: __m512i, up: i32) -> __m512i {
    match up {
        4 => _mm512_slli_epi16::<4>(bytes),
        3 => _mm512_slli_epi16::<3>(bytes),
        2 => _mm512_slli_epi16::<2>(bytes),
        1 => _mm512_slli_epi16::<1>(bytes),
        -1 => _mm512_srli_epi16::<1>(bytes),
        -2 => _mm512_srli_epi16::<2>(bytes),
        -3 => _mm512_srli_epi16::<3>(bytes),
        -4 => _mm512_srli_epi16::<4>(bytes),
        -5 => _mm512_srli_epi16::<5>(bytes),
        -6 => _mm512_srli_epi16::<6>(bytes),
        _ => bytes,
    }
}

/// Calls a function for each pair of constants: shifts and patterns are then constants, too.
macro_rules! for_each {
    ($function:ident $arguments:tt: $($first:literal $second:literal),*) => {
        { $( $function::<$first, $second> $arguments; )* }
    };
}

macro_rules! super_block {
    ($name:ident, $bytes:literal, $own:expr, $offset:literal, $minimum:literal, $unpack:path) => {
        #[derive(Clone, Copy)]
        pub struct $name;
        impl Super for $name {
            const BYTES: usize = $bytes;
            const OWN: Own = $own;
            const OFFSET: i16 = $offset;
            const MINIMUM: bool = $minimum;

            /// # Safety
            /// As the trait says.
            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
            unsafe fn unpack(tile: &Tile, at: usize, out: &mut Block) {
                // SAFETY: the caller's promise.
                unsafe { $unpack(tile, at, out) }
            }
        }
    };
}

super_block!(Q2_K, 84, Own::Inside, 0, true, q2_k);
super_block!(Q3_K, 110, Own::Inside, 124, false, q3_k);
super_block!(Q4_K, 144, Own::Float, 0, true, q4_k);
super_block!(Q5_K, 176, Own::Of32, 0, true, q5_k);
super_block!(Q6_K, 210, Own::Of16, 32, false, q6_k);
super_block!(Iq4Xs, 136, Own::Of32, 128, false, iq4_xs);

/// Codes are at most 3 and scales 15, so that their product fits in a byte, and a 16-bit product is that of both its bytes.
///
/// # Safety
/// As [`Super::unpack`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn q2_k(tile: &Tile, at: usize, out: &mut Block) {
    // SAFETY: the caller's promise.
    let (scales, halves) = unsafe { (tile.piece(at), tile.word(at + 80)) };
    (out.scale, out.minimum) = (half(halves), high_half(halves));
    for pair in 0..SUMS / 2 {
        out.own_minimums[pair] = shuffle(high(scales[pair / 2]), &PAIR[pair % 2]);
    }
    let scales = scales.map(|scales| low(scales));
    // SAFETY: the caller's promise.
    unsafe { for_each!(q2_piece(tile, at + 16, &scales, out): 0 0, 0 1, 1 0, 1 1) };
}

/// The codes of two parts in three of 128 columns, of the first or second 16 of each 32.
///
/// # Safety
/// As [`Super::unpack`]; the codes are from `at` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn q2_piece<const HALF: usize, const COLUMN: usize>(
    tile: &Tile,
    at: usize,
    scales: &[__m512i; 4],
    out: &mut Block,
) {
    // SAFETY: the caller's promise.
    let codes = unsafe { tile.piece(at + HALF * 32 + COLUMN * 16) };
    let three = _mm512_set1_epi8(3);
    let scale = |quarter: usize| shuffle(scales[HALF * 2 + quarter / 2], &TWICE[quarter % 2 * 2 + COLUMN]);
    let scales = [scale(0), scale(1), scale(2), scale(3)];
    for (word, codes) in codes.into_iter().enumerate() {
        let place = COLUMN * 4 + word;
        let quarters = [codes, moved(codes, -2), moved(codes, -4), moved(codes, -6)];
        for (quarter, codes) in quarters.into_iter().enumerate() {
            let codes = _mm512_and_si512(codes, three);
            out.codes[HALF * 4 + quarter][place] = _mm512_mullo_epi16(codes, scales[quarter]);
        }
    }
}

/// Codes are from -4 to 3 and scales from -32 to 31: with 124 added their products are from 0 to 252, and fit in a byte.
///
/// # Safety
/// As [`Super::unpack`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn q3_k(tile: &Tile, at: usize, out: &mut Block) {
    // SAFETY: the caller's promise; the scales' words are bytes 96 to 108.
    let (words, halves) =
        unsafe { ([tile.word(at + 96), tile.word(at + 100), tile.word(at + 104)], tile.word(at + 106)) };
    out.scale = high_half(halves);
    let six = |four, two| _mm512_sub_epi8(with_bits(four, two, 0x30), _mm512_set1_epi8(32));
    let scales = [
        six(low(words[0]), moved(words[2], 4)),
        six(low(words[1]), moved(words[2], 2)),
        six(high(words[0]), words[2]),
        six(high(words[1]), moved(words[2], -2)),
    ];
    // SAFETY: the caller's promise.
    unsafe { for_each!(q3_piece(tile, at, &scales, out): 0 0, 0 1, 1 0, 1 1) };
}

/// As [`q2_piece`]; the third bits of the codes are from `at` on.
///
/// # Safety
/// As [`Super::unpack`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn q3_piece<const HALF: usize, const COLUMN: usize>(
    tile: &Tile,
    at: usize,
    scales: &[__m512i; 4],
    out: &mut Block,
) {
    // SAFETY: the caller's promise.
    let (codes, thirds) = unsafe { (tile.piece(at + 32 + HALF * 32 + COLUMN * 16), tile.piece(at + COLUMN * 16)) };
    let scale = |quarter: usize| {
        let pattern = &TWICE_HIGH[quarter % 2 * 2 + COLUMN];
        _mm512_srai_epi16::<8>(shuffle(scales[HALF * 2 + quarter / 2], pattern))
    };
    let scales = [scale(0), scale(1), scale(2), scale(3)];
    // (code - 4) * scale + 124 = code * scale + (124 - 4 * scale), for both bytes of 16 bits.
    let rest = scales.map(|scale| {
        let four = _mm512_mullo_epi16(scale, _mm512_set1_epi16(4 * 257));
        _mm512_sub_epi16(_mm512_set1_epi16(124 * 257), four)
    });
    for word in 0..4 {
        let (code, third, place) = (codes[word], thirds[word], COLUMN * 4 + word);
        let codes = [code, moved(code, -2), moved(code, -4), moved(code, -6)];
        let thirds = if HALF == 0 {
            [moved(third, 2), moved(third, 1), third, moved(third, -1)]
        } else {
            [moved(third, -2), moved(third, -3), moved(third, -4), moved(third, -5)]
        };
        for quarter in 0..4 {
            let code = _mm512_and_si512(codes[quarter], _mm512_set1_epi8(3));
            let product = _mm512_mullo_epi16(with_bits(code, thirds[quarter], 4), scales[quarter]);
            out.codes[HALF * 4 + quarter][place] = _mm512_add_epi16(product, rest[quarter]);
        }
    }
}

/// # Safety
/// As [`Super::unpack`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn q4_k(tile: &Tile, at: usize, out: &mut Block) {
    // SAFETY: the caller's promise.
    unsafe { header(tile, at, out, |own| _mm512_castps_si512(_mm512_cvtepi32_ps(own))) };
    for piece in 0..8 {
        // SAFETY: the caller's promise.
        let codes = unsafe { tile.piece(at + 16 + piece * 16) };
        for (word, codes) in codes.iter().enumerate() {
            out.codes[piece / 2 * 2][piece % 2 * 4 + word] = low(*codes);
            out.codes[piece / 2 * 2 + 1][piece % 2 * 4 + word] = high(*codes);
        }
    }
}

/// # Safety
/// As [`Super::unpack`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn q5_k(tile: &Tile, at: usize, out: &mut Block) {
    // SAFETY: the caller's promise.
    unsafe {
        header(tile, at, out, |own| own);
        for_each!(q5_piece(tile, at + 16, out): 0 0, 0 1, 2 0, 2 1, 4 0, 4 1, 6 0, 6 1);
    }
}

/// Two parts' codes, of the first or second 16 of each 32 columns.
///
/// # Safety
/// As [`Super::unpack`]; the fifth bits are from `at` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn q5_piece<const PART: usize, const COLUMN: usize>(tile: &Tile, at: usize, out: &mut Block) {
    // SAFETY: the caller's promise.
    let (codes, fifths) = unsafe { (tile.piece(at + 32 + PART * 16 + COLUMN * 16), tile.piece(at + COLUMN * 16)) };
    for (word, (codes, bits)) in codes.into_iter().zip(fifths).enumerate() {
        let place = COLUMN * 4 + word;
        out.codes[PART][place] = with_bits(low(codes), moved(bits, 4 - PART as i32), 16);
        out.codes[PART + 1][place] = with_bits(high(codes), moved(bits, 3 - PART as i32), 16);
    }
}

/// # Safety
/// As [`Super::unpack`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn q6_k(tile: &Tile, at: usize, out: &mut Block) {
    // SAFETY: the caller's promise; the scale is the high half of bytes 206 to 210.
    let (scales, halves) = unsafe { (tile.piece(at + 192), tile.word(at + 206)) };
    out.scale = high_half(halves);
    for group in 0..SUMS {
        out.own[group] = _mm512_srai_epi32::<24>(shuffle(scales[group / 4], &HIGHEST[group % 4]));
    }
    // SAFETY: the caller's promise.
    unsafe { for_each!(q6_piece(tile, at, out): 0 0, 0 1, 1 0, 1 1) };
}

/// The codes of 128 columns, of the first or second 16 of each 32.
///
/// # Safety
/// As [`Super::unpack`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn q6_piece<const HALF: usize, const COLUMN: usize>(tile: &Tile, at: usize, out: &mut Block) {
    // SAFETY: the caller's promise.
    let (first, second, tops) = unsafe {
        let lows = at + HALF * 64 + COLUMN * 16;
        (tile.piece(lows), tile.piece(lows + 32), tile.piece(at + 128 + HALF * 32 + COLUMN * 16))
    };
    for word in 0..4 {
        let (first, second, top) = (first[word], second[word], tops[word]);
        let (part, place) = (HALF * 4, COLUMN * 4 + word);
        out.codes[part][place] = with_bits(low(first), moved(top, 4), 0x30);
        out.codes[part + 1][place] = with_bits(low(second), moved(top, 2), 0x30);
        out.codes[part + 2][place] = with_bits(high(first), top, 0x30);
        out.codes[part + 3][place] = with_bits(high(second), moved(top, -2), 0x30);
    }
}

/// # Safety
/// As [`Super::unpack`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn iq4_xs(tile: &Tile, at: usize, out: &mut Block) {
    // SAFETY: the caller's promise.
    let (halves, lows) = unsafe { (tile.word(at), tile.word(at + 4)) };
    out.scale = half(halves);
    let (mut fours, mut twos) = (lows, _mm512_srli_epi32::<16>(halves));
    for part in 0..PARTS {
        let four = _mm512_and_si512(fours, _mm512_set1_epi32(15));
        let two = _mm512_and_si512(twos, _mm512_set1_epi32(3));
        let six = _mm512_or_si512(four, _mm512_slli_epi32::<4>(two));
        out.own[part] = _mm512_sub_epi32(six, _mm512_set1_epi32(32));
        (fours, twos) = (_mm512_srli_epi32::<4>(fours), _mm512_srli_epi32::<2>(twos));
        // SAFETY: the caller's promise.
        let codes = unsafe { tile.piece(at + 8 + part * 16) };
        for (word, codes) in codes.into_iter().enumerate() {
            out.codes[part][word] = look_up(&IQ4_TABLE, low(codes));
            out.codes[part][4 + word] = look_up(&IQ4_TABLE, high(codes));
        }
    }
}
