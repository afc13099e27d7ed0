//! What a file holds: bytes, a file on the disk, or gigabytes made on the fly that cost no memory.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use sha2::{Digest, Sha256};

/// Random bytes that seeded content repeats, in an order of its own.
const TABLE_BYTES: usize = 1 << 20;
/// Each page of seeded content begins with its own number, so that no page equals another and one in a wrong place shows.
const PAGE_BYTES: usize = 4096;
/// How much is made or read at a time.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

/// The bytes of one file. Cheap to clone.
#[derive(Clone)]
pub struct Content(Arc<Inner>);

struct Inner {
    kind: Kind,
    bytes: u64,
    sha256: OnceLock<String>,
}

enum Kind {
    Bytes(Vec<u8>),
    Seeded { seed: u64, table: Vec<u8> },
    File(Mutex<File>),
}

impl Content {
    /// These bytes.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Content {
        let bytes = bytes.into();
        Content::new(bytes.len() as u64, Kind::Bytes(bytes))
    }

    /// So many bytes that depend on the seed and on nothing else.
    pub fn seeded(seed: u64, bytes: u64) -> Content {
        let mut state = seed;
        let table = (0..TABLE_BYTES / 8).flat_map(|_| next(&mut state).to_le_bytes()).collect();
        Content::new(bytes, Kind::Seeded { seed, table })
    }

    /// A file of the disk, as long as it is now.
    pub fn file(path: impl Into<PathBuf>) -> io::Result<Content> {
        let file = File::open(path.into())?;
        let bytes = file.metadata()?.len();
        Ok(Content::new(bytes, Kind::File(Mutex::new(file))))
    }

    fn new(bytes: u64, kind: Kind) -> Content {
        Content(Arc::new(Inner { kind, bytes, sha256: OnceLock::new() }))
    }

    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        self.0.bytes
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.bytes == 0
    }

    /// SHA-256 in hexadecimal; computed once.
    pub fn sha256(&self) -> String {
        let hash = || {
            let mut hash = Sha256::new();
            let mut chunk = vec![0; CHUNK_BYTES];
            let mut at = 0;
            while at < self.len() {
                let size = (self.len() - at).min(CHUNK_BYTES as u64) as usize;
                if self.fill(at, &mut chunk[..size]).is_err() {
                    break;
                }
                hash.update(&chunk[..size]);
                at += size as u64;
            }
            hex(&hash.finalize())
        };
        self.0.sha256.get_or_init(hash).clone()
    }

    /// Writes the bytes that begin at `at`; `at + out.len()` is at most `len()`.
    pub fn fill(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        match &self.0.kind {
            Kind::Bytes(bytes) => out.copy_from_slice(&bytes[at as usize..at as usize + out.len()]),
            Kind::Seeded { seed, table } => fill_seeded(*seed, table, at, out),
            Kind::File(file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(at))?;
                file.read_exact(out)?;
            }
        }
        Ok(())
    }

    /// All bytes at once, for small files.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len() as usize];
        // A file that shrank under us leaves zeros; whoever compares will see it.
        self.fill(0, &mut bytes).ok();
        bytes
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Content {
        Content::bytes(text)
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Content {
        Content::bytes(bytes)
    }
}

fn fill_seeded(seed: u64, table: &[u8], at: u64, out: &mut [u8]) {
    let mut done = 0;
    while done < out.len() {
        let place = at + done as u64;
        let (page, offset) = (place / PAGE_BYTES as u64, (place % PAGE_BYTES as u64) as usize);
        let size = (PAGE_BYTES - offset).min(out.len() - done);
        let mut number = seed ^ page;
        let mark = next(&mut number).to_le_bytes();
        let source = (number as usize % (TABLE_BYTES / PAGE_BYTES)) * PAGE_BYTES + offset;
        out[done..done + size].copy_from_slice(&table[source..source + size]);
        if offset < mark.len() {
            let marked = size.min(mark.len() - offset);
            out[done..done + marked].copy_from_slice(&mark[offset..offset + marked]);
        }
        done += size;
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn sha256_of(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}
