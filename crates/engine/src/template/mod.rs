//! A conversation to tokens: built-in templates and a model file's own Jinja template.
//!
//! Control tokens come from templates alone. What a person wrote stays text: built-in templates encode it as such, and in what
//! goes through Jinja every control token's name is broken by a character that is taken out again afterwards.

mod built_in;
mod calls;
mod choice;
mod clock;
mod jinja;
mod json;
mod sandbox;
#[cfg(test)]
mod tests;
mod turns;
mod writer;

use built_in::BuiltIn;
use jinja::Jinja;
use turns::Turns;
use writer::Writer;

pub use calls::CallForm;
pub use choice::Hints;

use serde_json::{Map, Value};

use crate::tokenizer::Tokenizer;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    #[default]
    User,
    Assistant,
    /// What a tool answered.
    Tool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    pub role: Role,
    pub text: String,
    /// The thought span of an earlier reply. Sent back only where the file's own template does so.
    pub thought: String,
    /// The assistant's calls: `{"id", "type": "function", "function": {"name", "arguments"}}` each, `arguments` an object.
    pub calls: Vec<Value>,
    /// The call that a tool answers.
    pub call_id: String,
    /// The tool that answers.
    pub name: String,
}

/// A conversation that waits for a reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chat {
    pub system: String,
    /// A last turn of the assistant is taken as the begin of the reply (continue).
    pub turns: Vec<Turn>,
    /// Words the reply begins with.
    pub begin: String,
    /// Thought that the reply begins with (continuing an interrupted reply); the thought is closed when `begin` is not empty.
    pub begin_thought: String,
    /// The template's `enable_thinking`; `None` leaves it to the template.
    pub thinking: Option<bool>,
    /// Tools that the reply may call: OpenAI's tool objects.
    pub tools: Vec<Value>,
    /// Further values for the file's own template. None takes the place of what it is given anyway.
    pub values: Map<String, Value>,
}

impl Chat {
    /// Whether a template has to know tools to write it.
    fn has_tools(&self) -> bool {
        let of_tools = |turn: &Turn| turn.role == Role::Tool || !turn.calls.is_empty();
        !self.tools.is_empty() || self.turns.iter().any(of_tools)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    Chat(Chat),
    /// Text to go on with, for base models and the completion page.
    Raw(String),
    /// Tokens to go on with, as they are.
    Tokens(Vec<u32>),
}

/// The opening and closing mark of a thought span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    pub open: String,
    pub close: String,
}

/// A prompt ready for the model, and how to read the reply.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rendered {
    pub tokens: Vec<u32>,
    /// The prompt as text, control tokens by name.
    pub text: String,
    /// Tokens that end the reply, the tokenizer's own included.
    pub ends: Vec<u32>,
    /// Texts that end the reply.
    pub stops: Vec<String>,
    /// One leading space of the reply belongs to the template, not to the text.
    pub drops_space: bool,
    pub marks: Option<Marks>,
    /// Control tokens whose names belong to the reply's text.
    pub shown: Vec<String>,
    /// The prompt ends inside an open thought.
    pub in_thought: bool,
    /// The thought (where `in_thought`) or else the answer began in the prompt: the reply goes on.
    pub reply_began: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("this is a base model: it continues text and has no chat template")]
    NoTemplate,
    #[error("the chat template of the model file failed: {0}")]
    Failed(String),
    #[error("the chat template of the model file goes beyond a limit: {0}")]
    Limit(String),
    #[error("there is no template called `{0}`")]
    Unknown(String),
    #[error("the chat template of the model does not take tools")]
    NoTools,
}

/// Where the template came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    BuiltIn,
    File,
    SetByYou,
    /// A base model: there is none.
    None,
}

impl Source {
    /// "built in", "file", "set by you", "none": the words of the model row.
    pub fn name(self) -> &'static str {
        match self {
            Source::BuiltIn => "built in",
            Source::File => "file",
            Source::SetByYou => "set by you",
            Source::None => "none",
        }
    }
}

enum Form {
    BuiltIn(BuiltIn),
    Jinja(Box<Jinja>),
    None,
}

/// A chosen template.
pub struct Template {
    name: String,
    source: Source,
    form: Form,
    marks: Option<Marks>,
    calls: Option<CallForm>,
    warnings: Vec<String>,
}

impl Template {
    /// What the person set; else the file's own template; else one by the model's names and vocabulary; else none (a base model).
    pub fn choose(hints: &Hints, tokenizer: &Tokenizer) -> Result<Template, Error> {
        choice::choose(hints, tokenizer)
    }

    /// Names of the built-in templates, for a list to choose from; "none" is possible too.
    pub fn built_in() -> &'static [&'static str] {
        &built_in::NAMES
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn source(&self) -> Source {
        self.source
    }

    /// It knows a thinking switch or a thought span.
    pub fn thinks(&self) -> bool {
        self.marks.is_some()
    }

    /// How its family calls tools; none where it takes none.
    pub fn calls(&self) -> Option<CallForm> {
        self.calls
    }

    /// What was not as expected but could be worked around.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub fn render(&self, prompt: &Prompt, tokenizer: &Tokenizer) -> Result<Rendered, Error> {
        let mut rendered = match (prompt, &self.form) {
            (Prompt::Raw(text), _) => render_raw(text, tokenizer),
            (Prompt::Tokens(tokens), _) => render_tokens(tokens, tokenizer),
            (Prompt::Chat(_), Form::None) => return Err(Error::NoTemplate),
            (Prompt::Chat(chat), _) if chat.has_tools() && self.calls.is_none() => return Err(Error::NoTools),
            (Prompt::Chat(chat), Form::BuiltIn(built_in)) => {
                built_in.render(&Turns::new(chat), self.marks.as_ref(), tokenizer)
            }
            (Prompt::Chat(chat), Form::Jinja(jinja)) => jinja.render(chat, self.marks.as_ref(), tokenizer)?,
        };
        if let (Prompt::Chat(Chat { tools, .. }), Some(form)) = (prompt, self.calls)
            && !tools.is_empty()
        {
            rendered.shown = form.marks().iter().map(|mark| (*mark).to_owned()).collect();
        }
        rendered.ends.extend(tokenizer.ends());
        rendered.ends.sort_unstable();
        rendered.ends.dedup();
        Ok(rendered)
    }
}

fn render_tokens(tokens: &[u32], tokenizer: &Tokenizer) -> Rendered {
    let text = tokens.iter().map(|&id| tokenizer.display(id)).collect();
    Rendered { tokens: tokens.to_vec(), text, reply_began: true, ..Rendered::default() }
}

fn render_raw(text: &str, tokenizer: &Tokenizer) -> Rendered {
    let mut writer = Writer::new(tokenizer);
    if tokenizer.adds_bos() {
        writer.id(tokenizer.bos());
    }
    writer.text(text);
    let (tokens, text) = writer.finish();
    Rendered { tokens, text, reply_began: true, ..Rendered::default() }
}
