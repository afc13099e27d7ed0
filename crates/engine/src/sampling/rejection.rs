//! Tokens that another model proposed, taken or replaced so that the drawn text has this model's distribution.
//!
//! Source: Chen et al., Accelerating Large Language Model Decoding with Speculative Sampling (arXiv 2302.01318), algorithm 2.

use super::draw::draw;
use super::{Error, Sampler};

/// The draws of one position: 0 is the token's own, 1 that of XTC.
const ACCEPT: u64 = 2;
const PROPOSE: u64 = 3;

/// What may be drawn and how probable it is, by ascending id; what is not listed cannot be drawn. Sums to 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Odds(Vec<(u32, f64)>);

impl Odds {
    pub fn new(mut weights: Vec<(u32, f64)>) -> Odds {
        weights.sort_unstable_by_key(|&(id, _)| id);
        let sum: f64 = weights.iter().map(|&(_, weight)| weight).sum();
        weights.iter_mut().for_each(|(_, weight)| *weight /= sum);
        Odds(weights)
    }

    pub fn of(&self, id: u32) -> f64 {
        self.0.binary_search_by_key(&id, |&(id, _)| id).map_or(0.0, |at| self.0[at].1)
    }

    /// The token at `place` (0 to 1) of the mass.
    pub fn choose(&self, place: f64) -> Option<u32> {
        pick(self.0.iter().copied(), 1.0, place)
    }

    /// `guessed`, which was drawn from `proposed`, with the probability that keeps these odds; else another token. `accept` and
    /// `again` are two independent draws.
    pub fn verify(&self, guessed: u32, proposed: &Odds, accept: f64, again: f64) -> Option<u32> {
        if accept * proposed.of(guessed) < self.of(guessed) {
            return Some(guessed);
        }
        let rest = || self.0.iter().map(|&(id, odds)| (id, (odds - proposed.of(id)).max(0.0)));
        let sum: f64 = rest().map(|(_, odds)| odds).sum();
        // Two that are the same but for rounding leave nothing.
        if sum > 0.0 { pick(rest(), sum, again) } else { self.choose(again) }
    }
}

fn pick(weights: impl Iterator<Item = (u32, f64)>, sum: f64, place: f64) -> Option<u32> {
    let mut left = place * sum;
    let mut last = None;
    for (id, weight) in weights.filter(|&(_, weight)| weight > 0.0) {
        left -= weight;
        last = Some(id);
        if left < 0.0 {
            break;
        }
    }
    last
}

impl Sampler {
    /// A sampler that knows the same tokens and may go on with others.
    pub(crate) fn fork(&self) -> Sampler {
        Sampler {
            sampling: self.sampling.clone(),
            history: self.history.clone(),
            candidates: Default::default(),
            course: self.course.clone(),
        }
    }

    /// A token for another model's sampler to verify, and the odds that it had here.
    pub(crate) fn propose(&mut self, logits: &mut [f32], position: u64) -> Result<(u32, Odds), Error> {
        let odds = self.odds(logits, position)?;
        let id = odds.choose(draw(self.sampling.seed, position, PROPOSE)).ok_or(Error::NoScores)?;
        Ok((id, odds))
    }

    /// As [`Sampler::sample`], from the same distribution, where `guessed` was drawn from the odds `proposed`: often it is
    /// `guessed`. Greedy, it is what `sample` says.
    pub(crate) fn verify(
        &mut self,
        logits: &mut [f32],
        position: u64,
        guessed: u32,
        proposed: &Odds,
    ) -> Result<u32, Error> {
        let seed = self.sampling.seed;
        let odds = self.odds(logits, position)?;
        let verified = odds.verify(guessed, proposed, draw(seed, position, ACCEPT), draw(seed, position, 0));
        verified.ok_or(Error::NoScores)
    }

    fn odds(&mut self, logits: &mut [f32], position: u64) -> Result<Odds, Error> {
        Ok(match self.settle(logits, position)? {
            Some(best) => Odds::new(vec![(best, 1.0)]),
            None => Odds::new(self.candidates.weights(self.sampling.temperature).collect()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::Sampling;

    /// The bound that a chi-square value of `freedom` degrees exceeds once in some ten million times.
    /// Source: Wilson and Hilferty 1931, at 5.2 standard deviations.
    fn bound(freedom: f64) -> f64 {
        let ninth = 2.0 / (9.0 * freedom);
        freedom * (1.0 - ninth + 5.2 * ninth.sqrt()).powi(3)
    }

    fn chi_square(counts: &[u64], expected: &[f64]) -> f64 {
        let total: u64 = counts.iter().sum();
        let parts = counts.iter().zip(expected).filter(|(_, odds)| **odds > 0.0);
        parts.map(|(&count, odds)| (count as f64 - odds * total as f64).powi(2) / (odds * total as f64)).sum()
    }

    fn softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
        let weights: Vec<f64> = logits.iter().map(|&logit| (f64::from(logit) / temperature).exp()).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / sum).collect()
    }

    const MINE: [f32; 6] = [1.0, 0.2, -0.5, 0.0, 2.0, -1.0];
    const THEIRS: [f32; 6] = [-1.0, 1.5, 0.5, 0.0, 1.0, 0.9];
    const DRAWS: u64 = 100_000;

    fn count(sampling: &Sampling) -> ([u64; 6], u64) {
        let (mut counts, mut taken) = ([0; 6], 0);
        for seed in 0..DRAWS {
            let mut sampler = Sampler::new(&Sampling { seed, ..sampling.clone() }, 6, &[]).unwrap();
            let (guessed, odds) = sampler.fork().propose(&mut THEIRS.clone(), 7).unwrap();
            let id = sampler.verify(&mut MINE.clone(), 7, guessed, &odds).unwrap();
            counts[id as usize] += 1;
            taken += u64::from(id == guessed);
        }
        (counts, taken)
    }

    #[test]
    fn what_is_drawn_has_the_verifying_models_distribution() {
        for temperature in [0.5, 1.0, 3.0] {
            let (counts, taken) = count(&Sampling { temperature, ..Sampling::default() });
            let [mine, theirs] = [MINE, THEIRS].map(|logits| softmax(&logits, f64::from(temperature)));
            let found = chi_square(&counts, &mine);
            assert!(found < bound(5.0), "{found} at temperature {temperature}: {counts:?}");
            // The share that is taken is what the two have in common: the paper's theorem on acceptance.
            let common: f64 = mine.iter().zip(&theirs).map(|(a, b)| a.min(*b)).sum();
            let deviation = (common * (1.0 - common) / DRAWS as f64).sqrt();
            assert!((taken as f64 / DRAWS as f64 - common).abs() < 5.2 * deviation, "{taken} of {DRAWS}, not {common}");
        }
    }

    #[test]
    fn what_a_filter_rules_out_is_never_drawn_though_it_was_proposed() {
        let (counts, _) = count(&Sampling { top_k: 2, ..Sampling::default() });
        let odds = softmax(&[MINE[0], MINE[4]], 1.0);
        assert_eq!(counts[0] + counts[4], DRAWS);
        let found = chi_square(&[counts[0], counts[4]], &odds);
        assert!(found < bound(1.0), "{found}: {counts:?}");
    }

    #[test]
    fn greedy_is_the_verifying_models_best_whatever_was_proposed() {
        let sampling = Sampling { temperature: 0.0, ..Sampling::default() };
        let mut sampler = Sampler::new(&sampling, 6, &[]).unwrap();
        assert_eq!(sampler.propose(&mut THEIRS.clone(), 3).unwrap().0, 1);
        for guessed in 0..6 {
            let odds = Odds::new(vec![(guessed, 1.0)]);
            assert_eq!(sampler.verify(&mut MINE.clone(), 3, guessed, &odds).unwrap(), 4);
        }
    }
}
