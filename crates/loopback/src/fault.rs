//! What goes wrong, where, how often.

/// Something that goes wrong with an answer. Byte positions count from the start of the file, whatever range was asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The connection ends in good order before this byte of the file; answers that end earlier are whole.
    CutAt(u64),
    /// The connection ends after so many bytes of the answer's body.
    CutAfter(u64),
    /// Nothing more is sent from this byte of the file on; the connection stays open until the other side leaves.
    StallAt(u64),
    /// Nothing at all is answered; the connection stays open.
    Silent,
    /// The connection is closed without an answer.
    Refuse,
    /// At most so many bytes a second, for each connection.
    Slow {
        /// Bytes a second.
        bytes_per_second: u64,
    },
    /// A range is answered by 200 and the whole file.
    WholeFile,
    /// A range is answered by its bytes and `Content-Range`, but with status 200.
    OkWithContentRange,
    /// 206 for a range that begins so many bytes off, and says so.
    WrongOffset(i64),
    /// 206 that claims the range asked for but carries bytes from so many bytes further.
    LyingOffset(u64),
    /// 206 for only the first so many bytes of what was asked.
    ShortRange(u64),
    /// This ETag (without quotes) instead of the file's own.
    OtherEtag(String),
    /// No ETag.
    NoEtag,
    /// No `Content-Length`: the body comes in chunks.
    Chunked,
    /// No `Content-Length`: the body ends when the connection does.
    UntilClose,
    /// 200 and a page of HTML, as captive portals and error pages do.
    Html,
    /// These bytes of the file arrive inverted.
    WrongBytes {
        /// The first wrong byte.
        at: u64,
        /// How many are wrong.
        bytes: u64,
    },
    /// A redirect with this status to the same path and query at another host.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// `http://host:port`.
        to: String,
    },
    /// This status with a line of text.
    Status(u16),
    /// 429; `Retry-After` is sent as given: seconds or a date.
    RateLimited {
        /// The value of `Retry-After`; none: no such header.
        retry_after: Option<String>,
    },
    /// HEAD is answered without a length.
    HeadWithoutLength,
    /// A body of zeros that never ends.
    Endless,
    /// Bytes that are not HTTP.
    Garbage,
}

/// Which answers a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Those that carry the file's bytes, wherever they come from.
    Content,
    /// The hub's own answers: listings, pages, redirects to where the bytes are.
    Hub,
}

/// A fault and its bounds. `Fault` turns into one that is for content and happens always.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    pub(crate) fault: Fault,
    pub(crate) at: At,
    pub(crate) times: Option<usize>,
    pub(crate) spare: usize,
    pub(crate) covering: Option<u64>,
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Trouble {
        Trouble { fault, at: At::Content, times: None, spare: 0, covering: None }
    }
}

impl Fault {
    /// Only for the first so many requests.
    pub fn times(self, times: usize) -> Trouble {
        Trouble::from(self).times(times)
    }

    /// Only after so many requests were answered well.
    pub fn after(self, requests: usize) -> Trouble {
        Trouble::from(self).after(requests)
    }

    /// Only for requests whose range holds this byte of the file.
    pub fn covering(self, byte: u64) -> Trouble {
        Trouble::from(self).covering(byte)
    }

    /// For the hub's own answers (listings, redirects) instead of those that carry the file.
    pub fn at_hub(self) -> Trouble {
        Trouble { at: At::Hub, ..Trouble::from(self) }
    }
}

impl Trouble {
    /// See [`Fault::times`].
    pub fn times(self, times: usize) -> Trouble {
        Trouble { times: Some(times), ..self }
    }

    /// See [`Fault::after`].
    pub fn after(self, requests: usize) -> Trouble {
        Trouble { spare: requests, ..self }
    }

    /// See [`Fault::covering`].
    pub fn covering(self, byte: u64) -> Trouble {
        Trouble { covering: Some(byte), ..self }
    }

    /// See [`Fault::at_hub`].
    pub fn at_hub(self) -> Trouble {
        Trouble { at: At::Hub, ..self }
    }

    /// Whether an answer with these bytes of the file can go wrong this way at all: a cut past its end is none.
    fn touches(&self, range: &std::ops::Range<u64>) -> bool {
        let within = |byte: u64| range.contains(&byte);
        let touched = match &self.fault {
            Fault::CutAt(byte) | Fault::StallAt(byte) => within(*byte),
            Fault::WrongBytes { at, bytes } => *at < range.end && at + bytes > range.start,
            _ => true,
        };
        touched && self.covering.is_none_or(within)
    }
}

/// The troubles of one loopback hub.
#[derive(Default)]
pub(crate) struct Troubles(Vec<(String, Trouble)>);

impl Troubles {
    pub(crate) fn add(&mut self, path: &str, trouble: Trouble) {
        self.0.push((path.to_owned(), trouble));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The faults that an answer about `subject` suffers; each counts as having happened once more.
    pub(crate) fn take(&mut self, subject: &str, at: At, range: std::ops::Range<u64>) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (path, trouble) in &mut self.0 {
            if trouble.at != at || !matches(subject, path) || !trouble.touches(&range) {
                continue;
            }
            if trouble.spare > 0 {
                trouble.spare -= 1;
                continue;
            }
            match &mut trouble.times {
                Some(0) => continue,
                Some(times) => *times -= 1,
                None => {}
            }
            faults.push(trouble.fault.clone());
        }
        faults
    }
}

/// A file by the end of its path, any other address by its beginning.
fn matches(subject: &str, path: &str) -> bool {
    subject.ends_with(path) || (path.starts_with('/') && subject.starts_with(path))
}
