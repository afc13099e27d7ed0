//! A file mapped into memory, read-only. The only `unsafe` of this crate.
//!
//! What cannot be excluded is another program changing the file while it is mapped. Changed bytes: everything that
//! indexing relies on (the header) is checked and copied out once at opening, and tensor bytes are only ever numbers, for
//! which any bit pattern will do; no `str` or enum is made from mapped bytes without a copy of its own. A file cut short:
//! on Unix a read past the new end raises SIGBUS, which ends the process; Windows refuses to shorten a mapped file. We live
//! with that as every program that maps does: our own writer never changes a file in place (it renames a finished one over
//! it, and the old map keeps the old file), so only a foreign program that truncates a model in use is hit. Locks would not
//! help, as they are advisory.

#![allow(unsafe_code)]

use std::fs;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use crate::{Error, Fault};

/// The bytes of a file, from the page cache.
#[derive(Debug)]
pub struct Map(Mmap);

impl Map {
    /// Maps the regular file at `path`. Folders, pipes and devices are refused before they are opened: opening a pipe
    /// would wait for its writer.
    pub fn open(path: &Path) -> Result<Map, Error> {
        let at = |fault| Error::new(path, fault);
        let metadata = fs::metadata(path).map_err(|error| at(Fault::Io(error)))?;
        if !metadata.is_file() {
            return Err(at(Fault::NotAFile));
        }
        let file = fs::File::open(path).map_err(|error| at(Fault::Io(error)))?;
        if file.metadata().map_err(|error| at(Fault::Io(error)))?.len() == 0 {
            return Err(at(Fault::Empty));
        }
        // SAFETY: the map is private to this value, read-only, and unmapped with it; memmap2 takes the length from the
        // open file. Another program may change or cut the file meanwhile: the module's text says why changed bytes do no
        // harm here, and that a cut file ends the process on Unix (SIGBUS), as it does any program that maps.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| at(Fault::Io(error)))?;
        Ok(Map(map))
    }

    /// Asks the system to start reading these bytes in. A hint: nothing is reported when it cannot.
    pub fn will_need(&self, start: usize, length: usize) {
        #[cfg(unix)]
        if start < self.0.len() {
            let _ = self.0.advise_range(memmap2::Advice::WillNeed, start, length.min(self.0.len() - start));
        }
        #[cfg(not(unix))]
        let _ = (start, length);
    }

    /// Tells the system that these bytes need not stay in memory. A hint: read again, they come from the file again.
    pub fn release(&self, start: usize, length: usize) {
        #[cfg(unix)]
        if start < self.0.len() {
            let length = length.min(self.0.len() - start);
            // SAFETY: the map is a read-only view of a file that nobody writes to through it, so pages that are dropped
            // come back with the same bytes: what slices of it show does not change.
            let _ = unsafe { self.0.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, length) };
        }
        #[cfg(not(unix))]
        let _ = (start, length);
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
