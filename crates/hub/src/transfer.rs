//! Fetches one file: in parts, from several sources, over any number of interruptions, until its hash is right.
//!
//! A transfer holds `<place>.part` (made as long as the file will be), `<place>.part.json` (the journal: which parts lie
//! safely in it) and, while it runs, `<place>.part.lock`. *Lanes* ask for runs of parts, a *writer* puts the bytes on the
//! disk, the *tail* hashes the whole in its order behind them. When the hash is right the file is renamed to its place.

mod block;
mod board;
mod disk;
mod hash;
mod journal;
mod lane;
mod lock;
mod mend;
mod served;
mod sources;
mod tail;
mod unmeasured;
mod whole;
mod work;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use huacaya_progress::{Progress, Watch};
use tokio::time::Instant;
use url::Url;

use self::{
    board::{Board, Layout},
    disk::{PartFile, journal_path, part_path},
    journal::Journal,
    lock::Lock,
    served::Served,
    sources::{Choice, Next, Sources},
    work::{Crew, Start},
};
use crate::{
    client::{Answer, Ask, Hub},
    connections::Purpose,
    error::{Error, Result},
    space::preflight,
};

/// A file that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The same file, in order of fall-over.
    pub sources: Vec<FileSource>,
    /// Where it shall lie; what lies there and is another file is replaced. `.part` and `.part.json` stand beside it until it
    /// is whole.
    pub place: PathBuf,
    pub bytes: Option<u64>,
    /// In hexadecimal.
    pub sha256: Option<String>,
}

/// Where a file can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSource {
    pub url: Url,
    /// What the listing said. The transfer goes by the ETag of whoever sends the bytes, which is often another host's.
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
    /// Every source failed, or another transfer of the same file is under way: the next try is in so many seconds.
    Waiting {
        seconds: u64,
        reason: String,
    },
    Verifying,
    Mending,
}

/// A tenth of a second is as often as a screen wants news, and soon enough to stop.
const WATCH_EVERY: Duration = Duration::from_millis(100);

impl Hub {
    /// Fetches a file; see [`Hub::fetch_with`].
    pub async fn fetch(&self, wanted: &Wanted, watch: Watch<'_>) -> Result<Fetched> {
        self.fetch_with(wanted, &|_| {}, watch).await
    }

    /// Fetches a file and tells what it is at. Progress counts the bytes on the disk, of the whole file. A watch that breaks
    /// ends it with `Stopped`; that, the offline switch, a kill: what was fetched is kept, and the next call goes on from it.
    pub async fn fetch_with(
        &self,
        wanted: &Wanted,
        stage: &(dyn Fn(Stage) + Sync),
        watch: Watch<'_>,
    ) -> Result<Fetched> {
        let told = Told { stage, last: Mutex::default() };
        let mut wanted = wanted.clone();
        wanted.sha256 = wanted.sha256.map(|hash| hash.to_ascii_lowercase());
        let mut call = Call { hub: self, wanted: &wanted, told: &told, watch, received: Arc::default() };
        if let Some(fetched) = call.is_there(wanted.bytes).await? {
            if disk::is_littered(&wanted.place) {
                let _lock = call.lock().await?;
                disk::remove_unfinished(&wanted.place)?;
            }
            return Ok(fetched);
        }
        let lock = call.lock().await?;
        // Whoever held the lock has perhaps brought the file.
        if let Some(fetched) = call.is_there(wanted.bytes).await? {
            disk::remove_unfinished(&wanted.place)?;
            return Ok(fetched);
        }
        let mut again = false;
        loop {
            match call.attempt(&lock).await {
                Err(End::Anew(_)) if !again => {
                    disk::remove_unfinished(&wanted.place)?;
                    again = true;
                }
                Err(End::Anew(error) | End::For(error)) => return Err(call.leave(error)),
                Ok(fetched) => return Ok(fetched),
            }
        }
    }
}

/// Removes what an unfinished transfer to `place` has left. The transfer must have been stopped.
pub fn discard(place: &Path) -> Result<()> {
    disk::remove_unfinished(place)
}

/// How far an unfinished transfer to `place` has come. None where there is none.
pub fn partial(place: &Path) -> Option<Progress> {
    let journal = Journal::load(&journal_path(place))?;
    let there = std::fs::metadata(part_path(place)).ok()?;
    (there.len() == journal.bytes).then(|| journal.board().progress())
}

/// Tells the stage when it is another.
struct Told<'a> {
    stage: &'a (dyn Fn(Stage) + Sync),
    last: Mutex<(Option<Stage>, Option<Instant>)>,
}

impl Told<'_> {
    fn tell(&self, stage: Stage) {
        self.tell_once(stage, None);
    }

    /// Told once for each wait: `until` tells them apart.
    fn waiting(&self, until: Instant, reason: &str) {
        let left = until.saturating_duration_since(Instant::now());
        let seconds = left.as_secs() + u64::from(left.subsec_millis() > 0);
        self.tell_once(Stage::Waiting { seconds, reason: reason.to_owned() }, Some(until));
    }

    fn tell_once(&self, stage: Stage, until: Option<Instant>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let same = match (&last.0, &stage) {
            (Some(Stage::Waiting { .. }), Stage::Waiting { .. }) => last.1 == until,
            (Some(before), now) => before == now,
            (None, _) => false,
        };
        if !same {
            *last = (Some(stage.clone()), until);
            drop(last);
            (self.stage)(stage);
        }
    }
}

/// How an attempt failed.
enum End {
    For(Error),
    /// It is worth beginning anew, once.
    Anew(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> End {
        match error {
            Error::Changed { .. } => End::Anew(error),
            other => End::For(other),
        }
    }
}

/// One call of `fetch_with`.
struct Call<'a> {
    hub: &'a Hub,
    wanted: &'a Wanted,
    told: &'a Told<'a>,
    watch: Watch<'a>,
    received: Arc<AtomicU64>,
}

impl Call<'_> {
    /// Does `work` while the watch is told of `progress` and asked whether to go on; the offline switch ends it at once.
    async fn attended<T>(
        &mut self,
        progress: impl Fn() -> Progress,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let host = self.wanted.sources.first().map(|source| crate::host_of(&source.url)).unwrap_or_default();
        let hub = self.hub;
        let gone_offline = async move {
            hub.gone_offline().await;
            Err(Error::Offline { host })
        };
        let either = async {
            tokio::select! {
                biased;
                done = work => done,
                offline = gone_offline => offline,
            }
        };
        self.watched(progress, either).await
    }

    /// Does `work` while the watch is told of `progress` and asked whether to go on.
    async fn watched<T>(
        &mut self,
        progress: impl Fn() -> Progress,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut tick = tokio::time::interval(WATCH_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    let stop = (self.watch)(progress()).is_break();
                    return if stop && done.is_err() { Err(Error::Stopped) } else { done };
                }
                _ = tick.tick() => {
                    if (self.watch)(progress()).is_break() {
                        return Err(Error::Stopped);
                    }
                }
            }
        }
    }

    /// The file, if it is there already: with the right hash, or, where no hash is known, the right length.
    async fn is_there(&mut self, bytes: Option<u64>) -> Result<Option<Fetched>> {
        let place = &self.wanted.place;
        let Some(found) = std::fs::metadata(place).ok().filter(|found| found.is_file()) else { return Ok(None) };
        let known = bytes.is_some() || self.wanted.sha256.is_some();
        if !known || bytes.is_some_and(|bytes| bytes != found.len()) {
            return Ok(None);
        }
        self.told.tell(Stage::Verifying);
        let (total, hashed) = (found.len(), Arc::new(AtomicU64::new(0)));
        let progress = || Progress { done: hashed.load(Ordering::Relaxed), total };
        // Needs no network: the offline switch does not end it.
        let sha256 = self.watched(progress, whole::hash_of(place, hashed.clone())).await?;
        let right = self.wanted.sha256.as_ref().is_none_or(|expected| *expected == sha256);
        Ok(right.then_some(Fetched { bytes: total, sha256, received: 0, mended: 0 }))
    }

    /// Makes the folder and waits for other transfers of this file.
    async fn lock(&mut self) -> Result<Arc<Lock>> {
        let place = self.wanted.place.clone();
        if let Some(folder) = place.parent() {
            std::fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.to_path_buf(), source })?;
        }
        let progress = partial(&place).unwrap_or_default();
        let told = self.told;
        let waits = || told.tell_once(Stage::Waiting { seconds: 0, reason: "fetched already".to_owned() }, None);
        let lock = self.attended(|| progress, Lock::hold(&place, &waits)).await?;
        Ok(Arc::new(lock))
    }

    async fn attempt(&mut self, lock: &Arc<Lock>) -> std::result::Result<Fetched, End> {
        self.told.tell(Stage::Connecting);
        let (hub, wanted, told) = (self.hub, self.wanted, self.told);
        let place = &wanted.place;
        let journal = Journal::load(&journal_path(place)).filter(|journal| self.fits(journal));
        let known = journal.as_ref().map(|journal| journal.validators.clone()).unwrap_or_default();
        let sources = Sources::new(&wanted.sources, &known, hub.patience());
        let board = journal.map(|journal| journal.board());
        let before = board.as_ref().map(Board::progress).unwrap_or_default();
        if let Some(bytes) = wanted.bytes {
            preflight(place, bytes - before.done.min(bytes))?;
        }
        let first = match &board {
            Some(board) if board.is_whole() => None,
            Some(board) => Some(board.next_errand()),
            None => Some(0..Layout::new(1).part_bytes),
        };
        let opening = match first {
            Some(range) => Some(self.attended(|| before, connect(hub, wanted, &sources, told, range)).await?),
            None => None,
        };
        let total = match &opening {
            Some(opening) => opening.served.total.or(wanted.bytes),
            None => Some(before.total),
        };
        // With neither length nor hash given, only now is it known what to compare with.
        if wanted.bytes.is_none()
            && wanted.sha256.is_none()
            && let Some(fetched) = self.is_there(total).await?
        {
            return Ok(fetched);
        }
        let Some(bytes) = total.filter(|bytes| *bytes > 0) else {
            disk::remove_unfinished(place)?;
            return unmeasured::fetch(self, &sources, total, opening).await;
        };
        let board = match board.filter(|board| board.layout.bytes == bytes) {
            Some(board) => board,
            None => {
                disk::remove_unfinished(place)?;
                preflight(place, bytes)?;
                Board::new(Layout::new(bytes))
            }
        };
        let file = PartFile::open(place, bytes)?;
        let (hub, wanted, received, lock) = (hub.clone(), wanted.clone(), self.received.clone(), lock.clone());
        self.parts(Start { hub, sources, board, file, wanted, received, lock, opening }).await
    }

    /// Whether a journal is about this file.
    fn fits(&self, journal: &Journal) -> bool {
        let there = std::fs::metadata(part_path(&self.wanted.place)).map(|there| there.len());
        let other = |one: &Option<String>, other: &Option<String>| matches!((one, other), (Some(one), Some(other)) if one != other);
        there.is_ok_and(|length| length == journal.bytes)
            && self.wanted.bytes.is_none_or(|bytes| bytes == journal.bytes)
            && !other(&self.wanted.sha256, &journal.sha256)
    }

    /// Fetches the file in parts, verifies it and puts it in its place.
    async fn parts(&mut self, start: Start) -> std::result::Result<Fetched, End> {
        let (mut crew, opening) = Crew::start(start);
        let work = crew.work.clone();
        let bytes = work.board().layout.bytes;
        let progress = || work.board().progress();
        let told = self.told;
        let expected = self.wanted.sha256.clone();
        let all = async {
            crew.fetch(told, opening).await?;
            told.tell(Stage::Verifying);
            let digested = crew.digested().await?;
            crew.rest().await?;
            mend::until_right(&work, digested, expected, told).await
        };
        let result = self.attended(progress, all).await;
        let received = self.received.load(Ordering::Relaxed);
        match result {
            Ok(mend::Right { sha256, mended }) => {
                let finished = work.clone();
                work::joined(tokio::task::spawn_blocking(move || finished.finish()).await)??;
                Ok(Fetched { bytes, sha256, received, mended })
            }
            Err(error @ Error::HashMismatch { .. }) => {
                work.abandon();
                crew.rest().await?;
                let in_parts = work.sources.any_with_ranges();
                disk::remove_unfinished(&self.wanted.place)?;
                Err(if in_parts { End::For(error) } else { End::Anew(error) })
            }
            Err(error) => {
                if matches!(error, Error::Changed { .. }) {
                    work.abandon();
                }
                let parked = crew.park().await;
                if let Err(problem) = parked {
                    tracing::warn!(place = %self.wanted.place.display(), %problem, "what was fetched could not be noted");
                }
                Err(error.into())
            }
        }
    }

    /// Nothing is left beside the place unless something was fetched.
    fn leave(&self, error: Error) -> Error {
        let place = &self.wanted.place;
        if partial(place).is_none()
            && let Err(problem) = disk::remove_unfinished(place)
        {
            tracing::debug!(place = %place.display(), %problem, "nothing could be removed");
        }
        error
    }
}

/// A first answer: its head tells what the file is, its body is the first of it.
struct Opening {
    choice: Choice,
    answer: Answer,
    served: Served,
}

/// Asks the sources in order until one tells what the file is. There is no HEAD before: some hosts leave the length out of
/// it, some sign addresses for GET only.
async fn connect(
    hub: &Hub,
    wanted: &Wanted,
    sources: &Sources,
    told: &Told<'_>,
    range: std::ops::Range<u64>,
) -> Result<Opening> {
    loop {
        match sources.next(None, Instant::now())? {
            Next::Wait(wait, reason) => {
                told.waiting(Instant::now() + wait, &reason);
                tokio::time::sleep(wait).await;
                told.tell(Stage::Connecting);
            }
            Next::Ask(mut choice) => match open(hub, wanted, sources, &choice, &range).await {
                Ok((answer, served)) => {
                    choice.ranges = served.is_part;
                    return Ok(Opening { choice, answer, served });
                }
                Err(error @ (Error::Offline { .. } | Error::Changed { .. })) => return Err(error),
                Err(error) => sources.failed(&choice, error, Instant::now()),
            },
        }
    }
}

async fn open(
    hub: &Hub,
    wanted: &Wanted,
    sources: &Sources,
    choice: &Choice,
    range: &std::ops::Range<u64>,
) -> Result<(Answer, Served)> {
    let mut ask = Ask::new(&choice.url, Purpose::File).range(range.start, Some(range.end - 1));
    ask.if_range = choice.validator.clone();
    let answer = hub.ask(ask).await?;
    let name = name_of(&wanted.place);
    let served = Served::judge(&answer, Some(range), &name)?;
    sources.answered(choice, &answer.url, &served, &name, wanted.bytes)?;
    if !served.is_part {
        let host = crate::host_of(&answer.url);
        tracing::info!(%host, "no ranges there: an interrupted transfer is read again from its start");
        sources.knows_no_ranges(choice.index);
    }
    Ok((answer, served))
}

/// The file's name, for messages.
fn name_of(place: &Path) -> String {
    place.file_name().unwrap_or(place.as_os_str()).to_string_lossy().into_owned()
}
