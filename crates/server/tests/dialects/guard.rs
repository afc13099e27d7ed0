//! Who may ask, on every route there is: foreign hosts, pages that the person did not list, and tokens that are not the one.

use huacaya_server::{ROUTES, Route};
use serde_json::Value;

use crate::served::{Heard, LISTED, Served, TOKEN};

/// Method and path of every route, and of some that are none.
pub fn everything() -> Vec<(String, String)> {
    let routes =
        ROUTES.iter().map(|route: &Route| (route.method.to_string(), route.path.replace("{*name}", "default")));
    let others =
        [("GET", "/"), ("GET", "/index.html"), ("POST", "/v1/nothing"), ("DELETE", "/v1/models"), ("PUT", "/api/x")];
    routes.chain(others.map(|(method, path)| (method.to_string(), path.to_string()))).collect()
}

/// The error object of the path's dialect and nothing else, and headers that give nothing away.
#[track_caller]
pub fn assert_refused(heard: &Heard, status: u16, request: &str) {
    assert_eq!(heard.status, status, "{request}: {}", heard.text);
    assert_shape(heard, request);
}

#[track_caller]
pub fn assert_shape(heard: &Heard, request: &str) {
    assert_eq!(heard.header("content-type"), Some("application/json"), "{request}");
    assert_eq!(heard.header("x-content-type-options"), Some("nosniff"), "{request}");
    assert_eq!(heard.header("cache-control"), Some("no-store"), "{request}");
    assert_eq!(heard.header("access-control-allow-credentials"), None, "{request}");
    let told = heard.json();
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let path = request.split(' ').nth(1).unwrap();
    if path.starts_with("/v1/messages") {
        assert_eq!(
            (fields(&told), fields(&told["error"])),
            (strings(&["type", "error"]), strings(&["type", "message"]))
        );
        assert_eq!(told["type"], "error");
        assert!(!told["error"]["message"].as_str().unwrap().is_empty());
    } else if path.starts_with("/api") {
        assert_eq!(fields(&told), strings(&["error"]));
        assert!(!told["error"].as_str().unwrap().is_empty());
    } else {
        let error = &told["error"];
        assert_eq!(
            (fields(&told), fields(error)),
            (strings(&["error"]), strings(&["message", "type", "param", "code"]))
        );
        assert!(!error["message"].as_str().unwrap().is_empty() && error["type"].is_string());
        assert!((error["param"].is_null() || error["param"].is_string()) && !error["code"].is_number(), "{error}");
    }
}

fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

impl Served {
    /// With a head as it stands, and the token.
    async fn head(&self, method: &str, target: &str, lines: &str) -> Heard {
        let head =
            format!("{method} {target} HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n{lines}\r\n");
        self.say(head).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_not_this_machine_gets_nothing_anywhere() {
    let served = Served::start().await;
    let port = served.address.rsplit(':').next().unwrap().to_string();
    let foreign = [
        "evil.example".to_string(),
        format!("evil.example:{port}"),
        format!("localhost.evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
        format!("evil@127.0.0.1:{port}"),
        format!("127.0.0.1@evil.example:{port}"),
        format!("user:word@localhost:{port}"),
        format!("192.168.1.1:{port}"),
        format!("[::ffff:10.0.0.1]:{port}"),
        "localhost.".to_string(),
        "127.0.0.1/".to_string(),
        "local host".to_string(),
        String::new(),
    ];
    for (method, path) in everything() {
        let request = format!("{method} {path}");
        for host in &foreign {
            assert_refused(&served.head(&method, &path, &format!("Host: {host}\r\n")).await, 403, &request);
        }
        let own = format!("Host: {}\r\n", served.address);
        for lines in [String::new(), own.repeat(2), format!("{own}Host: evil.example\r\n")] {
            assert_refused(&served.head(&method, &path, &lines).await, 400, &request);
        }
        for target in ["http://evil.example", "http://user@127.0.0.1", "http://evil.example:80@127.0.0.1"] {
            assert_refused(&served.head(&method, &format!("{target}{path}"), &own).await, 403, &request);
        }
    }
    for host in [served.address.clone(), format!("localhost:{port}"), "LocalHost".to_string(), "[::1]".to_string()] {
        assert_eq!(served.head("GET", "/v1/models", &format!("Host: {host}\r\n")).await.status, 200, "{host}");
    }
    let own = format!("Host: {}\r\n", served.address);
    assert_eq!(served.head("GET", &format!("http://{}/health", served.address), &own).await.status, 200);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_that_nobody_listed_get_nothing_anywhere() {
    let served = Served::start().await;
    let own = format!("Origin: http://{}\r\n", served.address);
    let foreign = [
        "Origin: null\r\n".to_string(),
        "Origin: file://\r\n".to_string(),
        "Origin: https://evil.example\r\n".to_string(),
        "Origin: tauri://localhost\r\n".to_string(),
        "Origin: http://tauri.localhost\r\n".to_string(),
        "Origin: http://localhost:1\r\n".to_string(),
        format!("Origin: {LISTED}/\r\n"),
        format!("Origin: {LISTED}.evil.example\r\n"),
        format!("Origin: {}\r\n", LISTED.replace("http", "https")),
        format!("Origin: {LISTED}\r\nOrigin: {LISTED}\r\n"),
        format!("{own}Origin: https://evil.example\r\n"),
        "Origin:\r\n".to_string(),
        "Sec-Fetch-Site: cross-site\r\n".to_string(),
        "Sec-Fetch-Site: same-site\r\n".to_string(),
    ];
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    for (method, path) in everything() {
        let request = format!("{method} {path}");
        for lines in &foreign {
            // With the token and without, and as the requests that browsers send without asking first.
            for more in [token.as_str(), "", "Content-Type: text/plain\r\nCookie: token=hk-0123\r\n"] {
                let heard = served.send(&method, &path, &format!("{lines}{more}"), "").await;
                assert_refused(&heard, 403, &request);
                assert_eq!(heard.header("access-control-allow-origin"), None, "{request}: {lines}");
            }
        }
        // A page of this server and one in no browser need the token, like everybody.
        for lines in [own.as_str(), "", "Sec-Fetch-Site: none\r\n", "Content-Type: text/plain\r\n"] {
            let expected = if path == "/health" { 200 } else { 401 };
            let heard = served.send(&method, &path, lines, "").await;
            assert_eq!(
                (heard.status, heard.header("access-control-allow-origin")),
                (expected, None),
                "{request}: {lines}"
            );
        }
    }
    let listed = served.send("GET", "/v1/models", &format!("{token}Origin: {LISTED}\r\n"), "").await;
    assert_eq!((listed.status, listed.header("access-control-allow-origin")), (200, Some(LISTED)));
    assert!(listed.header("access-control-expose-headers").unwrap().contains("x-huacaya-warning"));
    assert_eq!((listed.header("vary"), listed.header("access-control-allow-credentials")), (Some("Origin"), None));
    // What goes wrong is for the page to read, too.
    let wrong = served.send("POST", "/v1/embeddings", &format!("{token}Origin: {LISTED}\r\n"), "{").await;
    assert_eq!((wrong.status, wrong.header("access-control-allow-origin")), (400, Some(LISTED)));
    let refused = served.send("POST", "/v1/embeddings", &format!("Origin: {LISTED}\r\n"), "{").await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, Some(LISTED)));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsers_may_ask_first_only_for_pages_that_are_listed() {
    let served = Served::start().await;
    let wants =
        "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization, content-type\r\n";
    for (_, path) in everything() {
        let request = format!("OPTIONS {path}");
        let heard = served.send("OPTIONS", &path, &format!("Origin: {LISTED}\r\n{wants}"), "").await;
        assert_eq!((heard.status, heard.text.as_str()), (204, ""), "{request}");
        assert_eq!(heard.header("access-control-allow-origin"), Some(LISTED));
        assert_eq!(heard.header("access-control-allow-headers"), Some("authorization, content-type"));
        assert!(heard.header("access-control-allow-methods").unwrap().contains("POST"));
        assert_eq!(heard.header("access-control-allow-credentials"), None);
        assert_eq!(heard.header("access-control-allow-private-network"), None);
        for origin in ["https://evil.example", "null", "tauri://localhost"] {
            let heard = served.send("OPTIONS", &path, &format!("Origin: {origin}\r\n{wants}"), "").await;
            assert_refused(&heard, 403, &request);
            assert_eq!(heard.header("access-control-allow-origin"), None);
        }
        // What only looks like a question needs the token.
        if path != "/health" {
            assert_refused(&served.send("OPTIONS", &path, wants, "").await, 401, &request);
            assert_refused(&served.send("OPTIONS", &path, &format!("Origin: {LISTED}\r\n"), "").await, 401, &request);
        }
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_health_is_answered_without_the_token() {
    let served = Served::start().await;
    let longer = format!("Authorization: Bearer {TOKEN}0\r\n");
    let right = format!("Authorization: Bearer {TOKEN}\r\n");
    let key = format!("x-api-key: {TOKEN}\r\n");
    let wrong = [
        "".to_string(),
        "Authorization: Bearer hk-9999\r\n".to_string(),
        "Authorization: Bearer hk-012\r\n".to_string(),
        longer,
        "Authorization: Bearer\r\n".to_string(),
        "Authorization: Bearer \r\n".to_string(),
        format!("Authorization: {TOKEN}\r\n"),
        format!("Authorization: Basic {TOKEN}\r\n"),
        "x-api-key:\r\n".to_string(),
        format!("x-api-key: {}\r\n", TOKEN.to_uppercase()),
        right.repeat(2),
        key.repeat(2),
        format!("{right}Authorization: Bearer hk-9999\r\n"),
        format!("Cookie: token={TOKEN}\r\n"),
        // The wrong one is not made good by the right one beside it.
        format!("Authorization: Bearer hk-9999\r\n{key}"),
    ];
    for (method, path) in everything() {
        let request = format!("{method} {path}");
        for lines in &wrong {
            let heard = served.send(&method, &path, lines, "{}").await;
            if path == "/health" {
                assert_eq!((heard.status, heard.text.as_str()), (200, r#"{"status":"ok"}"#));
                continue;
            }
            assert_refused(&heard, 401, &request);
            assert_eq!(heard.header("www-authenticate"), Some("Bearer"));
        }
        let heard = served.send(&method, &format!("{path}?token={TOKEN}&key={TOKEN}"), "", "{}").await;
        assert_eq!(heard.status, if path == "/health" { 200 } else { 401 }, "{request}: never in the address");
    }
    for lines in
        [right.clone(), right.replace("Bearer", "bearer"), key.clone(), format!("{right}x-api-key: hk-9999\r\n")]
    {
        assert_eq!(served.send("GET", "/v1/models", &lines, "").await.status, 200, "{lines}");
    }
    // A path that is none and a method that a path does not take are told only to who may ask.
    assert_refused(&served.send("GET", "/v1/nothing", &right, "").await, 404, "GET /v1/nothing");
    assert_refused(&served.send("GET", "/v1/embeddings", &right, "").await, 405, "GET /v1/embeddings");
    assert_refused(&served.send("DELETE", "/api/tags", &right, "").await, 405, "DELETE /api/tags");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_requests_are_in_the_log_and_strangers_do_not_fill_it() {
    let served = Served::start().await;
    served.send("GET", &format!("/v1/models?key={TOKEN}"), "", "").await;
    served.post("/v1/embeddings", serde_json::json!({"input": 5})).await;
    served.get("/v1/nothing").await;
    served.post("/tokenize", serde_json::json!({"content": "你好"})).await;
    let log = |row: &huacaya_app::rows::Request| (row.path.clone(), row.error.clone(), row.prompt_tokens > 0);
    let told = |path: &str, error: Option<&str>, read: bool| (path.to_string(), error.map(str::to_string), read);
    let rows = served.rows().await;
    assert_eq!(
        rows.iter().map(log).collect::<Vec<_>>(),
        [
            told("/v1/models", Some("invalid_api_key"), false),
            told("/v1/embeddings", Some("invalid_type"), false),
            told("/v1/nothing", Some("unknown_url"), false),
            told("/tokenize", None, true),
        ]
    );
    for number in 0..60 {
        served.send("GET", &format!("/{}{number}", "x".repeat(5_000)), "Origin: https://evil.example\r\n", "").await;
    }
    let rows = served.rows().await;
    assert!((20..=40).contains(&rows.len()), "{} rows", rows.len());
    assert!(rows.iter().all(|row| row.path.len() <= 200 && row.took_ms.is_some()));
    served.get("/v1/nothing").await;
    assert_eq!(served.rows().await.len(), rows.len() + 1, "the person's own programs are written down all the same");
    served.end().await;
}
