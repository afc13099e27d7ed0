//! Numbers of several groups side by side, one a lane, with operations lane by lane.
//!
//! Each operation is a short loop without branches, which the compiler turns into one instruction where registers are wide
//! enough. Nothing is fused or reordered: a lane's result is the same on every processor and for every number of lanes.

#![allow(clippy::needless_range_loop)] // the plainest form is the one that becomes one instruction

use std::ops::{Add, Div, Mul, Neg, Sub};

/// One f32 for each of `L` groups.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lanes<const L: usize>(pub [f32; L]);

/// All bits of a lane set, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mask<const L: usize>(pub [u32; L]);

/// 1.5 * 2^23: above it f32 has no fractions, so adding and taking it away rounds to nearest, ties to even.
const ROUNDING: f32 = 12_582_912.0;

impl<const L: usize> Lanes<L> {
    #[inline(always)]
    pub fn all(value: f32) -> Lanes<L> {
        Lanes([value; L])
    }

    #[inline(always)]
    fn each(self, operation: impl Fn(f32) -> f32) -> Lanes<L> {
        let mut out = [0.0; L];
        for l in 0..L {
            out[l] = operation(self.0[l]);
        }
        Lanes(out)
    }

    #[inline(always)]
    fn with(self, other: Lanes<L>, operation: impl Fn(f32, f32) -> f32) -> Lanes<L> {
        let mut out = [0.0; L];
        for l in 0..L {
            out[l] = operation(self.0[l], other.0[l]);
        }
        Lanes(out)
    }

    #[inline(always)]
    fn compare(self, other: Lanes<L>, holds: impl Fn(f32, f32) -> bool) -> Mask<L> {
        let mut out = [0; L];
        for l in 0..L {
            out[l] = if holds(self.0[l], other.0[l]) { u32::MAX } else { 0 };
        }
        Mask(out)
    }

    #[inline(always)]
    pub fn abs(self) -> Lanes<L> {
        self.each(f32::abs)
    }

    /// To the nearest whole number, ties to even; right up to 2^22.
    #[inline(always)]
    pub fn round(self) -> Lanes<L> {
        self.each(|value| (value + ROUNDING) - ROUNDING)
    }

    /// As [`super::search::nearest`]: beyond 2^22 what ggml gets.
    #[inline(always)]
    pub fn nearest(self) -> Lanes<L> {
        self.each(|value| super::search::nearest(value) as f32)
    }

    #[inline(always)]
    pub fn clamp(self, least: f32, most: f32) -> Lanes<L> {
        self.each(|value| {
            let value = if value > least { value } else { least };
            if value < most { value } else { most }
        })
    }

    /// This where it is less, else the other.
    #[inline(always)]
    pub fn min(self, other: Lanes<L>) -> Lanes<L> {
        self.with(other, |a, b| if a < b { a } else { b })
    }

    /// This where it is greater, else the other.
    #[inline(always)]
    pub fn max(self, other: Lanes<L>) -> Lanes<L> {
        self.with(other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    pub fn above(self, other: Lanes<L>) -> Mask<L> {
        self.compare(other, |a, b| a > b)
    }

    #[inline(always)]
    pub fn below(self, other: Lanes<L>) -> Mask<L> {
        self.compare(other, |a, b| a < b)
    }

    /// Minus 0 equals 0; NaN equals nothing.
    #[inline(always)]
    pub fn equals(self, other: Lanes<L>) -> Mask<L> {
        self.compare(other, |a, b| a == b)
    }
}

impl<const L: usize> Mask<L> {
    /// `a` where the mask is set, else `b`.
    #[inline(always)]
    pub fn choose(self, a: Lanes<L>, b: Lanes<L>) -> Lanes<L> {
        let mut out = [0.0; L];
        for l in 0..L {
            out[l] = f32::from_bits((a.0[l].to_bits() & self.0[l]) | (b.0[l].to_bits() & !self.0[l]));
        }
        Lanes(out)
    }

    #[inline(always)]
    pub fn and(self, other: Mask<L>) -> Mask<L> {
        let mut out = [0; L];
        for l in 0..L {
            out[l] = self.0[l] & other.0[l];
        }
        Mask(out)
    }

    #[inline(always)]
    pub fn not(self) -> Mask<L> {
        let mut out = [0; L];
        for l in 0..L {
            out[l] = !self.0[l];
        }
        Mask(out)
    }

    #[inline(always)]
    pub fn any(self) -> bool {
        self.0.iter().fold(0, |all, lane| all | lane) != 0
    }
}

macro_rules! operator {
    ($($trait:ident $name:ident $sign:tt;)*) => {$(
        impl<const L: usize> $trait for Lanes<L> {
            type Output = Lanes<L>;
            #[inline(always)]
            fn $name(self, other: Lanes<L>) -> Lanes<L> {
                self.with(other, |a, b| a $sign b)
            }
        }
        impl<const L: usize> $trait<Lanes<L>> for f32 {
            type Output = Lanes<L>;
            #[inline(always)]
            fn $name(self, other: Lanes<L>) -> Lanes<L> {
                other.each(|b| self $sign b)
            }
        }
    )*};
}
operator! { Add add +; Sub sub -; Mul mul *; Div div /; }

impl<const L: usize> Neg for Lanes<L> {
    type Output = Lanes<L>;
    #[inline(always)]
    fn neg(self) -> Lanes<L> {
        self.each(|value| -value)
    }
}

/// One group after another into groups side by side.
#[inline(always)]
pub(super) fn side_by_side<const L: usize, const N: usize>(values: &[f32]) -> [Lanes<L>; N] {
    let mut lanes = [Lanes([0.0; L]); N];
    for (l, group) in values.chunks_exact(N).take(L).enumerate() {
        for (lane, value) in lanes.iter_mut().zip(group) {
            lane.0[l] = *value;
        }
    }
    lanes
}

/// The reverse of [`side_by_side`], for codes.
#[inline(always)]
pub(super) fn one_by_one<const L: usize, const N: usize>(lanes: &[Lanes<L>; N], codes: &mut [u8]) {
    for (l, group) in codes.chunks_exact_mut(N).take(L).enumerate() {
        for (code, lane) in group.iter_mut().zip(lanes) {
            *code = lane.0[l] as u8;
        }
    }
}
