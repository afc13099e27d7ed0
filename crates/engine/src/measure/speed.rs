//! How fast a model reads and writes on this machine, as it is now.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use huacaya_progress::{Progress, Watch};

use super::{Error, Result};
use crate::Model;
use crate::reader::Reader;
use crate::tokenizer::Kind;

/// Spreads the tokens of the prompt over the vocabulary; any odd number would do.
const STRIDE: usize = 7919;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpeedOptions {
    /// Tokens that stand before all rounds, and are not timed.
    pub depth: usize,
    /// Tokens that are read in a round.
    pub prompt_tokens: usize,
    /// Tokens that are written behind them, one after the other.
    pub new_tokens: usize,
    pub rounds: usize,
    /// No further round is begun after this.
    pub budget: Duration,
}

impl Default for SpeedOptions {
    fn default() -> SpeedOptions {
        SpeedOptions { depth: 0, prompt_tokens: 128, new_tokens: 32, rounds: 3, budget: Duration::from_secs(60) }
    }
}

/// The median of the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Tokens of a round.
    pub tokens: usize,
    pub tokens_per_second: f64,
    pub ms_per_token: f64,
}

/// Reading and writing.
#[derive(Clone, Debug, PartialEq)]
pub struct Speed {
    pub prefill: Rate,
    pub decode: Rate,
    /// How many were made.
    pub rounds: usize,
    /// Tokens a second of each round, in the order in which they were made.
    pub prefill_samples: Vec<f64>,
    pub decode_samples: Vec<f64>,
}

/// Times the model alone: neither tokenizer nor sampling, the logits included. A first short round that nobody times brings
/// the weights in. The watch counts tokens.
pub fn speed(model: &Model, options: &SpeedOptions, watch: Watch<'_>) -> Result<Speed> {
    let (read, written) = (options.prompt_tokens.max(1), options.new_tokens.max(1));
    let wanted = options.depth + read + written;
    if wanted > model.context() {
        return Err(Error::ContextTooShort { wanted, context: model.context() });
    }
    let before = prompt(model, options.depth);
    let prompt = prompt(model, read);
    let mut reader = Reader::new(model)?;
    let chunk = reader.rows_max();
    let rounds = options.rounds.max(1);
    let total = (options.depth + rounds * (read + written)) as u64;
    let mut clock = Clock { watch: Mutex::new(watch), done: 0, total };
    reader.append(&prompt[..read.min(chunk)], &|| clock.asks_to_stop())?;
    reader.rewind(0);
    for part in before.chunks(chunk) {
        reader.append(part, &|| clock.asks_to_stop())?;
        clock.done += part.len() as u64;
    }
    let begun = Instant::now();
    let (mut prefill, mut decode) = (Vec::new(), Vec::new());
    while prefill.len() < rounds && (prefill.is_empty() || begun.elapsed() < options.budget) {
        reader.rewind(options.depth);
        let start = Instant::now();
        let mut logits = Vec::new();
        for part in prompt.chunks(chunk) {
            logits = reader.append(part, &|| clock.asks_to_stop())?;
            clock.done += part.len() as u64;
        }
        prefill.push(start.elapsed());
        let start = Instant::now();
        for _ in 0..written {
            let next = likeliest(&logits);
            logits = reader.append(&[next], &|| clock.asks_to_stop())?;
            clock.done += 1;
        }
        decode.push(start.elapsed());
    }
    Ok(Speed {
        rounds: prefill.len(),
        prefill_samples: samples(read, &prefill),
        decode_samples: samples(written, &decode),
        prefill: rate(read, prefill),
        decode: rate(written, decode),
    })
}

struct Clock<'a> {
    watch: Mutex<Watch<'a>>,
    done: u64,
    total: u64,
}

impl Clock<'_> {
    fn asks_to_stop(&self) -> bool {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        watch(Progress { done: self.done, total: self.total }) == ControlFlow::Break(())
    }
}

/// Ordinary pieces from all over the vocabulary.
pub(super) fn prompt(model: &Model, count: usize) -> Vec<u32> {
    let vocabulary = model.tokenizer().vocabulary_size();
    let spread = (0..vocabulary).map(|i| (i * STRIDE % vocabulary) as u32);
    let mut ordinary: Vec<u32> = spread.filter(|&id| model.tokenizer().kind(id) == Kind::Normal).take(count).collect();
    if ordinary.is_empty() {
        ordinary.push(0);
    }
    ordinary.iter().copied().cycle().take(count).collect()
}

pub(super) fn likeliest(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(id, _)| id as u32)
}

fn samples(tokens: usize, rounds: &[Duration]) -> Vec<f64> {
    rounds.iter().map(|round| tokens as f64 / round.as_secs_f64().max(1e-9)).collect()
}

fn rate(tokens: usize, mut rounds: Vec<Duration>) -> Rate {
    rounds.sort();
    let (low, high) = (rounds[(rounds.len() - 1) / 2], rounds[rounds.len() / 2]);
    let seconds = ((low + high) / 2).as_secs_f64().max(1e-9);
    Rate { tokens, tokens_per_second: tokens as f64 / seconds, ms_per_token: 1000.0 * seconds / tokens as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_round_counts_and_of_two_their_mean() {
        let ms = |all: &[u64]| all.iter().map(|&ms| Duration::from_millis(ms)).collect();
        let three = rate(10, ms(&[900, 100, 200]));
        assert!((three.tokens_per_second - 50.0).abs() < 1e-9 && (three.ms_per_token - 20.0).abs() < 1e-9);
        assert!((rate(10, ms(&[100, 300])).tokens_per_second - 50.0).abs() < 1e-9);
    }
}
