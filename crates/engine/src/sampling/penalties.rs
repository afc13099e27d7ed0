//! The tokens so far, and what their return costs.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::Sampling;
use crate::tokenizer::Tokenizer;

/// DRY looks back this far: far enough for every loop that a reader would notice, and bounded for a context of a million tokens.
const DRY_WINDOW: usize = 8192;

/// A repetition this long is certain to be cut already; longer powers would overflow.
const DRY_MATCH_MAX: usize = 50;

/// Texts at which DRY starts anew: lines, names before a colon, quotes, emphasis; with their Chinese forms.
const BREAKERS: [char; 9] = ['\n', ':', '"', '*', '：', '“', '”', '「', '」'];

/// The tokens that DRY does not repeat across: those with a breaker in them, and control tokens.
pub fn dry_breakers(tokenizer: &Tokenizer) -> Vec<u32> {
    let breaks = |id: &u32| {
        let text = std::str::from_utf8(tokenizer.bytes(*id)).unwrap_or_default();
        tokenizer.is_special(*id) || text.contains(BREAKERS)
    };
    (0..tokenizer.vocabulary_size() as u32).filter(breaks).collect()
}

#[derive(Clone)]
pub(super) struct History {
    tokens: VecDeque<u32>,
    /// How often each of the last `window` tokens is among them.
    counts: HashMap<u32, u32>,
    window: usize,
    breakers: Arc<HashSet<u32>>,
    /// Buffer: the longest repetition that each token would go on with.
    matches: HashMap<u32, usize>,
}

impl History {
    pub fn new(window: usize, breakers: &[u32]) -> History {
        let breakers = Arc::new(breakers.iter().copied().collect());
        History { tokens: VecDeque::new(), counts: HashMap::new(), window, breakers, matches: HashMap::new() }
    }

    pub fn push(&mut self, id: u32) {
        self.tokens.push_back(id);
        if self.window == 0 {
            return self.trim();
        }
        *self.counts.entry(id).or_default() += 1;
        if self.tokens.len() > self.window {
            let left = self.tokens[self.tokens.len() - 1 - self.window];
            if let Some(count) = self.counts.get_mut(&left) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&left);
                }
            }
        }
        self.trim();
    }

    /// Forgets what neither the window nor DRY will look at again.
    fn trim(&mut self) {
        while self.tokens.len() > DRY_WINDOW.max(self.window.saturating_add(1)) {
            self.tokens.pop_front();
        }
    }

    pub fn penalize(&mut self, sampling: &Sampling, logits: &mut [f32]) {
        for (&id, &count) in &self.counts {
            let Some(logit) = logits.get_mut(id as usize) else { continue };
            *logit = repeated(*logit, sampling.repetition_penalty);
            *logit -= count as f32 * sampling.frequency_penalty + sampling.presence_penalty;
        }
        if sampling.dry_multiplier > 0.0 {
            self.find_matches();
            let allowed = sampling.dry_allowed_length as usize;
            for (&id, &length) in &self.matches {
                if let Some(logit) = logits.get_mut(id as usize)
                    && length >= allowed
                {
                    let power = f64::from(sampling.dry_base).powi((length - allowed) as i32);
                    *logit -= (f64::from(sampling.dry_multiplier) * power).min(f64::from(f32::MAX / 2.0)) as f32;
                }
            }
        }
    }

    /// For every earlier place where the last tokens stand too: which token came next there, and how long the repetition is.
    ///
    /// Source: DRY's author (text-generation-webui, pull request 5677).
    fn find_matches(&mut self) {
        self.matches.clear();
        let start = self.tokens.len().saturating_sub(DRY_WINDOW);
        let tokens = self.tokens.make_contiguous();
        let tokens = &tokens[start..];
        let Some((&last, before)) = tokens.split_last() else { return };
        if self.breakers.contains(&last) {
            return;
        }
        for (at, _) in before.iter().enumerate().filter(|&(_, &token)| token == last) {
            let next = tokens[at + 1];
            if self.breakers.contains(&next) {
                continue;
            }
            let ending = tokens.iter().rev().zip(tokens[..=at].iter().rev()).skip(1).take(DRY_MATCH_MAX - 1);
            let more = ending.take_while(|(a, b)| a == b && !self.breakers.contains(a)).count();
            let longest = self.matches.entry(next).or_default();
            *longest = (*longest).max(1 + more);
        }
    }
}

/// Source: Keskar et al., CTRL (arXiv 1909.05858), with the sign taken into account as in all later use.
fn repeated(logit: f32, penalty: f32) -> f32 {
    if logit > 0.0 { logit / penalty } else { logit * penalty }
}
