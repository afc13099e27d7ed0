//! Answers on their way out: gathered whole, or streamed as server-sent events while they are written.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    http::header,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt, stream};
use huacaya_app::serving::{Answers, Piece, Reason, TokenProbability, Usage};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::{Server, refusal::Refusal};

/// Events between an answer and a slow client.
const QUEUE: usize = 64;
/// Proxies cut connections that are silent for a minute.
const SILENCE: Duration = Duration::from_secs(15);

/// An answer that has come to its end.
#[derive(Default)]
pub struct Whole {
    pub text: String,
    pub thought: String,
    /// The prompt and its tokens, where they were asked for.
    pub echo: String,
    pub prompt: Vec<TokenProbability>,
    /// Those of the text.
    pub tokens: Vec<TokenProbability>,
    /// Those of the thought.
    pub thought_tokens: Vec<TokenProbability>,
    pub calls: Vec<Call>,
    pub reason: Option<Reason>,
    pub usage: Usage,
}

/// A tool that an answer calls.
#[derive(Debug)]
pub struct Call {
    pub id: String,
    pub name: String,
    /// A JSON object.
    pub arguments: String,
}

/// A step of a stream.
pub enum Step {
    Begin,
    Piece(Piece),
    /// All answers have ended.
    End(Usage),
    /// No more comes.
    Failed(Refusal),
}

/// How the values of a stream are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Server-sent events, with `[DONE]` behind the last.
    Data,
    /// Server-sent events by the name of their `type`.
    Named,
    /// A line each.
    Lines,
}

/// Waits for all the answers.
pub async fn gather(mut answers: Answers, count: u32) -> Result<Vec<Whole>, Refusal> {
    let mut all: Vec<Whole> = (0..count).map(|_| Whole::default()).collect();
    while let Some(piece) = answers.next().await {
        match piece.map_err(Refusal::logged)? {
            Piece::Text { index, text, token } => {
                let whole = &mut all[index as usize];
                whole.text.push_str(&text);
                whole.tokens.extend(token);
            }
            Piece::Call { index, id, name, arguments } => {
                all[index as usize].calls.push(Call { id, name, arguments });
            }
            Piece::Thought { index, text, token } => {
                let whole = &mut all[index as usize];
                whole.thought.push_str(&text);
                whole.thought_tokens.extend(token);
            }
            // All of them read the same prompt.
            Piece::Prompt { text, tokens, .. } => {
                for whole in &mut all {
                    whole.echo.push_str(&text);
                    whole.prompt.extend_from_slice(&tokens);
                }
            }
            Piece::Finished { index, reason, usage } => {
                let whole = &mut all[index as usize];
                (whole.reason, whole.usage) = (Some(reason), usage);
            }
            _ => {}
        }
    }
    Ok(all)
}

/// Sends what `write` makes of each step. The work stops when the client goes, within one token.
pub fn stream(
    server: &Server,
    answers: Answers,
    frame: Frame,
    write: impl FnMut(Step) -> Vec<Value> + Send + 'static,
) -> Response {
    stream_all(server, stream::iter([Ok(answers)]), 1, frame, write)
}

/// The same for several prompts, one behind the other, each with `count` answers: theirs are numbered on.
pub fn stream_all(
    server: &Server,
    prompts: impl Stream<Item = Result<Answers, Refusal>> + Send + 'static,
    count: u32,
    frame: Frame,
    mut write: impl FnMut(Step) -> Vec<Value> + Send + 'static,
) -> Response {
    let (sender, receiver) = mpsc::channel::<Value>(QUEUE);
    let closing = server.closing.clone();
    tokio::spawn(async move {
        let work = send(prompts, count, frame, &sender, &closing, &mut write);
        tokio::select! {
            () = work => {}
            () = sender.closed() => {}
        }
    });
    let values = stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
    if frame == Frame::Lines {
        let lines = Body::from_stream(values.map(|value| Ok::<_, Infallible>(format!("{value}\n"))));
        return ([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response();
    }
    let events = values.map(move |value| Ok::<_, Infallible>(event(&value, frame)));
    Sse::new(events).keep_alive(KeepAlive::new().interval(SILENCE)).into_response()
}

async fn send(
    prompts: impl Stream<Item = Result<Answers, Refusal>>,
    count: u32,
    frame: Frame,
    sender: &mpsc::Sender<Value>,
    closing: &watch::Receiver<bool>,
    write: &mut (impl FnMut(Step) -> Vec<Value> + Send),
) {
    let mut prompts = std::pin::pin!(prompts);
    tell(sender, write(Step::Begin)).await;
    let (mut sum, mut from) = (Usage::default(), 0);
    while let Some(answers) = prompts.next().await {
        let mut answers = match answers {
            Ok(answers) => answers,
            Err(refusal) => return tell(sender, write(Step::Failed(refusal))).await,
        };
        let mut used = Vec::new();
        while let Some(piece) = next(&mut answers, closing.clone()).await {
            match piece {
                Ok(piece) => {
                    if let Piece::Finished { usage, .. } = &piece {
                        used.push(*usage);
                    }
                    tell(sender, write(Step::Piece(piece.shifted(from)))).await;
                }
                Err(refusal) => return tell(sender, write(Step::Failed(refusal))).await,
            }
        }
        add(&mut sum, &together(&used));
        from += count;
    }
    tell(sender, write(Step::End(sum))).await;
    if frame == Frame::Data {
        tell(sender, vec![Value::Null]).await;
    }
}

async fn tell(sender: &mpsc::Sender<Value>, events: Vec<Value>) {
    for event in events {
        // Where the client is gone, the work is stopped as well.
        let _ = sender.send(event).await;
    }
}

fn event(value: &Value, frame: Frame) -> Event {
    if value.is_null() {
        return Event::default().data("[DONE]");
    }
    let event = Event::default().data(value.to_string());
    match value["type"].as_str().filter(|_| frame == Frame::Named) {
        Some(name) => event.event(name),
        None => event,
    }
}

/// The next piece; an error when the server is being stopped.
async fn next(answers: &mut Answers, mut closing: watch::Receiver<bool>) -> Option<Result<Piece, Refusal>> {
    tokio::select! {
        biased;
        piece = answers.next() => piece.map(|piece| piece.map_err(Refusal::logged)),
        _ = closing.wait_for(|closing| *closing) => Some(Err(Refusal::closing())),
    }
}

/// What the answers to one prompt took: it was read once for all, as far as it was not known to each.
pub fn together(answers: &[Usage]) -> Usage {
    let most = |of: fn(&Usage) -> u32| answers.iter().map(of).max().unwrap_or_default();
    let sum = |of: fn(&Usage) -> u32| answers.iter().map(of).sum();
    Usage {
        prompt: most(|used| used.prompt),
        cached: answers.iter().map(|used| used.cached).min().unwrap_or_default(),
        completion: sum(|used| used.completion),
        thought: sum(|used| used.thought),
        drafted: sum(|used| used.drafted),
        accepted: sum(|used| used.accepted),
        first_token_ms: answers.iter().map(|used| used.first_token_ms).min().unwrap_or_default(),
    }
}

/// Adds what another prompt took.
pub fn add(sum: &mut Usage, one: &Usage) {
    sum.prompt += one.prompt;
    sum.cached += one.cached;
    sum.completion += one.completion;
    sum.thought += one.thought;
    sum.drafted += one.drafted;
    sum.accepted += one.accepted;
}

/// Of all the answers to one prompt.
pub fn used(answers: &[Whole]) -> Usage {
    together(&answers.iter().map(|whole| whole.usage).collect::<Vec<_>>())
}

pub fn usage(used: &Usage) -> Value {
    json!({
        "prompt_tokens": used.prompt,
        "completion_tokens": used.completion,
        "total_tokens": used.prompt + used.completion,
        "prompt_tokens_details": {"cached_tokens": used.cached},
        "completion_tokens_details": {
            "reasoning_tokens": used.thought,
            "accepted_prediction_tokens": used.accepted,
            "rejected_prediction_tokens": used.drafted - used.accepted,
        },
    })
}

/// `finish_reason`.
pub fn finish(reason: Option<Reason>) -> Option<&'static str> {
    Some(match reason? {
        Reason::Length => "length",
        Reason::ToolCalls => "tool_calls",
        Reason::End | Reason::StopText => "stop",
    })
}

/// A name that nobody else has, such as "chatcmpl-5f1c…".
pub fn new_id(prefix: &str) -> Result<String, Refusal> {
    let mut bytes = [0u8; 12];
    getrandom::fill(&mut bytes).map_err(|error| Refusal::from(huacaya_app::Error::internal(error)))?;
    Ok(bytes.iter().fold(prefix.to_string(), |id, byte| id + &format!("{byte:02x}")))
}

/// Seconds since 1970.
pub fn now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}
