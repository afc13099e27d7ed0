//! Answers that keep to a form: JSON, a JSON schema, a grammar, a regular expression.
//!
//! A grammar is compiled for a model's vocabulary by `llguidance`; before each draw it rules out every token that cannot
//! come next. What is left is drawn as ever, so guesses and shared steps change nothing.

mod course;
mod fault;
#[cfg(test)]
mod tests;
mod words;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use llguidance::Matcher;
use llguidance::api::{ParserLimits, TopLevelGrammar};
use serde_json::{Value, json};

use crate::template::{Chat, Prompt, Rendered, Role};
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};

pub(crate) use course::Course;
pub use fault::Fault;
use words::Words;

/// What an answer has to keep to.
#[derive(Clone, Debug, PartialEq)]
pub enum Grammar {
    /// A JSON object with any fields.
    JsonObject,
    /// JSON that the schema holds for: an object or a boolean. A reference is to a part of the schema itself.
    JsonSchema(Value),
    /// A grammar in llguidance's variant of Lark; its first rule is `start`.
    Lark(String),
    /// The whole answer, in the syntax of Rust's `regex`.
    Regex(String),
}

/// The largest published schemas have some hundreds of kilobytes, but no person's answer needs one.
const SCHEMA_BYTES_MAX: usize = 256 << 10;
/// A page of grammar is some kilobytes.
const SOURCE_BYTES_MAX: usize = 64 << 10;
/// Brackets within brackets: the compilers of both languages go down one call for each.
const DEPTH_MAX: usize = 64;
/// Rules may refer to rules, and a compiler may go down one call for each.
const RULES_MAX: usize = 1_000;
/// Bytes: for as many calls within calls as the limits above allow, many times over. Only what is used is taken.
const COMPILER_STACK: usize = 128 << 20;
/// Of some kilobytes each: more would let one request fill the memory.
const LEXER_STATES_MAX: usize = 20_000;
/// Compiled grammars that a model remembers: programs ask for the same few again and again.
const KEPT_MAX: usize = 8;
/// Between the parts of JSON: enough for the usual indentations, but no endless blanks, which small models fall into.
pub(crate) const JSON_BLANKS: &str = r"[\x20\x09]{1,8}|\x0D?\x0A[\x20\x09]{0,40}";

/// The grammars of one model, each compiled once.
#[derive(Default)]
pub(crate) struct Grammars {
    /// Made with the first grammar.
    words: OnceLock<Result<Arc<Words>, String>>,
    /// The last used comes last.
    kept: Mutex<VecDeque<(Grammar, Matcher)>>,
}

impl Grammars {
    /// The state before the first token.
    pub fn compile(&self, grammar: &Grammar, tokenizer: &Tokenizer) -> Result<(Matcher, Arc<Words>)> {
        let words = self.words.get_or_init(|| Words::of(tokenizer).map(Arc::new)).clone().map_err(refused)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().position(|(known, _)| known == grammar).and_then(|at| kept.remove(at));
        let (grammar, matcher) = match known {
            Some(known) => known,
            None => {
                // Others may go on meanwhile; two that compile the same do so twice.
                drop(kept);
                let matcher = compile(grammar, &words)?;
                kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                (grammar.clone(), matcher)
            }
        };
        // A copy of its own for each answer: what one makes it learn is no other's.
        let own = matcher.deep_clone();
        kept.push_back((grammar, matcher));
        while kept.len() > KEPT_MAX {
            kept.pop_front();
        }
        Ok((own, words))
    }

    /// The course of an answer to `prompt`.
    pub fn course(
        &self,
        grammar: &Grammar,
        prompt: &Prompt,
        rendered: &Rendered,
        tokenizer: &Tokenizer,
    ) -> Result<Course> {
        let (matcher, words) = self.compile(grammar, tokenizer)?;
        let mut course = Course::new(matcher, words, &rendered.ends);
        course.drops_space = rendered.drops_space;
        course.free = rendered.in_thought;
        if let Prompt::Chat(chat) = prompt {
            // A model that thinks may begin with a thought, where it is not told otherwise.
            let marks = rendered.marks.as_ref().filter(|_| !rendered.reply_began && chat.thinking != Some(false));
            course.opens = marks.and_then(|marks| tokenizer.find_mark(&marks.open));
            if !rendered.in_thought {
                course.begin(&begin_of(chat)).map_err(refused)?;
            }
        }
        Ok(course)
    }
}

/// The words that the reply begins with.
fn begin_of(chat: &Chat) -> String {
    let last = chat.turns.last().filter(|turn| turn.role == Role::Assistant);
    format!("{}{}", last.map_or("", |turn| &turn.text), chat.begin)
}

fn refused(what: impl Into<String>) -> Error {
    Error::Grammar { what: what.into() }
}

/// Within the limits, on a stack of its own.
fn compile(grammar: &Grammar, words: &Words) -> Result<Matcher> {
    check(grammar)?;
    let work = || {
        let mut limits =
            ParserLimits { max_lexer_states: LEXER_STATES_MAX, verbose_errors: false, ..Default::default() };
        limits.max_grammar_size = SCHEMA_BYTES_MAX;
        let mut matcher = Matcher::new(Ok(words.parser(top(grammar), limits)?));
        // The first mask finds what has no beginning in this vocabulary.
        matcher.compute_mask().map_err(|error| error.to_string())?;
        Ok(matcher)
    };
    let done = thread::scope(|scope| {
        let started =
            thread::Builder::new().name("grammar".into()).stack_size(COMPILER_STACK).spawn_scoped(scope, work);
        started.map(|thread| thread.join().unwrap_or_else(|_| Err("its compilation broke off".to_string())))
    });
    done.unwrap_or_else(|error| Err(error.to_string())).map_err(|error| refused(plain(&error)))
}

/// The compiler's words without what it says to its own makers.
fn plain(error: &str) -> String {
    let end = ["<non-verbose/>", "<state>", "<backtrace>"].iter().filter_map(|mark| error.find(mark)).min();
    error[..end.unwrap_or(error.len())].trim().to_string()
}

fn top(grammar: &Grammar) -> TopLevelGrammar {
    match grammar {
        Grammar::JsonObject => TopLevelGrammar::from_json_schema(spaced(json!({ "type": "object" }))),
        Grammar::JsonSchema(schema) => TopLevelGrammar::from_json_schema(spaced(schema.clone())),
        Grammar::Lark(source) => TopLevelGrammar::from_lark(source.clone()),
        Grammar::Regex(source) => TopLevelGrammar::from_regex(source),
    }
}

/// The schema with our rule for blanks, unless it brings a rule.
fn spaced(schema: Value) -> Value {
    let mut fields = match schema {
        Value::Object(fields) => fields,
        // `true`: any JSON.
        _ => serde_json::Map::new(),
    };
    fields.entry("x-guidance").or_insert_with(|| json!({ "whitespace_pattern": JSON_BLANKS }));
    Value::Object(fields)
}

/// What would take the compiler too far.
fn check(grammar: &Grammar) -> Result<()> {
    let too_long = |what: &str, bytes: usize, most: usize| {
        Err(refused(format!("the {what} has {bytes} bytes; {most} are the most")))
    };
    match grammar {
        Grammar::JsonObject => Ok(()),
        Grammar::JsonSchema(schema) => {
            if !matches!(schema, Value::Object(_) | Value::Bool(true)) {
                return Err(refused("a JSON schema is an object, or true"));
            }
            let bytes = schema.to_string().len();
            if bytes > SCHEMA_BYTES_MAX {
                return too_long("schema", bytes, SCHEMA_BYTES_MAX);
            }
            if depth_of(schema) > DEPTH_MAX {
                return Err(refused(format!("the schema is more than {DEPTH_MAX} levels deep")));
            }
            Ok(())
        }
        Grammar::Lark(source) | Grammar::Regex(source) => {
            if source.len() > SOURCE_BYTES_MAX {
                return too_long("grammar", source.len(), SOURCE_BYTES_MAX);
            }
            if source.trim().is_empty() {
                return Err(refused("it is empty"));
            }
            if brackets(source) > DEPTH_MAX {
                return Err(refused(format!("it has brackets within brackets, more than {DEPTH_MAX} deep")));
            }
            let rules = source.lines().filter(|line| line.contains(':')).count();
            if matches!(grammar, Grammar::Lark(_)) && rules > RULES_MAX {
                return Err(refused(format!("it has {rules} rules; {RULES_MAX} are the most")));
            }
            Ok(())
        }
    }
}

/// How deep values lie within values.
fn depth_of(value: &Value) -> usize {
    let (mut deepest, mut open) = (0, vec![(value, 1)]);
    while let Some((value, depth)) = open.pop() {
        deepest = deepest.max(depth);
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(fields) => open.extend(fields.values().map(|field| (field, depth + 1))),
            _ => {}
        }
    }
    deepest
}

/// How deep brackets may lie within brackets. Those of strings count too: they are few.
fn brackets(source: &str) -> usize {
    let (mut deepest, mut open) = (0usize, 0usize);
    for letter in source.chars() {
        match letter {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}
