//! Who a row in progress belongs to: each process holds a lock file of its own for as long as it lives.
//!
//! The operating system frees the lock however the process ends, so a free lock (or none) means that the owner is gone.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Error, Result};

/// Another process that opens the same folder migrates, repairs and cleans up in this time at most.
const GATE_WAIT_MAX: Duration = Duration::from_secs(120);
const GATE_POLL: Duration = Duration::from_millis(20);

/// This process's part in the folder. The lock lives as long as the value.
pub(crate) struct Owner {
    pub id: String,
    path: PathBuf,
    _lock: File,
}

impl Owner {
    /// Call it inside the gate: a half-made lock file looks like a dead owner's.
    pub fn new(folder: &Path) -> Result<Owner> {
        let random = RandomState::new().build_hasher().finish();
        let id = format!("{}-{random:016x}", std::process::id());
        let path = lock_path(folder, &id);
        let lock = open(&path)?;
        lock.lock().map_err(|source| io_error("lock", &path, source))?;
        Ok(Owner { id, path, _lock: lock })
    }

    /// Removes the lock file; the lock itself goes with the value.
    pub fn remove_file(&self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the lock file stays for the next start");
        }
    }
}

/// Whether the process behind an id still lives. An id that is no file name of ours never does.
pub(crate) fn is_alive(folder: &Path, id: &str) -> bool {
    if !is_id(id) {
        return false;
    }
    match File::open(lock_path(folder, id)) {
        Ok(file) => match file.try_lock_shared() {
            Ok(()) => false,
            Err(TryLockError::WouldBlock) => true,
            // Not known: leave its rows alone.
            Err(TryLockError::Error(_)) => true,
        },
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Removes what dead owners left. Call it inside the gate. Returns how many others live.
pub(crate) fn sweep(folder: &Path, own: Option<&str>) -> usize {
    let Ok(entries) = fs::read_dir(owners(folder)) else { return 0 };
    let mut living = 0;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".lock")) else { continue };
        if Some(id) == own {
            continue;
        }
        if is_alive(folder, id) {
            living += 1;
        } else {
            fs::remove_file(entry.path()).ok();
        }
    }
    living
}

/// Held while a process opens the folder: one at a time repairs, migrates, recovers.
pub(crate) struct Gate {
    _lock: File,
}

impl Gate {
    pub async fn enter(folder: &Path) -> Result<Gate> {
        let path = folder.join("open.lock");
        let lock = open(&path)?;
        let mut waited = Duration::ZERO;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Gate { _lock: lock }),
                Err(TryLockError::WouldBlock) if waited < GATE_WAIT_MAX => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(io_error("lock (another process holds it)", &path, io::ErrorKind::TimedOut.into()));
                }
                Err(TryLockError::Error(source)) => return Err(io_error("lock", &path, source)),
            }
            tokio::time::sleep(GATE_POLL).await;
            waited += GATE_POLL;
        }
    }
}

pub(crate) fn owners(folder: &Path) -> PathBuf {
    folder.join("owners")
}

fn lock_path(folder: &Path, id: &str) -> PathBuf {
    owners(folder).join(format!("{id}.lock"))
}

/// Ids come out of rows, which may be damaged: they must not lead elsewhere.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn open(path: &Path) -> Result<File> {
    let file = File::options().create(true).truncate(false).read(true).write(true).open(path);
    file.map_err(|source| io_error("open", path, source))
}

pub(crate) fn io_error(attempt: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io { attempt, path: path.to_path_buf(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_alive_while_it_is_held_and_not_after() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(owners(folder.path())).unwrap();
        let owner = Owner::new(folder.path()).unwrap();
        let id = owner.id.clone();
        assert!(is_alive(folder.path(), &id));
        assert_eq!(sweep(folder.path(), None), 1);
        drop(owner);
        assert!(!is_alive(folder.path(), &id));
        assert_eq!(sweep(folder.path(), None), 0);
        assert!(!lock_path(folder.path(), &id).exists());
    }

    #[test]
    fn an_id_from_a_damaged_row_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        for id in ["", "../../etc/passwd", "a/b", "C:x", "\u{0}"] {
            assert!(!is_alive(folder.path(), id), "{id:?}");
        }
    }
}
