//! Products with AVX-512 with VNNI.
//!
//! Sixteen weight rows go side by side, one a lane: their codes are unpacked, 256 columns at a time, to a panel on the stack
//! in which each register holds four columns of the sixteen rows. `vpdpbusd` multiplies it with four activations, the same
//! for all lanes, so sums come out one a row and no lane is ever added to another. A panel serves all input rows. For fewer
//! than two or three of them (decode) unpacking would be most of the work: those go the way of AVX2, row by row, with `vpdpbusd`.

mod block;
mod panel;
mod plain;
mod super_block;
mod super_format;
mod tile;

use self::block::Block;
use self::super_block::Super;
use super::Table;
use super::avx_vnni::Avx512Vnni;
use super::avx2::{block as few_block, few, grouped};
use crate::{Activations, Strip};

pub(crate) const TABLE: Table = Table {
    f32: plain::product::<plain::F32>,
    f16: plain::product::<plain::F16>,
    bf16: plain::product::<plain::BF16>,
    q4_0: blocks::<block::Q4_0, few_block::Q4_0>,
    q4_1: blocks::<block::Q4_1, few_block::Q4_1>,
    q5_0: blocks::<block::Q5_0, few_block::Q5_0>,
    q5_1: blocks::<block::Q5_1, few_block::Q5_1>,
    q8_0: blocks::<block::Q8_0, few_block::Q8_0>,
    q2_k: super_blocks::<super_format::Q2_K, grouped::Q2_K>,
    q3_k: super_blocks::<super_format::Q3_K, grouped::Q3_K>,
    q4_k: super_blocks::<super_format::Q4_K, grouped::Q4_K>,
    q5_k: super_blocks::<super_format::Q5_K, grouped::Q5_K>,
    q6_k: super_blocks::<super_format::Q6_K, grouped::Q6_K>,
    iq4_nl: blocks::<block::Iq4Nl, few_block::Iq4Nl>,
    iq4_xs: super_blocks::<super_format::Iq4Xs, grouped::Iq4Xs>,
    mxfp4: blocks::<block::Mxfp4, few_block::Mxfp4>,
};

/// From so many input rows on, unpacking panels pays: for blocks of 32 and of 256.
const MANY: usize = 3;
const MANY_SUPER: usize = 2;

/// # Safety
/// As [`super::Quantized`] says.
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
unsafe fn blocks<M: Block, F: few_block::Block>(rows: &[u8], columns: usize, input: &Activations, out: &mut Strip<'_>) {
    // SAFETY: the caller's promise.
    unsafe {
        if input.rows() < MANY {
            few::blocks::<Avx512Vnni, F>(rows, columns, input, out);
        } else {
            panel::product::<block::Blocks<M>>(rows, columns, input, out);
        }
    }
}

/// # Safety
/// As [`super::Quantized`] says.
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
unsafe fn super_blocks<M: Super, F: grouped::Grouped>(
    rows: &[u8],
    columns: usize,
    input: &Activations,
    out: &mut Strip<'_>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if input.rows() < MANY_SUPER {
            few::grouped::<Avx512Vnni, F>(rows, columns, input, out);
        } else {
            panel::product::<super_block::SuperBlock<M>>(rows, columns, input, out);
        }
    }
}
