//! Random numbers that are the same on every machine: for first weights and the order of the data.

use std::f64::consts::PI;

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Random(u64);

impl Random {
    /// A stream of its own for each (seed, purpose).
    pub fn new(seed: u64, purpose: u64) -> Random {
        let mut random = Random(seed ^ purpose.wrapping_mul(0xA24B_AED4_963E_E407));
        random.next();
        random
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In (0, 1].
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// Uniformly distributed in (-bound, bound].
    pub fn within(&mut self, bound: f64) -> f32 {
        (bound * (2.0 * self.unit() - 1.0)) as f32
    }

    /// Normally distributed with mean 0 (Box and Muller).
    pub fn normal(&mut self, deviation: f64) -> f32 {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        (deviation * radius * (2.0 * PI * self.unit()).cos()) as f32
    }

    /// Fisher and Yates.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, (self.next() % (last as u64 + 1)) as usize);
        }
    }
}
