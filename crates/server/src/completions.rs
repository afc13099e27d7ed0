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
    drawing::{Drawing, source},
    refusal::Refusal,
};

const PATH: &str = "/v1/completions";
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
    let Read { own, shared, ignored } = body::read::<Own, Drawing>(request).await?;
    refuse(&own, &shared)?;
    let (count, logprobs) = (shared.n.unwrap_or(1), own.logprobs);
    let prompts = own.prompt.all();
    if !(1..=PROMPTS_MAX).contains(&prompts.len()) {
        let words = format!("{} prompts were given; 1 to {PROMPTS_MAX} are allowed", prompts.len());
        return Err(Refusal::bad(words).field("prompt"));
    }
    let parameters = shared.parameters()?;
    let format = shared.format()?;
    let asking = |prompt| Asking {
        model: shared.model.clone(),
        prompt,
        parameters: parameters.clone(),
        count,
        logprobs,
        format: format.clone(),
        source: source(PATH),
        ..Asking::default()
    };
    let (id, created) = (answering::new_id("cmpl-")?, answering::now());
    if shared.streams() {
        let [prompt] = <[Asked; 1]>::try_from(prompts)
            .map_err(|_| Refusal::bad("a stream takes one prompt; send several requests").field("prompt"))?;
        let answers = server.app.ask(asking(prompt)).await?;
        let (model, tells_usage) = (answers.model().to_string(), shared.tells_usage());
        let write = move |step| chunks(&id, created, &model, tells_usage, step);
        return Ok(ignored.on(answering::stream(answers, server.closing.clone(), Frame::Data, write)));
    }
    let one = |prompt| async {
        let answers = server.app.ask(asking(prompt)).await?;
        let model = answers.model().to_string();
        Ok::<_, Refusal>((model, answering::gather(answers, count, server.closing.clone()).await?))
    };
    let all: Vec<(String, Vec<Whole>)> =
        stream::iter(prompts.into_iter().map(one)).buffered(AT_ONCE).try_collect().await?;
    let mut used = Usage::default();
    for (_, wholes) in &all {
        let mut of_prompt = Usage::default();
        wholes.iter().for_each(|whole| answering::add(&mut of_prompt, &whole.usage));
        used.prompt += of_prompt.prompt;
        used.cached += of_prompt.cached;
        used.completion += of_prompt.completion;
        used.thought += of_prompt.thought;
    }
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
    if own.echo.unwrap_or(false) {
        return Err(Refusal::unsupported("echo", "the prompt is not sent back"));
    }
    if own.best_of.is_some_and(|best| best != shared.n.unwrap_or(1)) {
        return Err(Refusal::unsupported("best_of", "ask for `n` answers and choose"));
    }
    Ok(())
}

fn choice(at: usize, whole: &Whole, with_logprobs: bool) -> Value {
    // A text that is continued has no thought apart from it.
    let text = whole.thought.clone() + &whole.text;
    let logprobs = with_logprobs.then(|| probabilities(&whole.tokens, 0));
    json!({"index": at, "text": text, "logprobs": logprobs, "finish_reason": finish(whole.reason)})
}

fn chunks(id: &str, created: u64, model: &str, tells_usage: bool, step: Step) -> Vec<Value> {
    let chunk = |choices: Value| {
        let mut chunk =
            json!({"id": id, "object": "text_completion", "created": created, "model": model, "choices": choices});
        if tells_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    };
    let one = |index: u32, text: &str, token: Option<TokenProbability>, reason: Option<&str>| {
        let logprobs = token.map(|token| probabilities(&[token], 0));
        chunk(json!([{"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}]))
    };
    match step {
        Step::Piece(Piece::Text { index, text, token }) => vec![one(index, &text, token, None)],
        Step::Piece(Piece::Thought { index, text }) => vec![one(index, &text, None, None)],
        Step::Piece(Piece::Finished { index, reason, .. }) => vec![one(index, "", None, finish(Some(reason)))],
        Step::End(used) if tells_usage => {
            let mut last = chunk(json!([]));
            last["usage"] = answering::usage(&used);
            vec![last]
        }
        Step::Failed(refusal) => vec![refusal.object()],
        _ => Vec::new(),
    }
}

/// The older shape of log-probabilities: one array for each property. `from`: where the first token begins, in characters.
fn probabilities(tokens: &[TokenProbability], from: usize) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut at = from;
    let mut offsets = Vec::with_capacity(tokens.len());
    for token in tokens {
        offsets.push(at);
        at += text(&token.bytes).chars().count();
    }
    let top = |token: &TokenProbability| -> Value {
        token.top.iter().map(|(bytes, logprob)| (text(bytes), json!(logprob))).collect::<serde_json::Map<_, _>>().into()
    };
    json!({
        "tokens": tokens.iter().map(|token| text(&token.bytes)).collect::<Vec<_>>(),
        "token_logprobs": tokens.iter().map(|token| token.logprob).collect::<Vec<_>>(),
        "top_logprobs": tokens.iter().map(top).collect::<Vec<_>>(),
        "text_offset": offsets,
    })
}
