//! The mixes of formats that a model can be quantized to, by the names that llama.cpp gave them.

use huacaya_kernels::Format;

/// A mix of formats: most matrices get one, the sensitive ones a better one.
#[allow(non_camel_case_types)] // the field's own names
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    F32,
    F16,
    BF16,
    Q8_0,
    Q6_K,
    Q5_K_M,
    Q5_K_S,
    Q5_1,
    Q5_0,
    Q4_K_M,
    Q4_K_S,
    IQ4_NL,
    IQ4_XS,
    Q4_1,
    Q4_0,
    Q3_K_L,
    Q3_K_M,
    Q3_K_S,
    Q2_K,
}

impl Scheme {
    /// Every scheme, the most exact first.
    pub const ALL: [Scheme; 19] = [
        Scheme::F32,
        Scheme::F16,
        Scheme::BF16,
        Scheme::Q8_0,
        Scheme::Q6_K,
        Scheme::Q5_K_M,
        Scheme::Q5_K_S,
        Scheme::Q5_1,
        Scheme::Q5_0,
        Scheme::Q4_K_M,
        Scheme::Q4_K_S,
        Scheme::IQ4_NL,
        Scheme::IQ4_XS,
        Scheme::Q4_1,
        Scheme::Q4_0,
        Scheme::Q3_K_L,
        Scheme::Q3_K_M,
        Scheme::Q3_K_S,
        Scheme::Q2_K,
    ];

    /// (name, `general.file_type` of a GGUF, what most matrices get). Source: `llama_ftype` of llama.cpp.
    const fn row(self) -> (&'static str, u32, Format) {
        match self {
            Scheme::F32 => ("F32", 0, Format::F32),
            Scheme::F16 => ("F16", 1, Format::F16),
            Scheme::BF16 => ("BF16", 32, Format::BF16),
            Scheme::Q8_0 => ("Q8_0", 7, Format::Q8_0),
            Scheme::Q6_K => ("Q6_K", 18, Format::Q6_K),
            Scheme::Q5_K_M => ("Q5_K_M", 17, Format::Q5_K),
            Scheme::Q5_K_S => ("Q5_K_S", 16, Format::Q5_K),
            Scheme::Q5_1 => ("Q5_1", 9, Format::Q5_1),
            Scheme::Q5_0 => ("Q5_0", 8, Format::Q5_0),
            Scheme::Q4_K_M => ("Q4_K_M", 15, Format::Q4_K),
            Scheme::Q4_K_S => ("Q4_K_S", 14, Format::Q4_K),
            Scheme::IQ4_NL => ("IQ4_NL", 25, Format::IQ4_NL),
            Scheme::IQ4_XS => ("IQ4_XS", 30, Format::IQ4_XS),
            Scheme::Q4_1 => ("Q4_1", 3, Format::Q4_1),
            Scheme::Q4_0 => ("Q4_0", 2, Format::Q4_0),
            Scheme::Q3_K_L => ("Q3_K_L", 13, Format::Q3_K),
            Scheme::Q3_K_M => ("Q3_K_M", 12, Format::Q3_K),
            Scheme::Q3_K_S => ("Q3_K_S", 11, Format::Q3_K),
            Scheme::Q2_K => ("Q2_K", 10, Format::Q2_K),
        }
    }

    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The number that stands for it in a GGUF's `general.file_type`.
    pub const fn file_type(self) -> u32 {
        self.row().1
    }

    /// What most matrices get.
    pub const fn format(self) -> Format {
        self.row().2
    }

    /// The scheme with this name, in any case of letters.
    pub fn from_name(name: &str) -> Option<Scheme> {
        Scheme::ALL.into_iter().find(|scheme| scheme.name().eq_ignore_ascii_case(name))
    }
}

impl std::fmt::Display for Scheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
