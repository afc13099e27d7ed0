//! What a model will need in memory, known from its header alone.

/// Bytes on the chosen device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Weights as they are held for computing, repacked copies included.
    pub weights: u64,
    /// Keys and values of one position.
    pub kv_per_token: u64,
    /// What one step needs beside them, at the chosen context.
    pub scratch: u64,
    /// The chosen context, in tokens.
    pub context: usize,
}

impl Memory {
    /// Keys and values of the whole context.
    pub fn kv(&self) -> u64 {
        self.kv_per_token * self.context as u64
    }

    pub fn total(&self) -> u64 {
        self.weights + self.kv() + self.scratch
    }

    /// The same model with another context.
    pub fn at(&self, _context: usize) -> Memory {
        unimplemented!()
    }
}
