//! Listens to what a decoder's matrices are multiplied by, for an importance matrix.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::Tensor;

use crate::Result;

/// Sums of squares for each matrix of the layers, by the GGUF name of its tensor.
#[derive(Default)]
pub(crate) struct Tap {
    sums: Mutex<BTreeMap<String, Sums>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Sums {
    /// For each column of the matrix, the sum of the squares of what it was multiplied by.
    pub columns: Vec<f64>,
    /// Tokens that were summed.
    pub rows: u64,
}

impl Tap {
    /// Takes note of `x`, (rows, in), which the matrices `parts` of a layer are about to be multiplied by.
    pub fn note(&self, layer: usize, parts: &[&str], x: &Tensor) -> Result<()> {
        let rows = x.dim(0)?;
        let squares = x.sqr()?.sum(0)?.to_vec1::<f32>()?;
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        for part in parts {
            let sum = sums.entry(format!("blk.{layer}.{part}.weight")).or_default();
            sum.columns.resize(squares.len(), 0.0);
            sum.columns.iter_mut().zip(&squares).for_each(|(sum, square)| *sum += f64::from(*square));
            sum.rows += rows as u64;
        }
        Ok(())
    }

    /// As `note`, of rows of `columns` values.
    pub fn note_rows(&self, layer: usize, parts: &[&str], x: &[f32], columns: usize) {
        let mut squares = vec![0.0f64; columns];
        for row in x.chunks_exact(columns) {
            squares.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value) * f64::from(value));
        }
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        for part in parts {
            let sum = sums.entry(format!("blk.{layer}.{part}.weight")).or_default();
            sum.columns.resize(columns, 0.0);
            sum.columns.iter_mut().zip(&squares).for_each(|(sum, square)| *sum += square);
            sum.rows += (x.len() / columns) as u64;
        }
    }

    /// What was gathered so far.
    pub fn sums(&self) -> BTreeMap<String, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
