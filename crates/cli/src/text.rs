//! `tokenize` and `template`: what a model makes of text before it computes anything.

use std::{
    fs,
    io::{Read, Write, stdin, stdout},
    path::Path,
};

use clap::Args;
use huacaya_app::engine::template::{Chat, Prompt, Role, Turn};
use serde::Deserialize;
use serde_json::json;

use crate::{failure::Failure, model::ModelOptions};

#[derive(Args)]
pub struct TokenizeOptions {
    #[command(flatten)]
    model: ModelOptions,
    /// The arrays are JSON in any case; taken so that every command takes it
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct TemplateOptions {
    #[command(flatten)]
    model: ModelOptions,
    /// Switches a thinking model's thoughts on or off
    #[arg(long)]
    thinking: Option<bool>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// One message of a conversation, as other programs write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    role: String,
    content: String,
}

pub fn tokenize(options: &TokenizeOptions) -> Result<(), Failure> {
    let text = read_input()?;
    let loaded = options.model.load()?;
    let mut out = stdout().lock();
    for line in text.strip_suffix('\n').unwrap_or(&text).split('\n') {
        writeln!(out, "{}", json!(loaded.model.tokenize(line)))?;
    }
    Ok(())
}

pub fn template(options: &TemplateOptions) -> Result<(), Failure> {
    let text = read_input()?;
    let chat = conversation(&text, options.thinking)?;
    let loaded = options.model.load()?;
    let rendered = loaded.model.render(&Prompt::Chat(chat)).map_err(|error| Failure::of_model(&loaded.path, error))?;
    let mut out = stdout().lock();
    if options.json {
        let template = loaded.model.template();
        let object = json!({
            "template": template.name(),
            "source": template.source().name(),
            "text": rendered.text,
            "ids": rendered.tokens,
            "ends": rendered.ends,
            "stops": rendered.stops,
        });
        writeln!(out, "{object}")?;
    } else {
        writeln!(out, "{}\n{}", rendered.text, json!(rendered.tokens))?;
    }
    Ok(())
}

fn conversation(text: &str, thinking: Option<bool>) -> Result<Chat, Failure> {
    let wrong = |reason: String| {
        Failure::Usage(format!(
            "the messages on standard input: {reason}\nhelp: write [{{\"role\": \"user\", \"content\": \"…\"}}]"
        ))
    };
    let messages: Vec<Message> = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let mut chat = Chat { thinking, ..Chat::default() };
    for (place, Message { role, content }) in messages.into_iter().enumerate() {
        let role = match role.as_str() {
            "system" if place == 0 => {
                chat.system = content;
                continue;
            }
            "user" => Role::User,
            "assistant" => Role::Assistant,
            _ => return Err(wrong(format!("message {place} has the role {role:?}"))),
        };
        chat.turns.push(Turn { role, text: content, ..Turn::default() });
    }
    Ok(chat)
}

/// A file of text, or standard input where its name is `-`.
pub fn read_file(path: &Path) -> Result<String, Failure> {
    if path.as_os_str() == "-" {
        return read_input();
    }
    fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))
}

fn read_input() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    stdin().read_to_end(&mut bytes)?;
    String::from_utf8(bytes).map_err(|error| {
        Failure::Said(format!("standard input is not UTF-8 from byte {} on", error.utf8_error().valid_up_to()))
    })
}
