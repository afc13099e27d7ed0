//! Every request goes through here: the offline switch, the proxy, redirects by hand, tokens to their own host, the list of
//! connections.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use reqwest::{StatusCode, header};
use tokio::{sync::watch, time::timeout};
use url::Url;

use crate::{
    connections::{Connection, Connections, Entry, Purpose},
    error::{Error, Result, host_of, shown},
    limiter::Limiter,
    network::{Network, Patience, Proxy, same_origin},
    redirect,
    retry_after::retry_after,
};

/// The way to the hubs. Cloning is cheap; all clones share one network, one limit and one list of connections.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    offline: watch::Sender<bool>,
    limiter: Limiter,
    connections: Connections,
    patience: Patience,
}

struct State {
    network: Arc<Network>,
    client: reqwest::Client,
}

impl Hub {
    pub fn new(network: Network) -> Result<Hub> {
        Hub::with_patience(network, Patience::default())
    }

    /// A hub that waits and tries for as long as `patience` says.
    pub fn with_patience(network: Network, patience: Patience) -> Result<Hub> {
        let client = client(&network.proxy, patience)?;
        let limiter = Limiter::default();
        limiter.set(network.limit());
        let offline = watch::Sender::new(network.offline);
        let state = Mutex::new(State { network: Arc::new(network), client });
        let connections = Connections::default();
        Ok(Hub { shared: Arc::new(Shared { state, offline, limiter, connections, patience }) })
    }

    /// What holds from now on. A running transfer takes the limit and the offline switch at once, the rest with its next
    /// request.
    pub fn set(&self, network: Network) -> Result<()> {
        let (offline, limit) = (network.offline, network.limit());
        {
            let mut state = self.state();
            if state.network.proxy != network.proxy {
                state.client = client(&network.proxy, self.shared.patience)?;
            }
            state.network = Arc::new(network);
        }
        self.shared.limiter.set(limit);
        self.shared.offline.send_if_modified(|now| std::mem::replace(now, offline) != offline);
        Ok(())
    }

    pub fn network(&self) -> Network {
        Network::clone(&self.state().network)
    }

    /// Tells `tell` of every request, made or held back by the offline switch. The last teller named is told.
    pub fn on_connection(&self, tell: impl Fn(Connection) + Send + Sync + 'static) {
        self.shared.connections.tell_to(tell);
    }

    pub(crate) fn patience(&self) -> Patience {
        self.shared.patience
    }

    pub(crate) fn limiter(&self) -> &Limiter {
        &self.shared.limiter
    }

    /// Comes back when the offline switch is on: at once if it is.
    pub(crate) async fn gone_offline(&self) {
        let mut offline = self.shared.offline.subscribe();
        // The sender lives as long as `self`, so this fails for no one.
        let _ = offline.wait_for(|offline| *offline).await;
    }

    /// Sends a request, follows its redirects and gives the answer, whatever its status: `Answer::accepted` judges it.
    pub(crate) async fn ask(&self, ask: Ask<'_>) -> Result<Answer> {
        let mut url = ask.url.clone();
        for _ in 0..=redirect::REDIRECTS_MAX {
            let with_token = same_origin(&url, ask.url);
            let answer = self.ask_once(&ask, &url, with_token).await?;
            match redirect::target(&url, answer.status(), answer.headers())? {
                Some(next) => url = next,
                None => return Ok(answer),
            }
        }
        Err(Error::protocol(ask.url, format!("more than {} redirects", redirect::REDIRECTS_MAX)))
    }

    /// One request to one host. The token goes with it only where `with_token`: not after a redirect to another host.
    async fn ask_once(&self, ask: &Ask<'_>, url: &Url, with_token: bool) -> Result<Answer> {
        let host = host_of(url);
        let mut entry = self.shared.connections.begin(host.clone(), ask.purpose);
        let (network, client) = {
            let state = self.state();
            (state.network.clone(), state.client.clone())
        };
        if network.offline {
            entry.connection.made = false;
            entry.connection.problem = Some("offline".to_owned());
            return Err(Error::Offline { host });
        }
        let mut request = client.get(url.clone()).headers(ask.headers()?);
        if let Some(token) = network.token_for(url).filter(|_| with_token) {
            request = request.bearer_auth(token);
        }
        let sent = tokio::select! {
            biased;
            () = self.gone_offline() => Err(Error::Offline { host: host.clone() }),
            sent = timeout(self.shared.patience.silence, request.send()) => match sent {
                Ok(sent) => sent.map_err(|error| unreachable(&host, error)),
                Err(_) => Err(silent(&host)),
            },
        };
        match sent {
            Ok(response) => {
                entry.connection.status = Some(response.status().as_u16());
                Ok(Answer { hub: self.clone(), response, url: url.clone(), entry })
            }
            Err(error) => {
                entry.connection.problem = Some(error.to_string());
                Err(error)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection per request over HTTP/1.1: with HTTP/2 the ranges of a file would share one, and its one window.
fn client(proxy: &Proxy, patience: Patience) -> Result<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("huacaya/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .http1_only()
        .tcp_nodelay(true)
        .connect_timeout(patience.connect);
    let bad_proxy = |text: &str, error: reqwest::Error| Error::Address { text: text.to_owned(), reason: reason(error) };
    let builder = match proxy {
        Proxy::System => builder,
        Proxy::None => builder.no_proxy(),
        Proxy::Url(text) => builder.proxy(reqwest::Proxy::all(text).map_err(|error| bad_proxy(text, error))?),
    };
    builder.build().map_err(|error| bad_proxy("proxy", error))
}

/// A request: an address, what it is for, and the part of the file that is wanted.
pub(crate) struct Ask<'a> {
    pub url: &'a Url,
    pub purpose: Purpose,
    /// First byte and last byte; without the last, to the end.
    pub range: Option<(u64, Option<u64>)>,
    /// The strong ETag or the date that the range must still belong to.
    pub if_range: Option<String>,
}

impl<'a> Ask<'a> {
    pub fn new(url: &'a Url, purpose: Purpose) -> Ask<'a> {
        Ask { url, purpose, range: None, if_range: None }
    }

    pub fn range(mut self, first: u64, last: Option<u64>) -> Ask<'a> {
        self.range = Some((first, last));
        self
    }

    fn headers(&self) -> Result<header::HeaderMap> {
        let mut headers = header::HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, header::HeaderValue::from_static("identity"));
        let value = |text: String| {
            header::HeaderValue::try_from(text)
                .map_err(|_| Error::protocol(self.url, "an ETag that no header can hold"))
        };
        if let Some((first, last)) = self.range {
            let last = last.map(|last| last.to_string()).unwrap_or_default();
            headers.insert(header::RANGE, value(format!("bytes={first}-{last}"))?);
        }
        if let Some(tag) = &self.if_range {
            headers.insert(header::IF_RANGE, value(tag.clone())?);
        }
        Ok(headers)
    }
}

/// An answer whose body is still to come. It is told to the list of connections when it is dropped.
pub(crate) struct Answer {
    hub: Hub,
    response: reqwest::Response,
    /// Where the redirects led.
    pub url: Url,
    entry: Entry,
}

impl Answer {
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub fn headers(&self) -> &header::HeaderMap {
        self.response.headers()
    }

    /// A header's text, where it is there and is text.
    pub fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// What the answer says of its own length: a chunked one says nothing.
    pub fn length(&self) -> Option<u64> {
        self.header(header::CONTENT_LENGTH)?.trim().parse().ok()
    }

    /// The answer where it is a success, the error it stands for otherwise.
    pub fn accepted(self) -> Result<Answer> {
        if self.status().is_success() { Ok(self) } else { Err(self.refusal()) }
    }

    /// The error that a status stands for. Hugging Face tells a gated repository by `X-Error-Code`.
    pub fn refusal(&self) -> Error {
        let host = host_of(&self.url);
        let code = self.header("x-error-code").unwrap_or_default();
        match self.status().as_u16() {
            401 | 403 if code == "GatedRepo" => {
                Error::Gated { repository: repository_of(&self.url), url: gate_of(&self.url) }
            }
            401 if code == "RepoNotFound" => Error::NotFound { what: repository_of(&self.url) },
            401 | 403 | 407 => Error::Unauthorized { host },
            404 | 410 => Error::NotFound { what: shown(&self.url) },
            429 => {
                let seconds = retry_after(self.headers()).map_or(0, |wait| wait.as_secs());
                Error::RateLimited { host, seconds }
            }
            status => Error::Server { host, status },
        }
    }

    /// The next piece of the body; None at its end. Silence and the offline switch end it with an error.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let silence = self.hub.shared.patience.silence;
        let host = &self.entry.connection.host;
        let next = tokio::select! {
            biased;
            next = timeout(silence, self.response.chunk()) => match next {
                Ok(next) => next.map_err(|error| unreachable(host, error)),
                Err(_) => Err(silent(host)),
            },
            () = self.hub.gone_offline() => Err(Error::Offline { host: host.clone() }),
        };
        match &next {
            Ok(Some(piece)) => self.entry.connection.bytes += piece.len() as u64,
            Ok(None) => {}
            Err(error) => self.entry.connection.problem = Some(error.to_string()),
        }
        next
    }

    /// The whole body, which must not be longer than `bytes_max`.
    pub async fn body(mut self, bytes_max: usize) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(piece) = self.chunk().await? {
            if body.len() + piece.len() > bytes_max {
                return Err(Error::protocol(&self.url, format!("more than {bytes_max} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

/// `owner/name` of an address on a hub: past `api/models`, `models` or `api/v1/models` where these stand first.
fn repository_of(url: &Url) -> String {
    let words = url.path().trim_matches('/').split('/');
    let mut names = words.skip_while(|word| matches!(*word, "api" | "v1" | "models"));
    match (names.next(), names.next()) {
        (Some(owner), Some(name)) => format!("{owner}/{name}"),
        (owner, _) => owner.unwrap_or_default().to_owned(),
    }
}

/// The page on which to ask to be let in.
fn gate_of(url: &Url) -> String {
    let mut page = url.clone();
    page.set_path(&repository_of(url));
    shown(&page)
}

fn silent(host: &str) -> Error {
    Error::Unreachable { host: host.to_owned(), reason: "no byte for too long".to_owned() }
}

fn unreachable(host: &str, error: reqwest::Error) -> Error {
    Error::Unreachable { host: host.to_owned(), reason: reason(error) }
}

/// The innermost reason, which is the one that tells something; never the address, which may hold a signature.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Kept beside the waits of a request: how long to wait before the try after `failures` failures in a row.
pub(crate) fn wait_before(failures: u32, patience: &Patience) -> Duration {
    let doubled = patience.first_wait.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let longest = doubled.min(patience.longest_wait);
    // Between half and all of it, so that many who failed together do not come back together.
    let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), failures);
    longest.mul_f64(0.5 + (random % 1024) as f64 / 2048.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_with_jitter_up_to_the_longest() {
        let patience = Patience::default();
        for (failures, most_ms) in [(1, 500), (2, 1_000), (4, 4_000), (7, 30_000), (60, 30_000)] {
            let wait = wait_before(failures, &patience).as_millis();
            assert!((most_ms / 2..=most_ms).contains(&wait), "{failures}: {wait}");
        }
    }

    #[test]
    fn a_gated_repository_is_named_by_its_owner_and_name() {
        for address in
            ["https://hub.test/meta/llama/resolve/main/a.gguf", "https://hub.test/api/models/meta/llama/tree/main"]
        {
            let url = Url::parse(address).expect("an address");
            assert_eq!(repository_of(&url), "meta/llama");
            assert_eq!(gate_of(&url), "https://hub.test/meta/llama");
        }
    }

    #[tokio::test]
    async fn offline_sends_nothing_and_tells_of_the_attempt() {
        let hub = Hub::new(Network { offline: true, ..Network::default() }).expect("a hub");
        let (tell, told) = std::sync::mpsc::channel();
        hub.on_connection(move |connection| tell.send(connection).expect("heard"));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("not blocking");
        let url = Url::parse(&format!("http://{}/x", listener.local_addr().expect("an address"))).expect("an address");
        let asked = hub.ask(Ask::new(&url, Purpose::Card)).await;
        assert!(matches!(asked, Err(Error::Offline { .. })));
        assert!(listener.accept().is_err(), "nobody knocked");
        let connection = told.try_recv().expect("told");
        assert!(!connection.made && connection.purpose == Purpose::Card && connection.status.is_none());
    }
}
