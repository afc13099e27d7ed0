//! `/v1/chat/completions` as OpenAI's clients use it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    guard::assert_refused,
    served::{Heard, PATIENCE, Served, TOKEN, with},
};

const PATH: &str = "/v1/chat/completions";

/// The likeliest tokens; the end is not among them.
pub fn ask(tokens: u32) -> Value {
    json!({"model": "default", "messages": [{"role": "user", "content": "你好"}], "temperature": 0,
        "max_tokens": tokens, "logit_bias": {"2": -100}})
}

fn text(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap()
}

/// The chunks of a stream, which ends as such streams do.
#[track_caller]
pub fn chunks(heard: &Heard) -> Vec<Value> {
    assert_eq!((heard.status, heard.header("content-type")), (200, Some("text/event-stream")));
    let mut events = heard.events();
    assert_eq!(events.pop().unwrap(), (None, "[DONE]".to_string()));
    assert!(events.iter().all(|(name, _)| name.is_none()), "events of this API have no names");
    events.into_iter().map(|(_, data)| serde_json::from_str(&data).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_comes_whole_and_in_a_stream() {
    let served = Served::start().await;
    let demo = served.demo().await.name;
    let whole = served.post(PATH, ask(12)).await.json();
    assert!(
        whole["id"].as_str().unwrap().starts_with("chatcmpl-") && whole["created"].as_u64().unwrap() > 1_700_000_000
    );
    assert_eq!((&whole["object"], &whole["model"]), (&json!("chat.completion"), &json!(demo)));
    let choice = &whole["choices"][0];
    assert_eq!(
        (&choice["index"], &choice["finish_reason"], &choice["logprobs"]),
        (&json!(0), &json!("length"), &Value::Null)
    );
    assert_eq!(choice["message"]["role"], "assistant");
    let usage = &whole["usage"];
    let counted = served.post("/v1/messages/count_tokens", ask(1)).await.json()["input_tokens"].as_u64().unwrap();
    // The window's instructions are not Anthropic's: an empty one is the same talk to both.
    let bare =
        with(ask(1), "messages", json!([{"role": "system", "content": ""}, {"role": "user", "content": "你好"}]));
    let bare = served.post(PATH, bare).await.json();
    assert_eq!((&bare["usage"]["prompt_tokens"], &usage["completion_tokens"]), (&json!(counted), &json!(12)));
    assert_eq!(usage["total_tokens"], json!(usage["prompt_tokens"].as_u64().unwrap() + 12));
    let again = served.post(PATH, ask(12)).await.json();
    assert_eq!((text(&again), &again["usage"]["prompt_tokens"]), (text(&whole), &usage["prompt_tokens"]));
    let known = &again["usage"]["prompt_tokens_details"]["cached_tokens"];
    assert_eq!(known, &json!(usage["prompt_tokens"].as_u64().unwrap() - 1), "it was read before");

    let streamed = with(ask(12), "stream", json!(true));
    let heard = chunks(&served.post(PATH, streamed.clone()).await);
    for chunk in &heard {
        assert_eq!(
            (&chunk["object"], &chunk["id"], &chunk["model"]),
            (&json!("chat.completion.chunk"), &heard[0]["id"], &json!(demo))
        );
        assert!(chunk.get("usage").is_none(), "nobody asked for it");
    }
    let delta = |chunk: &Value| chunk["choices"][0]["delta"].clone();
    assert_eq!(delta(&heard[0]), json!({"role": "assistant", "content": ""}));
    let grown: String = heard.iter().filter_map(|chunk| delta(chunk)["content"].as_str().map(str::to_string)).collect();
    assert_eq!(grown, text(&whole));
    let (last, rest) = heard.split_last().unwrap();
    assert_eq!((&last["choices"][0]["finish_reason"], delta(last)), (&json!("length"), json!({})));
    assert!(rest.iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()));

    let told = with(streamed, "stream_options", json!({"include_usage": true}));
    let heard = chunks(&served.post(PATH, told).await);
    let (last, rest) = heard.split_last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]["completion_tokens"]), (&json!([]), &json!(12)));
    assert_eq!(last["usage"]["prompt_tokens"], usage["prompt_tokens"]);
    assert!(rest.iter().all(|chunk| chunk["usage"] == Value::Null && chunk.get("usage").is_some()));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_answers_are_told_apart_and_each_has_its_seed() {
    let served = Served::start().await;
    let drawn = |seed: i64, count: u32| {
        let free = with(with(ask(15), "temperature", json!(2.0)), "top_p", json!(1.0));
        with(with(free, "seed", json!(seed)), "n", json!(count))
    };
    let three = served.post(PATH, drawn(7, 3)).await.json();
    let choices = three["choices"].as_array().unwrap();
    assert_eq!(choices.iter().map(|choice| choice["index"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(three["usage"]["completion_tokens"], 45);
    for (at, choice) in choices.iter().enumerate() {
        let one = served.post(PATH, drawn(7 + at as i64, 1)).await.json();
        assert_eq!(one["choices"][0]["message"]["content"], choice["message"]["content"], "{at}");
    }
    assert!(choices[1..].iter().any(|choice| choice["message"] != choices[0]["message"]), "{choices:?}");
    let streamed = with(with(drawn(7, 3), "stream", json!(true)), "stream_options", json!({"include_usage": true}));
    let heard = chunks(&served.post(PATH, streamed).await);
    let mut grown = vec![String::new(); 3];
    let mut reasons = vec![Value::Null; 3];
    for choice in heard.iter().flat_map(|chunk| chunk["choices"].as_array().unwrap()) {
        let at = choice["index"].as_u64().unwrap() as usize;
        grown[at] += choice["delta"]["content"].as_str().unwrap_or_default();
        if !choice["finish_reason"].is_null() {
            reasons[at] = choice["finish_reason"].clone();
        }
    }
    for (at, choice) in choices.iter().enumerate() {
        assert_eq!((json!(grown[at]), &reasons[at]), (choice["message"]["content"].clone(), &json!("length")));
    }
    assert_eq!(heard.last().unwrap()["usage"]["completion_tokens"], 45);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_do_what_they_say() {
    let served = Served::start().await;
    let post = async |request: Value| served.post(PATH, request).await.json();
    let free = post(with(with(ask(30), "logprobs", json!(true)), "top_logprobs", json!(3))).await;
    let free_text = text(&free).to_string();
    // The probabilities: the drawn token's own, the likeliest first, and the bytes are the text.
    let told = free["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(told.len(), 30);
    let mut bytes = Vec::new();
    for token in told {
        bytes.extend(token["bytes"].as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap() as u8));
        let top = token["top_logprobs"].as_array().unwrap();
        let odds: Vec<f64> = top.iter().map(|one| one["logprob"].as_f64().unwrap()).collect();
        assert!(odds.len() == 3 && odds.windows(2).all(|pair| pair[0] >= pair[1]));
        assert!(odds.iter().map(|odds| odds.exp()).sum::<f64>() <= 1.001);
        // 2 is the end, which was forbidden: what was drawn may be the second.
        assert!(top.iter().take(2).any(|one| one["token"] == token["token"]), "{token}");
    }
    assert_eq!(String::from_utf8(bytes).unwrap().trim_start(), free_text.trim_start());
    let streamed =
        chunks(&served.post(PATH, with(with(ask(30), "logprobs", json!(true)), "stream", json!(true))).await);
    let in_chunks: Vec<&Value> =
        streamed.iter().filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array()).flatten().collect();
    assert!(in_chunks.len() == 30 && in_chunks.iter().zip(told).all(|(a, b)| a["logprob"] == b["logprob"]));

    // Stop texts, one and several; what begins like one is held back in a stream, too.
    let stop: String = free_text.chars().skip(8).take(2).collect();
    let before = &free_text[..free_text.find(&stop).unwrap()];
    for stop in [json!(stop), json!(["绝不会有", stop])] {
        let cut = post(with(ask(30), "stop", stop.clone())).await;
        assert_eq!((text(&cut), &cut["choices"][0]["finish_reason"]), (before, &json!("stop")));
        let heard = chunks(&served.post(PATH, with(with(ask(30), "stop", stop), "stream", json!(true))).await);
        let grown: String = heard.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(grown, before);
    }
    // The newer name of the limit goes before the older.
    let short = post(with(ask(30), "max_completion_tokens", json!(4))).await;
    assert_eq!(short["usage"]["completion_tokens"], 4);
    // A bias makes one token certain.
    let only = post(with(ask(3), "logit_bias", json!({"300": 100}))).await;
    let told = served.post("/detokenize", json!({"tokens": [300, 300, 300]})).await.json();
    assert_eq!(text(&only).trim(), told["content"].as_str().unwrap().trim());
    // Where only the likeliest is left, heat draws the same; the same seed the same, another one another.
    let hot = with(with(ask(30), "temperature", json!(2)), "seed", json!(5));
    for (key, value) in [("min_p", json!(1)), ("top_k", json!(1)), ("top_p", json!(0))] {
        assert_eq!(text(&post(with(hot.clone(), key, value)).await), free_text, "{key}");
    }
    let drawn = post(hot.clone()).await;
    assert_eq!(text(&drawn), text(&post(hot.clone()).await));
    assert_ne!(text(&drawn), text(&post(with(hot, "seed", json!(6))).await));
    // Penalties turn it away from what it said; without them it would say the same.
    for (key, value) in [("frequency_penalty", 10.0), ("presence_penalty", 10.0), ("repetition_penalty", 10.0)] {
        let turned = post(with(ask(60), key, json!(value))).await;
        assert_ne!(text(&turned), text(&post(ask(60)).await), "{key}");
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_are_kept_and_wrong_ones_refused() {
    let served = Served::start().await;
    let post = async |format: Value| {
        served.post(PATH, with(with(ask(200), "logit_bias", json!({})), "response_format", format)).await
    };
    let schema = json!({"type": "object", "properties": {"kind": {"enum": ["羊驼", "llama"]}, "age": {"type": "integer",
        "minimum": 0, "maximum": 9}}, "required": ["kind", "age"], "additionalProperties": false});
    let formed = post(json!({"type": "json_schema", "json_schema": {"name": "x", "strict": true, "schema": schema}}))
        .await
        .json();
    let value: Value = serde_json::from_str(text(&formed)).unwrap();
    assert!(
        ["羊驼", "llama"].contains(&value["kind"].as_str().unwrap())
            && (0..=9).contains(&value["age"].as_u64().unwrap())
    );
    assert_eq!(formed["choices"][0]["finish_reason"], "stop");
    let object = post(json!({"type": "json_object"})).await.json();
    assert!(text(&object).starts_with('{'), "{object}");
    if object["choices"][0]["finish_reason"] == "stop" {
        assert!(serde_json::from_str::<Value>(text(&object)).unwrap().is_object());
    }
    for format in [
        json!({"type": "poem"}),
        json!({"type": "json_schema"}),
        json!({"type": "json_schema", "json_schema": {"schema": {"type": "objekt"}}}),
        json!({"type": "regex", "pattern": "("}),
        json!({"type": "lark", "grammar": "start: nothing"}),
        json!("json_object"),
    ] {
        let heard = post(format.clone()).await;
        assert_refused(&heard, 400, &format!("POST {PATH}"));
        assert_eq!(heard.json()["error"]["param"], "response_format", "{format}");
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_answered_is_said_with_numbers_and_what_is_not_known_in_a_header() {
    let served = Served::start().await;
    let long = with(ask(5), "messages", json!([{"role": "user", "content": "天地玄黄".repeat(2_000)}]));
    let heard = served.post(PATH, long).await;
    assert_refused(&heard, 400, &format!("POST {PATH}"));
    let error = heard.json()["error"].clone();
    assert_eq!(error["code"], "context_length_exceeded");
    let numbers: Vec<u64> = error["message"]
        .as_str()
        .unwrap()
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|n| n.parse().ok())
        .collect();
    // So many tokens, the context, and by how much it is too long: one place is the answer's.
    let [tokens, context, over] = numbers[..] else { panic!("{error}") };
    assert_eq!((context, over), (1_024, tokens + 1 - 1_024));
    for (key, value, param) in [
        ("stop", json!("x".repeat(1_025)), "stop"),
        ("stop", json!(vec!["x"; 33]), "stop"),
        ("top_logprobs", json!(3), "top_logprobs"),
        ("n", json!(9), "n"),
        ("functions", json!([{"name": "f"}]), "functions"),
        ("tool_choice", json!("perhaps"), "tool_choice"),
        ("max_tokens", json!(0), "max_tokens"),
        (
            "messages",
            json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
            "messages.0",
        ),
    ] {
        let heard = served.post(PATH, with(ask(5), key, value)).await;
        assert_refused(&heard, 400, &format!("POST {PATH}"));
        assert_eq!(heard.json()["error"]["param"], param);
    }
    let unknown = served.post(PATH, with(ask(5), "model", json!("gpt-9"))).await;
    assert_refused(&unknown, 404, &format!("POST {PATH}"));
    assert_eq!(unknown.json()["error"]["code"], "model_not_found");
    let odd = with(with(ask(1), "service_tier", json!("auto")), "guided_json", json!({}));
    let warned = served.post(PATH, odd).await;
    let warning = warned.header("x-huacaya-warning").unwrap();
    assert!(warned.status == 200 && warning.contains("service_tier") && warning.contains("guided_json"), "{warning}");
    assert!(!warning.contains("logit_bias") && served.post(PATH, ask(1)).await.header("x-huacaya-warning").is_none());
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_server_says_when_to_come_again() {
    let served = Served::start().await;
    served.set("server_queue", json!(0)).await;
    let mut eight = served.ask(PATH, &with(with(ask(900), "n", json!(8)), "stream", json!(true))).await;
    let mut bytes = [0; 256];
    assert!(eight.read(&mut bytes).await.unwrap() > 0);
    let heard = served.post(PATH, ask(1)).await;
    assert_refused(&heard, 429, &format!("POST {PATH}"));
    assert_eq!(
        (heard.header("retry-after"), &heard.json()["error"]["code"]),
        (Some("5"), &json!("rate_limit_exceeded"))
    );
    assert_eq!(heard.json()["error"]["type"], "rate_limit_error");
    let claude = json!({"messages": [{"role": "user", "content": "x"}], "max_tokens": 1});
    assert_refused(&served.post("/v1/messages", claude).await, 429, "POST /v1/messages");
    assert_refused(&served.post("/api/embed", json!({"input": "x"})).await, 429, "POST /api/embed");
    // A look at tokens does not wait for answers.
    assert_eq!(served.post("/tokenize", json!({"content": "x"})).await.status, 200);
    // Whoever goes away leaves its place.
    drop(eight);
    let free = async {
        while served.post(PATH, ask(1)).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, free).await.expect("the place is free again");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_serves_many_requests() {
    let served = Served::start().await;
    let mut stream = served.connect().await;
    let address = &served.address;
    for _ in 0..3 {
        let head = format!("GET /v1/models HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut bytes = vec![0; 16 << 10];
        let count = stream.read(&mut bytes).await.unwrap();
        assert_eq!(Heard::parse(&bytes[..count]).status, 200);
    }
    served.end().await;
}
