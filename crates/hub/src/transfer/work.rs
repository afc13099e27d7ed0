//! One transfer at work: lanes ask hosts for runs of parts, a writer puts their bytes on the disk, the tail hashes behind.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc},
    task::{AbortHandle, JoinHandle, JoinSet},
    time::Instant,
};

use super::{
    Opening, Stage, Told,
    block::{Block, Blocks},
    board::{Board, LANES_MAX},
    disk::{PartFile, journal_path},
    hash::{Sum, Summing},
    journal::Journal,
    lane,
    lock::Lock,
    sources::Sources,
    tail::{Digested, Tail},
};
use crate::{
    client::Hub,
    error::{Error, Result},
};

/// Blocks between the lanes and the writer.
const QUEUE_MAX: usize = 16;
/// How often the transfer looks around: lanes to add, slow ones, the journal.
const LOOK: Duration = Duration::from_millis(100);
/// A lane that brings this much is not held back by its far side: another one would only take the processor's time.
const FAST_BYTES_PER_SECOND: u64 = 200_000_000;
/// A kill loses no more of the finished parts than this time brought.
const JOURNAL_PARTS_EVERY: Duration = Duration::from_millis(250);
/// And no more of the unfinished ones than this.
const JOURNAL_BYTES_EVERY: Duration = Duration::from_secs(2);
/// When nothing is left to begin, a lane this many times slower than the best one was is cut and its rest asked for anew.
const SLOW_TIMES: u64 = 8;
/// Watched for so long before it is called slow.
const SLOW_AFTER: Duration = Duration::from_secs(5);
/// Lanes cut for being slow, of one file. A host that is slow for everybody is not hurried by more.
const CUTS_MAX: u32 = 8;

/// What the lanes, the writer and the tail share.
pub(super) struct Work {
    pub hub: Hub,
    /// For messages.
    pub name: String,
    pub sources: Sources,
    pub file: PartFile,
    pub blocks: Arc<Blocks>,
    pub tail: Tail,
    /// Over the wire, in this call.
    pub received: Arc<AtomicU64>,
    /// Held by the one lane that reads a file from its start because its source knows no ranges.
    pub alone: AtomicBool,
    /// Lanes that wait for a source: until when and why.
    pub waits: Mutex<HashMap<u32, (Instant, String)>>,
    board: Mutex<Board>,
    sha256: Option<String>,
    place: std::path::PathBuf,
    failure: Mutex<Option<Error>>,
    whole: Notify,
    /// Held while the journal is written; true once no journal is wanted any more.
    closed: Mutex<bool>,
    _lock: Arc<Lock>,
}

/// What a transfer begins with.
pub(super) struct Start {
    pub hub: Hub,
    pub sources: Sources,
    pub board: Board,
    pub file: PartFile,
    pub wanted: super::Wanted,
    pub received: Arc<AtomicU64>,
    pub lock: Arc<Lock>,
    pub opening: Option<Opening>,
}

/// The threads behind a transfer. Dropped, they end by themselves.
pub(super) struct Crew {
    pub work: Arc<Work>,
    queue: Option<mpsc::Sender<Block>>,
    writer: Option<JoinHandle<()>>,
    hash: Option<JoinHandle<Result<Option<Digested>>>>,
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.work.tail.quit();
    }
}

impl Crew {
    pub fn start(start: Start) -> (Crew, Option<Opening>) {
        let blocks = Arc::new(Blocks::default());
        let (queue, blocks_to_write) = mpsc::channel(QUEUE_MAX);
        let layout = start.board.layout;
        let work = Arc::new(Work {
            hub: start.hub,
            name: super::name_of(&start.wanted.place),
            sources: start.sources,
            file: start.file,
            tail: Tail::new(blocks.clone()),
            blocks,
            received: start.received,
            alone: AtomicBool::new(false),
            waits: Mutex::default(),
            board: Mutex::new(start.board),
            sha256: start.wanted.sha256,
            place: start.wanted.place,
            failure: Mutex::default(),
            whole: Notify::new(),
            closed: Mutex::new(false),
            _lock: start.lock,
        });
        work.tail.starts_with(work.board().contiguous(0));
        let writer = tokio::task::spawn_blocking({
            let work = work.clone();
            move || work.write(blocks_to_write)
        });
        let hash = tokio::task::spawn_blocking({
            let work = work.clone();
            move || {
                let digested = work.tail.run(&work.file, layout);
                work.tail.quit();
                digested
            }
        });
        (Crew { work, queue: Some(queue), writer: Some(writer), hash: Some(hash) }, start.opening)
    }

    /// Fetches all parts that are missing, the first of them from the `opening`.
    pub async fn fetch(&mut self, told: &Told<'_>, opening: Option<Opening>) -> Result<()> {
        let Some(queue) = self.queue.take() else { return Ok(()) };
        let mut round = Round {
            work: self.work.clone(),
            queue,
            opening,
            lanes: JoinSet::new(),
            seats: HashMap::new(),
            named: 0,
            best: 0,
            cuts: 0,
        };
        let mut keeper = Keeper::new(&self.work);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if let Some(error) = self.work.failed() {
                return Err(error);
            }
            if self.work.board().is_whole() {
                return keeper.rest().await;
            }
            tokio::select! {
                biased;
                () = self.work.whole.notified() => {}
                Some(ended) = round.lanes.join_next_with_id() => {
                    // A lane ends for want of a writer, too: then the writer knows why.
                    round.ended(ended).map_err(|error| self.work.failed().unwrap_or(error))?;
                }
                _ = look.tick() => {
                    round.look();
                    round.tell(told);
                    keeper.keep().await?;
                }
            }
        }
    }

    /// The hash of the whole, once all of it is written.
    pub async fn digested(&mut self) -> Result<Option<Digested>> {
        match self.hash.take() {
            Some(hash) => joined(hash.await)?,
            None => Ok(None),
        }
    }

    /// After the lanes are gone: waits for the threads to come to their end.
    pub async fn rest(&mut self) -> Result<()> {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            joined(writer.await)?;
        }
        self.work.tail.quit();
        match self.hash.take() {
            Some(hash) => joined(hash.await)?.map(|_| ()),
            None => Ok(()),
        }
    }

    /// Ends an unfinished transfer: what is here is written down.
    pub async fn park(mut self) -> Result<()> {
        self.rest().await?;
        let work = self.work.clone();
        let saved = tokio::task::spawn_blocking(move || work.save());
        joined(saved.await)?
    }
}

/// A thread that panicked has told so already; the transfer ends as any other that failed.
pub(super) fn joined<T>(ended: std::result::Result<T, tokio::task::JoinError>) -> Result<T> {
    ended.map_err(|error| Error::Protocol { host: "this computer".to_owned(), reason: error.to_string() })
}

impl Work {
    pub fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what the lanes bring, in the order they bring it, until they are gone.
    fn write(&self, mut queue: mpsc::Receiver<Block>) {
        let mut sums = HashMap::new();
        let mut front = self.board().contiguous(0);
        while let Some(block) = queue.blocking_recv() {
            if let Err(mut error) = self.write_one(block, &mut sums, &mut front) {
                if let Error::DiskFull { needed, .. } = &mut error {
                    let progress = self.board().progress();
                    *needed = progress.total - progress.done;
                }
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                self.tail.quit();
                self.whole.notify_one();
                return;
            }
        }
    }

    fn write_one(&self, block: Block, sums: &mut HashMap<usize, Summing>, front: &mut u64) -> Result<()> {
        let Block { part, offset, data } = block;
        let range = self.board().layout.range(part);
        self.file.write_at(&data, offset)?;
        let sum = match sums.get_mut(&part) {
            Some(sum) => sum,
            None => sums.entry(part).or_insert(self.sum_of(range.start, offset)?),
        };
        sum.update(&data);
        let end = offset + data.len() as u64;
        let whole_part = (end == range.end).then(|| sum.finish());
        if whole_part.is_some() {
            sums.remove(&part);
        }
        let is_whole = {
            let mut board = self.board();
            board.wrote(part, data.len() as u64, whole_part);
            *front = board.contiguous(*front);
            board.is_whole()
        };
        self.tail.offer(offset, data, *front);
        if is_whole {
            self.whole.notify_one();
        }
        Ok(())
    }

    /// The sum of bytes that were written before: what a part was begun with in an earlier call.
    fn sum_of(&self, from: u64, to: u64) -> Result<Summing> {
        let mut sum = Summing::new();
        let mut buffer = self.blocks.take();
        let mut at = from;
        while at < to {
            buffer.resize((to - at).min(super::block::BLOCK_BYTES as u64) as usize, 0);
            self.file.read_at(&mut buffer, at)?;
            sum.update(&buffer);
            at += buffer.len() as u64;
        }
        self.blocks.give_back(buffer);
        Ok(sum)
    }

    /// The sum of a part as it lies on the disk.
    pub fn sum_on_disk(&self, part: usize) -> Result<Sum> {
        let range = self.board().layout.range(part);
        Ok(self.sum_of(range.start, range.end)?.finish())
    }

    /// Syncs what was written and tells it in the journal.
    pub fn save(&self) -> Result<()> {
        let closed = self.closed();
        let path = journal_path(&self.place);
        let journal = {
            let board = self.board();
            if *closed || board.written() == 0 {
                return Ok(());
            }
            Journal::of(&board, self.sha256.as_deref(), self.sources.validators())
        };
        self.file.sync()?;
        journal.save(&path).map_err(|source| super::disk::disk_error(&path, 0, source))
    }

    /// Puts the whole file in its place; no journal is written after that.
    pub fn finish(&self) -> Result<()> {
        *self.closed() = true;
        self.file.finish(&self.place)
    }

    /// The transfer begins anew: what this one has is not written down any more.
    pub fn abandon(&self) {
        *self.closed() = true;
    }

    fn closed(&self) -> MutexGuard<'_, bool> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The lanes of one transfer.
struct Round {
    work: Arc<Work>,
    queue: mpsc::Sender<Block>,
    opening: Option<Opening>,
    lanes: JoinSet<Result<()>>,
    seats: HashMap<tokio::task::Id, Seat>,
    named: u32,
    /// Bytes a second of the fastest lane so far, over a while.
    best: u64,
    cuts: u32,
}

struct Seat {
    lane: u32,
    abort: AbortHandle,
    bytes: Arc<AtomicU64>,
    /// At the last look.
    before: u64,
    /// Where the count of its speed over a while began.
    since: Instant,
    since_bytes: u64,
}

type Ended = std::result::Result<(tokio::task::Id, Result<()>), tokio::task::JoinError>;

impl Round {
    fn ended(&mut self, ended: Ended) -> Result<()> {
        match ended {
            Ok((id, result)) => {
                self.seats.remove(&id);
                result
            }
            Err(error) => {
                self.seats.remove(&error.id());
                if error.is_cancelled() { Ok(()) } else { joined(Err(error)) }
            }
        }
    }

    /// Adds a lane while there is work for it and the others are not fast enough; cuts one that keeps the end waiting.
    fn look(&mut self) {
        let mut fastest = 0;
        for seat in self.seats.values_mut() {
            let bytes = seat.bytes.load(Ordering::Relaxed);
            let brought = (bytes - seat.before) * 1000 / LOOK.as_millis() as u64;
            seat.before = bytes;
            fastest = fastest.max(brought);
        }
        let most = if self.work.sources.any_with_ranges() { LANES_MAX } else { 1 };
        let begun = self.seats.values().all(|seat| seat.before > 0);
        let has_work = self.work.board().has_work();
        let few = self.seats.len() < most && (self.seats.is_empty() || (begun && fastest < FAST_BYTES_PER_SECOND));
        if has_work && few {
            self.begin();
        }
        self.cut_the_slow(has_work);
    }

    fn begin(&mut self) {
        self.named += 1;
        let (lane, bytes) = (self.named, Arc::new(AtomicU64::new(0)));
        let abort = self.lanes.spawn(lane::run(
            self.work.clone(),
            lane,
            self.queue.clone(),
            bytes.clone(),
            self.opening.take(),
        ));
        let seat = Seat { lane, bytes, before: 0, since: Instant::now(), since_bytes: 0, abort: abort.clone() };
        self.seats.insert(abort.id(), seat);
    }

    fn cut_the_slow(&mut self, has_work: bool) {
        // Under a limit they are slow because we are.
        let limited = self.work.hub.limiter().is_set();
        let waits = self.work.waits.lock().unwrap_or_else(PoisonError::into_inner);
        for seat in self.seats.values_mut() {
            let watched = seat.since.elapsed();
            if watched < SLOW_AFTER {
                continue;
            }
            let speed = ((seat.before - seat.since_bytes) as f64 / watched.as_secs_f64()) as u64;
            (seat.since, seat.since_bytes) = (Instant::now(), seat.before);
            self.best = self.best.max(speed);
            let slow = speed < self.best / SLOW_TIMES && !waits.contains_key(&seat.lane);
            if slow && !has_work && !limited && self.cuts < CUTS_MAX {
                tracing::debug!(lane = seat.lane, speed, best = self.best, "slow lane cut");
                self.cuts += 1;
                seat.abort.abort();
            }
        }
    }

    fn tell(&self, told: &Told<'_>) {
        let waits = self.work.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let all_wait = !self.seats.is_empty() && self.seats.values().all(|seat| waits.contains_key(&seat.lane));
        match waits.values().min_by_key(|(until, _)| *until) {
            Some((until, reason)) if all_wait => told.waiting(*until, reason),
            _ => told.tell(Stage::Fetching),
        }
    }
}

/// Keeps the journal, one save at a time, beside the transfer.
struct Keeper {
    work: Arc<Work>,
    saved_at: Instant,
    done: usize,
    written: u64,
    saving: Option<JoinHandle<Result<()>>>,
}

impl Keeper {
    fn new(work: &Arc<Work>) -> Keeper {
        let (done, written) = work.board().counts();
        Keeper { work: work.clone(), saved_at: Instant::now(), done, written, saving: None }
    }

    async fn keep(&mut self) -> Result<()> {
        if let Some(saving) = self.saving.take_if(|saving| saving.is_finished()) {
            joined(saving.await)??;
        }
        let (done, written) = self.work.board().counts();
        let since = self.saved_at.elapsed();
        let parts = done != self.done && since >= JOURNAL_PARTS_EVERY;
        let bytes = written != self.written && since >= JOURNAL_BYTES_EVERY;
        if self.saving.is_none() && (parts || bytes) {
            (self.done, self.written, self.saved_at) = (done, written, Instant::now());
            let work = self.work.clone();
            self.saving = Some(tokio::task::spawn_blocking(move || work.save()));
        }
        Ok(())
    }

    /// Comes back when nothing is being saved.
    async fn rest(&mut self) -> Result<()> {
        match self.saving.take() {
            Some(saving) => joined(saving.await)?,
            None => Ok(()),
        }
    }
}
