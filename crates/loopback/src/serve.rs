//! Listeners and connections: one thread each, so that a stalled one stalls nothing else.

use std::{
    io::{self, BufReader, Write},
    net::{Shutdown, TcpListener, TcpStream},
    ops::Range,
    sync::{Arc, PoisonError, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Shared,
    content::CHUNK_BYTES,
    delivery::Send,
    fault::{At, Fault},
    http::{Answer, Body, Length, Request},
    hugging_face,
    log::{self, Entry},
    model_scope, proxy,
    repository::Face,
};

/// How often a stalled connection looks whether the other side has left.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A slow answer is sent so many times a second.
const SLOW_STEPS: u64 = 20;

/// What a host answers: the file that the answer is about, if one, and the answer.
pub(crate) struct Routed {
    /// `owner/name/path` where the answer is about one file, else the path of the address.
    pub subject: String,
    pub send: Send,
}

pub(crate) fn listen(shared: &Arc<Shared>, listener: TcpListener, face: Face) {
    let shared = shared.clone();
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            if shared.stopping.load(Ordering::SeqCst) {
                break;
            }
            if shared.unplugged.load(Ordering::SeqCst) {
                stream.shutdown(Shutdown::Both).ok();
                continue;
            }
            let number = shared.connections.fetch_add(1, Ordering::SeqCst);
            if let Ok(copy) = stream.try_clone() {
                shared.open.lock().unwrap_or_else(PoisonError::into_inner).insert(number, copy);
            }
            let shared = shared.clone();
            thread::spawn(move || {
                // A broken connection is the other side's business, or ours on purpose.
                converse(&shared, face, &stream).ok();
                stream.shutdown(Shutdown::Both).ok();
                shared.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
            });
        }
    });
}

fn converse(shared: &Arc<Shared>, face: Face, stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = Request::read(&mut reader)? {
        let entry = shared.note(face, &request);
        if face == Face::Proxy {
            return proxy::forward(&request, &entry, stream);
        }
        let routed = match face {
            Face::Hub => hugging_face::route(shared, &request),
            Face::Cdn => hugging_face::route_cdn(shared, &request),
            Face::ModelScope | Face::Proxy => model_scope::route(shared, &request),
        };
        let keep = request.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close"));
        if !answer(shared, &request, routed, &entry, stream)? || !keep {
            break;
        }
    }
    Ok(())
}

/// Sends one answer with the faults it suffers; `false`: the connection ends here.
fn answer(shared: &Shared, request: &Request, routed: Routed, entry: &Entry, stream: &TcpStream) -> io::Result<bool> {
    let (at, range) = match &routed.send {
        Send::File(file) => (At::Content, file.asked(request)),
        Send::Answer(_) => (At::Hub, 0..u64::MAX),
    };
    let faults = shared.take_faults(&routed.subject, at, range);
    for fault in &faults {
        match fault {
            Fault::Refuse => return Ok(false),
            Fault::Silent => return stall(shared, stream),
            Fault::Garbage => {
                (&mut &*stream).write_all(b"\x16\x03\x01 this is not HTTP\r\n\r\n")?;
                return Ok(false);
            }
            _ => {}
        }
    }
    let answer = match routed.send {
        Send::File(file) => file.answer(request, &faults),
        Send::Answer(answer) => answer,
    };
    let answer = instead(answer, request, &faults);
    if let Body::File { range, .. } = &answer.body {
        entry.carries(&routed.subject, range.start);
    }
    entry.answers(answer.status);
    write(shared, request, answer, &faults, entry, stream)
}

/// Answers that take the place of the right one, wherever it came from.
fn instead(answer: Answer, request: &Request, faults: &[Fault]) -> Answer {
    let mut answer = answer;
    for fault in faults {
        answer = match fault {
            Fault::Html => {
                Answer::html("<!DOCTYPE html><html><title>Sign in</title><body>Please sign in.</body></html>")
            }
            Fault::Redirect { status, to } => Answer::redirect(*status, &format!("{to}{}", request.target)),
            Fault::Status(status) => Answer::text(*status, format!("fault {status}")),
            Fault::RateLimited { retry_after } => {
                let limited = Answer::text(429, "We had to rate limit you.");
                match retry_after {
                    Some(value) => limited.with("Retry-After", value),
                    None => limited,
                }
            }
            _ => answer,
        };
    }
    answer
}

/// Where in a body something happens, counted from the start of the body.
struct Plan {
    length: Length,
    cut: Option<u64>,
    stall: Option<u64>,
    rate: Option<u64>,
    wrong: Vec<Range<u64>>,
    endless: bool,
}

impl Plan {
    fn new(answer: &Answer, request: &Request, faults: &[Fault]) -> Plan {
        let start = match &answer.body {
            Body::File { range, .. } => range.start,
            Body::Bytes(_) => 0,
        };
        let bytes = answer.length();
        let within = |byte: u64| byte.checked_sub(start).filter(|byte| *byte < bytes);
        let mut plan =
            Plan { length: Length::Known, cut: None, stall: None, rate: None, wrong: Vec::new(), endless: false };
        for fault in faults {
            match fault {
                Fault::CutAt(byte) => plan.cut = within(*byte),
                Fault::CutAfter(bytes) => plan.cut = Some(*bytes),
                Fault::StallAt(byte) => plan.stall = within(*byte),
                Fault::Slow { bytes_per_second } => plan.rate = Some(*bytes_per_second),
                Fault::Chunked => plan.length = Length::Chunked,
                Fault::UntilClose => plan.length = Length::UntilClose,
                Fault::HeadWithoutLength if request.is_head() => plan.length = Length::Unsaid,
                Fault::Endless => {
                    plan.endless = true;
                    plan.length = Length::UntilClose;
                }
                Fault::WrongBytes { at, bytes } => {
                    plan.wrong.push(at.saturating_sub(start)..(at + bytes).saturating_sub(start));
                }
                _ => {}
            }
        }
        plan
    }
}

fn write(
    shared: &Shared,
    request: &Request,
    answer: Answer,
    faults: &[Fault],
    entry: &Entry,
    mut stream: &TcpStream,
) -> io::Result<bool> {
    let plan = Plan::new(&answer, request, faults);
    stream.write_all(answer.head(plan.length).as_bytes())?;
    if request.is_head() || answer.status == 304 {
        entry.ended();
        return Ok(true);
    }
    let total = answer.length();
    let mut chunk = vec![0; CHUNK_BYTES.min(total.max(1) as usize)];
    let began = Instant::now();
    let mut at = 0;
    while at < total {
        if plan.cut == Some(at) {
            return Ok(false);
        }
        if plan.stall == Some(at) {
            return stall(shared, stream);
        }
        let events = [plan.cut, plan.stall].into_iter().flatten().filter(|event| *event > at);
        let mut size = events.min().map_or(total - at, |event| event - at).min(total - at).min(chunk.len() as u64);
        if let Some(rate) = plan.rate {
            size = size.min((rate / SLOW_STEPS).max(1));
        }
        let piece = &mut chunk[..size as usize];
        match &answer.body {
            Body::Bytes(bytes) => piece.copy_from_slice(&bytes[at as usize..(at + size) as usize]),
            Body::File { content, range } => content.fill(range.start + at, piece)?,
        }
        for wrong in &plan.wrong {
            let first = wrong.start.max(at);
            for byte in first..wrong.end.min(at + size).max(first) {
                piece[(byte - at) as usize] ^= 0xff;
            }
        }
        put(stream, piece, plan.length)?;
        entry.sent(size);
        at += size;
        if let Some(rate) = plan.rate {
            wait_until(shared, began + Duration::from_secs_f64(at as f64 / rate.max(1) as f64));
        }
    }
    if plan.length == Length::Chunked {
        stream.write_all(b"0\r\n\r\n")?;
    }
    if plan.endless {
        // Until the other side has had enough.
        loop {
            stream.write_all(&[0; 4096])?;
            entry.sent(4096);
        }
    }
    entry.ended();
    Ok(plan.length != Length::UntilClose)
}

fn put(mut stream: &TcpStream, piece: &[u8], length: Length) -> io::Result<()> {
    if length == Length::Chunked {
        stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes())?;
        stream.write_all(piece)?;
        return stream.write_all(b"\r\n");
    }
    stream.write_all(piece)
}

fn wait_until(shared: &Shared, when: Instant) {
    while !shared.stopping.load(Ordering::SeqCst) {
        let left = when.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        thread::sleep(left.min(LOOK_EVERY));
    }
}

/// Holds the connection open in silence until the other side, or the hub, ends it.
fn stall(shared: &Shared, stream: &TcpStream) -> io::Result<bool> {
    stream.set_read_timeout(Some(LOOK_EVERY))?;
    while !shared.stopping.load(Ordering::SeqCst) {
        match stream.peek(&mut [0]) {
            Ok(0) => break,
            Ok(_) => thread::sleep(LOOK_EVERY),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    Ok(false)
}

impl Shared {
    fn note(&self, face: Face, request: &Request) -> Arc<Entry> {
        let header = |name: &str| request.header(name).map(str::to_owned);
        let entry = Entry::new(log::Request {
            at: self.began.elapsed(),
            face,
            method: request.method.clone(),
            host: header("host").unwrap_or_default(),
            target: request.target.clone(),
            path: request.path(),
            range: header("range"),
            if_range: header("if-range"),
            authorization: header("authorization"),
            cookie: header("cookie"),
            user_agent: header("user-agent"),
            status: 0,
            file: None,
            start: 0,
            bytes: 0,
            whole: false,
        });
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(entry.clone());
        entry
    }

    fn take_faults(&self, subject: &str, at: At, range: Range<u64>) -> Vec<Fault> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).take(subject, at, range)
    }
}
