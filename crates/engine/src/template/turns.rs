//! A conversation in the order that templates expect: user and assistant by turns, the reply's begin apart.

use serde_json::{Map, Value};

use super::{Chat, Role, Turn};

/// Like `Chat`, but no two turns of one role in a row, and the last turn is the user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turns {
    pub system: String,
    pub turns: Vec<Turn>,
    pub begin: String,
    pub begin_thought: String,
    pub tools: Vec<Value>,
    pub values: Map<String, Value>,
}

impl Turns {
    /// Neighbours of one role become one turn, with an empty line between, but for tools and calls of them; a last turn of the
    /// assistant becomes the begin of the reply; a conversation without turns gets an empty one of the user.
    pub fn new(chat: &Chat) -> Turns {
        let mut turns: Vec<Turn> = Vec::with_capacity(chat.turns.len());
        for turn in &chat.turns {
            match turns.last_mut() {
                Some(last) if last.role == turn.role && is_talk(last) && is_talk(turn) => {
                    join(&mut last.text, &turn.text);
                    join(&mut last.thought, &turn.thought);
                }
                _ => turns.push(turn.clone()),
            }
        }
        let (mut begin, mut begin_thought) = (chat.begin.clone(), chat.begin_thought.clone());
        if let Some(reply) = turns.pop_if(|turn| turn.role == Role::Assistant && is_talk(turn)) {
            begin.insert_str(0, &reply.text);
            begin_thought.insert_str(0, &reply.thought);
        }
        if turns.is_empty() {
            turns.push(user(String::new()));
        }
        let (tools, values) = (chat.tools.clone(), chat.values.clone());
        Turns { system: chat.system.clone(), turns, begin, begin_thought, tools, values }
    }

    /// A greeting of the assistant comes first: some templates want a turn of the user before it.
    pub fn greets(&self) -> bool {
        self.turns.first().is_some_and(|turn| turn.role == Role::Assistant)
    }

    /// With an empty turn of the user before a greeting.
    pub fn after_empty_user(mut self) -> Turns {
        if self.greets() {
            self.turns.insert(0, user(String::new()));
        }
        self
    }

    /// With the system prompt at the head of the user's first turn, for templates that know no system prompt.
    pub fn system_in_first_user(mut self) -> Turns {
        let system = std::mem::take(&mut self.system);
        if let Some(first) = self.turns.iter_mut().find(|turn| turn.role == Role::User) {
            let text = std::mem::replace(&mut first.text, system);
            join(&mut first.text, &text);
        }
        self
    }
}

fn user(text: String) -> Turn {
    Turn { text, ..Turn::default() }
}

/// Words alone.
fn is_talk(turn: &Turn) -> bool {
    turn.role != Role::Tool && turn.calls.is_empty()
}

fn join(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(more);
}
