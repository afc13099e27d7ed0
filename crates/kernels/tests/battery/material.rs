//! What the kernels are fed: random numbers, and blocks of weights whose scales are what a case wants.

use huacaya_kernels::Format;

/// Random numbers from a seed (splitmix64, Steele et al. 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `end`, without it.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// From -1 to 1.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// Where a block's f16 scales stand (ggml-common.h).
pub const fn scale_places(format: Format) -> &'static [usize] {
    match format {
        Format::Q4_0 | Format::Q5_0 | Format::Q8_0 | Format::IQ4_NL | Format::IQ4_XS | Format::F16 => &[0],
        Format::Q4_1 | Format::Q5_1 | Format::Q4_K | Format::Q5_K => &[0, 2],
        Format::Q2_K => &[80, 82],
        Format::Q3_K => &[108],
        Format::Q6_K => &[208],
        Format::MXFP4 | Format::F32 | Format::BF16 => &[],
    }
}

/// Bytes in which an exponent stands: random ones there may make a block infinite, or nothing of it matter.
pub fn is_scale(format: Format, place: usize) -> bool {
    match format {
        Format::F32 | Format::F16 | Format::BF16 => true,
        Format::MXFP4 => place == 0,
        _ => scale_places(format).iter().any(|&at| place == at || place == at + 1),
    }
}

/// Blocks of random bytes with moderate scales of both signs.
pub fn blocks(format: Format, count: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = random.bytes(count * format.block_bytes());
    for block in bytes.chunks_exact_mut(format.block_bytes()) {
        moderate(format, block, random);
    }
    bytes
}

/// Puts moderate scales into a block.
pub fn moderate(format: Format, block: &mut [u8], random: &mut Random) {
    let value = random.unit();
    match format {
        Format::F32 => block.copy_from_slice(&value.to_le_bytes()),
        Format::BF16 => block.copy_from_slice(&value.to_le_bytes()[2..]),
        Format::MXFP4 => block[0] = 110 + random.below(20) as u8,
        _ => {}
    }
    for &place in scale_places(format) {
        // Exponents from 2^-8 to 2^0.
        let bits = (7 + random.below(9) as u16) << 10 | (random.next() as u16 & 0x83ff);
        block[place..place + 2].copy_from_slice(&bits.to_le_bytes());
    }
}

/// Scales that arithmetic stumbles over, as f16: zeros, subnormals, the largest, infinities and NaN of both signs.
pub const STRANGE_HALVES: [u16; 14] =
    [0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x83ff, 0x0400, 0x8400, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e01, 0xfd01];
/// The same as E8M0 exponents: subnormal (0, 1), the least, the largest, and what the standard calls NaN.
pub const STRANGE_EXPONENTS: [u8; 7] = [0, 1, 2, 3, 127, 254, 255];
/// The same as f32.
pub const STRANGE_VALUES: [f32; 14] = [
    0.0,
    -0.0,
    1e-45,
    -1e-45,
    1.1e-38,
    -1.2e-38,
    3.7e-37,
    3.8e-37,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    1.0,
];

/// Puts a strange scale (a strange value for plain formats) into a block.
pub fn strange(format: Format, block: &mut [u8], random: &mut Random) {
    match format {
        Format::F32 => block.copy_from_slice(&random.pick(&STRANGE_VALUES).to_le_bytes()),
        Format::BF16 => block.copy_from_slice(&random.pick(&STRANGE_VALUES).to_le_bytes()[2..]),
        Format::MXFP4 => block[0] = random.pick(&STRANGE_EXPONENTS),
        _ => {}
    }
    if let [_, ..] = scale_places(format) {
        let place = random.pick(scale_places(format));
        block[place..place + 2].copy_from_slice(&random.pick(&STRANGE_HALVES).to_le_bytes());
    }
}

/// Activations, in groups of 32, each of another size; quantized they are any number from -127 to 127.
pub fn activations(count: usize, random: &mut Random) -> Vec<f32> {
    let mut values = Vec::with_capacity(count);
    for start in (0..count).step_by(32) {
        let scale = (random.below(17) as f32 - 8.0).exp2();
        values.extend((start..count.min(start + 32)).map(|_| random.unit() * scale));
    }
    values
}

/// Activations that are quantized to exactly these numbers: `quantized[i]` times a power of two, the same for all. Each
/// group has to hold a 127 or -127, or nothing but zeros.
pub fn exact(quantized: impl Iterator<Item = i8>) -> Vec<f32> {
    quantized.map(|q| f32::from(q) * 0.25).collect()
}
