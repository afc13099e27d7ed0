//! Products with AVX-VNNI: AVX2's code, with `vpdpbusd`, which adds four products of bytes to i32 at once, in its middle.

use std::arch::x86_64::*;

use super::avx2::arithmetic::{Arithmetic, Avx2, Sums, VECTORS, four};
use super::avx2::block::{Block, Iq4Nl, Mxfp4, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
use super::avx2::grouped::{Grouped, Iq4Xs, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K};
use super::avx2::{any_blocks, any_grouped};
use super::{Table, avx2};
use crate::{Activations, Strip};

pub(crate) const TABLE: Table = Table {
    q4_0: blocks::<Q4_0>,
    q4_1: blocks::<Q4_1>,
    q5_0: blocks::<Q5_0>,
    q5_1: blocks::<Q5_1>,
    q8_0: blocks::<Q8_0>,
    iq4_nl: blocks::<Iq4Nl>,
    mxfp4: blocks::<Mxfp4>,
    q2_k: grouped::<Q2_K>,
    q3_k: grouped::<Q3_K>,
    q4_k: grouped::<Q4_K>,
    q5_k: grouped::<Q5_K>,
    q6_k: grouped::<Q6_K>,
    iq4_xs: grouped::<Iq4Xs>,
    ..avx2::TABLE
};

/// # Safety
/// As [`super::Quantized`] says.
#[allow(unsafe_code)]
#[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,avxvnni")]
unsafe fn blocks<F: Block>(rows: &[u8], columns: usize, input: &Activations, out: &mut Strip<'_>) {
    // SAFETY: the caller's promise.
    unsafe { any_blocks::<AvxVnni, F>(rows, columns, input, out) }
}

/// # Safety
/// As [`super::Quantized`] says.
#[allow(unsafe_code)]
#[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,avxvnni")]
unsafe fn grouped<F: Grouped>(rows: &[u8], columns: usize, input: &Activations, out: &mut Strip<'_>) {
    // SAFETY: the caller's promise.
    unsafe { any_grouped::<AvxVnni, F>(rows, columns, input, out) }
}

/// `vpdpbusd` on 256 bits, by the name that its encoding has.
macro_rules! arithmetic {
    ($name:ident, $dpbusd:path) => {
        pub(crate) struct $name;

        #[allow(unsafe_code, unsafe_op_in_unsafe_fn, clippy::needless_range_loop)]
        impl Arithmetic for $name {
            const WIDE: bool = false;

            // SAFETY: as the trait says.
            #[inline(always)]
            unsafe fn dot(signed: bool, codes: [__m256i; 2], values: [__m256i; 2]) -> __m256i {
                let mut sum = _mm256_setzero_si256();
                for (mut codes, mut values) in codes.into_iter().zip(values) {
                    if signed {
                        (codes, values) = (_mm256_abs_epi8(codes), _mm256_sign_epi8(values, codes));
                    }
                    sum = $dpbusd(sum, codes, values);
                }
                sum
            }

            // SAFETY: as the trait says.
            #[inline(always)]
            unsafe fn add_scaled(
                signed: bool,
                sum: __m256i,
                codes: __m256i,
                values: __m256i,
                factors: __m256i,
            ) -> __m256i {
                Avx2::add_scaled(signed, sum, codes, values, factors)
            }

            /// The one, as i32.
            // SAFETY: as the trait says.
            #[inline(always)]
            unsafe fn factors(pairs: __m256i, second: bool) -> __m256i {
                _mm256_srai_epi32(if second { pairs } else { _mm256_slli_epi32(pairs, 16) }, 16)
            }

            // SAFETY: as the trait says.
            #[inline(always)]
            unsafe fn add_group<const M: usize>(
                sums: &mut Sums<M>,
                (steps, _chain): (usize, usize),
                tile: *const __m256i,
                values: [*const i8; M],
                factors: Option<[__m256i; VECTORS]>,
            ) {
                let mut group = if factors.is_some() { [[_mm256_setzero_si256(); M]; VECTORS] } else { *sums };
                for step in 0..steps {
                    for m in 0..M {
                        let four = four(values[m].add(step * 4));
                        for v in 0..VECTORS {
                            let codes = _mm256_load_si256(tile.add(step * VECTORS + v));
                            group[v][m] = $dpbusd(group[v][m], codes, four);
                        }
                    }
                }
                let Some(factors) = factors else {
                    *sums = group;
                    return;
                };
                for m in 0..M {
                    for v in 0..VECTORS {
                        sums[v][m] = _mm256_add_epi32(sums[v][m], _mm256_mullo_epi32(group[v][m], factors[v]));
                    }
                }
            }
        }
    };
}

arithmetic!(AvxVnni, _mm256_dpbusd_avx_epi32);
arithmetic!(Avx512Vnni, _mm256_dpbusd_epi32);
