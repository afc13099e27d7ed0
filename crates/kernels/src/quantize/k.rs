//! The K-quants: 256 values in groups, whose scales (and minimums) are quantized themselves.

use super::lanes::{Lanes, one_by_one, side_by_side};
use super::search::{self, Grid, nearest};
use super::{SUPER_BLOCK, put_half, sum_of_squares, weights_of};

type Values = [f32; SUPER_BLOCK];
type Codes = [u8; SUPER_BLOCK];

/// 16 bytes (low: scale, high: minimum; one for 16 values) | 64 bytes of 2-bit codes | scale f16 | minimum f16
#[inline(always)]
pub(super) fn q2_k(values: &Values, importance: Option<&Values>, block: &mut [u8; 84]) {
    const GROUPS: usize = 16;
    let grid = match importance {
        Some(_) => Grid::WEIGHTED,
        None => Grid { start: -0.5, step: 0.1, steps: 15, magnitude: true },
    };
    let mut weights = [0.0; SUPER_BLOCK];
    match importance {
        Some(importance) => {
            weights_of(values, importance, sum_of_squares(values) / SUPER_BLOCK as f32, &mut weights);
        }
        None => weights.iter_mut().zip(values).for_each(|(weight, value)| *weight = value.abs()),
    }
    let mut codes: Codes = [0; SUPER_BLOCK];
    let (mut scales, mut minimums) = ([0.0f32; GROUPS], [0.0f32; GROUPS]);
    for half in 0..2 {
        let (from, to) = (half * SUPER_BLOCK / 2, half * GROUPS / 2);
        let fit = search::offset::<8, 16>(&side_by_side(&values[from..]), &side_by_side(&weights[from..]), 3.0, grid);
        scales[to..to + 8].copy_from_slice(&fit.scales.0);
        minimums[to..to + 8].copy_from_slice(&fit.minimums.0);
        one_by_one(&fit.codes, &mut codes[from..]);
    }
    let sums = sums_of::<GROUPS>(&weights);
    let mut own = [0u8; GROUPS];
    let mut shrink = |parts: &[f32; GROUPS], shift: u8| {
        let mut small = [0u8; GROUPS];
        let whole = if importance.is_some() {
            search::positive(parts, &sums, 15, &mut small)
        } else {
            let most = greatest(parts);
            if most > 0.0 {
                let inverse = 15.0 / most;
                small.iter_mut().zip(parts).for_each(|(small, part)| *small = nearest(inverse * part) as u8);
            }
            most / 15.0
        };
        own.iter_mut().zip(small).for_each(|(own, small)| *own |= small << shift);
        whole
    };
    let (scale, minimum) = (shrink(&scales, 0), shrink(&minimums, 4));
    block[..16].copy_from_slice(&own);
    let (scale, minimum) = (put_half(block, 80, scale), put_half(block, 82, minimum));
    for (group, (values, codes)) in values.chunks_exact(16).zip(codes.chunks_exact_mut(16)).enumerate() {
        let (scale, minimum) = (scale * f32::from(own[group] & 0x0f), minimum * f32::from(own[group] >> 4));
        settle(values, scale, minimum, 3, codes);
    }
    two_bits(&codes, &mut block[16..80]);
}

/// 32 bytes of third bits | 64 bytes of 2-bit codes | 12 bytes of 16 six-bit scales | scale f16
#[inline(always)]
pub(super) fn q3_k(values: &Values, importance: Option<&Values>, block: &mut [u8; 110]) {
    const GROUPS: usize = 16;
    let mut weights = [0.0; SUPER_BLOCK];
    if let Some(importance) = importance {
        weights_of(values, importance, 2.0 * sum_of_squares(values) / SUPER_BLOCK as f32, &mut weights);
    }
    let mut codes: Codes = [0; SUPER_BLOCK];
    let (mut scales, mut own) = ([0.0f32; GROUPS], [0u8; GROUPS]);
    for half in 0..2 {
        let (from, to) = (half * SUPER_BLOCK / 2, half * GROUPS / 2);
        let lanes: [Lanes<8>; 16] = side_by_side(&values[from..]);
        let (fitted, fitted_codes) = match importance {
            Some(_) => search::signed(&lanes, &side_by_side(&weights[from..]), 4.0),
            None => search::signed_by_moves(&lanes, 4.0),
        };
        scales[to..to + 8].copy_from_slice(&fitted.0);
        one_by_one(&fitted_codes, &mut codes[from..]);
    }
    let scale = if importance.is_some() {
        let sums = sums_of::<GROUPS>(&weights);
        let (scale, fitted) = search::signed::<1, GROUPS>(&side_by_side(&scales), &side_by_side(&sums), 32.0);
        one_by_one(&fitted, &mut own);
        scale.0[0]
    } else {
        let peak = search::peak(&scales);
        // A block of zeros keeps the scales' bytes zero.
        if peak == 0.0 {
            0.0
        } else {
            let inverse = -32.0 / peak;
            for (own, scale) in own.iter_mut().zip(scales) {
                *own = ((nearest(inverse * scale) as i8).clamp(-32, 31) + 32) as u8;
            }
            1.0 / inverse
        }
    };
    let mut packed = [0u8; 12];
    for (group, &own) in own.iter().enumerate() {
        packed[group % 8] |= (own & 0x0f) << (group / 8 * 4);
        packed[group % 4 + 8] |= (own >> 4) << (group / 4 * 2);
    }
    block[96..108].copy_from_slice(&packed);
    let scale = put_half(block, 108, scale);
    for (group, (values, codes)) in values.chunks_exact(16).zip(codes.chunks_exact_mut(16)).enumerate() {
        settle_signed(values, scale * (f32::from(own[group]) - 32.0), 4, codes);
    }
    block[..32].fill(0);
    for (at, code) in codes.iter_mut().enumerate() {
        if *code > 3 {
            block[at % 32] |= 1 << (at / 32);
            *code -= 4;
        }
    }
    two_bits(&codes, &mut block[32..96]);
}

/// scale f16 | minimum f16 | 12 bytes of scales and minimums for 8 groups of 32 | 128 bytes of 4-bit codes
#[inline(always)]
pub(super) fn q4_k(values: &Values, importance: Option<&Values>, block: &mut [u8; 144]) {
    let grid = Grid { start: -1.0, step: 0.1, steps: 20, magnitude: false };
    let codes = with_minimums(values, importance, 15, grid, &mut block[..16]);
    four_bits(&codes, &mut block[16..]);
}

/// As Q4_K, with 32 bytes of fifth bits (bit `group` of byte `i`) before the codes.
#[inline(always)]
pub(super) fn q5_k(values: &Values, importance: Option<&Values>, block: &mut [u8; 176]) {
    let grid = Grid { start: -0.5, step: 0.1, steps: 15, magnitude: false };
    let codes = with_minimums(values, importance, 31, grid, &mut block[..16]);
    block[16..48].fill(0);
    for (at, code) in codes.iter().enumerate() {
        block[16 + at % 32] |= (code >> 4) << (at / 32);
    }
    four_bits(&codes, &mut block[48..]);
}

/// The head that Q4_K and Q5_K share, and the codes from 0 to `limit`.
#[inline(always)]
fn with_minimums(values: &Values, importance: Option<&Values>, limit: i32, grid: Grid, head: &mut [u8]) -> Codes {
    const GROUPS: usize = 8;
    let mut weights = [0.0; SUPER_BLOCK];
    let grid = if let Some(importance) = importance {
        weights_of(values, importance, 2.0 * sum_of_squares(values) / SUPER_BLOCK as f32, &mut weights);
        Grid::WEIGHTED
    } else {
        for (values, weights) in values.chunks_exact(32).zip(weights.chunks_exact_mut(32)) {
            let size = (sum_of_squares(values) / 32.0).sqrt();
            weights.iter_mut().zip(values).for_each(|(weight, value)| *weight = size + value.abs());
        }
        grid
    };
    let fit = search::offset::<GROUPS, 32>(&side_by_side(values), &side_by_side(&weights), limit as f32, grid);
    let mut codes: Codes = [0; SUPER_BLOCK];
    one_by_one(&fit.codes, &mut codes);
    let (scales, minimums, sums) = (fit.scales.0, fit.minimums.0, sums_of::<GROUPS>(&weights));
    let shrink = |parts: &[f32; GROUPS]| {
        let mut small = [0u8; GROUPS];
        if importance.is_some() {
            let whole = search::positive(parts, &sums, 63, &mut small);
            return (whole, small);
        }
        let most = greatest(parts);
        let inverse = if most > 0.0 { 63.0 / most } else { 0.0 };
        small.iter_mut().zip(parts).for_each(|(small, part)| *small = (nearest(inverse * part) as u8).min(63));
        (most / 63.0, small)
    };
    let ((scale, own_scales), (minimum, own_minimums)) = (shrink(&scales), shrink(&minimums));
    let (scale, minimum) = (put_half(head, 0, scale), put_half(head, 2, minimum));
    pack_pairs(&own_scales, &own_minimums, &mut head[4..16]);
    for (group, (values, codes)) in values.chunks_exact(32).zip(codes.chunks_exact_mut(32)).enumerate() {
        let (own_scale, own_minimum) = (own_scales[group] & 63, own_minimums[group] & 63);
        settle(values, scale * f32::from(own_scale), minimum * f32::from(own_minimum), limit, codes);
    }
    codes
}

/// 8 pairs of six-bit numbers in 12 bytes; the reverse of the reader's `scale_and_minimum`.
#[inline(always)]
fn pack_pairs(scales: &[u8; 8], minimums: &[u8; 8], out: &mut [u8]) {
    out.fill(0);
    for (group, (&scale, &minimum)) in scales.iter().zip(minimums).enumerate() {
        if group < 4 {
            out[group] = scale;
            out[group + 4] = minimum;
        } else {
            out[group + 4] = (scale & 0x0f) | (minimum & 0x0f) << 4;
            out[group - 4] |= scale >> 4 << 6;
            out[group] |= minimum >> 4 << 6;
        }
    }
}

/// 128 bytes of low codes | 64 bytes of two high bits | 16 signed scales | scale f16; code - 32
#[inline(always)]
pub(super) fn q6_k(values: &Values, importance: Option<&Values>, block: &mut [u8; 210]) {
    const GROUPS: usize = 16;
    let mut squares = [0.0; SUPER_BLOCK];
    squares.iter_mut().zip(values).for_each(|(square, value)| *square = value * value);
    let weights = importance.unwrap_or(&squares);
    let mut codes: Codes = [0; SUPER_BLOCK];
    let mut scales = [0.0f32; GROUPS];
    for half in 0..2 {
        let (from, to) = (half * SUPER_BLOCK / 2, half * GROUPS / 2);
        let (fitted, fitted_codes) =
            search::signed::<8, 16>(&side_by_side(&values[from..]), &side_by_side(&weights[from..]), 32.0);
        scales[to..to + 8].copy_from_slice(&fitted.0);
        one_by_one(&fitted_codes, &mut codes[from..]);
    }
    let peak = search::peak(&scales);
    block.fill(0);
    if peak.abs() < search::ZERO {
        return;
    }
    let inverse = -128.0 / peak;
    let scale = put_half(block, 208, 1.0 / inverse);
    for (group, (values, codes)) in values.chunks_exact(16).zip(codes.chunks_exact_mut(16)).enumerate() {
        let own = nearest(inverse * scales[group]).min(127) as i8;
        block[192 + group] = own as u8;
        settle_signed(values, scale * f32::from(own), 32, codes);
    }
    for (at, code) in codes.iter().enumerate() {
        // 128 values share 64 bytes of low codes and 32 of high bits: quarters of 32 values.
        let (half, quarter, column) = (at / 128, at % 128 / 32, at % 32);
        block[half * 64 + quarter % 2 * 32 + column] |= (code & 0x0f) << (quarter / 2 * 4);
        block[128 + half * 32 + column] |= (code >> 4) << (quarter * 2);
    }
}

/// The sum of each group's weights, in their order.
#[inline(always)]
fn sums_of<const GROUPS: usize>(weights: &Values) -> [f32; GROUPS] {
    let mut sums = [0.0; GROUPS];
    for (sum, weights) in sums.iter_mut().zip(weights.chunks_exact(SUPER_BLOCK / GROUPS)) {
        *sum = weights.iter().fold(0.0, |sum, weight| sum + weight);
    }
    sums
}

/// The greatest of them, at least 0.
#[inline(always)]
fn greatest(parts: &[f32]) -> f32 {
    parts.iter().fold(0.0, |most, &part| if part > most { part } else { most })
}

/// The codes once the scale and the minimum are what was stored; a group without a scale keeps those of the search.
#[inline(always)]
fn settle(values: &[f32], scale: f32, minimum: f32, limit: i32, codes: &mut [u8]) {
    if scale != 0.0 {
        for (code, value) in codes.iter_mut().zip(values) {
            *code = nearest((value + minimum) / scale).clamp(0, limit) as u8;
        }
    }
}

/// As [`settle`], for codes from `-limit` to `limit - 1`, kept with `limit` added.
#[inline(always)]
fn settle_signed(values: &[f32], scale: f32, limit: i32, codes: &mut [u8]) {
    if scale != 0.0 {
        for (code, value) in codes.iter_mut().zip(values) {
            *code = (nearest(value / scale).clamp(-limit, limit - 1) + limit) as u8;
        }
    }
}

/// Four codes a byte: 128 values share 32 bytes.
#[inline(always)]
fn two_bits(codes: &Codes, out: &mut [u8]) {
    out.fill(0);
    for (at, code) in codes.iter().enumerate() {
        out[at / 128 * 32 + at % 32] |= code << (at % 128 / 32 * 2);
    }
}

/// Two codes a byte: 64 values share 32 bytes.
#[inline(always)]
fn four_bits(codes: &Codes, out: &mut [u8]) {
    out.fill(0);
    for (at, code) in codes.iter().enumerate() {
        out[at / 64 * 32 + at % 32] |= (code & 0x0f) << (at % 64 / 32 * 4);
    }
}
