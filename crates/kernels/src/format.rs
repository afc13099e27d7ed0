//! The formats that a tensor's values are stored in: name, number in ggml's files, block length and block size.
//!
//! Source: `ggml.h` (`enum ggml_type`) and `ggml-common.h` (block layouts) of llama.cpp.

/// How a tensor's values are stored. A row is a whole number of blocks; blocks never cross rows.
#[allow(non_camel_case_types)] // the field's own names
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ4_NL,
    IQ4_XS,
    MXFP4,
}

/// Values in a block of the K-quants and IQ4_XS (`QK_K`).
pub(crate) const SUPER_BLOCK: usize = 256;
/// Values in a block of the plain block formats (`QK4_0` and its like).
pub(crate) const BLOCK: usize = 32;

impl Format {
    /// Every format, in the order of the issue.
    pub const ALL: [Format; 16] = [
        Format::F32,
        Format::F16,
        Format::BF16,
        Format::Q4_0,
        Format::Q4_1,
        Format::Q5_0,
        Format::Q5_1,
        Format::Q8_0,
        Format::Q2_K,
        Format::Q3_K,
        Format::Q4_K,
        Format::Q5_K,
        Format::Q6_K,
        Format::IQ4_NL,
        Format::IQ4_XS,
        Format::MXFP4,
    ];

    /// (name, ggml type number, values in a block, bytes of a block)
    const fn row(self) -> (&'static str, u32, usize, usize) {
        match self {
            Format::F32 => ("F32", 0, 1, 4),
            Format::F16 => ("F16", 1, 1, 2),
            Format::BF16 => ("BF16", 30, 1, 2),
            Format::Q4_0 => ("Q4_0", 2, BLOCK, 2 + 16),
            Format::Q4_1 => ("Q4_1", 3, BLOCK, 2 + 2 + 16),
            Format::Q5_0 => ("Q5_0", 6, BLOCK, 2 + 4 + 16),
            Format::Q5_1 => ("Q5_1", 7, BLOCK, 2 + 2 + 4 + 16),
            Format::Q8_0 => ("Q8_0", 8, BLOCK, 2 + 32),
            Format::Q2_K => ("Q2_K", 10, SUPER_BLOCK, 16 + 64 + 2 + 2),
            Format::Q3_K => ("Q3_K", 11, SUPER_BLOCK, 32 + 64 + 12 + 2),
            Format::Q4_K => ("Q4_K", 12, SUPER_BLOCK, 2 + 2 + 12 + 128),
            Format::Q5_K => ("Q5_K", 13, SUPER_BLOCK, 2 + 2 + 12 + 32 + 128),
            Format::Q6_K => ("Q6_K", 14, SUPER_BLOCK, 128 + 64 + 16 + 2),
            Format::IQ4_NL => ("IQ4_NL", 20, BLOCK, 2 + 16),
            Format::IQ4_XS => ("IQ4_XS", 23, SUPER_BLOCK, 2 + 2 + 4 + 128),
            Format::MXFP4 => ("MXFP4", 39, BLOCK, 1 + 16),
        }
    }

    /// The field's name for it, as in `Q4_K`.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// Its number in a GGUF file.
    pub const fn ggml_type(self) -> u32 {
        self.row().1
    }

    /// Values in one block; 1 for plain numbers.
    pub const fn block_length(self) -> usize {
        self.row().2
    }

    /// Bytes of one block.
    pub const fn block_bytes(self) -> usize {
        self.row().3
    }

    /// Whether each value stands alone (F32, F16, BF16), not in blocks.
    pub const fn is_plain(self) -> bool {
        self.block_length() == 1
    }

    /// The format with this number in a GGUF file; `None` where it is not supported ([`ggml_type_name`] may name it).
    pub fn from_ggml_type(number: u32) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.ggml_type() == number)
    }

    /// The format with this name, in any case.
    pub fn from_name(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(name))
    }

    /// Bytes that `values` values take; `None` where they are not whole blocks or the size overflows.
    pub fn bytes_of(self, values: u64) -> Option<u64> {
        let length = self.block_length() as u64;
        if values.is_multiple_of(length) { (values / length).checked_mul(self.block_bytes() as u64) } else { None }
    }

    /// Values that `bytes` bytes hold; `None` where they are not whole blocks or the count overflows.
    pub fn values_in(self, bytes: u64) -> Option<u64> {
        let size = self.block_bytes() as u64;
        if bytes.is_multiple_of(size) { (bytes / size).checked_mul(self.block_length() as u64) } else { None }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// The name of any type number that ggml knows or knew, so that an error can name what is not supported.
pub fn ggml_type_name(number: u32) -> Option<&'static str> {
    Some(match number {
        4 => "Q4_2",
        5 => "Q4_3",
        9 => "Q8_1",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        21 => "IQ3_S",
        22 => "IQ2_S",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        31 => "Q4_0_4_4",
        32 => "Q4_0_4_8",
        33 => "Q4_0_8_8",
        34 => "TQ1_0",
        35 => "TQ2_0",
        36 => "IQ4_NL_4_4",
        37 => "IQ4_NL_4_8",
        38 => "IQ4_NL_8_8",
        40 => "NVFP4",
        41 => "Q1_0",
        _ => return Format::from_ggml_type(number).map(Format::name),
    })
}
