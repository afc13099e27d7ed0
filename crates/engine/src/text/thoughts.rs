//! Tells the thought span of a thinking model (`<think>…</think>`) from its answer.

use crate::template::Marks;

/// A piece of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Answer(String),
    Thought(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but blanks so far: an opening mark may come.
    Start,
    /// In the thought; `began` says that something other than blanks came.
    Thought {
        began: bool,
    },
    /// After the thought: blanks before the answer are dropped.
    Between,
    Answer,
}

/// Splits text that comes piece by piece. A thought is recognised at the beginning of the reply only: an answer may talk of the
/// marks. Blanks around the thought are left out.
#[derive(Clone, Debug)]
pub struct Thoughts {
    marks: Option<Marks>,
    state: State,
    held: String,
}

impl Thoughts {
    /// `in_thought`: the prompt opened the thought. `began`: the answer began in the prompt, no thought can come.
    pub fn new(marks: Option<&Marks>, in_thought: bool, began: bool) -> Thoughts {
        let marks = marks.filter(|marks| !marks.open.is_empty() && !marks.close.is_empty()).cloned();
        let state = match (&marks, in_thought) {
            (None, _) => State::Answer,
            (Some(_), true) => State::Thought { began },
            (Some(_), false) if began => State::Answer,
            (Some(_), false) => State::Start,
        };
        Thoughts { marks, state, held: String::new() }
    }

    /// A thought is open.
    pub fn in_thought(&self) -> bool {
        matches!(self.state, State::Thought { .. })
    }

    /// Takes text and gives out what is certain.
    pub fn push(&mut self, text: &str, out: &mut Vec<Piece>) {
        self.held.push_str(text);
        while !self.held.is_empty() && self.step(out) {}
    }

    /// No more text comes.
    pub fn finish(&mut self, out: &mut Vec<Piece>) {
        let held = std::mem::take(&mut self.held);
        match self.state {
            State::Thought { .. } => give(Piece::Thought, held.trim_end(), out),
            State::Between => {}
            State::Start | State::Answer => give(Piece::Answer, &held, out),
        }
    }

    /// One move; false when more text must come first.
    fn step(&mut self, out: &mut Vec<Piece>) -> bool {
        let Some(marks) = &self.marks else {
            give(Piece::Answer, &self.held, out);
            self.held.clear();
            return false;
        };
        match self.state {
            State::Start => {
                let text = self.held.trim_start();
                if let Some(rest) = text.strip_prefix(marks.open.as_str()) {
                    self.held = rest.to_owned();
                    self.state = State::Thought { began: false };
                    true
                } else if marks.open.starts_with(text) {
                    false
                } else {
                    self.state = State::Answer;
                    true
                }
            }
            State::Thought { began } => {
                if !began {
                    // Some models repeat the mark that their template has opened already.
                    let text = self.held.trim_start();
                    if let Some(rest) = text.strip_prefix(marks.open.as_str()) {
                        self.held = rest.to_owned();
                        return true;
                    }
                    if marks.open.starts_with(text) {
                        return false;
                    }
                    self.held = text.to_owned();
                    self.state = State::Thought { began: true };
                    return true;
                }
                if let Some(end) = self.held.find(marks.close.as_str()) {
                    give(Piece::Thought, self.held[..end].trim_end(), out);
                    self.held.drain(..end + marks.close.len());
                    self.state = State::Between;
                    return true;
                }
                let certain = certain(&self.held, &marks.close);
                give(Piece::Thought, &self.held[..certain], out);
                self.held.drain(..certain);
                false
            }
            State::Between => {
                let text = self.held.trim_start();
                self.held = text.to_owned();
                if self.held.is_empty() {
                    return false;
                }
                self.state = State::Answer;
                true
            }
            State::Answer => {
                give(Piece::Answer, &self.held, out);
                self.held.clear();
                false
            }
        }
    }
}

/// How much of a thought is certain: not the beginning of the closing mark, nor the blanks that may stand before it.
fn certain(text: &str, close: &str) -> usize {
    let starts = text.char_indices().map(|(at, _)| at).filter(|at| text.len() - at < close.len());
    let end = starts.into_iter().find(|&at| close.starts_with(&text[at..])).unwrap_or(text.len());
    text[..end].trim_end().len()
}

fn give(kind: fn(String) -> Piece, text: &str, out: &mut Vec<Piece>) {
    if !text.is_empty() {
        out.push(kind(text.to_owned()));
    }
}
