//! One open data folder: the database, this process's owner lock, and the stream of changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Result, Snapshot, Time};

/// Cheap to clone. Every call must run inside a tokio runtime. A call whose future is dropped half-way is rolled back
/// or, after its commit, published by the next poll.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {}

pub struct Opened {
    pub store: Store,
    /// The database was damaged; the person must be told.
    pub repaired: Option<Repair>,
}

/// What was done about a damaged database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Where the damaged file lies now.
    pub set_aside: PathBuf,
    /// When the backup that was opened instead was made; `None`: there was no sound one, and the history starts empty.
    pub backup_ms: Option<Time>,
    /// What was wrong, in English.
    pub detail: String,
}

impl Store {
    /// Opens (or makes) the database in `folder`, migrates it, repairs it if it must be, and recovers rows whose owner is gone.
    pub async fn open(_folder: &Path) -> Result<Opened> {
        todo!()
    }

    /// This process, as rows name it (`Model::loaded_by`).
    pub fn owner(&self) -> &str {
        todo!()
    }

    /// All rows that are always mirrored.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        todo!()
    }

    /// Makes a backup now; returns its path.
    pub async fn back_up(&self) -> Result<PathBuf> {
        todo!()
    }

    /// Ends this process's part: rows it still owns become interrupted, models unloaded, the lock free. Streams end.
    pub async fn close(&self) {
        todo!()
    }
}
