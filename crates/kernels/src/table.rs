//! One table of functions for each instruction set, and the choice between them.
//!
//! A table is reached only through [`Kernels::of`], which hands out those that this machine can run: that is what makes it
//! sound to call a function that was compiled for more than every processor has.

use std::sync::OnceLock;

use crate::{InstructionSet, activation, attention, matmul, vector};

/// The kernels of one instruction set.
pub struct Kernels {
    pub(crate) set: InstructionSet,
    pub(crate) quantize: activation::Quantize,
    pub(crate) matmul: matmul::Table,
    pub(crate) vector: vector::Table,
    pub(crate) attention: attention::Table,
}

/// The environment variable that forces a set by its name.
pub const KERNELS_VARIABLE: &str = "HUACAYA_KERNELS";

/// The kernels that the program uses, and why where it is not the best or not what was asked for.
#[derive(Clone)]
pub struct Choice {
    pub kernels: &'static Kernels,
    /// `HUACAYA_KERNELS` names this set: it goes before every setting and every measurement.
    pub forced: bool,
    /// A sentence for the log and for `doctor`; `None` where nothing was asked for.
    pub reason: Option<String>,
}

static PORTABLE: Kernels = Kernels {
    set: InstructionSet::Portable,
    quantize: activation::quantize_portable,
    matmul: matmul::portable::TABLE,
    vector: vector::PORTABLE,
    attention: attention::PORTABLE,
};

#[cfg(target_arch = "x86_64")]
mod sets {
    use super::*;

    static AVX2: Kernels = Kernels {
        set: InstructionSet::Avx2,
        quantize: activation::quantize_avx2,
        matmul: matmul::avx2::TABLE,
        vector: vector::AVX2,
        attention: attention::AVX2,
    };
    static AVX_VNNI: Kernels =
        Kernels { set: InstructionSet::AvxVnni, matmul: matmul::avx_vnni::TABLE, ..copy_of(&AVX2) };
    static AVX512: Kernels = Kernels {
        set: InstructionSet::Avx512,
        quantize: activation::quantize_avx512,
        matmul: matmul::avx512::TABLE,
        vector: vector::AVX512,
        attention: attention::AVX512,
    };

    pub fn table(set: InstructionSet) -> Option<&'static Kernels> {
        match set {
            InstructionSet::Avx2 => Some(&AVX2),
            InstructionSet::AvxVnni => Some(&AVX_VNNI),
            InstructionSet::Avx512 => Some(&AVX512),
            _ => None,
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod sets {
    use super::*;

    static NEON: Kernels = Kernels { set: InstructionSet::Neon, matmul: matmul::neon::TABLE, ..copy_of(&PORTABLE) };
    static NEON_I8MM: Kernels =
        Kernels { set: InstructionSet::NeonI8mm, matmul: matmul::neon::TABLE_I8MM, ..copy_of(&NEON) };

    pub fn table(set: InstructionSet) -> Option<&'static Kernels> {
        match set {
            InstructionSet::Neon => Some(&NEON),
            InstructionSet::NeonI8mm => Some(&NEON_I8MM),
            _ => None,
        }
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod sets {
    pub fn table(_set: super::InstructionSet) -> Option<&'static super::Kernels> {
        None
    }
}

/// The same functions, to be put under another set's name.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const fn copy_of(kernels: &Kernels) -> Kernels {
    Kernels {
        set: kernels.set,
        quantize: kernels.quantize,
        matmul: kernels.matmul,
        vector: kernels.vector,
        attention: kernels.attention,
    }
}

impl Kernels {
    /// The kernels of `set`; `None` where this machine cannot run them.
    pub fn of(set: InstructionSet) -> Option<&'static Kernels> {
        if !set.is_available() {
            return None;
        }
        if set == InstructionSet::Portable { Some(&PORTABLE) } else { sets::table(set) }
    }

    /// The kernels of the set that `HUACAYA_KERNELS` names, else of the best. Always the same in one process.
    pub fn chosen() -> &'static Kernels {
        Kernels::decided().kernels
    }

    /// [`Kernels::chosen`], and why.
    pub fn choice() -> Choice {
        Kernels::decided().clone()
    }

    fn decided() -> &'static Choice {
        static CHOICE: OnceLock<Choice> = OnceLock::new();
        CHOICE
            .get_or_init(|| choose(std::env::var_os(KERNELS_VARIABLE).map(|name| name.to_string_lossy().into_owned())))
    }

    /// What they use of the processor.
    pub fn set(&self) -> InstructionSet {
        self.set
    }
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kernels({})", self.set)
    }
}

fn choose(asked: Option<String>) -> Choice {
    let best = InstructionSet::best();
    let kernels = Kernels::of(best).unwrap_or(&PORTABLE);
    let Some(asked) = asked.filter(|name| !name.is_empty()) else {
        return Choice { kernels, forced: false, reason: None };
    };
    let reason = match InstructionSet::from_name(&asked) {
        None => {
            let names = InstructionSet::ALL.map(InstructionSet::name).join(", ");
            format!("{KERNELS_VARIABLE}={asked} names no instruction set ({names}); {best} is used")
        }
        Some(set) => match Kernels::of(set) {
            Some(kernels) => {
                let reason = Some(format!("{KERNELS_VARIABLE}={asked} asks for {set}"));
                return Choice { kernels, forced: true, reason };
            }
            None => format!("{KERNELS_VARIABLE}={asked} asks for what this processor does not have; {best} is used"),
        },
    };
    Choice { kernels, forced: false, reason: Some(reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_set_that_this_machine_has_is_forced_and_the_reason_names_what_was_asked() {
        let nothing = choose(None);
        assert_eq!((nothing.kernels.set(), nothing.forced, nothing.reason), (InstructionSet::best(), false, None));
        let forced = choose(Some("Portable".to_string()));
        assert_eq!((forced.kernels.set(), forced.forced), (InstructionSet::Portable, true));
        assert!(forced.reason.unwrap().contains("Portable"));
        let other = if cfg!(target_arch = "aarch64") { "avx512" } else { "neon" };
        for asked in ["avx9000", other] {
            let ignored = choose(Some(asked.to_string()));
            assert_eq!((ignored.kernels.set(), ignored.forced), (InstructionSet::best(), false));
            assert!(ignored.reason.unwrap().contains(asked));
        }
    }
}
