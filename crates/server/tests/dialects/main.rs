//! The languages of other servers, tools, and the window in a browser: over a socket, byte by byte as clients send them.

#![allow(clippy::unwrap_used)] // a test's helper may panic

mod anthropic;
mod ollama;
mod openai;
mod openapi;
mod responses;
mod served;
mod window;
