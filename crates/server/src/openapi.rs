//! `GET /openapi.json`: everything that is answered here, as OpenAPI 3.1.
//!
//! Requests are described by the very types that read them. Answers have no types: `openapi/answers.json` has their
//! schemas, and `cargo xtask clients` holds the two together.

use std::sync::LazyLock;

use axum::Json;
use huacaya_app::VERSION;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::{
    answering::Frame, anthropic, chat, completions, drawing::Drawing, embeddings, guard::HEALTH, ollama,
    refusal::Dialect, responses, tokens,
};

const ANSWERS: &str = include_str!("openapi/answers.json");
/// Where the document keeps its schemas.
const SCHEMAS: &str = "#/components/schemas";
const JSON: &str = "application/json";
const TOOL_NAME: &str = "^[A-Za-z0-9_.-]{1,64}$";

/// A route as a program sees it.
struct Operation {
    /// As OpenAPI writes it: "get".
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    /// What a request says.
    body: Option<fn(&mut SchemaGenerator) -> Value>,
    /// The name of the answer's schema.
    answer: &'static str,
    /// How it is streamed where the request asks for that, and the name of an event's schema.
    stream: Option<(Frame, &'static str)>,
}

impl Operation {
    const fn get(path: &'static str, summary: &'static str, answer: &'static str) -> Operation {
        Operation { method: "get", path, summary, body: None, answer, stream: None }
    }

    const fn post(
        path: &'static str,
        summary: &'static str,
        body: fn(&mut SchemaGenerator) -> Value,
        answer: &'static str,
    ) -> Operation {
        Operation { method: "post", path, summary, body: Some(body), answer, stream: None }
    }

    const fn streamed(self, frame: Frame, event: &'static str) -> Operation {
        Operation { stream: Some((frame, event)), ..self }
    }
}

static OPERATIONS: &[Operation] = &[
    Operation::get("/health", "Whether the server is there", "Health"),
    Operation::get("/openapi.json", "This document", "OpenApi"),
    Operation::get("/v1/models", "The models that can be asked", "ModelList"),
    Operation::get("/v1/models/{*name}", "One of them", "Model"),
    Operation::post("/v1/chat/completions", "Answer a talk", both::<chat::Own, Drawing>, "ChatCompletion")
        .streamed(Frame::Data, "ChatCompletionChunk"),
    Operation::post("/v1/completions", "Continue a text", both::<completions::Own, Drawing>, "Completion")
        .streamed(Frame::Data, "Completion"),
    Operation::post("/v1/embeddings", "Texts as vectors of length 1", one::<embeddings::Own>, "EmbeddingList"),
    Operation::post("/v1/responses", "Answer a talk, in OpenAI's newer form", one::<responses::Own>, "Response")
        .streamed(Frame::Named, "ResponseEvent"),
    Operation::post("/v1/messages", "Answer a talk, in Anthropic's form", one::<anthropic::Own>, "Message")
        .streamed(Frame::Named, "MessageEvent"),
    Operation::post("/v1/messages/count_tokens", "Count a talk's tokens", one::<anthropic::Own>, "TokenCount"),
    Operation::get("/api/version", "The program's version", "OllamaVersion"),
    Operation::get("/api/tags", "The models that can be asked", "OllamaModels"),
    Operation::get("/api/ps", "Those in memory", "OllamaRunning"),
    Operation::post("/api/show", "What is known of a model", one::<ollama::Show>, "OllamaShown"),
    Operation::post(
        "/api/chat",
        "Answer a talk, in Ollama's form",
        both::<ollama::Chat, ollama::Shared>,
        "OllamaChatted",
    )
    .streamed(Frame::Lines, "OllamaChatted"),
    Operation::post(
        "/api/generate",
        "Answer or continue a text",
        both::<ollama::Text, ollama::Shared>,
        "OllamaGenerated",
    )
    .streamed(Frame::Lines, "OllamaGenerated"),
    Operation::post("/api/embed", "Texts as vectors of length 1", one::<ollama::Embed>, "OllamaEmbedded"),
    Operation::post("/api/embeddings", "One text as a vector", one::<ollama::OldEmbed>, "OllamaEmbedding"),
    Operation::post("/tokenize", "A text as tokens", one::<tokens::Text>, "Tokens"),
    Operation::post("/detokenize", "Tokens as a text", one::<tokens::Tokens>, "Content"),
];

/// Statuses of every route, and what they mean.
const ALWAYS: &[(u16, &str)] = &[
    (400, "The request is wrong; the message says where"),
    (403, "Asked by another name than this machine's, or by a web page that the person did not list"),
    (405, "The path takes other methods"),
    (431, "The head of the request is too large; nothing is read of it, and the answer has no body"),
    (500, "The program failed"),
    (503, "Memory is short, or the program is being closed"),
];
const WITH_TOKEN: &[(u16, &str)] = &[(401, "The token is missing or wrong")];
const WITH_NAME: &[(u16, &str)] =
    &[(404, "There is no model of this name"), (414, "The name is far too long; the answer has no body")];
const WITH_BODY: &[(u16, &str)] = &[
    (404, "There is no model of this name"),
    (408, "The request took too long to come"),
    (413, "The request is too large"),
    (429, "Too many requests wait already"),
];

pub async fn openapi() -> Json<&'static Value> {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(document);
    Json(&DOCUMENT)
}

fn one<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// A request that is read by two types.
fn both<A: JsonSchema, B: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    json!({"allOf": [one::<A>(generator), one::<B>(generator)]})
}

fn document() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = SCHEMAS.trim_start_matches('#').into();
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let told = operation.told(&mut generator);
        paths.insert(shown(operation.path), json!({operation.method: told}));
    }
    let mut schemas = generator.take_definitions(true);
    // Ours; a test misses them where it cannot be read.
    let answers: Map<String, Value> = serde_json::from_str(ANSWERS).unwrap_or_default();
    schemas.extend(answers);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Huacaya",
            "version": VERSION,
            "summary": "Language models of this machine, in the forms of OpenAI's, Anthropic's and Ollama's APIs",
            "description": "Fields that nobody here knows are accepted, and named in the header x-huacaya-warning.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
        "security": [{"bearer": []}, {"key": []}],
    })
}

fn named(schema: &str) -> Value {
    json!({"$ref": format!("{SCHEMAS}/{schema}")})
}

/// The media type of a stream, and the schema of each of its events as OpenAPI has them: what stands in their fields.
fn streamed(frame: Frame, event: Value, error: Value) -> (&'static str, Value) {
    let payload = |schema: Value| json!({"type": "string", "contentMediaType": JSON, "contentSchema": schema});
    let (name, data) = match frame {
        Frame::Lines => {
            return ("application/x-ndjson", json!({"type": "string", "description": "Each line is JSON."}));
        }
        Frame::Data => {
            (Value::Null, json!({"anyOf": [{"const": "[DONE]"}, payload(json!({"anyOf": [event, error]}))]}))
        }
        Frame::Named => (json!({"type": "string", "description": "The `type` of the data."}), payload(event)),
    };
    let mut schema = json!({"type": "object", "required": ["data"], "properties": {"data": data}});
    if !name.is_null() {
        schema["required"] = json!(["event", "data"]);
        schema["properties"]["event"] = name;
    }
    ("text/event-stream", schema)
}

/// A tool, where it is read as JSON.
pub fn tool() -> Value {
    json!({
        "type": "object",
        "required": ["type", "function"],
        "properties": {
            "type": {"const": "function"},
            "function": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "pattern": TOOL_NAME},
                    "description": {"type": "string"},
                    "parameters": {"type": "object", "description": "A JSON schema."},
                },
            },
        },
    })
}

/// The same in the newer form: its fields stand beside its type.
pub fn plain_tool() -> Value {
    json!({
        "type": "object",
        "required": ["type", "name"],
        "properties": {
            "type": {"const": "function"},
            "name": {"type": "string", "pattern": TOOL_NAME},
            "description": {"type": ["string", "null"]},
            "parameters": {"type": ["object", "null"], "description": "A JSON schema."},
        },
    })
}

pub fn plain_choices() -> Value {
    json!([
        {"enum": ["auto", "none", "required", null]},
        {
            "type": "object",
            "required": ["type", "name"],
            "properties": {"type": {"const": "function"}, "name": {"type": "string"}},
        },
    ])
}

/// A call that an earlier answer made.
pub fn tool_call() -> Value {
    json!({
        "type": "object",
        "required": ["function"],
        "properties": {
            "id": {"type": "string"},
            "type": {"const": "function"},
            "function": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "arguments": {"type": ["string", "object"]}},
            },
        },
    })
}

pub fn plain_formats() -> Value {
    json!([
        {"type": "null"},
        {"type": "object", "required": ["type"], "properties": {"type": {"enum": ["text", "json_object"]}}},
        {
            "type": "object",
            "required": ["type", "schema"],
            "properties": {"type": {"const": "json_schema"}, "schema": {"type": "object"}},
        },
    ])
}

/// Of a token.
pub fn bias() -> Value {
    json!({"type": "number", "minimum": -1_000, "maximum": 1_000})
}

/// The router's `{*name}` is OpenAPI's `{name}`.
fn shown(path: &str) -> String {
    path.replace("{*", "{")
}

impl Operation {
    fn told(&self, generator: &mut SchemaGenerator) -> Value {
        let mut told = json!({"summary": self.summary});
        if self.path == HEALTH {
            told["security"] = json!([]);
        }
        if self.has_name() {
            told["parameters"] = json!([{"name": "name", "in": "path", "required": true, "schema": {"type": "string"},
                "description": "May have slashes."}]);
        }
        if let Some(body) = self.body {
            told["requestBody"] = json!({"required": true, "content": {JSON: {"schema": body(generator)}}});
        }
        let mut answers = Map::new();
        answers.insert("200".into(), self.answer());
        for (status, meaning) in self.refusals() {
            answers.insert(status.to_string(), self.refusal(status, meaning));
        }
        told["responses"] = answers.into();
        told
    }

    fn has_name(&self) -> bool {
        self.path.contains('{')
    }

    fn answer(&self) -> Value {
        let mut content = json!({JSON: {"schema": named(self.answer)}});
        if let Some((frame, event)) = self.stream {
            let (kind, schema) = streamed(frame, named(event), named(self.error()));
            content[kind] = json!({"schema": schema});
        }
        let mut answer = json!({"description": self.summary, "content": content});
        if self.body.is_some() {
            let words = "Fields of the request that were not understood and had no effect.";
            answer["headers"] = json!({"x-huacaya-warning": {"description": words, "schema": {"type": "string"}}});
        }
        answer
    }

    /// In the order of the statuses.
    fn refusals(&self) -> Vec<(u16, &'static str)> {
        let mut all = ALWAYS.to_vec();
        for (applies, statuses) in
            [(self.path != HEALTH, WITH_TOKEN), (self.has_name(), WITH_NAME), (self.body.is_some(), WITH_BODY)]
        {
            all.extend(statuses.iter().filter(|_| applies));
        }
        all.sort_unstable();
        all
    }

    /// The name of the schema that its refusals have.
    fn error(&self) -> &'static str {
        match Dialect::of(self.path) {
            Dialect::OpenAi => "OpenAiError",
            Dialect::Anthropic => "AnthropicError",
            Dialect::Ollama => "OllamaError",
        }
    }

    fn refusal(&self, status: u16, meaning: &str) -> Value {
        let mut told = json!({
            "description": meaning,
            "content": {JSON: {"schema": named(self.error())}},
        });
        if matches!(status, 414 | 431) {
            told = json!({"description": meaning});
        }
        let header = match status {
            401 => Some(("WWW-Authenticate", "`Bearer`.")),
            429 => Some(("Retry-After", "Seconds until it is worth to ask again.")),
            _ => None,
        };
        if let Some((name, words)) = header {
            told["headers"] = json!({name: {"description": words, "schema": {"type": "string"}}});
        }
        told
    }
}
