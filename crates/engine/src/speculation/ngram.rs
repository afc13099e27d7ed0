//! Guesses from the text itself: what came next where it read the same before.
//!
//! Source: prompt lookup decoding (Saxena 2023), the same in llama.cpp's `ngram-cache`.

use std::collections::HashMap;

/// Places that are compared: the latest say most, and a text of one repeated word has as many places as words.
const PLACES_MAX: usize = 64;
/// A longer agreement says nothing more.
const AGREEMENT_MAX: usize = 32;
/// A single token that was there before says next to nothing.
const AGREEMENT_MIN: usize = 2;

/// Where each pair of neighbours stands in a text that only grows.
#[derive(Default)]
pub(crate) struct Ngrams {
    /// The places of the token after the pair, ascending.
    places: HashMap<[u32; AGREEMENT_MIN], Vec<u32>>,
    /// Tokens that were looked at.
    known: usize,
}

/// What came next, and how many tokens before it are the same as at the end of the text.
#[derive(Debug, PartialEq)]
pub(crate) struct Found {
    place: usize,
    pub agreement: usize,
}

impl Ngrams {
    /// The place whose tokens before it agree longest with the end of `tokens`, the latest of equals. `tokens` begins with what
    /// it was the last time.
    pub fn find(&mut self, tokens: &[u32]) -> Option<Found> {
        for place in self.known.max(AGREEMENT_MIN)..tokens.len() {
            self.places.entry([tokens[place - 2], tokens[place - 1]]).or_default().push(place as u32);
        }
        self.known = tokens.len();
        let end = [*tokens.get(tokens.len().checked_sub(2)?)?, *tokens.last()?];
        let mut best: Option<Found> = None;
        for &place in self.places.get(&end)?.iter().rev().take(PLACES_MAX) {
            let place = place as usize;
            let pairs = tokens.iter().rev().zip(tokens[..place].iter().rev()).take(AGREEMENT_MAX);
            let agreement = pairs.take_while(|(a, b)| a == b).count();
            if best.as_ref().is_none_or(|best| agreement > best.agreement) {
                best = Some(Found { place, agreement });
            }
        }
        best
    }

    /// The `count` tokens from the place on; beyond the end of `tokens` it goes round.
    pub fn guesses(tokens: &[u32], found: &Found, count: usize) -> Vec<u32> {
        let round = tokens.len() - found.place;
        (0..count).map(|i| tokens[found.place + i % round]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(tokens: &[u32], count: usize) -> Option<(usize, Vec<u32>)> {
        let found = Ngrams::default().find(tokens)?;
        Some((found.agreement, Ngrams::guesses(tokens, &found, count)))
    }

    #[test]
    fn the_longest_agreement_counts_then_the_latest() {
        assert_eq!(guess(&[1, 2, 3, 7, 9, 2, 3, 8, 1, 2, 3], 2), Some((3, vec![7, 9])));
        assert_eq!(guess(&[2, 3, 7, 9, 2, 3, 8, 9, 2, 3], 2), Some((3, vec![8, 9])));
        assert_eq!(guess(&[4, 2, 3, 7, 5, 2, 3, 8, 6, 2, 3], 3), Some((2, vec![8, 6, 2])));
    }

    #[test]
    fn a_text_that_says_nothing_twice_gives_no_guess() {
        assert_eq!(guess(&[], 4), None);
        assert_eq!(guess(&[1], 4), None);
        assert_eq!(guess(&[1, 2, 1], 4), None);
        assert_eq!(guess(&[1, 2, 3, 2], 4), None);
    }

    #[test]
    fn a_loop_is_gone_round_for_as_long_as_wanted() {
        assert_eq!(guess(&[5, 6, 7, 5, 6], 7), Some((2, vec![7, 5, 6, 7, 5, 6, 7])));
        assert_eq!(guess(&[9, 9, 9], 3), Some((2, vec![9, 9, 9])));
    }

    #[test]
    fn a_text_that_grew_is_found_as_if_it_had_been_whole_at_once() {
        let mut state = 1u32;
        let tokens: Vec<u32> = (0..300)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state >> 30
            })
            .collect();
        let mut growing = Ngrams::default();
        for end in 1..tokens.len() {
            if end % 3 > 0 {
                assert_eq!(growing.find(&tokens[..end]), Ngrams::default().find(&tokens[..end]), "at {end}");
            }
        }
    }
}
