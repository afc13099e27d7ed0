//! The attention operations of each instruction set.

#[derive(Clone, Copy)]
pub(crate) struct Table {}

pub(crate) const PORTABLE: Table = Table {};
#[cfg(target_arch = "x86_64")]
pub(crate) const AVX2: Table = PORTABLE;
#[cfg(target_arch = "x86_64")]
pub(crate) const AVX512: Table = AVX2;
