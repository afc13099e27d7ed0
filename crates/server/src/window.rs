//! The window in a browser: the page of the desktop, its calls and its stream of changes, behind a session.
//!
//! The page is the one that the desktop shows; here its wire is HTTP. A call is a name of the program's table of commands
//! with its arguments; the changes come as server-sent events, a snapshot first. Nothing here knows what a call does.

mod session;

use std::{convert::Infallible, time::Duration};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::{get, post},
};
use futures_util::stream;
use huacaya_app::{Code, Error};
use rust_embed::RustEmbed;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use crate::{Server, refusal::Refusal};
pub use session::Sessions;

/// The page may run its own scripts and talk to its own server. Nothing inline, nothing framed, nothing from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
    font-src 'self'; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'; object-src 'none'; frame-src 'none'";
/// An exported history of some years, as text in JSON. Model files never come this way.
const CALL_BYTES_MAX: usize = 256 << 20;
/// What such a file may take through a tunnel.
const CALL_TIME: Duration = Duration::from_secs(600);
/// A token in a form.
const FORM_BYTES_MAX: usize = 4 << 10;
const FORM_TIME: Duration = Duration::from_secs(30);
/// How often the stream says that it is there: the page takes a longer silence for a broken connection.
const BEAT: Duration = Duration::from_secs(10);
/// A guess at the token is told after this.
const WRONG_TOKEN: Duration = Duration::from_secs(1);

/// Asks for a link or the token. Its style stands beside it, for the policy allows none inside.
const ENTER: &str = include_str!("window/enter.html");
const ENTER_STYLE: &str = include_str!("window/enter.css");
/// Stands in `ENTER` where the last try is answered.
const TRY: &str = "<!-- try -->";
const WRONG: &str = r#"<p role="alert"><span lang="zh-CN">令牌不对，或者链接已经用过、过期了。</span> <span lang="en">The token is wrong, or the link was used or is too old.</span></p>"#;

/// The built page. A debug build reads it from the disk.
#[derive(RustEmbed)]
#[folder = "../../ui/dist"]
#[exclude = ".*"]
struct Built;

/// What is answered only where the window is served.
pub(crate) fn routes() -> Router<Server> {
    Router::new()
        .route("/", get(page))
        .route("/assets/{*name}", get(asset))
        .route("/open", get(open).post(enter))
        .route("/open.css", get(style))
        .route("/ui/call", post(call))
        .route("/ui/changes", get(changes))
}

/// Whether a path belongs to the window, so that the session decides and not the token.
pub(crate) fn has(path: &str) -> bool {
    ["/", "/open", "/open.css", "/ui", "/assets"].contains(&path)
        || ["/ui/", "/assets/"].iter().any(|root| path.starts_with(root))
}

/// Who may ask for a path of the window: pages of this very server, and, but for the way in, those with a session.
pub(crate) fn admit(sessions: &Sessions, head: &Parts, host: &str) -> Result<(), Refusal> {
    let origin = head.headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
    let own = origin.is_some_and(|origin| origin.strip_prefix(b"http://") == Some(host.as_bytes()));
    // A browser names the origin of everything that is not a plain GET; whoever sends none is no page of ours.
    let reads = head.method == Method::GET || head.method == Method::HEAD;
    if !own && (origin.is_some() || !reads) {
        let words = "only the window's own page may ask for this";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "permission_error", words).coded("origin_not_allowed"));
    }
    let way_in = ["/", "/open", "/open.css"].contains(&head.uri.path());
    if way_in || sessions.has(&head.headers) {
        return Ok(());
    }
    let words = "the session is over; open the link that the server printed, or give the token at /";
    Err(Refusal::new(StatusCode::UNAUTHORIZED, "authentication_error", words).coded("session_needed"))
}

async fn page(State(server): State<Server>, headers: HeaderMap) -> Response {
    match server.window.as_ref().is_some_and(|sessions| sessions.has(&headers)) {
        true => file("index.html"),
        false => asks(StatusCode::UNAUTHORIZED, ""),
    }
}

async fn asset(Path(name): Path<String>) -> Response {
    file(&format!("assets/{name}"))
}

fn file(name: &str) -> Response {
    let Some(file) = Built::get(name) else {
        let words = format!("there is no file {name} in the window");
        return Refusal::new(StatusCode::NOT_FOUND, "invalid_request_error", words)
            .coded("unknown_url")
            .into_response();
    };
    let kind = HeaderValue::from_str(file.metadata.mimetype());
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    guarded((StatusCode::OK, [(header::CONTENT_TYPE, kind)], Body::from(file.data)).into_response())
}

/// Asks the person how to come in.
fn asks(status: StatusCode, answer: &str) -> Response {
    let page = ENTER.replace(TRY, answer);
    guarded((status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response())
}

async fn style() -> Response {
    guarded(([(header::CONTENT_TYPE, "text/css; charset=utf-8")], ENTER_STYLE).into_response())
}

/// What a page may do and who may frame it.
fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // With "no-referrer" a browser would not say from which page a form comes, either.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}

/// The link that was printed: it opens the window once.
async fn open(State(server): State<Server>, request: Request) -> Response {
    let key = field(request.uri().query().unwrap_or_default().as_bytes(), "key");
    let cookie = server.window.as_ref().and_then(|sessions| sessions.redeem(&key));
    cookie.map_or_else(|| asks(StatusCode::UNAUTHORIZED, WRONG), come_in)
}

/// The token, typed into the form.
async fn enter(State(server): State<Server>, request: Request) -> Result<Response, Refusal> {
    let body = timeout(FORM_TIME, to_bytes(request.into_body(), FORM_BYTES_MAX)).await;
    let body =
        body.ok().and_then(Result::ok).ok_or_else(|| Refusal::bad("the form is too large or came too slowly"))?;
    if !server.is_token(field(&body, "token").trim().as_bytes()).await? {
        tokio::time::sleep(WRONG_TOKEN).await;
        return Ok(asks(StatusCode::UNAUTHORIZED, WRONG));
    }
    let Some(sessions) = &server.window else { return Ok(asks(StatusCode::UNAUTHORIZED, "")) };
    Ok(come_in(sessions.begin()?))
}

fn come_in(cookie: HeaderValue) -> Response {
    let headers = [(header::SET_COOKIE, cookie), (header::LOCATION, HeaderValue::from_static("/"))];
    guarded((StatusCode::SEE_OTHER, headers).into_response())
}

/// A field of a form or of an address; "" where it is missing.
fn field(form: &[u8], name: &str) -> String {
    let found = form_urlencoded::parse(form).find(|(key, _)| key == name);
    found.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// A line of the table of commands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    name: String,
    arguments: Value,
}

/// Runs a command. An error is the program's own, as the desktop's page gets it.
async fn call(State(server): State<Server>, request: Request) -> Response {
    match answer(server, request).await {
        Ok(value) => Json(value).into_response(),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, Json(error.problem())).into_response(),
    }
}

async fn answer(server: Server, request: Request) -> Result<Value, Error> {
    let unread = |reason: String| {
        Error::new(Code::WrongArguments, format!("a call could not be read: {reason}"))
            .with("command", "")
            .with("reason", reason)
    };
    let json = request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if !json {
        return Err(unread("its content type is not application/json".into()));
    }
    let body = timeout(CALL_TIME, to_bytes(request.into_body(), CALL_BYTES_MAX)).await;
    let body = body.map_err(|error| unread(error.to_string()))?.map_err(|error| unread(error.to_string()))?;
    let Call { name, arguments } = serde_json::from_slice(&body).map_err(|error| unread(error.to_string()))?;
    if name == "close_chat" {
        // Another browser may show it still, and nobody says which; the program keeps to the latest few by itself.
        return Ok(Value::Null);
    }
    // A browser that goes away must not leave a command half done.
    let app = server.app.clone();
    let work = tokio::spawn(async move { app.call(&name, arguments).await });
    work.await.unwrap_or_else(|error| Err(Error::internal(error)))
}

/// A snapshot, then every change in order, in batches of a frame. Ends when the server does.
async fn changes(State(server): State<Server>) -> Response {
    let start = (server.app.subscribe(), server.stopping.clone());
    let batches = stream::unfold(start, |(mut changes, mut stopping)| async move {
        let batch = tokio::select! {
            batch = changes.next() => batch?,
            _ = stopping.wait_for(|stopping| *stopping) => return None,
        };
        let event = match serde_json::to_string(&batch) {
            Ok(text) => Event::default().data(text),
            Err(error) => {
                tracing::error!(%error, "changes have no JSON form");
                return None;
            }
        };
        Some((Ok::<_, Infallible>(event), (changes, stopping)))
    });
    let beat = KeepAlive::new().interval(BEAT).event(Event::default().event("beat").data(""));
    Sse::new(batches).keep_alive(beat).into_response()
}
