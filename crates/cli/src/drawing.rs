//! How answers are drawn: what `generate` and `batch` may be told, and the request that comes of it.

use std::{ffi::OsStr, fs, path::Path, sync::Arc};

use clap::Args;
use huacaya_app::{
    engine::{
        Event, Finish, Model, Request, Stats, fit,
        template::{Chat, Prompt, Turn},
    },
    parameters,
    rows::{AnswerFormat, Parameters},
};
use serde_json::{Map, Value, json};

use crate::{failure::Failure, model::Loaded};

/// The values that a person may give.
#[derive(Args)]
pub struct Drawing {
    /// The system prompt, instead of the usual one
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    pub system: Option<String>,
    /// Continue the text as it stands, without a template
    #[arg(long)]
    pub raw: bool,
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
    /// Above 0, tokens become less likely the more often they were there lately
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    frequency_penalty: Option<f32>,
    /// Above 0, tokens that were there lately become less likely, however often
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    presence_penalty: Option<f32>,
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
    /// Hold the answer to a form: json, FILE.json (a JSON schema), FILE.lark (a grammar), regex:EXPRESSION, or free
    #[arg(long, value_name = "FORMAT", value_parser = form)]
    format: Option<AnswerFormat>,
    /// Tell the drawn token and so many of the likeliest ones with their logarithmic probabilities, in the JSON
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub logprobs: Option<u16>,
}

impl Drawing {
    /// The program's values under the library's under those given here.
    pub fn parameters(&self, loaded: &Loaded) -> Result<Parameters, Failure> {
        let given = Parameters {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            tokens_max: self.tokens,
            seed: self.seed,
            stop: (!self.stop.is_empty()).then(|| self.stop.clone()),
            thinking: self.thinking,
            format: self.format.clone(),
            ..Parameters::default()
        };
        parameters::check(&given)?;
        let mut filled = parameters::merge(parameters::merge(parameters::program(), &loaded.parameters), &given);
        parameters::draw_seed(&mut filled);
        Ok(filled)
    }

    /// A conversation as the model's prompt, the oldest turns left out where they do not fit. `system`: another one than
    /// the usual one.
    pub fn talk(
        &self,
        turns: Vec<Turn>,
        system: Option<String>,
        begin: &str,
        loaded: &Loaded,
        filled: &Parameters,
    ) -> Result<Prompt, Failure> {
        let usual = || self.system.clone().unwrap_or_else(|| parameters::SYSTEM_PROMPT.to_string());
        let chat = Chat {
            system: system.unwrap_or_else(usual),
            turns,
            begin: begin.to_string(),
            thinking: filled.thinking,
            ..Chat::default()
        };
        let reserve = (filled.tokens_max.unwrap_or(1) as usize).min(loaded.model.context() / 2);
        let fitted = fit(&loaded.model, &chat, reserve);
        Ok(fitted.map_err(|error| Failure::of_model(&loaded.path, error))?.prompt)
    }

    /// What the engine is asked.
    pub fn request(&self, prompt: Prompt, loaded: &Loaded, filled: &Parameters) -> Result<Request, Failure> {
        let mut sampling = parameters::sampling(filled);
        sampling.guidance = 1.0;
        Ok(Request {
            model: Arc::clone(&loaded.model),
            adapters: Vec::new(),
            prompt,
            negative: None,
            sampling,
            grammar: filled.format.as_ref().map_or(Ok(None), parameters::grammar)?,
            stop: filled.stop.clone().unwrap_or_default(),
            logprobs: self.logprobs.map_or(0, usize::from),
            echo: false,
            tokens_max: filled.tokens_max.unwrap_or(1) as usize,
            speculate: true,
            draft: None,
        })
    }
}

/// What `--format` says; a file is read where it is named.
fn form(text: &str) -> Result<AnswerFormat, String> {
    let read = || fs::read_to_string(text).map_err(|error| format!("cannot read {text}: {error}"));
    match text {
        "json" => return Ok(AnswerFormat::JsonObject),
        "free" => return Ok(AnswerFormat::Free),
        _ => {}
    }
    if let Some(expression) = text.strip_prefix("regex:") {
        return Ok(AnswerFormat::Regex(expression.to_string()));
    }
    match Path::new(text).extension().and_then(OsStr::to_str) {
        Some("json") => Ok(AnswerFormat::JsonSchema(read()?)),
        Some("lark") => Ok(AnswerFormat::Lark(read()?)),
        _ => Err("json, FILE.json, FILE.lark, regex:EXPRESSION or free was expected".to_string()),
    }
}

/// The words so far.
#[derive(Default)]
pub struct Answer {
    text: String,
    thought: String,
    ids: Vec<u32>,
    logprobs: Vec<Vec<(u32, f32)>>,
    end: Option<(Finish, Stats)>,
}

impl Answer {
    /// Takes what came; the new words of the answer itself.
    pub fn take(&mut self, event: Event) -> String {
        let (text, thought) = match event {
            Event::Token { id, text, thought, logprobs } => {
                self.ids.push(id);
                self.logprobs.push(logprobs);
                (text, thought)
            }
            Event::Text { text, thought } => (text, thought),
            Event::Finished { why, stats } => {
                self.end = Some((why, stats));
                return String::new();
            }
            Event::Reading { .. } | Event::Prompt { .. } => return String::new(),
        };
        if thought {
            self.thought.push_str(&text);
            return String::new();
        }
        self.text.push_str(&text);
        text
    }

    /// Why it ended, and what it took.
    pub fn end(&self) -> (&'static str, Stats) {
        match self.end {
            Some((Finish::End, stats)) => ("end", stats),
            Some((Finish::StopText, stats)) => ("stop_text", stats),
            Some((Finish::Length, stats)) => ("length", stats),
            Some((Finish::Context, stats)) => ("context", stats),
            None => ("stopped", Stats::default()),
        }
    }

    /// As the fields of a JSON object. `logprobs` of the tokens only where they were asked for.
    pub fn fields(&self, model: &Model, seed: Option<u32>) -> Map<String, Value> {
        let (finish, stats) = self.end();
        let mut fields = Map::new();
        for (name, value) in [
            ("text", json!(self.text)),
            ("thought", json!(self.thought)),
            ("ids", json!(self.ids)),
            ("finish", json!(finish)),
            ("seed", json!(seed)),
            ("prompt_tokens", json!(stats.prompt_tokens)),
            ("reused_tokens", json!(stats.reused)),
            ("tokens", json!(stats.tokens)),
            ("first_token_ms", json!(stats.first_token_ms)),
            ("tokens_per_second", json!(stats.tokens_per_second)),
            ("drafted_tokens", json!(stats.drafted)),
            ("accepted_tokens", json!(stats.accepted)),
        ] {
            fields.insert(name.to_string(), value);
        }
        if self.logprobs.iter().any(|told| !told.is_empty()) {
            fields.insert("logprobs".to_string(), self.logprobs.iter().map(|told| likely(model, told)).collect());
        }
        fields
    }
}

/// A token and the likeliest ones in its place.
fn likely(model: &Model, told: &[(u32, f32)]) -> Value {
    let one =
        |(id, logprob): &(u32, f32)| json!({"id": id, "token": model.tokenizer().display(*id), "logprob": logprob});
    let mut token = told.first().map(one).unwrap_or_default();
    token["top"] = told.iter().skip(1).map(one).collect();
    token
}
