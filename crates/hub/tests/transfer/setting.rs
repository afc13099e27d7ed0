//! A loopback hub with one model, a client, and a folder with a name that breaks careless programs.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Duration,
};

use huacaya_hub::{Fetched, FileSource, Hub, Network, Patience, Proxy, Result, Wanted};
use huacaya_loopback::{Content, Fault, Loopback, RepositorySpec};
use huacaya_progress::{Watch, unwatched};
use tempfile::TempDir;

/// What the transfer fetches at a time.
pub const PART: u64 = 16 << 20;
/// Three whole parts and a short one.
pub const BYTES: u64 = 3 * PART + 1_234_567;
/// How many connections a file has at most.
pub const CONNECTIONS: u64 = 4;
/// No transfer here takes more than some seconds on an idle machine.
const HANGS_AFTER: Duration = Duration::from_secs(90);
pub const REPOSITORY: &str = "team/model";
pub const FILE: &str = "model.gguf";

pub struct Setting {
    pub loopback: Loopback,
    pub hub: Hub,
    pub content: Content,
    folder: TempDir,
}

/// Fails soon, so that tests end soon.
pub fn patience() -> Patience {
    Patience {
        connect: Duration::from_secs(5),
        silence: Duration::from_secs(1),
        first_wait: Duration::from_millis(20),
        longest_wait: Duration::from_millis(200),
        tries: 6,
    }
}

/// No proxy: whatever the machine's settings say, loopback is meant.
pub fn direct() -> Network {
    Network { proxy: Proxy::None, ..Network::default() }
}

pub fn setting() -> Setting {
    of_size(BYTES)
}

pub fn of_size(bytes: u64) -> Setting {
    on(Loopback::start(), bytes)
}

pub fn on(loopback: Loopback, bytes: u64) -> Setting {
    let content = Content::seeded(42, bytes);
    loopback.add(RepositorySpec::new(REPOSITORY).file(FILE, content.clone()));
    let hub = Hub::with_patience(direct(), patience()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("张 庭 綱/　data")).unwrap();
    Setting { loopback, hub, content, folder }
}

impl Setting {
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("张 庭 綱/　data")
    }

    pub fn place(&self) -> PathBuf {
        self.folder().join(FILE)
    }

    /// The model, its size and hash known.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            sources: vec![source(&self.loopback)],
            place: self.place(),
            bytes: Some(self.content.len()),
            sha256: Some(self.content.sha256()),
        }
    }

    pub async fn fetch(&self) -> Result<Fetched> {
        self.fetch_it(&self.wanted()).await
    }

    pub async fn fetch_it(&self, wanted: &Wanted) -> Result<Fetched> {
        in_time(self.hub.fetch(wanted, &mut unwatched())).await
    }

    pub async fn fetch_watched(&self, wanted: &Wanted, watch: Watch<'_>) -> Result<Fetched> {
        in_time(self.hub.fetch(wanted, watch)).await
    }

    /// Fetches until so many bytes are there, then says stop: slowly, since a watch is asked some times a second only. Faults
    /// set before are gone afterwards.
    pub async fn fetch_until(&self, wanted: &Wanted, bytes: u64) -> Result<Fetched> {
        let mut watch = move |progress: huacaya_progress::Progress| match progress.done >= bytes {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        self.loopback.fault(FILE, Fault::Slow { bytes_per_second: 16 << 20 });
        let stopped = self.fetch_watched(wanted, &mut watch).await;
        self.loopback.mend();
        stopped
    }

    pub fn sent(&self) -> u64 {
        self.loopback.bytes_sent(FILE)
    }

    /// The file is whole, and it is all that there is.
    pub fn assert_whole(&self, fetched: &Fetched) {
        assert_eq!(fetched.bytes, self.content.len());
        assert_eq!(fetched.sha256, self.content.sha256());
        assert_is(&self.place(), &self.content);
        assert_eq!(names(&self.folder()), [FILE], "nothing else is left");
    }

    /// Whole, and with at most so many bytes sent more than the file has.
    pub fn assert_whole_for(&self, fetched: &Fetched, spare: u64) {
        self.assert_whole(fetched);
        let sent = self.sent();
        let most = self.content.len() + spare;
        assert!(sent <= most, "{sent} bytes were sent, at most {most} were to be");
    }
}

/// A transfer that hangs fails its own test, not all of them.
pub async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANGS_AFTER, work).await.expect("the transfer ends in some way")
}

pub fn source(loopback: &Loopback) -> FileSource {
    FileSource { url: loopback.file_url(REPOSITORY, FILE).parse().unwrap(), etag: None }
}

/// Compares the bytes on the disk by a hash of our own.
pub fn assert_is(place: &Path, content: &Content) {
    let found = Content::file(place).unwrap();
    assert_eq!(found.len(), content.len(), "the size on the disk");
    assert_eq!(found.sha256(), content.sha256(), "the bytes on the disk");
}

/// What lies in a folder.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The same numbers in every run (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
