//! Rows of f32 into a format's blocks, bit for bit as ggml's reference writes them.
//!
//! Source: `ggml-quants.c` of llama.cpp (`quantize_row_*_ref`, and the weighted forms that use an importance matrix).
//! ggml-base is built without fused multiply-add: plain products here, never `mul_add`, and every sum in the same order.
//!
//! `lanes` puts groups side by side, `plain` holds what needs no search (F32, F16, BF16, and the block formats without weights), `search` the fits of a
//! scale to a group of values, `k` and `iq4` the formats that use them.

mod iq4;
mod k;
mod lanes;
mod plain;
mod search;

use half::f16;

use crate::format::{BLOCK, SUPER_BLOCK};
use crate::{Error, Format};

/// Writes `values` to `bytes` in `format`. The lengths must fit: whole blocks, `bytes.len() == format.bytes_of(values.len())`.
pub fn quantize(format: Format, values: &[f32], bytes: &mut [u8]) -> Result<(), Error> {
    write(format, values, None, bytes)
}

/// As [`quantize`], for one row of which some columns matter more than others. `importance` holds for each column the mean
/// square of what it is multiplied by (a row of an importance matrix), so it is as long as `values`. Formats that have no
/// weighted form (F32, F16, BF16, Q8_0) take no notice of it.
pub fn quantize_weighted(format: Format, values: &[f32], importance: &[f32], bytes: &mut [u8]) -> Result<(), Error> {
    if importance.len() != values.len() {
        return Err(Error::Importance { columns: values.len(), importance: importance.len() });
    }
    write(format, values, Some(importance), bytes)
}

/// Checks the lengths, then writes with the widest registers there are. The code is the same for all: its groups side by side
/// fill whatever registers the compiler may use, and no operation is reordered or fused, so the bytes are the same too.
fn write(format: Format, values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) -> Result<(), Error> {
    if format.bytes_of(values.len() as u64) != Some(bytes.len() as u64) {
        return Err(Error::Length { format, bytes: bytes.len(), values: values.len() });
    }
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c") {
        // SAFETY: the processor has both, as was just asked.
        #[allow(unsafe_code)]
        return unsafe { write_avx2(format, values, importance, bytes) };
    }
    write_portable(format, values, importance, bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,f16c")]
fn write_avx2(format: Format, values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) -> Result<(), Error> {
    write_portable(format, values, importance, bytes)
}

/// Q8_0 or Q4_0 without importance; the lengths fit.
#[inline(always)]
pub(crate) fn simple(format: Format, values: &[f32], bytes: &mut [u8]) {
    match format {
        Format::Q8_0 => blocks(values, None, bytes, |values, _, block| plain::q8_0(values, block)),
        _ => blocks(values, None, bytes, |values, _, block| plain::q4_0(values, block)),
    }
}

#[inline(always)]
fn write_portable(format: Format, values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) -> Result<(), Error> {
    match (format, importance) {
        (Format::F32, _) => plain::each(values, bytes, f32::to_le_bytes),
        (Format::F16, _) => plain::each(values, bytes, |value| f16::from_f32(value).to_le_bytes()),
        (Format::BF16, _) => plain::each(values, bytes, |value| plain::bf16_bits(value).to_le_bytes()),
        (Format::Q8_0, _) => blocks(values, None, bytes, |values, _, block| plain::q8_0(values, block)),
        (Format::Q4_0, None) => blocks(values, None, bytes, |values, _, block| plain::q4_0(values, block)),
        (Format::Q4_1, None) => blocks(values, None, bytes, |values, _, block| plain::q4_1(values, block)),
        (Format::Q5_0, None) => blocks(values, None, bytes, |values, _, block| plain::q5_0(values, block)),
        (Format::Q5_1, None) => blocks(values, None, bytes, |values, _, block| plain::q5_1(values, block)),
        (Format::Q4_0, Some(importance)) => plain::weighted(values, importance, bytes, plain::q4_0_weighted),
        (Format::Q4_1, Some(importance)) => plain::weighted(values, importance, bytes, plain::q4_1_weighted),
        (Format::Q5_0, Some(importance)) => plain::weighted(values, importance, bytes, plain::q5_0_weighted),
        (Format::Q5_1, Some(importance)) => plain::weighted(values, importance, bytes, plain::q5_1_weighted),
        (Format::Q2_K, _) => blocks(values, importance, bytes, k::q2_k),
        (Format::Q3_K, _) => blocks(values, importance, bytes, k::q3_k),
        (Format::Q4_K, _) => blocks(values, importance, bytes, k::q4_k),
        (Format::Q5_K, _) => blocks(values, importance, bytes, k::q5_k),
        (Format::Q6_K, _) => blocks(values, importance, bytes, k::q6_k),
        (Format::IQ4_NL, _) => iq4::iq4_nl(values, importance, bytes),
        (Format::IQ4_XS, _) => blocks(values, importance, bytes, iq4::iq4_xs),
        (Format::MXFP4, _) => return Err(Error::NoQuantizer { format }),
    }
    Ok(())
}

/// Block by block: N values and their importance into M bytes. The lengths were checked.
#[inline(always)]
fn blocks<const N: usize, const M: usize>(
    values: &[f32],
    importance: Option<&[f32]>,
    bytes: &mut [u8],
    write: impl Fn(&[f32; N], Option<&[f32; N]>, &mut [u8; M]),
) {
    let (values, _) = values.as_chunks::<N>();
    let (bytes, _) = bytes.as_chunks_mut::<M>();
    let importance = importance.map(|importance| importance.as_chunks::<N>().0);
    for (at, (values, block)) in values.iter().zip(bytes).enumerate() {
        write(values, importance.and_then(|importance| importance.get(at)), block);
    }
}

/// Stores a number as f16 and returns what was stored.
#[inline(always)]
fn put_half(block: &mut [u8], at: usize, value: f32) -> f32 {
    let half = f16::from_f32(value);
    block[at..at + 2].copy_from_slice(&half.to_le_bytes());
    half.to_f32()
}

/// The weights that the search uses: each importance, raised where the value itself is large.
#[inline(always)]
fn weights_of(values: &[f32], importance: &[f32], mean_square: f32, weights: &mut [f32]) {
    for ((weight, value), importance) in weights.iter_mut().zip(values).zip(importance) {
        *weight = importance * (mean_square + value * value).sqrt();
    }
}

/// Sum in the order of the values, from zero, as the reference has it.
#[inline(always)]
fn sum_of_squares(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |sum, value| sum + value * value)
}
