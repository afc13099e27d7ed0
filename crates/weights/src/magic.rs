//! What a file is, by its first bytes.

use std::path::Path;

use crate::Error;
use crate::map::Map;

pub(crate) enum Magic {
    Gguf,
    /// A zip archive, which is what PyTorch saves, or a pickle, which it did before 1.6.
    PyTorch,
    Other,
}

pub(crate) fn of(path: &Path) -> Result<Magic, Error> {
    let map = Map::open(path)?;
    Ok(match map.get(..4) {
        Some(b"GGUF") => Magic::Gguf,
        Some(b"PK\x03\x04" | b"\x80\x02\x8a\x0a" | b"\x80\x02}q" | b"\x80\x02cc") => Magic::PyTorch,
        _ => Magic::Other,
    })
}
