//! The use cases as a face sees them: commands by name, and the stream of changes.

#![allow(clippy::unwrap_used)] // a test's helper may panic

mod bindings;
mod browse;
mod catalogue;
mod chats;
mod computing;
mod deletion;
mod downloads;
mod drafting;
mod elsewhere;
mod finding;
mod formats;
mod home;
mod library;
mod merging;
mod models;
mod pages;
mod recovery;
mod remote;
mod server;
mod serving;
mod serving_many;
mod storage;
mod talking;
// Other tests make models of other sizes with it.
#[allow(dead_code)]
mod tiny;
mod tools;
mod workshop;
mod workshop_killed;
