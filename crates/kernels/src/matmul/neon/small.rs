//! Unpacking the formats with blocks of 32.

#![allow(unsafe_code)]

use std::arch::aarch64::*;

use super::Format;
use super::block::{LANES, Scaled, Shifted, halves, lanes};
use crate::dequantize::{IQ4_VALUES, MXFP4_VALUES, half_power_of_two};

/// The low four bits of 16 bytes, and the high ones.
#[inline(always)]
pub fn nibbles(bytes: &[u8]) -> [uint8x16_t; 2] {
    let bytes = load(bytes);
    // SAFETY: NEON is part of every processor of this target.
    unsafe { [vandq_u8(bytes, vdupq_n_u8(0x0f)), vshrq_n_u8::<4>(bytes)] }
}

/// The first 16 of some bytes.
#[inline(always)]
pub fn load(bytes: &[u8]) -> uint8x16_t {
    let bytes = &bytes[..16];
    // SAFETY: 16 bytes, as was just seen; NEON is part of every processor of this target.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

#[inline(always)]
pub fn signed(codes: uint8x16_t) -> int8x16_t {
    // SAFETY: NEON is part of every processor of this target.
    unsafe { vreinterpretq_s8_u8(codes) }
}

/// Codes less `offset`.
#[inline(always)]
pub fn less(codes: uint8x16_t, offset: i8) -> int8x16_t {
    // SAFETY: NEON is part of every processor of this target.
    unsafe { vsubq_s8(vreinterpretq_s8_u8(codes), vdupq_n_s8(offset)) }
}

/// The values of four-bit codes.
#[inline(always)]
pub fn of_table(table: &[i8; 16], codes: uint8x16_t) -> int8x16_t {
    // SAFETY: 16 values are read of 16; NEON is part of every processor of this target.
    unsafe { vqtbl1q_s8(vld1q_s8(table.as_ptr()), codes) }
}

/// Four low bits and the fifth: bit `i` of `high` is that of code `i`.
#[inline(always)]
fn with_fifth(low: [uint8x16_t; 2], high: &[u8]) -> [uint8x16_t; 2] {
    const BITS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
    std::array::from_fn(|v| {
        // SAFETY: 16 values are read of 16; NEON is part of every processor of this target.
        unsafe {
            let high = vcombine_u8(vdup_n_u8(high[2 * v]), vdup_n_u8(high[2 * v + 1]));
            let set = vtstq_u8(high, vld1q_u8(BITS.as_ptr()));
            vorrq_u8(low[v], vandq_u8(set, vdupq_n_u8(16)))
        }
    })
}

#[allow(non_camel_case_types)]
pub struct Q4_0;
impl Format<18> for Q4_0 {
    type Block = Scaled;
    #[inline(always)]
    fn unpack(rows: [&[u8; 18]; LANES]) -> Scaled {
        let codes = rows.map(|row| nibbles(&row[2..]).map(|codes| less(codes, 8)));
        Scaled { scale: halves(rows, 0), codes }
    }
}

#[allow(non_camel_case_types)]
pub struct Q4_1;
impl Format<20> for Q4_1 {
    type Block = Shifted;
    #[inline(always)]
    fn unpack(rows: [&[u8; 20]; LANES]) -> Shifted {
        let codes = rows.map(|row| nibbles(&row[4..]).map(signed));
        Shifted { scaled: Scaled { scale: halves(rows, 0), codes }, minimum: halves(rows, 2) }
    }
}

#[allow(non_camel_case_types)]
pub struct Q5_0;
impl Format<22> for Q5_0 {
    type Block = Scaled;
    #[inline(always)]
    fn unpack(rows: [&[u8; 22]; LANES]) -> Scaled {
        let codes = rows.map(|row| with_fifth(nibbles(&row[6..]), &row[2..6]).map(|codes| less(codes, 16)));
        Scaled { scale: halves(rows, 0), codes }
    }
}

#[allow(non_camel_case_types)]
pub struct Q5_1;
impl Format<24> for Q5_1 {
    type Block = Shifted;
    #[inline(always)]
    fn unpack(rows: [&[u8; 24]; LANES]) -> Shifted {
        let codes = rows.map(|row| with_fifth(nibbles(&row[8..]), &row[4..8]).map(signed));
        Shifted { scaled: Scaled { scale: halves(rows, 0), codes }, minimum: halves(rows, 2) }
    }
}

#[allow(non_camel_case_types)]
pub struct Q8_0;
impl Format<34> for Q8_0 {
    type Block = Scaled;
    #[inline(always)]
    fn unpack(rows: [&[u8; 34]; LANES]) -> Scaled {
        let codes = rows.map(|row| [signed(load(&row[2..])), signed(load(&row[18..]))]);
        Scaled { scale: halves(rows, 0), codes }
    }
}

pub struct Iq4Nl;
impl Format<18> for Iq4Nl {
    type Block = Scaled;
    #[inline(always)]
    fn unpack(rows: [&[u8; 18]; LANES]) -> Scaled {
        let codes = rows.map(|row| nibbles(&row[2..]).map(|codes| of_table(&IQ4_VALUES, codes)));
        Scaled { scale: halves(rows, 0), codes }
    }
}

pub struct Mxfp4;
impl Format<17> for Mxfp4 {
    type Block = Scaled;
    #[inline(always)]
    fn unpack(rows: [&[u8; 17]; LANES]) -> Scaled {
        let codes = rows.map(|row| nibbles(&row[1..]).map(|codes| of_table(&MXFP4_VALUES, codes)));
        Scaled { scale: lanes(rows.map(|row| half_power_of_two(row[0]))), codes }
    }
}
