//! `/api/…`: what clients need that know only Ollama.
//!
//! Source of the shapes: <https://docs.ollama.com/api>; durations are in nanoseconds.

use std::time::{Duration, Instant, SystemTime};

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use huacaya_app::{
    VERSION,
    rows::{Model, ModelKind, Parameters},
    serving::{Answers, ApiModel, Asked, Asking, Format, Piece, Reason, Said, Source, Usage},
};
use schemars::JsonSchema;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value, json};

use crate::{
    Server,
    answering::{self, Call, Frame, Step},
    body::{self, Ignored, Nothing, Read},
    completions::Prompts,
    drawing::{OneOrMany, fold},
    openapi,
    refusal::{Dialect, Refusal},
};

/// Texts of one request, as at `/v1/embeddings`.
const INPUTS_MAX: usize = 2_048;

/// What a chat and a text to continue share.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "OllamaShared")]
pub(crate) struct Shared {
    model: Option<String>,
    stream: Option<bool>,
    #[schemars(extend("anyOf" = [{"type": "object"}, {"enum": ["json", "", null]}]))]
    format: Option<Value>,
    think: Option<Value>,
    options: Option<Map<String, Value>>,
    /// The person says how long models stay; 0 in a request without words takes the model out of the memory.
    keep_alive: Option<Value>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "OllamaChatOwn")]
pub(crate) struct Chat {
    messages: Option<Vec<Message>>,
    #[schemars(extend("items" = openapi::tool()))]
    tools: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "OllamaMessage")]
struct Message {
    #[schemars(extend("enum" = ["system", "user", "assistant", "tool"]))]
    role: String,
    content: Option<String>,
    thinking: Option<String>,
    #[schemars(with = "Option<Vec<Value>>", length(max = 0))]
    images: Option<Vec<IgnoredAny>>,
    #[schemars(extend("items" = openapi::tool_call()))]
    tool_calls: Option<Vec<Value>>,
    tool_name: Option<String>,
    tool_call_id: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "OllamaGenerateOwn")]
pub(crate) struct Text {
    prompt: Option<String>,
    system: Option<String>,
    /// Not supported: the models here write forward only.
    #[schemars(length(max = 0))]
    suffix: Option<String>,
    #[schemars(with = "Option<Vec<Value>>", length(max = 0))]
    images: Option<Vec<IgnoredAny>>,
    /// Not supported: the library says which template a model has.
    #[schemars(length(max = 0))]
    template: Option<String>,
    /// Not supported: `/api/chat` takes the talk.
    #[schemars(length(max = 0))]
    context: Option<Vec<u32>>,
    raw: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "OllamaEmbedRequest")]
pub(crate) struct Embed {
    model: Option<String>,
    input: Prompts,
    truncate: Option<bool>,
    dimensions: Option<usize>,
    #[serde(rename = "options")]
    #[schemars(with = "Option<Value>")]
    _options: Option<IgnoredAny>,
    #[serde(rename = "keep_alive")]
    #[schemars(with = "Option<Value>")]
    _keep_alive: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "OllamaEmbeddingsRequest")]
pub(crate) struct OldEmbed {
    model: Option<String>,
    prompt: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "OllamaShowRequest")]
pub(crate) struct Show {
    model: Option<String>,
    name: Option<String>,
}

pub async fn version() -> Json<Value> {
    Json(json!({"version": VERSION}))
}

pub async fn tags(State(server): State<Server>) -> Result<Json<Value>, Refusal> {
    let models = server.app.api_models().await?;
    Ok(Json(json!({"models": models.iter().map(|model| listed(&model.row)).collect::<Vec<_>>()})))
}

/// Those in memory.
pub async fn running(State(server): State<Server>) -> Result<Json<Value>, Refusal> {
    let models = server.app.api_models().await?;
    let loaded = models.iter().filter(|model| model.row.loaded_by.is_some()).map(|model| {
        let mut told = listed(&model.row);
        told["size_vram"] = json!(0);
        told["context_length"] = json!(model.row.context_tokens);
        told
    });
    Ok(Json(json!({"models": loaded.collect::<Vec<_>>()})))
}

pub async fn show(State(server): State<Server>, request: Request) -> Result<Response, Refusal> {
    let Read { own, ignored, .. } = body::read::<Show, Nothing>(&server, request).await?;
    let ApiModel { row, .. } = server.app.api_model_called(own.model.or(own.name).as_deref()).await?;
    let mut capabilities = vec!["completion"];
    if server.app.api_takes_tools(row.id).await? {
        capabilities.push("tools");
    }
    if row.thinks {
        capabilities.push("thinking");
    }
    let architecture = row.architecture.as_str();
    Ok(ignored.on(Json(json!({
        "modelfile": "",
        "parameters": "",
        "template": row.template,
        "details": details(&row),
        "model_info": {
            "general.architecture": architecture,
            "general.basename": row.name,
            "general.parameter_count": row.parameter_count,
            format!("{architecture}.context_length"): row.context_tokens,
        },
        "capabilities": capabilities,
        "modified_at": when(Duration::from_millis(row.added_ms.unsigned_abs())),
    }))))
}

pub async fn chat(State(server): State<Server>, request: Request) -> Result<Response, Refusal> {
    let began = Instant::now();
    let Read { own, shared, mut ignored, source } = body::read::<Chat, Shared>(&server, request).await?;
    let messages = own.messages.unwrap_or_default();
    if messages.is_empty() {
        let empty = json!({"role": "assistant", "content": ""});
        return load(&server, &source, &shared, &ignored, ("message", empty)).await;
    }
    let said = messages.iter().map(said).collect::<Result<_, _>>()?;
    let asking =
        Asking { tools: own.tools.unwrap_or_default(), ..asking(&shared, Asked::Chat(said), source, &mut ignored)? };
    respond(&server, &shared, &ignored, asking, Telling::new(began, false)).await
}

pub async fn generate(State(server): State<Server>, request: Request) -> Result<Response, Refusal> {
    let began = Instant::now();
    let Read { own, shared, mut ignored, source } = body::read::<Text, Shared>(&server, request).await?;
    refuse(&own)?;
    let prompt = own.prompt.unwrap_or_default();
    if prompt.is_empty() {
        return load(&server, &source, &shared, &ignored, ("response", json!(""))).await;
    }
    let prompt = match own.raw.unwrap_or(false)
        || server.app.api_model_called(shared.model.as_deref()).await?.row.kind == ModelKind::Base
    {
        true => Asked::Text(prompt),
        false => {
            let system = own.system.map(|text| Said { role: "system".to_string(), text, ..Said::default() });
            let asked = Said { role: "user".to_string(), text: prompt, ..Said::default() };
            Asked::Chat(system.into_iter().chain([asked]).collect())
        }
    };
    let asking = asking(&shared, prompt, source, &mut ignored)?;
    respond(&server, &shared, &ignored, asking, Telling::new(began, true)).await
}

pub async fn embed(State(server): State<Server>, request: Request) -> Result<Response, Refusal> {
    let began = Instant::now();
    let Read { own, mut ignored, source, .. } = body::read::<Embed, Nothing>(&server, request).await?;
    let inputs = own.input.all();
    if !(1..=INPUTS_MAX).contains(&inputs.len()) {
        return Err(Refusal::bad(format!("{} texts were given; 1 to {INPUTS_MAX} are allowed", inputs.len())));
    }
    if own.truncate == Some(true) {
        // A text that is too long is an error, never cut in silence.
        ignored.note("truncate");
    }
    let embedded = server.app.api_embed_from(&source, own.model.as_deref(), inputs).await.map_err(Refusal::logged)?;
    let width = embedded.vectors.first().map_or(0, Vec::len);
    if own.dimensions.is_some_and(|wanted| wanted != width) {
        return Err(Refusal::unsupported("dimensions", &format!("this model's vectors have {width} numbers")));
    }
    Ok(ignored.on(Json(json!({
        "model": embedded.model,
        "embeddings": embedded.vectors,
        "total_duration": nanoseconds(began.elapsed()),
        "load_duration": 0,
        "prompt_eval_count": embedded.tokens,
    }))))
}

/// The older form: one text, one vector.
pub async fn embed_one(State(server): State<Server>, request: Request) -> Result<Response, Refusal> {
    let Read { own, ignored, source, .. } = body::read::<OldEmbed, Nothing>(&server, request).await?;
    let (model, text) = (own.model.as_deref(), vec![Asked::Text(own.prompt)]);
    let mut embedded = server.app.api_embed_from(&source, model, text).await.map_err(Refusal::logged)?;
    Ok(ignored.on(Json(json!({"embedding": embedded.vectors.pop()}))))
}

/// A request without words asks for the model to be in memory, or out of it, and has an empty text where words are elsewhere.
async fn load(
    server: &Server,
    source: &Source,
    shared: &Shared,
    ignored: &Ignored,
    (field, empty): (&str, Value),
) -> Result<Response, Refusal> {
    let name = shared.model.as_deref();
    let (done, reason) = match shared.keep_alive.as_ref().is_some_and(is_nothing) {
        true => (server.app.api_leave(source, name).await, "unload"),
        false => (server.app.api_load(source, name).await, "load"),
    };
    let model = done.map_err(Refusal::logged)?;
    let mut line = json!({"model": model.id, "created_at": now(), "done_reason": reason, "done": true});
    line[field] = empty;
    Ok(ignored.on(Json(line)))
}

/// No time at all: a number of seconds, or a number with a unit.
fn is_nothing(time: &Value) -> bool {
    time.as_f64() == Some(0.0) || time.as_str().is_some_and(|text| ["0", "0s", "0m", "0h"].contains(&text))
}

async fn respond(
    server: &Server,
    shared: &Shared,
    ignored: &Ignored,
    asking: Asking,
    mut telling: Telling,
) -> Result<Response, Refusal> {
    let answers: Answers = server.app.ask(asking).await.map_err(Refusal::logged)?;
    telling.model = answers.model().to_string();
    telling.loaded = telling.began.elapsed();
    if shared.stream.unwrap_or(true) {
        let write = move |step| telling.lines(step);
        return Ok(ignored.on(answering::stream(server, answers, Frame::Lines, write)));
    }
    let whole = answering::gather(answers, 1).await?.pop().unwrap_or_default();
    let mut line = telling.line(&whole.text, &whole.thought, &whole.calls);
    telling.finish(&mut line, whole.reason, &whole.usage);
    Ok(ignored.on(Json(line).into_response()))
}

fn refuse(own: &Text) -> Result<(), Refusal> {
    if own.suffix.as_ref().is_some_and(|suffix| !suffix.is_empty()) {
        return Err(Refusal::unsupported("suffix", "the models here write forward only"));
    }
    if own.images.as_ref().is_some_and(|images| !images.is_empty()) {
        return Err(Refusal::unsupported("images", "the models here read text"));
    }
    if own.template.as_ref().is_some_and(|template| !template.is_empty()) {
        return Err(Refusal::unsupported("template", "a model's template is set in the library; use `raw`"));
    }
    if own.context.as_ref().is_some_and(|context| !context.is_empty()) {
        return Err(Refusal::unsupported("context", "send the talk to /api/chat"));
    }
    Ok(())
}

fn asking(shared: &Shared, prompt: Asked, source: Source, ignored: &mut Ignored) -> Result<Asking, Refusal> {
    let mut parameters = parameters(shared.options.as_ref(), ignored)?;
    // A word says how hard to think.
    parameters.thinking = shared.think.as_ref().and_then(|think| match think {
        Value::Bool(on) => Some(*on),
        Value::String(_) => Some(true),
        _ => None,
    });
    let format = match &shared.format {
        None | Some(Value::Null) => None,
        Some(Value::String(word)) if word.is_empty() => None,
        Some(Value::String(word)) if word == "json" => Some(Format::JsonObject),
        Some(schema @ Value::Object(_)) => Some(Format::JsonSchema(schema.clone())),
        Some(_) => return Err(Refusal::bad("`format` is neither \"json\" nor a JSON schema").field("format")),
    };
    Ok(Asking { model: shared.model.clone(), prompt, parameters, format, source, ..Asking::default() })
}

/// Ollama's names for how tokens are drawn.
fn parameters(options: Option<&Map<String, Value>>, ignored: &mut Ignored) -> Result<Parameters, Refusal> {
    let mut parameters = Parameters::default();
    for (name, value) in options.into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        let wrong = || Refusal::bad(format!("`options.{name}` cannot be {value}")).field(format!("options.{name}"));
        let real = || value.as_f64().map(|value| value as f32).ok_or_else(wrong).map(Some);
        let whole = || value.as_u64().and_then(|value| u32::try_from(value).ok()).ok_or_else(wrong).map(Some);
        match name.as_str() {
            "temperature" => parameters.temperature = real()?,
            "top_p" => parameters.top_p = real()?,
            "min_p" => parameters.min_p = real()?,
            "top_k" => parameters.top_k = whole()?,
            "repeat_penalty" => parameters.repetition_penalty = real()?,
            "presence_penalty" => parameters.presence_penalty = real()?,
            "frequency_penalty" => parameters.frequency_penalty = real()?,
            "seed" => parameters.seed = Some(fold(value.as_i64().ok_or_else(wrong)?)),
            // Negative numbers mean all that there is: so many as the context holds.
            "num_predict" if value.as_i64().is_some_and(|count| count < 0) => {}
            "num_predict" => parameters.tokens_max = whole()?,
            "repeat_last_n" if value.as_i64().is_some_and(|count| count < 0) => ignored.note("options.repeat_last_n"),
            "repeat_last_n" => parameters.penalty_window = whole()?,
            "stop" => {
                let stops: OneOrMany = serde_json::from_value(value.clone()).map_err(|_| wrong())?;
                parameters.stop = Some(stops.all());
            }
            _ => ignored.note(format!("options.{name}")),
        }
    }
    Ok(parameters)
}

fn said(message: &Message) -> Result<Said, Refusal> {
    if message.images.as_ref().is_some_and(|images| !images.is_empty()) {
        return Err(Refusal::unsupported("images", "the models here read text"));
    }
    Ok(Said {
        role: message.role.clone(),
        text: message.content.clone().unwrap_or_default(),
        thought: message.thinking.clone().unwrap_or_default(),
        calls: message.tool_calls.clone().unwrap_or_default(),
        call_id: message.tool_call_id.clone(),
        name: message.tool_name.clone(),
    })
}

/// An answer on its way out.
struct Telling {
    model: String,
    /// A text alone, not a message.
    plain: bool,
    began: Instant,
    /// Until the model was there.
    loaded: Duration,
}

impl Telling {
    fn new(began: Instant, plain: bool) -> Telling {
        Telling { model: String::new(), plain, began, loaded: Duration::ZERO }
    }

    fn lines(&self, step: Step) -> Vec<Value> {
        vec![match step {
            Step::Piece(Piece::Text { text, .. }) if !text.is_empty() => self.line(&text, "", &[]),
            Step::Piece(Piece::Thought { text, .. }) if !text.is_empty() => self.line("", &text, &[]),
            Step::Piece(Piece::Call { id, name, arguments, .. }) => self.line("", "", &[Call { id, name, arguments }]),
            Step::Piece(Piece::Finished { reason, usage, .. }) => {
                let mut line = self.line("", "", &[]);
                self.finish(&mut line, Some(reason), &usage);
                line
            }
            Step::Failed(refusal) => refusal.object_in(Dialect::Ollama),
            Step::Begin | Step::Piece(_) | Step::End(_) => return Vec::new(),
        }]
    }

    fn line(&self, text: &str, thought: &str, calls: &[Call]) -> Value {
        let mut line = json!({"model": self.model, "created_at": now()});
        let (mut said, key) = match self.plain {
            true => (json!({"response": text}), "response"),
            false => (json!({"role": "assistant", "content": text}), "message"),
        };
        if !thought.is_empty() {
            said["thinking"] = json!(thought);
        }
        if !calls.is_empty() {
            let told = |(at, call): (usize, &Call)| {
                // Ours, so they are JSON.
                let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
                json!({"id": call.id, "function": {"index": at, "name": call.name, "arguments": arguments}})
            };
            said["tool_calls"] = calls.iter().enumerate().map(told).collect();
        }
        match (self.plain, said) {
            (true, Value::Object(fields)) => fields.into_iter().for_each(|(name, value)| line[name] = value),
            (_, said) => line[key] = said,
        }
        line["done"] = false.into();
        line
    }

    fn finish(&self, line: &mut Value, reason: Option<Reason>, used: &Usage) {
        let total = self.began.elapsed();
        let reading = Duration::from_millis(used.first_token_ms);
        line["done"] = true.into();
        line["done_reason"] = if reason == Some(Reason::Length) { "length" } else { "stop" }.into();
        line["total_duration"] = nanoseconds(total).into();
        line["load_duration"] = nanoseconds(self.loaded).into();
        line["prompt_eval_count"] = used.prompt.into();
        line["prompt_eval_duration"] = nanoseconds(reading).into();
        line["eval_count"] = used.completion.into();
        line["eval_duration"] = nanoseconds(total.saturating_sub(self.loaded + reading)).into();
    }
}

fn listed(row: &Model) -> Value {
    json!({
        "name": row.name,
        "model": row.name,
        "modified_at": when(Duration::from_millis(row.added_ms.unsigned_abs())),
        "size": row.file_bytes,
        "digest": row.sha256.clone().unwrap_or_default(),
        "details": details(row),
    })
}

fn details(row: &Model) -> Value {
    let billions = row.parameter_count as f64 / 1e9;
    let size = if billions >= 1.0 { format!("{billions:.1}B") } else { format!("{:.1}M", billions * 1e3) };
    json!({
        "parent_model": "",
        "format": "gguf",
        "family": row.architecture,
        "families": [row.architecture],
        "parameter_size": size,
        "quantization_level": row.quantization,
    })
}

fn now() -> String {
    when(SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default())
}

/// A time since 1970, as RFC 3339 writes it.
fn when(since: Duration) -> String {
    humantime::format_rfc3339_micros(SystemTime::UNIX_EPOCH + since).to_string()
}

fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
