//! What holds for every request: offline or not, by which proxy, to which endpoints, with which tokens, how fast.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::error::host_of;

/// What holds for every request. Set whole; a running transfer takes a new limit or the offline switch at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    pub offline: bool,
    pub proxy: Proxy,
    /// In order of fall-over.
    pub endpoints: Vec<Endpoint>,
    /// Shared by all transfers; 0 is no limit too.
    pub limit_bytes_per_second: Option<u64>,
    pub tokens: Tokens,
}

/// The way out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Proxy {
    /// `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY` and what the system's settings say.
    #[default]
    System,
    None,
    /// `http://`, `https://` or `socks5://`; used for every host.
    Url(String),
}

/// A hub, a mirror of one, or anything that speaks like one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub name: String,
    pub url: Url,
    pub dialect: Dialect,
}

/// How an endpoint lists and serves files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    #[default]
    HuggingFace,
    ModelScope,
}

/// Access tokens by the exact host (`host` or `host:port`) they are for. Printing it never prints a token.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tokens(BTreeMap<String, String>);

impl Tokens {
    /// Keeps `token` for `host` (`host`, or `host:port` where the port is not the scheme's own).
    pub fn insert(&mut self, host: impl Into<String>, token: impl Into<String>) {
        self.0.insert(host.into().to_ascii_lowercase(), token.into());
    }

    /// The token for exactly this host and port.
    pub fn of(&self, url: &Url) -> Option<&str> {
        self.0.get(&host_of(url)).map(String::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The hosts that have one.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl FromIterator<(String, String)> for Tokens {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Tokens {
        let mut tokens = Tokens::default();
        for (host, token) in pairs {
            tokens.insert(host, token);
        }
        tokens
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.0.keys()).finish()
    }
}

impl Network {
    /// The token that goes with a request to `url`: its own host's, and over plain http only within this machine or to
    /// an endpoint that was set up as plain http.
    pub(crate) fn token_for(&self, url: &Url) -> Option<&str> {
        let token = self.tokens.of(url)?;
        let meant = |endpoint: &Endpoint| endpoint.url.scheme() == "http" && same_origin(&endpoint.url, url);
        (url.scheme() == "https" || is_loopback(url) || self.endpoints.iter().any(meant)).then_some(token)
    }

    pub(crate) fn limit(&self) -> Option<u64> {
        self.limit_bytes_per_second.filter(|limit| *limit > 0)
    }
}

/// How long a request may be silent, and how often a failed one is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until the connection stands.
    pub connect: Duration,
    /// Without one byte: then the connection is dropped and the rest is asked for again.
    pub silence: Duration,
    /// Before the second try; doubled for each further one, with jitter.
    pub first_wait: Duration,
    /// The longest wait that doubling leads to. What a host asks for with `Retry-After` may be longer.
    pub longest_wait: Duration,
    /// Tries in a row, on one source, that bring not one new byte.
    pub tries: u32,
}

impl Default for Patience {
    /// A far mirror over a bad link answers within 15 s and pauses for less than 20; 9 tries span about two minutes, which
    /// outlasts a machine that wakes and looks for its network.
    fn default() -> Patience {
        Patience {
            connect: Duration::from_secs(15),
            silence: Duration::from_secs(20),
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
            tries: 9,
        }
    }
}

pub(crate) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// Whether the address names this machine itself, by number or as `localhost`.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("an address")
    }

    fn with_token(host: &str) -> Network {
        Network { tokens: [(host.to_owned(), "hf_secret".to_owned())].into_iter().collect(), ..Network::default() }
    }

    #[test]
    fn printing_the_network_prints_no_token() {
        let printed = format!("{:?}", with_token("hub.test"));
        assert!(!printed.contains("hf_secret"), "{printed}");
        assert!(printed.contains("hub.test"), "{printed}");
    }

    #[test]
    fn a_token_goes_to_its_own_host_and_port_only() {
        let network = with_token("hub.test");
        assert_eq!(network.token_for(&url("https://hub.test/a/b")), Some("hf_secret"));
        assert_eq!(network.token_for(&url("https://HUB.test:443/a")), Some("hf_secret"));
        for other in
            ["https://hub.test:8443/a", "https://cdn.hub.test/a", "https://hub.test.evil/a", "https://evil/?hub.test"]
        {
            assert_eq!(network.token_for(&url(other)), None, "{other}");
        }
    }

    #[test]
    fn a_token_goes_over_plain_http_only_within_the_machine_or_to_an_endpoint_set_up_so() {
        assert_eq!(with_token("hub.test").token_for(&url("http://hub.test/a")), None);
        assert!(with_token("127.0.0.1:81").token_for(&url("http://127.0.0.1:81/a")).is_some());
        assert!(with_token("[::1]:81").token_for(&url("http://[::1]:81/a")).is_some());
        let mut office = with_token("hub.test");
        office.endpoints.push(Endpoint {
            name: "office".into(),
            url: url("http://hub.test/"),
            dialect: Dialect::HuggingFace,
        });
        assert!(office.token_for(&url("http://hub.test/a")).is_some());
    }
}
