//! Models on a graphics card as a person meets them, on this machine's first adapter: mostly Mesa's software device.

#![allow(clippy::unwrap_used)] // a test's helper may panic

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use huacaya_engine::sampling::Sampling;
use huacaya_engine::template::{Chat, Prompt, Role, Turn};
use huacaya_engine::{Engine, Event, KvFormat, LoadOptions, Model, Request, measure};
use huacaya_progress::unwatched;
use serde_json::Value;

/// Of the 720 held-out talks.
const EVERY: usize = 48;
/// Where the processor rounds activations to eight bits and the card does not, the two best tokens may change places: all
/// but so many of the answers have the same words to their end.
const OTHERS: usize = 2;

fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo").join(name)
}

fn load(device: Option<&str>) -> Arc<Model> {
    let options = LoadOptions { device: device.map(str::to_owned), ..LoadOptions::default() };
    Arc::new(Model::load(&demo("huacaya-demo.gguf"), &options, &mut unwatched()).unwrap())
}

fn answer(engine: &Engine, model: &Arc<Model>, question: &str) -> String {
    let turn = Turn { role: Role::User, text: question.to_owned(), ..Turn::default() };
    let request = Request {
        model: model.clone(),
        adapters: Vec::new(),
        prompt: Prompt::Chat(Chat { turns: vec![turn], ..Chat::default() }),
        negative: None,
        sampling: Sampling { temperature: 0.0, ..Sampling::default() },
        grammar: None,
        stop: Vec::new(),
        logprobs: 0,
        echo: false,
        tokens_max: 100,
        speculate: true,
        draft: None,
    };
    let pieces = engine.generate(request).map(|event| match event.unwrap() {
        Event::Token { text, .. } | Event::Text { text, .. } => text,
        _ => String::new(),
    });
    pieces.collect()
}

#[test]
fn the_built_in_model_gives_the_answers_that_it_gives_on_the_processor() {
    let card = load(Some("gpu:0"));
    if card.backend_name() != "gpu" {
        println!("not run: no adapter ({})", card.fell_back().unwrap_or("switched off"));
        return;
    }
    println!("on {}", card.device());
    let (engine, processor) = (Engine::start().unwrap(), load(None));
    let lines = fs::read_to_string(demo("data/heldout.jsonl")).unwrap();
    let (mut count, mut others) = (0, 0);
    for line in lines.lines().step_by(EVERY) {
        let line: Value = serde_json::from_str(line).unwrap();
        let question = line["question"].as_str().unwrap();
        let (found, expected) = (answer(&engine, &card, question), answer(&engine, &processor, question));
        assert!(!found.is_empty());
        count += 1;
        if found != expected {
            others += 1;
            println!("{question}\n  on the card:      {found}\n  on the processor: {expected}");
        }
    }
    println!("{} of {count} answers have the same words", count - others);
    assert!(others <= OTHERS, "{others} of {count} answers differ");
}

#[test]
fn a_card_that_loses_against_the_processor_is_left_to_it() {
    let card = load(Some("gpu:0"));
    if card.backend_name() != "gpu" {
        println!("not run: no adapter ({})", card.fell_back().unwrap_or("switched off"));
        return;
    }
    let race = measure::race(&card, Duration::from_millis(1), &mut unwatched()).unwrap().unwrap();
    println!("{race:?}");
    let paces = [race.card, race.processor];
    assert!(paces.iter().all(|pace| pace.prefill_tokens_per_second > 0.0 && pace.decode_tokens_per_second > 0.0));
    let mut model = Arc::into_inner(card).unwrap();
    assert!(model.chosen_card().is_none(), "it was asked for");
    assert!(model.keeps(KvFormat::F16));
    model.leave_card("the processor is faster".to_owned()).unwrap();
    assert_eq!((model.backend_name(), model.device()), ("native", "CPU"));
    assert_eq!(model.fell_back(), Some("the processor is faster"));
    assert!(measure::race(&model, Duration::from_millis(1), &mut unwatched()).unwrap().is_none());
    assert!(!answer(&Engine::start().unwrap(), &Arc::new(model), "你是谁？").is_empty());
}

#[test]
fn nobody_asks_drivers_for_a_small_model_unless_a_card_is_named() {
    if std::env::var_os(huacaya_engine::GPU_VARIABLE).is_some() {
        return println!("not run: {} is set", huacaya_engine::GPU_VARIABLE);
    }
    let model = load(Some(huacaya_engine::AUTO));
    assert_eq!((model.backend_name(), model.device(), model.fell_back()), ("native", "CPU", None));
}

#[test]
fn an_adapter_that_is_not_there_leaves_the_processor_with_the_reason() {
    if std::env::var_os(huacaya_engine::GPU_VARIABLE).is_some() {
        return println!("not run: {} is set", huacaya_engine::GPU_VARIABLE);
    }
    let model = load(Some("gpu:no such card"));
    assert_eq!((model.backend_name(), model.device()), ("native", "CPU"));
    assert!(model.fell_back().unwrap().contains("no such card"));
}
