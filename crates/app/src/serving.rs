//! What the local server asks of the program: answers, embeddings and tokens by a model's name.
//!
//! Every dialect of the server makes an [`Asking`] of its request and turns the [`Piece`]s back. Nothing here is written
//! into a chat; each request has a row in the log.

mod asking;
mod calls;
mod format;
mod line;
mod log;
mod models;
mod pieces;
mod talk;
mod token;
mod tools;

pub use asking::{Answers, Asked, Asking, Said, Source};
pub use format::Format;
pub use models::{ApiModel, Embedded};
pub use pieces::{Piece, Reason, TokenProbability, Usage};
pub use tools::ToolChoice;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;
use ts_rs::TS;

use crate::{
    App,
    error::{Code, Error, Result},
};
use line::{Line, Turn};

/// Answers that are computed side by side: they share the reading of the weights, and each has its keys and values.
const AT_ONCE: u32 = 8;
/// Texts that are tokenized side by side: short work, which need not wait for answers, and may load a model.
const LOOKS_AT_ONCE: u32 = 4;
/// Requests that may wait for their turn, where the person did not say.
const QUEUE_USUAL: usize = 64;
/// Longer lines help nobody.
const QUEUE_MAX: u64 = 1_024;
/// What a busy server tells clients to wait, in seconds.
const RETRY_SECONDS: u64 = 5;
/// The port, where the person did not say.
pub const PORT_USUAL: u16 = 11_711;
/// The setting that says what the server of the window is doing.
pub(crate) const STATE: &str = "server_state";

/// What the server is doing, as the page sees it in the setting `server_state`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ServerState {
    #[default]
    Off,
    On {
        /// With its port: "127.0.0.1:11711".
        address: String,
    },
    Failed {
        /// In English.
        reason: String,
    },
}

/// What the person set about the server.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerSettings {
    pub on: bool,
    /// An IP address.
    pub address: String,
    pub port: u16,
    /// Origins of web pages that may ask.
    pub origins: Vec<String>,
    /// The server goes on when the window is closed.
    pub tray: bool,
}

/// Requests under way and those that wait.
pub(crate) struct Serving {
    /// For answers and vectors.
    answers: Line,
    /// For tokens.
    looks: Line,
    /// Requests whose rows do not say yet what became of them.
    open: Arc<AtomicUsize>,
    /// Strangers' requests that the log took in the minute that began then.
    strangers: Mutex<Option<(Instant, u32)>>,
    closing: watch::Sender<bool>,
}

impl Default for Serving {
    fn default() -> Serving {
        Serving {
            answers: Line::new(AT_ONCE),
            looks: Line::new(LOOKS_AT_ONCE),
            open: Arc::default(),
            strangers: Mutex::default(),
            closing: watch::Sender::new(false),
        }
    }
}

impl Serving {
    pub(crate) fn busy(&self) -> bool {
        self.open.load(Ordering::Acquire) > 0
    }

    /// Ends the answers under way.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }
}

/// A request whose row does not say yet what became of it.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Open {
        count.fetch_add(1, Ordering::AcqRel);
        Open(count.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whether a setting of the server can hold this value; `None` where it is another setting.
pub(crate) fn fits(key: &str, value: &Value) -> Option<bool> {
    Some(match key {
        "server_on" | "server_log_text" | "server_tray" => value.is_boolean(),
        "server_port" => value.as_u64().is_some_and(|port| (1_024..=65_535).contains(&port)),
        "server_address" => value.as_str().is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok()),
        "server_origins" => {
            let all: Option<Vec<String>> = serde_json::from_value(value.clone()).ok();
            all.is_some_and(|all| all.iter().all(|origin| is_origin(origin)))
        }
        "server_queue" => value.as_u64().is_some_and(|count| count <= QUEUE_MAX),
        "server_ttl" => value.as_u64().is_some_and(|minutes| (1..=10_080).contains(&minutes)),
        STATE => false,
        _ => return None,
    })
}

/// Whether browsers may send this as the origin of a page: scheme, host and a port that is not the scheme's own, in small
/// letters, without a path. Anything else (a wildcard, a slash at the end) would never be equal to one.
pub fn is_origin(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.origin().ascii_serialization() == text
    })
}

impl App {
    pub async fn server_settings(&self) -> Result<ServerSettings> {
        Ok(ServerSettings {
            on: self.setting("server_on").await?.unwrap_or(false),
            address: self.setting("server_address").await?.unwrap_or_else(|| "127.0.0.1".to_string()),
            port: self.setting("server_port").await?.unwrap_or(PORT_USUAL),
            origins: self.setting("server_origins").await?.unwrap_or_default(),
            tray: self.setting("server_tray").await?.unwrap_or(false),
        })
    }

    /// Whether the program is to go on for the server's sake when the window is closed: the person wants it, and it runs.
    pub async fn server_stays(&self) -> Result<bool> {
        let ServerSettings { on, tray, .. } = self.server_settings().await?;
        let state: Option<ServerState> = self.setting(STATE).await?;
        Ok(on && tray && matches!(state, Some(ServerState::On { .. })))
    }

    /// Tells the page what the server is doing.
    pub async fn report_server(&self, state: &ServerState) -> Result<()> {
        let value = serde_json::to_value(state).map_err(Error::internal)?;
        Ok(self.inner.store.set_setting(STATE, value).await?)
    }

    /// A turn at the engine for so many answers of a client, at most [`AT_ONCE`]; where the line is too long, an error that
    /// says when to come again.
    async fn turn(&self, client: &str, answers: u32) -> Result<Turn> {
        self.turn_in(&self.inner.serving.answers, client, answers).await
    }

    /// A turn for a look at tokens.
    async fn look(&self, client: &str) -> Result<Turn> {
        self.turn_in(&self.inner.serving.looks, client, 1).await
    }

    async fn turn_in(&self, line: &Line, client: &str, places: u32) -> Result<Turn> {
        if self.inner.closing() {
            return Err(Error::closing());
        }
        if let Some(turn) = line.enter(client, places) {
            return Ok(turn);
        }
        let most = self.setting("server_queue").await?.unwrap_or(QUEUE_USUAL);
        let busy = || {
            let detail = format!("{most} requests wait already; try again in {RETRY_SECONDS} seconds");
            Error::new(Code::Busy, detail).with("seconds", RETRY_SECONDS)
        };
        let standing = line.stand(client, places, most).ok_or_else(busy)?;
        let mut closing = self.inner.serving.closing.subscribe();
        tokio::select! {
            turn = standing.turn() => turn.ok_or_else(busy),
            _ = closing.wait_for(|closing| *closing) => Err(Error::closing()),
        }
    }

    pub(crate) async fn forget_requests(&self) -> Result<()> {
        Ok(self.inner.store.forget_requests().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_of_the_server_are_checked() {
        for (key, value, fit) in [
            ("server_port", json!(11711), true),
            ("server_port", json!(80), false),
            ("server_port", json!(70_000), false),
            ("server_address", json!("0.0.0.0"), true),
            ("server_address", json!("::1"), true),
            ("server_address", json!("example.org"), false),
            ("server_origins", json!(["http://localhost:3000", "https://a.example"]), true),
            ("server_origins", json!(["*"]), false),
            ("server_origins", json!(["http://a.example/path"]), false),
            ("server_origins", json!(["http://a.example/"]), false),
            ("server_origins", json!(["http://a.example:80"]), false),
            ("server_origins", json!(["http://A.example"]), false),
            ("server_origins", json!(["http://a.example:x"]), false),
            ("server_origins", json!(["http://u@a.example"]), false),
            ("server_origins", json!(["http://[::1]:3000", "https://例子.example"]), false),
            ("server_origins", json!(["http://[::1]:3000", "https://xn--fsqu00a.example"]), true),
            ("server_origins", json!(["null"]), false),
            ("server_origins", json!(["file://"]), false),
            ("server_origins", json!(["tauri://localhost"]), false),
            ("server_state", json!({"state": "off"}), false),
            ("server_queue", json!(0), true),
            ("server_queue", json!(QUEUE_MAX + 1), false),
            ("server_ttl", json!(5), true),
            ("server_ttl", json!(0), false),
            ("server_on", json!("yes"), false),
            ("server_log_text", json!(true), true),
        ] {
            assert_eq!(fits(key, &value), Some(fit), "{key} {value}");
        }
        assert_eq!(fits("theme", &json!("dark")), None);
    }
}
