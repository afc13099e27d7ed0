//! Finds and downloads model files: hubs, mirrors, resume, verify. The only crate that opens outbound connections.
//!
//! A [`Hub`] holds what every request goes by ([`Network`]) and is cloned freely. Its modules, in reading order:
//! what can go wrong, what holds for every request, how a request is made, the transfer of a file, and finding one: names
//! and addresses from outside, what hubs list, what is on this disk already.

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

pub mod address;
pub mod cache;
mod card;
pub mod choices;
mod endpoints;
mod hugging_face;
mod model_scope;
pub mod names;
pub mod repository;
pub mod token;

pub use address::{Address, Place};
pub use cache::{Cache, Cached};
pub use choices::{Choice, ChoiceKind, Choices, quantization};
pub use client::Hub;
pub use connections::{Connection, Purpose};
pub use endpoints::{default_endpoints, environment_endpoint};
pub use error::{Error, Result, host_of};
pub use names::{FileName, RepositoryId};
pub use network::{Dialect, Endpoint, Network, Patience, Proxy, Tokens};
pub use reach::Reach;
pub use repository::{Hit, RemoteFile, Repository, RepositoryFile, Weights};
pub use space::free_space;
pub use token::TokenPlace;
pub use transfer::{Fetched, FileSource, Stage, Wanted, discard, partial};
