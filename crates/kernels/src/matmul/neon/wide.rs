//! Unpacking the formats with blocks of 256.

#![allow(unsafe_code)]

use std::arch::aarch64::*;
use std::array::from_fn;

use super::Format;
use super::block::{Grouped, GroupedShifted, LANES, halves};
use super::small::{less, load, nibbles, of_table, signed};
use crate::dequantize::{IQ4_VALUES, iq4_xs_scale, q3_k_scale, scale_and_minimum, two_bit_place};

/// The bits of `mask` in each byte after a shift to the right.
#[inline(always)]
fn bits(bytes: uint8x16_t, shift: usize, mask: u8) -> uint8x16_t {
    // SAFETY: NEON is part of every processor of this target.
    unsafe { vandq_u8(vshlq_u8(bytes, vdupq_n_s8(-(shift as i8))), vdupq_n_u8(mask)) }
}

/// `low` with the bits of `high` that `mask` names, shifted left.
#[inline(always)]
fn with_high<const SHIFT: i32>(low: uint8x16_t, high: uint8x16_t) -> uint8x16_t {
    // SAFETY: NEON is part of every processor of this target.
    unsafe { vorrq_u8(low, vshlq_n_u8::<SHIFT>(high)) }
}

/// What the four rows say of each group, the rows side by side.
#[inline(always)]
fn own<const N: usize, const G: usize>(
    rows: [&[u8; N]; LANES],
    of_group: impl Fn(&[u8; N], usize) -> i32,
) -> [[i32; LANES]; G] {
    from_fn(|g| rows.map(|row| of_group(row, g)))
}

#[allow(non_camel_case_types)]
pub struct Q2_K;
impl Format<84> for Q2_K {
    type Block = GroupedShifted<16, 1>;
    #[inline(always)]
    fn unpack(rows: [&[u8; 84]; LANES]) -> GroupedShifted<16, 1> {
        let codes = from_fn(|g| {
            let (start, shift) = two_bit_place(g);
            rows.map(|row| [signed(bits(load(&row[16 + start..]), shift, 3))])
        });
        let own_scales = own(rows, |row, g| i32::from(row[g] & 0x0f));
        let own_minimums = own(rows, |row, g| i32::from(row[g] >> 4));
        let grouped = Grouped { scale: halves(rows, 80), own_scales, codes };
        GroupedShifted { grouped, minimum: halves(rows, 82), own_minimums }
    }
}

#[allow(non_camel_case_types)]
pub struct Q3_K;
impl Format<110> for Q3_K {
    type Block = Grouped<16, 1>;
    #[inline(always)]
    fn unpack(rows: [&[u8; 110]; LANES]) -> Grouped<16, 1> {
        let codes = from_fn(|g| {
            let (start, shift) = two_bit_place(g);
            rows.map(|row| {
                let high = bits(load(&row[g % 2 * 16..]), g / 2, 1);
                [less(with_high::<2>(bits(load(&row[32 + start..]), shift, 3), high), 4)]
            })
        });
        let own_scales = own(rows, |row, g| q3_k_scale(&row[96..108], g).into());
        Grouped { scale: halves(rows, 108), own_scales, codes }
    }
}

/// Scales and minimums of Q4_K and Q5_K, with the codes.
#[inline(always)]
fn k_block<const N: usize>(rows: [&[u8; N]; LANES], codes: [[[int8x16_t; 2]; LANES]; 8]) -> GroupedShifted<8, 2> {
    let own_scales = own(rows, |row, g| scale_and_minimum(&row[4..16], g).0.into());
    let own_minimums = own(rows, |row, g| scale_and_minimum(&row[4..16], g).1.into());
    let grouped = Grouped { scale: halves(rows, 0), own_scales, codes };
    GroupedShifted { grouped, minimum: halves(rows, 2), own_minimums }
}

#[allow(non_camel_case_types)]
pub struct Q4_K;
impl Format<144> for Q4_K {
    type Block = GroupedShifted<8, 2>;
    #[inline(always)]
    fn unpack(rows: [&[u8; 144]; LANES]) -> GroupedShifted<8, 2> {
        let codes = from_fn(|g| {
            let start = 16 + g / 2 * 32;
            rows.map(|row| from_fn(|v| signed(bits(load(&row[start + v * 16..]), g % 2 * 4, 0x0f))))
        });
        k_block(rows, codes)
    }
}

#[allow(non_camel_case_types)]
pub struct Q5_K;
impl Format<176> for Q5_K {
    type Block = GroupedShifted<8, 2>;
    #[inline(always)]
    fn unpack(rows: [&[u8; 176]; LANES]) -> GroupedShifted<8, 2> {
        let codes = from_fn(|g| {
            let start = 48 + g / 2 * 32;
            rows.map(|row| {
                from_fn(|v| {
                    let low = bits(load(&row[start + v * 16..]), g % 2 * 4, 0x0f);
                    signed(with_high::<4>(low, bits(load(&row[16 + v * 16..]), g, 1)))
                })
            })
        });
        k_block(rows, codes)
    }
}

#[allow(non_camel_case_types)]
pub struct Q6_K;
impl Format<210> for Q6_K {
    type Block = Grouped<16, 1>;
    #[inline(always)]
    fn unpack(rows: [&[u8; 210]; LANES]) -> Grouped<16, 1> {
        let codes = from_fn(|g| {
            // 128 values share 64 bytes of low codes and 32 of high bits: quarters of 32 values.
            let (half, quarter, column) = (g / 8, g % 8 / 2, g % 2 * 16);
            rows.map(|row| {
                let low = bits(load(&row[half * 64 + quarter % 2 * 32 + column..]), quarter / 2 * 4, 0x0f);
                [less(with_high::<4>(low, bits(load(&row[128 + half * 32 + column..]), quarter * 2, 3)), 32)]
            })
        });
        let own_scales = own(rows, |row, g| i32::from(row[192 + g] as i8));
        Grouped { scale: halves(rows, 208), own_scales, codes }
    }
}

pub struct Iq4Xs;
impl Format<136> for Iq4Xs {
    type Block = Grouped<8, 2>;
    #[inline(always)]
    fn unpack(rows: [&[u8; 136]; LANES]) -> Grouped<8, 2> {
        let codes = from_fn(|g| rows.map(|row| nibbles(&row[8 + g * 16..]).map(|codes| of_table(&IQ4_VALUES, codes))));
        let own_scales = own(rows, |row, g| iq4_xs_scale(row, g).into());
        Grouped { scale: halves(rows, 0), own_scales, codes }
    }
}
