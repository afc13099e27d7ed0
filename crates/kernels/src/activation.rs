//! Rows of activations quantized to int8, as the products with quantized weights take them.
//!
//! A group of values shares one scale, `amax / 127`; each value is `round_ties_even(x * (127 / amax))`, in [-127, 127].
//! A group that is all zero, or so small that `127 / amax` overflows (amax below 3.8e-37), is all zero with scale 0. Where
//! a value is not finite, the group's scale is NaN and its values are 0, so that every product with it is NaN.

use crate::aligned::{Aligned, whole_lines};
use crate::format::{BLOCK, SUPER_BLOCK};
use crate::{Format, Kernels};

/// How many values share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grouping {
    /// 32, for the formats with blocks of 32.
    Block,
    /// 256, for those with blocks of 256.
    Super,
}

impl Grouping {
    /// Values that share a scale.
    pub const fn length(self) -> usize {
        match self {
            Grouping::Block => BLOCK,
            Grouping::Super => SUPER_BLOCK,
        }
    }
}

impl Format {
    /// How activations are quantized for weights of this format; `None` for plain ones, which take f32 as it is.
    pub const fn grouping(self) -> Option<Grouping> {
        match self.block_length() {
            BLOCK => Some(Grouping::Block),
            SUPER_BLOCK => Some(Grouping::Super),
            _ => None,
        }
    }
}

/// Values that share one sum: the smallest group of a format with minimums.
pub const SUM_LENGTH: usize = 16;

/// Rows of quantized activations. Values, scales and sums of each row start at a cache line; behind the last one, up to
/// the next line, stand zeros.
#[derive(Clone)]
pub struct Activations {
    grouping: Grouping,
    rows: usize,
    columns: usize,
    rows_max: usize,
    columns_max: usize,
    values: Aligned<i8>,
    scales: Aligned<f32>,
    sums: Aligned<i16>,
}

impl Activations {
    /// Room for `rows_max` rows of `columns_max` values; at first there are no rows.
    pub fn new(grouping: Grouping, rows_max: usize, columns_max: usize) -> Activations {
        Activations {
            grouping,
            rows: 0,
            columns: 0,
            rows_max,
            columns_max,
            values: Aligned::zeros(rows_max * whole_lines::<i8>(columns_max)),
            scales: Aligned::zeros(rows_max * whole_lines::<f32>(columns_max / grouping.length())),
            sums: Aligned::zeros(rows_max * whole_lines::<i16>(columns_max / SUM_LENGTH)),
        }
    }

    /// Begins anew with `rows` rows of `columns` values; what they hold is not defined until each is quantized. No
    /// allocation.
    ///
    /// # Panics
    /// Where they do not fit, or `columns` is not whole groups.
    pub fn reset(&mut self, rows: usize, columns: usize) {
        let (rows_max, columns_max) = (self.rows_max, self.columns_max);
        assert!(
            rows <= rows_max && columns <= columns_max,
            "{rows} rows of {columns}: there is room for {rows_max} of {columns_max}"
        );
        assert!(columns.is_multiple_of(self.grouping.length()), "{columns} values are not whole groups");
        (self.rows, self.columns) = (rows, columns);
    }

    pub fn grouping(&self) -> Grouping {
        self.grouping
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    /// From one row's values to the next's.
    pub(crate) fn values_stride(&self) -> usize {
        whole_lines::<i8>(self.columns)
    }

    /// From one row's scales to the next's.
    pub(crate) fn scales_stride(&self) -> usize {
        whole_lines::<f32>(self.columns / self.grouping.length())
    }

    /// From one row's sums to the next's.
    pub(crate) fn sums_stride(&self) -> usize {
        whole_lines::<i16>(self.columns / SUM_LENGTH)
    }

    /// Values, scales and sums of all rows, each row at its stride: for kernels that go from row to row by themselves.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn whole(&self) -> (&[i8], &[f32], &[i16]) {
        (self.values.values(), self.scales.values(), self.sums.values())
    }

    /// Row `row`, `columns` values in [-127, 127].
    pub fn values(&self, row: usize) -> &[i8] {
        &self.values.values()[self.start(row) * self.values_stride()..][..self.columns]
    }

    /// The scales of row `row`, one for each group.
    pub fn scales(&self, row: usize) -> &[f32] {
        &self.scales.values()[self.start(row) * self.scales_stride()..][..self.columns / self.grouping.length()]
    }

    /// The sums of each 16 values of row `row`.
    pub fn sums(&self, row: usize) -> &[i16] {
        &self.sums.values()[self.start(row) * self.sums_stride()..][..self.columns / SUM_LENGTH]
    }

    /// `row`, checked.
    fn start(&self, row: usize) -> usize {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        row
    }

    /// Quantizes `values` to row `row`.
    ///
    /// # Panics
    /// Where `values` is not `columns` long, or there is no such row.
    pub fn quantize_row(&mut self, kernels: &Kernels, row: usize, values: &[f32]) {
        self.start(row);
        if let Some(row) = self.split_rows().nth(row) {
            row.quantize(kernels, values);
        }
    }

    /// The rows, each to be quantized by itself, by any thread; none where there are no columns.
    pub fn split_rows(&mut self) -> impl Iterator<Item = ActivationRow<'_>> + Send {
        let (rows, columns, grouping) = (self.rows, self.columns, self.grouping);
        // A chunk cannot be 0 long, and there is nothing to be done for rows of no columns.
        let rows = if columns == 0 { 0 } else { rows };
        let (values, scales, sums) = (self.values_stride(), self.scales_stride(), self.sums_stride());
        let values = self.values.values_mut().chunks_exact_mut(values.max(1)).take(rows);
        let scales = self.scales.values_mut().chunks_exact_mut(scales.max(1));
        let sums = self.sums.values_mut().chunks_exact_mut(sums.max(1));
        values.zip(scales).zip(sums).map(move |((values, scales), sums)| {
            let (values, values_rest) = values.split_at_mut(columns);
            let (scales, scales_rest) = scales.split_at_mut(columns / grouping.length());
            let (sums, sums_rest) = sums.split_at_mut(columns / SUM_LENGTH);
            values_rest.fill(0);
            scales_rest.fill(0.0);
            sums_rest.fill(0);
            ActivationRow { grouping, values, scales, sums }
        })
    }
}

/// One row to be quantized.
pub struct ActivationRow<'a> {
    grouping: Grouping,
    values: &'a mut [i8],
    scales: &'a mut [f32],
    sums: &'a mut [i16],
}

impl ActivationRow<'_> {
    /// Quantizes `values` to this row.
    ///
    /// # Panics
    /// Where `values` is not as long as the row.
    pub fn quantize(self, kernels: &Kernels, values: &[f32]) {
        assert_eq!(values.len(), self.values.len(), "an activation row of another length");
        // SAFETY: a `Kernels` is of a set that this machine has.
        #[allow(unsafe_code)]
        unsafe {
            (kernels.quantize)(values, self)
        }
    }
}

/// Quantizes a row as long as its values. SAFETY of a call: the processor has the set that it is of.
pub(crate) type Quantize = unsafe fn(&[f32], ActivationRow<'_>);

pub(crate) fn quantize_portable(values: &[f32], row: ActivationRow<'_>) {
    quantize(values, row);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2")]
pub(crate) fn quantize_avx2(values: &[f32], row: ActivationRow<'_>) {
    quantize(values, row);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma,f16c,bmi1,bmi2")]
pub(crate) fn quantize_avx512(values: &[f32], row: ActivationRow<'_>) {
    quantize(values, row);
}

/// The specification, and the source of every set's: its loops are of fixed length, without branches.
#[inline(always)]
fn quantize(values: &[f32], row: ActivationRow<'_>) {
    match row.grouping {
        Grouping::Block => groups::<BLOCK>(values, row),
        Grouping::Super => groups::<SUPER_BLOCK>(values, row),
    }
}

#[inline(always)]
fn groups<const N: usize>(values: &[f32], row: ActivationRow<'_>) {
    let groups = values.as_chunks::<N>().0.iter().zip(row.values.as_chunks_mut::<N>().0);
    for (((values, out), scale), sums) in groups.zip(row.scales).zip(row.sums.chunks_exact_mut(N / SUM_LENGTH)) {
        *scale = group(values, out);
        for (sum, values) in sums.iter_mut().zip(out.as_chunks::<SUM_LENGTH>().0) {
            *sum = values.iter().map(|&value| i16::from(value)).sum();
        }
    }
}

/// 1.5 * 2^23: added to a number of less than 2^22 it leaves no fraction, rounded to nearest, ties to even; the whole
/// number then stands in the low bits.
const ROUNDING: f32 = 12_582_912.0;

/// Quantizes one group; gives its scale.
#[inline(always)]
fn group<const N: usize>(values: &[f32; N], out: &mut [i8; N]) -> f32 {
    // The bits of numbers without sign are ordered as the numbers are, infinity and NaN above all.
    let bits = values.iter().fold(0, |most, value| (value.to_bits() & 0x7fff_ffff).max(most));
    let amax = f32::from_bits(bits);
    let inverse = 127.0 / amax;
    if !amax.is_finite() || !inverse.is_finite() {
        out.fill(0);
        return if amax.is_finite() { 0.0 } else { f32::NAN };
    }
    for (out, value) in out.iter_mut().zip(values) {
        *out = (value * inverse + ROUNDING).to_bits() as i8;
    }
    amax / 127.0
}
