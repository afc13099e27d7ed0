//! The use cases as a face sees them: commands by name, and the stream of changes.

mod bindings;
mod chats;
mod home;
mod models;
mod pages;
mod recovery;
mod talking;
mod tiny;
