//! The window in a browser: who comes in and how, what a call answers, and what every open window sees.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::served::{Heard, LISTED, Served, TOKEN};

/// Far above what any step takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser that came in.
struct Browser<'s> {
    served: &'s Served,
    cookie: String,
}

impl Browser<'_> {
    async fn enter<'s>(served: &'s Served, link: &str) -> Browser<'s> {
        let opened = served.send("GET", link, "", "").await;
        assert_eq!((opened.status, opened.header("location")), (303, Some("/")), "{}", opened.text);
        Browser { served, cookie: cookie(&opened) }
    }

    /// The headers of the page's own requests.
    fn headers(&self) -> String {
        format!("Cookie: {}\r\nOrigin: http://{}\r\n", self.cookie, self.served.address)
    }

    async fn ask(&self, name: &str, arguments: Value) -> Heard {
        let headers = self.headers() + "Content-Type: application/json\r\n";
        let call = json!({"name": name, "arguments": arguments});
        self.served.send("POST", "/ui/call", &headers, &call.to_string()).await
    }

    async fn call(&self, name: &str, arguments: Value) -> Value {
        let heard = self.ask(name, arguments).await;
        assert_eq!(heard.status, 200, "{}", heard.text);
        heard.json()
    }

    async fn listen(&self) -> Listener {
        let mut stream = TcpStream::connect(&self.served.address).await.unwrap();
        let head =
            format!("GET /ui/changes HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n\r\n", self.served.address, self.cookie);
        stream.write_all(head.as_bytes()).await.unwrap();
        Listener { stream, bytes: Vec::new() }
    }
}

/// What one open window hears.
struct Listener {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Listener {
    /// Waits until the changes so far satisfy `done`; returns them.
    async fn until(&mut self, done: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        loop {
            let changes = self.changes();
            if done(&changes) {
                return changes;
            }
            assert!(timeout(PATIENCE, self.more()).await.unwrap(), "the stream ended");
        }
    }

    async fn more(&mut self) -> bool {
        self.stream.read_buf(&mut self.bytes).await.unwrap() > 0
    }

    /// Reads what is left.
    async fn rest(&mut self) {
        while timeout(PATIENCE, self.more()).await.unwrap() {}
    }

    /// Whole events only. Chunk sizes of the transfer stand between them and are passed over.
    fn changes(&self) -> Vec<Value> {
        let data = self.bytes.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"data: "));
        data.filter_map(|data| serde_json::from_slice::<Vec<Value>>(data).ok()).flatten().collect()
    }
}

fn cookie(heard: &Heard) -> String {
    heard.header("set-cookie").unwrap().split(';').next().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_link_opens_the_window_once() {
    let (served, link) = Served::start_with_window().await;
    let asked = served.send("GET", "/", "", "").await;
    assert_eq!(asked.status, 401);
    assert!(asked.text.contains("<form") && asked.text.contains("令牌") && asked.text.contains("Token"));

    let opened = served.send("GET", &link, "", "").await;
    let set = opened.header("set-cookie").unwrap().to_string();
    assert!(opened.status == 303 && set.ends_with("; HttpOnly; SameSite=Strict; Path=/"), "{set}");
    assert!(!set.contains(TOKEN) && !set.contains(link.split('=').nth(1).unwrap()), "a secret of its own");
    let again = served.send("GET", &link, "", "").await;
    assert!(again.status == 401 && again.header("set-cookie").is_none());

    let page = served.send("GET", "/", &format!("Cookie: {}\r\n", cookie(&opened)), "").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html")));
    for response in [&asked, &page] {
        let policy = response.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.split("; ").any(|found| found == part), "{policy}");
        }
        assert!(!policy.contains("unsafe") && response.header("x-frame-options") == Some("DENY"));
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_opens_the_window_and_no_other_word_does() {
    let (served, _) = Served::start_with_window().await;
    let own = format!("Origin: http://{}\r\n", served.address);
    let enter = async |headers: &str, body: &str| served.send("POST", "/open", headers, body).await;
    let entered = enter(&own, &format!("token=%20{TOKEN}%20")).await;
    let browser = Browser { served: &served, cookie: cookie(&entered) };
    assert_eq!(entered.status, 303);
    browser.call("defaults", json!({})).await;
    for body in ["", "token=", "token=hk-0124", "key=hk-0123"] {
        let refused = enter(&own, body).await;
        assert!(refused.status == 401 && refused.header("set-cookie").is_none(), "{body}");
        assert!(refused.text.contains("role=\"alert\""), "{body}");
    }
    for origin in ["", "Origin: null\r\n", "Origin: http://evil.example\r\n", &format!("Origin: {LISTED}\r\n")] {
        let refused = enter(origin, &format!("token={TOKEN}")).await;
        assert!(refused.status == 403 && refused.header("set-cookie").is_none(), "{origin}");
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_window_takes_no_token_and_programs_no_cookie() {
    let (served, link) = Served::start_with_window().await;
    let browser = Browser::enter(&served, &link).await;
    let bearer = format!("Authorization: Bearer {TOKEN}\r\nOrigin: http://{}\r\n", served.address);
    for (method, path) in [("GET", "/ui/changes"), ("POST", "/ui/call"), ("GET", "/assets/x.js"), ("GET", "/ui/none")] {
        assert_eq!(served.send(method, path, &bearer, "{}").await.status, 401, "{path}");
    }
    for path in ["/v1/models", "/api/tags", "/none"] {
        assert_eq!(served.send("GET", path, &browser.headers(), "").await.status, 401, "{path}");
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_used_by_the_window_s_own_page_alone() {
    let (served, link) = Served::start_with_window().await;
    let browser = Browser::enter(&served, &link).await;
    let cookie = format!("Cookie: {}\r\nContent-Type: application/json\r\n", browser.cookie);
    let call = r#"{"name":"new_chat","arguments":{"kind":"chat"}}"#;
    let foreign = [
        String::new(),
        "Origin: null\r\n".into(),
        "Origin: https://evil.example\r\n".into(),
        format!("Origin: {LISTED}\r\n"),
        format!("Origin: https://{}\r\n", served.address),
        format!("Origin: http://{0}\r\nOrigin: http://{0}\r\n", served.address),
    ];
    for origin in &foreign {
        let refused = served.send("POST", "/ui/call", &(cookie.clone() + origin), call).await;
        assert_eq!(refused.status, 403, "{origin}");
    }
    let reads = ["/", "/open?key=0", "/open.css", "/ui/changes", "/assets/x.js"];
    let from = ["Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\n"].map(String::from);
    for (path, origin) in reads.iter().flat_map(|path| foreign[1..].iter().chain(&from).map(move |from| (path, from))) {
        let refused = served.send("GET", path, &(cookie.clone() + origin), "").await;
        assert!(refused.status == 403 && !refused.text.contains("<html"), "{path} {origin}");
    }
    for path in reads.iter().chain(&["/ui/call"]) {
        let refused = served.send_to("attacker.example", "GET", path, &cookie, "").await;
        assert_eq!(refused.status, 403, "{path}");
    }
    // Through a tunnel the browser knows this server under another port.
    let tunnel = cookie + "Origin: http://localhost:9000\r\n";
    assert_eq!(served.send_to("localhost:9000", "POST", "/ui/call", &tunnel, call).await.status, 200);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_window_none_of_it_is_there() {
    let served = Served::start().await;
    for path in ["/", "/open?key=0", "/open.css", "/ui/changes", "/assets/x.js"] {
        assert_eq!(served.send("GET", path, "", "").await.status, 401, "{path}");
        assert_eq!(served.get(path).await.status, 404, "{path}");
    }
    assert_eq!(served.post("/ui/call", json!({"name": "defaults", "arguments": {}})).await.status, 404);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_the_table_of_commands() {
    let (served, link) = Served::start_with_window().await;
    let browser = Browser::enter(&served, &link).await;
    let chat = browser.call("new_chat", json!({"kind": "chat"})).await;
    browser.call("rename_chat", json!({"chat": chat["id"], "title": "浏览器"})).await;
    for (name, arguments, code) in [
        ("format_disk", json!({}), "unknown_command"),
        ("rename_chat", json!({"chat": 1}), "wrong_arguments"),
        ("rename_chat", json!({"chat": 99, "title": ""}), "gone"),
        // Nobody said which folders may be shown.
        ("listed_folders", json!({}), "folder_not_listed"),
    ] {
        let refused = browser.ask(name, arguments).await;
        assert_eq!((refused.status, &refused.json()["code"]), (422, &json!(code)), "{}", refused.text);
    }
    let plain = browser.headers() + "Content-Type: text/plain\r\n";
    let refused = served.send("POST", "/ui/call", &plain, r#"{"name":"defaults","arguments":{}}"#).await;
    assert_eq!((refused.status, &refused.json()["code"]), (422, &json!("wrong_arguments")));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_open_window_sees_the_same_rows() {
    let (served, link) = Served::start_with_window().await;
    let browser = Browser::enter(&served, &link).await;
    let (mut first, mut second) = (browser.listen().await, browser.listen().await);
    for listener in [&mut first, &mut second] {
        let changes = listener.until(|changes| !changes.is_empty()).await;
        assert_eq!(changes[0]["kind"], "snapshot");
    }
    let sent = json!({"text": "你好", "attachments": [], "begin": ""});
    let sent = browser.call("send_message", sent).await;
    let ended = |changes: &[Value]| {
        changes.iter().any(|change| {
            change["kind"] == "message"
                && change["value"]["id"] == sent["answer"]
                && change["value"]["state"] != "writing"
        })
    };
    let told = async |listener: &mut Listener| {
        let changes = listener.until(ended).await;
        let of = |change: &&Value| change["kind"] == "text" && change["value"]["message"] == sent["answer"];
        let words = changes.iter().filter(of).filter_map(|change| change["value"]["piece"].as_str());
        words.collect::<String>()
    };
    let (one, other) = (told(&mut first).await, told(&mut second).await);
    assert!(!one.is_empty() && one == other, "{one}\n{other}");
    // The streams end with the server.
    served.end().await;
    first.rest().await;
    second.rest().await;
}
