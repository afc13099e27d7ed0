//! Weights without blocks: sixteen lanes of fused multiply-adds, in four registers for each of four weight rows.

#![allow(unsafe_code)]

use std::arch::aarch64::*;

use super::block::LANES;
use crate::Strip;
use crate::matmul::fold;

/// A format whose values take `N` bytes each.
pub trait Value<const N: usize> {
    /// Sixteen values.
    fn sixteen(bytes: &[[u8; N]; 16]) -> [float32x4_t; 4];
    fn one(bytes: [u8; N]) -> f32;
}

pub struct F32;
impl Value<4> for F32 {
    #[inline(always)]
    fn sixteen(bytes: &[[u8; 4]; 16]) -> [float32x4_t; 4] {
        let start = bytes.as_ptr().cast::<u8>();
        // SAFETY: sixteen values of four bytes; NEON is part of every processor of this target.
        std::array::from_fn(|i| unsafe { vreinterpretq_f32_u8(vld1q_u8(start.add(i * 16))) })
    }

    #[inline(always)]
    fn one(bytes: [u8; 4]) -> f32 {
        f32::from_le_bytes(bytes)
    }
}

pub struct F16;
impl Value<2> for F16 {
    #[inline(always)]
    fn sixteen(bytes: &[[u8; 2]; 16]) -> [float32x4_t; 4] {
        let start = bytes.as_ptr().cast::<u8>();
        // SAFETY: sixteen values of two bytes. Every processor of this target converts f16; the instructions touch registers
        // alone.
        unsafe {
            let (mut low, mut high) = ([vdupq_n_f32(0.0); 2], [vdupq_n_f32(0.0); 2]);
            for i in 0..2 {
                let bits = vld1q_u8(start.add(i * 16));
                std::arch::asm!(
                    "fcvtl {low:v}.4s, {bits:v}.4h",
                    "fcvtl2 {high:v}.4s, {bits:v}.8h",
                    low = out(vreg) low[i],
                    high = lateout(vreg) high[i],
                    bits = in(vreg) bits,
                    options(pure, nomem, nostack, preserves_flags)
                );
            }
            [low[0], high[0], low[1], high[1]]
        }
    }

    #[inline(always)]
    fn one(bytes: [u8; 2]) -> f32 {
        half::f16::from_le_bytes(bytes).to_f32()
    }
}

pub struct BF16;
impl Value<2> for BF16 {
    #[inline(always)]
    fn sixteen(bytes: &[[u8; 2]; 16]) -> [float32x4_t; 4] {
        let start = bytes.as_ptr().cast::<u8>();
        // SAFETY: sixteen values of two bytes; NEON is part of every processor of this target.
        std::array::from_fn(|i| unsafe {
            let bits = vreinterpret_u16_u8(vld1_u8(start.add(i * 8)));
            vreinterpretq_f32_u32(vshll_n_u16::<16>(bits))
        })
    }

    #[inline(always)]
    fn one(bytes: [u8; 2]) -> f32 {
        f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)
    }
}

/// See [`crate::matmul::Plain`].
pub fn product<const N: usize, V: Value<N>>(rows: &[u8], columns: usize, values: &[f32], out: &mut Strip<'_>) {
    let row_bytes = columns * N;
    for first_row in (0..out.width()).step_by(LANES) {
        let count = LANES.min(out.width() - first_row);
        let weights: [&[[u8; N]]; LANES] = std::array::from_fn(|lane| {
            let row = first_row + lane.min(count - 1);
            rows[row * row_bytes..][..row_bytes].as_chunks().0
        });
        for (i, values) in values.chunks_exact(columns).enumerate() {
            let sums = four::<N, V>(weights, values);
            out.row(i)[first_row..first_row + count].copy_from_slice(&sums[..count]);
        }
    }
}

/// Four weight rows with one input row.
#[inline(always)]
fn four<const N: usize, V: Value<N>>(weights: [&[[u8; N]]; LANES], values: &[f32]) -> [f32; LANES] {
    // SAFETY: NEON is part of every processor of this target.
    let mut sums = unsafe { [[vdupq_n_f32(0.0); 4]; LANES] };
    let (chunks, rest) = values.as_chunks::<16>();
    let weights = weights.map(|row| row.as_chunks::<16>());
    for (c, values) in chunks.iter().enumerate() {
        // SAFETY: four numbers are read at each of four places in sixteen; NEON is part of every processor of this target.
        let values: [float32x4_t; 4] = std::array::from_fn(|i| unsafe { vld1q_f32(values.as_ptr().add(i * 4)) });
        for (sums, weights) in sums.iter_mut().zip(&weights) {
            for ((sum, weights), values) in sums.iter_mut().zip(V::sixteen(&weights.0[c])).zip(values) {
                // SAFETY: NEON is part of every processor of this target.
                *sum = unsafe { vfmaq_f32(*sum, weights, values) };
            }
        }
    }
    std::array::from_fn(|row| {
        let mut lanes = [0.0f32; 16];
        for (lanes, sum) in lanes.as_chunks_mut::<4>().0.iter_mut().zip(sums[row]) {
            // SAFETY: four numbers are written to four.
            unsafe { vst1q_f32(lanes.as_mut_ptr(), sum) };
        }
        for ((lane, weight), value) in lanes.iter_mut().zip(weights[row].1).zip(rest) {
            *lane = V::one(*weight).mul_add(*value, *lane);
        }
        fold(lanes)
    })
}
