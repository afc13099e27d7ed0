//! `generate`: answers a prompt, streaming the words as they come.

use std::{
    fs,
    io::{Read, Write, stdin, stdout},
    path::Path,
};

use clap::Args;
use huacaya_app::engine::{
    Engine, Request, Stats,
    template::{Prompt, Role, Turn},
};
use serde_json::json;

use crate::{
    drawing::{Answer, Drawing},
    failure::Failure,
    model::{Loaded, ModelOptions},
    screen,
};

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    model: ModelOptions,
    /// The prompt: a text, @FILE, or - for standard input
    #[arg(long, value_name = "TEXT|@FILE|-", allow_hyphen_values = true)]
    prompt: String,
    #[command(flatten)]
    drawing: Drawing,
    /// Words that the answer begins with
    #[arg(long, value_name = "TEXT", default_value = "", conflicts_with = "raw")]
    begin: String,
    /// A smaller model with the same vocabulary that guesses ahead; the same seed then gives another text of the same model
    #[arg(long, value_name = "MODEL", conflicts_with = "no_speculation")]
    draft: Option<String>,
    /// One token at a time, without guessing ahead; the text is the same
    #[arg(long)]
    no_speculation: bool,
    /// Print one JSON object at the end instead of the words as they come
    #[arg(long)]
    json: bool,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    if options.drawing.logprobs.is_some() && !options.json {
        return Err(Failure::Usage("--logprobs stand in the JSON\nhelp: add --json".to_string()));
    }
    let prompt = read_prompt(&options.prompt)?;
    let loaded = options.model.load()?;
    let filled = options.drawing.parameters(&loaded)?;
    let failed = |error| Failure::of_model(&loaded.path, error);
    let engine = Engine::start().map_err(failed)?;
    let prompt = match options.drawing.raw {
        true => Prompt::Raw(prompt),
        false => {
            let turn = Turn { role: Role::User, text: prompt, ..Turn::default() };
            options.drawing.talk(vec![turn], None, &options.begin, &loaded, &filled)?
        }
    };
    let draft = options.draft.as_ref().map(|name| options.model.load_beside(name, &loaded.stop)).transpose()?;
    let request = options.drawing.request(prompt, &loaded, &filled)?;
    let request = Request { speculate: !options.no_speculation, draft, ..request };
    let mut answer = Answer::default();
    let mut interrupted = false;
    for event in engine.generate(request) {
        if loaded.stop.asked() {
            interrupted = true;
            break;
        }
        let words = answer.take(event.map_err(failed)?);
        if !options.json && !words.is_empty() {
            let mut out = stdout().lock();
            out.write_all(screen::clean(&words).as_bytes())?;
            out.flush()?;
        }
    }
    options.end(&answer, &loaded, filled.seed)?;
    if interrupted { Err(Failure::Interrupted) } else { Ok(()) }
}

impl Options {
    fn end(&self, answer: &Answer, loaded: &Loaded, seed: Option<u32>) -> Result<(), Failure> {
        if self.json {
            let mut object = json!({"model": loaded.path.display().to_string()});
            if let Some(fields) = object.as_object_mut() {
                fields.extend(answer.fields(&loaded.model, seed));
            }
            writeln!(stdout(), "{object}")?;
            return Ok(());
        }
        writeln!(stdout())?;
        let (finish, stats) = answer.end();
        if !self.model.quiet && finish != "stopped" {
            let Stats { prompt_tokens, tokens, first_token_ms, tokens_per_second, drafted, accepted, .. } = stats;
            let guessed = match drafted {
                0 => String::new(),
                _ => format!(", {accepted} of {drafted} guessed ahead were right"),
            };
            eprintln!(
                "{prompt_tokens} + {tokens} tokens, {tokens_per_second:.1} tokens/s, first after {first_token_ms} ms, {finish}{guessed}"
            );
        }
        Ok(())
    }
}

fn read_prompt(prompt: &str) -> Result<String, Failure> {
    if prompt == "-" {
        let mut text = String::new();
        stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    match prompt.strip_prefix('@') {
        Some(file) => {
            let file = Path::new(file);
            fs::read_to_string(file).map_err(|error| Failure::file("read the prompt in", file, &error))
        }
        None => Ok(prompt.to_string()),
    }
}
