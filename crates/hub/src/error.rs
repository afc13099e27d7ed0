//! Everything that can go wrong between asking a host and a file that is whole. Each says what was attempted, on what.

use std::{io, path::PathBuf};

use url::Url;

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request, a listing or a transfer did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The offline switch is on: nothing was sent.
    #[error("the offline switch is on: nothing was asked of {host}")]
    Offline { host: String },
    /// The watch said so. What was fetched so far is kept.
    #[error("stopped")]
    Stopped,
    #[error("{host} cannot be reached: {reason}")]
    Unreachable { host: String, reason: String },
    #[error("{repository} is open only to those whom its owner lets in: ask at {url}, then give a token")]
    Gated { repository: String, url: String },
    #[error("{host} does not accept the token, or wants one")]
    Unauthorized { host: String },
    #[error("{what} is not there")]
    NotFound { what: String },
    #[error("{host} asks to wait {seconds} s before the next request")]
    RateLimited { host: String, seconds: u64 },
    #[error("{host} failed with status {status}")]
    Server { host: String, status: u16 },
    #[error("{url} answers with a web page, not with a file")]
    NotAFile { url: String },
    #[error("{name} should have {expected} bytes; the hub offers {found}")]
    SizeMismatch { name: String, expected: u64, found: u64 },
    #[error("{name} has SHA-256 {found}; it should be {expected}")]
    HashMismatch { name: String, expected: String, found: String },
    #[error("{url} changed while it was fetched, twice")]
    Changed { url: String },
    #[error("{path}: needs {needed} bytes, {free} are free")]
    DiskFull { needed: u64, free: u64, path: PathBuf },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("`{text}` is no address: {reason}")]
    Address { text: String, reason: String },
    #[error("`{name}` is no safe file name")]
    UnsafeName { name: String },
    #[error("{host} gave an answer that makes no sense: {reason}")]
    Protocol { host: String, reason: String },
    #[error("the system's keyring: {reason}")]
    Keyring { reason: String },
}

impl Error {
    /// Whether the same request may well be answered a little later.
    pub fn passes(&self) -> bool {
        matches!(
            self,
            Error::Unreachable { .. } | Error::RateLimited { .. } | Error::Server { .. } | Error::Protocol { .. }
        )
    }

    pub(crate) fn protocol(url: &Url, reason: impl Into<String>) -> Error {
        Error::Protocol { host: host_of(url), reason: reason.into() }
    }
}

/// The host with its port where that is not the scheme's own: what tokens and the list of connections are kept by.
pub fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// The address without its query, which may hold a signature, and without any name and password.
pub(crate) fn shown(url: &Url) -> String {
    let mut bare = url.clone();
    bare.set_query(None);
    bare.set_fragment(None);
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    bare.to_string()
}
