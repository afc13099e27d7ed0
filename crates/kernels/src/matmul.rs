//! Products of weight rows, as they stand in the file, with rows of activations. Every set gives the same bits.
//!
//! Quantized weights take quantized activations: exact integer sums in a block, then one float step a block, in order, from
//! 0.0, products and sums rounded each by itself. Plain weights take f32: sixteen lanes of fused multiply-adds, folded
//! 8 + 8, 4 + 4, 2 + 2, 1 + 1. `portable` is the specification.

pub(crate) mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx_vnni;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;

use crate::{Activations, Error, Format, Kernels, Strip};

/// Whole weight rows, as in the file.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    pub format: Format,
    /// Values in a row: whole blocks.
    pub columns: usize,
    pub bytes: &'a [u8],
}

/// Rows of activations.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// For plain weights: (rows, columns), row-major.
    Plain { values: &'a [f32], columns: usize },
    /// For quantized weights, grouped as [`Format::grouping`] says.
    Quantized(&'a Activations),
}

impl Input<'_> {
    pub fn rows(&self) -> usize {
        match self {
            Input::Plain { values, columns } => values.len().checked_div(*columns).unwrap_or(0),
            Input::Quantized(activations) => activations.rows(),
        }
    }

    pub fn columns(&self) -> usize {
        match self {
            Input::Plain { columns, .. } => *columns,
            Input::Quantized(activations) => activations.columns(),
        }
    }
}

/// A product with quantized weights. `rows` are `out.width()` rows of `columns` values in the kernel's format; `input` has
/// the format's grouping, `columns` columns and `out.rows()` rows; none of these is zero. SAFETY of a call: that holds, and
/// the processor has the kernel's set. `out.row(i)[r]` = weight row `r` . input row `i`.
pub(crate) type Quantized = unsafe fn(rows: &[u8], columns: usize, input: &Activations, out: &mut Strip<'_>);
/// A product with plain weights, on the same terms; `values` are `out.rows()` rows of `columns`.
pub(crate) type Plain = unsafe fn(rows: &[u8], columns: usize, values: &[f32], out: &mut Strip<'_>);

/// The products of one instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    pub f32: Plain,
    pub f16: Plain,
    pub bf16: Plain,
    pub q4_0: Quantized,
    pub q4_1: Quantized,
    pub q5_0: Quantized,
    pub q5_1: Quantized,
    pub q8_0: Quantized,
    pub q2_k: Quantized,
    pub q3_k: Quantized,
    pub q4_k: Quantized,
    pub q5_k: Quantized,
    pub q6_k: Quantized,
    pub iq4_nl: Quantized,
    pub iq4_xs: Quantized,
    pub mxfp4: Quantized,
}

/// The sum of sixteen lanes: 8 + 8, then 4 + 4, 2 + 2 and 1 + 1.
#[inline(always)]
pub(crate) fn fold(mut lanes: [f32; 16]) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
    }
    lanes[0]
}

enum Kernel {
    Plain(Plain),
    Quantized(Quantized),
}

impl Table {
    fn kernel(&self, format: Format) -> Kernel {
        match format {
            Format::F32 => Kernel::Plain(self.f32),
            Format::F16 => Kernel::Plain(self.f16),
            Format::BF16 => Kernel::Plain(self.bf16),
            Format::Q4_0 => Kernel::Quantized(self.q4_0),
            Format::Q4_1 => Kernel::Quantized(self.q4_1),
            Format::Q5_0 => Kernel::Quantized(self.q5_0),
            Format::Q5_1 => Kernel::Quantized(self.q5_1),
            Format::Q8_0 => Kernel::Quantized(self.q8_0),
            Format::Q2_K => Kernel::Quantized(self.q2_k),
            Format::Q3_K => Kernel::Quantized(self.q3_k),
            Format::Q4_K => Kernel::Quantized(self.q4_k),
            Format::Q5_K => Kernel::Quantized(self.q5_k),
            Format::Q6_K => Kernel::Quantized(self.q6_k),
            Format::IQ4_NL => Kernel::Quantized(self.iq4_nl),
            Format::IQ4_XS => Kernel::Quantized(self.iq4_xs),
            Format::MXFP4 => Kernel::Quantized(self.mxfp4),
        }
    }
}

impl Kernels {
    /// `out.row(i)[r]` = weight row `r` . input row `i`: as many weight rows as the strip is wide, as many input rows as it
    /// has. A product over no columns is 0.
    pub fn product(&self, weights: Rows<'_>, input: Input<'_>, out: &mut Strip<'_>) -> Result<(), Error> {
        let Rows { format, columns, bytes } = weights;
        let row_bytes = format.bytes_of(columns as u64);
        if row_bytes.and_then(|row| row.checked_mul(out.width() as u64)) != Some(bytes.len() as u64) {
            return Err(Error::Length { format, bytes: bytes.len(), values: columns.saturating_mul(out.width()) });
        }
        if input.columns() != columns {
            return Err(Error::Product { part: "columns of the input", found: input.columns(), wanted: columns });
        }
        let values = if let Input::Plain { values, .. } = input { values.len() } else { out.rows() * columns };
        if columns > 0 && input.rows() != out.rows() || values != out.rows() * columns {
            return Err(Error::Product { part: "rows of the input", found: input.rows(), wanted: out.rows() });
        }
        let (kernel, empty) = (self.matmul.kernel(format), columns == 0 || out.rows() == 0 || out.width() == 0);
        match (kernel, input) {
            (Kernel::Quantized(_), Input::Quantized(input)) if Some(input.grouping()) != format.grouping() => {
                return Err(Error::Input { format });
            }
            (Kernel::Quantized(_), Input::Plain { .. }) | (Kernel::Plain(_), Input::Quantized(_)) => {
                return Err(Error::Input { format });
            }
            _ if empty => (0..out.rows()).for_each(|row| out.row(row).fill(0.0)),
            // SAFETY: the lengths were checked above, nothing is empty, and a `Kernels` is of a set that this machine has.
            #[allow(unsafe_code)]
            (Kernel::Quantized(product), Input::Quantized(input)) => unsafe { product(bytes, columns, input, out) },
            // SAFETY: as above.
            #[allow(unsafe_code)]
            (Kernel::Plain(product), Input::Plain { values, .. }) => unsafe { product(bytes, columns, values, out) },
        }
        Ok(())
    }
}
