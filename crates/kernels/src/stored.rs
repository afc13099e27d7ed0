//! Rows of a KV cache, 32 values at a time, on their way into registers.

use crate::Format;
use crate::format::BLOCK;
use crate::vector::lanes::{LANES, Lanes, padded};

/// How 32 values of a row are stored.
pub(crate) trait Stored {
    /// What a row is made of.
    type Unit: Copy;
    /// Units that 32 values take.
    const LENGTH: usize;

    /// The values of the first [`Stored::LENGTH`] units: what [`crate::dequantize`] gives.
    fn block<L: Lanes>(row: &[Self::Unit]) -> [L; 2];

    /// The end of a row that is no whole 32 values, with zeros behind it. Only rows of f16 have one.
    #[inline(always)]
    fn rest<L: Lanes>(_row: &[Self::Unit]) -> [L; 2] {
        [L::zero(); 2]
    }
}

/// 32 numbers of two bytes.
pub(crate) struct Half;
/// scale f16 | 32 signed bytes
pub(crate) struct Q8;
/// scale f16 | 16 bytes of codes - 8: low four bits, then high four bits
pub(crate) struct Q4;
/// 32 f32: rows that were unpacked before.
pub(crate) struct Wide;

impl Stored for Half {
    type Unit = u8;
    const LENGTH: usize = 2 * BLOCK;

    #[inline(always)]
    fn block<L: Lanes>(row: &[u8]) -> [L; 2] {
        let (halves, _) = row[..2 * BLOCK].as_chunks::<{ 2 * LANES }>();
        [L::halves(&halves[0]), L::halves(&halves[1])]
    }

    #[inline(always)]
    fn rest<L: Lanes>(row: &[u8]) -> [L; 2] {
        Half::block(&padded::<u8, { 2 * BLOCK }>(row, 0))
    }
}

impl Stored for Q8 {
    type Unit = u8;
    const LENGTH: usize = 2 + BLOCK;

    #[inline(always)]
    fn block<L: Lanes>(row: &[u8]) -> [L; 2] {
        let row = &row[..2 + BLOCK];
        let scale = L::all(L::half(u16::from_le_bytes([row[0], row[1]])));
        let (codes, _) = row[2..].as_chunks::<LANES>();
        [L::codes(&codes[0]).times(scale), L::codes(&codes[1]).times(scale)]
    }
}

impl Stored for Q4 {
    type Unit = u8;
    const LENGTH: usize = 2 + BLOCK / 2;

    #[inline(always)]
    fn block<L: Lanes>(row: &[u8]) -> [L; 2] {
        let row = &row[..2 + BLOCK / 2];
        let scale = L::all(L::half(u16::from_le_bytes([row[0], row[1]])));
        let (codes, _) = row[2..].as_chunks::<LANES>();
        let (low, high) = L::nibbles(&codes[0]);
        [low.times(scale), high.times(scale)]
    }
}

impl Stored for Wide {
    type Unit = f32;
    const LENGTH: usize = BLOCK;

    #[inline(always)]
    fn block<L: Lanes>(row: &[f32]) -> [L; 2] {
        let (values, _) = row[..BLOCK].as_chunks::<LANES>();
        [L::load(&values[0]), L::load(&values[1])]
    }
}

/// Whether a KV cache may be in this format.
pub(crate) fn is_stored(format: Format) -> bool {
    matches!(format, Format::F16 | Format::Q8_0 | Format::Q4_0)
}
