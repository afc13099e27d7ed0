//! From logits to the next token.
//!
//! The order: what a grammar rules out; logit bias; repetition, frequency and presence penalty; DRY; then, at temperature 0, the best token; else top-k,
//! top-p, min-p and XTC, each on what the one before has left; temperature; the draw. Guidance comes before all of it. This is
//! the order of llama.cpp's default chain.

mod draw;
mod filters;
mod guidance;
mod penalties;
mod rejection;
#[cfg(test)]
mod tests;

pub use guidance::guide;
pub use penalties::dry_breakers;
pub(crate) use rejection::Odds;

use draw::draw;
use filters::Candidates;
use penalties::History;

use crate::grammar::Course;

/// How tokens are drawn. The default changes nothing and draws at temperature 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f32,
    /// 0 keeps all.
    pub top_k: u32,
    /// 1 keeps all.
    pub top_p: f32,
    /// 0 keeps all.
    pub min_p: f32,
    /// 1 changes nothing.
    pub repetition_penalty: f32,
    /// How many of the last tokens the three penalties look at, the prompt's included; 0 switches them off.
    pub penalty_window: u32,
    pub frequency_penalty: f32,
    pub presence_penalty: f32,
    /// 0 switches DRY off.
    pub dry_multiplier: f32,
    pub dry_base: f32,
    pub dry_allowed_length: u32,
    /// 0 switches XTC off.
    pub xtc_probability: f32,
    pub xtc_threshold: f32,
    /// Token id and what is added to its logit.
    pub logit_bias: Vec<(u32, f32)>,
    pub seed: u64,
    /// Classifier-free guidance; active above 1. The sampler only checks it: see [`guide`].
    pub guidance: f32,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            penalty_window: 64,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            dry_multiplier: 0.0,
            dry_base: 1.75,
            dry_allowed_length: 2,
            xtc_probability: 0.0,
            xtc_threshold: 0.1,
            logit_bias: Vec::new(),
            seed: 0,
            guidance: 1.0,
        }
    }
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("{name} is {value}; it must be {allowed}")]
    OutOfRange { name: &'static str, value: String, allowed: &'static str },
    #[error("the model gave no usable scores for the next token (all are NaN or minus infinity)")]
    NoScores,
    #[error("the answer cannot keep to its format: {0}")]
    Format(String),
}

/// More biases than a person or a program would name.
const LOGIT_BIAS_MAX: usize = 1 << 16;

impl Sampling {
    /// Whether every value is a number within its range, and every biased token in the vocabulary. NaN is in no range.
    pub fn check(&self, vocabulary_size: usize) -> Result<(), Error> {
        let ranges = [
            ("temperature", self.temperature, 0.0, 100.0, "0 to 100"),
            ("top_p", self.top_p, 0.0, 1.0, "0 to 1"),
            ("min_p", self.min_p, 0.0, 1.0, "0 to 1"),
            ("repetition_penalty", self.repetition_penalty, 0.01, 100.0, "0.01 to 100"),
            ("frequency_penalty", self.frequency_penalty, -100.0, 100.0, "-100 to 100"),
            ("presence_penalty", self.presence_penalty, -100.0, 100.0, "-100 to 100"),
            ("dry_multiplier", self.dry_multiplier, 0.0, 100.0, "0 to 100"),
            ("dry_base", self.dry_base, 1.0, 10.0, "1 to 10"),
            ("xtc_probability", self.xtc_probability, 0.0, 1.0, "0 to 1"),
            ("xtc_threshold", self.xtc_threshold, 0.0, 1.0, "0 to 1"),
            ("guidance", self.guidance, 0.0, 100.0, "0 to 100"),
        ];
        for (name, value, low, high, allowed) in ranges {
            if !(low..=high).contains(&value) {
                return Err(Error::OutOfRange { name, value: value.to_string(), allowed });
            }
        }
        let out_of_range = |value: String, allowed| Error::OutOfRange { name: "logit_bias", value, allowed };
        if self.logit_bias.len() > LOGIT_BIAS_MAX {
            return Err(out_of_range(format!("{} entries long", self.logit_bias.len()), "at most 65536 entries long"));
        }
        for &(id, bias) in &self.logit_bias {
            if id as usize >= vocabulary_size {
                return Err(out_of_range(format!("for token {id}"), "for a token of the vocabulary"));
            }
            if !(-1000.0..=1000.0).contains(&bias) {
                return Err(out_of_range(format!("{bias} for token {id}"), "-1000 to 1000"));
            }
        }
        Ok(())
    }
}

/// Draws the tokens of one reply; knows the tokens so far. Keeps its buffers from token to token.
pub struct Sampler {
    sampling: Sampling,
    history: History,
    candidates: Candidates,
    course: Option<Course>,
}

impl Sampler {
    /// Checks every value. `breakers` are the tokens at which DRY starts anew: [`dry_breakers`].
    pub fn new(sampling: &Sampling, vocabulary_size: usize, breakers: &[u32]) -> Result<Sampler, Error> {
        sampling.check(vocabulary_size)?;
        let dry = sampling.dry_multiplier > 0.0;
        let history = History::new(sampling.penalty_window as usize, if dry { breakers } else { &[] });
        Ok(Sampler { sampling: sampling.clone(), history, candidates: Candidates::default(), course: None })
    }

    /// Draws only what keeps to a grammar from now on.
    pub(crate) fn keep_to(&mut self, course: Course) {
        self.course = Some(course);
    }

    /// Whether the grammar lets nothing more come.
    pub(crate) fn is_complete(&self) -> bool {
        self.course.as_ref().is_some_and(Course::is_complete)
    }

    /// The grammar holds from here on: a thought, where there was one, is over.
    pub(crate) fn end_thought(&mut self) {
        self.course.iter_mut().for_each(|course| course.free = false);
    }

    /// Notes a token of the prompt or the reply, in order: penalties look back at them.
    pub fn accept(&mut self, id: u32) {
        self.history.push(id);
        self.course.iter_mut().for_each(|course| course.take(id));
    }

    /// The token at `position`, counted from the start of the context: a function of the logits, the tokens so far, the seed and
    /// the position. `logits` is changed. The token is not accepted yet.
    pub fn sample(&mut self, logits: &mut [f32], position: u64) -> Result<u32, Error> {
        if let Some(best) = self.settle(logits, position)? {
            return Ok(best);
        }
        Ok(self.candidates.choose(self.sampling.temperature, draw(self.sampling.seed, position, 0)))
    }

    /// Everything up to the draw: the candidates, of which there is one at least; or, at temperature 0, the token.
    fn settle(&mut self, logits: &mut [f32], position: u64) -> Result<Option<u32>, Error> {
        let sampling = &self.sampling;
        for logit in logits.iter_mut() {
            // Minus infinity says "never"; NaN says that something broke, so never too.
            *logit = if logit.is_nan() { f32::NEG_INFINITY } else { logit.min(f32::MAX) };
        }
        if let Some(course) = &mut self.course {
            course.mask(logits).map_err(Error::Format)?;
        }
        for &(id, bias) in &sampling.logit_bias {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit += bias;
            }
        }
        self.history.penalize(sampling, logits);
        if sampling.temperature == 0.0 {
            return best(logits).ok_or(Error::NoScores).map(Some);
        }
        let candidates = &mut self.candidates;
        candidates.fill(logits, sampling.top_k as usize);
        if candidates.is_empty() {
            return Err(Error::NoScores);
        }
        candidates.top_p(sampling.top_p);
        candidates.min_p(sampling.min_p);
        if sampling.xtc_probability > 0.0 && draw(sampling.seed, position, 1) < f64::from(sampling.xtc_probability) {
            candidates.xtc(sampling.xtc_threshold);
        }
        Ok(None)
    }
}

/// The best token; the first of equals.
fn best(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (id, &logit) in logits.iter().enumerate() {
        if logit > best.map_or(f32::NEG_INFINITY, |(_, best)| best) {
            best = Some((id as u32, logit));
        }
    }
    best.map(|(id, _)| id)
}

/// Natural log-probabilities at temperature 1: `chosen` first, where given, then the `count` likeliest, likeliest first. Call it
/// before [`Sampler::sample`], which changes the logits.
pub fn log_probabilities(logits: &[f32], chosen: Option<u32>, count: usize) -> Vec<(u32, f32)> {
    let mut candidates = Candidates::default();
    candidates.fill(logits, 0);
    let total = candidates.log_sum();
    let chosen = chosen.and_then(|id| Some((id, logits.get(id as usize)? - total)));
    let mut out: Vec<(u32, f32)> = chosen.into_iter().collect();
    if count > 0 {
        candidates.fill(logits, count);
        out.extend(candidates.iter().map(|(logit, id)| (id, logit - total)));
    }
    out
}
