//! Products with AVX2, FMA and F16C.
//!
//! Few input rows are multiplied with weights as they stand in the file, many with unpacked tiles: the same integers are
//! summed and the same float steps taken, so that the bits are the same.
//!
//! The code below the entries is `unsafe` throughout for two reasons: it needs a processor with the set, and it reads by
//! pointers, inside the lengths that [`super::Quantized`] and [`super::Plain`] promise. It is inlined into the entries, which
//! alone name the features.

pub(crate) mod arithmetic;
pub(crate) mod block;
pub(crate) mod few;
pub(crate) mod grouped;
mod many;
mod plain;

use super::Table;
use crate::{Activations, Strip};
use arithmetic::{Arithmetic, Avx2};
use block::{Block, Iq4Nl, Mxfp4, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
use grouped::{Grouped, Iq4Xs, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K};

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
    f32: plain::<plain::F32>,
    f16: plain::<plain::F16>,
    bf16: plain::<plain::BF16>,
};

/// From so many input rows on, unpacking tiles pays.
const MANY: usize = 4;

/// # Safety
/// As [`super::Quantized`] says.
#[allow(unsafe_code)]
#[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2")]
unsafe fn blocks<F: Block>(rows: &[u8], columns: usize, input: &Activations, out: &mut Strip<'_>) {
    // SAFETY: the caller's promise.
    unsafe { any_blocks::<Avx2, F>(rows, columns, input, out) }
}

/// # Safety
/// As [`super::Quantized`] says.
#[allow(unsafe_code)]
#[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2")]
unsafe fn grouped<F: Grouped>(rows: &[u8], columns: usize, input: &Activations, out: &mut Strip<'_>) {
    // SAFETY: the caller's promise.
    unsafe { any_grouped::<Avx2, F>(rows, columns, input, out) }
}

/// # Safety
/// As [`super::Plain`] says.
#[allow(unsafe_code)]
#[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2")]
unsafe fn plain<V: plain::Value>(rows: &[u8], columns: usize, values: &[f32], out: &mut Strip<'_>) {
    // SAFETY: the caller's promise.
    unsafe { plain::products::<V>(rows, columns, values, out) }
}

/// # Safety
/// As [`super::Quantized`] says, for the set of `A`.
#[allow(unsafe_code)]
#[inline(always)]
pub(super) unsafe fn any_blocks<A: Arithmetic, F: Block>(
    rows: &[u8],
    columns: usize,
    input: &Activations,
    out: &mut Strip<'_>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if input.rows() < MANY {
            few::blocks::<A, F>(rows, columns, input, out);
        } else {
            many::blocks::<A, F>(rows, columns, input, out);
        }
    }
}

/// # Safety
/// As [`any_blocks`].
#[allow(unsafe_code)]
#[inline(always)]
pub(super) unsafe fn any_grouped<A: Arithmetic, F: Grouped>(
    rows: &[u8],
    columns: usize,
    input: &Activations,
    out: &mut Strip<'_>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if input.rows() < MANY {
            few::grouped::<A, F>(rows, columns, input, out);
        } else {
            many::grouped::<A, F>(rows, columns, input, out);
        }
    }
}
