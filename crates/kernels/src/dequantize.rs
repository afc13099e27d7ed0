//! Blocks of every format back into f32: the specification that faster paths are held to.
//!
//! Source: `dequantize_row_*` in llama.cpp's `ggml-quants.c`. Products and sums stand in its order, never fused, so that
//! the results are its bits. Each function takes one block and the values it holds, in the order of the row.

use half::f16;

use crate::format::{BLOCK, SUPER_BLOCK};
use crate::{Error, Format};

/// The values of the 4-bit codes of IQ4_NL and IQ4_XS (`kvalues_iq4nl`).
pub(crate) const IQ4_VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
/// The values of the 4-bit codes of MXFP4 (E2M1), doubled (`kvalues_mxfp4`).
pub(crate) const MXFP4_VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Reads `bytes` as `format` into `out`. The lengths must fit: whole blocks, `bytes.len() == format.bytes_of(out.len())`.
pub fn dequantize(format: Format, bytes: &[u8], out: &mut [f32]) -> Result<(), Error> {
    if format.bytes_of(out.len() as u64) != Some(bytes.len() as u64) {
        return Err(Error::Length { format, bytes: bytes.len(), values: out.len() });
    }
    match format {
        Format::F32 => each(bytes, out, |block: &[u8; 4], out: &mut [f32; 1]| out[0] = f32::from_le_bytes(*block)),
        Format::F16 => each(bytes, out, |block: &[u8; 2], out: &mut [f32; 1]| out[0] = half_at(block, 0)),
        Format::BF16 => each(bytes, out, |block: &[u8; 2], out: &mut [f32; 1]| {
            out[0] = f32::from_bits(u32::from(u16::from_le_bytes(*block)) << 16);
        }),
        Format::Q4_0 => each(bytes, out, q4_0),
        Format::Q4_1 => each(bytes, out, q4_1),
        Format::Q5_0 => each(bytes, out, q5_0),
        Format::Q5_1 => each(bytes, out, q5_1),
        Format::Q8_0 => each(bytes, out, q8_0),
        Format::Q2_K => each(bytes, out, q2_k),
        Format::Q3_K => each(bytes, out, q3_k),
        Format::Q4_K => each(bytes, out, q4_k),
        Format::Q5_K => each(bytes, out, q5_k),
        Format::Q6_K => each(bytes, out, q6_k),
        Format::IQ4_NL => each(bytes, out, iq4_nl),
        Format::IQ4_XS => each(bytes, out, iq4_xs),
        Format::MXFP4 => each(bytes, out, mxfp4),
    }
    Ok(())
}

/// Walks over blocks of `N` bytes that hold `V` values each.
fn each<const N: usize, const V: usize>(bytes: &[u8], out: &mut [f32], block: impl Fn(&[u8; N], &mut [f32; V])) {
    let (blocks, _) = bytes.as_chunks::<N>();
    let (values, _) = out.as_chunks_mut::<V>();
    blocks.iter().zip(values).for_each(|(bytes, out)| block(bytes, out));
}

pub(crate) fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// The low four bits of each byte are the first half of the values, the high four bits the second half.
fn nibbles(codes: &[u8], out: &mut [f32], value: impl Fn(usize, u8) -> f32) {
    let half = codes.len();
    for (i, &byte) in codes.iter().enumerate() {
        out[i] = value(i, byte & 0x0f);
        out[i + half] = value(i + half, byte >> 4);
    }
}

/// scale f16 | 16 bytes of codes - 8
fn q4_0(block: &[u8; 18], out: &mut [f32; BLOCK]) {
    let scale = half_at(block, 0);
    nibbles(&block[2..], out, |_, code| (i32::from(code) - 8) as f32 * scale);
}

/// scale f16 | minimum f16 | 16 bytes of codes
fn q4_1(block: &[u8; 20], out: &mut [f32; BLOCK]) {
    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
    nibbles(&block[4..], out, |_, code| f32::from(code) * scale + minimum);
}

/// The fifth bit of code `i` stands at bit `i` of the 32 high bits.
pub(crate) fn fifth(high: u32, i: usize) -> u8 {
    ((high >> i) & 1) as u8 * 16
}

/// scale f16 | 32 high bits | 16 bytes of low codes; code - 16
fn q5_0(block: &[u8; 22], out: &mut [f32; BLOCK]) {
    let scale = half_at(block, 0);
    let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    nibbles(&block[6..], out, |i, code| (i32::from(code | fifth(high, i)) - 16) as f32 * scale);
}

/// scale f16 | minimum f16 | 32 high bits | 16 bytes of low codes
fn q5_1(block: &[u8; 24], out: &mut [f32; BLOCK]) {
    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
    let high = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
    nibbles(&block[8..], out, |i, code| f32::from(code | fifth(high, i)) * scale + minimum);
}

/// scale f16 | 32 signed bytes
fn q8_0(block: &[u8; 34], out: &mut [f32; BLOCK]) {
    let scale = half_at(block, 0);
    for (out, &code) in out.iter_mut().zip(&block[2..]) {
        *out = f32::from(code as i8) * scale;
    }
}

/// 16 bytes (low: scale, high: minimum; one for 16 values) | 64 bytes of 2-bit codes | scale f16 | minimum f16
fn q2_k(block: &[u8; 84], out: &mut [f32; SUPER_BLOCK]) {
    let (scales, codes) = (&block[..16], &block[16..80]);
    let (scale, minimum) = (half_at(block, 80), half_at(block, 82));
    for (group, out) in out.chunks_exact_mut(16).enumerate() {
        let (scale, minimum) = (scale * f32::from(scales[group] & 0x0f), minimum * f32::from(scales[group] >> 4));
        let (start, shift) = two_bit_place(group);
        for (out, &byte) in out.iter_mut().zip(&codes[start..start + 16]) {
            *out = scale * f32::from((byte >> shift) & 3) - minimum;
        }
    }
}

/// Where the 2-bit codes of the `group`-th 16 values stand: first byte and shift. 128 values share 32 bytes.
pub(crate) fn two_bit_place(group: usize) -> (usize, usize) {
    (group / 8 * 32 + group % 2 * 16, group % 8 / 2 * 2)
}

/// The scale of the `group`-th 16 values among Q3_K's 12 bytes of them.
pub(crate) fn q3_k_scale(scales: &[u8], group: usize) -> i8 {
    let low = if group < 8 { scales[group] & 0x0f } else { scales[group - 8] >> 4 };
    let top = (scales[8 + group % 4] >> (group / 4 * 2)) & 3;
    (low | top << 4) as i8 - 32
}

/// 32 bytes of third bits | 64 bytes of 2-bit codes | 12 bytes of 16 six-bit scales | scale f16
fn q3_k(block: &[u8; 110], out: &mut [f32; SUPER_BLOCK]) {
    let (high, codes, scales) = (&block[..32], &block[32..96], &block[96..108]);
    let scale = half_at(block, 108);
    for (group, out) in out.chunks_exact_mut(16).enumerate() {
        let scale = scale * f32::from(q3_k_scale(scales, group));
        let (start, shift) = two_bit_place(group);
        let column = group % 2 * 16;
        for (i, out) in out.iter_mut().enumerate() {
            let code = ((codes[start + i] >> shift) & 3) as i8;
            let offset = if (high[column + i] >> (group / 2)) & 1 == 1 { 0 } else { 4 };
            *out = scale * f32::from(code - offset);
        }
    }
}

/// The `group`-th pair of six-bit (scale, minimum) of the 12 bytes that Q4_K and Q5_K share (`get_scale_min_k4`).
pub(crate) fn scale_and_minimum(scales: &[u8], group: usize) -> (u8, u8) {
    if group < 4 {
        return (scales[group] & 63, scales[group + 4] & 63);
    }
    let low = scales[group + 4];
    ((low & 0x0f) | (scales[group - 4] >> 6) << 4, (low >> 4) | (scales[group] >> 6) << 4)
}

/// scale f16 | minimum f16 | 12 bytes of scales and minimums for 8 groups of 32 | 128 bytes of 4-bit codes
fn q4_k(block: &[u8; 144], out: &mut [f32; SUPER_BLOCK]) {
    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
    let (scales, codes) = (&block[4..16], &block[16..]);
    for (group, out) in out.chunks_exact_mut(32).enumerate() {
        let (own_scale, own_minimum) = scale_and_minimum(scales, group);
        let (scale, minimum) = (scale * f32::from(own_scale), minimum * f32::from(own_minimum));
        let shift = group % 2 * 4;
        for (out, &byte) in out.iter_mut().zip(&codes[group / 2 * 32..]) {
            *out = scale * f32::from((byte >> shift) & 0x0f) - minimum;
        }
    }
}

/// As Q4_K, with 32 bytes of fifth bits (bit `group` of byte `i`) before the codes.
fn q5_k(block: &[u8; 176], out: &mut [f32; SUPER_BLOCK]) {
    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
    let (scales, high, codes) = (&block[4..16], &block[16..48], &block[48..]);
    for (group, out) in out.chunks_exact_mut(32).enumerate() {
        let (own_scale, own_minimum) = scale_and_minimum(scales, group);
        let (scale, minimum) = (scale * f32::from(own_scale), minimum * f32::from(own_minimum));
        let shift = group % 2 * 4;
        for (i, out) in out.iter_mut().enumerate() {
            let code = ((codes[group / 2 * 32 + i] >> shift) & 0x0f) | ((high[i] >> group) & 1) << 4;
            *out = scale * f32::from(code) - minimum;
        }
    }
}

/// 128 bytes of low codes | 64 bytes of two high bits | 16 signed scales | scale f16; code - 32
fn q6_k(block: &[u8; 210], out: &mut [f32; SUPER_BLOCK]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half_at(block, 208);
    for (group, out) in out.chunks_exact_mut(16).enumerate() {
        let scale = scale * f32::from(scales[group] as i8);
        // 128 values share 64 bytes of low codes and 32 of high bits: quarters of 32 values.
        let (half, quarter, column) = (group / 8, group % 8 / 2, group % 2 * 16);
        let low = &low[half * 64 + quarter % 2 * 32 + column..];
        let high = &high[half * 32 + column..];
        for (i, out) in out.iter_mut().enumerate() {
            let code = ((low[i] >> (quarter / 2 * 4)) & 0x0f) | ((high[i] >> (quarter * 2)) & 3) << 4;
            *out = scale * f32::from(code as i8 - 32);
        }
    }
}

/// scale f16 | 16 bytes of codes into the table
fn iq4_nl(block: &[u8; 18], out: &mut [f32; BLOCK]) {
    let scale = half_at(block, 0);
    nibbles(&block[2..], out, |_, code| scale * f32::from(IQ4_VALUES[usize::from(code)]));
}

/// The scale of the `group`-th 32 values of an IQ4_XS block.
pub(crate) fn iq4_xs_scale(block: &[u8; 136], group: usize) -> i8 {
    let high = u16::from_le_bytes([block[2], block[3]]);
    let low = (block[4 + group / 2] >> (group % 2 * 4)) & 0x0f;
    (low | (((high >> (group * 2)) & 3) as u8) << 4) as i8 - 32
}

/// scale f16 | 16 bits of high scale bits | 4 bytes of low scale bits | 128 bytes of codes; scale of a group of 32 - 32
fn iq4_xs(block: &[u8; 136], out: &mut [f32; SUPER_BLOCK]) {
    let scale = half_at(block, 0);
    for (group, out) in out.chunks_exact_mut(32).enumerate() {
        let scale = scale * f32::from(iq4_xs_scale(block, group));
        let codes = &block[8 + group * 16..8 + group * 16 + 16];
        nibbles(codes, out, |_, code| scale * f32::from(IQ4_VALUES[usize::from(code)]));
    }
}

/// exponent (E8M0) | 16 bytes of codes (E2M1)
fn mxfp4(block: &[u8; 17], out: &mut [f32; BLOCK]) {
    let scale = half_power_of_two(block[0]);
    nibbles(&block[1..], out, |_, code| scale * f32::from(MXFP4_VALUES[usize::from(code)]));
}

/// Half of 2^(exponent - 127): the table's values are doubled (`ggml_e8m0_to_fp32_half`).
pub(crate) fn half_power_of_two(exponent: u8) -> f32 {
    f32::from_bits(if exponent < 2 { 0x0020_0000 << exponent } else { (u32::from(exponent) - 1) << 23 })
}
