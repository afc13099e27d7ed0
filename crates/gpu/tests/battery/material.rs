//! Numbers and weights to compute with.

use huacaya_kernels::{Format, dequantize};

/// Numbers from a seed.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Noise {
        Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn word(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// From -1 to 1.
    pub fn value(&mut self) -> f32 {
        (self.word() >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.value()).collect()
    }
}

/// Formats that the programs read.
pub fn formats() -> impl Iterator<Item = Format> {
    Format::ALL.into_iter().filter(|format| huacaya_gpu::supports(*format))
}

/// A matrix as bytes and as the values that they stand for. Blocks are random in every bit, scales and all, but finite and
/// not above `most`, which in products would leave nothing of the others.
pub fn matrix(format: Format, rows: usize, columns: usize, most: f32, seed: u64) -> (Vec<u8>, Vec<f32>) {
    let mut noise = Noise::new(seed);
    let (length, size) = (format.block_length(), format.block_bytes());
    let count = rows * columns / length;
    let (mut bytes, mut values) = (Vec::with_capacity(count * size), Vec::with_capacity(rows * columns));
    let (mut block, mut held) = (vec![0; size], vec![0.0; length]);
    while values.len() < rows * columns {
        block.iter_mut().for_each(|byte| *byte = (noise.word() >> 24) as u8);
        dequantize(format, &block, &mut held).unwrap();
        let greatest = held.iter().fold(0.0f32, |most, value| {
            if value.is_finite() { most.max(value.abs()) } else { f32::NAN.max(f32::INFINITY) }
        });
        // Numbers below f32's normal range are flushed by some cards.
        if greatest <= most && held.iter().all(|value| *value == 0.0 || value.is_normal()) {
            bytes.extend(&block);
            values.extend(&held);
        }
    }
    (bytes, values)
}
