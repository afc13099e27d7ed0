//! How many tokens to guess ahead: measured as it runs.

/// Tokens that are guessed ahead at most.
pub(crate) const GUESSES_MAX: usize = 16;

/// How much an older step counts beside the next one: some twenty steps are remembered, for they grow longer with the text.
const MEMORY: f64 = 0.95;
/// The same of guesses: some six are remembered, for a text turns to something else from one line to the next.
const RECORD_MEMORY: f64 = 0.85;
/// What one more row adds to a step before it was measured: little, for the weights are read once for all of them.
const FIRST_SLOPE: f64 = 0.05;
/// A step that took longer than so many times what was expected was held up by something else.
const HICCUP: f64 = 4.0;
/// Guessing must promise this much more speed: below, the promise is noise.
const WORTH: f64 = 1.03;

/// How long a model's steps take, by the number of their rows: a straight line through those of late.
#[derive(Default)]
pub(crate) struct StepTimes {
    /// Sums over the steps, the older the lighter.
    weight: f64,
    rows: f64,
    rows_squared: f64,
    seconds: f64,
    rows_seconds: f64,
}

impl StepTimes {
    pub fn note(&mut self, rows: usize, seconds: f64) {
        let seconds = self.of(rows).map_or(seconds, |expected| seconds.min(HICCUP * expected));
        let rows = rows as f64;
        let sums = [
            (&mut self.weight, 1.0),
            (&mut self.rows, rows),
            (&mut self.rows_squared, rows * rows),
            (&mut self.seconds, seconds),
            (&mut self.rows_seconds, rows * seconds),
        ];
        for (sum, new) in sums {
            *sum = MEMORY * *sum + new;
        }
    }

    /// The seconds that a step of so many rows should take. None before the first.
    pub fn of(&self, rows: usize) -> Option<f64> {
        if self.weight == 0.0 {
            return None;
        }
        let (mean_rows, mean) = (self.rows / self.weight, self.seconds / self.weight);
        let spread = self.rows_squared / self.weight - mean_rows * mean_rows;
        let together = self.rows_seconds / self.weight - mean_rows * mean;
        // Steps of one size say nothing of others.
        let slope = if spread > 1e-3 { together / spread } else { mean * FIRST_SLOPE };
        let slope = slope.clamp(0.0, mean);
        Some((mean + slope * (rows as f64 - mean_rows)).max(mean * 1e-3))
    }
}

/// How often guesses of one kind were right of late.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    right: f64,
    tried: f64,
}

impl Record {
    /// As if `right` of one guess had been right.
    pub const fn new(right: f64) -> Record {
        Record { right, tried: 1.0 }
    }

    /// Of `guessed` tokens in a row the first `right` were so; what followed the first wrong one says nothing.
    pub fn note(&mut self, guessed: usize, right: usize) {
        self.right = RECORD_MEMORY * self.right + right as f64;
        self.tried = RECORD_MEMORY * self.tried + guessed.min(right + 1) as f64;
    }

    /// The chance that the next guess is right where those before it are.
    pub fn chance(&self) -> f64 {
        (self.right / self.tried).clamp(0.0, 1.0)
    }
}

/// The number of guesses, up to `most`, that promises the most tokens a second; 0 where none promises more than no guess. The
/// step has `others` rows besides; each token of this answer takes `width`.
pub(crate) fn best(times: &StepTimes, chance: f64, most: usize, width: usize, others: usize) -> usize {
    // Each row of others is a token to be had, too.
    let speed = |count: usize| {
        let hoped: f64 = (1..=count as i32).map(|i| chance.powi(i)).sum();
        times.of(others + width * (1 + count)).map(|seconds| (others as f64 + 1.0 + hoped) / seconds)
    };
    let Some(plain) = speed(0) else { return 0 };
    let mut best = (0, plain * WORTH);
    for count in 1..=most {
        if let Some(speed) = speed(count).filter(|speed| *speed > best.1) {
            best = (count, speed);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(of: impl Fn(usize) -> f64) -> StepTimes {
        let mut times = StepTimes::default();
        for rows in [1, 1, 5, 1, 9, 3, 1] {
            times.note(rows, of(rows));
        }
        times
    }

    #[test]
    fn the_line_goes_through_what_was_measured_and_follows_what_changes() {
        let mut times = measured(|rows| 10.0 + 2.0 * rows as f64);
        assert!((times.of(16).unwrap() - 42.0).abs() < 1e-6);
        // Later in the text everything takes twice as long.
        (0..200).for_each(|i| times.note(1 + i % 4, 2.0 * (10.0 + 2.0 * (1 + i % 4) as f64)));
        assert!((times.of(4).unwrap() - 36.0).abs() < 0.1, "{:?}", times.of(4));
    }

    #[test]
    fn one_step_that_was_held_up_moves_little() {
        let mut times = measured(|_| 1.0);
        times.note(1, 1000.0);
        assert!(times.of(1).unwrap() < 2.0, "{:?}", times.of(1));
    }

    #[test]
    fn more_is_guessed_the_surer_the_guesses_and_the_cheaper_the_rows() {
        let cheap = measured(|rows| 20.0 + 0.1 * rows as f64);
        let dear = measured(|rows| 1.0 + rows as f64);
        assert_eq!(best(&cheap, 1.0, 16, 1, 0), 16);
        let counts = [0.95, 0.7, 0.4, 0.01].map(|chance| best(&cheap, chance, 16, 1, 0));
        assert!(counts[..3].is_sorted_by(|a, b| a > b || *a == 16) && counts[2] >= 2, "{counts:?}");
        assert_eq!(counts[3], 0);
        assert_eq!(best(&dear, 0.4, 16, 1, 0), 0);
        assert_eq!(best(&StepTimes::default(), 1.0, 16, 1, 0), 0, "nothing was measured");
    }

    #[test]
    fn a_record_counts_up_to_the_first_wrong_guess() {
        let mut record = Record::new(0.5);
        (0..100).for_each(|_| record.note(8, 3));
        assert!((record.chance() - 0.75).abs() < 0.01, "{record:?}");
        (0..100).for_each(|_| record.note(4, 4));
        assert!(record.chance() > 0.98, "{record:?}");
    }
}
