//! Products with AVX-512 with VNNI.
//!
//! Sixteen weight rows go side by side, one a lane: their codes are unpacked, 256 columns at a time, to a panel on the stack
//! in which each register holds four columns of the sixteen rows. `vpdpbusd` multiplies it with four activations, the same
//! for all lanes, so sums come out one a row and no lane is ever added to another. A panel serves all input rows; for few of
//! them (decode) unpacking is the work, and keeps pace with the memory.

mod block;
mod panel;
mod plain;
mod super_block;
mod super_format;
mod tile;

use self::block::Blocks;
use self::super_block::SuperBlock;
use super::Table;

pub(crate) const TABLE: Table = Table {
    f32: plain::product::<plain::F32>,
    f16: plain::product::<plain::F16>,
    bf16: plain::product::<plain::BF16>,
    q4_0: panel::product::<Blocks<block::Q4_0>>,
    q4_1: panel::product::<Blocks<block::Q4_1>>,
    q5_0: panel::product::<Blocks<block::Q5_0>>,
    q5_1: panel::product::<Blocks<block::Q5_1>>,
    q8_0: panel::product::<Blocks<block::Q8_0>>,
    q2_k: panel::product::<SuperBlock<super_format::Q2_K>>,
    q3_k: panel::product::<SuperBlock<super_format::Q3_K>>,
    q4_k: panel::product::<SuperBlock<super_format::Q4_K>>,
    q5_k: panel::product::<SuperBlock<super_format::Q5_K>>,
    q6_k: panel::product::<SuperBlock<super_format::Q6_K>>,
    iq4_nl: panel::product::<Blocks<block::Iq4Nl>>,
    iq4_xs: panel::product::<SuperBlock<super_format::Iq4Xs>>,
    mxfp4: panel::product::<Blocks<block::Mxfp4>>,
};
