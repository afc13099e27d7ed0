//! Files whose length nobody tells: read in one go from their start, hashed as they come, begun anew when they break off.
//! Files without a byte come here too.

use std::{path::Path, sync::atomic::Ordering};

use huacaya_progress::Progress;
use tokio::time::Instant;

use super::{
    Call, End, Fetched, Opening, Stage, Told, disk,
    disk::PartFile,
    hash::Sha256,
    name_of,
    served::{Served, refuse_page_bytes},
    sources::{Choice, Next, Sources},
    work::joined,
};
use crate::{
    client::{Answer, Ask, Hub},
    connections::Purpose,
    error::{Error, Result},
    space::free_space,
};

/// Gathered before it is written.
const WRITE_BYTES: usize = 1 << 20;
/// A body without an end must not fill the disk.
const LEFT_FREE_BYTES: u64 = 1 << 30;

/// What is written so far.
struct Stream {
    file: PartFile,
    hash: Sha256,
    bytes: u64,
}

/// Fetches the file; `total` is 0 where it is known to be empty.
pub(super) async fn fetch(
    call: &mut Call<'_>,
    sources: &Sources,
    total: Option<u64>,
    opening: Option<Opening>,
) -> std::result::Result<Fetched, End> {
    let (hub, wanted, told, received) = (call.hub, call.wanted, call.told, call.received.clone());
    let place = &wanted.place;
    let count = |bytes| {
        received.fetch_add(bytes, Ordering::Relaxed);
    };
    let work = async {
        if total == Some(0) {
            Stream::new(place)
        } else {
            read_through(hub, place, sources, opening, told, &count).await
        }
    };
    let so_far = || Progress { done: received.load(Ordering::Relaxed), total: 0 };
    let ended = call.attended(so_far, work).await;
    let stream = match ended {
        Ok(stream) => stream,
        Err(error) => {
            disk::remove_unfinished(place)?;
            return Err(error.into());
        }
    };
    let (bytes, sha256) = (stream.bytes, stream.hash.finish());
    if let Some(expected) = wanted.sha256.as_ref().filter(|expected| **expected != sha256) {
        disk::remove_unfinished(place)?;
        let error = Error::HashMismatch { name: name_of(place), expected: expected.clone(), found: sha256 };
        return Err(End::Anew(error));
    }
    let (file, to) = (stream.file, place.clone());
    joined(tokio::task::spawn_blocking(move || file.finish(&to)).await)??;
    Ok(Fetched { bytes, sha256, received: received.load(Ordering::Relaxed), mended: 0 })
}

/// Reads the file from its start to its end, as often as it takes.
async fn read_through(
    hub: &Hub,
    place: &Path,
    sources: &Sources,
    opening: Option<Opening>,
    told: &Told<'_>,
    count: &impl Fn(u64),
) -> Result<Stream> {
    let mut opening = opening.filter(|opening| !opening.served.is_part);
    loop {
        let (choice, answer) = match opening.take() {
            Some(Opening { choice, answer, .. }) => (choice, Some(answer)),
            None => match sources.next(None, Instant::now())? {
                Next::Ask(choice) => (choice, None),
                Next::Wait(wait, reason) => {
                    told.waiting(Instant::now() + wait, &reason);
                    tokio::time::sleep(wait).await;
                    continue;
                }
            },
        };
        told.tell(Stage::Fetching);
        let answer = match answer {
            Some(answer) => Ok(answer),
            None => ask(hub, place, sources, &choice).await,
        };
        let read = match answer {
            Ok(answer) => read(hub, place, &choice, answer, count).await,
            Err(error) => Err(error),
        };
        match read {
            Ok(stream) => return Ok(stream),
            Err(error) if is_final(&error) => return Err(error),
            Err(error) => sources.failed(&choice, error, Instant::now()),
        }
    }
}

/// Whether no other try would end otherwise.
fn is_final(error: &Error) -> bool {
    matches!(error, Error::Offline { .. } | Error::Changed { .. } | Error::DiskFull { .. } | Error::Io { .. })
}

async fn ask(hub: &Hub, place: &Path, sources: &Sources, choice: &Choice) -> Result<Answer> {
    let answer = hub.ask(Ask::new(&choice.url, Purpose::File)).await?;
    let name = name_of(place);
    let served = Served::judge(&answer, None, &name)?;
    sources.answered(choice, &answer.url, &served, &name, None)?;
    Ok(answer)
}

async fn read(hub: &Hub, place: &Path, choice: &Choice, mut answer: Answer, count: &impl Fn(u64)) -> Result<Stream> {
    let name = name_of(place);
    let mut stream = Stream::new(place)?;
    let mut gathered = Vec::with_capacity(WRITE_BYTES);
    while let Some(piece) = answer.chunk().await? {
        count(piece.len() as u64);
        hub.limiter().take(piece.len() as u64).await;
        gathered.extend_from_slice(&piece);
        if gathered.len() >= WRITE_BYTES {
            if stream.bytes == 0 {
                refuse_page_bytes(&choice.url, &name, &gathered)?;
            }
            (stream, gathered) = stream.write(gathered).await?;
        }
    }
    if stream.bytes == 0 {
        refuse_page_bytes(&choice.url, &name, &gathered)?;
    }
    Ok(stream.write(gathered).await?.0)
}

impl Stream {
    fn new(place: &Path) -> Result<Stream> {
        let file = PartFile::open(place, 0)?;
        Ok(Stream { file, hash: Sha256::new(), bytes: 0 })
    }

    /// Writes and hashes on a thread of its own, and gives the buffer back.
    async fn write(mut self, mut gathered: Vec<u8>) -> Result<(Stream, Vec<u8>)> {
        let written = tokio::task::spawn_blocking(move || {
            let needed = LEFT_FREE_BYTES + gathered.len() as u64;
            let free = free_space(&self.file.path)?;
            if free < needed {
                return Err(Error::DiskFull { needed, free, path: self.file.path.clone() });
            }
            self.file.write_at(&gathered, self.bytes)?;
            self.hash.update(&gathered);
            self.bytes += gathered.len() as u64;
            gathered.clear();
            Ok((self, gathered))
        });
        joined(written.await)?
    }
}
