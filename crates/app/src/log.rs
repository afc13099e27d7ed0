//! The log: a bounded file in the data folder. Never a message's text, never a secret.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// One file of this size and the one before it: enough for weeks, small enough to mail.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What diagnostics show of it.
const TAIL_BYTES: u64 = 16 << 10;
/// The variable that says how much is written, as `tracing` filters do.
const FILTER: &str = "HUACAYA_LOG";

/// The file that is written now.
pub fn path(folder: &Path) -> PathBuf {
    folder.join("huacaya.log")
}

/// Starts to log into this folder. In a process that logs already, nothing changes.
pub fn start(folder: &Path) -> io::Result<()> {
    let filter = EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    let file = LogFile::open(path(folder))?;
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_env_filter(filter).with_writer(file).finish();
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        log_panics();
    }
    Ok(())
}

/// The last lines of the log.
pub fn tail(folder: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(path(folder))?;
        let start = file.metadata()?.len().saturating_sub(TAIL_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let whole = if start == 0 { 0 } else { text.find('\n').map_or(0, |end| end + 1) };
        Ok(text[whole..].to_string())
    };
    // No log is no reason to fail: the report then has none.
    read().unwrap_or_default()
}

/// Where, not what: a panic's words may quote a message.
fn log_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a thread panicked");
        before(panic);
    }));
}

/// Renamed to `huacaya.1.log` when it is full.
struct LogFile(Mutex<Growing>);

struct Growing {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl LogFile {
    fn open(path: PathBuf) -> io::Result<LogFile> {
        let (file, bytes) = append(&path)?;
        Ok(LogFile(Mutex::new(Growing { path, file, bytes })))
    }
}

fn append(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

/// One line's hold on the file.
struct Held<'a>(MutexGuard<'a, Growing>);

impl Write for Held<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let log = &mut *self.0;
        if log.bytes > FILE_BYTES_MAX {
            fs::rename(&log.path, log.path.with_extension("1.log"))?;
            (log.file, log.bytes) = append(&log.path)?;
        }
        log.bytes += line.len() as u64;
        log.file.write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.file.flush()
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Held<'a>;

    fn make_writer(&'a self) -> Held<'a> {
        Held(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_stays_within_two_files_and_its_tail_begins_with_a_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::open(path(folder.path())).unwrap();
        let line = format!("{}\n", "x".repeat(999));
        for _ in 0..3 * FILE_BYTES_MAX / 1000 {
            log.make_writer().write_all(line.as_bytes()).unwrap();
        }
        let sizes: Vec<u64> =
            fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).collect();
        assert_eq!(sizes.len(), 2);
        assert!(sizes.iter().all(|bytes| *bytes <= FILE_BYTES_MAX + 1000), "{sizes:?}");
        let tail = tail(folder.path());
        assert!(tail.len() <= TAIL_BYTES as usize && tail.starts_with(&line), "{}", tail.len());
    }
}
