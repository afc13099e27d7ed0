//! Which way of computing a model is the fastest on this machine: a few seconds of trials in pairs, side by side.
//!
//! One thing is changed at a time. A challenger must win every round against what is best so far, by more than chance
//! would give; and what wins in the end must win once more against the default. So nothing slower than the default is ever
//! chosen by what was measured.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use huacaya_kernels::InstructionSet;
use huacaya_progress::{Progress, Watch};

use super::Result;
use super::speed::{likeliest, prompt};
use crate::backend::Backend;
use crate::reader::Reader;
use crate::{KvFormat, Model, Way};

/// What a turn of a talk reads and writes, in tokens: how the two speeds are weighed.
const TURN_READS: f64 = 512.0;
const TURN_WRITES: f64 = 256.0;
/// Rounds of a pair.
const ROUNDS: usize = 3;
/// A challenger's time, as a share of the other's, that is more than chance.
const BETTER: f64 = 0.95;
/// A trial may take this part of the budget: some six pairs of three rounds fill it.
const TRIALS: f64 = 36.0;
/// Tokens of a trial: fewer tell nothing, more nothing new.
const READS: (usize, usize) = (16, 512);
const WRITES: (usize, usize) = (2, 32);
/// Tokens that a card and the processor read and write in a round.
const RACE_READS: usize = 64;
const RACE_WRITES: usize = 8;
/// Twice the cores and more than this half of them are tried for machines where memory is what everybody waits for.
const MANY_THREADS: usize = 8;

/// What may be changed; the person may have set the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freedom {
    pub kernels: bool,
    pub threads: bool,
    pub kv: bool,
}

/// How fast a way was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    pub way: Way,
    pub pace: Pace,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// The way that the model came with.
    pub default: Trial,
    /// The same, where nothing was faster.
    pub chosen: Trial,
    /// Ways that were tried beside the default.
    pub tried: usize,
}

/// Tries other ways than the model's own, until nothing is left to try or `budget` is over. `None` where the reference
/// decoder computes. The watch counts milliseconds.
pub fn tune(model: &Model, freedom: Freedom, budget: Duration, watch: Watch<'_>) -> Result<Option<Tuning>> {
    let Some(own) = model.way() else { return Ok(None) };
    let clock = Clock { watch: Mutex::new(watch), begun: Instant::now(), budget };
    let Some(size) = Size::of(model, &own, &clock)? else { return Ok(None) };
    let Some(mut best) = Contender::new(model, own, size)? else { return Ok(None) };
    let (mut default, mut tried) = (None, 0);
    for change in changes(&own, freedom, size) {
        if clock.is_over() {
            break;
        }
        let Some(way) = change(best.way) else { continue };
        let Some(mut challenger) = Contender::new(model, way, size)? else { continue };
        tried += 1;
        let won = meet(&mut best.at, &mut challenger.at, &clock)?;
        if default.is_none() {
            default = Some(best.trial());
        }
        if won {
            tracing::debug!(?challenger.way, "a faster way to compute");
            best = challenger;
        }
    }
    if best.way != own {
        let Some(mut first) = Contender::new(model, own, size)? else { return Ok(None) };
        let won = meet(&mut first.at, &mut best.at, &clock)?;
        let default = first.trial();
        return Ok(Some(Tuning { default, chosen: if won { best.trial() } else { default }, tried }));
    }
    if best.at.rounds.is_empty() {
        best.at.round(&clock)?;
    }
    let default = default.unwrap_or_else(|| best.trial());
    Ok(Some(Tuning { default, chosen: default, tried }))
}

/// How fast a model was, at the medians of the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    pub prefill_tokens_per_second: f64,
    pub decode_tokens_per_second: f64,
}

/// A graphics card against the processor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Race {
    pub card: Pace,
    pub processor: Pace,
}

impl Race {
    /// Whether a turn of a talk takes the card less time, by more than chance.
    pub fn card_wins(&self) -> bool {
        self.card.turn() < BETTER * self.processor.turn()
    }
}

impl Pace {
    /// Seconds of a turn.
    fn turn(self) -> f64 {
        TURN_READS / self.prefill_tokens_per_second + TURN_WRITES / self.decode_tokens_per_second
    }
}

/// The card that the model is on against the processor, in rounds by turns, until `budget` is over but once at least.
/// `None` where no card computes. The watch counts milliseconds.
pub fn race(model: &Model, budget: Duration, watch: Watch<'_>) -> Result<Option<Race>> {
    let Some(spare) = model.spare_backend()? else { return Ok(None) };
    let clock = Clock { watch: Mutex::new(watch), begun: Instant::now(), budget };
    let size = Size { reads: RACE_READS.min(model.context() / 2), writes: RACE_WRITES };
    let mut card = Contestant::over(model, model.backend(), size)?;
    let mut processor = Contestant::over(model, spare, size)?;
    for contestant in [&mut card, &mut processor] {
        // The first steps compile programs and bring the weights in.
        contestant.round(&clock)?;
        contestant.rounds.clear();
    }
    while card.rounds.is_empty() || (card.rounds.len() < ROUNDS && !clock.is_over()) {
        card.round(&clock)?;
        processor.round(&clock)?;
    }
    Ok(Some(Race { card: card.pace(), processor: processor.pace() }))
}

/// A change to the way that is the best so far; `None` where it would change nothing.
type Change = Box<dyn Fn(Way) -> Option<Way>>;

/// In the order of what they promise.
fn changes(own: &Way, freedom: Freedom, size: Size) -> Vec<Change> {
    let mut all: Vec<Change> = Vec::new();
    let changed = |way: Way, new: Way| (new != way).then_some(new);
    if freedom.threads {
        let logical = std::thread::available_parallelism().map_or(own.threads, usize::from);
        let mut counts = vec![own.threads.saturating_sub(1).max(1), logical];
        if own.threads >= MANY_THREADS {
            counts.push(own.threads / 2);
        }
        for threads in counts {
            all.push(Box::new(move |way| changed(way, Way { threads, ..way })));
        }
    }
    if freedom.kernels {
        let others = InstructionSet::ALL.into_iter().rev().filter(|set| *set != InstructionSet::Portable);
        for kernels in others.filter(|set| set.is_available()) {
            all.push(Box::new(move |way| changed(way, Way { kernels, ..way })));
        }
    }
    for chunk in [own.chunk * 2, own.chunk / 2] {
        // A prompt of one step tells nothing of larger steps.
        if chunk >= 2 && size.reads >= chunk {
            all.push(Box::new(move |way| changed(way, Way { chunk, ..way })));
        }
    }
    if freedom.kv {
        all.push(Box::new(move |way| changed(way, Way { kv: KvFormat::Q8_0, ..way })));
    }
    all
}

/// Tokens that a trial reads, then writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    reads: usize,
    writes: usize,
}

impl Size {
    /// By how fast the model is when it runs for the first time, which also brings the weights in.
    fn of(model: &Model, way: &Way, clock: &Clock<'_>) -> Result<Option<Size>> {
        let least = Size { reads: READS.0, writes: WRITES.0 };
        let Some(mut first) = Contender::new(model, *way, least)? else { return Ok(None) };
        first.at.round(clock)?;
        first.at.rounds.clear();
        first.at.round(clock)?;
        let pace = first.at.pace();
        let seconds = clock.budget.as_secs_f64() / TRIALS / 2.0;
        let tokens =
            |per_second: f64, (least, most): (usize, usize)| ((per_second * seconds) as usize).clamp(least, most);
        let writes = tokens(pace.decode_tokens_per_second, WRITES);
        let room = model.context().saturating_sub(writes).max(1);
        Ok(Some(Size { reads: tokens(pace.prefill_tokens_per_second, READS).min(room), writes }))
    }
}

/// A way of computing on trial.
struct Contestant {
    size: Size,
    reader: Reader,
    prompt: Vec<u32>,
    /// Seconds of reading and of writing.
    rounds: Vec<(f64, f64)>,
}

impl Contestant {
    fn over(model: &Model, backend: Box<dyn Backend>, size: Size) -> Result<Contestant> {
        let reader = Reader::over(backend, model.context())?;
        Ok(Contestant { size, reader, prompt: prompt(model, size.reads), rounds: Vec::new() })
    }

    /// Reads and writes once; the seconds that a turn would take at these speeds.
    fn round(&mut self, clock: &Clock<'_>) -> Result<f64> {
        let stop = || clock.asks_to_stop();
        self.reader.rewind(0);
        let start = Instant::now();
        let mut logits = Vec::new();
        for part in self.prompt.chunks(self.reader.rows_max()) {
            logits = self.reader.append(part, &stop)?;
        }
        let read = start.elapsed().as_secs_f64();
        let start = Instant::now();
        for _ in 0..self.size.writes {
            logits = self.reader.append(&[likeliest(&logits)], &stop)?;
        }
        let written = start.elapsed().as_secs_f64();
        self.rounds.push((read, written));
        Ok(read / self.size.reads as f64 * TURN_READS + written / self.size.writes as f64 * TURN_WRITES)
    }

    fn pace(&self) -> Pace {
        let median = |of: fn(&(f64, f64)) -> f64| {
            let mut seconds: Vec<f64> = self.rounds.iter().map(of).collect();
            seconds.sort_by(f64::total_cmp);
            seconds.get(seconds.len() / 2).copied().unwrap_or(f64::INFINITY).max(1e-9)
        };
        Pace {
            prefill_tokens_per_second: self.size.reads as f64 / median(|round| round.0),
            decode_tokens_per_second: self.size.writes as f64 / median(|round| round.1),
        }
    }
}

/// A way of the native decoder on trial.
struct Contender {
    way: Way,
    at: Contestant,
}

impl Contender {
    /// `None` where the model cannot be computed in this way.
    fn new(model: &Model, way: Way, size: Size) -> Result<Option<Contender>> {
        let Some(backend) = model.backend_in(&way)? else { return Ok(None) };
        Ok(Some(Contender { way, at: Contestant::over(model, backend, size)? }))
    }

    fn trial(&self) -> Trial {
        Trial { way: self.way, pace: self.at.pace() }
    }
}

/// Rounds in turns, who begins changing; whether the challenger won them.
fn meet(holder: &mut Contestant, challenger: &mut Contestant, clock: &Clock<'_>) -> Result<bool> {
    // The first steps of a way bring its threads up and its buffers in.
    challenger.round(clock)?;
    challenger.rounds.clear();
    let mut ratios = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let (before, after);
        if round % 2 == 0 {
            before = holder.round(clock)?;
            after = challenger.round(clock)?;
        } else {
            after = challenger.round(clock)?;
            before = holder.round(clock)?;
        }
        ratios.push(after / before);
        // What is lost once is lost.
        if after >= before {
            return Ok(false);
        }
    }
    Ok(wins(&mut ratios))
}

/// Whether times, as shares of the other's, are better each and clearly so in the middle.
fn wins(ratios: &mut [f64]) -> bool {
    ratios.sort_by(f64::total_cmp);
    ratios.last().is_some_and(|worst| *worst < 1.0) && ratios[ratios.len() / 2] <= BETTER
}

struct Clock<'a> {
    watch: Mutex<Watch<'a>>,
    begun: Instant,
    budget: Duration,
}

impl Clock<'_> {
    fn is_over(&self) -> bool {
        self.begun.elapsed() >= self.budget
    }

    fn asks_to_stop(&self) -> bool {
        let total = self.budget.as_millis() as u64;
        let done = (self.begun.elapsed().as_millis() as u64).min(total);
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        watch(Progress { done, total }) == ControlFlow::Break(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Way = Way { kernels: InstructionSet::Portable, threads: 8, chunk: 128, kv: KvFormat::F16 };

    fn tried(freedom: Freedom, reads: usize) -> Vec<Way> {
        changes(&OWN, freedom, Size { reads, writes: 2 }).iter().filter_map(|change| change(OWN)).collect()
    }

    #[test]
    fn a_win_is_better_each_time_and_clear_in_the_middle() {
        assert!(wins(&mut [0.99, 0.5, 0.9]));
        assert!(!wins(&mut [1.01, 0.5, 0.9]), "lost once");
        assert!(!wins(&mut [0.99, 0.96, 0.5]), "no more than chance");
    }

    #[test]
    fn a_card_wins_where_a_turn_takes_it_clearly_less_time() {
        let speed = |reads, writes| Pace { prefill_tokens_per_second: reads, decode_tokens_per_second: writes };
        let wins = |card| Race { card, processor: speed(512.0, 256.0) }.card_wins();
        assert!(wins(speed(1024.0, 256.0)) && wins(speed(5120.0, 200.0)));
        assert!(!wins(speed(515.0, 260.0)), "no more than chance");
        assert!(!wins(speed(5120.0, 100.0)));
    }

    #[test]
    fn what_the_person_set_is_left_alone() {
        let none = Freedom { kernels: false, threads: false, kv: false };
        let ways = tried(none, 512);
        assert_eq!(ways.iter().map(|way| way.chunk).collect::<Vec<_>>(), [256, 64]);
        assert!(ways.iter().all(|way| Way { chunk: OWN.chunk, ..*way } == OWN));
        assert!(tried(none, 16).is_empty(), "a short prompt tells nothing of chunks");
        assert!(tried(Freedom { threads: true, ..none }, 16).iter().any(|way| way.threads == 7));
        assert_eq!(tried(Freedom { kv: true, ..none }, 16), [Way { kv: KvFormat::Q8_0, ..OWN }]);
        assert!(tried(Freedom { kernels: true, ..none }, 16).iter().all(|way| way.kernels.is_available()));
    }
}
