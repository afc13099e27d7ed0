//! `POST /v1/chat/completions`.
//!
//! Source of the shapes: <https://platform.openai.com/docs/api-reference/chat>; `reasoning_content` as DeepSeek's API and
//! llama.cpp's server have it.

use axum::{
    Json,
    extract::{Request, State},
    response::Response,
};
use huacaya_app::serving::{Asked, Asking, Piece, Said, Source, TokenProbability, ToolChoice};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    Server,
    answering::{self, Frame, Step, Whole, finish},
    body::{self, Read},
    drawing::Drawing,
    openapi,
    refusal::Refusal,
};

/// What is a chat's own.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ChatCompletionOwn")]
pub(crate) struct Own {
    #[schemars(length(min = 1))]
    messages: Vec<Message>,
    logprobs: Option<bool>,
    #[schemars(range(max = 20))]
    top_logprobs: Option<u32>,
    chat_template_kwargs: Option<Map<String, Value>>,
    reasoning_effort: Option<String>,
    #[schemars(extend("items" = openapi::tool()))]
    tools: Option<Vec<Value>>,
    tool_choice: Option<Choice>,
    parallel_tool_calls: Option<bool>,
    /// Not known any more: `tools` are.
    #[schemars(extend("maxItems" = 0))]
    functions: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ChatMessage")]
struct Message {
    #[schemars(extend("enum" = ["system", "developer", "user", "assistant", "tool", "function"]))]
    role: String,
    content: Option<Content>,
    reasoning_content: Option<String>,
    #[schemars(extend("items" = openapi::tool_call()))]
    tool_calls: Option<Vec<Value>>,
    tool_call_id: Option<String>,
    name: Option<String>,
}

/// Which tool is to be called: a word, or one by name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "ChatToolChoice")]
enum Choice {
    Word(#[schemars(extend("enum" = ["auto", "none", "required"]))] String),
    Named { function: Function },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ChatFunctionName")]
struct Function {
    name: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "ChatContent")]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ChatPart")]
struct Part {
    #[serde(rename = "type")]
    #[schemars(extend("enum" = ["text"]))]
    kind: String,
    text: Option<String>,
}

/// What every chunk of a stream repeats.
struct Head {
    id: String,
    created: u64,
    model: String,
}

pub async fn complete(State(server): State<Server>, request: Request) -> Result<Response, Refusal> {
    let Read { own, shared, ignored, source } = body::read::<Own, Drawing>(&server, request).await?;
    let asking = asking(&own, &shared, source)?;
    let count = asking.count;
    let answers = server.app.ask(asking).await.map_err(Refusal::logged)?;
    let head =
        Head { id: answering::new_id("chatcmpl-")?, created: answering::now(), model: answers.model().to_string() };
    if shared.streams() {
        let tells_usage = shared.tells_usage();
        let mut calls = vec![0; count as usize];
        let write = move |step| chunks(&head, &mut calls, tells_usage, step);
        return Ok(ignored.on(answering::stream(&server, answers, Frame::Data, write)));
    }
    let with_logprobs = own.logprobs.unwrap_or(false);
    let all = answering::gather(answers, count).await?;
    let choices: Vec<Value> = all.iter().enumerate().map(|(at, whole)| choice(at, whole, with_logprobs)).collect();
    Ok(ignored.on(Json(json!({
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": choices,
        "usage": answering::usage(&answering::used(&all)),
    }))))
}

fn asking(own: &Own, shared: &Drawing, source: Source) -> Result<Asking, Refusal> {
    if own.functions.as_ref().is_some_and(|functions| !functions.is_empty()) {
        return Err(Refusal::unsupported("functions", "use `tools`"));
    }
    let mut parameters = shared.parameters()?;
    let (thinking, template) = template(own);
    parameters.thinking = thinking;
    let logprobs = match (own.logprobs.unwrap_or(false), own.top_logprobs) {
        (true, most) => Some(most.unwrap_or(0)),
        (false, None | Some(0)) => None,
        (false, Some(_)) => {
            return Err(Refusal::bad("`top_logprobs` needs `logprobs` to be true").field("top_logprobs"));
        }
    };
    Ok(Asking {
        model: shared.model.clone(),
        prompt: Asked::Chat(
            own.messages.iter().enumerate().map(|(at, message)| said(at, message)).collect::<Result<_, _>>()?,
        ),
        parameters,
        count: shared.n.unwrap_or(1),
        logprobs,
        format: shared.format()?,
        tools: own.tools.clone().unwrap_or_default(),
        tool_choice: choice_of(own.tool_choice.as_ref())?,
        several_calls: own.parallel_tool_calls.unwrap_or(true),
        template,
        source,
        ..Asking::default()
    })
}

fn choice_of(choice: Option<&Choice>) -> Result<ToolChoice, Refusal> {
    Ok(match choice {
        None => ToolChoice::Auto,
        Some(Choice::Named { function }) => ToolChoice::Named(function.name.clone()),
        Some(Choice::Word(word)) => match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::Never,
            "required" => ToolChoice::Required,
            _ => return Err(Refusal::bad(format!("`{word}` is no choice of a tool")).field("tool_choice")),
        },
    })
}

/// Whether templates that can are to let the model think first, and what else goes to the template.
fn template(own: &Own) -> (Option<bool>, Map<String, Value>) {
    let mut thinking = own.reasoning_effort.as_deref().map(|effort| effort != "none");
    let mut values = own.chat_template_kwargs.clone().unwrap_or_default();
    if let Some(on) = values.get("enable_thinking").and_then(Value::as_bool) {
        thinking = Some(on);
        values.shift_remove("enable_thinking");
    }
    (thinking, values)
}

fn said(at: usize, message: &Message) -> Result<Said, Refusal> {
    let field = || format!("messages.{at}");
    let text = match &message.content {
        None => String::new(),
        Some(Content::Text(text)) => text.clone(),
        Some(Content::Parts(parts)) => {
            let mut texts = Vec::new();
            for part in parts {
                match &part.text {
                    Some(text) if part.kind == "text" => texts.push(text.as_str()),
                    _ => {
                        let words = format!("a part of type `{}` is not supported: only text is", part.kind);
                        return Err(Refusal::bad(words).field(field()).coded("unsupported_content"));
                    }
                }
            }
            texts.join("\n")
        }
    };
    Ok(Said {
        role: message.role.clone(),
        text,
        thought: message.reasoning_content.clone().unwrap_or_default(),
        calls: message.tool_calls.clone().unwrap_or_default(),
        call_id: message.tool_call_id.clone(),
        name: message.name.clone(),
    })
}

fn choice(at: usize, whole: &Whole, with_logprobs: bool) -> Value {
    let mut message = json!({"role": "assistant", "content": whole.text});
    if !whole.calls.is_empty() {
        message["tool_calls"] = whole.calls.iter().map(|call| told(&call.id, &call.name, &call.arguments)).collect();
        if whole.text.is_empty() {
            message["content"] = Value::Null;
        }
    }
    if !whole.thought.is_empty() {
        message["reasoning_content"] = json!(whole.thought);
    }
    let logprobs = with_logprobs.then(|| json!({"content": whole.tokens.iter().map(probability).collect::<Vec<_>>()}));
    json!({"index": at, "message": message, "logprobs": logprobs, "finish_reason": finish(whole.reason)})
}

fn told(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

/// `calls`: how many each answer has made.
fn chunks(head: &Head, calls: &mut [u32], tells_usage: bool, step: Step) -> Vec<Value> {
    let chunk = |choices: Value| {
        let mut chunk = json!({
            "id": head.id,
            "object": "chat.completion.chunk",
            "created": head.created,
            "model": head.model,
            "choices": choices,
        });
        if tells_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    };
    let one = |index: u32, delta: Value, logprobs: Option<Value>, reason: Option<&str>| {
        chunk(json!([{"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}]))
    };
    match step {
        Step::Begin => {
            (0..calls.len() as u32).map(|at| one(at, json!({"role": "assistant", "content": ""}), None, None)).collect()
        }
        Step::Piece(Piece::Text { index, text, token }) => {
            let logprobs = token.map(|token| json!({"content": [probability(&token)]}));
            vec![one(index, json!({"content": text}), logprobs, None)]
        }
        Step::Piece(Piece::Thought { index, text, .. }) if !text.is_empty() => {
            vec![one(index, json!({"reasoning_content": text}), None, None)]
        }
        Step::Piece(Piece::Finished { index, reason, .. }) => vec![one(index, json!({}), None, finish(Some(reason)))],
        Step::Piece(Piece::Call { index, id, name, arguments }) => {
            let mut call = told(&id, &name, &arguments);
            let number = &mut calls[index as usize];
            call["index"] = json!(*number);
            *number += 1;
            vec![one(index, json!({"tool_calls": [call]}), None, None)]
        }
        Step::Failed(refusal) => vec![refusal.object()],
        Step::Piece(_) => Vec::new(),
        Step::End(used) if tells_usage => {
            let mut last = chunk(json!([]));
            last["usage"] = answering::usage(&used);
            vec![last]
        }
        Step::End(_) => Vec::new(),
    }
}

fn probability(token: &TokenProbability) -> Value {
    let one = |bytes: &[u8], logprob: f32| json!({"token": String::from_utf8_lossy(bytes), "logprob": logprob, "bytes": bytes});
    let mut told = one(&token.bytes, token.logprob);
    told["top_logprobs"] = token.top.iter().map(|(bytes, logprob)| one(bytes, *logprob)).collect();
    told
}
