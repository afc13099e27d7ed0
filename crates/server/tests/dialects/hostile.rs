//! What a request may say: odd names, numbers beyond sense, and words that look like control tokens.

use huacaya_server::ROUTES;
use serde_json::{Value, json};

use crate::{
    guard::{assert_refused, assert_shape},
    served::{Served, TOKEN, with},
};

/// The least that each route takes to answer at once: by its path. A new route has to be added here.
fn least(path: &str) -> Value {
    let messages = json!([{"role": "user", "content": "你好"}]);
    match path {
        "/v1/chat/completions" => json!({"messages": messages, "max_tokens": 1}),
        "/v1/completions" => json!({"prompt": "你好", "max_tokens": 1}),
        "/v1/embeddings" => json!({"input": "你好"}),
        "/v1/responses" => json!({"input": "你好", "max_output_tokens": 1}),
        "/v1/messages" | "/v1/messages/count_tokens" => json!({"messages": messages, "max_tokens": 1}),
        "/api/show" => json!({}),
        "/api/chat" => json!({"messages": messages, "stream": false, "options": {"num_predict": 1}}),
        "/api/generate" => json!({"prompt": "你好", "stream": false, "options": {"num_predict": 1}}),
        "/api/embed" => json!({"input": "你好"}),
        "/api/embeddings" => json!({"prompt": "你好"}),
        "/tokenize" => json!({"content": "你好"}),
        "/detokenize" => json!({"tokens": [300]}),
        other => panic!("what does {other} take?"),
    }
}

/// Numbers of each route, by their place in the request: `real`, `whole`, or `any` where negative numbers mean something.
fn numbers(path: &str) -> Vec<(&'static str, &'static str)> {
    let drawing = [
        ("/temperature", "real"),
        ("/top_p", "real"),
        ("/top_k", "whole"),
        ("/min_p", "real"),
        ("/frequency_penalty", "real"),
        ("/presence_penalty", "real"),
        ("/repetition_penalty", "real"),
        ("/repeat_penalty", "real"),
        ("/seed", "any"),
        ("/max_tokens", "whole"),
        ("/max_completion_tokens", "whole"),
        ("/n", "whole"),
        ("/logit_bias/300", "real"),
    ];
    let options = [
        ("/options/temperature", "real"),
        ("/options/top_p", "real"),
        ("/options/min_p", "real"),
        ("/options/top_k", "whole"),
        ("/options/repeat_penalty", "real"),
        ("/options/presence_penalty", "real"),
        ("/options/frequency_penalty", "real"),
        ("/options/seed", "any"),
        ("/options/num_predict", "any"),
        ("/options/repeat_last_n", "any"),
    ];
    let claude = [("/max_tokens", "whole"), ("/temperature", "real"), ("/top_p", "real"), ("/top_k", "whole")];
    match path {
        "/v1/chat/completions" => drawing.into_iter().chain([("/top_logprobs", "whole")]).collect(),
        "/v1/completions" => {
            drawing.into_iter().chain([("/logprobs", "whole"), ("/best_of", "whole"), ("/prompt/0", "whole")]).collect()
        }
        "/v1/responses" => vec![("/max_output_tokens", "whole"), ("/temperature", "real"), ("/top_p", "real")],
        "/v1/messages" => claude.to_vec(),
        // Counting draws nothing: only what cannot be read is wrong.
        "/v1/messages/count_tokens" => Vec::new(),
        "/api/chat" | "/api/generate" => options.to_vec(),
        "/v1/embeddings" | "/api/embed" => vec![("/dimensions", "whole"), ("/input/0", "whole")],
        "/detokenize" => vec![("/tokens/0", "whole")],
        _ => Vec::new(),
    }
}

/// The request with this text at the place, as it stands.
fn placed(request: &Value, place: &str, text: &str) -> String {
    const MARK: &str = "@here@";
    let mut request = request.clone();
    let (mut at, mut names) = (&mut request, place[1..].split('/').peekable());
    while let Some(name) = names.next() {
        let next = if names.peek().is_some_and(|next| *next == "0") { json!([]) } else { json!({}) };
        if let Value::Array(all) = at {
            all.push(json!(MARK));
            return request.to_string().replace(&format!("\"{MARK}\""), text);
        }
        let fields = at.as_object_mut().unwrap();
        if names.peek().is_some() && !fields.get(name).is_some_and(|value| value.is_object()) {
            fields.insert(name.to_string(), next);
        } else if names.peek().is_none() {
            fields.insert(name.to_string(), json!(MARK));
        }
        at = &mut fields[name];
    }
    request.to_string().replace(&format!("\"{MARK}\""), text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_number_is_too_odd_to_be_refused_properly() {
    let served = Served::start().await;
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    // Wrong for every number: not JSON, not a number, beyond all.
    let never = ["NaN", "-Infinity", "1e999", "{}", "[[]]", "true", "1e300", "-1e300"];
    let not_whole = ["-1", "1.5", "4294967296", "99999999999999999999"];
    for path in ROUTES.iter().filter(|route| route.method == "POST").map(|route| route.path) {
        for (place, kind) in numbers(path) {
            let request =
                if place == "/top_logprobs" { with(least(path), "logprobs", json!(true)) } else { least(path) };
            let wrong = never.iter().chain(if kind == "whole" { &not_whole[..] } else { &[] });
            for text in wrong {
                let body = placed(&request, place, text);
                let heard = served.send("POST", path, &token, &body).await;
                assert_refused(&heard, 400, &format!("POST {path} {body}"));
            }
            for text in ["-1", "0", "-0.0", "\"x\"", "18446744073709551615"] {
                let body = placed(&request, place, text);
                let heard = served.send("POST", path, &token, &body).await;
                assert!(heard.status == 200 || heard.status == 400, "{path} {body}: {} {}", heard.status, heard.text);
                if heard.status == 400 {
                    assert_shape(&heard, &format!("POST {path}"));
                }
            }
        }
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_is_refused_in_the_language_of_the_route() {
    let served = Served::start().await;
    let token = format!("Authorization: Bearer {TOKEN}\r\nContent-Type: text/plain\r\n");
    for path in ROUTES.iter().filter(|route| route.method == "POST").map(|route| route.path) {
        let deep = "[".repeat(100_000);
        for body in ["", "{", "[]", "null", "5", "\"x\"", "{\"model\": 5}", "{\"model\": {}}", "\u{0}", &deep] {
            let heard = served.send("POST", path, &token, body).await;
            assert_refused(&heard, 400, &format!("POST {path} {}", &body[..body.len().min(40)]));
        }
        let body = least(path).to_string();
        let broken = [&body.as_bytes()[..body.len() - 2], b"\xff\xfe\"}"].concat();
        let head = format!("POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{token}", served.address);
        let head = format!("{head}Content-Length: {}\r\n\r\n", broken.len());
        assert_refused(&served.say([head.as_bytes(), &broken].concat()).await, 400, &format!("POST {path}"));
        // And the least that it takes is taken, whatever the type says that it is.
        let heard = served.send("POST", path, &token, &body).await;
        assert_eq!(heard.status, 200, "{path}: {}", heard.text);
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_models_name_is_never_a_path() {
    let served = Served::start().await;
    let secret = served.folder.path().join("data/secret.gguf");
    std::fs::write(&secret, "not for you").unwrap();
    let long = "长".repeat(100_000);
    let names = [
        "../../../../../../etc/passwd",
        "..\\..\\secret.gguf",
        "models/../secret.gguf",
        "./huacaya-demo.gguf",
        "C:x",
        "C:\\Windows\\win.ini",
        "\\\\?\\C:\\x",
        "\\\\server\\share\\x",
        "CON",
        "NUL.gguf",
        "a:b",
        "huacaya-demo.gguf.",
        "huacaya-demo.gguf:stream",
        "file:///etc/passwd",
        "http://127.0.0.1:1/x.gguf",
        "%2e%2e%2fsecret.gguf",
        "a\0b",
        "/etc/passwd",
        secret.to_str().unwrap(),
        &long,
    ];
    for path in ROUTES.iter().filter(|route| route.method == "POST").map(|route| route.path) {
        for name in names {
            let heard = served.post(path, with(least(path), "model", json!(name))).await;
            assert_refused(&heard, 404, &format!("POST {path}"));
            assert!(!heard.text.contains("not for you") && !heard.text.contains("root:"), "{path} {name}");
            assert!(heard.text.len() < 2_000, "{path}: {} bytes about a name", heard.text.len());
        }
    }
    for target in [
        "/v1/models/../../../../etc/passwd",
        "/v1/models/..%2f..%2fsecret.gguf",
        "/v1/models/%5C%5C%3F%5CC:%5Cx",
        "/v1/models/CON",
        "/v1/models/C:x",
        "/v1/models/a:b",
        "/v1/models/x.",
        "/v1/models/%00",
        "/../secret.gguf",
        "/v1/../secret.gguf",
        "/%2e%2e/secret.gguf",
        "//secret.gguf",
        "/secret.gguf",
        "/server.token",
    ] {
        assert_refused(&served.get(target).await, 404, &format!("GET {target}"));
    }
    // Bytes that are no text, and what is no path at all.
    assert_refused(&served.get("/v1/models/%ff%fe").await, 400, "GET /v1/models/%ff%fe");
    let rows = served.rows().await;
    assert!(rows.iter().all(|row| row.model.len() <= 200), "the log keeps a name, not a book");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_tokens_that_somebody_types_are_text() {
    let served = Served::start().await;
    let tokens = async |text: &str, special: bool| {
        let told = served.post("/tokenize", json!({"content": text, "add_special": special})).await.json();
        told["tokens"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect::<Vec<_>>()
    };
    for mark in ["[/INST]", "[INST]", "</s>", "<s>", "<<SYS>>", "<unk>", "<|im_end|>", "<0x0A>"] {
        let text = format!("天{mark}地");
        let plain = tokens(&text, false).await;
        // 0 to 2 are <unk>, <s> and </s>; a mark of two or more characters is spelled out.
        assert!(plain.iter().all(|id| *id > 2), "{mark}: {plain:?}");
        assert!(plain.len() > 4, "{mark}: {plain:?}");
        let with_begin = tokens(&text, true).await;
        assert_eq!((with_begin[0], &with_begin[1..]), (1, &plain[..]));
        let told = served.post("/detokenize", json!({"tokens": plain})).await.json();
        assert_eq!(told["content"], text);
    }
    // In a chat too: what is typed five times costs what five spelled-out marks cost.
    let prompt = async |text: &str| {
        let asked = json!({"messages": [{"role": "user", "content": text}], "max_tokens": 1});
        served.post("/v1/chat/completions", asked).await.json()["usage"]["prompt_tokens"].as_u64().unwrap()
    };
    let empty = prompt("天").await;
    for mark in ["</s>", "<s>"] {
        let spelled = tokens(&mark.repeat(5), false).await.len() as u64;
        let grown = prompt(&format!("天{}", mark.repeat(5))).await - empty;
        assert!(spelled >= 10 && grown >= spelled - 2, "{mark}: {grown} tokens more, {spelled} spelled out");
    }
    served.end().await;
}

/// Set in the process that the next test starts for itself: a log belongs to a whole process.
const ALONE: &str = "HUACAYA_TEST_ALONE";

#[test]
fn no_log_knows_a_secret() {
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        return runtime.block_on(look_through_the_logs());
    }
    let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
    let status = alone.args(["--exact", "hostile::no_log_knows_a_secret"]).env(ALONE, "").status().unwrap();
    assert!(status.success(), "{status}");
}

async fn look_through_the_logs() {
    let written = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = written.clone();
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || Sink(sink.clone()));
    tracing::subscriber::set_global_default(log.finish()).unwrap();
    let served = Served::start().await;
    served.set("server_log_text", json!(true)).await;
    tracing::info!("the log is heard");
    for path in ROUTES.iter().filter(|route| route.method == "POST").map(|route| route.path) {
        served.post(path, least(path)).await;
        served.post(path, json!({"wrong": true})).await;
        served.send("POST", &format!("{path}?key={TOKEN}"), "Authorization: Bearer hk-wrong-7731\r\n", "{}").await;
        served.send("POST", path, "Host: evil.example\r\nx-api-key: hk-wrong-7731\r\n", "{}").await;
    }
    let rows = served.rows().await;
    assert!(rows.len() > ROUTES.len());
    let text = serde_json::to_string(&rows).unwrap();
    assert!(!text.contains(TOKEN) && !text.contains("hk-wrong-7731"), "{text}");
    let heard = String::from_utf8_lossy(&written.lock().unwrap()).into_owned();
    assert!(heard.contains("the log is heard") && heard.contains("loading a model"), "nothing was written");
    assert!(!heard.contains(TOKEN) && !heard.contains("hk-wrong-7731"));
    let mut folders = vec![served.folder.path().to_path_buf()];
    let mut looked = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            looked += 1;
            for secret in [TOKEN, "hk-wrong-7731"] {
                let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
                assert!(!found, "{} holds a token", path.display());
            }
        }
    }
    assert!(looked > 2, "{looked} files");
    served.end().await;
}

/// Keeps what is logged.
struct Sink(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
