//! Products with NEON: with dotprod's `sdot`, and with i8mm's `smmla` where two input rows share a step.
//!
//! Four weight rows go side by side, one a lane: a block of each is unpacked into registers, then multiplied with the same
//! block of all input rows. The float steps are those of the portable products, lane by lane.
//!
//! `dots` holds the exact sums, `block` the arithmetic on an unpacked block, `small` and `wide` the formats with blocks of 32
//! and of 256, `plain` those without blocks.

mod block;
mod dots;
mod plain;
mod small;
mod wide;

use std::arch::aarch64::*;

use super::Table;
use crate::activation::SUM_LENGTH;
use crate::{Activations, Strip};
use block::{Block, Inputs, LANES};
use dots::{Dots, Sdot, Smmla};

/// A format whose blocks take `N` bytes.
trait Format<const N: usize> {
    type Block: Block;
    /// The same block of four weight rows.
    fn unpack(rows: [&[u8; N]; LANES]) -> Self::Block;
}

macro_rules! table {
    ($table:ident, $dots:ty, $features:literal, $module:ident) => {
        mod $module {
            use super::*;

            macro_rules! product {
                ($name:ident, $bytes:literal, $format:ty) => {
                    #[target_feature(enable = $features)]
                    pub fn $name(rows: &[u8], columns: usize, input: &Activations, out: &mut Strip<'_>) {
                        quantized::<$bytes, $format, $dots>(rows, columns, input, out);
                    }
                };
            }
            product!(q4_0, 18, small::Q4_0);
            product!(q4_1, 20, small::Q4_1);
            product!(q5_0, 22, small::Q5_0);
            product!(q5_1, 24, small::Q5_1);
            product!(q8_0, 34, small::Q8_0);
            product!(iq4_nl, 18, small::Iq4Nl);
            product!(mxfp4, 17, small::Mxfp4);
            product!(q2_k, 84, wide::Q2_K);
            product!(q3_k, 110, wide::Q3_K);
            product!(q4_k, 144, wide::Q4_K);
            product!(q5_k, 176, wide::Q5_K);
            product!(q6_k, 210, wide::Q6_K);
            product!(iq4_xs, 136, wide::Iq4Xs);
        }

        pub(crate) const $table: Table = Table {
            f32: plain::product::<4, plain::F32>,
            f16: plain::product::<2, plain::F16>,
            bf16: plain::product::<2, plain::BF16>,
            q4_0: $module::q4_0,
            q4_1: $module::q4_1,
            q5_0: $module::q5_0,
            q5_1: $module::q5_1,
            q8_0: $module::q8_0,
            q2_k: $module::q2_k,
            q3_k: $module::q3_k,
            q4_k: $module::q4_k,
            q5_k: $module::q5_k,
            q6_k: $module::q6_k,
            iq4_nl: $module::iq4_nl,
            iq4_xs: $module::iq4_xs,
            mxfp4: $module::mxfp4,
        };
    };
}
table!(TABLE, Sdot, "neon,dotprod", dotprod);
table!(TABLE_I8MM, Smmla, "neon,dotprod,i8mm", i8mm);

/// Input rows for which a block is unpacked once: their running sums and addresses stay in the nearest cache.
const INPUTS: usize = 32;

/// See [`super::Quantized`]. Where fewer than four weight rows are left, the last one stands in for the others, and what
/// comes of those is left out.
#[inline(always)]
fn quantized<const N: usize, F: Format<N>, D: Dots>(
    rows: &[u8],
    columns: usize,
    input: &Activations,
    out: &mut Strip<'_>,
) {
    let row_bytes = columns / F::Block::LENGTH * N;
    for first_row in (0..out.width()).step_by(LANES) {
        let count = LANES.min(out.width() - first_row);
        let weights: [&[[u8; N]]; LANES] = std::array::from_fn(|lane| {
            let row = first_row + lane.min(count - 1);
            rows[row * row_bytes..][..row_bytes].as_chunks().0
        });
        for first in (0..input.rows()).step_by(INPUTS) {
            let inputs = INPUTS.min(input.rows() - first);
            let mut sums = [[0.0f32; LANES]; INPUTS];
            products::<N, F, D>(weights, input, first, &mut sums[..inputs]);
            for (i, sums) in sums[..inputs].iter().enumerate() {
                out.row(first + i)[first_row..first_row + count].copy_from_slice(&sums[..count]);
            }
        }
    }
}

/// Adds the products of four weight rows with the input rows from `first` on to `sums`, one a row.
#[inline(always)]
fn products<const N: usize, F: Format<N>, D: Dots>(
    weights: [&[[u8; N]]; LANES],
    input: &Activations,
    first: usize,
    sums: &mut [[f32; LANES]],
) {
    // SAFETY: NEON is part of every processor of this target, and all bits are zero in a number that is 0.
    #[allow(unsafe_code)]
    let mut accs = unsafe { [vdupq_n_f32(0.0); INPUTS] };
    let accs = &mut accs[..sums.len()];
    for block in 0..weights[0].len() {
        let unpacked = F::unpack(std::array::from_fn(|lane| &weights[lane][block]));
        let (pairs, single) = accs.as_chunks_mut::<2>();
        for (pair, accs) in pairs.iter_mut().enumerate() {
            let row = first + 2 * pair;
            *accs = unpacked.add_to::<2, D>(*accs, inputs([row, row + 1], input, block, F::Block::LENGTH));
        }
        if let [acc] = single {
            let row = first + sums.len() - 1;
            [*acc] = unpacked.add_to::<1, D>([*acc], inputs([row], input, block, F::Block::LENGTH));
        }
    }
    for (sums, acc) in sums.iter_mut().zip(accs) {
        // SAFETY: four numbers are written to four numbers.
        #[allow(unsafe_code)]
        unsafe {
            vst1q_f32(sums.as_mut_ptr(), *acc);
        }
    }
}

/// The `block`-th block of some input rows.
#[inline(always)]
fn inputs<const I: usize>(rows: [usize; I], input: &Activations, block: usize, length: usize) -> Inputs<'_, I> {
    let sums = length / SUM_LENGTH;
    Inputs {
        values: rows.map(|row| &input.values(row)[block * length..][..length]),
        scales: rows.map(|row| input.scales(row)[block]),
        sums: rows.map(|row| &input.sums(row)[block * sums..][..sums]),
    }
}
