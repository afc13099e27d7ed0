//! Small JSON files that stand beside a model: read whole, within a limit.

use std::fs;
use std::io::Read;
use std::path::Path;

use crate::{Error, Fault};

/// `config.json` and its like have some kilobytes; JSON takes some thirty times its bytes in memory.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// The bytes of a regular file of at most `limit` bytes.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let at = |fault| Error::new(path, fault);
    let metadata = fs::metadata(path).map_err(|error| at(Fault::Io(error)))?;
    if !metadata.is_file() {
        return Err(at(Fault::NotAFile));
    }
    let file = fs::File::open(path).map_err(|error| at(Fault::Io(error)))?;
    let mut bytes = Vec::new();
    // One more than allowed: the file may have grown since it was measured.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| at(Fault::Io(error)))?;
    if bytes.len() as u64 > limit {
        return Err(at(Fault::TooLarge { limit }));
    }
    Ok(bytes)
}

/// `config.json` or another of its kind, as JSON.
pub(crate) fn read_config(path: &Path) -> Result<serde_json::Value, Error> {
    let bytes = read_bounded(path, CONFIG_BYTES_MAX)?;
    serde_json::from_slice(&bytes).map_err(|error| Error::new(path, Fault::Json { detail: error.to_string() }))
}
