//! What Anthropic's clients send and want to hear.

use serde_json::{Value, json};

use crate::served::{Served, assert_arguments, parameters};

const PATH: &str = "/v1/messages";

fn ask(tokens: u32) -> Value {
    json!({"model": "default", "max_tokens": tokens, "temperature": 0,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "你好"}]}]})
}

fn with(mut request: Value, key: &str, value: Value) -> Value {
    request[key] = value;
    request
}

/// Events by their name, which is also in the data.
fn events(heard: &crate::served::Heard) -> Vec<Value> {
    let events = heard.events().into_iter().map(|(name, data)| {
        let data: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(data["type"].as_str(), name.as_deref());
        data
    });
    events.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_comes_whole_and_in_a_stream() {
    let served = Served::start().await;
    let heard = served.post(PATH, ask(12)).await;
    let whole = heard.json();
    assert_eq!((heard.status, &whole["type"], &whole["role"]), (200, &json!("message"), &json!("assistant")));
    assert_eq!((&whole["stop_reason"], &whole["usage"]["output_tokens"]), (&json!("max_tokens"), &json!(12)));
    assert_eq!(whole["content"].as_array().unwrap().len(), 1);
    let counted = served.post("/v1/messages/count_tokens", ask(1)).await.json()["input_tokens"].as_u64().unwrap();
    let prompt =
        |usage: &Value| usage["input_tokens"].as_u64().unwrap() + usage["cache_read_input_tokens"].as_u64().unwrap();
    assert_eq!(prompt(&whole["usage"]), counted);
    let heard = served.post(PATH, with(ask(12), "stream", json!(true))).await;
    let events = events(&heard);
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds[..2], ["message_start", "content_block_start"]);
    assert_eq!(kinds[kinds.len() - 3..], ["content_block_stop", "message_delta", "message_stop"]);
    let text: String = events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    assert_eq!(text, whole["content"][0]["text"]);
    let last = &events[events.len() - 2];
    assert_eq!((&last["delta"]["stop_reason"], prompt(&last["usage"])), (&json!("max_tokens"), counted));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_are_called_and_answered() {
    let served = Served::start_with_tools().await;
    let tools = json!([{"name": "weather", "description": "天气", "input_schema": parameters()}]);
    let ask = with(with(ask(200), "tools", tools), "model", json!(served.tools().await));
    let choice = json!({"type": "any", "disable_parallel_tool_use": true});
    let asked = with(ask.clone(), "tool_choice", choice);
    let whole = served.post(PATH, asked.clone()).await.json();
    assert_eq!(whole["stop_reason"], "tool_use", "{whole}");
    let call = &whole["content"][0];
    assert_eq!((&call["type"], &call["name"]), (&json!("tool_use"), &json!("weather")));
    assert_arguments(&call["input"]);
    let events = events(&served.post(PATH, with(asked, "stream", json!(true))).await);
    let started = events.iter().find(|event| event["type"] == "content_block_start").unwrap();
    assert_eq!(
        (&started["content_block"]["type"], &started["content_block"]["input"]),
        (&json!("tool_use"), &json!({}))
    );
    let input: String = events.iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect();
    assert_eq!(serde_json::from_str::<Value>(&input).unwrap(), call["input"]);
    let mut talk = with(ask.clone(), "tool_choice", json!({"type": "none"}));
    let messages = talk["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": whole["content"]}));
    let result = json!({"type": "tool_result", "tool_use_id": call["id"], "content": [{"type": "text", "text": "晴"}]});
    messages.push(json!({"role": "user", "content": [result, {"type": "text", "text": "谢谢"}]}));
    let count = async |request: &Value| {
        served.post("/v1/messages/count_tokens", request.clone()).await.json()["input_tokens"].as_u64().unwrap()
    };
    assert!(count(&talk).await > count(&with(ask, "tool_choice", json!({"type": "none"}))).await + 10);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_have_anthropics_shape() {
    let served = Served::start().await;
    let image = json!([{"role": "user", "content": [{"type": "image", "source": {}}]}]);
    let own = json!([{"type": "web_search_20250305", "name": "web_search"}]);
    let prefill = json!([{"role": "user", "content": "数到十"}, {"role": "assistant", "content": "一，"}]);
    for (request, status, kind) in [
        (with(ask(5), "model", json!("gpt-9")), 404, "not_found_error"),
        (with(ask(5), "max_tokens", Value::Null), 400, "invalid_request_error"),
        (with(ask(5), "messages", image), 400, "invalid_request_error"),
        (with(ask(5), "tools", own), 400, "invalid_request_error"),
        (with(ask(5), "temperature", json!(99)), 400, "invalid_request_error"),
        (with(ask(5), "messages", json!([])), 400, "invalid_request_error"),
        (with(ask(5), "messages", json!("x")), 400, "invalid_request_error"),
    ] {
        let heard = served.post(PATH, request).await;
        let error = heard.json();
        assert_eq!(
            (heard.status, &error["type"], &error["error"]["type"]),
            (status, &json!("error"), &json!(kind)),
            "{error}"
        );
        assert!(!error["error"]["message"].as_str().unwrap().is_empty());
    }
    let heard = served.send("POST", PATH, "x-api-key: hk-wrong\r\n", "{}").await;
    assert_eq!((heard.status, &heard.json()["error"]["type"]), (401, &json!("authentication_error")));
    let begun = served.post(PATH, with(ask(5), "messages", prefill)).await;
    assert_eq!(begun.status, 200, "{}", begun.text);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_text_is_told() {
    let served = Served::start().await;
    let whole = served.post(PATH, ask(30)).await.json();
    let text = whole["content"][0]["text"].as_str().unwrap();
    let stop: String = text.chars().skip(3).take(2).collect();
    let cut = served.post(PATH, with(ask(30), "stop_sequences", json!([stop]))).await.json();
    assert_eq!((&cut["stop_reason"], &cut["stop_sequence"]), (&json!("stop_sequence"), &json!(stop)), "{text}");
    assert_eq!(cut["content"][0]["text"], text[..text.find(&stop).unwrap()]);
    served.end().await;
}
