//! The bytes of one file: ranges, validators, and answers that are wrong in ways only a careful client notices.

use std::ops::Range;

use crate::{
    content::Content,
    fault::Fault,
    http::{Answer, Body, Request},
};

/// What a host sends.
pub(crate) enum Send {
    Answer(Answer),
    File(Delivery),
}

/// A file on its way.
pub(crate) struct Delivery {
    pub content: Content,
    /// Without quotes.
    pub etag: String,
    /// Headers that the host adds.
    pub headers: Vec<(String, String)>,
    /// The status that this host answers ranges with: ModelScope's own file address says 200, everybody else 206.
    pub range_status: u16,
}

impl Delivery {
    /// The bytes asked for, whatever will be answered.
    pub(crate) fn asked(&self, request: &Request) -> Range<u64> {
        request.range(self.content.len()).ok().flatten().unwrap_or(0..self.content.len())
    }

    pub(crate) fn answer(self, request: &Request, faults: &[Fault]) -> Answer {
        let total = self.content.len();
        let etag = faults
            .iter()
            .find_map(|fault| if let Fault::OtherEtag(etag) = fault { Some(etag.clone()) } else { None })
            .unwrap_or(self.etag);
        let quoted = format!("\"{etag}\"");
        let mut answer = Answer {
            status: 200,
            headers: self.headers,
            body: Body::File { content: self.content.clone(), range: 0..total },
        };
        if !faults.contains(&Fault::NoEtag) {
            answer.set("ETag", &quoted);
        }
        answer.set("Accept-Ranges", "bytes");
        if request.header("if-none-match") == Some(&quoted) {
            answer.status = 304;
            answer.body = Body::Bytes(Vec::new());
            return answer;
        }
        let dated =
            |wanted: &str| answer.headers.iter().any(|(name, value)| name == "Last-Modified" && value == wanted);
        let stale = request.header("if-range").is_some_and(|wanted| wanted != quoted && !dated(wanted));
        let range = match request.range(total) {
            Err(()) => {
                return Answer::text(416, "The requested range is not satisfiable")
                    .with("Content-Range", format!("bytes */{total}"));
            }
            Ok(None) => return answer,
            Ok(Some(_)) if stale || faults.contains(&Fault::WholeFile) => return answer,
            Ok(Some(range)) => range,
        };
        partial(answer, self.content, range, self.range_status, faults)
    }
}

fn partial(mut answer: Answer, content: Content, asked: Range<u64>, status: u16, faults: &[Fault]) -> Answer {
    let total = content.len();
    let (mut claimed, mut sent) = (asked.clone(), asked);
    answer.status = status;
    for fault in faults {
        match fault {
            Fault::OkWithContentRange => answer.status = 200,
            Fault::WrongOffset(by) => {
                let start = sent.start.saturating_add_signed(*by).min(total - 1);
                sent = start..(start + (sent.end - sent.start)).min(total);
                claimed = sent.clone();
            }
            Fault::LyingOffset(by) => {
                let length = sent.end - sent.start;
                let start = (sent.start + by).min(total - length);
                sent = start..start + length;
            }
            Fault::ShortRange(bytes) => {
                sent.end = sent.end.min(sent.start + bytes);
                claimed = sent.clone();
            }
            _ => {}
        }
    }
    answer.set("Content-Range", format!("bytes {}-{}/{total}", claimed.start, claimed.end - 1));
    answer.body = Body::File { content, range: sent };
    answer
}
