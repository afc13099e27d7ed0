//! Operations on rows of f32: norm, rope, SwiGLU, sums, conversions. Every instruction set gives the same bits.
//!
//! Each operation is written once (`rows`) and compiled for each set; sums of floats go into sixteen lanes, value `i` to lane
//! `i % 16` by fused multiply-add, and the lanes are folded 8 + 8, 4 + 4, 2 + 2, 1 + 1.

pub(crate) mod exp;
pub(crate) mod half;
pub(crate) mod lanes;
pub(crate) mod rows;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

use crate::{Error, Format, Kernels, dequantize, quantize};

/// Which values of a head turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// Value `i` with value `i + rotated / 2`.
    Halves,
    /// Value `2 i` with value `2 i + 1`.
    Adjacent,
}

/// The operations of one instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    // SAFETY of each call: the processor has the set, and the lengths fit each other; the safe entries see to both.
    rms_norm: unsafe fn(&[f32], &[f32], f32, &mut [f32]),
    rotate: unsafe fn(&mut [f32], usize, &[f32], &[f32], Pairs),
    swiglu: unsafe fn(&mut [f32], &[f32]),
    softmax: unsafe fn(&mut [f32]),
    add: unsafe fn(&mut [f32], &[f32]),
    scale_add: unsafe fn(&mut [f32], f32, &[f32]),
    dot: unsafe fn(&[f32], &[f32]) -> f32,
    // SAFETY: as above.
    encode: unsafe fn(Format, &[f32], &mut [u8]),
    decode: unsafe fn(Format, &[u8], &mut [f32]),
}

/// The same source for one set: functions that may use `$features`, and their table.
macro_rules! table {
    ($name:ident, $module:ident, $lanes:ty, $(#[$feature:meta])?) => {
        mod $module {
            use super::{Format, Pairs, Table, rows};

            $(#[$feature])?
            fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
                rows::rms_norm::<$lanes>(x, weight, epsilon, out);
            }
            $(#[$feature])?
            fn rotate(row: &mut [f32], head_size: usize, cos: &[f32], sin: &[f32], pairs: Pairs) {
                rows::rotate(row, head_size, cos, sin, pairs);
            }
            $(#[$feature])?
            fn swiglu(gate: &mut [f32], up: &[f32]) {
                rows::swiglu(gate, up);
            }
            $(#[$feature])?
            fn softmax(row: &mut [f32]) {
                rows::softmax::<$lanes>(row);
            }
            $(#[$feature])?
            fn add(x: &mut [f32], y: &[f32]) {
                rows::add(x, y);
            }
            $(#[$feature])?
            fn scale_add(x: &mut [f32], scale: f32, y: &[f32]) {
                rows::scale_add(x, scale, y);
            }
            $(#[$feature])?
            fn dot(a: &[f32], b: &[f32]) -> f32 {
                rows::dot::<$lanes>(a, b)
            }
            $(#[$feature])?
            fn encode(format: Format, values: &[f32], bytes: &mut [u8]) {
                rows::encode::<$lanes>(format, values, bytes);
            }
            $(#[$feature])?
            fn decode(format: Format, bytes: &[u8], values: &mut [f32]) {
                rows::decode::<$lanes>(format, bytes, values);
            }
            pub(crate) const TABLE: Table =
                Table { rms_norm, rotate, swiglu, softmax, add, scale_add, dot, encode, decode };
        }
        pub(crate) const $name: Table = $module::TABLE;
    };
}

table!(PORTABLE, portable, crate::vector::lanes::Plain,);
#[cfg(target_arch = "x86_64")]
table!(AVX2, avx2, crate::vector::x86::Avx2, #[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2")]);
#[cfg(target_arch = "x86_64")]
table!(
    AVX512, avx512, crate::vector::x86::Avx512,
    #[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,avx512f,avx512bw,avx512vl,avx512dq")]
);

/// A length that another one asks for.
pub(crate) fn fits(what: &'static str, length: usize, wanted: usize) -> Result<(), Error> {
    if length == wanted { Ok(()) } else { Err(Error::Shape { what, length, wanted }) }
}

/// Calls a function of a table.
macro_rules! call {
    ($function:expr, $($argument:expr),*) => {{
        // SAFETY: the table is that of a set which this processor has (`Kernels::of` hands out no other), and the lengths
        // were checked.
        #[allow(unsafe_code)]
        unsafe { $function($($argument),*) }
    }};
}

impl Kernels {
    /// `out = x / sqrt(mean(x^2) + epsilon) * weight`: the sum in lanes, then 1 / sqrt, then two products.
    pub fn rms_norm(&self, x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) -> Result<(), Error> {
        fits("the norm's weight", weight.len(), x.len())?;
        fits("the norm's output", out.len(), x.len())?;
        call!(self.vector.rms_norm, x, weight, epsilon, out);
        Ok(())
    }

    /// Turns the pairs of each head by the angles of one position. `row`: (heads, head_size); `cos` and `sin` have one value
    /// a pair, for the first `2 * cos.len()` values of each head; the others stay.
    ///
    /// `(a, b)` becomes `(a cos - b sin, b cos + a sin)`, each product rounded by itself.
    pub fn rotate(
        &self,
        row: &mut [f32],
        head_size: usize,
        cos: &[f32],
        sin: &[f32],
        pairs: Pairs,
    ) -> Result<(), Error> {
        fits("the sines", sin.len(), cos.len())?;
        if 2 * cos.len() > head_size {
            return Err(Error::Shape { what: "the cosines", length: cos.len(), wanted: head_size / 2 });
        }
        fits("the part of the row that is no whole head", row.len().checked_rem(head_size).unwrap_or(row.len()), 0)?;
        call!(self.vector.rotate, row, head_size, cos, sin, pairs);
        Ok(())
    }

    /// `gate = silu(gate) * up`, silu(x) = x / (1 + e^-x). Within 4 ulp of the exact value where that is at least 1e-36.
    pub fn swiglu(&self, gate: &mut [f32], up: &[f32]) -> Result<(), Error> {
        fits("the upper row", up.len(), gate.len())?;
        call!(self.vector.swiglu, gate, up);
        Ok(())
    }

    /// The softmax of a row, in place. NaN where the row has NaN or infinity, or nothing but -infinity.
    pub fn softmax(&self, row: &mut [f32]) {
        call!(self.vector.softmax, row);
    }

    /// `x += y`
    pub fn add(&self, x: &mut [f32], y: &[f32]) -> Result<(), Error> {
        fits("the row to add", y.len(), x.len())?;
        call!(self.vector.add, x, y);
        Ok(())
    }

    /// `x += scale * y`, rounded once.
    pub fn scale_add(&self, x: &mut [f32], scale: f32, y: &[f32]) -> Result<(), Error> {
        fits("the row to add", y.len(), x.len())?;
        call!(self.vector.scale_add, x, scale, y);
        Ok(())
    }

    /// The sum of products, in sixteen lanes.
    pub fn dot(&self, a: &[f32], b: &[f32]) -> Result<f32, Error> {
        fits("the second row", b.len(), a.len())?;
        Ok(call!(self.vector.dot, a, b))
    }

    /// Writes a row as `format`: what [`quantize`] writes, faster where there is no search (F16, BF16 and so on).
    pub fn encode(&self, format: Format, values: &[f32], bytes: &mut [u8]) -> Result<(), Error> {
        if !matches!(format, Format::F16 | Format::BF16 | Format::Q8_0 | Format::Q4_0) {
            return quantize(format, values, bytes);
        }
        lengths(format, bytes.len(), values.len())?;
        call!(self.vector.encode, format, values, bytes);
        Ok(())
    }

    /// Reads a row of `format`: the values of [`dequantize`], faster for F16, BF16, Q8_0 and Q4_0.
    pub fn decode(&self, format: Format, bytes: &[u8], values: &mut [f32]) -> Result<(), Error> {
        if !matches!(format, Format::F16 | Format::BF16 | Format::Q8_0 | Format::Q4_0) {
            return dequantize(format, bytes, values);
        }
        lengths(format, bytes.len(), values.len())?;
        call!(self.vector.decode, format, bytes, values);
        Ok(())
    }
}

fn lengths(format: Format, bytes: usize, values: usize) -> Result<(), Error> {
    let fit = format.bytes_of(values as u64) == Some(bytes as u64);
    if fit { Ok(()) } else { Err(Error::Length { format, bytes, values }) }
}
