//! Stop texts: the text ends before the first of them, and no part of one is ever given out.

/// More stop texts than a person or a program would name.
const STOPS_MAX: usize = 64;

/// Bytes of a stop text: a longer one would hold back a page of the answer.
pub const STOP_BYTES_MAX: usize = 1024;

/// Looks for stop texts in text that comes piece by piece. Text is held back only while it may be the beginning of one.
#[derive(Clone, Debug, Default)]
pub struct Stops {
    stops: Vec<String>,
    held: String,
    stopped: bool,
}

impl Stops {
    /// Empty texts do not count, nor those beyond what is sensible.
    pub fn new(stops: impl IntoIterator<Item = String>) -> Stops {
        let mut list: Vec<String> = Vec::new();
        for stop in stops {
            if !stop.is_empty() && stop.len() <= STOP_BYTES_MAX && list.len() < STOPS_MAX && !list.contains(&stop) {
                list.push(stop);
            }
        }
        Stops { stops: list, held: String::new(), stopped: false }
    }

    /// Takes text and writes what is certain not to be part of a stop text. True when a stop text is complete: what came before it
    /// has been written, nothing more will be. The stop text that is complete first counts; of several complete at once, the
    /// longest.
    pub fn push(&mut self, text: &str, out: &mut String) -> bool {
        if self.stopped {
            return true;
        }
        let before = self.held.len();
        self.held.push_str(text);
        if let Some(start) = self.complete(before) {
            out.push_str(&self.held[..start]);
            self.held.clear();
            self.stopped = true;
            return true;
        }
        let keep = self.beginning();
        out.push_str(&self.held[..keep]);
        self.held.drain(..keep);
        false
    }

    /// No more text comes: writes what was held back.
    pub fn finish(&mut self, out: &mut String) {
        out.push_str(&self.held);
        self.held.clear();
    }

    /// Where the stop text begins that is complete first, among those that end after byte `before`.
    fn complete(&self, before: usize) -> Option<usize> {
        let found = self.stops.iter().filter_map(|stop| {
            let mut from = (before + 1).saturating_sub(stop.len());
            while !self.held.is_char_boundary(from) {
                from -= 1;
            }
            let start = from + self.held[from..].find(stop.as_str())?;
            Some((start + stop.len(), start))
        });
        found.min().map(|(_, start)| start)
    }

    /// Where the longest ending begins that is the beginning of a stop text.
    fn beginning(&self) -> usize {
        let longest = self.stops.iter().map(|stop| stop.len() - 1).max().unwrap_or(0);
        let first = self.held.len().saturating_sub(longest);
        let mut starts = (first..self.held.len()).filter(|&start| self.held.is_char_boundary(start));
        let fits = |start: &usize| self.stops.iter().any(|stop| stop.starts_with(&self.held[*start..]));
        starts.find(fits).unwrap_or(self.held.len())
    }
}
