//! The storage folder: where the models lie that the program keeps, and what they take of the disk.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use huacaya_store::ModelId;
use serde::Serialize;
use ts_rs::TS;

use crate::{
    App, blocking,
    error::{Code, Error, Result},
    places::Places,
};

/// The setting that moves it.
pub(crate) const STORAGE: &str = "storage";
/// Files of deleted models wait here for the undo.
pub(crate) const DELETED: &str = ".deleted";
/// Files that are not whole yet end in this, and the journal beside them in the other.
pub(crate) const PART: &str = ".part";
pub(crate) const JOURNAL: &str = ".part.json";
/// `<owner>--<name>/<folder>/<file>` and a little more; deeper lies nothing of ours.
const DEPTH_MAX: usize = 6;
/// Far more files than models have; what is beyond is not counted.
pub(crate) const FILES_MAX: usize = 100_000;
/// How many of the largest models are named.
const LARGEST: usize = 10;

/// What lies in the storage folder, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, TS)]
pub struct DiskUse {
    pub folder: String,
    pub models_bytes: u64,
    /// Unfinished downloads and copies.
    pub partial_bytes: u64,
    /// Deleted models that can still be brought back.
    pub deleted_bytes: u64,
    /// Of the disk that the folder is on.
    pub free_bytes: u64,
    pub total_bytes: u64,
    pub largest: Vec<Largest>,
}

/// A model that takes much room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, TS)]
pub struct Largest {
    pub model: ModelId,
    pub bytes: u64,
}

/// The folder, as it is now: moving it changes it while the program runs.
pub(crate) struct Storage {
    folder: RwLock<PathBuf>,
    moving: AtomicBool,
    /// Held while the rows are compared with the files: what an earlier look saw is never written over a later one.
    pub(crate) looking: tokio::sync::Mutex<()>,
}

/// While it lives, the folder is being moved: nothing new may be written into it.
pub(crate) struct Moving<'a>(&'a Storage);

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.0.moving.store(false, Ordering::Release);
    }
}

impl Storage {
    pub(crate) fn new(folder: PathBuf) -> Storage {
        Storage { folder: RwLock::new(folder), moving: AtomicBool::new(false), looking: tokio::sync::Mutex::default() }
    }

    pub(crate) fn now(&self) -> PathBuf {
        self.folder.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, folder: PathBuf) {
        *self.folder.write().unwrap_or_else(PoisonError::into_inner) = folder;
    }

    /// Only one job moves it at a time.
    pub(crate) fn moving(&self) -> Moving<'_> {
        self.moving.store(true, Ordering::Release);
        Moving(self)
    }

    pub(crate) fn is_moving(&self) -> bool {
        self.moving.load(Ordering::Acquire)
    }
}

/// The folder that the setting names, or the usual one.
pub(crate) async fn find(store: &huacaya_store::Store, places: &Places) -> Result<PathBuf> {
    let set = store.setting(STORAGE).await?.and_then(|value| value.as_str().map(PathBuf::from));
    Ok(set.filter(|folder| folder.is_absolute()).unwrap_or_else(|| places.models()))
}

/// A folder that cannot be used for models, and why.
pub(crate) fn unusable(path: &Path, reason: impl std::fmt::Display) -> Error {
    let detail = format!("{}: cannot be used for models: {reason}", path.display());
    Error::new(Code::StorageUnusable, detail).with("path", path.display()).with("reason", reason)
}

/// A file below the storage folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub path: PathBuf,
    pub bytes: u64,
}

/// The regular files below a folder, sorted; links are not followed. A folder that is not there has none.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut folders = vec![(folder.to_path_buf(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.map_err(|error| Error::unreadable(&folder, &error))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| Error::unreadable(&folder, &error))?;
            let Ok(metadata) = entry.path().symlink_metadata() else { continue };
            if metadata.is_dir() && depth < DEPTH_MAX {
                folders.push((entry.path(), depth + 1));
            } else if metadata.is_file() && found.len() < FILES_MAX {
                found.push(Found { path: entry.path(), bytes: metadata.len() });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// Whether a file is one that is still being written, or the journal of one.
pub(crate) fn is_partial(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(PART) || name.ends_with(JOURNAL)
}

impl App {
    /// Where models lie that the program keeps. It may not be there (a disk that is not plugged in).
    pub(crate) fn storage(&self) -> PathBuf {
        self.inner.storage.now()
    }

    /// The same, when it is to be written into: a folder that the person chose and that is gone is not made anew, for it
    /// would come to lie on another disk.
    pub(crate) fn usable_storage(&self) -> Result<PathBuf> {
        let folder = self.storage();
        if folder == self.inner.places.models() {
            fs::create_dir_all(&folder).map_err(|error| unusable(&folder, error))?;
        } else if !folder.is_dir() {
            return Err(unusable(&folder, "it is not there"));
        }
        Ok(folder)
    }

    /// Another process may have moved it.
    pub(crate) async fn refresh_storage(&self) -> Result<()> {
        let folder = find(&self.inner.store, &self.inner.places).await?;
        if folder != self.storage() && !self.inner.storage.is_moving() {
            self.inner.storage.set(folder);
        }
        Ok(())
    }

    pub(crate) async fn disk_use(&self) -> Result<DiskUse> {
        self.refresh_storage().await?;
        let folder = self.storage();
        let mut largest: Vec<Largest> = (self.inner.store.models().await?.into_iter())
            .filter(|model| model.in_storage)
            .map(|model| Largest { model: model.id, bytes: model.file_bytes })
            .collect();
        largest.sort_by_key(|one| std::cmp::Reverse(one.bytes));
        largest.truncate(LARGEST);
        blocking(move || measure(&folder, largest)).await
    }
}

fn measure(folder: &Path, largest: Vec<Largest>) -> Result<DiskUse> {
    let (mut models_bytes, mut partial_bytes, mut deleted_bytes) = (0, 0, 0);
    let deleted = folder.join(DELETED);
    for Found { path, bytes } in files_below(folder)? {
        let sum = match path {
            path if path.starts_with(&deleted) => &mut deleted_bytes,
            path if is_partial(&path) => &mut partial_bytes,
            _ => &mut models_bytes,
        };
        *sum += bytes;
    }
    let disk = existing(folder);
    Ok(DiskUse {
        folder: folder.display().to_string(),
        models_bytes,
        partial_bytes,
        deleted_bytes,
        free_bytes: fs4::available_space(disk).map_err(|error| Error::unreadable(disk, &error))?,
        total_bytes: fs4::total_space(disk).map_err(|error| Error::unreadable(disk, &error))?,
        largest,
    })
}

/// Sees renames in a folder onto the disk, where the system lets a folder be synced.
pub(crate) fn sync_folder(folder: &Path) {
    if let Ok(folder) = fs::File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// The nearest folder above (or itself) that is there.
pub(crate) fn existing(path: &Path) -> &Path {
    path.ancestors().find(|folder| folder.is_dir()).unwrap_or(path)
}
