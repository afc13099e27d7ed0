//! The sessions of one model: tokens whose keys and values a back end holds, kept for the next prompt that begins alike.

use crate::Result;
use crate::adapter::Mark;
use crate::backend::{Backend, SequenceId};
use crate::speculation::StepTimes;

/// Tokens and where their keys and values are.
pub(crate) struct Session {
    pub sequence: SequenceId,
    /// What the back end holds, in order.
    pub tokens: Vec<u32>,
    /// Of the adapters that they were computed with.
    mark: Mark,
    last_used: u64,
}

/// All sessions of a model that no request is using, and the back end that holds them.
pub(crate) struct Sessions {
    pub backend: Box<dyn Backend>,
    /// Of steps that read no prompt.
    pub times: StepTimes,
    idle: Vec<Session>,
    /// Positions that all sessions together may keep.
    budget: usize,
    /// Positions that requests at work have been promised.
    promised: usize,
    clock: u64,
}

impl Sessions {
    pub fn new(backend: Box<dyn Backend>, budget: usize) -> Sessions {
        Sessions { backend, times: StepTimes::default(), idle: Vec::new(), budget, promised: 0, clock: 0 }
    }

    /// A session for `prompt` that may grow to `length`: with the longest beginning that one of the kept ones shares, but
    /// at least one token is left to evaluate, as its logits are wanted. Only what was computed with the same adapters is
    /// shared.
    pub fn take(&mut self, prompt: &[u32], length: usize, mark: &Mark) -> Result<Session> {
        let shared = |session: &Session| {
            if session.mark != *mark {
                return 0;
            }
            let same = session.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
            same.min(prompt.len().saturating_sub(1))
        };
        let best = (0..self.idle.len()).max_by_key(|&i| (shared(&self.idle[i]), self.idle[i].last_used));
        let best = best.map(|i| (i, shared(&self.idle[i]))).filter(|&(_, shared)| shared > 0);
        let session = match best {
            None => self.fresh(mark)?,
            Some((i, shared)) if self.idle[i].tokens.len() - shared > shared => {
                // Another conversation that only begins alike: it will be gone on with, too.
                let sequence = self.backend.fork(self.idle[i].sequence, shared)?;
                Session { sequence, tokens: prompt[..shared].to_vec(), mark: mark.clone(), last_used: 0 }
            }
            Some((i, shared)) => {
                let mut session = self.idle.swap_remove(i);
                self.backend.truncate(session.sequence, shared);
                session.tokens.truncate(shared);
                session
            }
        };
        self.promised += length;
        self.shrink();
        Ok(session)
    }

    fn fresh(&mut self, mark: &Mark) -> Result<Session> {
        Ok(Session { sequence: self.backend.create()?, tokens: Vec::new(), mark: mark.clone(), last_used: 0 })
    }

    /// Keeps a session for later. `length` is what [`Sessions::take`] was told.
    pub fn put_back(&mut self, mut session: Session, length: usize) {
        self.promised -= length.min(self.promised);
        if session.tokens.is_empty() {
            return self.backend.release(session.sequence);
        }
        // What the step that was stopped half-way may have left is none of the session's.
        self.backend.truncate(session.sequence, session.tokens.len());
        self.clock += 1;
        session.last_used = self.clock;
        self.idle.push(session);
        self.shrink();
    }

    /// Forgets a session whose state is in doubt.
    pub fn discard(&mut self, session: Session, length: usize) {
        self.promised -= length.min(self.promised);
        self.backend.release(session.sequence);
    }

    /// Lets the longest unused go until the rest fits the budget.
    fn shrink(&mut self) {
        while self.promised + self.idle.iter().map(|session| session.tokens.len()).sum::<usize>() > self.budget {
            let Some(oldest) = (0..self.idle.len()).min_by_key(|&i| self.idle[i].last_used) else { return };
            let session = self.idle.swap_remove(oldest);
            self.backend.release(session.sequence);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::backend::{Batch, Logits, Stop};

    /// Notes what a back end is asked for, and holds token counts instead of keys.
    #[derive(Clone, Default)]
    pub(crate) struct Notes(pub Arc<Mutex<BTreeMap<u64, usize>>>);

    impl Notes {
        pub fn held(&self) -> Vec<usize> {
            self.0.lock().unwrap().values().copied().collect()
        }
    }

    impl Backend for Notes {
        fn create(&mut self) -> Result<SequenceId> {
            let mut held = self.0.lock().unwrap();
            let id = held.keys().last().map_or(0, |last| last + 1);
            held.insert(id, 0);
            Ok(SequenceId(id))
        }

        fn step(&mut self, batch: &Batch, _: Stop) -> Result<Logits> {
            for run in &batch.runs {
                *self.0.lock().unwrap().get_mut(&run.sequence.0).unwrap() += run.tokens.len();
            }
            Ok(Vec::new())
        }

        fn fork(&mut self, from: SequenceId, length: usize) -> Result<SequenceId> {
            assert!(self.0.lock().unwrap()[&from.0] >= length);
            let id = self.create()?;
            self.0.lock().unwrap().insert(id.0, length);
            Ok(id)
        }

        fn truncate(&mut self, id: SequenceId, length: usize) {
            let mut held = self.0.lock().unwrap();
            let now = held.get_mut(&id.0).unwrap();
            *now = (*now).min(length);
        }

        fn release(&mut self, id: SequenceId) {
            self.0.lock().unwrap().remove(&id.0).unwrap();
        }
    }

    /// As a request does it: what is shared is kept, the rest evaluated. Answers how many tokens were reused.
    fn ask(sessions: &mut Sessions, notes: &Notes, prompt: &[u32], length: usize) -> usize {
        let mut session = sessions.take(prompt, length, &Mark::new()).unwrap();
        let reused = session.tokens.len();
        assert_eq!(notes.0.lock().unwrap()[&session.sequence.0], reused);
        notes.0.lock().unwrap().insert(session.sequence.0, prompt.len());
        session.tokens = prompt.to_vec();
        sessions.put_back(session, length);
        reused
    }

    fn started(budget: usize) -> (Sessions, Notes) {
        let notes = Notes::default();
        (Sessions::new(Box::new(notes.clone()), budget), notes)
    }

    #[test]
    fn the_longest_shared_beginning_is_reused_and_one_token_left() {
        let (mut sessions, notes) = started(1000);
        assert_eq!(ask(&mut sessions, &notes, &[1, 2, 3, 4], 10), 0);
        assert_eq!(ask(&mut sessions, &notes, &[1, 2, 3, 4, 5, 6], 10), 4);
        assert_eq!(ask(&mut sessions, &notes, &[1, 2, 3, 4, 5, 6], 10), 5);
        assert_eq!(notes.held(), [6]);
    }

    #[test]
    fn a_conversation_that_only_begins_alike_leaves_the_other_alone() {
        let (mut sessions, notes) = started(1000);
        ask(&mut sessions, &notes, &[1, 2, 3, 4, 5, 6, 7, 8], 10);
        assert_eq!(ask(&mut sessions, &notes, &[1, 2, 3, 9, 9, 9], 10), 3);
        assert_eq!(ask(&mut sessions, &notes, &[1, 2, 3, 4, 5, 6, 7, 8, 9], 10), 8);
        assert_eq!(notes.held().len(), 2);
    }

    #[test]
    fn the_longest_unused_go_when_memory_is_short() {
        let (mut sessions, notes) = started(20);
        ask(&mut sessions, &notes, &[1; 8], 10);
        ask(&mut sessions, &notes, &[2; 8], 10);
        ask(&mut sessions, &notes, &[1; 9], 10);
        ask(&mut sessions, &notes, &[3; 8], 10);
        // Room for 10 was promised to the third: only the longest used, of ones, could stay beside it.
        assert_eq!(ask(&mut sessions, &notes, &[1; 9], 9), 8);
        assert_eq!(ask(&mut sessions, &notes, &[2; 8], 10), 0);
        assert!(notes.held().iter().sum::<usize>() <= 20);
    }
}
