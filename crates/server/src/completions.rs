//! `POST /v1/completions`: texts and tokens continued as they stand.
//!
//! Source of the shapes: <https://platform.openai.com/docs/api-reference/completions>.

use axum::{
    Json,
    extract::{Request, State},
    response::Response,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use huacaya_app::serving::{Asked, Asking, Piece, TokenProbability, Usage};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Server,
    answering::{self, Frame, Step, Whole, finish},
    body::{self, Read},
    drawing::Drawing,
    refusal::Refusal,
};

/// Prompts of one request: more would keep everybody else waiting.
const PROMPTS_MAX: usize = 64;
/// Prompts of one request that are answered side by side.
const AT_ONCE: usize = 4;

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "CompletionOwn")]
pub(crate) struct Own {
    prompt: Prompts,
    #[schemars(range(max = 20))]
    logprobs: Option<u32>,
    echo: Option<bool>,
    /// Not supported: the models here write forward only.
    #[schemars(length(max = 0))]
    suffix: Option<String>,
    best_of: Option<u32>,
}

/// One text or several, as words or as tokens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Prompts {
    Text(String),
    Texts(#[schemars(length(min = 1))] Vec<String>),
    Tokens(#[schemars(length(min = 1))] Vec<u32>),
    Many(#[schemars(length(min = 1))] Vec<Vec<u32>>),
}

impl Prompts {
    pub fn all(self) -> Vec<Asked> {
        match self {
            Prompts::Text(text) => vec![Asked::Text(text)],
            Prompts::Texts(texts) => texts.into_iter().map(Asked::Text).collect(),
            Prompts::Tokens(tokens) => vec![Asked::Tokens(tokens)],
            Prompts::Many(many) => many.into_iter().map(Asked::Tokens).collect(),
        }
    }
}

pub async fn complete(State(server): State<Server>, request: Request) -> Result<Response, Refusal> {
    let Read { own, shared, ignored, source } = body::read::<Own, Drawing>(&server, request).await?;
    refuse(&own, &shared)?;
    let (count, logprobs, echo) = (shared.n.unwrap_or(1), own.logprobs, own.echo.unwrap_or(false));
    let prompts = own.prompt.all();
    if !(1..=PROMPTS_MAX).contains(&prompts.len()) {
        let words = format!("{} prompts were given; 1 to {PROMPTS_MAX} are allowed", prompts.len());
        return Err(Refusal::bad(words).field("prompt"));
    }
    let model = shared.model.clone();
    let (parameters, format) = (shared.parameters()?, shared.format()?);
    let all = Asking { model, parameters, count, logprobs, echo, format, source, ..Asking::default() };
    let asked = server.clone();
    let ask = move |prompt| {
        let (server, asking) = (asked.clone(), Asking { prompt, ..all.clone() });
        async move { server.app.ask(asking).await.map_err(Refusal::logged) }
    };
    let (id, created) = (answering::new_id("cmpl-")?, answering::now());
    if shared.streams() {
        let mut answers = Box::pin(stream::iter(prompts.into_iter().map(ask)).buffered(AT_ONCE));
        // What is wrong with the first is told with a status.
        let first = answers.next().await.ok_or_else(|| Refusal::bad("there is no prompt").field("prompt"))??;
        let (model, tells_usage) = (first.model().to_string(), shared.tells_usage());
        let with_logprobs = logprobs.is_some();
        let mut telling = Telling { id, created, model, tells_usage, with_logprobs, count, places: Vec::new() };
        let write = move |step| telling.chunks(step);
        let answers = stream::iter([Ok(first)]).chain(answers);
        return Ok(ignored.on(answering::stream_all(&server, answers, count, Frame::Data, write)));
    }
    let one = |prompt| async {
        let answers = ask(prompt).await?;
        let model = answers.model().to_string();
        Ok::<_, Refusal>((model, answering::gather(answers, count).await?))
    };
    let all: Vec<(String, Vec<Whole>)> =
        stream::iter(prompts.into_iter().map(one)).buffered(AT_ONCE).try_collect().await?;
    let mut used = Usage::default();
    all.iter().for_each(|(_, wholes)| answering::add(&mut used, &answering::used(wholes)));
    let model = all.first().map(|(model, _)| model.clone());
    let wholes = all.iter().flat_map(|(_, wholes)| wholes);
    let choices: Vec<Value> = wholes.enumerate().map(|(at, whole)| choice(at, whole, logprobs.is_some())).collect();
    Ok(ignored.on(Json(json!({
        "id": id,
        "object": "text_completion",
        "created": created,
        "model": model,
        "choices": choices,
        "usage": answering::usage(&used),
    }))))
}

fn refuse(own: &Own, shared: &Drawing) -> Result<(), Refusal> {
    if own.suffix.as_ref().is_some_and(|suffix| !suffix.is_empty()) {
        return Err(Refusal::unsupported("suffix", "the models here write forward only"));
    }
    if own.best_of.is_some_and(|best| best != shared.n.unwrap_or(1)) {
        return Err(Refusal::unsupported("best_of", "ask for `n` answers and choose"));
    }
    Ok(())
}

fn choice(at: usize, whole: &Whole, with_logprobs: bool) -> Value {
    // A text that is continued has no thought apart from it.
    let text = [whole.echo.as_str(), &whole.thought, &whole.text].concat();
    let tokens = [&whole.prompt[..], &whole.thought_tokens, &whole.tokens].concat();
    let logprobs = with_logprobs.then(|| Place::default().told(&text, &tokens));
    json!({"index": at, "text": text, "logprobs": logprobs, "finish_reason": finish(whole.reason)})
}

/// A stream on its way out.
struct Telling {
    id: String,
    created: u64,
    model: String,
    tells_usage: bool,
    with_logprobs: bool,
    /// Answers to one prompt.
    count: u32,
    /// Of each answer.
    places: Vec<Place>,
}

impl Telling {
    fn chunks(&mut self, step: Step) -> Vec<Value> {
        match step {
            Step::Piece(Piece::Prompt { index, text, tokens }) => {
                (index..index + self.count).map(|index| self.one(index, &text, &tokens, None)).collect()
            }
            Step::Piece(Piece::Text { index, text, token } | Piece::Thought { index, text, token }) => {
                vec![self.one(index, &text, token.as_slice(), None)]
            }
            Step::Piece(Piece::Finished { index, reason, .. }) => vec![self.one(index, "", &[], finish(Some(reason)))],
            Step::End(used) if self.tells_usage => {
                let mut last = self.chunk(json!([]));
                last["usage"] = answering::usage(&used);
                vec![last]
            }
            Step::Failed(refusal) => vec![refusal.object()],
            _ => Vec::new(),
        }
    }

    fn one(&mut self, index: u32, text: &str, tokens: &[TokenProbability], reason: Option<&str>) -> Value {
        let at = index as usize;
        self.places.resize_with(self.places.len().max(at + 1), Place::default);
        let logprobs = (self.with_logprobs && !tokens.is_empty()).then(|| self.places[at].told(text, tokens));
        self.chunk(json!([{"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}]))
    }

    fn chunk(&self, choices: Value) -> Value {
        let Telling { id, created, model, .. } = self;
        let mut chunk =
            json!({"id": id, "object": "text_completion", "created": created, "model": model, "choices": choices});
        if self.tells_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }
}

/// Where the next token begins in a text, in characters.
#[derive(Default)]
struct Place {
    at: usize,
    begun: bool,
}

impl Place {
    /// The older shape of log-probabilities: one array for each property. `text` is what came with the tokens.
    fn told(&mut self, text: &str, tokens: &[TokenProbability]) -> Value {
        let mut offsets = Vec::with_capacity(tokens.len());
        for token in tokens {
            offsets.push(self.at);
            let begins = token.bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count();
            // A blank that this vocabulary puts before every text is not part of it.
            let dropped = !self.begun && token.bytes.starts_with(b" ") && !text.starts_with(' ');
            self.begun |= !token.bytes.is_empty();
            self.at += begins - usize::from(dropped);
        }
        let top = |token: &TokenProbability| -> Value {
            // Nothing is known of the first of all, which follows nothing.
            if token.logprob.is_nan() {
                return Value::Null;
            }
            let alternatives = token.top.iter().map(|(bytes, logprob)| (name(bytes), json!(logprob)));
            alternatives.collect::<serde_json::Map<_, _>>().into()
        };
        json!({
            "tokens": tokens.iter().map(|token| name(&token.bytes)).collect::<Vec<_>>(),
            "token_logprobs": tokens.iter().map(|token| token.logprob).collect::<Vec<_>>(),
            "top_logprobs": tokens.iter().map(top).collect::<Vec<_>>(),
            "text_offset": offsets,
        })
    }
}

/// A token as OpenAI's older interface writes it: its text, or its bytes where they are none.
fn name(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_string(),
        Err(_) => bytes.iter().fold("bytes:".to_string(), |name, byte| name + &format!("\\x{byte:02x}")),
    }
}
