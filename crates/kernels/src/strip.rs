//! Some columns of a row-major matrix, all of its rows: what one block of weight rows writes.
//!
//! Several threads write columns of one matrix at the same time; each has a strip of its own, and strips never overlap.

use std::marker::PhantomData;

/// Columns of a matrix of f32. Row `i` of the strip is `width` values of row `i` of the matrix.
#[derive(Debug)]
pub struct Strip<'a> {
    /// The first row's first value in this strip.
    start: *mut f32,
    rows: usize,
    width: usize,
    /// From one row to the next, in values.
    stride: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: a strip is the only way to its values, as `&mut [f32]` is, and that may go to another thread.
#[allow(unsafe_code)]
unsafe impl Send for Strip<'_> {}
// SAFETY: a shared strip gives no way to its values.
#[allow(unsafe_code)]
unsafe impl Sync for Strip<'_> {}

impl<'a> Strip<'a> {
    /// All columns of a matrix of rows that are `width` long.
    ///
    /// # Panics
    /// Where `out` is not whole rows.
    pub fn whole(out: &'a mut [f32], width: usize) -> Strip<'a> {
        let rows = out.len().checked_div(width).unwrap_or(0);
        assert_eq!(rows * width, out.len(), "a matrix of {} values does not have rows of {width}", out.len());
        Strip { start: out.as_mut_ptr(), rows, width, stride: width, matrix: PhantomData }
    }

    /// `rows` rows of `width` values, each `stride` behind the one before.
    ///
    /// # Safety
    /// The values are valid for reads and writes during 'a, and nothing else reaches them.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn from_raw_parts(start: *mut f32, rows: usize, width: usize, stride: usize) -> Strip<'a> {
        Strip { start, rows, width, stride, matrix: PhantomData }
    }

    /// The columns before `column`, and the others.
    ///
    /// # Panics
    /// Where there are fewer columns.
    pub fn split_at(self, column: usize) -> (Strip<'a>, Strip<'a>) {
        assert!(column <= self.width, "column {column} of {}", self.width);
        let start = if self.rows == 0 { self.start } else { self.start.wrapping_add(column) };
        let right = Strip { start, width: self.width - column, ..self };
        (Strip { width: column, ..self }, right)
    }

    /// Rows of the matrix.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the strip.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Row `i`, `width` values.
    ///
    /// # Panics
    /// Where there are fewer rows.
    #[inline(always)]
    pub fn row(&mut self, i: usize) -> &mut [f32] {
        assert!(i < self.rows, "row {i} of {}", self.rows);
        // SAFETY: inside the matrix, which is borrowed for 'a; no other strip holds these columns (`split_at` takes the
        // whole), and `self` is borrowed while the row is.
        #[allow(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts_mut(self.start.add(i * self.stride), self.width)
        }
    }
}
