//! `POST /v1/messages` and `/v1/messages/count_tokens`: what Anthropic's clients send.
//!
//! Source of the shapes: <https://docs.anthropic.com/en/api/messages>, <https://docs.anthropic.com/en/docs/build-with-claude/streaming>.

use axum::{
    Json,
    extract::{Request, State},
    response::Response,
};
use huacaya_app::{
    rows::Parameters,
    serving::{Asked, Asking, Piece, Reason, Said, Source, ToolChoice, Usage},
};
use schemars::JsonSchema;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value, json};

use crate::{
    Server,
    answering::{self, Frame, Step, Whole},
    body::{self, Nothing, Read},
    refusal::{Dialect, Refusal},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "MessagesRequest")]
pub(crate) struct Own {
    model: Option<String>,
    #[schemars(length(min = 1))]
    messages: Vec<Message>,
    system: Option<Content>,
    #[schemars(range(min = 1, max = 131_072))]
    max_tokens: Option<u32>,
    #[schemars(range(min = 0.0, max = 10.0))]
    temperature: Option<f32>,
    #[schemars(range(min = 0.0, max = 1.0))]
    top_p: Option<f32>,
    #[schemars(range(max = 1_000_000))]
    top_k: Option<u32>,
    stop_sequences: Option<Vec<String>>,
    stream: Option<bool>,
    tools: Option<Vec<Tool>>,
    tool_choice: Option<Choice>,
    thinking: Option<Thinking>,
    /// Says who asks; there is nobody here to tell.
    #[serde(rename = "metadata")]
    #[schemars(with = "Option<Value>")]
    _metadata: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "AnthropicMessage")]
struct Message {
    #[schemars(extend("enum" = ["user", "assistant"]))]
    role: String,
    content: Content,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "AnthropicContent")]
enum Content {
    Text(String),
    Blocks(Vec<Block>),
}

/// A block of any kind: each has some of the fields.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "AnthropicBlock")]
struct Block {
    #[serde(rename = "type")]
    #[schemars(extend("enum" = ["text", "thinking", "redacted_thinking", "tool_use", "tool_result"]))]
    kind: String,
    text: Option<String>,
    thinking: Option<String>,
    id: Option<String>,
    name: Option<String>,
    input: Option<Value>,
    tool_use_id: Option<String>,
    content: Option<Box<Content>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "AnthropicTool")]
struct Tool {
    #[serde(rename = "type")]
    #[schemars(extend("enum" = ["custom", null]))]
    kind: Option<String>,
    #[schemars(regex(pattern = "^[A-Za-z0-9_.-]{1,64}$"))]
    name: String,
    description: Option<String>,
    #[schemars(with = "Option<Map<String, Value>>")]
    input_schema: Option<Value>,
    /// Prefixes are remembered anyway.
    #[serde(rename = "cache_control")]
    #[schemars(with = "Option<Value>")]
    _cache_control: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "AnthropicToolChoice")]
struct Choice {
    #[serde(rename = "type")]
    #[schemars(extend("enum" = ["auto", "any", "none", "tool"]))]
    kind: String,
    name: Option<String>,
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "AnthropicThinking")]
struct Thinking {
    #[serde(rename = "type")]
    #[schemars(extend("enum" = ["enabled", "adaptive", "disabled"]))]
    kind: String,
    /// How long a model thinks is its own matter.
    #[serde(rename = "budget_tokens")]
    #[schemars(with = "Option<Value>")]
    _budget: Option<IgnoredAny>,
}

pub async fn complete(State(server): State<Server>, request: Request) -> Result<Response, Refusal> {
    let Read { own, ignored, source, .. } = body::read::<Own, Nothing>(&server, request).await?;
    if own.max_tokens.is_none() {
        return Err(Refusal::bad("max_tokens: Field required").field("max_tokens"));
    }
    let answers = server.app.ask(asking(&own, source)?).await.map_err(Refusal::logged)?;
    let id = answering::new_id("msg_")?;
    let mut message = Telling::new(id, answers.model().to_string(), own.stop_sequences.unwrap_or_default());
    if own.stream.unwrap_or(false) {
        let prompt = answers.prompt_tokens();
        let write = move |step| message.events(prompt, step);
        return Ok(ignored.on(answering::stream(&server, answers, Frame::Named, write)));
    }
    let whole = answering::gather(answers, 1).await?.pop().unwrap_or_default();
    Ok(ignored.on(Json(message.whole(&whole))))
}

pub async fn count(State(server): State<Server>, request: Request) -> Result<Response, Refusal> {
    let Read { own, ignored, source, .. } = body::read::<Own, Nothing>(&server, request).await?;
    let tokens = server.app.api_count_prompt(&asking(&own, source)?).await.map_err(Refusal::logged)?;
    Ok(ignored.on(Json(json!({"input_tokens": tokens}))))
}

fn asking(own: &Own, source: Source) -> Result<Asking, Refusal> {
    let mut said = Vec::new();
    if let Some(system) = &own.system {
        said.push(Said { role: "system".to_string(), text: text_of(system, "system")?, ..Said::default() });
    } else {
        // Without instructions there are none; those of the window are no program's.
        said.push(Said { role: "system".to_string(), ..Said::default() });
    }
    for (at, message) in own.messages.iter().enumerate() {
        say(&mut said, message, &format!("messages.{at}"))?;
    }
    let thinking = own.thinking.as_ref().is_some_and(|thinking| thinking.kind != "disabled");
    let (tool_choice, several_calls) = choice_of(own.tool_choice.as_ref())?;
    Ok(Asking {
        model: own.model.clone(),
        prompt: Asked::Chat(said),
        parameters: Parameters {
            temperature: own.temperature,
            top_p: own.top_p,
            top_k: own.top_k,
            stop: own.stop_sequences.clone(),
            tokens_max: own.max_tokens,
            thinking: Some(thinking),
            ..Parameters::default()
        },
        tools: own.tools.iter().flatten().map(tool_of).collect::<Result<_, _>>()?,
        tool_choice,
        several_calls,
        source,
        ..Asking::default()
    })
}

fn tool_of(tool: &Tool) -> Result<Value, Refusal> {
    if let Some(kind) = tool.kind.as_deref().filter(|kind| *kind != "custom") {
        let why = format!("tools of the type `{kind}` are Anthropic's own; only those with an `input_schema` work");
        return Err(Refusal::unsupported("tools", &why));
    }
    let mut function = json!({"name": tool.name});
    if let Some(description) = &tool.description {
        function["description"] = json!(description);
    }
    if let Some(schema) = &tool.input_schema {
        function["parameters"] = schema.clone();
    }
    Ok(json!({"type": "function", "function": function}))
}

/// Which tool, and whether several calls may be made.
fn choice_of(choice: Option<&Choice>) -> Result<(ToolChoice, bool), Refusal> {
    let Some(choice) = choice else { return Ok((ToolChoice::Auto, true)) };
    let wrong = |why: &str| Err(Refusal::bad(why).field("tool_choice"));
    let which = match (choice.kind.as_str(), &choice.name) {
        ("auto", _) => ToolChoice::Auto,
        ("any", _) => ToolChoice::Required,
        ("none", _) => ToolChoice::Never,
        ("tool", Some(name)) => ToolChoice::Named(name.clone()),
        ("tool", None) => return wrong("tool_choice.name: Field required"),
        (other, _) => return wrong(&format!("`{other}` is no choice of a tool")),
    };
    Ok((which, !choice.disable_parallel_tool_use.unwrap_or(false)))
}

/// A message as one or several of ours: what tools answered comes as messages of their own, before the words.
fn say(said: &mut Vec<Said>, message: &Message, field: &str) -> Result<(), Refusal> {
    let blocks = match &message.content {
        Content::Text(text) => {
            said.push(Said { role: message.role.clone(), text: text.clone(), ..Said::default() });
            return Ok(());
        }
        Content::Blocks(blocks) => blocks,
    };
    let mut own = Said { role: message.role.clone(), ..Said::default() };
    let (mut texts, mut thoughts, mut answered) = (Vec::new(), Vec::new(), false);
    for block in blocks {
        match (block.kind.as_str(), &block.text) {
            ("text", Some(text)) => texts.push(text.as_str()),
            ("thinking", _) => thoughts.extend(block.thinking.as_deref()),
            ("redacted_thinking", _) => {}
            ("tool_use", _) => {
                let function = json!({"name": block.name, "arguments": block.input});
                own.calls.push(json!({"id": block.id, "type": "function", "function": function}));
            }
            ("tool_result", _) => {
                let text = block.content.as_ref().map(|content| text_of(content, field)).transpose()?;
                let (role, call_id) = ("tool".to_string(), block.tool_use_id.clone());
                said.push(Said { role, text: text.unwrap_or_default(), call_id, ..Said::default() });
                answered = true;
            }
            (kind, _) => return Err(unsupported(kind, field)),
        }
    }
    (own.text, own.thought) = (texts.join("\n"), thoughts.join("\n"));
    if !answered || !own.text.is_empty() {
        said.push(own);
    }
    Ok(())
}

fn text_of(content: &Content, field: &str) -> Result<String, Refusal> {
    let blocks = match content {
        Content::Text(text) => return Ok(text.clone()),
        Content::Blocks(blocks) => blocks,
    };
    let text = |block: &Block| match (&block.text, block.kind.as_str()) {
        (Some(text), "text") => Ok(text.clone()),
        (_, kind) => Err(unsupported(kind, field)),
    };
    Ok(blocks.iter().map(text).collect::<Result<Vec<_>, _>>()?.join("\n"))
}

fn unsupported(kind: &str, field: &str) -> Refusal {
    Refusal::bad(format!("a block of type `{kind}` is not supported: the models here read text")).field(field)
}

/// A message on its way out.
struct Telling {
    id: String,
    model: String,
    stops: Vec<String>,
    /// The open block's kind.
    open: Option<&'static str>,
    /// Blocks that are closed.
    closed: u32,
}

impl Telling {
    fn new(id: String, model: String, stops: Vec<String>) -> Telling {
        Telling { id, model, stops, open: None, closed: 0 }
    }

    fn message(&self, content: &[Value], usage: Value) -> Value {
        json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": null,
            "stop_sequence": null,
            "usage": usage,
        })
    }

    fn whole(&self, whole: &Whole) -> Value {
        let mut content = Vec::new();
        if !whole.thought.is_empty() {
            content.push(json!({"type": "thinking", "thinking": whole.thought, "signature": ""}));
        }
        if !whole.text.is_empty() {
            content.push(json!({"type": "text", "text": whole.text}));
        }
        for call in &whole.calls {
            // Ours, so they are JSON.
            let input: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
            content.push(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input}));
        }
        let mut message = self.message(&content, usage(&whole.usage));
        (message["stop_reason"], message["stop_sequence"]) = self.reason(whole.reason);
        message
    }

    /// `stop_reason` and `stop_sequence`. Of several stop texts nobody says which it was.
    fn reason(&self, reason: Option<Reason>) -> (Value, Value) {
        let reason = match reason {
            Some(Reason::StopText) if !self.stops.is_empty() => {
                let only = self.stops.first().filter(|_| self.stops.len() == 1);
                return ("stop_sequence".into(), json!(only));
            }
            Some(Reason::Length) => "max_tokens",
            Some(Reason::ToolCalls) => "tool_use",
            Some(Reason::End | Reason::StopText) | None => "end_turn",
        };
        (reason.into(), Value::Null)
    }

    fn events(&mut self, prompt: u32, step: Step) -> Vec<Value> {
        let mut events = Vec::new();
        match step {
            Step::Begin => {
                let usage = usage(&Usage { prompt, ..Usage::default() });
                events.push(json!({"type": "message_start", "message": self.message(&[], usage)}));
            }
            Step::Piece(Piece::Text { text, .. }) if !text.is_empty() => {
                self.enter(json!({"type": "text", "text": ""}), "text", &mut events);
                events.push(self.delta(json!({"type": "text_delta", "text": text})));
            }
            Step::Piece(Piece::Thought { text, .. }) if !text.is_empty() => {
                self.enter(json!({"type": "thinking", "thinking": "", "signature": ""}), "thinking", &mut events);
                events.push(self.delta(json!({"type": "thinking_delta", "thinking": text})));
            }
            Step::Piece(Piece::Call { id, name, arguments, .. }) => {
                self.leave(&mut events);
                self.enter(json!({"type": "tool_use", "id": id, "name": name, "input": {}}), "tool_use", &mut events);
                events.push(self.delta(json!({"type": "input_json_delta", "partial_json": arguments})));
            }
            Step::Piece(Piece::Finished { reason, usage: used, .. }) => {
                self.leave(&mut events);
                let (reason, sequence) = self.reason(Some(reason));
                let delta = json!({"stop_reason": reason, "stop_sequence": sequence});
                events.push(json!({"type": "message_delta", "delta": delta, "usage": usage(&used)}));
                events.push(json!({"type": "message_stop"}));
            }
            Step::Failed(refusal) => events.push(refusal.object_in(Dialect::Anthropic)),
            Step::Piece(_) | Step::End(_) => {}
        }
        events
    }

    /// Opens a block, where none of its kind is open.
    fn enter(&mut self, block: Value, kind: &'static str, events: &mut Vec<Value>) {
        if self.open == Some(kind) {
            return;
        }
        self.leave(events);
        self.open = Some(kind);
        events.push(json!({"type": "content_block_start", "index": self.closed, "content_block": block}));
    }

    fn leave(&mut self, events: &mut Vec<Value>) {
        if self.open.take().is_some() {
            events.push(json!({"type": "content_block_stop", "index": self.closed}));
            self.closed += 1;
        }
    }

    fn delta(&self, delta: Value) -> Value {
        json!({"type": "content_block_delta", "index": self.closed, "delta": delta})
    }
}

/// What was known from before is counted apart.
fn usage(used: &Usage) -> Value {
    json!({
        "input_tokens": used.prompt - used.cached.min(used.prompt),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": used.cached,
        "output_tokens": used.completion,
    })
}
