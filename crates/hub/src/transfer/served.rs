//! Judges an answer before a byte of it is written: is this the file, this version of it, and the bytes that were asked for?

use std::ops::Range;

use reqwest::header;
use url::Url;

use crate::{
    client::Answer,
    error::{Error, Result, shown},
};

/// What an answer's head says of the file and of the bytes that follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Served {
    /// Of the whole file.
    pub total: Option<u64>,
    /// Where in the file the bytes that follow begin.
    pub start: u64,
    /// Where they end, as far as the head says.
    pub end: Option<u64>,
    /// Whether it is a part, as asked; otherwise it is the whole file from its start.
    pub is_part: bool,
    /// Strong ETag or date.
    pub validator: Option<String>,
}

/// `bytes 0-99/1000`, either side of the slash perhaps unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ContentRange {
    range: Option<Range<u64>>,
    total: Option<u64>,
}

impl Served {
    /// Reads the head of an answer to a request for `asked` (None: for all of it). `name` is the file's.
    pub fn judge(answer: &Answer, asked: Option<&Range<u64>>, name: &str) -> Result<Served> {
        let status = answer.status().as_u16();
        let content_range = answer.header(header::CONTENT_RANGE).and_then(ContentRange::parse);
        if status == 416 {
            let total = content_range.and_then(|range| range.total);
            if total.is_none() {
                return Err(Error::protocol(&answer.url, "it has no such range"));
            }
            return Ok(Served { total, start: total.unwrap_or(0), end: total, is_part: true, validator: None });
        }
        if !matches!(status, 200 | 206) {
            return Err(answer.refusal());
        }
        refuse_pages(answer, name)?;
        let validator = validator(answer);
        match (status, content_range, asked) {
            (_, Some(ContentRange { range: Some(range), total }), Some(asked)) => {
                if range.start != asked.start {
                    let reason = format!("asked for bytes from {}, it sends from {}", asked.start, range.start);
                    return Err(Error::protocol(&answer.url, reason));
                }
                Ok(Served { total, start: range.start, end: Some(range.end), is_part: true, validator })
            }
            (206, ..) => Err(Error::protocol(&answer.url, "a part that does not say which")),
            _ => {
                let total = answer.length();
                Ok(Served { total, start: 0, end: total, is_part: false, validator })
            }
        }
    }
}

impl ContentRange {
    fn parse(text: &str) -> Option<ContentRange> {
        let (range, total) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
        let total = match total.trim() {
            "*" => None,
            total => Some(total.parse().ok()?),
        };
        let range = match range.trim() {
            "*" => None,
            range => {
                let (first, last) = range.split_once('-')?;
                let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
                let end = last.checked_add(1)?;
                if first >= end || total.is_some_and(|total| end > total) {
                    return None;
                }
                Some(first..end)
            }
        };
        Some(ContentRange { range, total })
    }
}

/// A captive portal, a sign-in or an error page comes with 200 too. Several parts in one body, or a packed body, were not
/// asked for.
fn refuse_pages(answer: &Answer, name: &str) -> Result<()> {
    let kind = answer.header(header::CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    if kind.starts_with("text/html") && !is_page(name) {
        return Err(Error::NotAFile { url: shown(&answer.url) });
    }
    if kind.starts_with("multipart/") {
        return Err(Error::protocol(&answer.url, "several parts in one body"));
    }
    match answer.header(header::CONTENT_ENCODING) {
        None | Some("identity" | "") => Ok(()),
        Some(other) => Err(Error::protocol(&answer.url, format!("a body packed with `{other}`"))),
    }
}

/// Whether the first bytes of a file that is no web page are those of one.
pub(super) fn refuse_page_bytes(url: &Url, name: &str, first: &[u8]) -> Result<()> {
    let text = first.trim_ascii_start();
    let starts = |tag: &[u8]| text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag));
    if !is_page(name) && (starts(b"<!doctype html") || starts(b"<html")) {
        return Err(Error::NotAFile { url: shown(url) });
    }
    Ok(())
}

fn is_page(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".html", ".htm", ".xhtml"].iter().any(|suffix| name.ends_with(suffix))
}

/// What ties a part to one version of the file: a strong ETag, else the date of its last change (RFC 9110, 13.1.5).
fn validator(answer: &Answer) -> Option<String> {
    match answer.header(header::ETAG) {
        Some(tag) if tag.starts_with('"') => Some(tag.to_owned()),
        Some(_) => None,
        None => answer.header(header::LAST_MODIFIED).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_read_as_the_standard_has_it() {
        // RFC 9110, 14.4
        for (text, range, total) in [
            ("bytes 42-1233/1234", Some(42..1234), Some(1234)),
            ("bytes 42-1233/*", Some(42..1234), None),
            ("bytes */1234", None, Some(1234)),
            ("bytes 0-0/1", Some(0..1), Some(1)),
        ] {
            assert_eq!(ContentRange::parse(text), Some(ContentRange { range, total }), "{text}");
        }
    }

    #[test]
    fn a_content_range_that_cannot_be_is_none() {
        for text in [
            "",
            "bytes",
            "bytes 1-2",
            "bytes 5-4/10",
            "bytes 0-10/10",
            "items 0-1/2",
            "bytes -1-2/3",
            "bytes a-b/c",
            "bytes 0-18446744073709551615/*",
            "bytes 0-1/99999999999999999999",
        ] {
            assert_eq!(ContentRange::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_web_page_is_known_by_its_first_bytes() {
        let url = Url::parse("https://hub.test/x.gguf?signature=s").expect("an address");
        for page in ["<!DOCTYPE html><html>", "\r\n  <HTML lang=zh>"] {
            match refuse_page_bytes(&url, "x.gguf", page.as_bytes()) {
                Err(Error::NotAFile { url }) => assert_eq!(url, "https://hub.test/x.gguf"),
                other => panic!("{other:?}"),
            }
        }
        assert!(refuse_page_bytes(&url, "x.gguf", b"GGUF\x03\0\0\0").is_ok());
        assert!(refuse_page_bytes(&url, "page.html", b"<!doctype html>").is_ok());
    }
}
