//! SHA-256 of a file that lies in its place.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{hash::Sha256, work::joined};
use crate::error::{Error, Result};

/// Read at once: few calls, and small enough to stay in a core's cache.
const READ_BYTES: usize = 1 << 20;

/// Hashes the file on a thread of its own, which ends when nobody waits for it any more. `hashed` counts its bytes.
pub(super) async fn hash_of(path: &Path, hashed: Arc<AtomicU64>) -> Result<String> {
    let path = path.to_path_buf();
    let going = Arc::new(());
    let alive = Arc::downgrade(&going);
    let work = tokio::task::spawn_blocking(move || {
        let read = || {
            let mut file = File::open(&path)?;
            let (mut hash, mut buffer) = (Sha256::new(), vec![0; READ_BYTES]);
            loop {
                match file.read(&mut buffer)? {
                    _ if alive.strong_count() == 0 => return Err(io::ErrorKind::Interrupted.into()),
                    0 => return Ok(hash.finish()),
                    length => {
                        hash.update(&buffer[..length]);
                        hashed.fetch_add(length as u64, Ordering::Relaxed);
                    }
                }
            }
        };
        read().map_err(|source| Error::Io { path: path.clone(), source })
    });
    let ended = joined(work.await);
    drop(going);
    ended?
}
