//! Tools in chats of OpenAI's clients.

use serde_json::{Value, json};

use crate::served::{Served, assert_arguments, tool};

fn ask(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "你好"}], "temperature": 0, "tools": [tool()],
        "tool_choice": "required", "parallel_tool_calls": false})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_come_whole_and_in_a_stream_and_their_answers_are_read() {
    let served = Served::start_with_tools().await;
    let model = served.tools().await;
    let whole = served.post("/v1/chat/completions", ask(&model)).await.json();
    let choice = &whole["choices"][0];
    assert_eq!(
        (&choice["finish_reason"], &choice["message"]["content"]),
        (&json!("tool_calls"), &Value::Null),
        "{whole}"
    );
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!((&call["type"], &call["function"]["name"]), (&json!("function"), &json!("weather")));
    assert_arguments(&serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap());
    let mut request = ask(&model);
    request["stream"] = json!(true);
    let heard = served.post("/v1/chat/completions", request.clone()).await;
    let events = heard.events();
    assert_eq!(events.last().unwrap().1, "[DONE]");
    let chunks: Vec<Value> =
        events[..events.len() - 1].iter().map(|(_, data)| serde_json::from_str(data).unwrap()).collect();
    let calls: Vec<&Value> =
        chunks.iter().flat_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array()).flatten().collect();
    assert_eq!(calls.len(), 1, "{chunks:?}");
    assert_eq!((&calls[0]["index"], &calls[0]["function"]), (&json!(0), &call["function"]));
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
    // What the tool answered goes back, with the call as it came.
    request["stream"] = json!(false);
    request["tool_choice"] = json!("none");
    request["max_tokens"] = json!(5);
    let messages = request["messages"].as_array_mut().unwrap();
    messages.push(choice["message"].clone());
    messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "晴"}));
    let answered = served.post("/v1/chat/completions", request).await.json();
    assert!(answered["usage"]["prompt_tokens"].as_u64() > whole["usage"]["prompt_tokens"].as_u64(), "{answered}");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_without_tools_says_so() {
    let served = Served::start().await;
    let heard = served.post("/v1/chat/completions", ask("default")).await;
    let error = &heard.json()["error"];
    assert_eq!((heard.status, &error["code"], &error["param"]), (400, &json!("tools_unsupported"), &json!("tools")));
    let mut wrong = ask("default");
    wrong["tool_choice"] = json!({"type": "function", "function": {"name": "fire"}});
    let heard = served.post("/v1/chat/completions", wrong).await;
    assert_eq!((heard.status, &heard.json()["error"]["code"]), (400, &json!("tools_invalid")));
    served.end().await;
}
