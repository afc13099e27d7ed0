//! Which bytes are here, which are on their way and who fetches them: the plan of one file, without any input or output.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use huacaya_progress::Progress;

use super::hash::Sum;

/// One request for so much costs a round trip in 16 MiB, and no more than that is fetched again when it proves wrong.
const PART_BYTES: u64 = 16 << 20;
/// Keeps the journal below half a megabyte however large the file is: past 64 GiB parts grow instead of their number.
const PARTS_MAX: u64 = 4096;
/// Connections that one file is fetched over at most. More is rude to the host, and its own limits follow soon.
pub(super) const LANES_MAX: usize = 4;
/// Parts asked for in one request at most: 256 MiB, some seconds of a very fast link.
const RUN_MAX: usize = 16;

/// How a file is cut into parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub bytes: u64,
    pub part_bytes: u64,
}

impl Layout {
    pub fn new(bytes: u64) -> Layout {
        const MEBIBYTE: u64 = 1 << 20;
        let part_bytes = bytes.div_ceil(PARTS_MAX).next_multiple_of(MEBIBYTE).max(PART_BYTES);
        Layout { bytes, part_bytes }
    }

    pub fn parts(&self) -> usize {
        self.bytes.div_ceil(self.part_bytes) as usize
    }

    /// The bytes of a part, counted from the start of the file.
    pub fn range(&self, part: usize) -> Range<u64> {
        let start = part as u64 * self.part_bytes;
        start..start.saturating_add(self.part_bytes).min(self.bytes)
    }

    pub fn part_at(&self, offset: u64) -> usize {
        (offset / self.part_bytes) as usize
    }
}

/// What is known of one part.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub(super) taken: bool,
    /// Handed to the writer, from the part's start.
    pub(super) queued: u64,
    /// On its way through the disk, from the part's start.
    pub(super) written: u64,
    /// Of the whole part; there once all of it is written.
    pub sum: Option<Sum>,
    /// How often its transfer was begun anew: more than once makes it a suspect.
    pub begun: u32,
    /// Who served its last byte.
    pub host: Arc<str>,
    /// Fetched again already because the whole did not match.
    pub checked: bool,
}

/// The parts of a file and who fetches them.
pub(super) struct Board {
    pub layout: Layout,
    parts: Vec<Part>,
    /// For each lane the parts it still fetches, its current one first.
    runs: BTreeMap<u32, Range<usize>>,
    written: u64,
    done: usize,
}

/// What a lane shall ask for: from here to there in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Errand {
    pub part: usize,
    pub range: Range<u64>,
}

impl Board {
    pub fn new(layout: Layout) -> Board {
        Board { layout, parts: vec![Part::default(); layout.parts()], runs: BTreeMap::new(), written: 0, done: 0 }
    }

    /// Takes up what an earlier transfer left: a finished part, or the first bytes of one.
    pub fn found(&mut self, part: usize, written: u64, state: Part) {
        let length = self.length(part);
        let entry = &mut self.parts[part];
        if entry.written > 0 || written == 0 || written > length || (state.sum.is_some() != (written == length)) {
            return;
        }
        self.written += written;
        self.done += usize::from(state.sum.is_some());
        *entry = Part { taken: false, queued: written, written, ..state };
    }

    /// What the first lane of all will ask for.
    pub fn next_errand(&self) -> Range<u64> {
        let run = self.free_run().unwrap_or(0..1);
        let start = self.layout.range(run.start).start + self.parts[run.start].queued;
        start..self.layout.range(run.end - 1).end
    }

    /// A run of parts for `lane`: the first free ones, or half of what another lane has not come to.
    pub fn claim(&mut self, lane: u32) -> Option<Errand> {
        let run = self.free_run().or_else(|| self.others_half())?;
        for part in &mut self.parts[run.clone()] {
            part.taken = true;
        }
        self.runs.insert(lane, run.clone());
        self.errand(run)
    }

    /// All that is missing up to what another lane fetches, for a host that sends the file only from its start. There may be
    /// finished parts among it.
    pub fn claim_rest(&mut self, lane: u32) -> Option<Errand> {
        let missing = |index: usize| self.parts[index].queued < self.length(index);
        let first = (0..self.parts.len()).find(|index| missing(*index) && !self.parts[*index].taken)?;
        let busy = |index: &usize| missing(*index) && self.parts[*index].taken;
        let run = first..(first..self.parts.len()).find(busy).unwrap_or(self.parts.len());
        for part in &mut self.parts[run.clone()] {
            part.taken = true;
        }
        self.runs.insert(lane, run.clone());
        self.errand(run)
    }

    fn errand(&mut self, run: Range<usize>) -> Option<Errand> {
        let part = run.start;
        self.parts[part].begun += 1;
        let start = self.layout.range(part).start + self.parts[part].queued;
        Some(Errand { part, range: start..self.layout.range(run.end - 1).end })
    }

    fn free_run(&self) -> Option<Range<usize>> {
        let free = |index: usize| !self.parts[index].taken && self.parts[index].queued < self.length(index);
        let first = (0..self.parts.len()).find(|index| free(*index))?;
        let count = (first..self.parts.len()).filter(|index| free(*index)).count();
        let longest = (count / (2 * LANES_MAX)).clamp(1, RUN_MAX);
        // Only the first part of a run may have a beginning already: one request has no gaps.
        let fresh = |index: &usize| free(*index) && self.parts[*index].queued == 0;
        let more = (first + 1..self.parts.len()).take(longest - 1).take_while(fresh).count();
        Some(first..first + 1 + more)
    }

    fn others_half(&mut self) -> Option<Range<usize>> {
        let run = self.runs.values_mut().max_by_key(|run| run.len())?;
        let ahead = run.len().saturating_sub(1);
        if ahead == 0 {
            return None;
        }
        let middle = run.end - ahead.div_ceil(2);
        let half = middle..run.end;
        if self.parts[half.clone()].iter().any(|part| part.queued > 0) {
            return None;
        }
        run.end = middle;
        Some(half)
    }

    /// `lane` has all of its current part: the next one that is still its own, and from where on it is missing.
    pub fn advance(&mut self, lane: u32) -> Option<(usize, u64)> {
        let run = self.runs.remove(&lane)?;
        let part = (run.start + 1..run.end).find(|index| self.parts[*index].queued < self.length(*index))?;
        self.runs.insert(lane, part..run.end);
        self.parts[part].begun += 1;
        Some((part, self.layout.range(part).start + self.parts[part].queued))
    }

    /// `lane` stops here: what it did not finish is free again.
    pub fn release(&mut self, lane: u32) {
        for index in self.runs.remove(&lane).unwrap_or_default() {
            self.parts[index].taken = false;
        }
    }

    /// Bytes of `part` were handed to the writer.
    pub fn queue(&mut self, part: usize, bytes: u64, host: &Arc<str>) {
        self.parts[part].queued += bytes;
        if self.parts[part].host != *host {
            self.parts[part].host = host.clone();
        }
    }

    /// Bytes of `part` were written; `sum` is there with its last one.
    pub fn wrote(&mut self, part: usize, bytes: u64, sum: Option<Sum>) {
        self.written += bytes;
        let part = &mut self.parts[part];
        part.written += bytes;
        part.sum = sum;
        self.done += usize::from(sum.is_some());
    }

    /// Another content for a finished part.
    pub fn mended(&mut self, part: usize, sum: Sum, host: &Arc<str>) {
        let part = &mut self.parts[part];
        (part.sum, part.host, part.checked) = (Some(sum), host.clone(), true);
    }

    /// Up to where the file is written without a gap, seen from `offset`.
    pub fn contiguous(&self, offset: u64) -> u64 {
        let mut end = offset;
        for index in self.layout.part_at(offset)..self.parts.len() {
            let range = self.layout.range(index);
            let written = range.start + self.parts[index].written;
            end = end.max(written);
            if written < range.end {
                break;
            }
        }
        end
    }

    pub fn written(&self) -> u64 {
        self.written
    }

    /// Bytes on the disk, of the whole file.
    pub fn progress(&self) -> Progress {
        Progress { done: self.written, total: self.layout.bytes }
    }

    /// Finished parts, and bytes on the disk.
    pub fn counts(&self) -> (usize, u64) {
        (self.done, self.written)
    }

    pub fn is_whole(&self) -> bool {
        self.done == self.parts.len()
    }

    /// Whether a lane without work would find some.
    pub fn has_work(&self) -> bool {
        let free = |(index, part): (usize, &Part)| !part.taken && part.queued < self.length(index);
        self.parts.iter().enumerate().any(free) || self.runs.values().any(|run| run.len() > 1)
    }

    /// Each part with the number of its bytes that are written.
    pub fn parts(&self) -> impl Iterator<Item = (&Part, u64)> {
        self.parts.iter().map(|part| (part, part.written))
    }

    pub fn part(&self, part: usize) -> &Part {
        &self.parts[part]
    }

    fn length(&self, part: usize) -> u64 {
        let range = self.layout.range(part);
        range.end - range.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn sum() -> Option<Sum> {
        Some(Sum::of(b"x"))
    }

    fn fetch(board: &mut Board, part: usize, bytes: u64) {
        let host = Arc::from("host");
        let range = board.layout.range(part);
        board.queue(part, bytes, &host);
        let whole = board.part(part).queued == range.end - range.start;
        board.wrote(part, bytes, whole.then(|| Sum::of(b"x")));
    }

    #[test]
    fn parts_cover_the_file_once_and_their_number_is_bounded() {
        for bytes in [1, 16 * MIB - 1, 16 * MIB, 16 * MIB + 1, 700 * MIB + 7, 1 << 40, 5 << 40] {
            let layout = Layout::new(bytes);
            let mut end = 0;
            for part in 0..layout.parts() {
                let range = layout.range(part);
                assert_eq!(range.start, end);
                assert!(range.end > range.start);
                assert_eq!((layout.part_at(range.start), layout.part_at(range.end - 1)), (part, part));
                end = range.end;
            }
            assert_eq!(end, bytes);
            assert!(layout.parts() <= 4096, "{bytes}");
        }
    }

    #[test]
    fn four_lanes_fetch_every_part_exactly_once() {
        let mut board = Board::new(Layout::new(1000 * MIB + 1));
        let mut fetched = vec![0; board.layout.parts()];
        let mut at: BTreeMap<u32, usize> = BTreeMap::new();
        for step in 0.. {
            // lane 0 is slower than the others by far
            let lane = if step % 50 == 0 { 0 } else { 1 + step % 3 };
            let part = match at.get(&lane) {
                Some(part) => *part,
                None => match board.claim(lane) {
                    Some(errand) => errand.part,
                    None if board.is_whole() => break,
                    None => continue,
                },
            };
            let range = board.layout.range(part);
            fetch(&mut board, part, range.end - range.start);
            fetched[part] += 1;
            match board.advance(lane) {
                Some((next, _)) => at.insert(lane, next),
                None => at.remove(&lane),
            };
        }
        assert!(fetched.iter().all(|times| *times == 1), "{fetched:?}");
        assert_eq!(board.written(), 1000 * MIB + 1);
    }

    #[test]
    fn what_a_lane_leaves_is_taken_up_where_it_stopped() {
        let mut board = Board::new(Layout::new(40 * MIB));
        assert_eq!(board.claim(1), Some(Errand { part: 0, range: 0..16 * MIB }));
        fetch(&mut board, 0, 5 * MIB);
        board.release(1);
        assert_eq!(board.claim(2), Some(Errand { part: 0, range: 5 * MIB..16 * MIB }));
        assert_eq!(board.part(0).begun, 2);
    }

    #[test]
    fn an_idle_lane_takes_half_of_what_another_has_not_come_to() {
        let mut board = Board::new(Layout::new(10 * 16 * MIB));
        assert_eq!(board.claim_rest(1).map(|errand| errand.range), Some(0..160 * MIB));
        assert_eq!(board.claim(2).map(|errand| errand.range), Some(80 * MIB..160 * MIB));
        fetch(&mut board, 0, 16 * MIB);
        assert_eq!(board.advance(1), Some((1, 16 * MIB)));
        for part in 1..5 {
            fetch(&mut board, part, 16 * MIB);
            assert_eq!(board.advance(1).map(|(part, _)| part), (part < 4).then_some(part + 1));
        }
    }

    #[test]
    fn a_file_read_from_its_start_passes_over_what_is_here_and_stops_at_what_others_fetch() {
        let mut board = Board::new(Layout::new(6 * 16 * MIB));
        board.found(0, 16 * MIB, Part { sum: sum(), ..Part::default() });
        board.found(1, MIB, Part::default());
        board.found(2, 16 * MIB, Part { sum: sum(), ..Part::default() });
        board.found(3, 2 * MIB, Part::default());
        assert_eq!(board.claim_rest(1).map(|errand| errand.range), Some(17 * MIB..96 * MIB));
        fetch(&mut board, 1, 15 * MIB);
        assert_eq!(board.advance(1), Some((3, 50 * MIB)));
        board.release(1);
        assert_eq!(board.claim(2).map(|errand| errand.part), Some(3));
        assert_eq!(board.claim_rest(1).map(|errand| errand.range), Some(64 * MIB..96 * MIB));
        assert_eq!(board.claim_rest(3), None);
    }

    #[test]
    fn the_written_start_of_the_file_ends_at_its_first_gap() {
        let mut board = Board::new(Layout::new(64 * MIB));
        fetch(&mut board, 1, 16 * MIB);
        assert_eq!(board.contiguous(0), 0);
        fetch(&mut board, 0, 3 * MIB);
        assert_eq!(board.contiguous(0), 3 * MIB);
        fetch(&mut board, 0, 13 * MIB);
        fetch(&mut board, 2, MIB);
        assert_eq!(board.contiguous(MIB), 33 * MIB);
    }

    #[test]
    fn what_cannot_be_of_this_file_is_not_taken_up() {
        let mut board = Board::new(Layout::new(20 * MIB));
        board.found(1, 5 * MIB, Part { sum: sum(), ..Part::default() });
        board.found(1, 4 * MIB, Part::default());
        board.found(0, 16 * MIB, Part { sum: sum(), ..Part::default() });
        board.found(0, 16 * MIB, Part { sum: sum(), ..Part::default() });
        assert_eq!(board.counts(), (1, 16 * MIB));
        board.found(1, MIB, Part::default());
        assert_eq!(board.claim(1), Some(Errand { part: 1, range: 17 * MIB..20 * MIB }));
    }
}
