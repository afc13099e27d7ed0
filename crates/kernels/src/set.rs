//! The instruction sets that kernels are written for, and which of them this machine has.

/// What a table of kernels may use of the processor. Each includes what its comment names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InstructionSet {
    /// What every processor of the target has: the specification.
    Portable,
    /// AVX2 with FMA, F16C, BMI1 and BMI2.
    Avx2,
    /// Avx2 with the 256-bit `vpdpbusd` (AVX-VNNI).
    AvxVnni,
    /// Avx2 with AVX-512 F, BW, VL, DQ and VNNI.
    Avx512,
    /// NEON with dotprod.
    Neon,
    /// Neon with i8mm.
    NeonI8mm,
}

impl InstructionSet {
    /// Every set; of those that a machine has, a later one is the better one.
    pub const ALL: [InstructionSet; 6] = [
        InstructionSet::Portable,
        InstructionSet::Avx2,
        InstructionSet::AvxVnni,
        InstructionSet::Avx512,
        InstructionSet::Neon,
        InstructionSet::NeonI8mm,
    ];

    /// The name in settings and in `HUACAYA_KERNELS`.
    pub const fn name(self) -> &'static str {
        match self {
            InstructionSet::Portable => "portable",
            InstructionSet::Avx2 => "avx2",
            InstructionSet::AvxVnni => "avx-vnni",
            InstructionSet::Avx512 => "avx512",
            InstructionSet::Neon => "neon",
            InstructionSet::NeonI8mm => "neon-i8mm",
        }
    }

    /// The set with this name, in any case.
    pub fn from_name(name: &str) -> Option<InstructionSet> {
        InstructionSet::ALL.into_iter().find(|set| set.name().eq_ignore_ascii_case(name))
    }

    /// Whether this machine can run it.
    pub fn is_available(self) -> bool {
        self == InstructionSet::Portable || processor::has(self)
    }

    /// The best that this machine can run.
    pub fn best() -> InstructionSet {
        InstructionSet::ALL.into_iter().rev().find(|set| set.is_available()).unwrap_or(InstructionSet::Portable)
    }
}

impl std::fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(target_arch = "x86_64")]
mod processor {
    use super::InstructionSet;

    pub fn has(set: InstructionSet) -> bool {
        match set {
            InstructionSet::Avx2 => avx2(),
            InstructionSet::AvxVnni => avx2() && is_x86_feature_detected!("avxvnni"),
            InstructionSet::Avx512 => avx512(),
            _ => false,
        }
    }

    fn avx2() -> bool {
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
    }

    fn avx512() -> bool {
        avx2()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vnni")
    }
}

#[cfg(target_arch = "aarch64")]
mod processor {
    use super::InstructionSet;
    use std::arch::is_aarch64_feature_detected;

    pub fn has(set: InstructionSet) -> bool {
        match set {
            InstructionSet::Neon => is_aarch64_feature_detected!("dotprod"),
            InstructionSet::NeonI8mm => is_aarch64_feature_detected!("dotprod") && is_aarch64_feature_detected!("i8mm"),
            _ => false,
        }
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod processor {
    pub fn has(_set: super::InstructionSet) -> bool {
        false
    }
}
