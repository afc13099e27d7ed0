//! The native decoder as a person meets it: what its roundings cost in perplexity, and how to go back to the reference.

#![allow(clippy::unwrap_used)] // a test's helper may panic

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use huacaya_engine::candle::{Decoder, Plain, unpacked};
use huacaya_engine::sampling::Sampling;
use huacaya_engine::template::{Chat, Prompt, Role, Turn};
use huacaya_engine::{Engine, Event, KvFormat, LoadOptions, Model, Request, Score, embed, fit};
use huacaya_progress::unwatched;
use serde_json::Value;

/// The promise, with keys and values in f16; in Q8_0 as well.
const SAME: f64 = 1e-3;
const WITH_Q4_0: f64 = 5e-3;
/// Of the 720 held-out talks: enough for the promise, few enough for a test. All of them: -0.008 % (f16), -0.053 % (Q4_0).
const EVERY: usize = 4;

fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo").join(name)
}

/// What the demo model was not trained on: what is asked, and the answer.
fn held_out() -> Vec<(Chat, String)> {
    let lines = fs::read_to_string(demo("data/heldout.jsonl")).unwrap();
    let turn = |role: Role, text: &Value| Turn { role, text: text.as_str().unwrap().to_string(), ..Turn::default() };
    let talk = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let before = line["before"].as_array().unwrap().iter();
        let mut turns: Vec<Turn> =
            before.flat_map(|pair| [turn(Role::User, &pair[0]), turn(Role::Assistant, &pair[1])]).collect();
        turns.push(turn(Role::User, &line["question"]));
        (Chat { turns, ..Chat::default() }, line["answer"].as_str().unwrap().to_string())
    };
    lines.lines().step_by(EVERY).map(talk).collect()
}

/// Perplexity of the answers, each after its question in the model's own template.
fn value(options: LoadOptions, talks: &[(Chat, String)]) -> f64 {
    let candle = options.candle;
    let model = Arc::new(Model::load(&demo("huacaya-demo.gguf"), &options, &mut unwatched()).unwrap());
    assert_eq!(model.backend_name(), if candle { "candle" } else { "native" });
    let engine = Engine::start().unwrap();
    let (mut sum, mut count) = (0.0, 0);
    for (chat, answer) in talks {
        let mut tokens = model.render(&Prompt::Chat(chat.clone())).unwrap().tokens;
        let first = tokens.len();
        tokens.extend(model.tokenize(answer));
        let rows = first - 1..tokens.len() - 1;
        let score = Score { model: model.clone(), adapters: Vec::new(), tokens: tokens.clone(), rows };
        let scores = engine.score(score, &mut unwatched()).unwrap();
        for (logits, &token) in scores.logits.iter().zip(&tokens[first..]) {
            let largest = logits.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
            let total: f64 = logits.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
            sum += total.ln() - f64::from(logits[token as usize] - largest);
            count += 1;
        }
    }
    (sum / f64::from(count)).exp()
}

/// The reference unpacks a model as small as this and computes with f32 throughout.
#[test]
fn perplexity_on_held_out_text_is_that_of_f32_arithmetic_on_the_same_weights() {
    let talks = held_out();
    let expected = value(LoadOptions { candle: true, ..LoadOptions::default() }, &talks);
    for (kv, bound) in [(KvFormat::F16, SAME), (KvFormat::Q8_0, SAME), (KvFormat::Q4_0, WITH_Q4_0)] {
        let found = value(LoadOptions { kv, ..LoadOptions::default() }, &talks);
        println!("{}: {found:.5}, in f32 {expected:.5} ({:+.4} %)", kv.name(), 100.0 * (found / expected - 1.0));
        assert!((found / expected - 1.0).abs() <= bound, "{}: {found} instead of {expected}", kv.name());
    }
}

fn load(options: LoadOptions) -> Arc<Model> {
    Arc::new(Model::load(&demo("huacaya-demo.gguf"), &options, &mut unwatched()).unwrap())
}

/// The root mean square of the differences of two decoders' logits, as a part of that of the logits: what rounding inputs to 8
/// bits makes of them. A step is 1/127 of the largest of 32, so a product is off by about 0.6 % of a typical value; some products
/// follow each other.
const LOGITS: f64 = 0.03;

#[test]
fn logits_on_held_out_text_are_those_of_the_reference_decoder() {
    let engine = Engine::start().unwrap();
    let models = [false, true].map(|candle| load(LoadOptions { candle, ..LoadOptions::default() }));
    let (mut differences, mut all) = (0.0, 0.0);
    for (chat, answer) in held_out().iter().step_by(4) {
        let mut tokens = models[0].render(&Prompt::Chat(chat.clone())).unwrap().tokens;
        tokens.extend(models[0].tokenize(answer));
        let [native, candle] = models.each_ref().map(|model| {
            let score =
                Score { model: model.clone(), adapters: Vec::new(), tokens: tokens.clone(), rows: 0..tokens.len() };
            engine.score(score, &mut unwatched()).unwrap().logits
        });
        assert_eq!((native.len(), candle.len()), (tokens.len(), tokens.len()));
        for (found, expected) in native.iter().flatten().zip(candle.iter().flatten()) {
            differences += f64::from(found - expected).powi(2);
            all += f64::from(*expected).powi(2);
        }
    }
    let error = (differences / all).sqrt();
    println!("{error:.1e}");
    assert!(error < LOGITS, "{error}");
}

/// Greedy; the tokens, their text, and how many of the prompt's were known.
fn answer(engine: &Engine, model: &Arc<Model>, prompt: Prompt) -> (Vec<u32>, String, usize) {
    let request = Request {
        model: model.clone(),
        adapters: Vec::new(),
        prompt,
        negative: None,
        sampling: Sampling { temperature: 0.0, ..Sampling::default() },
        grammar: None,
        stop: Vec::new(),
        logprobs: 0,
        echo: false,
        tokens_max: 40,
        speculate: false,
        draft: None,
    };
    let (mut ids, mut all, mut reused) = (Vec::new(), String::new(), 0);
    for event in engine.generate(request) {
        match event.unwrap() {
            Event::Token { id, text, .. } => {
                ids.push(id);
                all += &text;
            }
            Event::Text { text, .. } => all += &text,
            Event::Finished { stats, .. } => reused = stats.reused,
            _ => {}
        }
    }
    (ids, all, reused)
}

/// A conversation in a context that is soon too short for it, in one engine that keeps what it read, and each turn anew in an
/// engine that knows nothing.
#[test]
fn reused_beginnings_and_dropped_turns_change_no_token_and_both_decoders_say_the_same() {
    let questions: Vec<String> = held_out().iter().map(|(chat, _)| chat.turns.last().unwrap().text.clone()).collect();
    let mut told = Vec::new();
    for candle in [false, true] {
        let model = load(LoadOptions { candle, context: Some(256), ..LoadOptions::default() });
        let (engine, mut chat) = (Engine::start().unwrap(), Chat { system: "You are kind.".into(), ..Chat::default() });
        let (mut dropped, mut gone_on, mut all) = (0, 0, Vec::new());
        for question in questions.iter().step_by(9).take(16) {
            let turn = |role: Role, text: &str| Turn { role, text: text.to_string(), ..Turn::default() };
            chat.turns.push(turn(Role::User, question));
            let fitted = fit(&model, &chat, 40).unwrap();
            let (ids, text, reused) = answer(&engine, &model, fitted.prompt.clone());
            let (anew, ..) = answer(&Engine::start().unwrap(), &model, fitted.prompt);
            assert_eq!(ids, anew, "candle: {candle}, {question}, {reused} reused, {} dropped", fitted.dropped_turns);
            dropped = fitted.dropped_turns;
            gone_on += usize::from(reused > 40);
            chat.turns.push(turn(Role::Assistant, &text));
            all.push(ids);
        }
        assert!(dropped > 4 && gone_on > 4, "{dropped} turns dropped, {gone_on} times gone on");
        told.push(all);
    }
    assert_eq!(told[0], told[1], "the decoders answer differently");
}

/// The greatest distance between embeddings of the two decoders, both of length 1: what rounding inputs to 8 bits makes of it.
const EMBEDDINGS: f64 = 0.02;

/// The mean over the positions of what the reference decoder has after its final norm, computed here; of length 1.
fn mean_of_hidden_states(decoder: &Decoder, tokens: &[u32]) -> Vec<f64> {
    let tokens = Tensor::new(tokens, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    let rows = decoder.hidden(&tokens).unwrap().squeeze(0).unwrap().to_vec2::<f32>().unwrap();
    let mean: Vec<f64> =
        (0..rows[0].len()).map(|i| rows.iter().map(|row| f64::from(row[i])).sum::<f64>() / rows.len() as f64).collect();
    let length = mean.iter().map(|value| value * value).sum::<f64>().sqrt();
    mean.iter().map(|value| value / length).collect()
}

fn distance(a: &[f32], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn embeddings_are_the_mean_of_the_hidden_states_in_both_decoders() {
    let path = demo("huacaya-demo.gguf");
    let load = |candle: bool| Model::load(&path, &LoadOptions { candle, ..LoadOptions::default() }, &mut unwatched());
    let (native, candle) = (load(false).unwrap(), load(true).unwrap());
    assert_eq!((native.backend_name(), candle.backend_name()), ("native", "candle"));
    let (config, tensors) = unpacked(&path, &mut unwatched()).unwrap();
    let decoder = Decoder::with_ops(&config, &tensors, Arc::new(Plain)).unwrap();
    let long = "羊驼住在山上。Alpacas live in the mountains. ".repeat(50);
    for text in ["你好", "What is an alpaca?", "羊驼住在山上，吃草。", &long] {
        let tokens = native.render(&Prompt::Raw(text.to_string())).unwrap().tokens;
        let expected = mean_of_hidden_states(&decoder, &tokens);
        let [ours, reference] =
            [&native, &candle].map(|model| distance(&embed(model, &tokens, &mut unwatched()).unwrap(), &expected));
        println!("{} tokens: native {ours:.5}, candle {reference:.1e}", tokens.len());
        assert!(reference < 1e-5, "{reference}");
        assert!(ours < EMBEDDINGS, "{ours}");
    }
}

#[test]
fn threads_kernels_and_the_decoder_can_be_chosen() {
    let load = |options: LoadOptions| Model::load(&demo("huacaya-demo.gguf"), &options, &mut unwatched()).unwrap();
    let model = load(LoadOptions {
        threads: Some(3),
        kernels: Some(huacaya_kernels::InstructionSet::Portable),
        kv: KvFormat::Q8_0,
        ..LoadOptions::default()
    });
    assert_eq!((model.backend_name(), model.kernels(), model.threads()), ("native", Some("portable"), Some(3)));
    assert_eq!(model.kv_format(), Some(KvFormat::Q8_0));
    let reference = load(LoadOptions { candle: true, ..LoadOptions::default() });
    assert_eq!((reference.backend_name(), reference.kernels(), reference.threads()), ("candle", None, None));
    assert!(reference.memory().kv_per_token > model.memory().kv_per_token * 3);
}
