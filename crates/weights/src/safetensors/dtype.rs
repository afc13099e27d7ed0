//! The types of values that safetensors knows.

use huacaya_kernels::Format;

/// How values are stored. Those that the decoder can use have a [`Format`]; the others can be listed, not read.
#[allow(non_camel_case_types)] // the format's own names
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    BOOL,
    F4,
    F6_E2M3,
    F6_E3M2,
    U8,
    I8,
    F8_E5M2,
    F8_E4M3,
    F8_E8M0,
    I16,
    U16,
    F16,
    BF16,
    I32,
    U32,
    F32,
    C64,
    F64,
    I64,
    U64,
}

impl Dtype {
    pub(super) const ALL: [(Dtype, &str, u64); 20] = [
        (Dtype::BOOL, "BOOL", 8),
        (Dtype::F4, "F4", 4),
        (Dtype::F6_E2M3, "F6_E2M3", 6),
        (Dtype::F6_E3M2, "F6_E3M2", 6),
        (Dtype::U8, "U8", 8),
        (Dtype::I8, "I8", 8),
        (Dtype::F8_E5M2, "F8_E5M2", 8),
        (Dtype::F8_E4M3, "F8_E4M3", 8),
        (Dtype::F8_E8M0, "F8_E8M0", 8),
        (Dtype::I16, "I16", 16),
        (Dtype::U16, "U16", 16),
        (Dtype::F16, "F16", 16),
        (Dtype::BF16, "BF16", 16),
        (Dtype::I32, "I32", 32),
        (Dtype::U32, "U32", 32),
        (Dtype::F32, "F32", 32),
        (Dtype::C64, "C64", 64),
        (Dtype::F64, "F64", 64),
        (Dtype::I64, "I64", 64),
        (Dtype::U64, "U64", 64),
    ];

    /// The name in the header.
    pub fn name(self) -> &'static str {
        Dtype::ALL.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }

    pub fn from_name(name: &str) -> Option<Dtype> {
        Dtype::ALL.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// Bits of one value.
    pub fn bits(self) -> u64 {
        Dtype::ALL.iter().find(|row| row.0 == self).map_or(0, |row| row.2)
    }

    /// The same as a format of the kernels, where they have it.
    pub fn format(self) -> Option<Format> {
        match self {
            Dtype::F32 => Some(Format::F32),
            Dtype::F16 => Some(Format::F16),
            Dtype::BF16 => Some(Format::BF16),
            _ => None,
        }
    }

    /// Bytes that `values` values take; `None` where that is not whole bytes or overflows.
    pub fn bytes_of(self, values: u64) -> Option<u64> {
        let bits = values.checked_mul(self.bits())?;
        bits.is_multiple_of(8).then_some(bits / 8)
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
