//! Who may ask: checked for every request before any route, unknown paths and preflights included.
//!
//! A page in the person's browser can send requests to this machine. `Host` stops those that come by a name which an
//! attacker points here (DNS rebinding); `Origin` and `Sec-Fetch-Site` stop the pages that the person did not list; the
//! token stops every program that the person did not give it to.

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{self, AUTHORIZATION, HOST, ORIGIN},
        request::Parts,
        uri::Authority,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use huacaya_app::serving::Source;
use subtle::ConstantTimeEq;

use crate::{
    HEAD_BYTES_MAX, Server, Shared,
    body::{WARNING, source_of},
    refusal::{Dialect, Refusal, translated},
    window,
};

/// Answers without a token: says nothing but that the server is there.
pub const HEALTH: &str = "/health";
/// Seconds that a browser may keep the answer to a preflight.
const PREFLIGHT_SECONDS: &str = "600";
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What the headers of a request allow.
enum Pass {
    Go,
    /// A browser asks whether it may ask.
    Preflight,
}

pub async fn guard(State(server): State<Server>, request: Request, next: Next) -> Response {
    let listed = one(request.headers(), &ORIGIN).filter(|origin| is_listed(&server, origin)).cloned();
    let source = source_of(&request);
    let (head, body) = request.into_parts();
    let response = match check(&server, &head).await {
        Ok(Pass::Go) => {
            let mut closing = server.closing.clone();
            tokio::select! {
                biased;
                response = next.run(Request::from_parts(head, body)) => response,
                // Whoever waits for a turn or for a whole answer is told, too.
                _ = closing.wait_for(|closing| *closing) => Refusal::closing().into_response(),
            }
        }
        Ok(Pass::Preflight) => preflight(&head.headers),
        Err(refusal) => refusal.into_response(),
    };
    if let Some(refusal) = response.extensions().get::<Refusal>().cloned() {
        note(&server, &source, &refusal).await;
    }
    let mut response = translated(response, Dialect::of(&source.path));
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = listed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed());
    }
    response
}

/// Writes a refusal into the log, where the request has no row yet.
async fn note(server: &Shared, source: &Source, refusal: &Refusal) {
    let Some(code) = refusal.to_log() else { return };
    if let Err(error) = server.app.log_refused(source, code, refusal.is_for_strangers()).await {
        tracing::debug!(%error, "a refused request was not written down");
    }
}

async fn check(server: &Shared, head: &Parts) -> Result<Pass, Refusal> {
    let headers = &head.headers;
    check_size(head)?;
    let host = check_host(server, head)?;
    let listed = check_origin(server, headers, host)?;
    if let Some(sessions) = server.window.as_ref().filter(|_| window::has(head.uri.path())) {
        return window::admit(sessions, head, host).map(|()| Pass::Go);
    }
    let preflight = head.method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if preflight && listed {
        return Ok(Pass::Preflight);
    }
    if head.uri.path() != HEALTH {
        check_token(server, headers).await?;
    }
    Ok(Pass::Go)
}

/// What is read at a time may be more than what is allowed: the parts are counted here.
fn check_size(head: &Parts) -> Result<(), Refusal> {
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    if fields.sum::<usize>() <= HEAD_BYTES_MAX {
        return Ok(());
    }
    let words = format!("the headers are longer than {HEAD_BYTES_MAX} bytes");
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    Err(Refusal::new(status, "invalid_request_error", words).coded("headers_too_large"))
}

/// The host that the client wrote, which has to be this machine by number or as "localhost".
fn check_host<'r>(server: &Shared, head: &'r Parts) -> Result<&'r str, Refusal> {
    let host = one(&head.headers, &HOST).and_then(|host| host.to_str().ok());
    let host = host.ok_or_else(|| Refusal::bad("the request must have exactly one Host header"))?;
    let own = host.parse::<Authority>().is_ok_and(|host| is_own(server, &host));
    // A request may carry a host in its target as well.
    if !own || head.uri.authority().is_some_and(|target| !is_own(server, target)) {
        let words = "this server answers at its number or at localhost, not at other names";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "permission_error", words).coded("host_not_allowed"));
    }
    Ok(host)
}

fn is_own(server: &Shared, authority: &Authority) -> bool {
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host();
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let number = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    // A number cannot be pointed elsewhere; beyond loopback this machine has numbers that it does not know (a router's).
    number.parse::<std::net::IpAddr>().is_ok_and(|number| number.is_loopback() || !server.options.address.is_loopback())
}

/// Whether a listed page asks. Pages of this server ask, too; other pages are refused.
fn check_origin(server: &Shared, headers: &HeaderMap, host: &str) -> Result<bool, Refusal> {
    let foreign = || {
        let words = "web pages of this origin may not ask; the person can list it in the settings of the server";
        Refusal::new(StatusCode::FORBIDDEN, "permission_error", words).coded("origin_not_allowed")
    };
    if headers.contains_key(ORIGIN) {
        let origin = one(headers, &ORIGIN).ok_or_else(foreign)?;
        let listed = is_listed(server, origin);
        let own = origin.to_str().is_ok_and(|origin| origin.strip_prefix("http://") == Some(host));
        return if listed || own { Ok(listed) } else { Err(foreign()) };
    }
    // What a page fetches without an origin (an image, a script) still says where it comes from.
    match headers.get(FETCH_SITE).map(HeaderValue::as_bytes) {
        Some(b"cross-site" | b"same-site") => Err(foreign()),
        _ => Ok(false),
    }
}

fn is_listed(server: &Shared, origin: &HeaderValue) -> bool {
    origin.to_str().is_ok_and(|origin| server.options.origins.iter().any(|listed| listed == origin))
}

async fn check_token(server: &Shared, headers: &HeaderMap) -> Result<(), Refusal> {
    let bearer = one(headers, &AUTHORIZATION).map(HeaderValue::as_bytes).and_then(|value| {
        let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
    });
    let given = bearer.or_else(|| one(headers, &API_KEY).map(HeaderValue::as_bytes));
    let words = match given {
        Some(given) if server.is_token(given).await? => return Ok(()),
        Some(_) => "the token is not the one of this server; the settings of the server show it",
        None => "a token is needed: send `Authorization: Bearer …`; the settings of the server show it",
    };
    Err(Refusal::new(StatusCode::UNAUTHORIZED, "authentication_error", words).coded("invalid_api_key"))
}

impl Shared {
    /// Whether this is the token, found out in the same time for every wrong one of the right length.
    pub(crate) async fn is_token(&self, given: &[u8]) -> Result<bool, huacaya_app::Error> {
        let token = match &self.options.token {
            Some(token) => token.clone(),
            None => self.app.server_token().await?,
        };
        Ok(given.ct_eq(token.as_bytes()).into())
    }
}

fn preflight(headers: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let answer = response.headers_mut();
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    // The official clients send a dozen of their own, which name the platform; a listed page may send any.
    if let Some(wanted) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS));
    response
}

fn exposed() -> HeaderValue {
    HeaderValue::from_str(&format!("retry-after, {WARNING}")).unwrap_or(HeaderValue::from_static("retry-after"))
}

/// The header of this name, where there is exactly one.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?;
    all.next().is_none().then_some(first)
}
