//! A model file's own template: Jinja through `minijinja`, as an untrusted program.
//!
//! It gets the messages and a few functions, nothing of the machine. What it is given and how it is read follow
//! `apply_chat_template` of Hugging Face transformers; what it may use up, `sandbox`.

use std::borrow::Cow;

use minijinja::context;
use minijinja::value::Value;

use super::sandbox::{self, Failure};
use super::turns::Turns;
use super::{Chat, Error, Marks, Rendered, Role, Turn};
use crate::tokenizer::Tokenizer;

/// Characters that mean nothing to anyone (Supplementary Private Use Area-A): one that occurs in no message breaks the names of
/// control tokens that a person typed.
const DIVIDERS: std::ops::RangeInclusive<char> = '\u{f0000}'..='\u{ffffd}';

/// The character before a reply's mark in a template's text tells nothing, so the reply begins as SentencePiece text does: with a blank.
const CLOSED_ENDINGS: [char; 2] = [']', ':'];

pub(super) struct Jinja {
    source: String,
}

impl Jinja {
    /// Compiles the template once, to know that it is one.
    pub fn new(source: &str) -> Result<Jinja, Error> {
        sandbox::check(source).map_err(failed)?;
        Ok(Jinja { source: source.to_owned() })
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    pub fn render(&self, chat: &Chat, marks: Option<&Marks>, tokenizer: &Tokenizer) -> Result<Rendered, Error> {
        let turns = Turns::new(chat);
        let divider = divider(&self.source, &turns)?;
        let text = self.run_kindly(&turns, chat.thinking, tokenizer, divider)?;
        let mut text = text;
        let (in_thought, reply_began) = begin(&mut text, &turns, marks, tokenizer, divider);
        let mut tokens = tokenizer.encode_marked(&text, divider);
        text.retain(|character| character != divider);
        let bos = tokenizer.bos().filter(|_| tokenizer.adds_bos());
        if let Some(bos) = bos
            && tokens.first() != Some(&bos)
        {
            tokens.insert(0, bos);
            text.insert_str(0, tokenizer.piece(bos).unwrap_or_default());
        }
        let drops_space = tokenizer.is_sentencepiece() && !reply_began && !in_thought;
        let marks = marks.cloned();
        Ok(Rendered { tokens, text, drops_space, marks, in_thought, reply_began, ..Rendered::default() })
    }

    /// A template may refuse a system prompt or a greeting before the user's first words. Then it gets the same conversation in a
    /// form that it may take: the system prompt in the user's first turn, an empty turn of the user before the greeting.
    fn run_kindly(
        &self,
        turns: &Turns,
        thinking: Option<bool>,
        tokenizer: &Tokenizer,
        divider: char,
    ) -> Result<String, Error> {
        let first = match self.run(turns, thinking, tokenizer, divider) {
            Err(Failure::Raised(message)) => Failure::Raised(message),
            done => return done.map_err(failed),
        };
        let mut forms = Vec::new();
        if turns.greets() {
            forms.push(turns.clone().after_empty_user());
        }
        if !turns.system.is_empty() {
            forms.push(turns.clone().system_in_first_user());
            forms.push(turns.clone().after_empty_user().system_in_first_user());
        }
        let done = forms.iter().find_map(|form| self.run(form, thinking, tokenizer, divider).ok());
        done.ok_or(failed(first))
    }

    fn run(
        &self,
        turns: &Turns,
        thinking: Option<bool>,
        tokenizer: &Tokenizer,
        divider: char,
    ) -> Result<String, Failure> {
        let safe = |text: &str| tokenizer.defuse(text, divider).into_owned();
        let mut messages = Vec::with_capacity(turns.turns.len() + 1);
        if !turns.system.is_empty() {
            messages.push(context! { role => "system", content => safe(&turns.system) });
        }
        messages.extend(turns.turns.iter().map(|turn| message(turn, &safe)));
        let tools = match turns.tools.as_slice() {
            [] => ().into(),
            tools => Value::from(tools.iter().map(|tool| value(tool, &safe)).collect::<Vec<_>>()),
        };
        let piece = |id: Option<u32>| id.and_then(|id| tokenizer.piece(id)).unwrap_or_default();
        let mut values = std::collections::BTreeMap::from([("documents", ().into())]);
        values.extend(turns.values.iter().map(|(name, given)| (name.as_str(), value(given, &safe))));
        values.extend([
            ("messages", Value::from(messages)),
            ("add_generation_prompt", true.into()),
            ("bos_token", piece(tokenizer.bos()).into()),
            ("eos_token", piece(tokenizer.eos()).into()),
            ("tools", tools),
        ]);
        values.extend(thinking.map(|on| ("enable_thinking", on.into())));
        sandbox::run(&self.source, values, texts(turns).map(|text| text.len()).sum())
    }
}

/// A message as transformers gives it.
fn message(turn: &Turn, safe: &impl Fn(&str) -> String) -> Value {
    let content = safe(&turn.text);
    let calls: Vec<Value> = turn.calls.iter().map(|call| value(call, safe)).collect();
    // Under both names.
    let thought = Some(safe(&turn.thought)).filter(|thought| !thought.is_empty());
    match (turn.role, thought) {
        (Role::User, _) => context! { role => "user", content },
        (Role::Tool, _) => {
            context! { role => "tool", content, tool_call_id => safe(&turn.call_id), name => safe(&turn.name) }
        }
        (Role::Assistant, None) if calls.is_empty() => context! { role => "assistant", content },
        (Role::Assistant, None) => context! { role => "assistant", content, tool_calls => calls },
        (Role::Assistant, Some(thought)) if calls.is_empty() => {
            context! { thinking => thought, role => "assistant", content, reasoning_content => thought }
        }
        (Role::Assistant, Some(thought)) => {
            context! { thinking => thought, role => "assistant", content, reasoning_content => thought, tool_calls => calls }
        }
    }
}

/// JSON for a template; what it says is a person's words, too.
fn value(given: &serde_json::Value, safe: &impl Fn(&str) -> String) -> Value {
    match given {
        serde_json::Value::String(text) => Value::from(safe(text)),
        serde_json::Value::Array(items) => Value::from(items.iter().map(|item| value(item, safe)).collect::<Vec<_>>()),
        serde_json::Value::Object(fields) => {
            fields.iter().map(|(name, field)| (safe(name), value(field, safe))).collect()
        }
        other => Value::from_serialize(other),
    }
}

/// Everything that is said.
fn texts(turns: &Turns) -> impl Iterator<Item = Cow<'_, str>> {
    let said = turns.turns.iter().flat_map(|turn| [&turn.text, &turn.thought, &turn.call_id, &turn.name]);
    let said = said.map(|text| Cow::from(text.as_str()));
    let own = [&turns.system, &turns.begin, &turns.begin_thought].map(|text| Cow::from(text.as_str()));
    let json = turns.turns.iter().flat_map(|turn| &turn.calls).chain(&turns.tools).chain(turns.values.values());
    let json = json.map(|value| Cow::from(value.to_string()));
    let names = turns.values.keys().map(|name| Cow::from(name.as_str()));
    own.into_iter().chain(said).chain(json).chain(names)
}

fn failed(failure: Failure) -> Error {
    match failure {
        Failure::Raised(message) => Error::Failed(message),
        Failure::Broken(message) => Error::Failed(message),
        Failure::Limit(message) => Error::Limit(message),
    }
}

/// A character that neither the template nor any message contains.
fn divider(source: &str, turns: &Turns) -> Result<char, Error> {
    let all: Vec<Cow<'_, str>> = texts(turns).chain([source.into()]).collect();
    let mut free = DIVIDERS.filter(|&divider| !all.iter().any(|text| text.contains(divider)));
    free.next().ok_or_else(|| Error::Failed("the messages use up every private character".into()))
}

/// Adds what the reply begins with. Whether the prompt ends in an open thought, and whether the reply has begun.
fn begin(
    text: &mut String,
    turns: &Turns,
    marks: Option<&Marks>,
    tokenizer: &Tokenizer,
    divider: char,
) -> (bool, bool) {
    let safe = |text: &str| tokenizer.defuse(text, divider).into_owned();
    let opened = marks.is_some_and(|marks| text.trim_end().ends_with(&marks.open));
    if let Some(marks) = marks
        && (opened || !turns.begin_thought.is_empty())
    {
        if turns.begin_thought.is_empty() && turns.begin.is_empty() {
            return (true, false);
        }
        if !opened {
            text.push_str(&marks.open);
            text.push('\n');
        }
        text.push_str(&safe(&turns.begin_thought));
        if turns.begin.is_empty() {
            return (true, true);
        }
        text.push_str(&format!("\n{}\n\n", marks.close));
    } else if !turns.begin.is_empty() && tokenizer.is_sentencepiece() && text.ends_with(CLOSED_ENDINGS) {
        text.push(' ');
    }
    text.push_str(&safe(&turns.begin));
    (false, !turns.begin.is_empty())
}
