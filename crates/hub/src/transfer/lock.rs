//! Makes two starts of the same download one transfer, in this process and across processes: who holds the lock fetches,
//! the others wait.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::journal::beside;
use crate::error::{Error, Result};

/// Soon enough that nobody sees the wait, seldom enough to cost nothing.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Held for as long as it lives. The lock goes with the process, however it ends; the file may then stay, empty.
pub(super) struct Lock {
    path: PathBuf,
    /// None only while it is dropped.
    file: Option<File>,
}

impl Lock {
    /// Waits for the transfer to `place` to be ours; `waits` is told each time it is not yet.
    pub async fn hold(place: &Path, waits: &(dyn Fn() + Sync)) -> Result<Lock> {
        let path = beside(place, ".part.lock");
        loop {
            match attempt(&path) {
                Ok(Some(file)) => return Ok(Lock { path, file: Some(file) }),
                Ok(None) => waits(),
                Err(source) => return Err(Error::Io { path, source }),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

#[cfg(unix)]
impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while still locked: whoever waits for this file finds that the path no longer leads to it.
        let _ = std::fs::remove_file(&self.path);
        self.file = None;
    }
}

#[cfg(not(unix))]
impl Drop for Lock {
    fn drop(&mut self) {
        self.file = None;
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The locked file; None while another holds it.
#[cfg(unix)]
fn attempt(path: &Path) -> io::Result<Option<File>> {
    use std::{fs::TryLockError, os::unix::fs::MetadataExt};

    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        // A network disk without locks: better one transfer without a lock than none.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => return Ok(Some(file)),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // The one before us removes the file as it goes: then ours is no longer the one that others will find.
    let ours = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => Ok(Some(file)),
        _ => Ok(None),
    }
}

/// The file opened for nobody else; None while another holds it. Windows takes it back when the process ends.
#[cfg(not(unix))]
fn attempt(path: &Path) -> io::Result<Option<File>> {
    const SHARING_VIOLATION: i32 = 32;

    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(windows)]
    std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 0);
    match options.open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.raw_os_error() == Some(SHARING_VIOLATION) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_waits_until_the_first_is_gone_and_nothing_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("model.gguf");
        let first = Lock::hold(&place, &|| panic!("nobody else holds it")).await.expect("held");
        let second = Lock::hold(&place, &|| {});
        tokio::pin!(second);
        assert!(tokio::time::timeout(Duration::from_millis(300), &mut second).await.is_err(), "it waits");
        drop(first);
        drop(second.await.expect("held"));
        assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 0);
    }
}
