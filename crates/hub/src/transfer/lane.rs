//! One connection's work: asks a source for a run of parts, hands their bytes to the writer, and again until none is left.

use std::sync::{
    Arc, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tokio::{sync::mpsc, time::Instant};

use super::{
    Opening,
    block::{BLOCK_BYTES, Block},
    board::Errand,
    served::{Served, refuse_page_bytes},
    sources::{Choice, Next},
    work::Work,
};
use crate::{
    client::{Answer, Ask},
    connections::Purpose,
    error::{Error, Result, host_of},
};

/// Works until nothing is left to take, or until an error that no other source mends. The first answer is there perhaps.
pub(super) async fn run(
    work: Arc<Work>,
    lane: u32,
    queue: mpsc::Sender<Block>,
    bytes: Arc<AtomicU64>,
    mut opening: Option<Opening>,
) -> Result<()> {
    let mut lane = Lane { work: &work, lane, queue, bytes, alone: false };
    loop {
        let (choice, answer) = match opening.take() {
            Some(Opening { choice, answer, served }) => (choice, Some((answer, served))),
            None => (lane.choose().await?, None),
        };
        let Some(errand) = lane.claim(&choice) else { return Ok(()) };
        let fetched = lane.fetch(&choice, errand, answer).await;
        lane.let_go();
        match fetched {
            Ok(()) => {}
            Err(error @ (Error::Offline { .. } | Error::Changed { .. } | Error::Stopped)) => return Err(error),
            Err(error) => work.sources.failed(&choice, error, Instant::now()),
        }
    }
}

struct Lane<'a> {
    work: &'a Work,
    lane: u32,
    queue: mpsc::Sender<Block>,
    bytes: Arc<AtomicU64>,
    alone: bool,
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        self.let_go();
        self.work.waits.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.lane);
    }
}

impl Lane<'_> {
    /// The next source that may be asked, waiting for it if need be.
    async fn choose(&self) -> Result<Choice> {
        loop {
            let now = Instant::now();
            match self.work.sources.next(None, now)? {
                Next::Ask(choice) => return Ok(choice),
                Next::Wait(wait, reason) => {
                    let waits = || self.work.waits.lock().unwrap_or_else(PoisonError::into_inner);
                    waits().insert(self.lane, (now + wait, reason));
                    tokio::time::sleep(wait).await;
                    waits().remove(&self.lane);
                }
            }
        }
    }

    /// A run of parts; of a source without ranges all that is missing, for one lane only.
    fn claim(&mut self, choice: &Choice) -> Option<Errand> {
        if choice.ranges {
            return self.work.board().claim(self.lane);
        }
        self.alone = !self.work.alone.swap(true, Ordering::AcqRel);
        if self.alone { self.work.board().claim_rest(self.lane) } else { None }
    }

    fn let_go(&mut self) {
        self.work.board().release(self.lane);
        if std::mem::take(&mut self.alone) {
            self.work.alone.store(false, Ordering::Release);
        }
    }

    async fn fetch(&self, choice: &Choice, errand: Errand, answer: Option<(Answer, Served)>) -> Result<()> {
        let begins = |served: &Served| !served.is_part || served.start == errand.range.start;
        let (answer, served) = match answer.filter(|(_, served)| begins(served)) {
            Some(answered) => answered,
            None => ask(self.work, choice, &errand.range).await?,
        };
        if choice.ranges && !served.is_part {
            self.work.sources.sent_the_whole(choice.index);
            if errand.range.start > 0 {
                return Err(Error::protocol(&answer.url, "the whole file instead of the part that was asked for"));
            }
        }
        let mut flow = Flow {
            lane: self,
            choice,
            host: Arc::from(host_of(&answer.url)),
            part: errand.part,
            at: errand.range.start,
            position: served.start,
            buffer: self.work.blocks.take(),
        };
        let read = flow.read(answer, served, errand.range.end).await;
        // What came before a connection broke is kept.
        let flushed = flow.flush().await;
        read.and(flushed)
    }
}

/// Asks for a range (of a source without ranges: for everything) and judges the head of the answer.
pub(super) async fn ask(work: &Work, choice: &Choice, range: &std::ops::Range<u64>) -> Result<(Answer, Served)> {
    let mut ask = Ask::new(&choice.url, Purpose::File);
    if choice.ranges {
        ask = ask.range(range.start, Some(range.end - 1));
        ask.if_range = choice.validator.clone();
    }
    let answer = work.hub.ask(ask).await?;
    let served = Served::judge(&answer, choice.ranges.then_some(range), &work.name)?;
    let bytes = work.board().layout.bytes;
    work.sources.answered(choice, &answer.url, &served, &work.name, Some(bytes))?;
    if served.start > range.start {
        return Err(Error::protocol(&answer.url, "it has no such range"));
    }
    Ok((answer, served))
}

/// The bytes of one answer on their way into parts.
struct Flow<'a> {
    lane: &'a Lane<'a>,
    choice: &'a Choice,
    host: Arc<str>,
    part: usize,
    /// Where the next byte that is wanted lies in the file.
    at: u64,
    /// Where the next byte that comes lies: perhaps before that, when the source knows no ranges.
    position: u64,
    buffer: Vec<u8>,
}

impl Flow<'_> {
    /// Reads until the run's end. The answer may begin before what is wanted: that much is read for nothing.
    async fn read(&mut self, mut answer: Answer, served: Served, wanted_end: u64) -> Result<()> {
        let work = self.lane.work;
        let end = served.end.unwrap_or(u64::MAX);
        while self.position < end {
            let Some(piece) = answer.chunk().await? else { break };
            let length = piece.len() as u64;
            work.received.fetch_add(length, Ordering::Relaxed);
            self.lane.bytes.fetch_add(length, Ordering::Relaxed);
            work.hub.limiter().take(length).await;
            if length > end - self.position {
                return Err(Error::protocol(&answer.url, "more bytes than it announced"));
            }
            if !self.take(&piece).await? {
                if self.position == end {
                    // Read to its end, the connection serves the next request too.
                    let _ = answer.chunk().await;
                }
                return Ok(());
            }
        }
        // A shorter range than the one asked for, but all that was announced: the rest is asked for next.
        if self.at >= end.min(wanted_end) && served.end.is_some() {
            return Ok(());
        }
        Err(Error::Unreachable {
            host: self.host.to_string(),
            reason: format!("it broke off at byte {}", self.position),
        })
    }

    /// Whether more is wanted after these bytes.
    async fn take(&mut self, mut bytes: &[u8]) -> Result<bool> {
        let layout = self.lane.work.board().layout;
        while !bytes.is_empty() {
            let passed = (self.at - self.position).min(bytes.len() as u64);
            self.position += passed;
            bytes = &bytes[passed as usize..];
            let end = layout.range(self.part).end;
            let room = (BLOCK_BYTES - self.buffer.len()).min((end - self.at) as usize);
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.buffer.extend_from_slice(now);
            self.at += now.len() as u64;
            self.position += now.len() as u64;
            bytes = later;
            if self.at == end || self.buffer.len() >= BLOCK_BYTES {
                self.flush().await?;
            }
            if self.at == end {
                match self.lane.work.board().advance(self.lane.lane) {
                    Some((part, from)) => (self.part, self.at) = (part, from),
                    None => return Ok(false),
                }
            }
        }
        Ok(true)
    }

    /// Hands what is gathered to the writer.
    async fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let work = self.lane.work;
        let offset = self.at - self.buffer.len() as u64;
        if offset == 0 {
            refuse_page_bytes(&self.choice.url, &work.name, &self.buffer)?;
        }
        let data = std::mem::replace(&mut self.buffer, work.blocks.take());
        let length = data.len() as u64;
        // No writer: it failed, and the transfer ends with its error.
        let Ok(seat) = self.lane.queue.reserve().await else { return Err(Error::Stopped) };
        work.board().queue(self.part, length, &self.host);
        seat.send(Block { part: self.part, offset, data });
        work.sources.brought(self.choice.index);
        Ok(())
    }
}
