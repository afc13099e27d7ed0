//! An adapter put to the proof: products of every format against sums in f64 on the processor. For a process of its own, as
//! drivers crash and hang.

use huacaya_kernels::{Format, dequantize};

use crate::unit::supports;
use crate::{Error, Gpu, Product, Recorder, Result};

/// Rows and columns of the matrices: more than a workgroup's, two blocks of the largest.
const ROWS: usize = 37;
const COLUMNS: usize = 512;
/// Rows that they are multiplied with: by the programs for one, two, and up to eight, and by that for many.
const COUNTS: [usize; 4] = [1, 2, 5, 20];
/// Error of a sum in f32, as a part of the sizes of what was summed up.
const BOUND: f64 = 1e-5;
/// Greater values would leave nothing of the others.
const VALUE_MAX: f32 = 1e4;

/// Numbers from a seed (Knuth's multiplier).
struct Noise(u64);

impl Noise {
    fn word(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }
}

/// Whether the adapter with this number computes what the processor does.
pub fn trial(index: usize) -> Result<()> {
    let gpu = Gpu::open(index)?;
    Format::ALL.into_iter().filter(|format| supports(*format)).try_for_each(|format| products(&gpu, format))
}

/// A matrix of blocks with random bits.
fn matrix(format: Format, noise: &mut Noise) -> Vec<u8> {
    let (mut bytes, mut count) = (Vec::new(), 0);
    let (mut block, mut held) = (vec![0; format.block_bytes()], vec![0.0; format.block_length()]);
    while count < ROWS * COLUMNS {
        block.iter_mut().for_each(|byte| *byte = (noise.word() >> 24) as u8);
        let sound = |value: &f32| *value == 0.0 || (value.is_normal() && value.abs() <= VALUE_MAX);
        if dequantize(format, &block, &mut held).is_ok() && held.iter().all(sound) {
            bytes.extend(&block);
            count += held.len();
        }
    }
    bytes
}

fn products(gpu: &Gpu, format: Format) -> Result<()> {
    agrees(gpu, format, COLUMNS, &matrix(format, &mut Noise(format as u64 + 1)))
}

/// Whether products with these rows of `columns` values each are what they should be, in every program for them.
pub fn agrees(gpu: &Gpu, format: Format, columns: usize, bytes: &[u8]) -> Result<()> {
    let mut noise = Noise(format as u64 + 1);
    let rows = bytes.len() / format.block_bytes() * format.block_length() / columns.max(1);
    let mut values = vec![0.0; rows * columns];
    dequantize(format, bytes, &mut values).map_err(|_| Error::Shape {
        what: "the bytes of rows",
        found: bytes.len() as u64,
        wanted: (rows * columns) as u64,
    })?;
    let weights = gpu.upload("weights", bytes)?;
    for count in COUNTS {
        let x: Vec<f32> = (0..count * columns).map(|_| noise.word() as f32 / (1u32 << 31) as f32 - 1.0).collect();
        let there = gpu.upload_values("x", &x)?;
        let out = gpu.buffer("out", (rows * count * 4) as u64)?;
        let mut recorder = Recorder::new(gpu);
        let product = Product {
            format,
            rows,
            columns,
            weights: &weights,
            x: &there,
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
        product.start(&mut recorder)?;
        let found = recorder.finish(Some((&out, rows * count)))?;
        let pairs = x.chunks(columns).flat_map(|x| values.chunks(columns).map(move |w| (w, x)));
        for (found, (w, x)) in found.iter().zip(pairs) {
            let products = || w.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x));
            let (sum, size) = (products().sum::<f64>(), products().map(f64::abs).sum::<f64>());
            let found = f64::from(f32::from_bits(*found));
            if found.is_nan() || (found - sum).abs() > BOUND * size {
                return Err(Error::Wrong { what: format!("a product in {format} is {found} instead of {sum}") });
            }
        }
    }
    Ok(())
}
