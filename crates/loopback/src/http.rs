//! HTTP/1.1 by hand: requests as they come, answers as they go, so that each byte can go wrong.

use std::{
    io::{self, BufRead, BufReader, Read},
    net::TcpStream,
    ops::Range,
};

use serde_json::Value;

use crate::content::Content;

/// Longer than any client of ours sends; the hub is ours, too, so this is no more than a stop.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// A search's JSON body is some hundreds of bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// A request, its path decoded.
pub(crate) struct Request {
    pub method: String,
    /// As it came: path and query, or an absolute address at the proxy.
    pub target: String,
    /// The path's segments, decoded one by one.
    pub segments: Vec<String>,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// The next request of a connection; none when the other side has left.
    pub(crate) fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
        let mut head = Vec::new();
        loop {
            let before = head.len();
            let read = reader.by_ref().take(HEAD_BYTES_MAX as u64).read_until(b'\n', &mut head)?;
            if read == 0 {
                return Ok(None);
            }
            if head.len() > HEAD_BYTES_MAX {
                return Err(io::Error::other("a request's head is too long"));
            }
            if head[before..] == *b"\r\n" || head[before..] == *b"\n" {
                break;
            }
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        let mut lines = text.lines();
        let mut first = lines.next().unwrap_or_default().split(' ');
        let method = first.next().unwrap_or_default().to_owned();
        let target = first.next().unwrap_or_default().to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut request =
            Request { method, segments: segments(&target), query: query(&target), target, headers, body: Vec::new() };
        let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        if length > BODY_BYTES_MAX {
            return Err(io::Error::other("a request's body is too long"));
        }
        request.body = vec![0; length];
        reader.read_exact(&mut request.body)?;
        Ok(Some(request))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.parameter(name).is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | ""))
    }

    pub(crate) fn path(&self) -> String {
        format!("/{}", self.segments.join("/"))
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// The token of `Authorization: Bearer`, or ModelScope's cookie.
    pub(crate) fn token(&self) -> Option<&str> {
        let bearer = self.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        bearer.or_else(|| {
            let cookies = self.header("cookie")?.split(';');
            cookies
                .filter_map(|cookie| cookie.trim().split_once('='))
                .find(|(key, _)| *key == "m_session_id")
                .map(|(_, value)| value)
        })
    }

    /// The range asked for, of a file of so many bytes. `Err`: it cannot be satisfied.
    pub(crate) fn range(&self, bytes: u64) -> Result<Option<Range<u64>>, ()> {
        let Some(asked) = self.header("range").and_then(|value| value.strip_prefix("bytes=")) else { return Ok(None) };
        let Some((first, last)) = asked.split_once('-') else { return Ok(None) };
        let range = match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first <= last => first..(last + 1).min(bytes),
            (Ok(first), Err(_)) if last.is_empty() => first..bytes,
            (Err(_), Ok(last)) if first.is_empty() => bytes.saturating_sub(last)..bytes,
            _ => return Ok(None),
        };
        if range.start >= bytes { Err(()) } else { Ok(Some(range)) }
    }
}

fn segments(target: &str) -> Vec<String> {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    path.split('/').filter(|segment| !segment.is_empty()).map(|segment| decode(segment, false)).collect()
}

fn query(target: &str) -> Vec<(String, String)> {
    let Some((_, query)) = target.split_once('?') else { return Vec::new() };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(k, v)| (decode(k, true), decode(v, true)))
        .collect()
}

fn decode(text: &str, plus: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok()))
            .flatten();
        match code {
            Some(code) => {
                out.push(code);
                at += 3;
            }
            None => {
                out.push(if plus && bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Percent-encodes what may not stand in a path's segment, `/` left alone.
pub(crate) fn encode(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// An answer before anything goes wrong with it.
pub(crate) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

pub(crate) enum Body {
    Bytes(Vec<u8>),
    /// These bytes of a file.
    File {
        content: Content,
        range: Range<u64>,
    },
}

impl Answer {
    pub(crate) fn new(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Answer {
        Answer { status, headers: vec![("Content-Type".into(), kind.into())], body: Body::Bytes(body.into()) }
    }

    pub(crate) fn text(status: u16, text: impl Into<String>) -> Answer {
        Answer::new(status, "text/plain; charset=utf-8", text.into())
    }

    pub(crate) fn json(status: u16, value: &Value) -> Answer {
        Answer::new(status, "application/json; charset=utf-8", value.to_string())
    }

    pub(crate) fn html(text: &str) -> Answer {
        Answer::new(200, "text/html; charset=utf-8", text)
    }

    pub(crate) fn redirect(status: u16, to: &str) -> Answer {
        Answer::text(status, format!("Redirecting to {to}")).with("Location", to)
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Answer {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Puts this value in the place of whatever the header was.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.remove(name);
        self.headers.push((name.into(), value.into()));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }

    /// How long the body is.
    pub(crate) fn length(&self) -> u64 {
        match &self.body {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::File { range, .. } => range.end - range.start,
        }
    }

    /// Status line and headers, with a length or the framing that stands for one.
    pub(crate) fn head(&self, length: Length) -> String {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match length {
            Length::Known => head.push_str(&format!("Content-Length: {}\r\n", self.length())),
            Length::Chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
            Length::UntilClose => head.push_str("Connection: close\r\n"),
            Length::Unsaid => {}
        }
        head.push_str("\r\n");
        head
    }
}

/// How the end of a body is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Known,
    Chunked,
    UntilClose,
    /// Only for HEAD.
    Unsaid,
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Other",
    }
}
