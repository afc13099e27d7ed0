//! Fetches one file: in parts, from several sources, over any number of interruptions, until its hash is right.

use std::path::{Path, PathBuf};

use std::io::Write;

use huacaya_progress::{Progress, Watch};
use sha2::Digest;
use url::Url;

use crate::{
    client::{Ask, Hub},
    connections::Purpose,
    error::Result,
};

/// A file that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The same file, in order of fall-over.
    pub sources: Vec<FileSource>,
    /// Where it shall lie. `.part` and `.part.json` stand beside it until it is whole.
    pub place: PathBuf,
    pub bytes: Option<u64>,
    /// In lower-case hexadecimal.
    pub sha256: Option<String>,
}

/// Where a file can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSource {
    pub url: Url,
    pub etag: Option<String>,
}

/// A file that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub bytes: u64,
    pub sha256: String,
    /// Over the wire, in this call.
    pub received: u64,
    /// Parts that were fetched again because the whole did not match.
    pub mended: u32,
}

/// What a transfer is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    Connecting,
    Fetching,
    /// All sources failed; the next try is in so many seconds.
    Waiting {
        seconds: u64,
        reason: String,
    },
    Verifying,
    Mending,
}

impl Hub {
    /// Fetches a file; see [`Hub::fetch_with`].
    pub async fn fetch(&self, wanted: &Wanted, watch: Watch<'_>) -> Result<Fetched> {
        self.fetch_with(wanted, &|_| {}, watch).await
    }

    /// Fetches a file and tells what it is at. A watch that breaks ends it with `Stopped` and keeps what was fetched.
    pub async fn fetch_with(
        &self,
        wanted: &Wanted,
        stage: &(dyn Fn(Stage) + Sync),
        watch: Watch<'_>,
    ) -> Result<Fetched> {
        let Some(source) = wanted.sources.first() else {
            return Err(crate::Error::NotFound { what: wanted.place.display().to_string() });
        };
        stage(Stage::Connecting);
        let mut answer = self.ask(Ask::new(&source.url, Purpose::File)).await?.accepted()?;
        let part = beside(&wanted.place, ".part");
        let at = |path: &Path| {
            let path = path.to_path_buf();
            move |source| crate::Error::Io { path, source }
        };
        let mut file = std::fs::File::create(&part).map_err(at(&part))?;
        let mut hash = sha2::Sha256::new();
        let total = wanted.bytes.or(answer.length()).unwrap_or(0);
        let mut done = 0;
        stage(Stage::Fetching);
        while let Some(piece) = answer.chunk().await? {
            file.write_all(&piece).map_err(at(&part))?;
            hash.update(&piece);
            done += piece.len() as u64;
            if watch(Progress { done, total }).is_break() {
                return Err(crate::Error::Stopped);
            }
        }
        let sha256: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let name = wanted.place.display().to_string();
        match &wanted.sha256 {
            Some(expected) if *expected != sha256 => {
                return Err(crate::Error::HashMismatch { name, expected: expected.clone(), found: sha256 });
            }
            _ => {}
        }
        std::fs::rename(&part, &wanted.place).map_err(at(&wanted.place))?;
        Ok(Fetched { bytes: done, sha256, received: done, mended: 0 })
    }
}

/// Removes what an unfinished transfer to `place` has left.
pub fn discard(place: &Path) -> Result<()> {
    let part = beside(place, ".part");
    std::fs::remove_file(&part).map_err(|source| crate::Error::Io { path: part, source })
}

/// How far an unfinished transfer to `place` has come. None where there is none.
pub fn partial(place: &Path) -> Option<Progress> {
    let done = std::fs::metadata(beside(place, ".part")).ok()?.len();
    Some(Progress { done, total: 0 })
}

fn beside(place: &Path, suffix: &str) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
