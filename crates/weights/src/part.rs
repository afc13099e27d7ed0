//! A file that appears under its name only when it is whole: written beside it as `NAME.part`, then renamed over it.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Tensors come in large pieces; this is for headers and short rows.
const BUFFER_BYTES: usize = 1 << 20;

/// A file in the making. Dropped before [`PartFile::finish`], it is removed.
#[derive(Debug)]
pub struct PartFile {
    path: PathBuf,
    part: PathBuf,
    /// `None` once finished.
    file: Option<BufWriter<fs::File>>,
}

impl PartFile {
    /// Begins the file that will be at `path`. What an interrupted attempt left is written over.
    pub fn create(path: &Path) -> io::Result<PartFile> {
        let mut name = path.file_name().map(OsString::from).unwrap_or_default();
        name.push(".part");
        let part = path.with_file_name(name);
        let file = BufWriter::with_capacity(BUFFER_BYTES, fs::File::create(&part)?);
        Ok(PartFile { path: path.to_path_buf(), part, file: Some(file) })
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(bytes))
    }

    /// Makes sure of the bytes on the disk, then gives the file its name; a file of that name is replaced in one step.
    pub fn finish(mut self) -> io::Result<()> {
        if let Some(file) = self.file.take() {
            let synced = file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
            if let Err(error) = synced.and_then(|()| fs::rename(&self.part, &self.path)) {
                let _ = fs::remove_file(&self.part);
                return Err(error);
            }
        }
        // The rename itself is on the disk once the folder is. Windows has no such step.
        #[cfg(unix)]
        if let Some(folder) = self.path.parent() {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            fs::File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.part);
        }
    }
}
