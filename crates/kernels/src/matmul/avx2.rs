//! Products with AVX2, FMA and F16C.

use super::{Table, portable};

pub(crate) const TABLE: Table = portable::TABLE;
