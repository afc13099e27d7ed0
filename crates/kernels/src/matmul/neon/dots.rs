//! Exact sums of products of codes and activations, for four weight rows and one or two input rows.

#![allow(unsafe_code)]

use std::arch::aarch64::*;
use std::arch::asm;

use super::block::LANES;

/// How the sums are made. `codes` are `V` times 16 codes of each weight row, `values` as many activations of each input row.
/// Lane `l` of result `i` is the sum over weight row `l` and input row `i`. Only to be used in a function that is compiled
/// for the instruction's extension: so loops here, for a closure would be a function of its own, without the extension.
pub trait Dots {
    fn dots<const I: usize, const V: usize>(codes: &[[int8x16_t; V]; LANES], values: [&[i8]; I]) -> [int32x4_t; I];
}

/// With dotprod: four products a lane.
pub struct Sdot;

impl Dots for Sdot {
    #[inline(always)]
    fn dots<const I: usize, const V: usize>(codes: &[[int8x16_t; V]; LANES], values: [&[i8]; I]) -> [int32x4_t; I] {
        // SAFETY: NEON is part of every processor of this target.
        let zero = unsafe { vdupq_n_s32(0) };
        let mut out = [zero; I];
        for (out, values) in out.iter_mut().zip(values) {
            let values: [int8x16_t; V] = load(values);
            let mut sums = [zero; LANES];
            for (sum, codes) in sums.iter_mut().zip(codes) {
                for (&codes, &values) in codes.iter().zip(&values) {
                    *sum = sdot(*sum, codes, values);
                }
            }
            // SAFETY: NEON is part of every processor of this target.
            *out = unsafe { vpaddq_s32(vpaddq_s32(sums[0], sums[1]), vpaddq_s32(sums[2], sums[3])) };
        }
        out
    }
}

/// With i8mm: two rows by two rows, eight products each. A single input row goes the way of dotprod.
pub struct Smmla;

impl Dots for Smmla {
    #[inline(always)]
    fn dots<const I: usize, const V: usize>(codes: &[[int8x16_t; V]; LANES], values: [&[i8]; I]) -> [int32x4_t; I] {
        if I != 2 {
            return Sdot::dots(codes, values);
        }
        let inputs: [[int8x16_t; V]; I] = values.map(load);
        // SAFETY: NEON is part of every processor of this target.
        let (mut above, mut below) = unsafe { (vdupq_n_s32(0), vdupq_n_s32(0)) };
        for v in 0..V {
            let [first, second] = halves(inputs[0][v], inputs[1][v]);
            let [upper, lower] = [halves(codes[0][v], codes[1][v]), halves(codes[2][v], codes[3][v])];
            above = smmla(smmla(above, upper[0], first), upper[1], second);
            below = smmla(smmla(below, lower[0], first), lower[1], second);
        }
        // Each holds (row 0, input 0), (row 0, input 1), (row 1, input 0), (row 1, input 1).
        std::array::from_fn(|i| {
            // SAFETY: NEON is part of every processor of this target.
            unsafe { if i == 0 { vuzp1q_s32(above, below) } else { vuzp2q_s32(above, below) } }
        })
    }
}

/// The first halves of both, and the second ones.
#[inline(always)]
fn halves(a: int8x16_t, b: int8x16_t) -> [int8x16_t; 2] {
    // SAFETY: NEON is part of every processor of this target.
    unsafe {
        let (a, b) = (vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b));
        [vreinterpretq_s8_s64(vzip1q_s64(a, b)), vreinterpretq_s8_s64(vzip2q_s64(a, b))]
    }
}

/// `V` times 16 values.
#[inline(always)]
fn load<const V: usize>(values: &[i8]) -> [int8x16_t; V] {
    let values = &values[..V * 16];
    // SAFETY: the values are that many, as was just seen.
    std::array::from_fn(|v| unsafe { vld1q_s8(values.as_ptr().add(v * 16)) })
}

/// Adds four products to each lane.
#[inline(always)]
fn sdot(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let mut out = sum;
    // SAFETY: the caller is compiled for dotprod; the instruction touches registers alone.
    unsafe {
        asm!(
            "sdot {out:v}.4s, {a:v}.16b, {b:v}.16b",
            out = inout(vreg) out,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    out
}

/// Adds the product of a (2, 8) and the transpose of b (2, 8) to a matrix (2, 2).
#[inline(always)]
fn smmla(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let mut out = sum;
    // SAFETY: the caller is compiled for i8mm; the instruction touches registers alone.
    unsafe {
        asm!(
            "smmla {out:v}.4s, {a:v}.16b, {b:v}.16b",
            out = inout(vreg) out,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    out
}
