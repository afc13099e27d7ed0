//! What is on the disk of an unfinished transfer, told beside it: read back after a restart, and believed only where it
//! can be true.

use std::{
    collections::BTreeMap,
    fs, io,
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    board::{Board, Layout, Part},
    hash::Sum,
};

/// 4096 parts take less than a megabyte.
const JOURNAL_BYTES_MAX: u64 = 4 << 20;
/// Changed when an older program could misread it: then the transfer begins anew.
const VERSION: u32 = 1;

/// The journal of one transfer. Whatever it calls done lay safely on the disk before it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    version: u32,
    pub bytes: u64,
    pub part_bytes: u64,
    pub sha256: Option<String>,
    /// By the source's address without its query: the ETag or date that its bytes belong to.
    pub validators: BTreeMap<String, String>,
    done: Vec<Done>,
    begun: Vec<Begun>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Done {
    part: usize,
    /// XXH3-128, in hexadecimal.
    sum: String,
    begun: u32,
    host: String,
    #[serde(default)]
    checked: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Begun {
    part: usize,
    bytes: u64,
    begun: u32,
}

impl Journal {
    /// What the board holds now. The part file must be synced between this and `save`.
    pub fn of(board: &Board, sha256: Option<&str>, validators: BTreeMap<String, String>) -> Journal {
        let (mut done, mut begun) = (Vec::new(), Vec::new());
        for (index, (part, written)) in board.parts().enumerate() {
            match part.sum {
                Some(sum) => done.push(Done {
                    part: index,
                    sum: sum.to_string(),
                    begun: part.begun,
                    host: part.host.to_string(),
                    checked: part.checked,
                }),
                None if written > 0 => begun.push(Begun { part: index, bytes: written, begun: part.begun }),
                None => {}
            }
        }
        let Layout { bytes, part_bytes } = board.layout;
        Journal { version: VERSION, bytes, part_bytes, sha256: sha256.map(str::to_owned), validators, done, begun }
    }

    /// Puts it in place of the one before, whole or not at all.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let new = beside(path, ".new");
        let mut file = fs::File::create(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_data()?;
        fs::rename(&new, path)
    }

    /// The journal at `path`. None where there is none, or none that can be read: then nothing is known.
    pub fn load(path: &Path) -> Option<Journal> {
        let mut text = Vec::new();
        fs::File::open(path).ok()?.take(JOURNAL_BYTES_MAX + 1).read_to_end(&mut text).ok()?;
        if text.len() as u64 > JOURNAL_BYTES_MAX {
            return None;
        }
        let journal: Journal = serde_json::from_slice(&text).ok()?;
        let layout = Layout::new(journal.bytes);
        let sane = journal.version == VERSION && journal.bytes > 0 && journal.part_bytes == layout.part_bytes;
        sane.then_some(journal)
    }

    /// The board as the journal tells it; what cannot be true is left out, and so fetched again.
    pub fn board(&self) -> Board {
        let layout = Layout::new(self.bytes);
        let mut board = Board::new(layout);
        for done in &self.done {
            if let (true, Some(sum)) = (done.part < layout.parts(), Sum::parse(&done.sum)) {
                let range = layout.range(done.part);
                let part = Part {
                    sum: Some(sum),
                    begun: done.begun,
                    host: Arc::from(done.host.as_str()),
                    checked: done.checked,
                    ..Part::default()
                };
                board.found(done.part, range.end - range.start, part);
            }
        }
        for begun in self.begun.iter().filter(|begun| begun.part < layout.parts()) {
            board.found(begun.part, begun.bytes, Part { begun: begun.begun, ..Part::default() });
        }
        board
    }
}

/// `path` with `suffix` behind its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn example() -> Journal {
        let mut board = Board::new(Layout::new(40 * MIB));
        let part = Part { sum: Some(Sum::of(b"1")), begun: 2, host: Arc::from("cdn.test"), ..Part::default() };
        board.found(1, 16 * MIB, part);
        board.found(2, 3 * MIB, Part { begun: 1, ..Part::default() });
        let validators = BTreeMap::from([("https://hub.test/x".to_owned(), "\"abc\"".to_owned())]);
        Journal::of(&board, Some("00ff"), validators)
    }

    #[test]
    fn a_journal_read_back_tells_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("张 庭 綱　.gguf.part.json");
        example().save(&path).expect("saved");
        let back = Journal::load(&path).expect("there");
        assert_eq!(back, example());
        let board = back.board();
        assert_eq!(board.counts(), (1, 19 * MIB));
        assert_eq!(Journal::of(&board, Some("00ff"), back.validators.clone()), example());
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_journal_that_cannot_be_true_claims_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let json = serde_json::to_string(&example()).expect("JSON");
        for (from, to) in [
            ("\"version\":1", "\"version\":2"),
            ("\"bytes\":41943040", "\"bytes\":0"),
            ("\"bytes\":41943040", "\"bytes\":-1"),
            ("\"bytes\":41943040", "\"bytes\":18446744073709551615"),
            ("\"part_bytes\":16777216", "\"part_bytes\":0"),
            ("\"part_bytes\":16777216", "\"part_bytes\":1"),
            ("{", "["),
        ] {
            assert!(json.contains(from), "{from}");
            fs::write(&path, json.replacen(from, to, 1)).expect("written");
            assert!(Journal::load(&path).is_none(), "{to}");
        }
        fs::write(&path, [0xff; 64]).expect("written");
        assert!(Journal::load(&path).is_none());
        let sparse = fs::File::create(&path).and_then(|file| file.set_len(1 << 40));
        assert!(sparse.is_err() || Journal::load(&path).is_none());
    }

    #[test]
    fn an_entry_that_cannot_be_true_is_left_out() {
        let json = serde_json::to_string(&example()).expect("JSON");
        for (from, to, written) in [
            ("\"part\":1", "\"part\":3", 3),
            ("\"part\":1", "\"part\":18446744073709551615", 3),
            ("\"part\":1", "\"part\":2", 8),
            ("\"part\":2", "\"part\":1", 16),
            ("\"bytes\":3145728", "\"bytes\":8388608", 16),
            ("\"bytes\":3145728", "\"bytes\":18446744073709551615", 16),
            ("\"sum\":\"", "\"sum\":\"zz", 3),
        ] {
            assert!(json.contains(from), "{from}");
            let journal: Journal = serde_json::from_str(&json.replacen(from, to, 1)).expect("JSON");
            assert_eq!(journal.board().written(), written * MIB, "{to}");
        }
    }
}
