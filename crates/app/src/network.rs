//! The network as the person set it: endpoints and their order, tokens, the proxy, the offline switch, and the list of
//! connections made.

use std::{
    collections::BTreeMap,
    env, mem,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use huacaya_hub::{Endpoint, Hub, Network, Proxy, Tokens, host_of, token};
use huacaya_store::{Change, Connection, Store, Subscription};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use ts_rs::TS;
use url::Url;

use crate::{
    App,
    app::Inner,
    blocking,
    error::{Code, Error, Result},
};

/// Settings that the network is made of: a change of one is a change of it.
pub(crate) const KEYS: [&str; 3] = ["offline", "proxy", "download_limit"];
/// The setting that holds the endpoints, where the person chose them. Only `set_endpoints` sets it.
const ENDPOINTS: &str = "endpoints";
/// Nobody compares more hubs.
const ENDPOINTS_MAX: usize = 16;
/// Where the system's proxy is named on most systems.
const PROXY_VARIABLES: [&str; 6] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"];
/// Connections are written down together: a transfer makes many in a second.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// How an endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    HuggingFace,
    ModelScope,
}

/// Where a token is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum TokenPlace {
    None,
    Keyring,
    File,
    Environment,
}

/// An endpoint as the person sets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct NewEndpoint {
    pub name: String,
    pub url: String,
    pub dialect: Dialect,
}

/// An endpoint as it stands in the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, TS)]
pub struct EndpointRow {
    pub name: String,
    pub url: String,
    pub dialect: Dialect,
    /// `HF_ENDPOINT` names it.
    pub from_environment: bool,
    pub token: TokenPlace,
}

/// What holds for every request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, TS)]
pub struct NetworkState {
    /// Asked in this order.
    pub endpoints: Vec<EndpointRow>,
    /// What is in force, to be shown; empty: none.
    pub proxy: String,
    pub offline: bool,
}

/// How well an endpoint is reached.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Reach {
    pub latency_ms: u64,
    pub bytes_per_second: Option<u64>,
}

/// The way out, the tokens that go with it, and the connections made that are yet to be written down.
pub(crate) struct Line {
    pub(crate) hub: Hub,
    tokens: Mutex<Tokens>,
    /// The keyring was asked: before, a download that needs a token would fail for nothing.
    ready: AtomicBool,
    made: Arc<Mutex<Vec<Connection>>>,
}

impl Line {
    /// As the settings say; without a request, and without asking the keyring.
    pub(crate) async fn open(store: &Store, home: &Path) -> Result<Line> {
        let tokens = tokens(home, false);
        let network = network(store, tokens.clone()).await?;
        // A setting that cannot be used (written by another version) must not keep the program from starting.
        let hub = Hub::new(network.clone()).or_else(|error| {
            tracing::error!(%error, "the proxy that is set cannot be used; the program is offline");
            Hub::new(Network { proxy: Proxy::None, offline: true, ..network })
        })?;
        let made: Arc<Mutex<Vec<Connection>>> = Arc::default();
        let list = made.clone();
        hub.on_connection(move |connection| {
            list.lock().unwrap_or_else(PoisonError::into_inner).push(Connection {
                at_ms: connection.at_ms,
                host: connection.host,
                purpose: connection.purpose.word().to_string(),
                status: connection.status,
                bytes: connection.bytes,
                problem: connection.problem,
                made: connection.made,
            });
        });
        let ready = AtomicBool::new(places(home).values().all(|place| *place == token::TokenPlace::File));
        Ok(Line { hub, tokens: Mutex::new(tokens), ready, made })
    }

    /// Downloads can start: the tokens are known and the person has not gone offline.
    pub(crate) fn is_open(&self) -> bool {
        self.ready.load(Ordering::Acquire) && !self.hub.network().offline
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what was made since the last time.
    pub(crate) async fn write_down(&self, store: &Store) {
        let made = mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        if made.is_empty() {
            return;
        }
        if let Err(error) = store.add_connections(&made).await {
            tracing::error!(%error, "the connections made were not written down");
        }
    }
}

/// Writes connections down as long as the program lives.
pub(crate) async fn keep_written(inner: Weak<Inner>) {
    loop {
        sleep(WRITE_EVERY).await;
        match inner.upgrade() {
            Some(inner) if !inner.closing() => inner.line.write_down(&inner.store).await,
            _ => return,
        }
    }
}

/// Another program on the same data folder may change a setting of the network: it holds here too.
pub(crate) async fn follow_settings(inner: Weak<Inner>, mut changes: Subscription) {
    while let Some(changed) = changes.next().await {
        let of_network = |change: &Change| match change {
            Change::Setting(setting) => setting.key == ENDPOINTS || KEYS.contains(&setting.key.as_str()),
            // Much was missed.
            Change::Snapshot(_) => true,
            _ => false,
        };
        if !changed.iter().any(of_network) {
            continue;
        }
        let Some(inner) = inner.upgrade().filter(|inner| !inner.closing()) else { return };
        if let Err(error) = (App { inner }).renew_network().await {
            tracing::error!(%error, "a changed setting of the network does not hold");
        }
    }
}

/// What settings and environment say.
async fn network(store: &Store, tokens: Tokens) -> Result<Network> {
    let offline = store.setting("offline").await?.and_then(|value| value.as_bool()).unwrap_or(false);
    let limit = store.setting("download_limit").await?.and_then(|value| value.as_u64());
    let proxy = store.setting("proxy").await?.and_then(|value| value.as_str().map(str::to_string));
    let proxy = match proxy.as_deref() {
        None | Some("system") => Proxy::System,
        Some("none") => Proxy::None,
        Some(url) => Proxy::Url(url.to_string()),
    };
    let endpoints = endpoints(store).await?;
    Ok(Network { offline, proxy, endpoints, limit_bytes_per_second: limit, tokens })
}

/// The person's endpoints, else the environment's, else the program's own.
async fn endpoints(store: &Store) -> Result<Vec<Endpoint>> {
    let set = store.setting(ENDPOINTS).await?.and_then(|value| serde_json::from_value::<Vec<NewEndpoint>>(value).ok());
    match set.filter(|set| !set.is_empty()) {
        Some(set) => set.iter().map(endpoint).collect(),
        None => Ok(huacaya_hub::default_endpoints(|name| env::var(name).ok())),
    }
}

/// The environment's tokens, and over them those that were kept; of the keyring only where it is to be asked. Blocks.
fn tokens(home: &Path, keyring: bool) -> Tokens {
    let mut tokens = token::of_environment(|name| env::var_os(name));
    for (host, place) in places(home) {
        if place == token::TokenPlace::Keyring && !keyring {
            continue;
        }
        match token::read(&host, home) {
            Ok(Some(kept)) => tokens.insert(host, kept),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, host, "a token could not be read"),
        }
    }
    tokens
}

/// Where the kept tokens are, by host.
fn places(home: &Path) -> BTreeMap<String, token::TokenPlace> {
    token::places(home).unwrap_or_else(|error| {
        tracing::warn!(%error, "the list of tokens could not be read");
        BTreeMap::new()
    })
}

impl From<token::TokenPlace> for TokenPlace {
    fn from(place: token::TokenPlace) -> TokenPlace {
        match place {
            token::TokenPlace::Keyring => TokenPlace::Keyring,
            token::TokenPlace::File => TokenPlace::File,
        }
    }
}

fn endpoint(row: &NewEndpoint) -> Result<Endpoint> {
    Ok(Endpoint { name: row.name.clone(), url: base(&row.url)?, dialect: row.dialect.into() })
}

/// The address of an endpoint: of the web, without a query, and ending in `/`, so that paths can be joined to it.
pub(crate) fn base(text: &str) -> Result<Url> {
    let wrong = |reason: &str| {
        let detail = format!("{text}: no address of a hub: {reason}");
        Error::new(Code::AddressUnknown, detail).with("address", text)
    };
    let mut url = Url::parse(text.trim()).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("only http and https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("a name or password in an address is shown to everybody; give a token instead"));
    }
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// Any address of the web.
pub(crate) fn address(text: &str) -> Result<Url> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| Error::new(Code::AddressUnknown, format!("{text}: no address")).with("address", text))
}

impl From<Dialect> for huacaya_hub::Dialect {
    fn from(dialect: Dialect) -> huacaya_hub::Dialect {
        match dialect {
            Dialect::HuggingFace => huacaya_hub::Dialect::HuggingFace,
            Dialect::ModelScope => huacaya_hub::Dialect::ModelScope,
        }
    }
}

impl From<huacaya_hub::Dialect> for Dialect {
    fn from(dialect: huacaya_hub::Dialect) -> Dialect {
        match dialect {
            huacaya_hub::Dialect::HuggingFace => Dialect::HuggingFace,
            huacaya_hub::Dialect::ModelScope => Dialect::ModelScope,
        }
    }
}

/// What the setting `proxy` can hold.
pub(crate) fn is_proxy(value: &str) -> bool {
    let schemes = ["http", "https", "socks5", "socks5h"];
    let address = Url::parse(value).is_ok_and(|url| schemes.contains(&url.scheme()) && url.host_str().is_some());
    matches!(value, "system" | "none") || address
}

/// A proxy as it is shown: without a name and password.
fn shown_proxy(proxy: &Proxy) -> String {
    let address = match proxy {
        Proxy::None => return String::new(),
        Proxy::Url(url) => url.clone(),
        Proxy::System => PROXY_VARIABLES.iter().find_map(|name| env::var(name).ok()).unwrap_or_default(),
    };
    match Url::parse(&address) {
        Ok(mut url) => {
            // An address that can have no name has none.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.to_string()
        }
        Err(_) => address,
    }
}

impl App {
    /// Whether a token goes with requests to this endpoint.
    pub(crate) fn has_token_for(&self, endpoint: &str) -> bool {
        Url::parse(endpoint).is_ok_and(|url| self.hub().network().tokens.of(&url).is_some())
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.inner.line.hub
    }

    /// A setting of the network changed: it holds from now on, for what is under way too.
    pub(crate) async fn renew_network(&self) -> Result<()> {
        let tokens = self.inner.line.tokens().clone();
        self.inner.line.hub.set(network(&self.inner.store, tokens).await?)?;
        self.fill_queue().await
    }

    /// Asks the keyring for the tokens that it keeps; downloads start then.
    pub(crate) async fn read_tokens(&self) -> Result<()> {
        let home = self.inner.places.home().to_path_buf();
        let tokens = blocking(move || Ok(tokens(&home, true))).await?;
        *self.inner.line.tokens() = tokens;
        self.inner.line.ready.store(true, Ordering::Release);
        self.renew_network().await
    }

    pub(crate) async fn network(&self) -> Result<NetworkState> {
        let network = self.inner.line.hub.network();
        let from_environment = huacaya_hub::environment_endpoint(|name| env::var(name).ok());
        let home = self.inner.places.home().to_path_buf();
        let kept = blocking(move || Ok(places(&home))).await?;
        let endpoints = network.endpoints.iter().map(|endpoint| EndpointRow {
            name: endpoint.name.clone(),
            url: endpoint.url.to_string(),
            dialect: endpoint.dialect.into(),
            from_environment: from_environment.as_ref().is_some_and(|named| named.url == endpoint.url),
            token: match kept.get(&host_of(&endpoint.url)) {
                Some(place) => (*place).into(),
                None if network.tokens.of(&endpoint.url).is_some() => TokenPlace::Environment,
                None => TokenPlace::None,
            },
        });
        let endpoints = endpoints.collect();
        Ok(NetworkState { endpoints, proxy: shown_proxy(&network.proxy), offline: network.offline })
    }

    pub(crate) async fn set_endpoints(&self, endpoints: Vec<NewEndpoint>) -> Result<()> {
        if endpoints.len() > ENDPOINTS_MAX {
            let reason = format!("more than {ENDPOINTS_MAX} endpoints");
            let error = Error::new(Code::WrongArguments, reason.clone());
            return Err(error.with("command", "set_endpoints").with("reason", reason));
        }
        let checked = endpoints.iter().map(|row| {
            let url = base(&row.url)?;
            let name = match row.name.trim() {
                "" => url.host_str().unwrap_or_default().to_string(),
                name => name.to_string(),
            };
            Ok(NewEndpoint { name, url: url.to_string(), dialect: row.dialect })
        });
        let checked = checked.collect::<Result<Vec<_>>>()?;
        let value = if checked.is_empty() { serde_json::Value::Null } else { serde_json::json!(checked) };
        self.inner.store.set_setting(ENDPOINTS, value).await?;
        self.renew_network().await
    }

    pub(crate) async fn test_endpoint(&self, url: String, dialect: Dialect) -> Result<Reach> {
        let endpoint = Endpoint { name: url.clone(), url: base(&url)?, dialect: dialect.into() };
        let reach = self.inner.line.hub.reach(&endpoint).await?;
        Ok(Reach { latency_ms: reach.latency_ms, bytes_per_second: reach.bytes_per_second })
    }

    pub(crate) async fn set_token(&self, url: String, token: Option<String>) -> Result<TokenPlace> {
        let host = host_of(&base(&url)?);
        let home = self.inner.places.home().to_path_buf();
        let keep = move || match token.as_deref().map(str::trim) {
            Some(token) if !token.is_empty() => Ok(token::keep(&host, token, &home)?.into()),
            _ => token::forget(&host, &home).map(|()| TokenPlace::None).map_err(Error::from),
        };
        let place = blocking(keep).await?;
        self.read_tokens().await?;
        Ok(place)
    }

    pub(crate) async fn connections(&self, limit: u32) -> Result<Vec<Connection>> {
        self.inner.line.write_down(&self.inner.store).await;
        Ok(self.inner.store.connections(limit).await?)
    }

    pub(crate) async fn forget_connections(&self) -> Result<()> {
        self.inner.line.write_down(&self.inner.store).await;
        Ok(self.inner.store.forget_connections().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_of_the_web_that_paths_can_be_joined_to() {
        for (text, expected) in [
            ("https://hub.test", "https://hub.test/"),
            (" http://127.0.0.1:80/hf?x=1#y ", "http://127.0.0.1/hf/"),
            ("https://hub.test/中/", "https://hub.test/%E4%B8%AD/"),
        ] {
            assert_eq!(base(text).map(|url| url.to_string()).ok().as_deref(), Some(expected), "{text}");
        }
        for text in ["", "hub.test", "ftp://hub.test", "file:///etc", "https://name:word@hub.test", "javascript:1"] {
            assert_eq!(base(text).map_err(|error| error.code).err(), Some(Code::AddressUnknown), "{text}");
        }
    }

    #[test]
    fn a_proxy_is_shown_without_its_password() {
        let shown = shown_proxy(&Proxy::Url("http://name:word@proxy.test:3128".into()));
        assert_eq!(shown, "http://proxy.test:3128/");
    }

    #[test]
    fn only_what_can_be_a_proxy_is_taken_for_one() {
        for good in ["system", "none", "http://127.0.0.1:7890", "socks5h://proxy.test:1080"] {
            assert!(is_proxy(good), "{good}");
        }
        for bad in ["", "proxy", "127.0.0.1:7890", "ftp://proxy.test", "http://"] {
            assert!(!is_proxy(bad), "{bad}");
        }
    }
}
