//! Products and rows of every format.

use huacaya_gpu::{Buffer, Gpu, Product, Recorder, RowsCall};
use huacaya_kernels::Format;

use crate::gpus;
use crate::material::{Noise, formats, matrix};

/// Difference of a sum of some hundred products in f32, in whatever order, as a part of the sum of their sizes.
const SUM_BOUND: f64 = 2e-6;

/// `w` (rows, columns) with `x` (count, columns) in f64, and the sizes of what was summed.
fn expected(w: &[f32], x: &[f32], columns: usize) -> Vec<(f64, f64)> {
    let rows = || w.chunks(columns);
    let dot = |w: &[f32], x: &[f32]| {
        w.iter().zip(x).fold((0.0, 0.0), |(sum, size), (w, x)| {
            let product = f64::from(*w) * f64::from(*x);
            (sum + product, size + product.abs())
        })
    };
    x.chunks(columns).flat_map(|x| rows().map(move |w| dot(w, x))).collect()
}

fn agree(what: &str, found: &[f32], expected: &[(f64, f64)]) {
    assert_eq!(found.len(), expected.len());
    for (i, (found, (sum, size))) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*found) - sum).abs();
        assert!(error <= SUM_BOUND * size + 1e-30, "{what}: {found} at {i} instead of {sum}, sizes {size}");
    }
}

struct Case<'a> {
    format: Format,
    rows: usize,
    columns: usize,
    weights: &'a Buffer,
}

fn run(gpu: &Gpu, case: &Case<'_>, x: &[f32], count: usize) -> Vec<f32> {
    let &Case { format, rows, columns, weights } = case;
    let x = gpu.upload_values("x", x).unwrap();
    let out = gpu.buffer("out", (rows * count * 4) as u64).unwrap();
    let product = Product {
        format,
        rows,
        columns,
        weights,
        x: &x,
        x_start: 0,
        x_stride: columns,
        count,
        out: &out,
        out_start: 0,
        out_stride: rows,
        bias: None,
        scale: 1.0,
        accumulate: false,
    };
    let mut recorder = Recorder::new(gpu);
    product.start(&mut recorder).unwrap();
    let words = recorder.finish(Some((&out, rows * count))).unwrap();
    words.into_iter().map(f32::from_bits).collect()
}

/// Blocks of every bit pattern, row counts that no workgroup divides, one to eight columns and tiles that are not full.
#[test]
fn products_are_the_sums_of_the_blocks_values_times_the_rows() {
    for gpu in gpus() {
        for format in formats() {
            let whole = if format.is_plain() { 4 } else { format.block_length() };
            for (rows, columns) in [(7, whole), (67, whole * 5), (3, 768), (130, 512)] {
                let (bytes, values) = matrix(format, rows, columns, 1e4, (rows * columns) as u64);
                let weights = gpu.upload("weights", &bytes).unwrap();
                let counts: &[usize] = if rows == 67 { &[1, 2, 3, 4, 5, 8, 9, 37] } else { &[1, 8, 33] };
                for &count in counts {
                    let x = Noise::new(count as u64).values(count * columns);
                    let case = Case { format, rows, columns, weights: &weights };
                    let found = run(gpu, &case, &x, count);
                    agree(&format!("{format} {rows} x {columns} x {count}"), &found, &expected(&values, &x, columns));
                }
            }
        }
    }
}

/// More rows than one dimension of workgroups holds: the output layer of a large vocabulary.
#[test]
fn a_matrix_of_many_rows_takes_two_dimensions_of_workgroups() {
    for gpu in gpus() {
        let (rows, columns) = (140_000, 32);
        let (bytes, values) = matrix(Format::Q8_0, rows, columns, 10.0, 3);
        let weights = gpu.upload("weights", &bytes).unwrap();
        for count in [1, 8] {
            let x = Noise::new(count as u64).values(count * columns);
            let case = Case { format: Format::Q8_0, rows, columns, weights: &weights };
            agree(&format!("{rows} rows x {count}"), &run(gpu, &case, &x, count), &expected(&values, &x, columns));
        }
    }
}

/// A block of greater scales than any model has, and of the smallest: nothing is lost on the way to f32.
#[test]
fn rows_have_the_values_that_the_processor_unpacks() {
    for gpu in gpus() {
        for format in formats() {
            let (rows, columns) = (9, 512);
            let (bytes, values) = matrix(format, rows, columns, 1e30, 5);
            // The middle rows are a part of the matrix of their own, as where a buffer would be too large.
            let row = bytes.len() / rows;
            let parts = [(0, 4), (4, 5)].map(|(first, count)| {
                (first, count, gpu.upload("part", &bytes[first * row..(first + count) * row]).unwrap())
            });
            let wanted = [3u32, 8, 0, 4, 4, 7];
            let ids = gpu.upload_words("ids", &wanted).unwrap();
            let out = gpu.buffer("out", (wanted.len() * columns * 4) as u64).unwrap();
            let mut recorder = Recorder::new(gpu);
            for (first, rows, weights) in &parts {
                let (first, rows, count) = (*first, *rows, wanted.len());
                let call = RowsCall { format, columns, weights, first, rows, ids: &ids, count, out: &out };
                call.start(&mut recorder).unwrap();
            }
            let found = recorder.finish(Some((&out, wanted.len() * columns))).unwrap();
            let expected = wanted.iter().flat_map(|id| &values[*id as usize * columns..][..columns]);
            for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
                let found = f32::from_bits(*found);
                // A difference of two rounded products may be off by the rounding of each.
                let block = &values[wanted[i / columns] as usize * columns..][..columns];
                let start = i % columns / format.block_length() * format.block_length();
                let most = block[start..start + format.block_length()].iter().fold(0.0f32, |m, v| m.max(v.abs()));
                assert!((found - expected).abs() <= 4e-7 * most, "{format}: {found} instead of {expected} at {i}");
            }
        }
    }
}

#[test]
fn parts_of_a_product_go_where_they_belong_with_bias_scale_and_what_was_there() {
    for gpu in gpus() {
        for count in [3, 20] {
            let (rows, columns, stride, out_stride) = (50, 64, 96, 130);
            let (bytes, values) = matrix(Format::Q8_0, rows, columns, 10.0, 9);
            let mut noise = Noise::new(4);
            let (x, before, bias) =
                (noise.values(count * stride + 32), noise.values(count * out_stride), noise.values(80));
            let weights = gpu.upload("weights", &bytes).unwrap();
            let [x_there, out, bias_there] = [&x, &before, &bias].map(|values| gpu.upload_values("x", values).unwrap());
            let product = Product {
                format: Format::Q8_0,
                rows,
                columns,
                weights: &weights,
                x: &x_there,
                x_start: 32,
                x_stride: stride,
                count,
                out: &out,
                out_start: 70,
                out_stride,
                bias: Some((&bias_there, 11)),
                scale: 0.5,
                accumulate: true,
            };
            let mut recorder = Recorder::new(gpu);
            product.start(&mut recorder).unwrap();
            let found: Vec<f32> =
                recorder.finish(Some((&out, before.len()))).unwrap().into_iter().map(f32::from_bits).collect();
            for (i, (found, before)) in found.iter().zip(&before).enumerate() {
                let (row, column) = (i / out_stride, i % out_stride);
                let expected = match column.checked_sub(70) {
                    Some(r) if r < rows => {
                        let sum: f64 = (0..columns)
                            .map(|k| f64::from(values[r * columns + k]) * f64::from(x[32 + row * stride + k]))
                            .sum();
                        0.5 * sum + f64::from(bias[11 + r]) + f64::from(*before)
                    }
                    _ => f64::from(*before),
                };
                assert!((f64::from(*found) - expected).abs() < 1e-3, "{found} instead of {expected} at {i}");
            }
        }
    }
}
