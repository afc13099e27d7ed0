//! What is known of graphics drivers from one start of the program to the next: which compute what they should, and which
//! ended the program while they were at work on a model for the first time.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// In the data folder: drivers by identity, and why each is refused; null where it is fine.
const VERDICTS: &str = "graphics.json";
/// Beside it: the driver that is at work on a model for the first time, for as long as that takes. Whoever does that holds
/// the file's lock: words in it that nobody holds are those of a process that did not come to its end.
const OPENING: &str = "graphics.opening";
/// No driver has a longer name.
const BYTES_MAX: u64 = 1 << 16;
const ENDED: &str = "its driver ended the program when a model was loaded";

/// Why a driver is refused, if it is.
pub(super) type Verdict = Result<(), String>;

/// By identity.
type Verdicts = BTreeMap<String, Option<String>>;

/// What is known, in a folder that outlives the process or in memory alone.
#[derive(Debug, Default)]
pub(super) struct Trust {
    folder: Option<PathBuf>,
    held: Mutex<Verdicts>,
    /// The file that says that a driver is at work, while one is.
    mark: Mutex<Option<File>>,
}

/// A driver at work on a model for the first time; over when it goes.
#[derive(Debug)]
pub(super) struct Opening<'a>(&'a Trust);

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

static TRUST: OnceLock<Trust> = OnceLock::new();

/// Keeps what is found out about graphics drivers in this folder, for the next start of the program. What was said first
/// holds.
pub fn remember_graphics_in(folder: &Path) {
    TRUST.get_or_init(|| Trust { folder: Some(folder.to_path_buf()), ..Trust::default() });
}

/// For who ends the program in the middle of its work: no driver is to blame for that.
pub fn leave_graphics() {
    if let Some(trust) = TRUST.get() {
        trust.end();
    }
}

/// Forgets what was found out about graphics drivers: each is tried again when it is needed next.
pub fn try_graphics_again() -> io::Result<()> {
    trust().forget()
}

pub(super) fn trust() -> &'static Trust {
    TRUST.get_or_init(Trust::default)
}

impl Trust {
    #[cfg(test)]
    pub fn at(folder: &Path) -> Trust {
        Trust { folder: Some(folder.to_path_buf()), ..Trust::default() }
    }

    /// What was found out about a driver, if anything was.
    pub fn verdict(&self, identity: &str) -> Option<Verdict> {
        let held = self.held().get(identity).cloned();
        // Another process may have found out something meanwhile.
        let found = held.or_else(|| read(self.folder.as_ref()?).remove(identity))?;
        Some(found.map_or(Ok(()), Err))
    }

    /// Remembers it for the process and, where it will not be otherwise at the next start (`lasts`), beyond. Where that fails,
    /// it is found out once more.
    pub fn note(&self, identity: &str, verdict: &Verdict, lasts: bool) {
        let mut held = self.held();
        let why = verdict.as_ref().err().cloned();
        held.insert(identity.to_owned(), why.clone());
        let Some(folder) = self.folder.as_ref().filter(|_| lasts) else { return };
        let mut all = read(folder);
        all.insert(identity.to_owned(), why);
        if let Err(error) = write(folder, &all) {
            tracing::warn!(%error, "what was found out about a graphics driver is not kept");
        }
    }

    pub fn forget(&self) -> io::Result<()> {
        let mut held = self.held();
        held.clear();
        match &self.folder {
            Some(folder) => write(folder, &Verdicts::new()),
            None => Ok(()),
        }
    }

    /// Marks the driver as at work, where no other process marks one; why it must not be, where it ended the program before.
    pub fn begin(&self, identity: &str) -> Result<Option<Opening<'_>>, String> {
        // Without a mark it works all the same.
        let Some(mut file) = self.look_back() else { return Ok(None) };
        if let Some(Err(reason)) = self.verdict(identity) {
            return Err(reason);
        }
        let mark = |file: &mut File| {
            file.rewind()?;
            file.write_all(identity.as_bytes())?;
            file.sync_data()
        };
        if mark(&mut file).is_err() {
            return Ok(None);
        }
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(Some(Opening(self)))
    }

    /// Takes note of the driver that ended the program, where one did. The locked, empty file; `None` where another has it.
    pub fn look_back(&self) -> Option<File> {
        let place = self.folder.as_ref()?.join(OPENING);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(place).ok()?;
        file.try_lock().ok()?;
        let mut left = String::new();
        let read = Read::by_ref(&mut file).take(BYTES_MAX).read_to_string(&mut left);
        if read.is_ok() && !left.is_empty() {
            tracing::warn!(driver = left, "a graphics driver ended the program");
            self.note(&left, &Err(ENDED.to_owned()), true);
        }
        file.set_len(0).ok()?;
        Some(file)
    }

    /// The driver is no longer at work. What could not be wiped off would only be tried again by the person.
    fn end(&self) {
        if let Some(file) = self.mark.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = file.set_len(0);
        }
    }

    fn held(&self) -> MutexGuard<'_, Verdicts> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that is damaged says nothing.
fn read(folder: &Path) -> Verdicts {
    let text = fs::read_to_string(folder.join(VERDICTS)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn write(folder: &Path, all: &Verdicts) -> io::Result<()> {
    let fresh = folder.join(format!("{VERDICTS}.{}", std::process::id()));
    fs::write(&fresh, serde_json::to_vec_pretty(all)?)?;
    fs::rename(fresh, folder.join(VERDICTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_out_outlives_the_process_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let first = Trust::at(folder.path());
        assert_eq!(first.verdict("vulkan A 1"), None);
        first.note("vulkan A 1", &Ok(()), true);
        first.note("vulkan B 1", &Err("wrong".to_owned()), true);
        first.note("vulkan C 1", &Err("slow".to_owned()), false);
        assert_eq!(first.verdict("vulkan C 1"), Some(Err("slow".to_owned())));
        let next = Trust::at(folder.path());
        assert_eq!(next.verdict("vulkan A 1"), Some(Ok(())));
        assert_eq!(next.verdict("vulkan B 1"), Some(Err("wrong".to_owned())));
        assert_eq!(next.verdict("vulkan B 2"), None, "another version of the driver");
        assert_eq!(next.verdict("vulkan C 1"), None, "it may do better at the next start");
        next.forget().unwrap();
        assert_eq!(Trust::at(folder.path()).verdict("vulkan B 1"), None);
        fs::write(folder.path().join(VERDICTS), "{").unwrap();
        assert_eq!(next.verdict("vulkan A 1"), None, "a damaged file says nothing");
    }

    #[test]
    fn a_driver_that_ended_the_program_is_refused_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let trust = Trust::at(folder.path());
        let opening = trust.begin("vulkan A 1").unwrap().unwrap();
        assert!(Trust::at(folder.path()).begin("vulkan A 1").unwrap().is_none(), "another process is at it");
        drop(opening);
        assert!(trust.begin("vulkan A 1").unwrap().is_some(), "it came to its end");
        // A process that was ended leaves its words, and no lock.
        fs::write(folder.path().join(OPENING), "vulkan A 1").unwrap();
        let next = Trust::at(folder.path());
        assert!(next.begin("vulkan B 1").unwrap().is_some(), "another driver is not at fault");
        assert_eq!(next.verdict("vulkan A 1"), Some(Err(ENDED.to_owned())));
        assert_eq!(next.begin("vulkan A 1").unwrap_err(), ENDED);
        next.forget().unwrap();
        assert!(next.begin("vulkan A 1").unwrap().is_some());
    }

    #[test]
    fn who_ends_the_program_in_the_middle_blames_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let trust = Trust::at(folder.path());
        std::mem::forget(trust.begin("vulkan A 1").unwrap());
        trust.end();
        assert!(Trust::at(folder.path()).begin("vulkan A 1").unwrap().is_some());
    }

    #[test]
    fn without_a_folder_it_holds_for_the_process() {
        let trust = Trust::default();
        trust.note("metal M2 1", &Err("wrong".to_owned()), true);
        assert_eq!(trust.verdict("metal M2 1"), Some(Err("wrong".to_owned())));
        assert!(trust.begin("metal M2 1").unwrap().is_none());
    }
}
