//! SHA-256 of the whole file, in its order, behind the transfer: from memory where the bytes pass by in order, from the disk
//! where they came out of turn.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use super::{block::Blocks, board::Layout, disk::PartFile, hash::Sha256};
use crate::error::Result;

/// Blocks that wait to be hashed: enough to smooth the two speeds, little beside the memory that a model takes.
const WAITING_MAX: usize = 16;
/// Read back from the disk at once.
const READ_BYTES: usize = 1 << 20;

/// What the whole hashes to, with the hash's state at the start of each part: after a part was mended it is taken up there.
pub(super) struct Digested {
    pub sha256: String,
    pub marks: Vec<Sha256>,
}

/// Where the hash stands and what it is fed.
pub(super) struct Tail {
    state: Mutex<State>,
    /// Something to do, or something done.
    moved: Condvar,
    blocks: Arc<Blocks>,
}

#[derive(Default)]
struct State {
    /// Where the hash will stand when all that waits is hashed.
    target: u64,
    /// Up to where the file is written without a gap.
    written: u64,
    waiting: VecDeque<Vec<u8>>,
    quit: bool,
}

enum Step {
    Hash(Vec<u8>),
    Read { from: u64, to: u64 },
    Finished,
    Quit,
}

impl Tail {
    pub fn new(blocks: Arc<Blocks>) -> Tail {
        Tail { state: Mutex::default(), moved: Condvar::new(), blocks }
    }

    /// A block that is on the disk, and up to where the file is there without a gap. Hashed from memory if it comes in order.
    pub fn offer(&self, offset: u64, block: Vec<u8>, written: u64) {
        let mut state = self.state();
        state.written = state.written.max(written);
        while state.target == offset && state.waiting.len() >= WAITING_MAX && !state.quit {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.target == offset && !state.quit {
            state.target += block.len() as u64;
            state.waiting.push_back(block);
        } else {
            self.blocks.give_back(block);
        }
        self.moved.notify_all();
    }

    /// What an earlier transfer left is there to be read.
    pub fn starts_with(&self, written: u64) {
        self.state().written = written;
        self.moved.notify_all();
    }

    /// Ends the work.
    pub fn quit(&self) {
        self.state().quit = true;
        self.moved.notify_all();
    }

    /// Hashes the file to its end. None when told to quit before.
    pub fn run(&self, file: &PartFile, layout: Layout) -> Result<Option<Digested>> {
        let mut hash = Marked { hash: Sha256::new(), at: 0, layout, marks: Vec::with_capacity(layout.parts()) };
        let mut buffer = Vec::new();
        loop {
            match self.step(layout.bytes) {
                Step::Hash(block) => {
                    hash.update(&block);
                    self.blocks.give_back(block);
                }
                Step::Read { from, to } => {
                    buffer.resize((to - from) as usize, 0);
                    file.read_at(&mut buffer, from)?;
                    hash.update(&buffer);
                }
                Step::Finished => return Ok(Some(hash.finish())),
                Step::Quit => return Ok(None),
            }
        }
    }

    fn step(&self, bytes: u64) -> Step {
        let mut state = self.state();
        loop {
            if state.quit {
                return Step::Quit;
            }
            if let Some(block) = state.waiting.pop_front() {
                self.moved.notify_all();
                return Step::Hash(block);
            }
            if state.target < state.written {
                let from = state.target;
                state.target = state.written.min(from + READ_BYTES as u64);
                return Step::Read { from, to: state.target };
            }
            if state.target >= bytes {
                return Step::Finished;
            }
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the hash up at the start of `part`, after that part was mended.
pub(super) fn rehash(
    file: &PartFile,
    layout: Layout,
    digested: &mut Digested,
    part: usize,
    go_on: impl Fn() -> bool,
) -> Result<bool> {
    let at = layout.range(part).start;
    let marks = digested.marks[..=part].to_vec();
    let mut hash = Marked { hash: marks[part].clone(), at, layout, marks: marks[..part].to_vec() };
    let mut buffer = vec![0; READ_BYTES];
    while hash.at < layout.bytes {
        if !go_on() {
            return Ok(false);
        }
        let length = (layout.bytes - hash.at).min(READ_BYTES as u64) as usize;
        file.read_at(&mut buffer[..length], hash.at)?;
        hash.update(&buffer[..length]);
    }
    *digested = hash.finish();
    Ok(true)
}

/// A hash that keeps its state at the start of each part.
struct Marked {
    hash: Sha256,
    at: u64,
    layout: Layout,
    marks: Vec<Sha256>,
}

impl Marked {
    fn update(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let range = self.layout.range(self.layout.part_at(self.at));
            if range.start == self.at {
                self.marks.push(self.hash.clone());
            }
            let length = data.len().min((range.end - self.at) as usize);
            self.hash.update(&data[..length]);
            self.at += length as u64;
            data = &data[length..];
        }
    }

    fn finish(self) -> Digested {
        Digested { sha256: self.hash.finish(), marks: self.marks }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::board::Board, *};

    const MIB: u64 = 1 << 20;
    /// Three parts, the last one short.
    const BYTES: u64 = 35 * MIB + 77;

    fn sha256(data: &[u8]) -> String {
        let mut hash = Sha256::new();
        hash.update(data);
        hash.finish()
    }

    fn content() -> Vec<u8> {
        (0..BYTES).map(|at| (at % 251 + at / 4099) as u8).collect()
    }

    fn file(folder: &std::path::Path) -> PartFile {
        PartFile::open(&folder.join("model.gguf"), BYTES).expect("opened")
    }

    /// Hashes while blocks of a mebibyte come in this order.
    fn hashed_in(order: impl Iterator<Item = u64>) -> Digested {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, layout, content) = (file(folder.path()), Layout::new(BYTES), content());
        let tail = Tail::new(Arc::default());
        let mut board = Board::new(layout);
        std::thread::scope(|scope| {
            let digested = scope.spawn(|| tail.run(&file, layout).expect("read").expect("not told to quit"));
            for index in order {
                let range = index * MIB..((index + 1) * MIB).min(BYTES);
                let block = content[range.start as usize..range.end as usize].to_vec();
                file.write_at(&block, range.start).expect("written");
                board.wrote(layout.part_at(range.start), block.len() as u64, None);
                tail.offer(range.start, block, board.contiguous(0));
            }
            digested.join().expect("hashed")
        })
    }

    #[test]
    fn the_hash_is_the_files_whatever_order_its_parts_come_in() {
        let expected = sha256(&content());
        assert_eq!(hashed_in(0..36).sha256, expected);
        // the last part first; the first two by turns
        let turns = (0..16).flat_map(|index| [16 + index, index]);
        assert_eq!(hashed_in((32..36).chain(turns)).sha256, expected);
    }

    #[test]
    fn a_mended_part_is_hashed_again_from_its_start_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, mut content) = (file(folder.path()), content());
        let mut digested = hashed_in(0..36);
        content[20 * MIB as usize] ^= 1;
        file.write_at(&content, 0).expect("written");
        assert!(rehash(&file, Layout::new(BYTES), &mut digested, 1, || true).expect("read"));
        assert_eq!(digested.sha256, sha256(&content));
        content[34 * MIB as usize] ^= 1;
        file.write_at(&content, 0).expect("written");
        assert!(rehash(&file, Layout::new(BYTES), &mut digested, 2, || true).expect("read"));
        assert_eq!(digested.sha256, sha256(&content));
    }

    #[test]
    fn told_to_quit_it_ends_without_a_hash() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, tail) = (file(folder.path()), Tail::new(Arc::default()));
        std::thread::scope(|scope| {
            let ended = scope.spawn(|| tail.run(&file, Layout::new(BYTES)).expect("nothing read"));
            tail.quit();
            assert!(ended.join().expect("ended").is_none());
        });
    }
}
