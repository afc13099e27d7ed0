//! Texts that are continued, measured, turned into vectors and into tokens; the list of models; and health.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    answers::chunks,
    guard::assert_refused,
    served::{Served, with},
};

const PATH: &str = "/v1/completions";

fn ask(prompt: Value, tokens: u32) -> Value {
    json!({"model": "default", "prompt": prompt, "temperature": 0, "max_tokens": tokens, "logit_bias": {"2": -100}})
}

impl Served {
    async fn tokens(&self, text: &str, special: bool) -> Vec<u64> {
        let told = self.post("/tokenize", json!({"content": text, "add_special": special})).await.json();
        told["tokens"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
    }
}

fn text(answer: &Value) -> &str {
    answer["choices"][0]["text"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_and_tokens_are_continued_one_or_many() {
    let served = Served::start().await;
    let post = async |request: Value| served.post(PATH, request).await.json();
    let whole = post(ask(json!("从前有一"), 10)).await;
    assert!(whole["id"].as_str().unwrap().starts_with("cmpl-"));
    assert_eq!(
        (&whole["object"], &whole["choices"][0]["finish_reason"]),
        (&json!("text_completion"), &json!("length"))
    );
    let tokens = served.tokens("从前有一", true).await;
    assert_eq!(whole["usage"]["prompt_tokens"], tokens.len());
    let same = post(ask(json!(tokens), 10)).await;
    assert_eq!(text(&same), text(&whole));
    let streamed = chunks(&served.post(PATH, with(ask(json!("从前有一"), 10), "stream", json!(true))).await);
    let grown: String = streamed.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
    assert_eq!(grown, text(&whole));

    let prompts = ["从前有一", "羊驼是", "一二三四", "The alpaca", "你好，", "天"];
    let mut alone = Vec::new();
    for prompt in prompts {
        alone.push(post(with(ask(json!(prompt), 7), "n", json!(2))).await);
    }
    let all = with(ask(json!(prompts), 7), "n", json!(2));
    let many = post(all.clone()).await;
    let told = |at: usize| alone[at / 2]["choices"][at % 2]["text"].clone();
    let choices = many["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 12);
    for (at, choice) in choices.iter().enumerate() {
        assert_eq!((&choice["index"], &choice["text"]), (&json!(at), &told(at)));
    }
    let sum = |key: &str| alone.iter().map(|one| one["usage"][key].as_u64().unwrap()).sum::<u64>();
    for key in ["prompt_tokens", "completion_tokens", "total_tokens"] {
        assert_eq!(many["usage"][key], sum(key), "{key}");
    }
    // In a stream they come one behind the other, numbered alike.
    let told_usage = json!({"include_usage": true});
    let streamed = with(with(all, "stream", json!(true)), "stream_options", told_usage);
    let streamed = chunks(&served.post(PATH, streamed).await);
    let mut grown = vec![String::new(); 12];
    for choice in streamed.iter().flat_map(|chunk| chunk["choices"].as_array().unwrap()) {
        grown[choice["index"].as_u64().unwrap() as usize] += choice["text"].as_str().unwrap();
    }
    for (at, grown) in grown.into_iter().enumerate() {
        assert_eq!(json!(grown), told(at), "{at}");
    }
    let last = &streamed.last().unwrap()["usage"];
    assert_eq!((&last["prompt_tokens"], &last["completion_tokens"]), (&json!(sum("prompt_tokens")), &json!(84)));
    // One of many that is wrong: refused at once where it is the first, marked in the stream where it is a later one.
    let wrong = with(ask(json!(["天".repeat(5_000), "天"]), 3), "stream", json!(true));
    assert_refused(&served.post(PATH, wrong).await, 400, &format!("POST {PATH}"));
    let later = with(ask(json!(["天", "天".repeat(5_000)]), 3), "stream", json!(true));
    let events = served.post(PATH, later).await.events();
    let last: Value = serde_json::from_str(&events.last().unwrap().1).unwrap();
    assert_eq!(last["error"]["code"], "context_length_exceeded");
    served.end().await;
}

/// What the log-probabilities say of a text: each token's text stands where its offset says.
#[track_caller]
fn assert_offsets(choice: &Value) {
    let letters: Vec<char> = choice["text"].as_str().unwrap().chars().collect();
    let told = &choice["logprobs"];
    let array = |name: &str| told[name].as_array().unwrap().clone();
    let (tokens, offsets) = (array("tokens"), array("text_offset"));
    assert!(tokens.len() == offsets.len() && tokens.len() == array("token_logprobs").len());
    assert_eq!(tokens.len(), array("top_logprobs").len());
    for (token, offset) in tokens.iter().zip(&offsets) {
        let (token, offset) = (token.as_str().unwrap(), offset.as_u64().unwrap() as usize);
        if token.starts_with("bytes:") {
            continue;
        }
        let here: String = letters[offset..].iter().take(token.chars().count()).collect();
        let blank_dropped = offset == 0 && letters[offset..].iter().collect::<String>().starts_with(token.trim_start());
        assert!(here == token || blank_dropped, "{token:?} is not at {offset}: {here:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompt_is_sent_back_and_measured_where_that_is_wished() {
    let served = Served::start().await;
    let post = async |request: Value| served.post(PATH, request).await.json();
    let prompt = "Alpacas live in 山里，and 羊驼 eat grass.";
    let plain = post(with(ask(json!(prompt), 8), "logprobs", json!(2))).await;
    assert_offsets(&plain["choices"][0]);
    let echo = |tokens: u32| with(with(ask(json!(prompt), tokens), "echo", json!(true)), "logprobs", json!(2));
    let echoed = post(echo(8)).await;
    assert_eq!(text(&echoed), prompt.to_string() + text(&plain));
    assert_offsets(&echoed["choices"][0]);
    let ids = served.tokens(prompt, true).await;
    let told = &echoed["choices"][0]["logprobs"];
    assert_eq!(told["tokens"].as_array().unwrap().len(), ids.len() + 8);
    assert_eq!((&told["token_logprobs"][0], &told["top_logprobs"][0]), (&Value::Null, &Value::Null));
    assert!(told["token_logprobs"].as_array().unwrap()[1..].iter().all(|odds| odds.as_f64().unwrap() <= 0.0));
    // As evaluations do it: nothing is written, and each token's probability is the one of drawing it.
    let measured = post(echo(0)).await;
    assert_eq!((text(&measured), &measured["choices"][0]["finish_reason"]), (prompt, &json!("length")));
    assert_eq!(
        measured["usage"],
        json!({"prompt_tokens": ids.len(), "completion_tokens": 0, "total_tokens": ids.len(),
        "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}})
    );
    let odds = measured["choices"][0]["logprobs"]["token_logprobs"].as_array().unwrap();
    assert_eq!(odds.len(), ids.len());
    let half = ids.len() / 2;
    let forced = json!({ids[half].to_string(): 1000});
    let next = with(with(ask(json!(ids[..half]), 1), "logit_bias", forced), "logprobs", json!(1));
    let drawn = post(next).await["choices"][0]["logprobs"]["token_logprobs"][0].as_f64().unwrap();
    assert!((drawn - odds[half].as_f64().unwrap()).abs() < 1e-4, "{drawn} {}", odds[half]);
    // Tokens as they were sent, several prompts, several answers, and in a stream.
    let mine = post(with(echo(0), "prompt", json!([ids[1..].to_vec(), ids.clone()]))).await;
    assert_eq!((&mine["choices"][0]["text"], &mine["choices"][1]["text"]), (&json!(prompt), &json!(prompt)));
    assert_eq!(mine["choices"][0]["logprobs"]["tokens"].as_array().unwrap().len(), ids.len() - 1);
    let two = post(with(with(echo(3), "n", json!(2)), "logprobs", Value::Null)).await;
    let choices = two["choices"].as_array().unwrap();
    assert!(choices.len() == 2 && choices.iter().all(|choice| choice["text"].as_str().unwrap().starts_with(prompt)));
    assert!(choices.iter().all(|choice| choice["logprobs"].is_null()));
    let streamed = chunks(&served.post(PATH, with(echo(8), "stream", json!(true))).await);
    let one = |key: &str| -> Vec<Value> {
        let of = |chunk: &Value| chunk["choices"][0]["logprobs"][key].as_array().cloned().unwrap_or_default();
        streamed.iter().flat_map(of).collect()
    };
    let grown: String = streamed.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
    assert_eq!(grown, text(&echoed));
    for key in ["tokens", "token_logprobs", "text_offset"] {
        assert_eq!(json!(one(key)), told[key], "{key}");
    }
    // No tokens without the echo are no answer; and what models here cannot do is said.
    for (key, value) in
        [("max_tokens", json!(0)), ("suffix", json!("end")), ("best_of", json!(3)), ("logprobs", json!(21))]
    {
        let heard = served.post(PATH, with(ask(json!("天"), 1), key, value)).await;
        assert_refused(&heard, 400, &format!("POST {PATH}"));
        let param = if key == "logprobs" { "top_logprobs" } else { key };
        assert_eq!(heard.json()["error"]["param"], param);
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vectors_come_as_numbers_and_as_bytes() {
    let served = Served::start().await;
    let path = "/v1/embeddings";
    let texts = json!({"model": "default", "input": ["羊驼", "llama", "羊驼"]});
    let told = served.post(path, texts.clone()).await.json();
    assert_eq!((&told["object"], &told["model"]), (&json!("list"), &json!(served.demo().await.name)));
    let data = told["data"].as_array().unwrap();
    let vector = |at: usize| -> Vec<f64> {
        assert_eq!((&data[at]["object"], &data[at]["index"]), (&json!("embedding"), &json!(at)));
        data[at]["embedding"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };
    assert!(data.len() == 3 && vector(0) == vector(2) && vector(0) != vector(1));
    assert!((vector(0).iter().map(|value| value * value).sum::<f64>() - 1.0).abs() < 1e-5);
    let mut tokens = 0;
    for text in ["羊驼", "llama", "羊驼"] {
        tokens += served.tokens(text, true).await.len();
    }
    assert_eq!(told["usage"], json!({"prompt_tokens": tokens, "total_tokens": tokens}));
    // As the official clients ask for it.
    let packed = served.post(path, with(texts.clone(), "encoding_format", json!("base64"))).await.json();
    let bytes = STANDARD.decode(packed["data"][1]["embedding"].as_str().unwrap()).unwrap();
    let unpacked: Vec<f64> =
        bytes.chunks(4).map(|four| f64::from(f32::from_le_bytes(four.try_into().unwrap()))).collect();
    assert!(unpacked.iter().zip(vector(1)).all(|(a, b)| (a - b).abs() < 1e-7) && unpacked.len() == vector(1).len());
    let ids = served.tokens("羊驼", true).await;
    let by_tokens = served.post(path, with(texts.clone(), "input", json!(ids))).await.json();
    assert_eq!(by_tokens["data"][0]["embedding"], data[0]["embedding"]);
    assert_eq!(served.post(path, with(texts.clone(), "dimensions", json!(vector(0).len()))).await.status, 200);
    for (key, value, code) in [
        ("dimensions", json!(5), "unsupported_parameter"),
        ("input", json!([]), ""),
        ("input", json!(""), "message_empty"),
        ("input", json!([99_999_999]), "unfit"),
        ("input", json!("天".repeat(3_000)), "context_length_exceeded"),
        ("encoding_format", json!("xml"), ""),
    ] {
        let heard = served.post(path, with(texts.clone(), key, value)).await;
        assert_refused(&heard, 400, &format!("POST {path}"));
        assert_eq!(heard.json()["error"]["code"].as_str().unwrap_or_default(), code);
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_are_listed_and_texts_are_tokens_and_back() {
    let served = Served::start().await;
    let demo = served.demo().await;
    let listed = served.get("/v1/models").await.json();
    let model = &listed["data"][0];
    assert_eq!(
        (&listed["object"], &model["object"], &model["id"]),
        (&json!("list"), &json!("model"), &json!(demo.name))
    );
    assert!(model["created"].as_i64().unwrap() > 1_700_000_000 && model["owned_by"].is_string());
    let path = format!("/v1/models/{}", demo.name.replace(' ', "%20"));
    assert_eq!(&served.get(&path).await.json(), model);
    assert_refused(&served.get("/v1/models/gpt-9").await, 404, "GET /v1/models/gpt-9");
    for text in ["你好，world！", " two  blanks ", "\n行\n", "🦙", ""] {
        let tokens = served.tokens(text, false).await;
        let told = served.post("/detokenize", json!({"tokens": tokens})).await.json();
        assert_eq!(told["content"], text);
    }
    let heard = served.post("/detokenize", json!({"tokens": [99_999_999]})).await;
    assert_refused(&heard, 400, "POST /detokenize");
    let health = served.send("GET", "/health", "", "").await;
    assert_eq!((health.status, health.json()), (200, json!({"status": "ok"})));
    assert_eq!(served.send("HEAD", "/health", "", "").await.text, "");
    served.end().await;
}
