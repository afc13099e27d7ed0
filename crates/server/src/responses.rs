//! `POST /v1/responses`: what OpenAI's newer clients send. Nothing is kept between requests.
//!
//! Source of the shapes: <https://platform.openai.com/docs/api-reference/responses>.

mod telling;

use axum::{
    Json,
    extract::{Request, State},
    response::Response,
};
use huacaya_app::{
    rows::Parameters,
    serving::{Asked, Asking, Format, Said, Source, ToolChoice},
};
use schemars::JsonSchema;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use crate::{
    Server,
    answering::{self, Frame},
    body::{self, Nothing, Read},
    openapi,
    refusal::Refusal,
};
use telling::Telling;

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ResponsesRequest")]
pub(crate) struct Own {
    model: Option<String>,
    #[schemars(required)]
    input: Option<Input>,
    instructions: Option<String>,
    #[schemars(range(min = 1, max = 131_072))]
    max_output_tokens: Option<u32>,
    #[schemars(range(min = 0.0, max = 10.0))]
    temperature: Option<f32>,
    #[schemars(range(min = 0.0, max = 1.0))]
    top_p: Option<f32>,
    stream: Option<bool>,
    #[schemars(extend("items" = openapi::plain_tool()))]
    tools: Option<Vec<Value>>,
    #[schemars(extend("anyOf" = openapi::plain_choices()))]
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    text: Option<Text>,
    reasoning: Option<Reasoning>,
    metadata: Option<Value>,
    /// Nothing is kept between requests.
    #[schemars(with = "Option<()>")]
    previous_response_id: Option<String>,
    #[schemars(with = "Option<()>")]
    conversation: Option<Value>,
    #[schemars(with = "Option<()>")]
    prompt: Option<Value>,
    #[schemars(extend("enum" = [false, null]))]
    background: Option<bool>,
    /// Nothing is kept, whatever is wished.
    #[serde(rename = "store")]
    #[schemars(with = "Option<Value>")]
    _store: Option<IgnoredAny>,
    /// An input that is too long is an error, never cut.
    #[serde(rename = "truncation")]
    #[schemars(with = "Option<Value>")]
    _truncation: Option<IgnoredAny>,
    #[serde(rename = "user")]
    #[schemars(with = "Option<Value>")]
    _user: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "ResponsesInput")]
enum Input {
    Text(String),
    Items(Vec<Item>),
}

/// An item of any kind: each has some of the fields.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ResponsesItem")]
struct Item {
    #[serde(rename = "type")]
    #[schemars(extend("enum" = ["message", "reasoning", "function_call", "function_call_output", null]))]
    kind: Option<String>,
    #[schemars(extend("enum" = ["system", "developer", "user", "assistant", null]))]
    role: Option<String>,
    content: Option<Content>,
    summary: Option<Vec<Part>>,
    call_id: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
    output: Option<Content>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "ResponsesContent")]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ResponsesPart")]
struct Part {
    #[serde(rename = "type")]
    #[schemars(extend("enum" = ["input_text", "output_text", "text", "refusal", "summary_text", "reasoning_text"]))]
    kind: String,
    text: Option<String>,
    refusal: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ResponsesText")]
struct Text {
    #[schemars(extend("anyOf" = openapi::plain_formats()))]
    format: Option<Value>,
    /// How much to say is for the prompt to tell.
    #[serde(rename = "verbosity")]
    #[schemars(with = "Option<Value>")]
    _verbosity: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ResponsesReasoning")]
struct Reasoning {
    effort: Option<String>,
    /// Thoughts are told whole.
    #[serde(rename = "summary")]
    #[schemars(with = "Option<Value>")]
    _summary: Option<IgnoredAny>,
}

pub async fn respond(State(server): State<Server>, request: Request) -> Result<Response, Refusal> {
    let Read { own, ignored, source, .. } = body::read::<Own, Nothing>(&server, request).await?;
    refuse(&own)?;
    let answers = server.app.ask(asking(&own, source)?).await.map_err(Refusal::logged)?;
    let echoed = echoed(&own, answers.model());
    let mut telling = Telling::new(answering::new_id("")?, answering::now(), echoed);
    if own.stream.unwrap_or(false) {
        let write = move |step| telling.events(step);
        return Ok(ignored.on(answering::stream(&server, answers, Frame::Named, write)));
    }
    let whole = answering::gather(answers, 1).await?.pop().unwrap_or_default();
    Ok(ignored.on(Json(telling.whole(whole))))
}

/// What would need to be remembered, or works elsewhere.
fn refuse(own: &Own) -> Result<(), Refusal> {
    let kept = "nothing is kept between requests; send the whole talk as `input`";
    if own.previous_response_id.is_some() {
        return Err(Refusal::unsupported("previous_response_id", kept));
    }
    if own.conversation.as_ref().is_some_and(|conversation| !conversation.is_null()) {
        return Err(Refusal::unsupported("conversation", kept));
    }
    if own.prompt.as_ref().is_some_and(|prompt| !prompt.is_null()) {
        return Err(Refusal::unsupported("prompt", "there are no prompts kept here"));
    }
    if own.background == Some(true) {
        return Err(Refusal::unsupported("background", "an answer is written while its client waits"));
    }
    Ok(())
}

/// What the response repeats of the request.
fn echoed(own: &Own, model: &str) -> Value {
    let format = own.text.as_ref().and_then(|text| text.format.clone()).unwrap_or_else(|| json!({"type": "text"}));
    json!({
        "model": model,
        "instructions": own.instructions,
        "max_output_tokens": own.max_output_tokens,
        "temperature": own.temperature,
        "top_p": own.top_p,
        "tools": own.tools.clone().unwrap_or_default(),
        "tool_choice": own.tool_choice.clone().unwrap_or_else(|| "auto".into()),
        "parallel_tool_calls": own.parallel_tool_calls.unwrap_or(true),
        "text": {"format": format},
        "reasoning": {"effort": own.reasoning.as_ref().and_then(|reasoning| reasoning.effort.clone()), "summary": null},
        "metadata": own.metadata.clone().unwrap_or_else(|| json!({})),
        "truncation": "disabled",
        "store": false,
        "background": false,
        "previous_response_id": null,
    })
}

fn asking(own: &Own, source: Source) -> Result<Asking, Refusal> {
    let mut said = Vec::new();
    if let Some(text) = &own.instructions {
        said.push(Said { role: "system".to_string(), text: text.clone(), ..Said::default() });
    }
    match &own.input {
        None => return Err(Refusal::bad("Missing required parameter: 'input'.").field("input")),
        Some(Input::Text(text)) => {
            said.push(Said { role: "user".to_string(), text: text.clone(), ..Said::default() });
        }
        Some(Input::Items(items)) => {
            for (at, item) in items.iter().enumerate() {
                say(&mut said, item, &format!("input[{at}]"))?;
            }
        }
    }
    let effort = own.reasoning.as_ref().and_then(|reasoning| reasoning.effort.as_deref());
    Ok(Asking {
        model: own.model.clone(),
        prompt: Asked::Chat(said),
        parameters: Parameters {
            temperature: own.temperature,
            top_p: own.top_p,
            tokens_max: own.max_output_tokens,
            thinking: effort.map(|effort| effort != "none"),
            ..Parameters::default()
        },
        format: own.text.as_ref().and_then(|text| text.format.as_ref()).map(format_of).transpose()?.flatten(),
        tools: own.tools.iter().flatten().map(tool_of).collect::<Result<_, _>>()?,
        tool_choice: own.tool_choice.as_ref().map_or(Ok(ToolChoice::Auto), choice_of)?,
        several_calls: own.parallel_tool_calls.unwrap_or(true),
        source,
        ..Asking::default()
    })
}

fn format_of(format: &Value) -> Result<Option<Format>, Refusal> {
    match format["type"].as_str() {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(Format::JsonObject)),
        Some("json_schema") => Ok(Some(Format::JsonSchema(format["schema"].clone()))),
        _ => Err(Refusal::unsupported("text.format", "it is `text`, `json_object` or `json_schema`")),
    }
}

/// Here a tool's fields stand beside its type.
fn tool_of(tool: &Value) -> Result<Value, Refusal> {
    let kind = tool["type"].as_str().unwrap_or_default();
    if kind != "function" {
        let why = format!("tools of the type `{kind}` run at OpenAI; only functions work here");
        return Err(Refusal::unsupported("tools", &why));
    }
    let mut function = json!({"name": tool["name"]});
    for key in ["description", "parameters"] {
        if let Some(value) = tool.get(key).filter(|value| !value.is_null()) {
            function[key] = value.clone();
        }
    }
    Ok(json!({"type": "function", "function": function}))
}

fn choice_of(choice: &Value) -> Result<ToolChoice, Refusal> {
    match (choice.as_str(), choice["type"].as_str(), choice["name"].as_str()) {
        (Some("auto"), ..) => Ok(ToolChoice::Auto),
        (Some("none"), ..) => Ok(ToolChoice::Never),
        (Some("required"), ..) => Ok(ToolChoice::Required),
        (None, Some("function"), Some(name)) => Ok(ToolChoice::Named(name.to_string())),
        _ => Err(Refusal::bad(format!("`{choice}` is no choice of a tool")).field("tool_choice")),
    }
}

/// Adds an item to what was said: a thought and calls belong to the assistant's message beside them.
fn say(said: &mut Vec<Said>, item: &Item, field: &str) -> Result<(), Refusal> {
    let kind = item.kind.as_deref().unwrap_or("message");
    match kind {
        "message" => {
            let role = item.role.clone().ok_or_else(|| Refusal::bad("the message has no role").field(field))?;
            let text = item.content.as_ref().map_or(Ok(String::new()), |content| text_of(content, field))?;
            match said.last_mut().filter(|last| is_open(last) && role == "assistant") {
                Some(last) => last.text = text,
                None => said.push(Said { role, text, ..Said::default() }),
            }
        }
        "reasoning" => {
            let parts = match &item.content {
                Some(Content::Parts(parts)) if !parts.is_empty() => parts.as_slice(),
                _ => item.summary.as_deref().unwrap_or_default(),
            };
            let thought: Vec<&str> = parts.iter().filter_map(|part| part.text.as_deref()).collect();
            let thought = thought.join("\n");
            said.push(Said { role: "assistant".to_string(), thought, ..Said::default() });
        }
        "function_call" => {
            let function = json!({"name": item.name, "arguments": item.arguments});
            let call = json!({"id": item.call_id, "type": "function", "function": function});
            match said.last_mut().filter(|last| last.role == "assistant") {
                Some(last) => last.calls.push(call),
                None => said.push(Said { role: "assistant".to_string(), calls: vec![call], ..Said::default() }),
            }
        }
        "function_call_output" => {
            let text = item.output.as_ref().map_or(Ok(String::new()), |output| text_of(output, field))?;
            said.push(Said { role: "tool".to_string(), text, call_id: item.call_id.clone(), ..Said::default() });
        }
        other => {
            return Err(Refusal::bad(format!("an item of type `{other}` is not supported")).field(field));
        }
    }
    Ok(())
}

/// A thought that waits for its words.
fn is_open(said: &Said) -> bool {
    said.role == "assistant" && said.text.is_empty() && said.calls.is_empty() && !said.thought.is_empty()
}

fn text_of(content: &Content, field: &str) -> Result<String, Refusal> {
    let parts = match content {
        Content::Text(text) => return Ok(text.clone()),
        Content::Parts(parts) => parts,
    };
    let text = |part: &Part| match (part.kind.as_str(), part.text.as_ref().or(part.refusal.as_ref())) {
        ("input_text" | "output_text" | "text" | "refusal", Some(text)) => Ok(text.clone()),
        (kind, _) => {
            let words = format!("a part of type `{kind}` is not supported: only text is");
            Err(Refusal::bad(words).field(field).coded("unsupported_content"))
        }
    };
    Ok(parts.iter().map(text).collect::<Result<Vec<_>, _>>()?.join("\n"))
}
