//! The values of one tensor of a merged model, some rows at a time, on all processors.

use std::thread;

use huacaya_kernels::{Error as KernelError, Format, add_product, dequantize, quantize};

use super::Fault;
use super::plan::{Plan, Step, refused};
use crate::Error;
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

/// Two matrices as they are multiplied, in f32.
struct Product {
    /// (rows, rank)
    left: Vec<f32>,
    /// (rank, columns)
    right: Vec<f32>,
    rank: usize,
    scale: f32,
}

impl<'a> Rows<'a> {
    /// `bytes` are the tensor's own values, stored as `stored`.
    pub(super) fn new(plan: &Plan, step: &'a Step, bytes: &'a [u8], stored: Dtype) -> Result<Rows<'a>, Error> {
        let (Some(from), Some(to)) = (stored.format(), step.dtype.format()) else {
            // Both were checked when the plan was made.
            return Err(failed(step, KernelError::NoQuantizer { format: Format::F32 }));
        };
        let product = |sum: &super::plan::Sum| {
            let (a, b) = (plan.matrix(sum.adapter, sum.pair.a), plan.matrix(sum.adapter, sum.pair.b));
            let (left, right) = if sum.pair.turned {
                (turned(&a, plan.shape(sum.adapter, sum.pair.a)), turned(&b, plan.shape(sum.adapter, sum.pair.b)))
            } else {
                (b, a)
            };
            Product { left, right, rank: sum.pair.rank, scale: sum.scale }
        };
        let products = step.sums.iter().map(product).collect();
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
        let columns = product.right.len() / product.rank.max(1);
        let rows = values.len() / columns.max(1);
        let left = product.left.get(row * product.rank..(row + rows) * product.rank).unwrap_or_default();
        add_product(left, &product.right, product.rank, product.scale, &mut values)?;
    }
    quantize(to, &values, out)
}

/// The matrix with rows and columns exchanged.
fn turned(matrix: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| matrix[row * columns + column])).collect()
}

fn failed(step: &Step, error: KernelError) -> Error {
    refused(std::path::Path::new(&step.name), Fault::Arithmetic { tensor: step.name.clone(), error })
}
