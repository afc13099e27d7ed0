//! Which template a model gets, and why.

use super::built_in::BuiltIn;
use super::calls::CallForm;
use super::jinja::Jinja;
use super::{Error, Form, Marks, Source, Template};
use crate::tokenizer::Tokenizer;

/// What is known about a model when its template is chosen.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// `general.architecture` or `model_type`.
    pub architecture: String,
    /// `general.name`, the file's and the folder's name.
    pub names: Vec<String>,
    /// The file's own Jinja template.
    pub file: Option<String>,
    /// What the person set: a built-in's name, "none", or a Jinja template.
    pub set: Option<String>,
}

/// Thought marks in use, the commonest first.
const MARKS: [(&str, &str); 5] = [
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
];

/// The vocabulary of the first generation's chat models; their base models have one piece less.
const ALPACA_1_VOCABULARY: usize = 49_954;

pub(super) fn choose(hints: &Hints, tokenizer: &Tokenizer) -> Result<Template, Error> {
    let template = |form: Form, name: &str, source: Source| {
        let marks = match &form {
            Form::BuiltIn(_) => marks("", tokenizer),
            Form::Jinja(jinja) => marks(jinja.source(), tokenizer),
            Form::None => None,
        };
        let calls = match &form {
            Form::Jinja(jinja) => CallForm::of(jinja.source()),
            Form::BuiltIn(_) | Form::None => None,
        };
        Template { name: name.to_owned(), source, form, marks, calls, warnings: Vec::new() }
    };
    if let Some(set) = hints.set.as_deref().filter(|set| !set.trim().is_empty()) {
        if set == "none" {
            return Ok(template(Form::None, "none", Source::SetByYou));
        }
        if let Some(built_in) = BuiltIn::from_name(set) {
            return Ok(template(Form::BuiltIn(built_in), set, Source::SetByYou));
        }
        if !set.contains('{') {
            return Err(Error::Unknown(set.to_owned()));
        }
        let jinja = Jinja::new(set)?;
        return Ok(template(Form::Jinja(Box::new(jinja)), known(set).map_or("jinja", BuiltIn::name), Source::SetByYou));
    }
    let mut warnings = Vec::new();
    if let Some(file) = hints.file.as_deref().filter(|file| !file.trim().is_empty()) {
        let known = known(file);
        // The family's form to the token: Jinja renders text, which cannot say where its blanks belong.
        if known == Some(BuiltIn::Alpaca2) && tokenizer.is_sentencepiece() {
            return Ok(template(Form::BuiltIn(BuiltIn::Alpaca2), BuiltIn::Alpaca2.name(), Source::BuiltIn));
        }
        match Jinja::new(file) {
            Ok(jinja) => {
                return Ok(template(Form::Jinja(Box::new(jinja)), known.map_or("jinja", BuiltIn::name), Source::File));
            }
            Err(error) => warnings.push(error.to_string()),
        }
        if let Some(built_in) = known {
            let chosen = template(Form::BuiltIn(built_in), built_in.name(), Source::BuiltIn);
            return Ok(Template { warnings, ..chosen });
        }
    }
    let chosen = match by_name(hints, tokenizer) {
        Some(built_in) => template(Form::BuiltIn(built_in), built_in.name(), Source::BuiltIn),
        None => template(Form::None, "none", Source::None),
    };
    Ok(Template { warnings, ..chosen })
}

/// The built-in form that a Jinja template writes, by its marks.
fn known(jinja: &str) -> Option<BuiltIn> {
    let has = |mark| jinja.contains(mark);
    if has("<|im_start|>") {
        Some(BuiltIn::ChatMl)
    } else if has("<|start_header_id|>") {
        Some(BuiltIn::Llama3)
    } else if has("[INST]") && has("<<SYS>>") {
        Some(BuiltIn::Alpaca2)
    } else if has("[INST]") {
        Some(BuiltIn::Mistral)
    } else if has("### Instruction:") {
        Some(BuiltIn::Alpaca)
    } else {
        None
    }
}

/// Without a template of its own: a name that says "chat" and a vocabulary that says which. A vocabulary alone says little, for base
/// models share it.
fn by_name(hints: &Hints, tokenizer: &Tokenizer) -> Option<BuiltIn> {
    if tokenizer.vocabulary_size() == ALPACA_1_VOCABULARY {
        return Some(BuiltIn::Alpaca);
    }
    let names = hints.names.join(" ").to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| names.contains(word));
    if says(&["alpaca-2", "alpaca2", "alpaca_2", "alpaca 2"]) {
        return Some(BuiltIn::Alpaca2);
    }
    let is_base = says(&["chinese-llama"]) && !says(&["alpaca", "instruct"]);
    if is_base || !says(&["chat", "instruct", "alpaca", "assistant", "rlhf", "dpo", "sft"]) {
        return None;
    }
    let marked = |mark| tokenizer.find_mark(mark).is_some();
    if marked("<|start_header_id|>") {
        Some(BuiltIn::Llama3)
    } else if marked("<|im_start|>") {
        Some(BuiltIn::ChatMl)
    } else if marked("[INST]") || hints.architecture == "mistral" || says(&["mistral", "mixtral"]) {
        Some(BuiltIn::Mistral)
    } else if says(&["llama-2", "llama2", "llama_2", "llama 2"]) {
        Some(BuiltIn::Alpaca2)
    } else if says(&["alpaca"]) {
        Some(if tokenizer.vocabulary_size() == 55_296 { BuiltIn::Alpaca2 } else { BuiltIn::Alpaca })
    } else {
        None
    }
}

/// The thought marks that the template names, or the vocabulary where the template names a thinking switch or is built in.
fn marks(jinja: &str, tokenizer: &Tokenizer) -> Option<Marks> {
    let in_template = MARKS.iter().find(|(open, close)| jinja.contains(open) || jinja.contains(close));
    let vocabulary =
        || MARKS.iter().find(|(open, close)| [open, close].iter().all(|mark| tokenizer.find_mark(mark).is_some()));
    let switch = jinja.contains("enable_thinking");
    let found = match in_template {
        Some(found) => Some(found),
        None if jinja.is_empty() || switch => vocabulary().or(MARKS.first().filter(|_| switch)),
        None => None,
    };
    found.map(|&(open, close)| Marks { open: open.to_owned(), close: close.to_owned() })
}
