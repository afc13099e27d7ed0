//! The same block of four weight rows, unpacked, and its product with blocks of activations: four sums side by side.

#![allow(unsafe_code)]

use std::arch::aarch64::*;

use super::dots::Dots;
use crate::format::{BLOCK, SUPER_BLOCK};

/// Weight rows side by side: the f32 in a register.
pub const LANES: usize = 4;

/// A block of some input rows: values, scale, and sums of each 16.
pub struct Inputs<'a, const I: usize> {
    pub values: [&'a [i8]; I],
    pub scales: [f32; I],
    pub sums: [&'a [i16]; I],
}

/// An unpacked block of four weight rows.
pub trait Block {
    const LENGTH: usize;
    /// `accs`, one for each input row, with the products of this block added.
    fn add_to<const I: usize, D: Dots>(&self, accs: [float32x4_t; I], inputs: Inputs<'_, I>) -> [float32x4_t; I];
}

/// `(weights' scale * activations' scale) * sum`
#[inline(always)]
fn scaled(weights: float32x4_t, activations: f32, sum: int32x4_t) -> float32x4_t {
    // SAFETY: NEON is part of every processor of this target.
    unsafe { vmulq_f32(vmulq_n_f32(weights, activations), vcvtq_f32_s32(sum)) }
}

#[inline(always)]
fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    // SAFETY: NEON is part of every processor of this target.
    unsafe { vaddq_f32(a, b) }
}

/// The four rows' numbers, from an array.
#[inline(always)]
pub fn lanes(values: [f32; LANES]) -> float32x4_t {
    // SAFETY: four numbers are read of four; NEON is part of every processor of this target.
    unsafe { vld1q_f32(values.as_ptr()) }
}

/// The four rows' f16 at `place` of their blocks.
#[inline(always)]
pub fn halves<const N: usize>(rows: [&[u8; N]; LANES], place: usize) -> float32x4_t {
    let bits = rows.map(|row| u16::from_le_bytes([row[place], row[place + 1]]));
    let out: float32x4_t;
    // SAFETY: four numbers are read of four. Every processor of this target converts f16; the instruction touches registers
    // alone.
    unsafe {
        let bits = vld1_u16(bits.as_ptr());
        std::arch::asm!(
            "fcvtl {out:v}.4s, {bits:v}.4h",
            out = lateout(vreg) out,
            bits = in(vreg) bits,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    out
}

/// 32 codes with one scale.
pub struct Scaled {
    pub scale: float32x4_t,
    pub codes: [[int8x16_t; 2]; LANES],
}

impl Block for Scaled {
    const LENGTH: usize = BLOCK;
    #[inline(always)]
    fn add_to<const I: usize, D: Dots>(&self, accs: [float32x4_t; I], inputs: Inputs<'_, I>) -> [float32x4_t; I] {
        let sums = D::dots(&self.codes, inputs.values);
        std::array::from_fn(|i| add(accs[i], scaled(self.scale, inputs.scales[i], sums[i])))
    }
}

/// 32 codes with one scale and one minimum, which is added.
pub struct Shifted {
    pub scaled: Scaled,
    pub minimum: float32x4_t,
}

impl Block for Shifted {
    const LENGTH: usize = BLOCK;
    #[inline(always)]
    fn add_to<const I: usize, D: Dots>(&self, accs: [float32x4_t; I], inputs: Inputs<'_, I>) -> [float32x4_t; I] {
        let sums = D::dots(&self.scaled.codes, inputs.values);
        std::array::from_fn(|i| {
            let sum: i32 = inputs.sums[i].iter().map(|&sum| i32::from(sum)).sum();
            // SAFETY: NEON is part of every processor of this target.
            let minimum = scaled(self.minimum, inputs.scales[i], unsafe { vdupq_n_s32(sum) });
            add(accs[i], add(scaled(self.scaled.scale, inputs.scales[i], sums[i]), minimum))
        })
    }
}

/// 256 codes with a scale, in `G` groups of `V` times 16 that have a whole-number scale of their own.
pub struct Grouped<const G: usize, const V: usize> {
    pub scale: float32x4_t,
    pub own_scales: [[i32; LANES]; G],
    pub codes: [[[int8x16_t; V]; LANES]; G],
}

impl<const G: usize, const V: usize> Grouped<G, V> {
    #[inline(always)]
    fn dots<const I: usize, D: Dots>(&self, values: [&[i8]; I]) -> [int32x4_t; I] {
        // SAFETY: NEON is part of every processor of this target.
        let mut sums = unsafe { [vdupq_n_s32(0); I] };
        for g in 0..G {
            let dots = D::dots(&self.codes[g], values.map(|values| &values[g * V * 16..][..V * 16]));
            for (sum, dot) in sums.iter_mut().zip(dots) {
                // SAFETY: four numbers are read of four; NEON is part of every processor of this target.
                *sum = unsafe { vmlaq_s32(*sum, dot, vld1q_s32(self.own_scales[g].as_ptr())) };
            }
        }
        sums
    }
}

impl<const G: usize, const V: usize> Block for Grouped<G, V> {
    const LENGTH: usize = SUPER_BLOCK;
    #[inline(always)]
    fn add_to<const I: usize, D: Dots>(&self, accs: [float32x4_t; I], inputs: Inputs<'_, I>) -> [float32x4_t; I] {
        let sums = self.dots::<I, D>(inputs.values);
        std::array::from_fn(|i| add(accs[i], scaled(self.scale, inputs.scales[i], sums[i])))
    }
}

/// [`Grouped`], and a minimum, which is taken away, with a whole-number factor of its own for each group.
pub struct GroupedShifted<const G: usize, const V: usize> {
    pub grouped: Grouped<G, V>,
    pub minimum: float32x4_t,
    pub own_minimums: [[i32; LANES]; G],
}

impl<const G: usize, const V: usize> Block for GroupedShifted<G, V> {
    const LENGTH: usize = SUPER_BLOCK;
    #[inline(always)]
    fn add_to<const I: usize, D: Dots>(&self, accs: [float32x4_t; I], inputs: Inputs<'_, I>) -> [float32x4_t; I] {
        let sums = self.grouped.dots::<I, D>(inputs.values);
        std::array::from_fn(|i| {
            let of_input = &inputs.sums[i][..G * V];
            // SAFETY: four numbers are read of four; NEON is part of every processor of this target.
            unsafe {
                let mut minimums = vdupq_n_s32(0);
                for g in 0..G {
                    let sum: i32 = of_input[g * V..][..V].iter().map(|&sum| i32::from(sum)).sum();
                    minimums = vmlaq_n_s32(minimums, vld1q_s32(self.own_minimums[g].as_ptr()), sum);
                }
                let minimum = scaled(self.minimum, inputs.scales[i], minimums);
                let product = scaled(self.grouped.scale, inputs.scales[i], sums[i]);
                add(accs[i], vsubq_f32(product, minimum))
            }
        })
    }
}
