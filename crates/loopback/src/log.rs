//! What was asked and what was sent, as it happens.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::repository::Face;

/// One request as it stands now.
#[derive(Clone, Debug)]
pub struct Request {
    /// When it came, from the start of the hub.
    pub at: Duration,
    /// The host that was asked.
    pub face: Face,
    /// `GET`, `HEAD`, `PUT`.
    pub method: String,
    /// The `Host` header.
    pub host: String,
    /// Path and query as they came.
    pub target: String,
    /// The path, decoded.
    pub path: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// The `If-Range` header.
    pub if_range: Option<String>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `Cookie` header.
    pub cookie: Option<String>,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
    /// The status of the answer; 0 while there is none.
    pub status: u16,
    /// `owner/name/path` of the file whose bytes the answer carries.
    pub file: Option<String>,
    /// The first byte of the file that the answer carries.
    pub start: u64,
    /// How many bytes of the body were handed to the system so far.
    pub bytes: u64,
    /// The whole answer has been sent.
    pub whole: bool,
}

impl Request {
    /// The bytes of the file that were sent.
    pub fn sent(&self) -> Range<u64> {
        self.start..self.start + self.bytes
    }
}

/// A request in the log, and what changes of it.
pub(crate) struct Entry {
    request: Request,
    live: Live,
}

#[derive(Default)]
pub(crate) struct Live {
    status: AtomicU64,
    bytes: AtomicU64,
    start: AtomicU64,
    whole: AtomicBool,
    file: std::sync::OnceLock<String>,
}

impl Entry {
    pub(crate) fn new(request: Request) -> Arc<Entry> {
        Arc::new(Entry { request, live: Live::default() })
    }

    pub(crate) fn answers(&self, status: u16) {
        self.live.status.store(u64::from(status), Ordering::Relaxed);
    }

    pub(crate) fn carries(&self, file: &str, start: u64) {
        self.live.start.store(start, Ordering::Relaxed);
        // A request carries one file; setting it again would be the same one.
        self.live.file.set(file.to_owned()).ok();
    }

    pub(crate) fn sent(&self, bytes: u64) {
        self.live.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self) {
        self.live.whole.store(true, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> Request {
        Request {
            status: self.live.status.load(Ordering::Relaxed) as u16,
            bytes: self.live.bytes.load(Ordering::Relaxed),
            start: self.live.start.load(Ordering::Relaxed),
            whole: self.live.whole.load(Ordering::Relaxed),
            file: self.live.file.get().cloned(),
            ..self.request.clone()
        }
    }
}
