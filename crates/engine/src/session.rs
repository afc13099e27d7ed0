//! The sessions of one model: tokens whose keys and values a back end holds, kept for the next prompt that begins alike.

use crate::Result;
use crate::adapter::Mark;
use crate::backend::{Backend, SequenceId};
use crate::speculation::StepTimes;

/// Of all positions, the part that is left to requests at work when another begins.
const RESERVE_SHARE: usize = 8;

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
    /// Positions that all sessions together may take, those of requests at work among them.
    budget: usize,
    clock: u64,
}

impl Sessions {
    pub fn new(backend: Box<dyn Backend>, budget: usize) -> Sessions {
        Sessions { backend, times: StepTimes::default(), idle: Vec::new(), budget, clock: 0 }
    }

    /// A session for `prompt`: with the longest beginning that one of the kept ones shares, but at least one token is left
    /// to evaluate, as its logits are wanted. Only what was computed with the same adapters is shared.
    pub fn take(&mut self, prompt: &[u32], mark: &Mark) -> Result<Session> {
        let best = (0..self.idle.len()).max_by_key(|&i| (self.idle[i].shares(prompt, mark), self.idle[i].last_used));
        let best = best.map(|i| (i, self.idle[i].shares(prompt, mark))).filter(|&(_, shared)| shared > 0);
        match best {
            None => self.fresh(mark),
            Some((i, shared)) if self.idle[i].tokens.len() - shared > shared => {
                // Another conversation that only begins alike: it will be gone on with, too.
                let sequence = self.backend.fork(self.idle[i].sequence, shared)?;
                Ok(Session { sequence, tokens: prompt[..shared].to_vec(), mark: mark.clone(), last_used: 0 })
            }
            Some((i, shared)) => {
                let mut session = self.idle.swap_remove(i);
                self.backend.truncate(session.sequence, shared);
                session.tokens.truncate(shared);
                Ok(session)
            }
        }
    }

    pub fn fresh(&mut self, mark: &Mark) -> Result<Session> {
        Ok(Session { sequence: self.backend.create()?, tokens: Vec::new(), mark: mark.clone(), last_used: 0 })
    }

    /// Gives a session that reads `prompt` what another knows of it by now: one that is kept, or one at work of `others`.
    /// Answers how many tokens need not be read. Nothing, where rows would not be the same to the bit.
    pub fn catch_up(&mut self, session: &mut Session, prompt: &[u32], others: &[&Session]) -> Result<usize> {
        if !self.backend.is_row_invariant() {
            return Ok(0);
        }
        let known = |other: &&Session| other.shares(prompt, &session.mark);
        let Some(best) = others.iter().copied().chain(&self.idle).max_by_key(known) else { return Ok(0) };
        let (shared, from) = (known(&best), best.sequence);
        if shared <= session.tokens.len() {
            return Ok(0);
        }
        let sequence = self.backend.fork(from, shared)?;
        self.backend.release(std::mem::replace(&mut session.sequence, sequence));
        let gained = shared - session.tokens.len();
        session.tokens = prompt[..shared].to_vec();
        Ok(gained)
    }

    /// Keeps a session for later.
    pub fn put_back(&mut self, mut session: Session) {
        if session.tokens.is_empty() {
            return self.backend.release(session.sequence);
        }
        // What the step that was stopped half-way may have left is none of the session's.
        self.backend.truncate(session.sequence, session.tokens.len());
        self.clock += 1;
        session.last_used = self.clock;
        self.idle.push(session);
        self.make_room(0);
    }

    /// Forgets a session whose state is in doubt.
    pub fn discard(&mut self, session: Session) {
        self.backend.release(session.sequence);
    }

    /// Positions that so many tokens take.
    pub fn takes(&self, tokens: usize) -> usize {
        tokens.next_multiple_of(self.backend.page())
    }

    /// Whether a request that takes so many positions may begin beside those at work. Some are left over for what they
    /// write: a request that begins too early has to give its memory back at once.
    pub fn has_room_beside(&self, working: usize, positions: usize) -> bool {
        working + positions + self.budget / RESERVE_SHARE <= self.budget
    }

    /// Lets the longest unused go until the rest fits the budget beside the positions that requests at work take. False
    /// where those alone are too many.
    pub fn make_room(&mut self, working: usize) -> bool {
        while working + self.idle.iter().map(|session| self.takes(session.tokens.len())).sum::<usize>() > self.budget {
            let Some(oldest) = (0..self.idle.len()).min_by_key(|&i| self.idle[i].last_used) else { return false };
            let session = self.idle.swap_remove(oldest);
            self.backend.release(session.sequence);
        }
        true
    }
}

impl Session {
    /// Tokens of `prompt` that it holds, from the first on; the last of it is never among them.
    fn shares(&self, prompt: &[u32], mark: &Mark) -> usize {
        if self.mark != *mark {
            return 0;
        }
        let same = self.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        same.min(prompt.len().saturating_sub(1))
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
        fn is_row_invariant(&self) -> bool {
            true
        }

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
        let mut session = sessions.take(prompt, &Mark::new()).unwrap();
        assert!(sessions.make_room(length));
        let reused = session.tokens.len();
        assert_eq!(notes.0.lock().unwrap()[&session.sequence.0], reused);
        notes.0.lock().unwrap().insert(session.sequence.0, prompt.len());
        session.tokens = prompt.to_vec();
        sessions.put_back(session);
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

    #[test]
    fn what_another_reads_meanwhile_is_not_read_again() {
        let (mut sessions, notes) = started(1000);
        let mark = Mark::new();
        let mut first = sessions.take(&[1, 2, 3, 4, 5, 6], &mark).unwrap();
        let mut second = sessions.take(&[1, 2, 3, 4, 9], &mark).unwrap();
        assert_eq!((first.tokens.len(), second.tokens.len()), (0, 0));
        notes.0.lock().unwrap().insert(first.sequence.0, 5);
        first.tokens = vec![1, 2, 3, 4, 5];
        assert_eq!(sessions.catch_up(&mut second, &[1, 2, 3, 4, 9], &[&first]).unwrap(), 4);
        assert_eq!((second.tokens.as_slice(), notes.held().as_slice()), (&[1, 2, 3, 4][..], &[5, 4][..]));
        // The last token is left to evaluate, nothing is taken twice, and others' adapters are none of its own.
        assert_eq!(sessions.catch_up(&mut second, &[1, 2, 3, 4], &[&first]).unwrap(), 0);
        let mut third = sessions.fresh(&mark).unwrap();
        assert_eq!(sessions.catch_up(&mut third, &[1, 2], &[&first]).unwrap(), 1);
        let mut other = sessions.fresh(&vec![(7, 1)]).unwrap();
        assert_eq!(sessions.catch_up(&mut other, &[1, 2, 3], &[&first]).unwrap(), 0);
    }
}
