//! What Ollama's clients send and want to hear.

use serde_json::{Value, json};

use crate::served::{Served, assert_arguments, tool};

fn chat(stream: bool) -> Value {
    json!({"model": "default", "messages": [{"role": "user", "content": "你好"}], "stream": stream,
        "options": {"temperature": 0, "num_predict": 12}})
}

fn with(mut request: Value, key: &str, value: Value) -> Value {
    request[key] = value;
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_are_listed_and_described() {
    let served = Served::start_with_tools().await;
    let demo = served.demo().await;
    assert!(served.get("/api/version").await.json()["version"].is_string());
    let tags = served.get("/api/tags").await.json();
    let listed = tags["models"].as_array().unwrap().iter().find(|model| model["name"] == demo.name.as_str()).unwrap();
    assert_eq!((&listed["size"], &listed["details"]["format"]), (&json!(demo.file_bytes), &json!("gguf")));
    assert_eq!(listed["modified_at"].as_str().unwrap().as_bytes()[10], b'T');
    let told = served.post("/api/show", json!({"model": format!("{}:latest", demo.name)})).await.json();
    assert_eq!(told["model_info"]["llama.context_length"], json!(demo.context_tokens));
    assert_eq!(told["capabilities"], json!(["completion"]));
    let told = served.post("/api/show", json!({"model": served.tools().await})).await.json();
    assert_eq!(told["capabilities"], json!(["completion", "tools"]), "{told}");
    served.post("/api/chat", chat(false)).await;
    let running = served.get("/api/ps").await.json();
    assert_eq!(running["models"][0]["name"], demo.name.as_str(), "{running}");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_comes_whole_and_in_lines() {
    let served = Served::start().await;
    let whole = served.post("/api/chat", chat(false)).await.json();
    assert_eq!(
        (&whole["done"], &whole["done_reason"], &whole["eval_count"]),
        (&json!(true), &json!("length"), &json!(12))
    );
    for key in ["total_duration", "prompt_eval_duration", "eval_duration", "prompt_eval_count"] {
        assert!(whole[key].as_u64().unwrap() > 0, "{key}");
    }
    let heard = served.post("/api/chat", chat(true)).await;
    assert_eq!(heard.header("content-type"), Some("application/x-ndjson"));
    let lines = heard.lines();
    let text: String = lines.iter().map(|line| line["message"]["content"].as_str().unwrap()).collect();
    assert_eq!(text, whole["message"]["content"]);
    let (last, rest) = lines.split_last().unwrap();
    assert!(last["done"] == true && last["eval_count"] == 12 && rest.iter().all(|line| line["done"] == false));
    // Streamed unless told otherwise.
    let mut usual = chat(true);
    usual.as_object_mut().unwrap().remove("stream");
    assert_eq!(served.post("/api/chat", usual).await.lines().len(), lines.len());
    let empty = served.post("/api/chat", with(chat(true), "messages", json!([]))).await.json();
    assert_eq!((&empty["done"], &empty["done_reason"]), (&json!(true), &json!("load")));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_are_generated_with_the_template_and_raw() {
    let served = Served::start().await;
    let options = json!({"temperature": 0, "num_predict": 8});
    let ask = json!({"model": "default", "prompt": "你好", "stream": false, "options": options});
    let whole = served.post("/api/generate", ask.clone()).await.json();
    let same = served.post("/api/chat", with(chat(false), "options", options)).await.json();
    assert_eq!((&whole["response"], &whole["message"]), (&same["message"]["content"], &Value::Null));
    let raw = served.post("/api/generate", with(ask.clone(), "raw", json!(true))).await.json();
    assert!(raw["prompt_eval_count"].as_u64() < whole["prompt_eval_count"].as_u64());
    let lines = served.post("/api/generate", with(ask.clone(), "stream", json!(true))).await.lines();
    let text: String = lines.iter().map(|line| line["response"].as_str().unwrap()).collect();
    assert_eq!(text, whole["response"]);
    assert_eq!(served.post("/api/generate", json!({"model": "default"})).await.json()["done_reason"], "load");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_leaves_the_memory_when_its_only_user_says_so() {
    let served = Served::start_with_tools().await;
    let tools = served.tools().await;
    let in_memory = async || {
        let listed = served.get("/api/ps").await.json();
        listed["models"].as_array().unwrap().iter().any(|model| model["model"] == tools.as_str())
    };
    let ask = json!({"model": tools.as_str()});
    assert_eq!(served.post("/api/generate", ask.clone()).await.json()["done_reason"], "load");
    assert!(in_memory().await);
    assert_eq!(
        served.post("/api/chat", with(ask.clone(), "keep_alive", json!("5m"))).await.json()["done_reason"],
        "load"
    );
    for time in [json!(0), json!("0s")] {
        let left = served.post("/api/generate", with(ask.clone(), "keep_alive", time)).await.json();
        assert_eq!((&left["done"], &left["done_reason"]), (&json!(true), &json!("unload")));
        assert!(!in_memory().await);
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_tools_and_vectors_work() {
    let served = Served::start_with_tools().await;
    let schema = json!({"type": "object", "properties": {"kind": {"enum": ["羊驼", "llama"]}}, "required": ["kind"],
        "additionalProperties": false});
    let request = with(with(chat(false), "format", schema), "options", json!({"temperature": 0}));
    let formed = served.post("/api/chat", request).await.json();
    let value: Value = serde_json::from_str(formed["message"]["content"].as_str().unwrap()).unwrap();
    assert!(["羊驼", "llama"].contains(&value["kind"].as_str().unwrap()));
    let talk = json!([{"role": "user", "content": "天气"},
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "weather", "arguments": {"day": 1}}}]},
        {"role": "tool", "tool_name": "weather", "content": "晴"}]);
    let request =
        with(with(with(chat(false), "messages", talk), "tools", json!([tool()])), "model", json!(served.tools().await));
    let heard = served.post("/api/chat", request).await;
    assert_eq!(heard.status, 200, "{}", heard.text);
    for call in heard.json()["message"]["tool_calls"].as_array().into_iter().flatten() {
        assert_arguments(&call["function"]["arguments"]);
    }
    let vectors = served.post("/api/embed", json!({"model": "default", "input": ["你好", "你好", "x"]})).await.json();
    let vectors = vectors["embeddings"].as_array().unwrap();
    assert!(vectors.len() == 3 && vectors[0] == vectors[1] && vectors[0] != vectors[2]);
    let one = served.post("/api/embeddings", json!({"model": "default", "prompt": "你好"})).await.json();
    assert_eq!(one["embedding"], vectors[0]);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_have_ollamas_shape_and_what_is_ignored_is_told() {
    let served = Served::start().await;
    for (request, status) in [
        (with(chat(false), "model", json!("gpt-9")), 404),
        (with(chat(false), "options", json!({"top_k": "many"})), 400),
        (with(chat(false), "tools", json!([tool()])), 400),
        (with(chat(false), "messages", json!([{"role": "user", "images": ["AAAA"]}])), 400),
        (with(chat(false), "format", json!(1)), 400),
    ] {
        let heard = served.post("/api/chat", request).await;
        assert_eq!(heard.status, status, "{}", heard.text);
        assert!(!heard.json()["error"].as_str().unwrap().is_empty());
    }
    let heard = served.get("/api/nothing").await;
    assert!(heard.status == 404 && heard.json()["error"].is_string());
    let odd = json!({"temperature": 0, "num_predict": 1, "num_ctx": 4096, "mirostat": 1});
    let heard = served.post("/api/chat", with(chat(false), "options", odd)).await;
    let warning = heard.header("x-huacaya-warning").unwrap();
    assert!(
        warning.contains("num_ctx") && warning.contains("mirostat") && !warning.contains("temperature"),
        "{warning}"
    );
    served.end().await;
}
