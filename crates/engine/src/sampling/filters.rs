//! The tokens that may still be drawn, and the filters that thin them out.

use std::cmp::Ordering;

/// Top-p begins by looking at this many; the most likely few hundred nearly always hold enough.
const FIRST_LOOK: usize = 256;

/// Logit and id of each token that may be drawn. `sorted` says that the likeliest comes first (of equals, the lower id).
#[derive(Default)]
pub(super) struct Candidates {
    list: Vec<(f32, u32)>,
    sorted: bool,
}

fn likelier_first(a: &(f32, u32), b: &(f32, u32)) -> Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

/// `exp`, but nothing below e^-50: a million such tokens would not move a sum of 1 by its last bit, and most tokens are such.
fn weight(logit: f32) -> f64 {
    if logit < -50.0 { 0.0 } else { f64::from(logit.exp()) }
}

impl Candidates {
    /// The `count` likeliest tokens, sorted; 0 takes all that are not ruled out, unsorted. One pass: what is below the worst of the
    /// best so far is never stored.
    pub fn fill(&mut self, logits: &[f32], count: usize) {
        self.list.clear();
        self.sorted = false;
        let room = if count == 0 || count >= logits.len() / 2 { usize::MAX } else { 2 * count };
        let mut least = f32::NEG_INFINITY;
        for (id, &logit) in logits.iter().enumerate() {
            // Of equals the first counts, so a later equal of the worst cannot enter; NaN and minus infinity never do.
            if logit > least {
                self.list.push((logit.min(f32::MAX), id as u32));
                if self.list.len() >= room {
                    self.list.select_nth_unstable_by(count - 1, likelier_first);
                    self.list.truncate(count);
                    least = self.list[count - 1].0;
                }
            }
        }
        if count > 0 {
            self.sort_front(count);
            self.list.truncate(count);
            self.sorted = true;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (f32, u32)> + '_ {
        self.list.iter().copied()
    }

    fn max(&self) -> f32 {
        if self.sorted {
            return self.list.first().map_or(f32::NEG_INFINITY, |first| first.0);
        }
        self.list.iter().fold(f32::NEG_INFINITY, |max, &(logit, _)| max.max(logit))
    }

    /// The logarithm of the sum of all `exp(logit)`.
    pub fn log_sum(&self) -> f32 {
        let max = self.max();
        max + self.sum(max).ln() as f32
    }

    fn sum(&self, max: f32) -> f64 {
        self.list.iter().map(|&(logit, _)| weight(logit - max)).sum()
    }

    /// Sorts the `count` likeliest to the front, leaves the others behind them.
    fn sort_front(&mut self, count: usize) {
        if count < self.list.len() {
            self.list.select_nth_unstable_by(count, likelier_first);
            self.list[..count].sort_unstable_by(likelier_first);
        } else {
            self.list.sort_unstable_by(likelier_first);
        }
    }

    /// Keeps the fewest likeliest tokens that hold `mass` of the probability between them; one at least; 1 keeps all.
    ///
    /// Source: Holtzman et al., The Curious Case of Neural Text Degeneration (arXiv 1904.09751).
    pub fn top_p(&mut self, mass: f32) {
        if mass >= 1.0 {
            return;
        }
        let max = self.max();
        let wanted = f64::from(mass) * self.sum(max);
        let mut look = FIRST_LOOK;
        loop {
            if !self.sorted {
                self.sort_front(look);
            }
            let known = if self.sorted { self.list.len() } else { look.min(self.list.len()) };
            let mut held = 0.0;
            let enough = self.list[..known].iter().position(|&(logit, _)| {
                held += weight(logit - max);
                held >= wanted
            });
            if enough.is_some() || known == self.list.len() {
                self.list.truncate(enough.map_or(known, |last| last + 1));
                self.sorted = true;
                return;
            }
            look *= 8;
        }
    }

    /// Keeps tokens at least `share` as likely as the likeliest; 0 keeps all.
    ///
    /// Source: Nguyen et al., Min-p Sampling (arXiv 2407.01082).
    pub fn min_p(&mut self, share: f32) {
        if share > 0.0 {
            let least = self.max() + share.ln();
            // At a share of 1, rounding must not lose the likeliest itself.
            let max = self.max();
            self.list.retain(|&(logit, _)| logit >= least || logit == max);
        }
    }

    /// Exclude top choices: of the tokens with a probability of `threshold` or more, only the least likely stays.
    ///
    /// Source: the proposal of XTC's author (text-generation-webui, pull request 6335).
    pub fn xtc(&mut self, threshold: f32) {
        if !self.sorted {
            self.list.sort_unstable_by(likelier_first);
            self.sorted = true;
        }
        let max = self.max();
        let sum = self.sum(max);
        let likely = |&(logit, _): &(f32, u32)| weight(logit - max) / sum >= f64::from(threshold);
        let count = self.list.iter().take_while(|candidate| likely(candidate)).count();
        self.list.drain(..count.saturating_sub(1));
    }

    /// Every candidate's weight at this temperature; 1 for the likeliest.
    pub fn weights(&self, temperature: f32) -> impl Iterator<Item = (u32, f64)> + '_ {
        let max = self.max();
        self.list.iter().map(move |&(logit, id)| (id, weight((logit - max) / temperature)))
    }

    /// The token at `place` (0 to 1) of the probability mass at this temperature. There must be one candidate at least.
    pub fn choose(&self, temperature: f32, place: f64) -> u32 {
        let max = self.max();
        let weight = |logit: f32| weight((logit - max) / temperature);
        let sum: f64 = self.list.iter().map(|&(logit, _)| weight(logit)).sum();
        let mut left = place * sum;
        for &(logit, id) in &self.list {
            left -= weight(logit);
            if left < 0.0 {
                return id;
            }
        }
        // Rounding can leave a crumb at the very end: the last that has any weight.
        let last = self.list.iter().rev().find(|&&(logit, _)| weight(logit) > 0.0);
        last.or(self.list.first()).map_or(0, |&(_, id)| id)
    }
}
