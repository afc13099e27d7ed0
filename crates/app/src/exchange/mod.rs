//! Chats, characters and text files out of the program and into it: pure functions over rows, no SQL and no files.
//!
//! Everything that comes in is untrusted: sizes, counts and depths are bounded, and what is sound of a half-broken
//! file comes in while the rest is named.

use huacaya_store::{Problem, Time, WholeChat};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::Result;

pub mod archive;
pub mod character;
pub mod chatgpt;
pub mod grown;
pub mod loose;
pub mod markdown;
pub mod png;
pub mod text;

pub use character::read_character;
pub use text::read_text;

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Json,
    Markdown,
}

/// What an import brought.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Imported {
    pub chats: u32,
    pub messages: u32,
    /// Parts that could not be read; the rest came in.
    pub skipped: Vec<Problem>,
}

/// What of a file was sound, ready for `Store::add_chats`, and what was not.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    pub chats: Vec<WholeChat>,
    pub skipped: Vec<Problem>,
}

/// The whole trees as JSON, or the visible paths as Markdown.
pub fn export(chats: &[WholeChat], format: Format, exported_ms: Time) -> String {
    match format {
        Format::Json => archive::write(chats, exported_ms),
        Format::Markdown => markdown::write(chats),
    }
}

/// Reads our own JSON or ChatGPT's `conversations.json`. `now_ms` stands in for missing times.
pub fn read_chats(name: &str, bytes: &[u8], now_ms: Time) -> Result<Sound> {
    let file = loose::read(name, bytes)?;
    let mut report = loose::Report::new(name);
    let chats = match &file.fields {
        Some(fields) => archive::read(name, fields, &file.items, now_ms, &mut report)?,
        None => chatgpt::read(&file.items, now_ms, &mut report),
    };
    if let Some(reason) = file.broken {
        report.skip("", &reason);
    }
    if chats.is_empty() && report.is_empty() {
        report.skip("", "there is no chat in it");
    }
    Ok(Sound { chats, skipped: report.problems() })
}

#[cfg(test)]
mod tests;
