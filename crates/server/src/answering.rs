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
use futures_util::{StreamExt, stream};
use huacaya_app::serving::{Answers, Piece, Reason, TokenProbability, Usage};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use crate::refusal::Refusal;

/// Events between an answer and a slow client.
const QUEUE: usize = 64;
/// A client that takes nothing for so long is gone, whatever its connection says.
const CLIENT_TIME: Duration = Duration::from_secs(30);
/// Proxies cut connections that are silent for a minute.
const SILENCE: Duration = Duration::from_secs(15);

/// An answer that has come to its end.
#[derive(Default)]
pub struct Whole {
    pub text: String,
    pub thought: String,
    pub tokens: Vec<TokenProbability>,
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
pub async fn gather(mut answers: Answers, count: u32, closing: watch::Receiver<bool>) -> Result<Vec<Whole>, Refusal> {
    let mut all: Vec<Whole> = (0..count).map(|_| Whole::default()).collect();
    while let Some(piece) = next(&mut answers, closing.clone()).await {
        match piece? {
            Piece::Text { index, text, token } => {
                let whole = &mut all[index as usize];
                whole.text.push_str(&text);
                whole.tokens.extend(token);
            }
            Piece::Call { index, id, name, arguments } => {
                all[index as usize].calls.push(Call { id, name, arguments });
            }
            Piece::Thought { index, text } => all[index as usize].thought.push_str(&text),
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
    mut answers: Answers,
    closing: watch::Receiver<bool>,
    frame: Frame,
    mut write: impl FnMut(Step) -> Vec<Value> + Send + 'static,
) -> Response {
    let (sender, receiver) = mpsc::channel::<Value>(QUEUE);
    tokio::spawn(async move {
        let mut used = Usage::default();
        let mut events = write(Step::Begin);
        loop {
            for event in events.drain(..) {
                if !matches!(timeout(CLIENT_TIME, sender.send(event)).await, Ok(Ok(()))) {
                    return;
                }
            }
            let piece = tokio::select! {
                piece = next(&mut answers, closing.clone()) => piece,
                () = sender.closed() => return,
            };
            events = match piece {
                Some(Ok(piece)) => {
                    if let Piece::Finished { usage, .. } = &piece {
                        add(&mut used, usage);
                    }
                    write(Step::Piece(piece))
                }
                Some(Err(refusal)) => {
                    for event in write(Step::Failed(refusal)) {
                        // The client may be gone by now.
                        let _ = sender.send(event).await;
                    }
                    return;
                }
                None => break,
            };
        }
        let done = (frame == Frame::Data).then_some(Value::Null);
        for event in write(Step::End(used)).into_iter().chain(done) {
            if sender.send(event).await.is_err() {
                return;
            }
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
        piece = answers.next() => piece.map(|piece| piece.map_err(Refusal::from)),
        _ = closing.wait_for(|closing| *closing) => Some(Err(Refusal::closing())),
    }
}

/// The answers of one request read one prompt.
pub fn add(sum: &mut Usage, one: &Usage) {
    sum.prompt = sum.prompt.max(one.prompt);
    sum.cached = sum.cached.max(one.cached);
    sum.completion += one.completion;
    sum.thought += one.thought;
}

pub fn usage(used: &Usage) -> Value {
    json!({
        "prompt_tokens": used.prompt,
        "completion_tokens": used.completion,
        "total_tokens": used.prompt + used.completion,
        "prompt_tokens_details": {"cached_tokens": used.cached},
        "completion_tokens_details": {"reasoning_tokens": used.thought},
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
