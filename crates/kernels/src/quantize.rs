//! Rows of f32 into a format's blocks: F32, F16, BF16 and Q8_0, bit for bit as ggml's reference writes them.
//!
//! Source: `quantize_row_q8_0_ref`, `ggml_compute_fp32_to_bf16`. ggml builds these without fused multiply-add: plain
//! products here, never `mul_add`.

use half::f16;

use crate::format::BLOCK;
use crate::{Error, Format};

/// Writes `values` to `bytes` in `format`. The lengths must fit: whole blocks, `bytes.len() == format.bytes_of(values.len())`.
pub fn quantize(format: Format, values: &[f32], bytes: &mut [u8]) -> Result<(), Error> {
    if format.bytes_of(values.len() as u64) != Some(bytes.len() as u64) {
        return Err(Error::Length { format, bytes: bytes.len(), values: values.len() });
    }
    match format {
        Format::F32 => plain(values, bytes, |value| value.to_le_bytes()),
        Format::F16 => plain(values, bytes, |value| f16::from_f32(value).to_le_bytes()),
        Format::BF16 => plain(values, bytes, |value| bf16_bits(value).to_le_bytes()),
        Format::Q8_0 => {
            let (blocks, _) = values.as_chunks::<BLOCK>();
            let (out, _) = bytes.as_chunks_mut::<34>();
            blocks.iter().zip(out).for_each(|(values, block)| q8_0(values, block));
        }
        _ => return Err(Error::NoQuantizer { format }),
    }
    Ok(())
}

fn plain<const N: usize>(values: &[f32], bytes: &mut [u8], convert: impl Fn(f32) -> [u8; N]) {
    let (out, _) = bytes.as_chunks_mut::<N>();
    values.iter().zip(out).for_each(|(&value, out)| *out = convert(value));
}

/// To nearest, ties to even; a NaN stays a NaN, made quiet.
fn bf16_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    if bits & 0x7fff_ffff > 0x7f80_0000 {
        return (bits >> 16) as u16 | 64;
    }
    (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// Scale = largest magnitude / 127, stored as f16; values rounded half away from zero with the scale before it was rounded.
fn q8_0(values: &[f32; BLOCK], block: &mut [u8; 34]) {
    // ggml's MAX: the left one only where it is greater, which tells for NaN.
    let largest = values.iter().fold(0.0f32, |largest, v| if largest > v.abs() { largest } else { v.abs() });
    let scale = largest / 127.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    block[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    for (out, value) in block[2..].iter_mut().zip(values) {
        let code = value * inverse;
        // A subnormal scale has no finite inverse. It is stored as 0, and C's conversion of infinity leaves 0 on x86.
        *out = if code.is_finite() { code.round() as i8 as u8 } else { 0 };
    }
}
