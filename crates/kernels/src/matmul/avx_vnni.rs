//! Products with AVX-VNNI, and what AVX2 does where that is no help.

use super::{Table, avx2};

pub(crate) const TABLE: Table = avx2::TABLE;
