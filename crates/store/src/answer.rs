//! An answer's life: begun with its question in one transaction, saved while it grows, finished in one update.

use crate::{Body, ChatId, Made, MessageId, MessageState, Problem, Result, Stats, Store};

/// What `begin_answer` puts down.
#[derive(Clone, Debug)]
pub struct NewAnswer {
    pub chat: ChatId,
    /// What the question (or, without one, the answer) hangs on.
    pub parent: Option<MessageId>,
    /// The person's words; `None`: another answer to `parent`.
    pub question: Option<Body>,
    /// The words that the reply is made to begin with.
    pub begin: String,
    /// As far as it is known already.
    pub made: Option<Made>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    pub question: Option<MessageId>,
    pub answer: MessageId,
}

/// How an answer ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// `Done`, `Stopped`, `Interrupted` or `Failed`.
    pub state: MessageState,
    pub error: Option<Problem>,
    pub stats: Option<Stats>,
    /// Replaces the body made of the published pieces, where given.
    pub body: Option<Body>,
    pub thought_tokens: u32,
    pub thought_ms: u32,
}

impl Store {
    /// Question and answer (`Writing`, owned by this process) in one transaction; the answer becomes the chat's leaf.
    /// When this returns, the person's words are on the disk.
    pub async fn begin_answer(&self, _new: NewAnswer) -> Result<Begun> {
        todo!()
    }

    /// A finished answer is written on: `Writing` again, its stats and error cleared. Returns the body so far.
    pub async fn resume_answer(&self, _message: MessageId) -> Result<Body> {
        todo!()
    }

    /// Says what makes an answer that is being written, once it is known.
    pub async fn set_made(&self, _message: MessageId, _made: &Made) -> Result<()> {
        todo!()
    }

    /// Writes the words published so far into the row. Call it at least once a second.
    pub async fn save_answer(&self, _message: MessageId, _thought_tokens: u32, _thought_ms: u32) -> Result<()> {
        todo!()
    }

    pub async fn finish_answer(&self, _message: MessageId, _ending: Ending) -> Result<()> {
        todo!()
    }
}
