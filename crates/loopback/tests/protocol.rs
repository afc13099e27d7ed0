//! The loopback hub keeps to what it promises: real answers, and faults where they were asked for.

#![allow(clippy::unwrap_used)]

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use huacaya_loopback::{Content, Face, Fault, Loopback, RepositorySpec};

const BYTES: u64 = 1_000_000;

struct Got {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

/// One request on a connection of its own, redirects not followed.
fn ask(method: &str, url: &str, headers: &str) -> Got {
    let address = url.strip_prefix("http://").unwrap();
    let (host, path) = address.split_once('/').unwrap_or((address, ""));
    let mut stream = TcpStream::connect(host).unwrap();
    let asked = format!("{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n");
    let mut all = Vec::new();
    // A cut connection ends the answer where it was cut.
    stream.write_all(asked.as_bytes()).and_then(|()| stream.read_to_end(&mut all)).ok();
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(all.len().saturating_sub(4));
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Got { status, head, body: all[(end + 4).min(all.len())..].to_vec() }
}

fn hub() -> (Loopback, Content) {
    let hub = Loopback::start();
    let content = Content::seeded(7, BYTES);
    hub.add(RepositorySpec::new("team/model").file("deep/model.gguf", content.clone()).card("# A model"));
    (hub, content)
}

/// Where the hub redirects the model file to.
fn cdn(hub: &Loopback) -> String {
    ask("GET", &hub.file_url("team/model", "deep/model.gguf"), "").header("Location").unwrap().to_owned()
}

#[test]
fn a_large_file_goes_by_another_host_and_a_small_one_by_the_same() {
    let (hub, content) = hub();
    let large = ask("HEAD", &hub.file_url("team/model", "deep/model.gguf"), "");
    assert_eq!(large.status, 302);
    assert_eq!(large.header("X-Linked-Size"), Some("1000000"));
    assert_eq!(large.header("X-Linked-ETag").unwrap(), format!("\"{}\"", content.sha256()));
    assert!(large.header("Location").unwrap().starts_with(&hub.cdn_url()));
    assert!(hub.cdn_url().starts_with("http://localhost:"), "another name, too");
    let small = ask("GET", &hub.file_url("team/model", "README.md"), "");
    assert_eq!(small.status, 307);
    let to = format!("{}{}", hub.url(), small.header("Location").unwrap());
    assert_eq!(ask("GET", &to, "").body, b"# A model");
}

#[test]
fn seeded_bytes_are_the_same_from_wherever_they_are_read() {
    let (hub, content) = hub();
    let whole = content.to_vec();
    let part = ask("GET", &cdn(&hub), "Range: bytes=4000-9000\r\n");
    assert_eq!((part.status, part.body.as_slice()), (206, &whole[4000..=9000]));
    assert_eq!(part.header("Content-Range"), Some("bytes 4000-9000/1000000"));
    let pages: std::collections::HashSet<&[u8]> = whole.chunks(4096).collect();
    assert_eq!(pages.len(), 245, "no page equals another");
}

#[test]
fn if_range_and_ranges_past_the_end_are_answered_as_the_standard_says() {
    let (hub, _) = hub();
    let etag = ask("HEAD", &cdn(&hub), "").header("ETag").unwrap().to_owned();
    assert_eq!(ask("GET", &cdn(&hub), &format!("Range: bytes=1-2\r\nIf-Range: {etag}\r\n")).status, 206);
    let changed = ask("GET", &cdn(&hub), "Range: bytes=1-2\r\nIf-Range: \"old\"\r\n");
    assert_eq!((changed.status, changed.body.len() as u64), (200, BYTES));
    let past = ask("GET", &cdn(&hub), "Range: bytes=1000000-\r\n");
    assert_eq!((past.status, past.header("Content-Range")), (416, Some("bytes */1000000")));
}

#[test]
fn the_other_host_wants_no_token() {
    let (hub, _) = hub();
    assert_eq!(ask("GET", &cdn(&hub), "Authorization: Bearer secret\r\n").status, 400);
    assert_eq!(hub.hosts_that_saw("secret").len(), 1);
}

#[test]
fn refusals_carry_the_hubs_codes() {
    let (hub, content) = hub();
    hub.add(RepositorySpec::new("team/gated").file("m.gguf", content.clone()).gated());
    hub.add(RepositorySpec::new("team/secret").file("m.gguf", content).private());
    hub.accept_token("granted", true);
    hub.accept_token("waiting", false);
    let file = hub.file_url("team/gated", "m.gguf");
    let code = |url: &str, token: &str| {
        let headers = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        let got = ask("GET", url, &headers);
        (got.status, got.header("X-Error-Code").unwrap_or_default().to_owned())
    };
    assert_eq!(code(&file, ""), (401, "GatedRepo".to_owned()));
    assert_eq!(code(&file, "wrong"), (401, "GatedRepo".to_owned()));
    assert_eq!(code(&file, "waiting"), (403, "GatedRepo".to_owned()));
    assert_eq!(code(&file, "granted"), (302, String::new()));
    let api = format!("{}/api/models/team/secret", hub.url());
    assert_eq!(code(&api, ""), (401, String::new()));
    assert_eq!(code(&api, "granted"), (200, String::new()));
    assert_eq!(code(&format!("{}/api/models/no/such", hub.url()), "granted"), (404, "RepoNotFound".to_owned()));
    let absent = hub.file_url("team/model", "absent.gguf");
    assert_eq!(code(&absent, ""), (404, "EntryNotFound".to_owned()));
}

#[test]
fn modelscope_answers_a_range_by_200_and_a_missing_repository_by_words() {
    let (hub, content) = hub();
    let url =
        format!("{}/api/v1/models/team/model/repo?Revision=master&FilePath=deep/model.gguf", hub.modelscope_url());
    let part = ask("GET", &url, "Range: bytes=100-199\r\n");
    assert_eq!((part.status, part.header("Content-Range")), (200, Some("bytes 100-199/1000000")));
    assert_eq!(part.body, content.to_vec()[100..200]);
    let list =
        |id: &str| ask("GET", &format!("{}/api/v1/models/{id}/repo/files?Recursive=true", hub.modelscope_url()), "");
    let absent = list("no/such");
    assert_eq!(absent.status, 200);
    assert!(String::from_utf8_lossy(&absent.body).contains("\"Success\":false"));
    assert!(String::from_utf8_lossy(&list("team/model").body).contains(&content.sha256()));
}

#[test]
fn a_tree_comes_in_pages() {
    let (hub, _) = hub();
    hub.set_tree_page(1);
    let url = format!("{}/api/models/team/model/tree/main?recursive=true", hub.url());
    let mut next = Some(url);
    let mut pages = 0;
    while let Some(url) = next {
        let page = ask("GET", &url, "");
        next = page.header("Link").map(|link| link[1..link.find('>').unwrap()].to_owned());
        pages += 1;
    }
    assert_eq!(pages, 3, "a folder, its file, the card");
}

#[test]
fn faults_happen_where_and_as_often_as_asked() {
    let (hub, content) = hub();
    let whole = content.to_vec();
    let address = cdn(&hub);
    hub.fault("model.gguf", Fault::CutAt(5000).times(1));
    assert_eq!(ask("GET", &address, "").body, &whole[..5000]);
    assert_eq!(ask("GET", &address, "").body.len() as u64, BYTES);
    hub.fault("model.gguf", Fault::WrongBytes { at: 10, bytes: 2 }.times(1));
    assert_eq!(ask("GET", &address, "Range: bytes=20-29\r\n").body, &whole[20..30], "not touched, not counted");
    let wrong = ask("GET", &address, "Range: bytes=8-13\r\n").body;
    assert_eq!(wrong, [whole[8], whole[9], !whole[10], !whole[11], whole[12], whole[13]]);
    hub.fault("model.gguf", Fault::OkWithContentRange.times(1));
    let ok = ask("GET", &address, "Range: bytes=0-0\r\n");
    assert_eq!((ok.status, ok.header("Content-Range")), (200, Some("bytes 0-0/1000000")));
    hub.fault("model.gguf", Fault::Chunked.times(1));
    let chunked = ask("GET", &address, "Range: bytes=0-3\r\n");
    assert_eq!(chunked.header("Content-Length"), None);
    assert_eq!(chunked.body, [b"4\r\n", &whole[..4], b"\r\n0\r\n\r\n"].concat());
    hub.fault("/api/models", Fault::RateLimited { retry_after: Some("3".into()) }.times(1).at_hub());
    let limited = ask("GET", &format!("{}/api/models/team/model", hub.url()), "");
    assert_eq!((limited.status, limited.header("Retry-After")), (429, Some("3")));
}

#[test]
fn the_log_says_what_was_sent() {
    let (hub, _) = hub();
    let address = cdn(&hub);
    ask("GET", &address, "Range: bytes=100-299\r\n");
    let transfer = &hub.transfers("model.gguf")[0];
    assert_eq!((transfer.face, transfer.status, transfer.sent(), transfer.whole), (Face::Cdn, 206, 100..300, true));
    assert_eq!(hub.bytes_sent("model.gguf"), 200);
    assert_eq!(hub.requests().len(), 2);
}

#[test]
fn an_unplugged_hub_answers_nobody() {
    let (hub, _) = hub();
    hub.unplug();
    assert_eq!(ask("GET", &hub.url(), "").status, 0);
    hub.plug_in();
    assert_eq!(ask("GET", &hub.url(), "").status, 200);
}
