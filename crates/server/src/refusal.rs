//! How a request is refused: the error object of the OpenAI API, with the status that its clients act on.
//!
//! Source: <https://platform.openai.com/docs/guides/error-codes>; the clients raise by status and read `message`, `type`,
//! `param` and `code`.

use axum::{
    Json,
    body::Body,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use huacaya_app::{Code, Error};
use serde_json::{Value, json};

/// An error that a client sees.
#[derive(Clone, Debug)]
pub struct Refusal {
    status: StatusCode,
    kind: &'static str,
    message: String,
    /// The field that is at fault.
    parameter: Option<String>,
    code: Option<String>,
    /// In seconds.
    retry_after: Option<String>,
    /// The request has a row in the log.
    logged: bool,
}

impl Refusal {
    pub fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, kind, message: message.into(), parameter: None, code: None, retry_after: None, logged: false }
    }

    /// What came of a request that has a row in the log, which says so.
    pub fn logged(error: Error) -> Refusal {
        Refusal { logged: true, ..error.into() }
    }

    /// The request itself is wrong.
    pub fn bad(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// What the field asks for is not there.
    pub fn unsupported(field: &str, why: &str) -> Refusal {
        Refusal::bad(format!("`{field}` is not supported here: {why}")).field(field).coded("unsupported_parameter")
    }

    pub fn closing() -> Refusal {
        Refusal::logged(Error::closing())
    }

    pub fn field(mut self, name: impl Into<String>) -> Refusal {
        self.parameter = Some(name.into());
        self
    }

    pub fn coded(mut self, code: impl Into<String>) -> Refusal {
        self.code = Some(code.into());
        self
    }

    /// What the log is to say of the request, where it says nothing yet.
    pub fn to_log(&self) -> Option<&str> {
        let code = self.code.as_deref().unwrap_or(self.kind);
        Some(code).filter(|_| !self.logged)
    }

    /// Whether it was refused for who asks.
    pub fn is_for_strangers(&self) -> bool {
        matches!(self.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
    }

    /// The object, also for a stream that has begun.
    pub fn object(&self) -> Value {
        json!({"error": {"message": self.message, "type": self.kind, "param": self.parameter, "code": self.code}})
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.object())).into_response();
        response.extensions_mut().insert(self.clone());
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after.and_then(|seconds| HeaderValue::from_str(&seconds).ok()) {
            headers.insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        let value = |name: &str| error.values.get(name).cloned();
        let bad = |detail: &str| Refusal::bad(detail).coded(error.code.as_str());
        let server = |status| Refusal::new(status, "server_error", &error.detail).coded(error.code.as_str());
        match error.code {
            Code::ModelUnknown | Code::NoModel => {
                let refusal = Refusal::new(StatusCode::NOT_FOUND, "invalid_request_error", &error.detail);
                refusal.field("model").coded("model_not_found")
            }
            Code::Busy => Refusal {
                retry_after: value("seconds"),
                ..Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", &error.detail)
                    .coded("rate_limit_exceeded")
            },
            Code::PromptTooLong => bad(&error.detail).coded("context_length_exceeded"),
            Code::ParameterInvalid => match value("parameter") {
                Some(name) => bad(&error.detail).field(wire_name(&name)),
                None => bad(&error.detail),
            },
            Code::ToolsInvalid | Code::ToolsUnsupported => bad(&error.detail).field("tools"),
            Code::FormatInvalid => bad(&error.detail).field("response_format"),
            Code::MessageEmpty
            | Code::Unfit
            | Code::TemplateFailed
            | Code::TemplateUnknown
            | Code::ModelIsBase
            | Code::AdapterAlone
            | Code::TextTooLong => bad(&error.detail),
            Code::MemoryShort | Code::Closing | Code::Stopped => server(StatusCode::SERVICE_UNAVAILABLE),
            _ => server(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

/// The language that a client expects, by the path that it asks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    OpenAi,
    Anthropic,
    Ollama,
}

impl Dialect {
    pub fn of(path: &str) -> Dialect {
        let below = |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        match path {
            _ if below("/v1/messages") => Dialect::Anthropic,
            _ if below("/api") => Dialect::Ollama,
            _ => Dialect::OpenAi,
        }
    }
}

impl Refusal {
    /// The object as the dialect's clients know it.
    pub fn object_in(&self, dialect: Dialect) -> Value {
        match dialect {
            Dialect::OpenAi => self.object(),
            Dialect::Anthropic => {
                json!({"type": "error", "error": {"type": self.anthropic_kind(), "message": self.message}})
            }
            Dialect::Ollama => json!({"error": self.message}),
        }
    }

    /// Source: <https://docs.anthropic.com/en/api/errors>.
    fn anthropic_kind(&self) -> &'static str {
        match self.status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::FORBIDDEN => "permission_error",
            StatusCode::NOT_FOUND => "not_found_error",
            StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
            status if status.is_client_error() => "invalid_request_error",
            _ => "api_error",
        }
    }
}

/// The response with its error, where it is one, in the words of the dialect.
pub fn translated(mut response: Response, dialect: Dialect) -> Response {
    let refusal = response.extensions_mut().remove::<Refusal>().filter(|_| dialect != Dialect::OpenAi);
    if let Some(refusal) = refusal {
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Body::from(refusal.object_in(dialect).to_string());
    }
    response
}

/// Our name of a parameter as OpenAI's clients know it.
fn wire_name(name: &str) -> &str {
    match name {
        "tokens_max" => "max_tokens",
        other => other,
    }
}

/// No route has this path.
pub async fn no_route(request: Request) -> Refusal {
    let words = format!("there is nothing at {} {}", request.method(), request.uri().path());
    Refusal::new(StatusCode::NOT_FOUND, "invalid_request_error", words).coded("unknown_url")
}

/// The route takes other methods.
pub async fn wrong_method(request: Request) -> Refusal {
    let words = format!("{} does not take {}", request.uri().path(), request.method());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", words).coded("method_not_allowed")
}
