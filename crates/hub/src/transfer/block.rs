//! The buffers that bytes travel in from a connection to the disk and the hash: few, and used again.

use std::sync::{Mutex, PoisonError};

/// Small enough to stay in a core's cache between the copy, the write and the hash; large enough that a call of the system
/// for each costs nothing.
pub(super) const BLOCK_BYTES: usize = 256 << 10;
/// More than are ever under way: those on the way to the writer, those waiting for the hash, one for each connection.
const KEPT_MAX: usize = 64;

/// Bytes of one part on their way to the disk.
pub(super) struct Block {
    pub part: usize,
    /// From the start of the file.
    pub offset: u64,
    pub data: Vec<u8>,
}

/// Buffers that wait to be used again.
#[derive(Default)]
pub(super) struct Blocks(Mutex<Vec<Vec<u8>>>);

impl Blocks {
    pub fn take(&self) -> Vec<u8> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| Vec::with_capacity(BLOCK_BYTES))
    }

    pub fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX {
            kept.push(buffer);
        }
    }
}
