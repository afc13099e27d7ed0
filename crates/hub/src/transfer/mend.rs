//! When the whole does not match its hash: parts are fetched again, suspects first, until it does. No part twice, so never
//! more than one file's worth.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::time::Instant;

use super::{
    Stage, Told,
    hash::Sum,
    lane::ask,
    sources::{Choice, Next},
    tail::{Digested, rehash},
    work::{Work, joined},
};
use crate::error::{Error, Result, host_of};

/// A whole file, and what it took.
pub(super) struct Right {
    pub sha256: String,
    pub mended: u32,
}

/// Ends the reading of a large file when nobody waits for it any more.
struct Going(Arc<()>);

/// Comes back when the whole matches `expected` (at once, where nothing is expected).
pub(super) async fn until_right(
    work: &Arc<Work>,
    digested: Option<Digested>,
    expected: Option<String>,
    told: &Told<'_>,
) -> Result<Right> {
    let Some(mut digested) = digested else { return Err(Error::Stopped) };
    let Some(expected) = expected.filter(|expected| *expected != digested.sha256) else {
        return Ok(Right { sha256: digested.sha256, mended: 0 });
    };
    tracing::warn!(file = work.name, expected, found = digested.sha256, "the whole does not match");
    told.tell(Stage::Mending);
    for (mended, suspect) in (1..).zip(suspects(work).await?) {
        let Some(fresh) = fetch_part(work, suspect.part, told).await? else { break };
        told.tell(Stage::Mending);
        let changed = fresh.sum != suspect.on_disk;
        digested = put_in(work, suspect.part, fresh, changed, digested).await?;
        if digested.sha256 == expected {
            return Ok(Right { sha256: digested.sha256, mended });
        }
    }
    Err(Error::HashMismatch { name: work.name.clone(), expected, found: digested.sha256 })
}

struct Suspect {
    part: usize,
    on_disk: Sum,
}

/// The parts that were not fetched again yet: those that changed on the disk first, then those that were interrupted, then
/// those of a host that served few, then the rest.
async fn suspects(work: &Arc<Work>) -> Result<Vec<Suspect>> {
    let going = Going(Arc::new(()));
    let alive = Arc::downgrade(&going.0);
    let work = work.clone();
    let ranked = tokio::task::spawn_blocking(move || {
        let layout = work.board().layout;
        let mut ranked = Vec::new();
        for index in 0..layout.parts() {
            if alive.strong_count() == 0 {
                return Err(Error::Stopped);
            }
            let part = work.board().part(index).clone();
            if part.checked {
                continue;
            }
            let on_disk = work.sum_on_disk(index)?;
            let of_host = work.board().parts().filter(|(other, _)| other.host == part.host).count();
            let rank = (part.sum == Some(on_disk), part.begun <= 1, of_host);
            ranked.push((rank, Suspect { part: index, on_disk }));
        }
        // Stable: in the file's order where nothing tells them apart.
        ranked.sort_by_key(|(rank, _)| *rank);
        Ok(ranked.into_iter().map(|(_, suspect)| suspect).collect())
    });
    let ranked = joined(ranked.await)?;
    drop(going);
    ranked
}

struct Fresh {
    data: Vec<u8>,
    sum: Sum,
    host: Arc<str>,
}

/// Fetches one part into memory, from another source than before where there is one. None: no source sends parts.
async fn fetch_part(work: &Arc<Work>, part: usize, told: &Told<'_>) -> Result<Option<Fresh>> {
    let before = work.board().part(part).host.clone();
    loop {
        if !work.sources.any_with_ranges() {
            return Ok(None);
        }
        let except = work.sources.of_host(&before);
        match work.sources.next(except, Instant::now())? {
            Next::Wait(wait, reason) => {
                told.waiting(Instant::now() + wait, &reason);
                tokio::time::sleep(wait).await;
            }
            Next::Ask(choice) => match read_part(work, &choice, part).await {
                Ok(fresh) => return Ok(Some(fresh)),
                Err(error @ (Error::Offline { .. } | Error::Changed { .. })) => return Err(error),
                Err(error) => work.sources.failed(&choice, error, Instant::now()),
            },
        }
    }
}

async fn read_part(work: &Work, choice: &Choice, part: usize) -> Result<Fresh> {
    let range = work.board().layout.range(part);
    if !choice.ranges {
        return Err(Error::protocol(&choice.url, "no ranges there"));
    }
    let length = (range.end - range.start) as usize;
    let mut data = Vec::with_capacity(length);
    let mut host = host_of(&choice.url);
    while data.len() < length {
        let rest = range.start + data.len() as u64..range.end;
        let (mut answer, served) = ask(work, choice, &rest).await?;
        if !served.is_part {
            work.sources.sent_the_whole(choice.index);
            return Err(Error::protocol(&answer.url, "the whole file instead of the part that was asked for"));
        }
        host = host_of(&answer.url);
        let before = data.len();
        while data.len() < length {
            let Some(piece) = answer.chunk().await? else { break };
            count(&work.received, piece.len());
            work.hub.limiter().take(piece.len() as u64).await;
            data.extend_from_slice(&piece[..piece.len().min(length - data.len())]);
        }
        if data.len() == before {
            return Err(Error::Unreachable { host, reason: "it broke off".to_owned() });
        }
    }
    work.sources.brought(choice.index);
    let sum = Sum::of(&data);
    Ok(Fresh { data, sum, host: Arc::from(host) })
}

fn count(received: &AtomicU64, bytes: usize) {
    received.fetch_add(bytes as u64, Ordering::Relaxed);
}

/// Writes the part where it is another one, and hashes the whole from there on.
async fn put_in(
    work: &Arc<Work>,
    part: usize,
    fresh: Fresh,
    changed: bool,
    mut digested: Digested,
) -> Result<Digested> {
    let going = Going(Arc::new(()));
    let alive = Arc::downgrade(&going.0);
    let work = work.clone();
    let put = tokio::task::spawn_blocking(move || {
        let layout = work.board().layout;
        if changed {
            tracing::warn!(file = work.name, part, host = %fresh.host, "a part was wrong");
            work.file.write_at(&fresh.data, layout.range(part).start)?;
        }
        work.board().mended(part, fresh.sum, &fresh.host);
        work.save()?;
        if changed && !rehash(&work.file, layout, &mut digested, part, || alive.strong_count() > 0)? {
            return Err(Error::Stopped);
        }
        Ok(digested)
    });
    let digested = joined(put.await)?;
    drop(going);
    digested
}
