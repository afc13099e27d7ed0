//! The server over a socket, byte by byte as clients send it: its languages, who may ask, how much, many at once, and the
//! window in a browser.

#![allow(clippy::unwrap_used)] // a test's helper may panic

mod answers;
mod anthropic;
mod follow;
mod guard;
mod hostile;
mod limits;
mod many;
mod ollama;
mod openai;
mod openapi;
mod responses;
mod served;
mod texts;
mod window;
