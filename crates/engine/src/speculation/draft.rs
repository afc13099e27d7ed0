//! A smaller model that guesses: with a sequence of its own, which is kept for later as any session is.

use std::path::Path;
use std::sync::Arc;

use super::pace::Record;
use super::{GUESSES_MAX, Guess};
use crate::adapter::Mark;
use crate::backend::{Batch, Run, Stop};
use crate::sampling::Sampler;
use crate::session::{Session, Sessions};
use crate::source::Source;
use crate::tokenizer::Tokenizer;
use crate::{Error, Model, Result};

/// Tokens that are guessed at first.
const GUESSES_FIRST: usize = 4;
/// Below this share of right guesses the small model's steps cost more than they save, for any pair of models in use.
const CHANCE_LEAST: f64 = 0.25;
/// Tokens that are answered plainly before it may try again.
const PAUSE: usize = 64;

/// Refuses ([`Error::Draft`]) a model that cannot guess ahead for another, because its tokens are others. Reads no weights.
pub fn check_draft(draft: &Path, model: &Path) -> Result<()> {
    Draft::check(&Source::open(draft)?.tokenizer()?, &Source::open(model)?.tokenizer()?)
}

pub(crate) struct Draft {
    model: Arc<Model>,
    session: Session,
    /// How many to guess next.
    count: usize,
    record: Record,
    /// The text's length from which on it may guess.
    from: usize,
}

impl Draft {
    /// Refuses a model whose tokens are others than the answering model's.
    pub fn check(theirs: &Tokenizer, ours: &Tokenizer) -> Result<()> {
        let (found, wanted) = (theirs.vocabulary_size(), ours.vocabulary_size());
        if found != wanted {
            return Err(Error::Draft { what: format!("it has {found} tokens, the model {wanted}") });
        }
        match (0..wanted as u32).find(|&id| theirs.piece(id) != ours.piece(id)) {
            Some(id) => Err(Error::Draft {
                what: format!("its token {id} is {:?}, the model's {:?}", theirs.display(id), ours.display(id)),
            }),
            None => Ok(()),
        }
    }

    /// A session for the prompt.
    pub fn begin(model: Arc<Model>, prompt: &[u32], sessions: &mut Sessions) -> Result<Draft> {
        let session = sessions.take(prompt, &Mark::new())?;
        let record = Record::new(0.7);
        Ok(Draft { model, session, count: GUESSES_FIRST, record, from: 0 })
    }

    /// Reads what it has not read of the text, a chunk at a time; where that is done, guesses up to `most` tokens, of the
    /// `vocabulary` first. `sampler` knows the text.
    pub fn guess(
        &mut self,
        tokens: &[u32],
        most: usize,
        sampler: &Sampler,
        vocabulary: usize,
        sessions: &mut Sessions,
        stop: Stop,
    ) -> Result<Vec<Guess>> {
        let room = self.model.context().saturating_sub(tokens.len());
        let mut guesses: Vec<Guess> = Vec::new();
        if room == 0 || tokens.len() < self.from {
            return Ok(guesses);
        }
        self.rewind(tokens, sessions);
        let chunk = sessions.backend.rows_max();
        let unread = &tokens[self.session.tokens.len()..];
        if unread.len() > chunk {
            let read = unread[..chunk].to_vec();
            self.step(read, false, tokens.len(), sessions, stop)?;
            return Ok(guesses);
        }
        let mut next = unread.to_vec();
        let mut sampler = sampler.fork();
        for position in tokens.len()..tokens.len() + self.count.min(most).min(room) {
            let Some(mut logits) = self.step(next, true, position, sessions, stop)? else { break };
            logits.truncate(vocabulary);
            let (id, odds) = sampler.propose(&mut logits, position as u64)?;
            sessions.backend.recycle(vec![logits]);
            sampler.accept(id);
            guesses.push(Guess { id, odds: Some(odds) });
            if sampler.is_complete() {
                break;
            }
            next = vec![id];
        }
        Ok(guesses)
    }

    /// Forgets guesses that are not in the text; the last token is always read anew, for its logits.
    fn rewind(&mut self, tokens: &[u32], sessions: &mut Sessions) {
        let same = self.session.tokens.iter().zip(tokens).take_while(|(a, b)| a == b).count();
        let same = same.min(tokens.len().saturating_sub(1));
        if same < self.session.tokens.len() {
            self.session.tokens.truncate(same);
            sessions.backend.truncate(self.session.sequence, same);
        }
    }

    /// Evaluates tokens; the logits after the last of them, where wanted.
    fn step(
        &mut self,
        tokens: Vec<u32>,
        wanted: bool,
        span: usize,
        sessions: &mut Sessions,
        stop: Stop,
    ) -> Result<Option<Vec<f32>>> {
        let (first, count) = (self.session.tokens.len(), tokens.len());
        let wanted = count - usize::from(wanted && count > 0)..count;
        let run = Run { sequence: self.session.sequence, first, tokens, wanted, span };
        let batch = Batch { runs: vec![run], adapters: Vec::new(), hidden: false };
        let logits = sessions.backend.step(&batch, stop)?.pop();
        batch.runs.into_iter().for_each(|run| self.session.tokens.extend(run.tokens));
        Ok(logits)
    }

    /// Of the guesses the first `right` were so; the text has `length` tokens now. Longer while all is right, shorter where not,
    /// none for a while where too little is.
    pub fn note(&mut self, guessed: usize, right: usize, length: usize) {
        self.record.note(guessed, right);
        self.count = if right == guessed { (self.count + 2).min(GUESSES_MAX) } else { right + 1 };
        if self.record.chance() < CHANCE_LEAST {
            self.from = length + PAUSE;
            self.record = Record::new(0.5);
        }
    }

    /// Keeps what was evaluated of the text for later requests, unless its state is in doubt.
    pub fn end(mut self, tokens: &[u32], sessions: &mut Sessions, sound: bool) {
        match sound {
            true => {
                self.rewind(tokens, sessions);
                sessions.put_back(self.session);
            }
            false => sessions.discard(self.session),
        }
    }
}
