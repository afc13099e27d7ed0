//! `generate`: answers a prompt, streaming the words as they come.

use std::{
    fs,
    io::{Read, Write, stdin, stdout},
    path::Path,
    sync::Arc,
};

use clap::Args;
use huacaya_app::{
    engine::{
        Engine, Event, Finish, Request, Stats, fit,
        template::{Chat, Prompt, Role, Turn},
    },
    parameters,
    rows::Parameters,
};
use serde_json::json;

use crate::{
    failure::Failure,
    model::{Loaded, ModelOptions},
};

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    model: ModelOptions,
    /// The prompt: a text, @FILE, or - for standard input
    #[arg(long, value_name = "TEXT|@FILE|-", allow_hyphen_values = true)]
    prompt: String,
    /// The system prompt, instead of the usual one
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    system: Option<String>,
    /// Continue the text as it stands, without a template
    #[arg(long)]
    raw: bool,
    /// Words that the answer begins with
    #[arg(long, value_name = "TEXT", default_value = "", conflicts_with = "raw")]
    begin: String,
    /// 0 takes the likeliest token always
    #[arg(long, value_name = "NUMBER")]
    temperature: Option<f32>,
    /// Draw from so many of the likeliest tokens; 0 takes all
    #[arg(long, value_name = "NUMBER")]
    top_k: Option<u32>,
    /// Draw from the likeliest tokens that together reach this share; 1 takes all
    #[arg(long, value_name = "SHARE")]
    top_p: Option<f32>,
    /// Leave out tokens below this share of the likeliest one's probability; 0 takes all
    #[arg(long, value_name = "SHARE")]
    min_p: Option<f32>,
    /// Above 1, tokens that were there lately become less likely
    #[arg(long, value_name = "FACTOR")]
    repetition_penalty: Option<f32>,
    /// New tokens at most
    #[arg(long, value_name = "NUMBER")]
    tokens: Option<u32>,
    /// The same seed gives the same text
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u32>,
    /// A text that ends the answer; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Switches a thinking model's thoughts on or off
    #[arg(long, value_name = "BOOL")]
    thinking: Option<bool>,
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
    let prompt = read_prompt(&options.prompt)?;
    let loaded = options.model.load()?;
    let filled = options.parameters(&loaded)?;
    let engine = Engine::start().map_err(|error| Failure::of_model(&loaded.path, error))?;
    let request = options.request(prompt, &loaded, &filled)?;
    let mut answer = Answer::default();
    for event in engine.generate(request) {
        if loaded.stop.asked() {
            answer.interrupted = true;
            break;
        }
        let event = event.map_err(|error| Failure::of_model(&loaded.path, error))?;
        answer.take(event, options.json)?;
    }
    answer.end(options, &loaded, &filled)
}

impl Options {
    /// The program's values under the library's under those given here.
    fn parameters(&self, loaded: &Loaded) -> Result<Parameters, Failure> {
        let given = Parameters {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            tokens_max: self.tokens,
            seed: self.seed,
            stop: (!self.stop.is_empty()).then(|| self.stop.clone()),
            thinking: self.thinking,
            ..Parameters::default()
        };
        parameters::check(&given)?;
        let mut filled = parameters::merge(parameters::merge(parameters::program(), &loaded.parameters), &given);
        parameters::draw_seed(&mut filled);
        Ok(filled)
    }

    fn request(&self, prompt: String, loaded: &Loaded, filled: &Parameters) -> Result<Request, Failure> {
        let tokens_max = filled.tokens_max.unwrap_or(1) as usize;
        let prompt = match self.raw {
            true => Prompt::Raw(prompt),
            false => {
                let chat = Chat {
                    system: self.system.clone().unwrap_or_else(|| parameters::SYSTEM_PROMPT.to_string()),
                    turns: vec![Turn { role: Role::User, text: prompt, ..Turn::default() }],
                    begin: self.begin.clone(),
                    thinking: filled.thinking,
                    ..Chat::default()
                };
                let reserve = tokens_max.min(loaded.model.context() / 2);
                let fitted = fit(&loaded.model, &chat, reserve);
                fitted.map_err(|error| Failure::of_model(&loaded.path, error))?.prompt
            }
        };
        let draft = self.draft.as_ref().map(|name| self.model.load_beside(name, &loaded.stop)).transpose()?;
        let mut sampling = parameters::sampling(filled);
        sampling.guidance = 1.0;
        Ok(Request {
            model: Arc::clone(&loaded.model),
            adapters: Vec::new(),
            prompt,
            negative: None,
            sampling,
            grammar: None,
            stop: filled.stop.clone().unwrap_or_default(),
            logprobs: 0,
            echo: false,
            tokens_max,
            speculate: !self.no_speculation,
            draft,
        })
    }
}

/// The words so far.
#[derive(Default)]
struct Answer {
    text: String,
    thought: String,
    ids: Vec<u32>,
    end: Option<(Finish, Stats)>,
    interrupted: bool,
}

impl Answer {
    fn take(&mut self, event: Event, silent: bool) -> Result<(), Failure> {
        let (text, thought) = match event {
            Event::Token { id, text, thought, .. } => {
                self.ids.push(id);
                (text, thought)
            }
            Event::Text { text, thought } => (text, thought),
            Event::Finished { why, stats } => {
                self.end = Some((why, stats));
                return Ok(());
            }
            Event::Reading { .. } | Event::Prompt { .. } => return Ok(()),
        };
        if thought {
            self.thought.push_str(&text);
        } else {
            self.text.push_str(&text);
            if !silent && !text.is_empty() {
                let mut out = stdout().lock();
                out.write_all(text.as_bytes())?;
                out.flush()?;
            }
        }
        Ok(())
    }

    fn end(self, options: &Options, loaded: &Loaded, filled: &Parameters) -> Result<(), Failure> {
        let (finish, stats) = match self.end {
            Some((Finish::End, stats)) => ("end", stats),
            Some((Finish::StopText, stats)) => ("stop_text", stats),
            Some((Finish::Length, stats)) => ("length", stats),
            Some((Finish::Context, stats)) => ("context", stats),
            None => ("stopped", Stats::default()),
        };
        if options.json {
            let object = json!({
                "model": loaded.path.display().to_string(),
                "text": self.text,
                "thought": self.thought,
                "ids": self.ids,
                "finish": finish,
                "seed": filled.seed,
                "prompt_tokens": stats.prompt_tokens,
                "reused_tokens": stats.reused,
                "tokens": stats.tokens,
                "first_token_ms": stats.first_token_ms,
                "tokens_per_second": stats.tokens_per_second,
                "drafted_tokens": stats.drafted,
                "accepted_tokens": stats.accepted,
            });
            writeln!(stdout(), "{object}")?;
        } else {
            writeln!(stdout())?;
        }
        if self.interrupted {
            return Err(Failure::Interrupted);
        }
        if !options.model.quiet && !options.json {
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
