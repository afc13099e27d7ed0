//! Integer products of codes and activations: what AVX2 and AVX-VNNI do differently; and sums across vectors.
//!
//! # Safety
//! Every function needs AVX2 (those that read f16 also F16C); pointers lead to what is read.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]
#![allow(clippy::needless_range_loop)] // the plainest form is the one that stays in registers

use std::arch::x86_64::*;

/// Input rows that a tile is multiplied with at a time, at most, and vectors of eight weight rows in a tile.
pub(crate) const INPUTS: usize = 4;
pub(crate) const VECTORS: usize = 2;

/// Sums for each vector of weight rows and each input row.
pub(crate) type Sums<const M: usize> = [[__m256i; M]; VECTORS];

/// The products of one set. Activations are in [-127, 127]. Unsigned codes are at most 63, signed ones in [-128, 127].
///
/// # Safety
/// Each function needs a processor with the set.
pub(crate) trait Arithmetic {
    /// Whether a tile has signed codes as i16; else as u8 with 128 added.
    const WIDE: bool;

    /// Sums of eight products: of four neighbours in `low` and the four in `high`. Unsigned codes are at most 31.
    ///
    /// # Safety
    /// As the trait says.
    unsafe fn dot(signed: bool, codes: [__m256i; 2], values: [__m256i; 2]) -> __m256i;

    /// `sum` and, in each lane, four products of neighbours, those of either half of a group of 16 with its factor of
    /// `factors` (i16, one for two neighbours).
    ///
    /// # Safety
    /// As the trait says.
    unsafe fn add_scaled(signed: bool, sum: __m256i, codes: __m256i, values: __m256i, factors: __m256i) -> __m256i;

    /// What [`Arithmetic::add_group`] takes as factors, from pairs of i16: of the first or the second of each pair.
    ///
    /// # Safety
    /// As the trait says.
    unsafe fn factors(pairs: __m256i, second: bool) -> __m256i;

    /// Adds to `sums` the products of a group of a tile: `steps` times four columns of [`VECTORS`] times eight weight rows,
    /// four neighbours in a lane; with each row's factor, or as they are. `chain` vectors of products of two neighbours fit
    /// in i16.
    ///
    /// # Safety
    /// As the trait says; `tile` is `steps * VECTORS` vectors, aligned, and each of `values` leads to `4 * steps` values.
    unsafe fn add_group<const M: usize>(
        sums: &mut Sums<M>,
        shape: (usize, usize),
        tile: *const __m256i,
        values: [*const i8; M],
        factors: Option<[__m256i; VECTORS]>,
    );
}

/// AVX2: `vpmaddubsw` adds two products in i16, with saturation, `vpmaddwd` widens.
pub(crate) struct Avx2;

/// Products of signed codes as products of an unsigned and a signed number: |code| and the value with the code's sign.
/// |-128| is 128 as u8; a value is never -128, so its negative is right.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn unsign(codes: __m256i, values: __m256i) -> (__m256i, __m256i) {
    (_mm256_abs_epi8(codes), _mm256_sign_epi8(values, codes))
}

/// Four neighbouring bytes, in every lane.
#[inline(always)]
pub(crate) unsafe fn four(values: *const i8) -> __m256i {
    _mm256_set1_epi32(values.cast::<i32>().read_unaligned())
}

impl Arithmetic for Avx2 {
    const WIDE: bool = true;

    /// In i16: unsigned, 4 * 31 * 127 = 15,748; signed, 2 * 128 * 127 = 32,512, which leaves no room for another.
    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn dot(signed: bool, codes: [__m256i; 2], values: [__m256i; 2]) -> __m256i {
        let ones = _mm256_set1_epi16(1);
        if !signed {
            let low = _mm256_maddubs_epi16(codes[0], values[0]);
            return _mm256_madd_epi16(_mm256_add_epi16(low, _mm256_maddubs_epi16(codes[1], values[1])), ones);
        }
        let ((low, low_values), (high, high_values)) = (unsign(codes[0], values[0]), unsign(codes[1], values[1]));
        let low = _mm256_madd_epi16(_mm256_maddubs_epi16(low, low_values), ones);
        _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_maddubs_epi16(high, high_values), ones))
    }

    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn add_scaled(signed: bool, sum: __m256i, codes: __m256i, values: __m256i, factors: __m256i) -> __m256i {
        let (codes, values) = if signed { unsign(codes, values) } else { (codes, values) };
        _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(codes, values), factors))
    }

    /// The one in both halves of a lane.
    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn factors(pairs: __m256i, second: bool) -> __m256i {
        let places = if second {
            0x0f0e_0f0e_0b0a_0b0a_0706_0706_0302_0302_u128
        } else {
            0x0d0c_0d0c_0908_0908_0504_0504_0100_0100
        };
        let places: __m128i = std::mem::transmute(places);
        _mm256_shuffle_epi8(pairs, _mm256_broadcastsi128_si256(places))
    }

    // SAFETY: as the module says.
    #[inline(always)]
    unsafe fn add_group<const M: usize>(
        sums: &mut Sums<M>,
        (steps, chain): (usize, usize),
        tile: *const __m256i,
        values: [*const i8; M],
        factors: Option<[__m256i; VECTORS]>,
    ) {
        let factors = factors.unwrap_or([_mm256_set1_epi16(1); VECTORS]);
        for start in (0..steps).step_by(chain) {
            let mut short = [[_mm256_setzero_si256(); M]; VECTORS];
            for step in start..start + chain {
                for m in 0..M {
                    let four = four(values[m].add(step * 4));
                    for v in 0..VECTORS {
                        let products = _mm256_maddubs_epi16(_mm256_load_si256(tile.add(step * VECTORS + v)), four);
                        short[v][m] = _mm256_add_epi16(short[v][m], products);
                    }
                }
            }
            for m in 0..M {
                for v in 0..VECTORS {
                    sums[v][m] = _mm256_add_epi32(sums[v][m], _mm256_madd_epi16(short[v][m], factors[v]));
                }
            }
        }
    }
}

/// Of eight vectors, the sums of each half's lanes: in the first vector those of the lower halves, in the second those of
/// the upper ones.
///
/// # Safety
/// Needs AVX2.
#[inline(always)]
pub(crate) unsafe fn sums_of_halves(vectors: [__m256i; 8]) -> [__m256i; 2] {
    let [a, b, c, d, e, f, g, h] = vectors;
    let low = fold_pairs(fold_halves(a, c), fold_halves(b, d));
    let high = fold_pairs(fold_halves(e, g), fold_halves(f, h));
    [_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31)]
}

/// Of eight vectors, the sum of each one's lanes.
///
/// # Safety
/// Needs AVX2.
#[inline(always)]
pub(crate) unsafe fn sums_of_all(vectors: [__m256i; 8]) -> __m256i {
    let [lower, upper] = sums_of_halves(vectors);
    _mm256_add_epi32(lower, upper)
}

/// In each half: x0 + x2, x1 + x3, y0 + y2, y1 + y3.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn fold_halves(x: __m256i, y: __m256i) -> __m256i {
    _mm256_add_epi32(_mm256_blend_epi32(x, y, 0b1100_1100), _mm256_alignr_epi8(y, x, 8))
}

/// In each half: x0 + x1, y0 + y1, x2 + x3, y2 + y3.
#[inline(always)]
unsafe fn fold_pairs(x: __m256i, y: __m256i) -> __m256i {
    let crossed = _mm256_shuffle_epi32(_mm256_blend_epi32(x, y, 0b0101_0101), 0b10_11_00_01);
    _mm256_add_epi32(_mm256_blend_epi32(x, y, 0b1010_1010), crossed)
}

/// Eight vectors of eight lanes, rows made columns.
///
/// # Safety
/// Needs AVX2.
#[inline(always)]
pub(crate) unsafe fn transpose(rows: [__m256i; 8]) -> [__m256i; 8] {
    let [a, b, c, d, e, f, g, h] = rows;
    let (low, high) = (transpose_halves([a, b, c, d]), transpose_halves([e, f, g, h]));
    let mut columns = [a; 8];
    for i in 0..4 {
        columns[i] = _mm256_permute2x128_si256(low[i], high[i], 0x20);
        columns[i + 4] = _mm256_permute2x128_si256(low[i], high[i], 0x31);
    }
    columns
}

/// Four vectors, each half's rows made columns.
// SAFETY: as the module says.
#[inline(always)]
unsafe fn transpose_halves([a, b, c, d]: [__m256i; 4]) -> [__m256i; 4] {
    let (ab_low, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let (cd_low, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    [
        _mm256_unpacklo_epi64(ab_low, cd_low),
        _mm256_unpackhi_epi64(ab_low, cd_low),
        _mm256_unpacklo_epi64(ab_high, cd_high),
        _mm256_unpackhi_epi64(ab_high, cd_high),
    ]
}

// SAFETY: as the module says.
#[inline(always)]
unsafe fn word(place: *const u8) -> i32 {
    place.cast::<u16>().read_unaligned().into()
}

/// Eight numbers of 16 bits, as f32.
///
/// # Safety
/// Needs F16C; each of `places` leads to two bytes.
#[inline(always)]
pub(crate) unsafe fn halves(places: [*const u8; 8]) -> __m256 {
    let mut bits = _mm_cvtsi32_si128(word(places[0]));
    bits = _mm_insert_epi16(bits, word(places[1]), 1);
    bits = _mm_insert_epi16(bits, word(places[2]), 2);
    bits = _mm_insert_epi16(bits, word(places[3]), 3);
    bits = _mm_insert_epi16(bits, word(places[4]), 4);
    bits = _mm_insert_epi16(bits, word(places[5]), 5);
    bits = _mm_insert_epi16(bits, word(places[6]), 6);
    bits = _mm_insert_epi16(bits, word(places[7]), 7);
    _mm256_cvtph_ps(bits)
}
