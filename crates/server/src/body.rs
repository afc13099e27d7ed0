//! What a request says: read within limits, every type checked, what nobody knows listed and not lost.

use std::collections::BTreeSet;

use axum::{
    body::{HttpBody, to_bytes},
    extract::Request,
    http::{self, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use huacaya_app::serving::Source;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use crate::{Peer, Server, refusal::Refusal};

/// A context of a million tokens is some 4 MB of text; with tokens as numbers some 8.
const BYTES_MAX: usize = 32 << 20;
/// Names in the warning: a hint for a developer, not a copy of the request.
const NAMED_MAX: usize = 16;
/// Letters of the warning: clients have limits on what a header holds.
const WARNING_MAX: usize = 1_000;
/// Lists the fields of a request that were not understood.
pub const WARNING: HeaderName = HeaderName::from_static("x-huacaya-warning");

/// A request's two halves: what is its own, and what it shares with others; what neither knows; and where it came from.
pub struct Read<A, B> {
    pub own: A,
    pub shared: B,
    pub ignored: Ignored,
    pub source: Source,
}

/// Fields that nothing here understands.
#[derive(Clone, Debug, Default)]
pub struct Ignored(Vec<String>);

/// Nothing.
#[derive(serde::Deserialize, schemars::JsonSchema)]
pub struct Nothing {}

/// Reads and checks the body.
pub async fn read<A: DeserializeOwned, B: DeserializeOwned>(
    server: &Server,
    request: Request,
) -> Result<Read<A, B>, Refusal> {
    let (source, time) = (source_of(&request), server.options.limits.body_time);
    let large = || {
        let words = format!("the request is larger than {} MB", BYTES_MAX >> 20);
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", words).coded("request_too_large")
    };
    let slow = |_| {
        let words = format!("the request did not come within {} seconds", time.as_secs_f32());
        Refusal::new(StatusCode::REQUEST_TIMEOUT, "invalid_request_error", words).coded("request_timeout")
    };
    if request.body().size_hint().lower() > BYTES_MAX as u64 {
        return Err(large());
    }
    let body = timeout(time, to_bytes(request.into_body(), BYTES_MAX)).await.map_err(slow)?;
    let bytes = body.map_err(|error| match std::error::Error::source(&error).is_some_and(is_length) {
        true => large(),
        false => Refusal::bad(format!("the request broke off: {error}")),
    })?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Refusal::bad(format!("the request is not JSON: {error}")).coded("invalid_json"))?;
    if !value.is_object() {
        return Err(Refusal::bad("the request must be a JSON object"));
    }
    let (own, not_own) = half(&value)?;
    let (shared, not_shared) = half(&value)?;
    Ok(Read { own, shared, ignored: Ignored(not_own.intersection(&not_shared).cloned().collect()), source })
}

/// Where a request came from. All that ask have the person's token, and on one machine all have its address: programs are told
/// apart by what they call themselves.
pub fn source_of<B>(request: &http::Request<B>) -> Source {
    let address = request.extensions().get::<Peer>().map(|peer| peer.0.to_string()).unwrap_or_default();
    let program = request.headers().get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
    Source {
        method: request.method().to_string(),
        path: request.uri().path().to_string(),
        client: format!("{address} {}", String::from_utf8_lossy(program)),
    }
}

fn is_length(error: &(dyn std::error::Error + 'static)) -> bool {
    error.to_string().contains("length limit")
}

fn half<T: DeserializeOwned>(value: &Value) -> Result<(T, BTreeSet<String>), Refusal> {
    let mut ignored = BTreeSet::new();
    let mut note = |path: serde_ignored::Path<'_>| {
        ignored.insert(path.to_string());
    };
    let deserializer = serde_ignored::Deserializer::new(value, &mut note);
    let read = serde_path_to_error::deserialize(deserializer);
    let read = read.map_err(|error| {
        let (path, why) = (error.path().to_string(), error.inner().to_string());
        // A missing field is missing from the whole.
        let refusal = Refusal::bad(if path == "." { why.clone() } else { format!("`{path}`: {why}") });
        if path == "." { refusal } else { refusal.field(path).coded("invalid_type") }
    })?;
    Ok((read, ignored))
}

impl Ignored {
    /// Something that was read and has no effect.
    pub fn note(&mut self, field: impl Into<String>) {
        self.0.push(field.into());
    }

    /// The response, with a line about what was not understood.
    pub fn on(&self, response: impl IntoResponse) -> Response {
        let mut response = response.into_response();
        if !self.0.is_empty() {
            let names: Vec<&str> = self.0.iter().take(NAMED_MAX).map(String::as_str).collect();
            let more = if self.0.len() > NAMED_MAX { ", and more" } else { "" };
            let words = format!("not understood and ignored: {}{more}", names.join(", "));
            let plain: String = words
                .chars()
                .take(WARNING_MAX)
                .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
                .collect();
            if let Ok(value) = HeaderValue::from_str(&plain) {
                response.headers_mut().insert(WARNING, value);
            }
        }
        response
    }
}
