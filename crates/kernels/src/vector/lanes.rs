//! Sixteen f32 side by side, with the few operations that sums of floats are made of.
//!
//! [`Plain`] is the specification; the others hold the same sixteen numbers in vector registers, and each of their
//! operations gives its bits. Code that is generic over [`Lanes`] is compiled once for each set of instructions.

use super::half::{from_half, to_half};

/// Values side by side.
pub(crate) const LANES: usize = 16;

/// Sixteen f32. Every operation works lane by lane and rounds once.
pub(crate) trait Lanes: Copy {
    /// Whether one value takes one or two of at least 32 registers: decides how many are kept at a time, never the result.
    const WIDE: bool;

    fn all(value: f32) -> Self;
    fn load(values: &[f32; LANES]) -> Self;
    fn store(self, out: &mut [f32; LANES]);
    /// The value of an f16.
    fn half(half: u16) -> f32;
    /// Sixteen little-endian f16.
    fn halves(bytes: &[u8; 2 * LANES]) -> Self;
    /// To nearest, ties to even.
    fn to_halves(self) -> [u8; 2 * LANES];
    /// Sixteen signed bytes.
    fn codes(bytes: &[u8; LANES]) -> Self;
    /// The low four bits of each byte less 8, and the high four.
    fn nibbles(bytes: &[u8; LANES]) -> (Self, Self);
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    /// `self * factor + addend`, rounded once.
    fn fused(self, factor: Self, addend: Self) -> Self;
    /// The sum of all lanes: 8 + 8, 4 + 4, 2 + 2, 1 + 1.
    fn fold(self) -> f32;

    /// Asks for the cache line of this byte, where a set has a way to: it will be read soon.
    #[inline(always)]
    fn fetch(_byte: &u8) {}

    #[inline(always)]
    fn zero() -> Self {
        Self::all(0.0)
    }

    /// Up to sixteen values; the other lanes are zero.
    #[inline(always)]
    fn load_part(values: &[f32]) -> Self {
        match values.first_chunk() {
            Some(whole) => Self::load(whole),
            None => Self::load(&padded(values, 0.0)),
        }
    }

    /// The first lanes, as many as there is room for.
    #[inline(always)]
    fn store_part(self, out: &mut [f32]) {
        if let Some(whole) = out.first_chunk_mut() {
            return self.store(whole);
        }
        let mut whole = [0.0; LANES];
        self.store(&mut whole);
        out.iter_mut().zip(whole).for_each(|(out, value)| *out = value);
    }
}

/// Sixteen values of which the last ones are `fill`.
#[inline(always)]
pub(crate) fn padded<T: Copy, const N: usize>(values: &[T], fill: T) -> [T; N] {
    let mut whole = [fill; N];
    whole.iter_mut().zip(values).for_each(|(whole, &value)| *whole = value);
    whole
}

/// Sixteen numbers in an array.
#[derive(Clone, Copy)]
pub(crate) struct Plain([f32; LANES]);

impl Plain {
    #[inline(always)]
    fn each(value: impl Fn(usize) -> f32) -> Plain {
        let mut out = [0.0; LANES];
        out.iter_mut().enumerate().for_each(|(l, out)| *out = value(l));
        Plain(out)
    }
}

impl Lanes for Plain {
    const WIDE: bool = false;

    #[inline(always)]
    fn all(value: f32) -> Plain {
        Plain([value; LANES])
    }

    #[inline(always)]
    fn load(values: &[f32; LANES]) -> Plain {
        Plain(*values)
    }

    #[inline(always)]
    fn store(self, out: &mut [f32; LANES]) {
        *out = self.0;
    }

    #[inline(always)]
    fn half(half: u16) -> f32 {
        from_half(half)
    }

    #[inline(always)]
    fn halves(bytes: &[u8; 2 * LANES]) -> Plain {
        Plain::each(|l| from_half(u16::from_le_bytes([bytes[2 * l], bytes[2 * l + 1]])))
    }

    #[inline(always)]
    fn to_halves(self) -> [u8; 2 * LANES] {
        let mut out = [0; 2 * LANES];
        let (halves, _) = out.as_chunks_mut::<2>();
        halves.iter_mut().zip(self.0).for_each(|(out, value)| *out = to_half(value).to_le_bytes());
        out
    }

    #[inline(always)]
    fn codes(bytes: &[u8; LANES]) -> Plain {
        Plain::each(|l| f32::from(bytes[l] as i8))
    }

    #[inline(always)]
    fn nibbles(bytes: &[u8; LANES]) -> (Plain, Plain) {
        let low = Plain::each(|l| f32::from((bytes[l] & 0x0f) as i8 - 8));
        (low, Plain::each(|l| f32::from((bytes[l] >> 4) as i8 - 8)))
    }

    #[inline(always)]
    fn plus(self, other: Plain) -> Plain {
        Plain::each(|l| self.0[l] + other.0[l])
    }

    #[inline(always)]
    fn times(self, other: Plain) -> Plain {
        Plain::each(|l| self.0[l] * other.0[l])
    }

    #[inline(always)]
    fn fused(self, factor: Plain, addend: Plain) -> Plain {
        Plain::each(|l| self.0[l].mul_add(factor.0[l], addend.0[l]))
    }

    #[inline(always)]
    fn fold(self) -> f32 {
        let mut lanes = self.0;
        for half in [8, 4, 2, 1] {
            for l in 0..half {
                lanes[l] += lanes[l + half];
            }
        }
        lanes[0]
    }
}
