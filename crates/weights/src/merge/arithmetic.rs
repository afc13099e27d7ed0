//! The values of one tensor of a merged model, some rows at a time, on all processors.

use std::thread;

use huacaya_kernels::{Error as KernelError, Format, add_product, dequantize, quantize};

use super::Fault;
use super::plan::{Plan, Step, refused};
use crate::Error;
use crate::adapter::Factors;
use crate::safetensors::Dtype;

/// Computes a tensor row by row.
pub(super) struct Rows<'a> {
    step: &'a Step,
    /// What is stored of the rows that are still to come.
    stored: &'a [u8],
    from: Format,
    to: Format,
    columns: usize,
    /// The first row to come.
    row: usize,
    products: Vec<Product>,
    out: Vec<u8>,
}

/// Two matrices, and what their product is multiplied by.
struct Product {
    factors: Factors,
    scale: f32,
}

impl<'a> Rows<'a> {
    /// `bytes` are the tensor's own values, stored as `stored`.
    pub(super) fn new(plan: &Plan, step: &'a Step, bytes: &'a [u8], stored: Dtype) -> Result<Rows<'a>, Error> {
        let (Some(from), Some(to)) = (stored.format(), step.dtype.format()) else {
            // Both were checked when the plan was made.
            return Err(failed(step, KernelError::NoQuantizer { format: Format::F32 }));
        };
        let mut products = Vec::with_capacity(step.sums.len());
        for sum in &step.sums {
            if let Some(factors) = plan.adapter(sum.adapter).factors(&step.name)? {
                products.push(Product { factors, scale: sum.scale });
            }
        }
        let columns = step.shape.last().copied().unwrap_or(1);
        Ok(Rows { step, stored: bytes, from, to, columns, row: 0, products, out: Vec::new() })
    }

    /// The bytes of the next rows, about `values` values; `None` after the last.
    pub(super) fn next(&mut self, values: usize) -> Result<Option<&[u8]>, Error> {
        let row_bytes = self.columns * self.from.block_bytes();
        if row_bytes == 0 || self.stored.is_empty() {
            return Ok(None);
        }
        let rows = (values / self.columns).max(1).min(self.stored.len() / row_bytes);
        let Some((stored, rest)) = self.stored.split_at_checked(rows.max(1) * row_bytes) else {
            return Err(failed(self.step, KernelError::Length { format: self.from, bytes: self.stored.len(), values }));
        };
        self.out.resize(rows * self.columns * self.to.block_bytes(), 0);
        let threads = thread::available_parallelism().map_or(1, usize::from).min(rows);
        let part = rows.div_ceil(threads);
        let (columns, first) = (self.columns, self.row);
        let (from, to, products) = (self.from, self.to, &self.products);
        let done = thread::scope(|scope| {
            let parts = self.out.chunks_mut(part * columns * to.block_bytes()).zip(stored.chunks(part * row_bytes));
            let running: Vec<_> = parts
                .enumerate()
                .map(|(i, (out, stored))| {
                    scope.spawn(move || compute(stored, from, out, to, products, first + i * part))
                })
                .collect();
            running.into_iter().try_for_each(|thread| thread.join().unwrap_or(Err(STOPPED_SHORT)))
        });
        done.map_err(|error| failed(self.step, error))?;
        (self.stored, self.row) = (rest, self.row + rows);
        Ok(Some(&self.out))
    }
}

/// A thread that ended without a result: nothing in it can panic.
const STOPPED_SHORT: KernelError = KernelError::Length { format: Format::F32, bytes: 0, values: 0 };

/// The rows from `row` on: unpacked, every product added in its order, rounded once.
fn compute(
    stored: &[u8],
    from: Format,
    out: &mut [u8],
    to: Format,
    products: &[Product],
    row: usize,
) -> Result<(), KernelError> {
    let mut values = vec![0.0; stored.len() / from.block_bytes()];
    dequantize(from, stored, &mut values)?;
    for product in products {
        let Factors { left, right, rank, columns, .. } = &product.factors;
        let rows = values.len() / (*columns).max(1);
        let left = left.get(row * rank..(row + rows) * rank).unwrap_or_default();
        add_product(left, right, *rank, product.scale, &mut values)?;
    }
    quantize(to, &values, out)
}

fn failed(step: &Step, error: KernelError) -> Error {
    refused(std::path::Path::new(&step.name), Fault::Arithmetic { tensor: step.name.clone(), error })
}
