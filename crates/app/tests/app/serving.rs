//! What programs get through the local server: answers, tokens, vectors, and errors that say what to do.

use huacaya_app::{
    App, Code, Error,
    engine::{Engine, Score},
    progress::unwatched,
    rows::{Message, MessageId, ModelId, Parameters},
    serving::{Answers, Asked, Asking, Piece, Reason, Said, Source, TokenProbability, Usage},
};
use serde_json::{Value, json};

use crate::{
    home::{Home, Mirror, call, refused},
    tiny,
};

/// An answer from its first piece to its last.
#[derive(Clone, Debug, Default)]
pub struct Whole {
    pub text: String,
    pub tokens: Vec<TokenProbability>,
    pub ended: Option<(Reason, Usage)>,
}

/// The likeliest tokens, so many; the end is not among them.
pub fn greedy(tokens_max: u32) -> Parameters {
    let logit_bias = Some(vec![(2, -100.0)]);
    Parameters { temperature: Some(0.0), tokens_max: Some(tokens_max), logit_bias, ..Parameters::default() }
}

pub fn asking(prompt: Asked, parameters: Parameters) -> Asking {
    let source = Source { method: "POST".into(), path: "/v1/chat/completions".into(), ..Source::default() };
    Asking { prompt, parameters, source, ..Asking::default() }
}

pub fn said(role: &str, text: &str) -> Said {
    Said { role: role.into(), text: text.into(), ..Said::default() }
}

pub fn question(text: &str) -> Asked {
    Asked::Chat(vec![said("user", text)])
}

pub async fn read(mut answers: Answers) -> Result<Vec<Whole>, Error> {
    let mut all: Vec<Whole> = Vec::new();
    while let Some(piece) = answers.next().await {
        let piece = piece?;
        let (Piece::Text { index, .. } | Piece::Finished { index, .. }) = piece else { continue };
        all.resize_with(all.len().max(index as usize + 1), Whole::default);
        let whole = &mut all[index as usize];
        match piece {
            Piece::Text { text, token, .. } => {
                whole.text.push_str(&text);
                whole.tokens.extend(token);
            }
            Piece::Finished { reason, usage, .. } => assert!(whole.ended.replace((reason, usage)).is_none()),
            _ => {}
        }
    }
    assert!(all.iter().all(|whole| whole.ended.is_some()), "{all:?}");
    Ok(all)
}

pub async fn answer(app: &App, asking: Asking) -> Whole {
    read(app.ask(asking).await.unwrap()).await.unwrap().pop().unwrap()
}

async fn problem(app: &App, asking: Asking) -> Error {
    app.ask(asking).await.err().expect("it is refused")
}

pub async fn set(app: &App, key: &str, value: Value) {
    call::<()>(app, "set_setting", json!({"key": key, "value": value})).await;
}

pub async fn name_of(app: &App, id: ModelId) -> String {
    app.api_models().await.unwrap().into_iter().find(|model| model.row.id == id).unwrap().id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_is_asked_for_by_any_of_its_names() {
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    let name = name_of(&app, model).await;
    let path = home.outside().join("tiny.gguf").to_str().unwrap().to_string();
    for wanted in [
        None,
        Some("default".to_string()),
        Some(name.clone()),
        Some(format!(" {} ", name.to_uppercase())),
        Some(format!("{name}:latest")),
        Some(model.0.to_string()),
        Some(path),
    ] {
        let answers = app.ask(Asking { model: wanted.clone(), ..asking(question("在"), greedy(1)) }).await.unwrap();
        assert_eq!(answers.model(), name, "{wanted:?}");
    }
    let unknown = Asking { model: Some("gpt-9".into()), ..asking(question("在"), greedy(1)) };
    let error = problem(&app, unknown).await;
    assert_eq!((error.code, error.values["model"].as_str()), (Code::ModelUnknown, "gpt-9"));
    assert!(error.detail.contains(&name), "it says which there are: {}", error.detail);
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_gets_the_words_that_the_window_shows() {
    let home = Home::new();
    let (app, _) = home.start_with_tiny().await;
    set(&app, "parameters", serde_json::to_value(greedy(30)).unwrap()).await;
    let mut mirror = Mirror::new(&app).await;
    let sent: Value =
        call(&app, "send_message", json!({"chat": null, "text": "你好", "attachments": [], "begin": ""})).await;
    call::<()>(&app, "open_chat", json!({"chat": sent["chat"]})).await;
    let shown: Message = mirror.answer(serde_json::from_value::<MessageId>(sent["answer"].clone()).unwrap()).await;
    let (shown, stats) = (shown.body.unwrap().text, shown.stats.unwrap());
    let got = answer(&app, asking(question("你好"), greedy(30))).await;
    assert_eq!(got.text, shown);
    let (reason, usage) = got.ended.unwrap();
    assert_eq!((reason, usage.completion, usage.prompt), (Reason::Length, 30, stats.prompt_tokens));
    assert_eq!(usage.cached, usage.prompt - 1, "what the window's answer read is not read again");
    // A layer that says nothing leaves the person's values.
    assert_eq!(answer(&app, asking(question("你好"), greedy(9))).await.ended.unwrap().1.completion, 9);
    // Instructions of its own replace the window's; empty ones: none at all.
    let mut counts = Vec::new();
    for talk in [
        vec![said("user", "你好")],
        vec![said("system", ""), said("user", "你好")],
        vec![said("developer", "说中文"), said("user", "你好")],
        vec![said("system", "说中文"), said("user", "你好")],
    ] {
        let counted = app.api_count(None, &talk).await.unwrap();
        let usage = answer(&app, asking(Asked::Chat(talk), greedy(1))).await.ended.unwrap().1;
        assert_eq!(usage.prompt as usize, counted);
        counts.push(counted);
    }
    assert!(counts[1] < counts[2] && counts[2] < counts[0] && counts[2] == counts[3], "{counts:?}");
    // The beginning of an answer is gone on with.
    let begun: String = got.text.chars().take(10).collect();
    let talk = vec![said("user", "你好"), said("assistant", &begun)];
    let rest = answer(&app, asking(Asked::Chat(talk), greedy(5))).await;
    assert_eq!(rest.ended.unwrap().0, Reason::Length);
    for (talk, code) in [
        (vec![], Code::MessageEmpty),
        (vec![said("system", "说中文")], Code::MessageEmpty),
        (vec![said("robot", "你好")], Code::Unfit),
    ] {
        assert_eq!(problem(&app, asking(Asked::Chat(talk), greedy(1))).await.code, code);
    }
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_and_tokens_are_continued() {
    let home = Home::new();
    let (app, _) = home.start_with_tiny().await;
    let text = answer(&app, asking(Asked::Text("我是".into()), greedy(20))).await;
    let plain = app.api_tokenize(&Source::default(), None, "我是".into(), false).await.unwrap();
    let tokens = app.api_tokenize(&Source::default(), None, "我是".into(), true).await.unwrap();
    assert_eq!((tokens[0], &tokens[1..]), (1, &plain[..]), "a prompt begins with <s>");
    assert_eq!(app.api_detokenize(&Source::default(), None, plain).await.unwrap(), "我是");
    assert_eq!(text.ended.unwrap().1.prompt as usize, tokens.len());
    let same = answer(&app, asking(Asked::Tokens(tokens), greedy(20))).await;
    assert_eq!((same.text.as_str(), same.ended.unwrap().1.completion), (text.text.as_str(), 20));
    assert_eq!(problem(&app, asking(Asked::Tokens(vec![1, 70_000]), greedy(1))).await.code, Code::Unfit);
    assert_eq!(problem(&app, asking(Asked::Tokens(vec![]), greedy(1))).await.code, Code::MessageEmpty);
    assert_eq!(app.api_detokenize(&Source::default(), None, vec![70_000]).await.unwrap_err().code, Code::Unfit);
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_answers_to_one_prompt_have_seeds_of_their_own() {
    let home = Home::new();
    let (app, _) = home.start_with_tiny().await;
    let drawn = |seed| Parameters { temperature: Some(1.5), seed: Some(seed), ..greedy(25) };
    let three = Asking { count: 3, ..asking(question("讲"), drawn(7)) };
    let three = read(app.ask(three).await.unwrap()).await.unwrap();
    assert_eq!(three.len(), 3);
    for (index, one) in three.iter().enumerate() {
        assert_eq!(answer(&app, asking(question("讲"), drawn(7 + index as u32))).await.text, one.text, "{index}");
        assert!(three[..index].iter().all(|other| other.text != one.text), "{three:?}");
    }
    for (count, logprobs, name) in [(0, None, "n"), (9, None, "n"), (1, Some(21), "top_logprobs")] {
        let error = problem(&app, Asking { count, logprobs, ..asking(question("讲"), drawn(7)) }).await;
        assert_eq!((error.code, error.values["parameter"].as_str()), (Code::ParameterInvalid, name));
    }
    app.shut_down().await;
}

/// Natural log-softmax of one token.
fn log_softmax(logits: &[f32], id: u32) -> f64 {
    let max = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - max).exp()).sum();
    f64::from(logits[id as usize] - max) - sum.ln()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probabilities_are_the_models_own_before_any_filter() {
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    let prompt = app.api_tokenize(&Source::default(), None, "我是".into(), true).await.unwrap();
    let parameters = Parameters { top_k: Some(1), ..greedy(12) };
    let wanted = Asking { logprobs: Some(3), ..asking(Asked::Tokens(prompt.clone()), parameters.clone()) };
    let got = answer(&app, wanted).await;
    assert_eq!(got.tokens.len(), 12);
    let lease = app.lease(model, None).await.unwrap();
    let tokens: Vec<u32> = prompt.iter().copied().chain(got.tokens.iter().map(|token| token.id)).collect();
    let rows = prompt.len() - 1..tokens.len() - 1;
    let score = Score { model: lease.model.clone(), adapters: Vec::new(), tokens, rows };
    let logits = Engine::start().unwrap().score(score, &mut unwatched()).unwrap().logits;
    for (token, logits) in got.tokens.iter().zip(&logits) {
        assert!((f64::from(token.logprob) - log_softmax(logits, token.id)).abs() < 1e-4, "{token:?}");
        assert_eq!(token.top.len(), 3);
        assert!(token.top.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        assert!(token.top[0].1 >= token.logprob);
    }
    let bytes: Vec<u8> = got.tokens.iter().flat_map(|token| token.bytes.clone()).collect();
    assert_eq!(String::from_utf8_lossy(&bytes).trim_start(), got.text.trim_start());
    let own = Asking { logprobs: Some(0), ..asking(Asked::Tokens(prompt.clone()), parameters.clone()) };
    let own = answer(&app, own).await;
    assert!(own.tokens.len() == 12 && own.tokens.iter().all(|token| token.top.is_empty() && token.logprob < 0.0));
    assert!(answer(&app, asking(Asked::Tokens(prompt), parameters)).await.tokens.is_empty(), "nobody asked for any");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bias_makes_a_token_certain_or_impossible() {
    let home = Home::new();
    let (app, _) = home.start_with_tiny().await;
    let biased = |biases: &[(u32, f32)]| {
        let parameters = Parameters { logit_bias: Some(biases.to_vec()), ..greedy(6) };
        Asking { logprobs: Some(0), ..asking(question("你好"), parameters) }
    };
    let free = answer(&app, biased(&[(2, -100.0)])).await;
    let first = free.tokens[0].id;
    let without = answer(&app, biased(&[(2, -100.0), (first, -100.0)])).await;
    assert!(without.tokens.iter().all(|token| token.id != first));
    let wanted = if first == 300 { 301 } else { 300 };
    let only = answer(&app, biased(&[(wanted, 100.0)])).await;
    assert!(only.tokens.iter().all(|token| token.id == wanted), "{:?}", only.text);
    for (id, bias) in [(70_000, 1.0), (5, 2_000.0), (5, f32::NAN)] {
        let error = problem(&app, biased(&[(id, bias)])).await;
        assert_eq!((error.code, error.values["parameter"].as_str()), (Code::ParameterInvalid, "logit_bias"));
    }
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_ends_before_a_stop_text_and_at_the_contexts_end() {
    let home = Home::new();
    let (app, _) = home.start_with_tiny().await;
    let free = answer(&app, asking(question("你好"), greedy(40))).await.text;
    let stop: String = free.chars().skip(12).take(2).collect();
    let expected = &free[..free.find(&stop).unwrap()];
    let parameters = Parameters { stop: Some(vec!["绝不会有".into(), stop.clone()]), ..greedy(40) };
    let got = answer(&app, asking(question("你好"), parameters)).await;
    assert_eq!((got.text.as_str(), got.ended.unwrap().0), (expected, Reason::StopText));
    // Two bytes of text for a token at most, so that the prompt nearly fills the context.
    let long = |count: usize| Asked::Tokens(vec![300; count]);
    let near = tiny::CONTEXT as usize - 7;
    let whole = answer(&app, asking(long(near), greedy(5_000))).await;
    let (reason, usage) = whole.ended.unwrap();
    assert_eq!((reason, usage.prompt as usize), (Reason::Length, near));
    assert!((6..=8).contains(&usage.completion), "{usage:?}");
    for count in [tiny::CONTEXT as usize, 3_000] {
        let error = problem(&app, asking(long(count), greedy(1))).await;
        assert_eq!(error.code, Code::PromptTooLong);
        assert_eq!(error.values["context"], tiny::CONTEXT.to_string());
        assert_eq!(error.values["over"], (count + 1 - tiny::CONTEXT as usize).to_string());
        assert!(error.detail.contains(&count.to_string()), "{}", error.detail);
    }
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_texts_have_equal_vectors_of_length_one() {
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    let tokens = app.api_tokenize(&Source::default(), None, "你好".into(), true).await.unwrap();
    let texts = vec![Asked::Text("你好".into()), Asked::Text("天上".into()), Asked::Tokens(tokens.clone())];
    let embedded = app.api_embed(None, texts).await.unwrap();
    assert_eq!(embedded.model, name_of(&app, model).await);
    let [first, other, same] = &embedded.vectors[..] else { panic!("three vectors") };
    assert_eq!(first, same);
    assert_eq!(
        embedded.tokens,
        2 * tokens.len() + app.api_tokenize(&Source::default(), None, "天上".into(), true).await.unwrap().len()
    );
    for vector in [first, other] {
        let length: f64 = vector.iter().map(|value| f64::from(*value).powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }
    let alike: f32 = first.iter().zip(other).map(|(a, b)| a * b).sum();
    assert!(alike < 0.999, "{alike}");
    for (text, code) in [
        (Asked::Tokens(vec![]), Code::MessageEmpty),
        (Asked::Tokens(vec![300; tiny::CONTEXT as usize + 1]), Code::PromptTooLong),
        (Asked::Tokens(vec![70_000]), Code::Unfit),
        (question("你好"), Code::Unfit),
    ] {
        assert_eq!(app.api_embed(None, vec![text]).await.unwrap_err().code, code);
    }
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_is_private_and_can_be_renewed() {
    let home = Home::new();
    let app = home.start().await;
    let path = home.path().join("server.token");
    let token = app.server_token().await.unwrap();
    assert!(token.starts_with("hk-") && token.len() >= 3 + 64, "{token}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), token);
    assert_eq!(app.server_token().await.unwrap(), token);
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions()) & 0o777,
        0o600
    );
    let renewed: String = call(&app, "renew_server_token", json!({})).await;
    assert_ne!(renewed, token);
    assert_eq!(call::<String>(&app, "server_token", json!({})).await, renewed);
    std::fs::write(&path, "").unwrap();
    assert_ne!(app.server_token().await.unwrap(), renewed, "an empty file is no token");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_the_server_hold_only_what_they_can() {
    let home = Home::new();
    let app = home.start().await;
    for (key, wrong) in [
        ("server_on", json!(1)),
        ("server_port", json!(80)),
        ("server_port", json!(65_536)),
        ("server_address", json!("localhost")),
        ("server_origins", json!(["*"])),
        ("server_origins", json!("http://localhost")),
        ("server_queue", json!(1_025)),
        ("server_ttl", json!(0)),
        ("server_state", json!({"state": "off"})),
    ] {
        assert_eq!(refused(&app, "set_setting", json!({"key": key, "value": wrong})).await, "wrong_arguments", "{key}");
    }
    let settings = app.server_settings().await.unwrap();
    assert_eq!((settings.on, settings.address.as_str(), settings.port), (false, "127.0.0.1", 11_711));
    set(&app, "server_on", json!(true)).await;
    set(&app, "server_port", json!(8_080)).await;
    set(&app, "server_origins", json!(["http://localhost:3000"])).await;
    let settings = app.server_settings().await.unwrap();
    assert_eq!(
        (settings.on, settings.port, settings.origins),
        (true, 8_080, vec!["http://localhost:3000".to_string()])
    );
    app.shut_down().await;
}
