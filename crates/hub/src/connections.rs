//! Every request that was made or refused, told one by one: what the list of connections in the settings shows.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// One request, told at its end. A redirect makes two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// When it was begun, in milliseconds since 1970.
    pub at_ms: i64,
    /// With its port where that is not the scheme's own.
    pub host: String,
    pub purpose: Purpose,
    pub status: Option<u16>,
    /// Received, of the body.
    pub bytes: u64,
    pub problem: Option<String>,
    /// False where the offline switch held it back: then nothing was sent.
    pub made: bool,
}

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    Search,
    Repository,
    Card,
    /// The first bytes of a model file.
    Header,
    File,
    /// Whether an endpoint can be reached.
    Test,
}

impl Purpose {
    /// Its word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Purpose::Search => "search",
            Purpose::Repository => "repository",
            Purpose::Card => "card",
            Purpose::Header => "header",
            Purpose::File => "file",
            Purpose::Test => "test",
        }
    }
}

type Tell = Arc<dyn Fn(Connection) + Send + Sync>;

/// Who is told.
#[derive(Clone, Default)]
pub(crate) struct Connections(Arc<Mutex<Option<Tell>>>);

impl Connections {
    pub fn tell_to(&self, tell: impl Fn(Connection) + Send + Sync + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(tell));
    }

    fn tell(&self, connection: Connection) {
        let tell = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tracing::debug!(?connection, "request");
        if let Some(tell) = tell {
            tell(connection);
        }
    }

    /// An entry for a request that begins now; told when it is dropped.
    pub fn begin(&self, host: String, purpose: Purpose) -> Entry {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        let connection = Connection { at_ms, host, purpose, status: None, bytes: 0, problem: None, made: true };
        Entry { connections: self.clone(), connection }
    }
}

/// A request under way.
pub(crate) struct Entry {
    connections: Connections,
    pub connection: Connection,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.tell(self.connection.clone());
    }
}
