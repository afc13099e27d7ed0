//! The unfinished file on the disk: made as large as it will be, written at any place, put in its place when it is whole.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::journal::beside;
use crate::{
    error::{Error, Result},
    space::free_space,
};

/// `<place>.part`.
pub(super) struct PartFile {
    file: File,
    pub path: PathBuf,
}

impl PartFile {
    /// Opens what is there and makes it `bytes` long; the bytes that are not written yet take no room.
    pub fn open(place: &Path, bytes: u64) -> Result<PartFile> {
        let path = part_path(place);
        let open = || {
            let file = File::options().create(true).truncate(false).read(true).write(true).open(&path)?;
            if file.metadata()?.len() != bytes {
                file.set_len(bytes)?;
            }
            Ok(file)
        };
        let file = open().map_err(|source| disk_error(&path, bytes, source))?;
        Ok(PartFile { file, path })
    }

    pub fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        write_all_at(&self.file, data, offset).map_err(|source| disk_error(&self.path, data.len() as u64, source))
    }

    pub fn read_at(&self, data: &mut [u8], offset: u64) -> Result<()> {
        read_exact_at(&self.file, data, offset).map_err(|source| Error::Io { path: self.path.clone(), source })
    }

    /// Comes back when all that was written before lies on the disk.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|source| disk_error(&self.path, 0, source))
    }

    /// Puts the whole file in its place, for good.
    pub fn finish(&self, place: &Path) -> Result<()> {
        let at = |path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::Io { path, source }
        };
        self.file.sync_all().map_err(at(&self.path))?;
        fs::rename(&self.path, place).map_err(at(place))?;
        sync_folder(place);
        remove_unfinished(place)
    }
}

pub(super) fn part_path(place: &Path) -> PathBuf {
    beside(place, ".part")
}

pub(super) fn journal_path(place: &Path) -> PathBuf {
    beside(place, ".part.json")
}

/// Removes the unfinished file and its journal.
pub(super) fn remove_unfinished(place: &Path) -> Result<()> {
    let journal = journal_path(place);
    // The journal first: without it the rest is nothing.
    for path in [journal.clone(), beside(&journal, ".new"), part_path(place)] {
        remove_if_there(&path)?;
    }
    Ok(())
}

/// Whether a kill has left anything beside a file: between its rename and its journal's end, or while a journal was written.
pub(super) fn is_littered(place: &Path) -> bool {
    let journal = journal_path(place);
    [beside(&journal, ".new"), journal].iter().any(|path| path.exists())
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Io { path: path.to_path_buf(), source }),
        _ => Ok(()),
    }
}

/// A full disk is told as such: what it lacks is what a person can mend.
pub(super) fn disk_error(path: &Path, needed: u64, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Error::DiskFull { needed, free: free_space(path).unwrap_or(0), path: path.to_path_buf() }
        }
        _ => Error::Io { path: path.to_path_buf(), source },
    }
}

/// The new name lies on the disk only with its folder. Some systems cannot sync one: then the name comes with time.
fn sync_folder(place: &Path) {
    #[cfg(unix)]
    if let Some(folder) = place.parent().filter(|folder| !folder.as_os_str().is_empty())
        && let Err(error) = File::open(folder).and_then(|folder| folder.sync_all())
    {
        tracing::debug!(folder = %folder.display(), %error, "folder not synced");
    }
    #[cfg(not(unix))]
    let _ = place;
}

#[cfg(unix)]
fn write_all_at(file: &File, data: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, data, offset)
}

#[cfg(unix)]
fn read_exact_at(file: &File, data: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, data, offset)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut data: &[u8], mut offset: u64) -> io::Result<()> {
    while !data.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, data, offset)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        (data, offset) = (&data[written..], offset + written as u64);
    }
    Ok(())
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut data: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !data.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, data, offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        (data, offset) = (&mut data[read..], offset + read as u64);
    }
    Ok(())
}
