//! f16 and bf16 in whole-number arithmetic: a few steps without branches, so that many go side by side.
//!
//! Bits are those of the `half` crate and of the processors' own conversions, NaN's included (made quiet).

/// The value of an f16: exact.
#[inline(always)]
pub(crate) fn from_half(half: u16) -> f32 {
    /// 2^112: from f16's exponents to f32's.
    const EXPONENT: f32 = f32::from_bits((127 + 112) << 23);
    let magnitude = (u32::from(half) & 0x7fff) << 13;
    // Subnormals come out right as well: they are subnormal in f32 before the product, normal after it.
    let finite = (f32::from_bits(magnitude) * EXPONENT).to_bits();
    let quiet = u32::from(magnitude > 0x7c00 << 13) << 22;
    let bits = if magnitude >= 0x7c00 << 13 { magnitude | 0x7f80_0000 | quiet } else { finite };
    f32::from_bits(bits | (u32::from(half) & 0x8000) << 16)
}

/// The nearest f16, ties to even.
#[inline(always)]
pub(crate) fn to_half(value: f32) -> u16 {
    /// The least f32 that rounds to f16's infinity, 65520, and the least normal f16, 2^-14.
    const INFINITE: u32 = 0x477f_f000;
    const NORMAL: u32 = 0x3880_0000;
    /// 0.5: its last bit is worth 2^-24, the least f16, so adding it rounds a subnormal to whole multiples of that.
    const SUBNORMAL: f32 = 0.5;
    let bits = value.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    let normal = magnitude.wrapping_sub(112 << 23).wrapping_add(0x0fff + ((magnitude >> 13) & 1)) >> 13;
    let subnormal = (f32::from_bits(magnitude) + SUBNORMAL).to_bits().wrapping_sub(SUBNORMAL.to_bits());
    let finite = if magnitude < NORMAL { subnormal } else { normal };
    let special = if magnitude > 0x7f80_0000 { 0x7e00 | (magnitude >> 13) & 0x3ff } else { 0x7c00 };
    let half = if magnitude >= INFINITE { special } else { finite };
    (half | (bits >> 16) & 0x8000) as u16
}

/// The value of a bf16: exact.
#[inline(always)]
pub(crate) fn from_bf16(half: u16) -> f32 {
    f32::from_bits(u32::from(half) << 16)
}

/// The nearest bf16, ties to even.
#[inline(always)]
pub(crate) fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let quiet = (bits >> 16) | 0x40;
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    (if bits & 0x7fff_ffff > 0x7f80_0000 { quiet } else { rounded }) as u16
}
