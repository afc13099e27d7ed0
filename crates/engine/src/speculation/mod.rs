//! Tokens guessed ahead, so that one step of the model verifies several: its weights are read once for all of them.
//!
//! Guesses come from the text's own n-grams, and then the answer is that of plain decoding, token for token; or from a smaller
//! model, and then a drawn answer is another draw of the same distribution (a greedy one the same). How far to guess is learnt
//! as it runs: from n-grams by the time of the steps, as it changes nothing but the speed; from a model by what was right
//! alone, so that the same seed gives the same text whatever else the machine does.

mod draft;
mod ngram;
mod pace;

use crate::sampling::Odds;

pub(crate) use draft::Draft;
pub use draft::check_draft;
pub(crate) use pace::{GUESSES_MAX, StepTimes};

use ngram::Ngrams;
use pace::{Record, best};

/// A token that may come next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Guess {
    pub id: u32,
    /// What it was drawn from. None: it is what the text says.
    pub odds: Option<Odds>,
}

/// Where an answer's guesses come from.
pub(crate) enum Speculation {
    Off,
    Ngrams(Box<Repeats>),
    Model(Box<Draft>),
}

impl Speculation {
    /// Of the guesses the first `right` were so; the text has `length` tokens now.
    pub fn note(&mut self, guessed: usize, right: usize, length: usize) {
        match self {
            Speculation::Off => {}
            Speculation::Ngrams(repeats) => repeats.note(guessed, right),
            Speculation::Model(draft) => draft.note(guessed, right, length),
        }
    }
}

/// Where a guess was not worth its rows, this many more are let pass before one is tried again.
const PATIENCE: usize = 16;
/// And at most so many, where none ever is.
const PATIENCE_MAX: usize = 512;
/// Tokens that are guessed to try again.
const TRIAL: usize = 4;
/// Agreements from this length on have a record of their own.
const KINDS: [usize; 4] = [2, 3, 5, 9];

/// Guesses from the text, and how good they were.
pub(crate) struct Repeats {
    ngrams: Ngrams,
    /// By the length of the agreement.
    records: [Record; KINDS.len()],
    /// Of the guesses that are being verified.
    kind: usize,
    passed: usize,
    patience: usize,
}

impl Repeats {
    pub fn new() -> Repeats {
        let records = [0.3, 0.5, 0.7, 0.8].map(Record::new);
        Repeats { ngrams: Ngrams::default(), records, kind: 0, passed: 0, patience: PATIENCE }
    }

    /// At most `most` tokens, as many as pay: `width` rows of a step for each, `others` rows that the step has besides.
    pub fn guess(&mut self, tokens: &[u32], most: usize, width: usize, others: usize, times: &StepTimes) -> Vec<Guess> {
        let Some(found) = self.ngrams.find(tokens) else { return Vec::new() };
        self.kind = KINDS.iter().rposition(|&from| found.agreement >= from).unwrap_or(0);
        let mut count = best(times, self.records[self.kind].chance(), most, width, others);
        if count > 0 {
            self.patience = PATIENCE;
        } else {
            self.passed += 1;
            if self.passed >= self.patience && times.of(1).is_some() {
                (self.passed, self.patience) = (0, (2 * self.patience).min(PATIENCE_MAX));
                count = TRIAL.min(most);
            }
        }
        Ngrams::guesses(tokens, &found, count).into_iter().map(|id| Guess { id, odds: None }).collect()
    }

    fn note(&mut self, guessed: usize, right: usize) {
        self.records[self.kind].note(guessed, right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(of: impl Fn(usize) -> f64) -> StepTimes {
        let mut times = StepTimes::default();
        (1..40).for_each(|i| times.note(1 + i % 5, of(1 + i % 5)));
        times
    }

    /// How many tokens a text of 2000 guessable places has guessed, where `right` of each guess are so.
    fn guessed(times: &StepTimes, right: impl Fn(usize) -> usize) -> usize {
        let mut repeats = Repeats::new();
        let mut tokens = vec![1, 2, 3, 1, 2, 3];
        let mut all = 0;
        for i in 0..2000 {
            let guesses = repeats.guess(&tokens, GUESSES_MAX, 1, 0, times);
            all += guesses.len();
            if !guesses.is_empty() {
                repeats.note(guesses.len(), right(guesses.len()));
            }
            tokens.push(1 + i % 3);
        }
        all
    }

    #[test]
    fn guessing_backs_off_where_it_does_not_pay_and_tries_again() {
        let cheap = times(|rows| 10.0 + 0.1 * rows as f64);
        let dear = times(|rows| 0.1 + rows as f64);
        let always = guessed(&cheap, |count| count);
        let never_right = guessed(&cheap, |_| 0);
        assert!(always > 2000 * 12, "{always}");
        assert!((TRIAL..300).contains(&never_right), "{never_right}");
        let too_dear = guessed(&dear, |count| count / 2);
        assert!((TRIAL..200).contains(&too_dear), "{too_dear}");
    }

    #[test]
    fn nothing_is_guessed_before_a_step_was_timed() {
        assert_eq!(guessed(&StepTimes::default(), |count| count), 0);
    }
}
