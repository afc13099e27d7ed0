//! Finds and downloads model files: hubs, mirrors, resume, verify. The only crate that opens outbound connections.
//!
//! A [`Hub`] holds what every request goes by ([`Network`]) and is cloned freely. Its modules, in reading order:
//! what can go wrong, what holds for every request, how a request is made, and the transfer of a file.

pub mod error;
pub mod network;

mod client;
mod connections;
mod limiter;
mod reach;
mod redirect;
mod retry_after;
mod space;

pub mod transfer;

pub use client::Hub;
pub use connections::{Connection, Purpose};
pub use error::{Error, Result, host_of};
pub use network::{Dialect, Endpoint, Network, Patience, Proxy, Tokens};
pub use reach::Reach;
pub use space::free_space;
pub use transfer::{Fetched, FileSource, Stage, Wanted, discard, partial};
