//! Every instruction set against the portable one, bit for bit, over the whole value range, in memory that ends at protected
//! pages. Prints the sets that were run and those that this machine lacks.
//!
//! Under AddressSanitizer, by hand (a build of its own; `--target` keeps the sanitizer out of build scripts):
//! `RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address cargo test -p huacaya-kernels --target x86_64-unknown-linux-gnu --test battery`
//! On another processor: `cargo xtask platforms`.

#![allow(clippy::unwrap_used)] // a test may panic
#![allow(unsafe_code)] // protected pages

mod attention;
mod environment;
mod guarded;
mod material;
mod products;
mod quantized;
mod vectors;

use huacaya_kernels::{InstructionSet, Kernels};

/// The kernels' own buffers end at protected pages, too.
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: guarded::LinesGuarded = guarded::LinesGuarded;

fn portable() -> &'static Kernels {
    Kernels::of(InstructionSet::Portable).unwrap()
}

/// The kernels of every set that this machine has, but for the portable ones.
fn others() -> impl Iterator<Item = &'static Kernels> {
    InstructionSet::ALL.into_iter().filter(|set| *set != InstructionSet::Portable).filter_map(Kernels::of)
}

fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

#[test]
fn it_is_said_which_sets_are_run_and_which_are_not_there() {
    use std::io::Write;
    let (here, lacking): (Vec<_>, Vec<_>) = InstructionSet::ALL.into_iter().partition(|set| set.is_available());
    let names = |sets: &[InstructionSet]| sets.iter().map(|set| set.name()).collect::<Vec<_>>().join(", ");
    // Past the capture of what a test prints: it is to be seen where all is well, too.
    writeln!(std::io::stderr(), "kernels that are run: {}; not on this machine: {}", names(&here), names(&lacking))
        .unwrap();
    assert!(here.contains(&InstructionSet::Portable) && here.contains(&InstructionSet::best()));
    for set in InstructionSet::ALL {
        assert_eq!(Kernels::of(set).map(Kernels::set), set.is_available().then_some(set));
        assert_eq!(InstructionSet::from_name(set.name()), Some(set));
    }
}
