//! Sixteen f32 in the vector registers of x86-64.

use std::arch::x86_64::*;

use super::lanes::{LANES, Lanes};

/// Intrinsics, without a word at each.
macro_rules! x86 {
    ($body:expr) => {{
        // SAFETY: code that is generic over `Lanes` is compiled with these types only for the tables of sets that have the
        // instructions, and is reached only through those. Pointers come from references to as many bytes as are moved.
        #[allow(unsafe_code)]
        unsafe {
            $body
        }
    }};
}

/// Two registers of eight.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256, __m256);

/// One register of sixteen.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

/// 8 + 8 (already done), 4 + 4, 2 + 2, 1 + 1.
#[inline(always)]
fn fold_eight(eight: __m256) -> f32 {
    x86!({
        let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    })
}

#[inline(always)]
fn fetch(byte: &u8) {
    x86!(_mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast()));
}

impl Lanes for Avx2 {
    const WIDE: bool = false;

    #[inline(always)]
    fn all(value: f32) -> Avx2 {
        x86!(Avx2(_mm256_set1_ps(value), _mm256_set1_ps(value)))
    }

    #[inline(always)]
    fn load(values: &[f32; LANES]) -> Avx2 {
        x86!(Avx2(_mm256_loadu_ps(values.as_ptr()), _mm256_loadu_ps(values.as_ptr().add(8))))
    }

    #[inline(always)]
    fn store(self, out: &mut [f32; LANES]) {
        x86!({
            _mm256_storeu_ps(out.as_mut_ptr(), self.0);
            _mm256_storeu_ps(out.as_mut_ptr().add(8), self.1);
        })
    }

    #[inline(always)]
    fn fetch(byte: &u8) {
        fetch(byte);
    }

    #[inline(always)]
    fn half(half: u16) -> f32 {
        x86!(_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(half)))))
    }

    #[inline(always)]
    fn halves(bytes: &[u8; 2 * LANES]) -> Avx2 {
        x86!({
            let halves: *const __m128i = bytes.as_ptr().cast();
            Avx2(_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_cvtph_ps(_mm_loadu_si128(halves.add(1))))
        })
    }

    #[inline(always)]
    fn to_halves(self) -> [u8; 2 * LANES] {
        let mut out = [0; 2 * LANES];
        x86!({
            let halves: *mut __m128i = out.as_mut_ptr().cast();
            _mm_storeu_si128(halves, _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.0));
            _mm_storeu_si128(halves.add(1), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.1));
        });
        out
    }

    #[inline(always)]
    fn codes(bytes: &[u8; LANES]) -> Avx2 {
        x86!({
            let codes = _mm_loadu_si128(bytes.as_ptr().cast());
            Avx2::from_codes(codes)
        })
    }

    #[inline(always)]
    fn nibbles(bytes: &[u8; LANES]) -> (Avx2, Avx2) {
        let (low, high) = nibbles(bytes);
        (Avx2::from_codes(low), Avx2::from_codes(high))
    }

    #[inline(always)]
    fn plus(self, other: Avx2) -> Avx2 {
        x86!(Avx2(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)))
    }

    #[inline(always)]
    fn times(self, other: Avx2) -> Avx2 {
        x86!(Avx2(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)))
    }

    #[inline(always)]
    fn fused(self, factor: Avx2, addend: Avx2) -> Avx2 {
        x86!(Avx2(_mm256_fmadd_ps(self.0, factor.0, addend.0), _mm256_fmadd_ps(self.1, factor.1, addend.1)))
    }

    #[inline(always)]
    fn fold(self) -> f32 {
        fold_eight(x86!(_mm256_add_ps(self.0, self.1)))
    }
}

impl Avx2 {
    #[inline(always)]
    fn from_codes(codes: __m128i) -> Avx2 {
        x86!({
            let high = _mm_unpackhi_epi64(codes, codes);
            Avx2(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes)), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(high)))
        })
    }
}

/// Sixteen signed codes of the low four bits, sixteen of the high.
#[inline(always)]
fn nibbles(bytes: &[u8; LANES]) -> (__m128i, __m128i) {
    x86!({
        let (mask, eight) = (_mm_set1_epi8(0x0f), _mm_set1_epi8(8));
        let bytes = _mm_loadu_si128(bytes.as_ptr().cast());
        let low = _mm_sub_epi8(_mm_and_si128(bytes, mask), eight);
        (low, _mm_sub_epi8(_mm_and_si128(_mm_srli_epi16::<4>(bytes), mask), eight))
    })
}

impl Lanes for Avx512 {
    const WIDE: bool = true;

    #[inline(always)]
    fn all(value: f32) -> Avx512 {
        x86!(Avx512(_mm512_set1_ps(value)))
    }

    #[inline(always)]
    fn load(values: &[f32; LANES]) -> Avx512 {
        x86!(Avx512(_mm512_loadu_ps(values.as_ptr())))
    }

    #[inline(always)]
    fn store(self, out: &mut [f32; LANES]) {
        x86!(_mm512_storeu_ps(out.as_mut_ptr(), self.0))
    }

    #[inline(always)]
    fn fetch(byte: &u8) {
        fetch(byte);
    }

    #[inline(always)]
    fn half(half: u16) -> f32 {
        <Avx2 as Lanes>::half(half)
    }

    #[inline(always)]
    fn halves(bytes: &[u8; 2 * LANES]) -> Avx512 {
        x86!(Avx512(_mm512_cvtph_ps(_mm256_loadu_si256(bytes.as_ptr().cast()))))
    }

    #[inline(always)]
    fn to_halves(self) -> [u8; 2 * LANES] {
        let mut out = [0; 2 * LANES];
        x86!(_mm256_storeu_si256(out.as_mut_ptr().cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.0)));
        out
    }

    #[inline(always)]
    fn codes(bytes: &[u8; LANES]) -> Avx512 {
        x86!(Avx512(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(bytes.as_ptr().cast())))))
    }

    #[inline(always)]
    fn nibbles(bytes: &[u8; LANES]) -> (Avx512, Avx512) {
        let (low, high) = nibbles(bytes);
        x86!((
            Avx512(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(low))),
            Avx512(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(high)))
        ))
    }

    #[inline(always)]
    fn plus(self, other: Avx512) -> Avx512 {
        x86!(Avx512(_mm512_add_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn times(self, other: Avx512) -> Avx512 {
        x86!(Avx512(_mm512_mul_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn fused(self, factor: Avx512, addend: Avx512) -> Avx512 {
        x86!(Avx512(_mm512_fmadd_ps(self.0, factor.0, addend.0)))
    }

    #[inline(always)]
    fn fold(self) -> f32 {
        fold_eight(x86!(_mm256_add_ps(_mm512_castps512_ps256(self.0), _mm512_extractf32x8_ps::<1>(self.0))))
    }
}
