//! Whether a file will fit on its disk: asked before the first byte is fetched.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Room for the journal, the folder's entry and what else goes on beside the download.
const SPARE_BYTES: u64 = 8 << 20;

/// Bytes free, for this user, on the disk that holds `path` (or its nearest folder that exists).
pub fn free_space(path: &Path) -> Result<u64> {
    let folder = standing(path);
    fs4::available_space(&folder).map_err(|source| Error::Io { path: folder, source })
}

/// Refuses where `needed` more bytes do not fit.
pub(crate) fn preflight(path: &Path, needed: u64) -> Result<()> {
    let free = free_space(path)?.saturating_sub(SPARE_BYTES);
    if needed > free {
        return Err(Error::DiskFull { needed, free, path: path.to_path_buf() });
    }
    Ok(())
}

/// The path itself or the nearest folder above it that is there.
fn standing(path: &Path) -> PathBuf {
    let found = path.ancestors().find(|folder| !folder.as_os_str().is_empty() && folder.exists());
    found.unwrap_or(Path::new(".")).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_disk_holds_is_refused_before_anything_is_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("张 庭 綱/　data/model.gguf");
        match preflight(&place, u64::MAX / 2) {
            Err(Error::DiskFull { needed, free, .. }) => assert!(needed > free),
            other => panic!("{other:?}"),
        }
        assert!(preflight(&place, 1).is_ok());
        assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 0);
    }
}
