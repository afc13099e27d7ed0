//! Products with AMX tiles.

use super::{Table, avx512};

pub(crate) const TABLE: Table = avx512::TABLE;
