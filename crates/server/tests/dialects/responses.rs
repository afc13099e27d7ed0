//! `/v1/responses` as OpenAI's newer clients use it.

use serde_json::{Value, json};

use crate::served::{Heard, Served, assert_arguments, parameters};

const PATH: &str = "/v1/responses";

fn ask(tokens: u32) -> Value {
    json!({"model": "default", "input": "你好", "instructions": "短", "temperature": 0, "max_output_tokens": tokens})
}

fn with(mut request: Value, key: &str, value: Value) -> Value {
    request[key] = value;
    request
}

/// Events in the order of their numbers.
fn events(heard: &Heard) -> Vec<Value> {
    let events: Vec<Value> = heard.events().iter().map(|(_, data)| serde_json::from_str(data).unwrap()).collect();
    for (at, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], json!(at));
    }
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_comes_whole_and_in_a_stream() {
    let served = Served::start().await;
    let whole = served.post(PATH, ask(12)).await.json();
    assert_eq!(
        (&whole["object"], &whole["status"], &whole["store"]),
        (&json!("response"), &json!("incomplete"), &json!(false))
    );
    assert_eq!(whole["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(whole["usage"]["output_tokens"], 12);
    let text = &whole["output"][0]["content"][0]["text"];
    let heard = served.post(PATH, with(ask(12), "stream", json!(true))).await;
    let events = events(&heard);
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let begin = ["created", "in_progress", "output_item.added", "content_part.added", "output_text.delta"];
    assert_eq!(kinds[..5], begin.map(|kind| format!("response.{kind}")));
    let end = ["output_text.done", "content_part.done", "output_item.done", "incomplete"];
    assert_eq!(kinds[kinds.len() - 4..], end.map(|kind| format!("response.{kind}")));
    let grown: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(&json!(grown), text);
    let last = &events.last().unwrap()["response"];
    assert_eq!(
        (&last["output"][0]["content"], &last["usage"]["output_tokens"]),
        (&whole["output"][0]["content"], &json!(12))
    );
    // The same talk as items, with the answer gone on from.
    let items = json!([{"role": "user", "content": [{"type": "input_text", "text": "你好"}]}]);
    let same = served.post(PATH, with(ask(12), "input", items)).await.json();
    assert_eq!(&same["output"][0]["content"][0]["text"], text);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_are_called_and_answered() {
    let served = Served::start_with_tools().await;
    let tools = json!([{"type": "function", "name": "weather", "parameters": parameters(), "strict": true}]);
    let mut request = with(with(ask(200), "tools", tools), "model", json!(served.tools().await));
    request["tool_choice"] = json!({"type": "function", "name": "weather"});
    request["parallel_tool_calls"] = json!(false);
    let whole = served.post(PATH, request.clone()).await.json();
    let call = &whole["output"][0];
    assert_eq!((&whole["status"], &call["type"]), (&json!("completed"), &json!("function_call")), "{whole}");
    assert_arguments(&serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap());
    let events = events(&served.post(PATH, with(request.clone(), "stream", json!(true))).await);
    let done = events.iter().find(|event| event["type"] == "response.function_call_arguments.done").unwrap();
    assert_eq!(done["arguments"], call["arguments"]);
    assert_eq!(events.last().unwrap()["response"]["output"][0]["name"], "weather");
    let output = json!({"type": "function_call_output", "call_id": call["call_id"], "output": "晴"});
    let thought = json!({"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "嗯"}]});
    let talk = json!([{"role": "user", "content": "你好"}, thought, call, output]);
    let told = with(with(request, "input", talk), "tool_choice", json!("none"));
    let told = served.post(PATH, with(told, "max_output_tokens", json!(3))).await.json();
    assert!(
        told["usage"]["input_tokens"].as_u64().unwrap() > whole["usage"]["input_tokens"].as_u64().unwrap() - 20,
        "{told}"
    );
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_are_kept_and_what_needs_a_memory_is_refused() {
    let served = Served::start().await;
    let schema = json!({"type": "object", "properties": {"kind": {"enum": ["羊驼", "llama"]}}, "required": ["kind"],
        "additionalProperties": false});
    let format = json!({"format": {"type": "json_schema", "name": "kind", "schema": schema, "strict": true}});
    let formed = served.post(PATH, with(ask(200), "text", format)).await.json();
    let value: Value = serde_json::from_str(formed["output"][0]["content"][0]["text"].as_str().unwrap()).unwrap();
    assert!(["羊驼", "llama"].contains(&value["kind"].as_str().unwrap()));
    for (key, value, param) in [
        ("previous_response_id", json!("resp_1"), "previous_response_id"),
        ("conversation", json!("conv_1"), "conversation"),
        ("background", json!(true), "background"),
        ("tools", json!([{"type": "web_search"}]), "tools"),
        ("text", json!({"format": {"type": "poem"}}), "text.format"),
        ("input", json!([{"type": "item_reference", "id": "x"}]), "input[0]"),
        ("tool_choice", json!("maybe"), "tool_choice"),
    ] {
        let heard = served.post(PATH, with(ask(5), key, value)).await;
        let error = heard.json();
        assert_eq!((heard.status, error["error"]["param"].as_str()), (400, Some(param)), "{error}");
    }
    served.end().await;
}
