//! The product of two narrow matrices, added to a wide one: what a LoRA adapter does to a weight.
//!
//! Each value is the sum over the rank, in order, each step one fused multiply-add from zero; then one product with the
//! scale, then one addition. PyTorch on a processor with fused multiply-add rounds the same way.

use crate::Error;
use crate::Format;

/// Columns that are summed up at a time: eight registers of eight values, which leaves as many for the right rows.
const TILE: usize = 64;

/// Adds `scale * (left * right)` to `out`. Shapes, row-major: left (rows, rank), right (rank, columns), out (rows, columns).
pub fn add_product(left: &[f32], right: &[f32], rank: usize, scale: f32, out: &mut [f32]) -> Result<(), Error> {
    let rows = left.len().checked_div(rank).unwrap_or(0);
    let columns = right.len().checked_div(rank).unwrap_or(0);
    if rows * rank != left.len() || columns * rank != right.len() || rows * columns != out.len() {
        return Err(Error::Length { format: Format::F32, bytes: out.len() * 4, values: rows * columns });
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
        // SAFETY: the processor has both features, as was just asked. The function itself is safe code.
        #[allow(unsafe_code)]
        unsafe {
            add_product_fma(left, right, rank, scale, out)
        };
        return Ok(());
    }
    add(left, right, rank, scale, out);
    Ok(())
}

/// The same code, compiled for processors whose fused multiply-add takes eight values at once.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn add_product_fma(left: &[f32], right: &[f32], rank: usize, scale: f32, out: &mut [f32]) {
    add(left, right, rank, scale, out);
}

/// The specification. Tile by tile, so that the right matrix's part of a tile stays in the nearest cache for all rows.
#[inline(always)]
fn add(left: &[f32], right: &[f32], rank: usize, scale: f32, out: &mut [f32]) {
    let columns = right.len() / rank.max(1);
    let whole = columns - columns % TILE;
    for start in (0..whole).step_by(TILE) {
        for (row, out) in left.chunks_exact(rank).zip(out.chunks_exact_mut(columns)) {
            let mut sums = [0.0f32; TILE];
            for (&factor, right) in row.iter().zip(right.chunks_exact(columns)) {
                let Some(right) = right[start..].first_chunk::<TILE>() else { break };
                for (sum, &value) in sums.iter_mut().zip(right) {
                    *sum = factor.mul_add(value, *sum);
                }
            }
            out[start..start + TILE].iter_mut().zip(sums).for_each(|(out, sum)| *out += sum * scale);
        }
    }
    if whole == columns {
        return;
    }
    for (row, out) in left.chunks_exact(rank).zip(out.chunks_exact_mut(columns)) {
        for (column, out) in out.iter_mut().enumerate().skip(whole) {
            let rights = right.iter().skip(column).step_by(columns);
            *out += row.iter().zip(rights).fold(0.0f32, |sum, (&factor, &value)| factor.mul_add(value, sum)) * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of all sizes, from a seed.
    fn numbers(count: usize, mut seed: u32) -> Vec<f32> {
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|i| next() * [1.0, 1e-3, 1e3][i % 3]).collect()
    }

    #[test]
    fn every_value_is_the_sum_in_order_of_fused_steps() {
        for (rows, rank, columns) in [(1, 1, 1), (3, 4, 63), (2, 8, 64), (5, 3, 65), (4, 16, 200), (2, 64, 130)] {
            let (left, right) = (numbers(rows * rank, 1), numbers(rank * columns, 2));
            let before = numbers(rows * columns, 3);
            let mut out = before.clone();
            add_product(&left, &right, rank, 0.3, &mut out).expect("the shapes fit");
            for row in 0..rows {
                for column in 0..columns {
                    let mut sum = 0.0f32;
                    for k in 0..rank {
                        sum = f32::mul_add(left[row * rank + k], right[k * columns + column], sum);
                    }
                    let at = row * columns + column;
                    assert_eq!(
                        out[at].to_bits(),
                        (before[at] + sum * 0.3).to_bits(),
                        "{rows} {rank} {columns} at {at}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_product_of_infinities_and_the_like_is_what_plain_arithmetic_says() {
        let mut out = vec![1.0; 65];
        let mut right = vec![f32::INFINITY; 65];
        right[64] = f32::NAN;
        add_product(&[2.0], &right, 1, 1.0, &mut out).expect("the shapes fit");
        assert!(out[..64].iter().all(|value| *value == f32::INFINITY) && out[64].is_nan());
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        for (left, right, rank, out) in [(3, 4, 2, 4), (4, 5, 2, 4), (4, 4, 2, 5), (0, 0, 0, 1), (4, 4, 0, 4)] {
            let fit = add_product(&vec![0.0; left], &vec![0.0; right], rank, 1.0, &mut vec![0.0; out]);
            assert!(fit.is_err(), "{left} {right} {rank} {out}");
        }
        assert!(add_product(&[], &[], 0, 1.0, &mut []).is_ok());
        assert!(add_product(&[], &[1.0; 6], 2, 1.0, &mut []).is_ok());
    }
}
