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
    /// Avx512 with AMX tiles and int8 products, and the system's permission to use them.
    Amx,
    /// NEON with dotprod.
    Neon,
    /// Neon with i8mm.
    NeonI8mm,
}

impl InstructionSet {
    /// Every set; of those that a machine has, a later one is the better one.
    pub const ALL: [InstructionSet; 7] = [
        InstructionSet::Portable,
        InstructionSet::Avx2,
        InstructionSet::AvxVnni,
        InstructionSet::Avx512,
        InstructionSet::Amx,
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
            InstructionSet::Amx => "amx",
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
            InstructionSet::Amx => avx512() && amx::is_permitted(),
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

    /// Tiles are state that Linux gives to a process on request only; elsewhere they are not used.
    #[cfg(target_os = "linux")]
    mod amx {
        use std::arch::{asm, x86_64::__cpuid_count};
        use std::sync::OnceLock;

        /// `arch_prctl`'s number on x86-64, its code for this request, and the state's number (XTILEDATA).
        const ARCH_PRCTL: u64 = 158;
        const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
        const TILE_DATA: u64 = 18;
        /// Bits of EDX of CPUID leaf 7: amx-tile and amx-int8.
        const TILE: u32 = 1 << 24;
        const INT8: u32 = 1 << 25;

        pub fn is_permitted() -> bool {
            static PERMITTED: OnceLock<bool> = OnceLock::new();
            *PERMITTED.get_or_init(|| has_tiles() && request())
        }

        /// Asked only where AVX-512 was found, so leaf 7 is there.
        fn has_tiles() -> bool {
            __cpuid_count(7, 0).edx & (TILE | INT8) == TILE | INT8
        }

        /// Asks the kernel for the tiles of this process: of all its threads, for its whole life. 0 is yes.
        #[allow(unsafe_code)]
        fn request() -> bool {
            let answer: i64;
            // SAFETY: a system call that changes nothing but what the process may use; `syscall` overwrites rcx and r11.
            unsafe {
                asm!(
                    "syscall",
                    inlateout("rax") ARCH_PRCTL => answer,
                    in("rdi") ARCH_REQ_XCOMP_PERM,
                    in("rsi") TILE_DATA,
                    lateout("rcx") _,
                    lateout("r11") _,
                    options(nostack)
                );
            }
            answer == 0
        }
    }

    #[cfg(not(target_os = "linux"))]
    mod amx {
        pub fn is_permitted() -> bool {
            false
        }
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
