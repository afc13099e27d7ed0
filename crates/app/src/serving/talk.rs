//! What a program said, as a prompt for the engine.

use huacaya_engine::template::{Chat, Prompt, Role, Turn};
use serde_json::{Map, Value};

use super::{Asked, Said, log::cut, tools};
use crate::{
    error::{Code, Error, Result},
    prompt::Settled,
};

/// What the template gets beside the messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Beside {
    pub(super) tools: Vec<Value>,
    pub(super) values: Map<String, Value>,
}

/// The prompt for the engine. Without a message of the system, the one that holds in the window; an empty one: none. A last
/// message of the assistant is the beginning of the answer.
pub(super) fn prompt_of(asked: &Asked, settled: &Settled, beside: Beside) -> Result<Prompt> {
    let said = match asked {
        Asked::Text(text) => return Ok(Prompt::Raw(text.clone())),
        Asked::Tokens(tokens) => return Ok(Prompt::Tokens(tokens.clone())),
        Asked::Chat(said) => said,
    };
    settled.check_kind(huacaya_store::ChatKind::Chat)?;
    let (mut system, mut turns) = (Vec::new(), Vec::<Turn>::new());
    for (at, message) in said.iter().enumerate() {
        if matches!(message.role.as_str(), "system" | "developer") {
            system.push(message.text.as_str());
            continue;
        }
        let turn = turn_of(message, &said[..at])?;
        match turns.last_mut() {
            // Templates want the two to take turns.
            Some(last) if last.role == turn.role && is_talk(last) && is_talk(&turn) => {
                last.text.push_str("\n\n");
                last.text.push_str(&turn.text);
            }
            _ => turns.push(turn),
        }
    }
    // What the model is to go on with.
    let begin = turns.pop_if(|last| last.role == Role::Assistant && is_talk(last));
    let begin = begin.map_or_else(String::new, |last| last.text);
    if turns.is_empty() {
        return Err(Error::new(Code::MessageEmpty, "there is no message of the user to answer"));
    }
    let system = if system.is_empty() { settled.system.clone() } else { system.join("\n\n") };
    let Beside { tools, values } = beside;
    let thinking = settled.parameters.thinking;
    Ok(Prompt::Chat(Chat { system, turns, begin, thinking, tools, values, ..Chat::default() }))
}

/// `before`: what was said earlier, where a tool's answer finds the call.
fn turn_of(message: &Said, before: &[Said]) -> Result<Turn> {
    let role = match message.role.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" | "function" => Role::Tool,
        other => {
            let detail =
                format!("messages of the role `{other}` are not understood; use system, user, assistant or tool");
            return Err(Error::new(Code::Unfit, detail).with("reason", format!("role {other}")));
        }
    };
    let calls = match role {
        Role::Assistant => tools::told(&message.calls)?,
        Role::User | Role::Tool => Vec::new(),
    };
    let call_id = message.call_id.clone().unwrap_or_default();
    let name = message.name.clone().filter(|_| role == Role::Tool).or_else(|| {
        let mut calls = before.iter().rev().flat_map(|said| &said.calls);
        let call = calls.find(|call| !call_id.is_empty() && call["id"] == call_id.as_str())?;
        Some(call["function"]["name"].as_str()?.to_string())
    });
    let (text, thought) = (message.text.clone(), message.thought.clone());
    Ok(Turn { role, text, thought, calls, call_id, name: name.unwrap_or_default() })
}

/// Words alone.
fn is_talk(turn: &Turn) -> bool {
    turn.role != Role::Tool && turn.calls.is_empty()
}

pub(super) fn words_of(asked: &Asked) -> String {
    let mut words = match asked {
        Asked::Chat(said) => {
            said.iter().map(|said| format!("{}: {}", said.role, said.text)).collect::<Vec<_>>().join("\n")
        }
        Asked::Text(text) => text.clone(),
        Asked::Tokens(tokens) => format!("{} tokens", tokens.len()),
    };
    cut(&mut words);
    words
}
