//! Products with AVX-512 with VNNI.

use super::{Table, avx2};

pub(crate) const TABLE: Table = avx2::TABLE;
