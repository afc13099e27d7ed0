//! Where an answer stands in its grammar.

use std::sync::Arc;

use llguidance::Matcher;
use llguidance::api::StopReason;
use toktrie::SimpleVob;

use super::words::Words;

/// One answer's way through its grammar, token by token.
#[derive(Clone)]
pub(crate) struct Course {
    matcher: Matcher,
    words: Arc<Words>,
    /// Tokens that end the answer, where the grammar lets it end.
    ends: Vec<u32>,
    /// The first token's first blank is the template's, not the text's.
    pub drops_space: bool,
    /// In a thought: anything goes.
    pub free: bool,
    /// The first token may be this one, which opens a thought.
    pub opens: Option<u32>,
    ended: bool,
    /// Why it cannot go on.
    failed: Option<String>,
}

impl Course {
    pub fn new(matcher: Matcher, words: Arc<Words>, ends: &[u32]) -> Course {
        let ends = ends.to_vec();
        Course { matcher, words, ends, drops_space: false, free: false, opens: None, ended: false, failed: None }
    }

    /// The answer begins with this text.
    pub fn begin(&mut self, text: &str) -> Result<(), String> {
        if text.is_empty() {
            return Ok(());
        }
        let ids = self.words.spell(text).ok_or("the answer's beginning has letters that the model does not know")?;
        match self.matcher.try_consume_tokens(&ids) {
            Ok(taken) if taken == ids.len() => Ok(()),
            _ => Err("the answer's beginning does not keep to it".to_string()),
        }
    }

    /// Rules out, by minus infinity, what cannot come next. `logits`: (vocabulary), and rows without a token behind.
    pub fn mask(&mut self, logits: &mut [f32]) -> Result<(), String> {
        if self.free {
            return Ok(());
        }
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let accepts = self.ended || self.matcher.is_accepting().unwrap_or(false);
        let allowed = match self.is_complete() {
            true => None,
            false => self.matcher.compute_mask().map_err(|error| super::plain(&error.to_string())).map(Some).or_else(
                // Where it may end, it can.
                |error| if accepts && !self.ends.is_empty() { Ok(None) } else { Err(error) },
            )?,
        };
        let before = |ids: &[u32]| -> Vec<(usize, f32)> {
            ids.iter().filter_map(|&id| Some((id as usize, *logits.get(id as usize)?))).collect()
        };
        let ends = if accepts { before(&self.ends) } else { Vec::new() };
        let opening = before(self.opens.as_slice());
        let first = if self.drops_space { self.first(allowed.as_ref(), logits) } else { Vec::new() };
        rule_out(allowed.as_ref(), self.words.count, logits);
        first.into_iter().chain(ends).chain(opening).for_each(|(id, logit)| logits[id] = logit);
        Ok(())
    }

    /// The logits of tokens whose first blank is dropped.
    fn first(&self, allowed: Option<&SimpleVob>, logits: &[f32]) -> Vec<(usize, f32)> {
        let without = self.words.without_blank.iter().map(|(&id, &word)| {
            let may = allowed.is_some_and(|allowed| allowed.is_allowed(word));
            (id as usize, if may { logits[id as usize] } else { f32::NEG_INFINITY })
        });
        let may_blank = allowed.is_some();
        let blanks = self.words.blanks.iter().filter(|_| may_blank).map(|&id| (id as usize, logits[id as usize]));
        without.chain(blanks).collect()
    }

    /// Goes on with a token that was drawn.
    pub fn take(&mut self, id: u32) {
        if self.free || self.is_complete() || self.failed.is_some() {
            return;
        }
        if self.ends.contains(&id) {
            self.ended = true;
            return;
        }
        if self.opens.take() == Some(id) {
            (self.free, self.drops_space) = (true, false);
            return;
        }
        let mut word = id;
        if std::mem::take(&mut self.drops_space) {
            if self.words.blanks.contains(&id) {
                return;
            }
            word = self.words.without_blank.get(&id).copied().unwrap_or(id);
        }
        if let Err(error) = self.matcher.consume_token(word) {
            self.failed = Some(super::plain(&error.to_string()));
        }
    }

    /// Nothing more can come.
    pub fn is_complete(&self) -> bool {
        let stopped = self.matcher.is_stopped();
        self.ended
            || stopped && matches!(self.matcher.stop_reason(), StopReason::NoExtension | StopReason::EndOfSentence)
    }
}

/// Bit by bit of `allowed`, 32 tokens at once where they are of one kind.
fn rule_out(allowed: Option<&SimpleVob>, count: usize, logits: &mut [f32]) {
    let (tokens, beyond) = logits.split_at_mut(count.min(logits.len()));
    beyond.fill(f32::NEG_INFINITY);
    let bits = allowed.map_or(&[][..], SimpleVob::as_slice);
    for (i, logits) in tokens.chunks_mut(u32::BITS as usize).enumerate() {
        let bits = bits.get(i).copied().unwrap_or(0);
        if bits == u32::MAX {
            continue;
        }
        for (bit, logit) in logits.iter_mut().enumerate() {
            if bits >> bit & 1 == 0 {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}
