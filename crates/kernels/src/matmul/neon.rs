//! Products with NEON: with dotprod, and with i8mm.

use super::{Table, portable};

pub(crate) const TABLE: Table = portable::TABLE;
pub(crate) const TABLE_I8MM: Table = TABLE;
