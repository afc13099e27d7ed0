//! The engine as its callers see it: answers, their reuse of earlier work, their ends, and their failures.

#![allow(clippy::unwrap_used)] // a test's helper may panic

#[path = "common/tiny.rs"]
mod tiny;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use huacaya_engine::sampling::Sampling;
use huacaya_engine::template::{Chat, Prompt, Role, Turn};
use huacaya_engine::{
    Adapter, Engine, Error, Event, Extension, Finish, Kind, LoadOptions, Memory, Model, Request, Score, Stats, fit,
};
use huacaya_kernels::Format;
use huacaya_progress::unwatched;
use huacaya_weights::convert;
use huacaya_weights::quantize::{Scheme, Wanted};
use tempfile::TempDir;

struct Fixture {
    _home: TempDir,
    path: PathBuf,
}

fn fixture(format: Format) -> Fixture {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("tiny.gguf");
    tiny::write(&path, 7, format);
    Fixture { _home: home, path }
}

fn load(fixture: &Fixture, options: &LoadOptions) -> Arc<Model> {
    Arc::new(Model::load(&fixture.path, options, &mut unwatched()).unwrap())
}

fn base() -> LoadOptions {
    LoadOptions { template: Some("none".to_string()), ..LoadOptions::default() }
}

fn chatting() -> LoadOptions {
    LoadOptions { template: Some("alpaca-2".to_string()), ..LoadOptions::default() }
}

fn request(model: &Arc<Model>, text: &str, tokens_max: usize) -> Request {
    Request {
        model: model.clone(),
        adapters: Vec::new(),
        prompt: Prompt::Raw(text.to_string()),
        negative: None,
        sampling: Sampling { temperature: 0.0, ..Sampling::default() },
        grammar: None,
        stop: Vec::new(),
        logprobs: 0,
        echo: false,
        tokens_max,
        speculate: true,
        draft: None,
    }
}

#[derive(Debug, Default)]
struct Heard {
    ids: Vec<u32>,
    text: String,
    logprobs: Vec<Vec<(u32, f32)>>,
    readings: Vec<(usize, usize)>,
    prompt: Vec<(u32, Vec<(u32, f32)>)>,
    end: Option<(Finish, Stats)>,
}

fn hear(engine: &Engine, request: Request) -> Heard {
    let mut heard = Heard::default();
    for event in engine.generate(request) {
        assert!(heard.end.is_none(), "an event after the last");
        match event.unwrap() {
            Event::Reading { done, total } => heard.readings.push((done, total)),
            Event::Prompt { tokens } => heard.prompt.extend(tokens),
            Event::Token { id, text, logprobs, .. } => {
                heard.ids.push(id);
                heard.text += &text;
                heard.logprobs.push(logprobs);
            }
            Event::Text { text, .. } => heard.text += &text,
            Event::Finished { why, stats } => heard.end = Some((why, stats)),
        }
    }
    heard
}

fn error(engine: &Engine, request: Request) -> Error {
    let mut events: Vec<_> = engine.generate(request).collect();
    events.pop().unwrap().unwrap_err()
}

/// By whole forward passes over everything so far, with no cache.
fn greedy(engine: &Engine, model: &Arc<Model>, text: &str, count: usize) -> Vec<u32> {
    let mut tokens = model.render(&Prompt::Raw(text.to_string())).unwrap().tokens;
    let start = tokens.len();
    for _ in 0..count {
        let rows = tokens.len() - 1..tokens.len();
        let score = Score { model: model.clone(), adapters: Vec::new(), tokens: tokens.clone(), rows };
        let logits = engine.score(score, &mut unwatched()).unwrap().logits.remove(0);
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        tokens.push(best as u32);
    }
    tokens.split_off(start)
}

#[test]
fn greedy_answers_are_those_of_whole_forward_passes() {
    let (engine, fixture) = (Engine::start().unwrap(), fixture(Format::F32));
    let model = load(&fixture, &base());
    let heard = hear(&engine, request(&model, "你好, tell me more ab", 30));
    assert_eq!(heard.ids, greedy(&engine, &model, "你好, tell me more ab", 30));
    let (why, stats) = heard.end.unwrap();
    assert_eq!((why, stats.tokens, stats.reused), (Finish::Length, 30, 0));
    let read = stats.prompt_tokens;
    assert_eq!((heard.readings[0], *heard.readings.last().unwrap()), ((0, read), (read, read)));
}

#[test]
fn a_shared_beginning_is_not_evaluated_again_and_changes_nothing() {
    let fixture = fixture(Format::F32);
    let model = load(&fixture, &base());
    let (first, second) = ("ab 你好 and then some", "ab 你好 and then some more, 你好");
    let engine = Engine::start().unwrap();
    let fresh = hear(&Engine::start().unwrap(), request(&model, second, 20));
    let before = hear(&engine, request(&model, first, 20));
    let regenerated = hear(&engine, request(&model, first, 20));
    let edited = hear(&engine, request(&model, second, 20));
    let reused = |heard: &Heard| heard.end.unwrap().1.reused;
    let prompt = before.end.unwrap().1.prompt_tokens;
    assert_eq!((reused(&before), reused(&regenerated)), (0, prompt - 1));
    assert!(reused(&edited) >= prompt - 1, "{}", reused(&edited));
    assert_eq!((before.ids, fresh.ids), (regenerated.ids, edited.ids));
}

#[test]
fn the_next_turn_of_a_chat_reuses_the_history_and_the_answer() {
    let (engine, fixture) = (Engine::start().unwrap(), fixture(Format::Q8_0));
    let model = load(&fixture, &chatting());
    assert_eq!(model.description().kind, Kind::Chat);
    let turn = |role: Role, text: &str| Turn { role, text: text.to_string(), ..Turn::default() };
    let mut chat = Chat { system: "s".to_string(), turns: vec![turn(Role::User, "你好")], ..Chat::default() };
    let ask = |chat: &Chat| hear(&engine, Request { prompt: Prompt::Chat(chat.clone()), ..request(&model, "", 24) });
    let first = ask(&chat);
    let prompt = first.end.unwrap().1.prompt_tokens;
    chat.turns.push(turn(Role::Assistant, &first.text));
    chat.turns.push(turn(Role::User, "ab"));
    let second = ask(&chat).end.unwrap().1;
    assert!(
        second.reused >= prompt,
        "{} of {} reused, the first prompt had {prompt}",
        second.reused,
        second.prompt_tokens
    );
}

/// By a softmax of our own over a forward pass of its own.
#[test]
fn an_echo_tells_how_likely_each_token_of_the_prompt_was() {
    let (engine, fixture) = (Engine::start().unwrap(), fixture(Format::Q8_0));
    let model = load(&fixture, &base());
    let text = "ab 你好 and then some more ".repeat(9);
    let plain = hear(&engine, Request { tokens_max: 3, ..request(&model, &text, 3) });
    // The session of the answer before is no help: its logits are gone.
    let asked = Request { echo: true, logprobs: 2, ..request(&model, &text, 3) };
    let heard = hear(&engine, asked.clone());
    assert_eq!((&heard.ids, heard.end.unwrap().1.reused), (&plain.ids, 0));
    let tokens = model.render(&Prompt::Raw(text.clone())).unwrap().tokens;
    assert!(tokens.len() > 130, "several steps: {}", tokens.len());
    assert_eq!(heard.prompt.iter().map(|(id, _)| *id).collect::<Vec<_>>(), tokens);
    let rows = 0..tokens.len() - 1;
    let score = Score { model: model.clone(), adapters: Vec::new(), tokens: tokens.clone(), rows };
    let logits = engine.score(score, &mut unwatched()).unwrap().logits;
    assert_eq!(heard.prompt[0].1, []);
    for (row, (id, logprobs)) in logits.iter().zip(&heard.prompt[1..]) {
        let total = row.iter().map(|&logit| f64::from(logit).exp()).sum::<f64>().ln();
        let best = row.iter().fold(f32::NEG_INFINITY, |best, &logit| best.max(logit));
        assert_eq!((logprobs.len(), logprobs[0].0), (3, *id));
        assert!((f64::from(logprobs[0].1) - (f64::from(row[*id as usize]) - total)).abs() < 1e-4);
        assert!((f64::from(logprobs[1].1) - (f64::from(best) - total)).abs() < 1e-4);
    }
    // Nothing but the prompt, nothing but its own tokens; and beside guidance.
    let only = hear(&engine, Request { logprobs: 0, tokens_max: 0, ..asked.clone() });
    assert!(only.ids.is_empty() && only.prompt[1..].iter().all(|(_, logprobs)| logprobs.len() == 1));
    let sampling = Sampling { temperature: 0.0, guidance: 1.5, ..Sampling::default() };
    let negative = Some(Prompt::Raw("b".repeat(100)));
    assert_eq!(hear(&engine, Request { sampling, negative, ..asked }).prompt, heard.prompt);
}

#[test]
fn the_same_seed_gives_the_same_text_and_another_another() {
    let fixture = fixture(Format::F32);
    let model = load(&fixture, &base());
    let ask = |seed| {
        let sampling = Sampling { temperature: 1.0, seed, ..Sampling::default() };
        hear(&Engine::start().unwrap(), Request { sampling, ..request(&model, "ab", 30) }).ids
    };
    assert_eq!(ask(1), ask(1));
    assert_ne!(ask(1), ask(2));
}

/// What was drawn at a position does not depend on what is answered beside it.
#[test]
fn several_requests_are_answered_in_turn_and_do_not_mix() {
    let (engine, fixture) = (Engine::start().unwrap(), fixture(Format::F32));
    let model = load(&fixture, &base());
    let texts = ["你好", "a b a b", "x"];
    let alone: Vec<_> =
        texts.iter().map(|text| hear(&Engine::start().unwrap(), request(&model, text, 200)).ids).collect();
    let mut streams: Vec<_> = texts.iter().map(|text| engine.generate(request(&model, text, 200))).collect();
    let mut ids = vec![Vec::new(); 3];
    let mut order = Vec::new();
    while ids.iter().any(|ids: &Vec<u32>| ids.len() < 200) {
        for (i, stream) in streams.iter_mut().enumerate() {
            if let Some(Event::Token { id, .. }) = stream.next().map(|event| event.unwrap()) {
                ids[i].push(id);
                order.push(i);
            }
        }
    }
    assert_eq!(ids, alone);
    assert!(order[..30].contains(&2), "the third waited for the first to end");
}

/// Each would fill the context alone, and there are keys and values for little more than one: they take turns, and some
/// have to be read again.
#[test]
fn requests_that_do_not_fit_the_memory_together_get_the_same_answers() {
    let fixture = fixture(Format::F32);
    let model = load(&fixture, &LoadOptions { positions: Some(1_024), ..base() });
    assert_eq!(model.positions(), 1_024);
    let texts: Vec<String> = (0..6).map(|number| format!("{number}") + &"ab 你好 ".repeat(10 + 7 * number)).collect();
    let ask = |text: &String| {
        let request = request(&model, text, 1_000);
        Request { sampling: Sampling { temperature: 0.8, seed: 3, ..Sampling::default() }, ..request }
    };
    let alone: Vec<_> = texts.iter().map(|text| hear(&Engine::start().unwrap(), ask(text))).collect();
    let engine = Engine::start().unwrap();
    let together: Vec<_> = std::thread::scope(|scope| {
        let asked = texts.iter().map(|text| scope.spawn(|| hear(&engine, ask(text)))).collect::<Vec<_>>();
        asked.into_iter().map(|heard| heard.join().unwrap()).collect()
    });
    for (alone, together) in alone.iter().zip(&together) {
        let ((why, stats), (end, _)) = (together.end.unwrap(), alone.end.unwrap());
        assert_eq!((&together.ids, why), (&alone.ids, end));
        assert_eq!(stats.prompt_tokens + stats.tokens, model.context());
    }
}

#[test]
fn guidance_moves_away_from_the_negative_prompt_and_one_changes_nothing() {
    let (engine, fixture) = (Engine::start().unwrap(), fixture(Format::F32));
    let model = load(&fixture, &base());
    let ask = |guidance: f32, negative: &str| {
        let sampling = Sampling { temperature: 0.0, guidance, ..Sampling::default() };
        let negative = Some(Prompt::Raw(negative.to_string()));
        hear(&engine, Request { sampling, negative, ..request(&model, "ab 你", 25) }).ids
    };
    let plain = hear(&engine, request(&model, "ab 你", 25)).ids;
    assert_eq!(ask(1.0, "b"), plain);
    // Against itself nothing is left to move away from.
    assert_eq!(ask(3.0, "ab 你"), plain);
    assert_ne!(ask(3.0, "b"), plain);
}

#[test]
fn stop_texts_logit_bias_and_log_probabilities_are_heeded() {
    let (engine, fixture) = (Engine::start().unwrap(), fixture(Format::F32));
    let model = load(&fixture, &base());
    let piece = *model.tokenize("你好").last().unwrap();
    let sampling = Sampling { temperature: 0.0, logit_bias: vec![(piece, 900.0)], ..Sampling::default() };
    let biased = Request { sampling, logprobs: 3, ..request(&model, "ab", 5) };
    let heard = hear(&engine, biased.clone());
    assert_eq!((heard.ids, heard.text.as_str()), (vec![piece; 5], "你好你好你好你好你好"));
    for logprobs in heard.logprobs {
        assert_eq!(logprobs[0].0, piece);
        assert!(logprobs.iter().all(|(_, p)| *p <= 0.0) && logprobs[1].1 >= logprobs[2].1);
    }
    let stopped = hear(&engine, Request { stop: vec!["好你".to_string()], ..biased });
    assert_eq!((stopped.text.as_str(), stopped.end.unwrap().0), ("你", Finish::StopText));
}

#[test]
fn the_end_token_ends_and_the_context_ends() {
    let (engine, fixture) = (Engine::start().unwrap(), fixture(Format::F32));
    let model = load(&fixture, &LoadOptions { context: Some(40), ..base() });
    let heard = hear(&engine, request(&model, "ab", 1000));
    let (why, stats) = heard.end.unwrap();
    assert_eq!((why, stats.prompt_tokens + stats.tokens), (Finish::Context, 40));
    let sampling = Sampling { temperature: 0.0, logit_bias: vec![(2, 900.0)], ..Sampling::default() };
    let heard = hear(&engine, Request { sampling, ..request(&model, "ab", 10) });
    assert_eq!((heard.ids.len(), heard.text.as_str(), heard.end.unwrap().0), (0, "", Finish::End));
    let heard = hear(&engine, request(&model, "ab", 0));
    assert_eq!((heard.ids.len(), heard.end.unwrap().0), (0, Finish::Length));
}

#[test]
fn what_cannot_be_answered_says_why() {
    let (engine, fixture) = (Engine::start().unwrap(), fixture(Format::F32));
    let model = load(&fixture, &LoadOptions { context: Some(40), ..base() });
    let long = "x".repeat(100);
    let tokens = model.render(&Prompt::Raw(long.clone())).unwrap().tokens.len();
    let found = error(&engine, request(&model, &long, 1));
    assert!(matches!(found, Error::PromptTooLong { over, context: 40 } if over == tokens - 39), "{found}");
    let sampling = Sampling { temperature: f32::NAN, ..Sampling::default() };
    assert!(matches!(error(&engine, Request { sampling, ..request(&model, "a", 1) }), Error::Sampling(_)));
    let chat = Prompt::Chat(Chat::default());
    assert!(matches!(error(&engine, Request { prompt: chat, ..request(&model, "a", 1) }), Error::Template(_)));
    // None of it did the engine any harm.
    assert_eq!(hear(&engine, request(&model, "a", 3)).ids.len(), 3);
}

#[test]
fn dropping_the_stream_stops_reading_and_writing() {
    let (engine, fixture) = (Engine::start().unwrap(), fixture(Format::F32));
    let model = load(&fixture, &LoadOptions { context: Some(60_000), extension: Extension::Off, ..base() });
    // Minutes of work each, if they were done.
    for text in ["x".repeat(50_000), "x".to_string()] {
        let mut stream = engine.generate(request(&model, &text, 50_000));
        stream.next().unwrap().unwrap();
        drop(stream);
    }
    let asked = Instant::now();
    assert_eq!(hear(&engine, request(&model, "ab", 3)).ids.len(), 3);
    assert!(asked.elapsed() < Duration::from_secs(5), "waited {:?}", asked.elapsed());
}

#[test]
fn loading_tells_how_far_it_is_and_can_be_stopped() {
    let fixture = fixture(Format::F32);
    let mut seen = Vec::new();
    let mut watch = |progress: huacaya_progress::Progress| {
        seen.push(progress);
        ControlFlow::Continue(())
    };
    Model::load(&fixture.path, &base(), &mut watch).unwrap();
    assert!(seen.windows(2).all(|pair| pair[0].done <= pair[1].done && pair[0].total == pair[1].total));
    assert_eq!(seen.last().unwrap().done, seen.last().unwrap().total);
    let mut calls = 0;
    let mut watch = |_| {
        calls += 1;
        if calls == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    assert!(matches!(Model::load(&fixture.path, &base(), &mut watch), Err(Error::Stopped)));
    assert_eq!(calls, 3);
}

#[test]
fn a_model_that_goes_takes_its_sessions_along() {
    let (engine, fixture) = (Engine::start().unwrap(), fixture(Format::F32));
    let model = load(&fixture, &base());
    hear(&engine, request(&model, "ab", 3));
    drop(model);
    // A reloaded model is another one: nothing of the old is reused.
    let model = load(&fixture, &base());
    assert_eq!(hear(&engine, request(&model, "ab", 3)).end.unwrap().1.reused, 0);
}

#[test]
fn descriptions_and_estimates_need_no_weights_and_are_right() {
    let fixture = fixture(Format::F32);
    let found = Model::describe(&fixture.path, Some("none")).unwrap();
    let values = 2 * 268 * 64 + 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64 + 2 * 64) + 64;
    assert_eq!((found.name.as_str(), found.kind, found.architecture.as_str()), ("Tiny", Kind::Base, "llama"));
    assert_eq!((found.quantization.as_str(), found.parameter_count, found.context_tokens), ("F32", values, 512));
    assert_eq!(found.file_bytes, std::fs::metadata(&fixture.path).unwrap().len());
    let memory = Model::estimate(&fixture.path, &base()).unwrap();
    // Two layers, two of 32 values each for keys and values, 2 bytes.
    assert_eq!((memory.weights, memory.kv_per_token, memory.context), (values * 4, 2 * 2 * 32 * 2, 512));
    assert_eq!(memory.kv(), 512 * memory.kv_per_token);
    let small = memory.at(64);
    assert_eq!((small.weights, small.kv()), (memory.weights, 64 * memory.kv_per_token));
    assert!(small.scratch < memory.scratch && small.total() < memory.total());
    // A context beyond what the model was made for keeps keys as they were before they were turned, and only so.
    let longer = Model::estimate(&fixture.path, &LoadOptions { context: Some(1024), ..base() }).unwrap();
    assert_eq!(longer.kv_per_token, memory.kv_per_token);
}

#[test]
fn an_unavailable_device_falls_back_with_its_reason() {
    let fixture = fixture(Format::F32);
    let model = load(&fixture, &LoadOptions { device: Some("abacus".to_string()), ..base() });
    assert_eq!(model.device(), "CPU");
    assert!(model.fell_back().unwrap().contains("abacus"));
}

#[test]
fn a_chat_that_is_too_long_loses_its_oldest_turns() {
    let fixture = fixture(Format::F32);
    let model = load(&fixture, &chatting());
    let turn = |i: usize| Turn {
        role: if i.is_multiple_of(2) { Role::User } else { Role::Assistant },
        text: format!("turn {i} {}", "ab".repeat(15)),
        ..Turn::default()
    };
    let chat = Chat { system: "sys".to_string(), turns: (0..21).map(turn).collect(), ..Chat::default() };
    let fitted = fit(&model, &chat, 100).unwrap();
    assert!(fitted.dropped_turns > 0 && fitted.first == 2 * fitted.dropped_turns);
    assert!(fitted.tokens + 100 <= 512 && fitted.rendered.text.contains("sys"));
    let one_more = Chat { turns: chat.turns[fitted.first - 2..].to_vec(), ..chat };
    assert!(model.render(&Prompt::Chat(one_more)).unwrap().tokens.len() + 100 > 512);
}

#[test]
fn what_is_expected_of_a_shape_is_what_a_file_of_it_needs() {
    for format in [Format::F32, Format::Q8_0] {
        let fixture = fixture(format);
        let estimated = Model::estimate(&fixture.path, &LoadOptions::default()).unwrap();
        let model = load(&fixture, &LoadOptions::default());
        let expected = Memory::expected(model.config(), estimated.context, |_| format).unwrap();
        assert_eq!(expected, estimated, "{format}");
    }
}

/// A base in F32, two adapters for it, and what PEFT's arithmetic makes of them, by `huacaya_weights` (whose tests hold it
/// against PEFT); the tokenizer is another case's, for as many words.
fn merging(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../weights/tests/golden/merge").join(path)
}

fn base_folder(home: &Path) -> PathBuf {
    let folder = home.join("base");
    fs::create_dir(&folder).unwrap();
    for file in ["two/base/config.json", "two/base/model.safetensors", "plain/base/tokenizer.model"] {
        fs::copy(merging(file), folder.join(Path::new(file).file_name().unwrap())).unwrap();
    }
    folder
}

fn opened(path: &Path) -> Arc<Model> {
    Arc::new(Model::load(path, &base(), &mut unwatched()).unwrap())
}

fn converted(folder: &Path, to: &Path) {
    let wanted = Wanted { scheme: Scheme::F32, by_hand: Vec::new(), weighted: false };
    let options = convert::Options { wanted, adapters: Vec::new(), importance: None, threads: 1 };
    convert::convert(folder, to, &options, &mut unwatched()).unwrap();
}

/// Every word's log-probability, by id, for each of some tokens.
fn heard_whole(model: &Arc<Model>, adapters: &[(&Arc<Adapter>, f32)]) -> (Vec<u32>, Vec<f32>) {
    let adapters = adapters.iter().map(|&(adapter, strength)| (adapter.clone(), strength)).collect();
    let vocabulary = model.config().vocabulary;
    let asked = Request { adapters, logprobs: vocabulary, ..request(model, "ab", 6) };
    let mut heard = hear(&Engine::start().unwrap(), asked);
    heard.logprobs.iter_mut().for_each(|row| {
        row.sort_by_key(|&(id, _)| id);
        row.dedup();
        assert_eq!(row.len(), vocabulary);
    });
    (heard.ids, heard.logprobs.concat().into_iter().map(|(_, value)| value).collect())
}

fn most_apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

/// Of folders as of GGUF files, where the rows of queries and keys are in another order.
#[test]
fn an_adapter_at_run_time_gives_what_merged_weights_give() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let folder = base_folder(home.path());
    converted(&folder, &at("base.gguf"));
    let (first, second) = (merging("two/first"), merging("two/second"));
    let cases = [vec![(first.clone(), 1.0)], vec![(first, 1.0), (second, 0.5)]];
    for (i, paths) in cases.iter().enumerate() {
        let merged = at(&format!("merged{i}"));
        huacaya_weights::merge(&folder, paths, &merged, &mut unwatched()).unwrap();
        let merged_file = at(&format!("merged{i}.gguf"));
        converted(&merged, &merged_file);
        for (path, merged) in [(&folder, &merged), (&at("base.gguf"), &merged_file)] {
            let (ids, expected) = heard_whole(&opened(merged), &[]);
            let model = opened(path);
            let loaded =
                paths.iter().map(|(path, strength)| (Arc::new(Adapter::load(path, &model).unwrap()), *strength));
            let loaded: Vec<_> = loaded.collect();
            let adapters: Vec<_> = loaded.iter().map(|(adapter, strength)| (adapter, *strength)).collect();
            let (found_ids, found) = heard_whole(&model, &adapters);
            let apart = most_apart(&found, &expected);
            println!("{} adapters, {}: {apart:.1e}", paths.len(), path.display());
            assert_eq!(found_ids, ids);
            assert!(apart < 1e-4, "{}: {apart}", path.display());
            assert!(most_apart(&heard_whole(&model, &[]).1, &expected) > 1e-2, "it changes something");
            let Some(card) = on_card(path) else { continue };
            let loaded: Vec<_> = paths.iter().map(|(path, _)| Arc::new(Adapter::load(path, &card).unwrap())).collect();
            let adapters: Vec<_> =
                loaded.iter().zip(paths).map(|(adapter, (_, strength))| (adapter, *strength)).collect();
            let (found_ids, found) = heard_whole(&card, &adapters);
            let apart = most_apart(&found, &expected);
            println!("on {}: {apart:.1e}", card.device());
            assert_eq!(found_ids, ids);
            assert!(apart < 1e-3, "{}: {apart}", path.display());
        }
    }
}

/// The model on this machine's first graphics adapter; `None` where it has none.
fn on_card(path: &Path) -> Option<Arc<Model>> {
    let options = LoadOptions { device: Some("gpu:0".to_string()), ..base() };
    let model = Model::load(path, &options, &mut unwatched()).unwrap();
    if let Some(reason) = model.fell_back() {
        println!("not run on a card: {reason}");
        return None;
    }
    (model.backend_name() == "gpu").then(|| Arc::new(model))
}

#[test]
fn scores_beside_an_adapter_are_what_an_answer_beside_it_is_drawn_from() {
    let home = tempfile::tempdir().unwrap();
    let model = opened(&base_folder(home.path()));
    let adapter = Arc::new(Adapter::load(&merging("two/first"), &model).unwrap());
    let tokens = model.render(&Prompt::Raw("ab".to_string())).unwrap().tokens;
    let rows = tokens.len() - 1..tokens.len();
    let score = Score { model: model.clone(), adapters: vec![(adapter.clone(), 0.5)], tokens, rows };
    let logits = Engine::start().unwrap().score(score, &mut unwatched()).unwrap().logits.remove(0);
    let total = logits.iter().map(|logit| f64::from(*logit).exp()).sum::<f64>().ln() as f32;
    let scored: Vec<f32> = logits.iter().map(|logit| logit - total).collect();
    let answered = heard_whole(&model, &[(&adapter, 0.5)]).1;
    assert!(most_apart(&scored, &answered[..scored.len()]) < 1e-4);
    assert!(most_apart(&scored, &heard_whole(&model, &[]).1[..scored.len()]) > 1e-3, "it changes something");
}

#[test]
fn an_adapter_of_strength_0_is_none_and_only_equal_strengths_share_what_was_evaluated() {
    let home = tempfile::tempdir().unwrap();
    let model = opened(&base_folder(home.path()));
    let adapter = Arc::new(Adapter::load(&merging("two/first"), &model).unwrap());
    assert_eq!(heard_whole(&model, &[(&adapter, 0.0)]), heard_whole(&model, &[]), "bit for bit");
    let engine = Engine::start().unwrap();
    let ask = |strengths: &[f32]| {
        let adapters = strengths.iter().map(|&strength| (adapter.clone(), strength)).collect();
        let heard = hear(&engine, Request { adapters, logprobs: 1, ..request(&model, "ab ab ab", 6) });
        (heard.end.unwrap().1.reused, heard.logprobs)
    };
    let (none, full, half) = (ask(&[]), ask(&[1.0]), ask(&[0.5]));
    assert_eq!((none.0, full.0, half.0), (0, 0, 0), "each is evaluated anew");
    assert!(none.1 != full.1 && full.1 != half.1);
    for (strengths, before) in [(&[][..], none), (&[0.0], ask(&[])), (&[1.0], full), (&[0.5], half)] {
        let again = ask(strengths);
        assert!(again.0 > 0, "{strengths:?}");
        assert_eq!(again.1[0][0].0, before.1[0][0].0);
    }
}

#[test]
fn adapters_that_do_not_fit_the_model_are_refused_with_the_reason() {
    let home = tempfile::tempdir().unwrap();
    let model = opened(&base_folder(home.path()));
    let refused = |path: PathBuf, model: &Model| Adapter::load(&path, model).err().unwrap().to_string();
    for case in ["vocabulary/adapter", "embeddings/adapter"] {
        let reason = refused(merging(case), &model);
        assert!(reason.contains("merge it into the model instead"), "{reason}");
    }
    let fixture = fixture(Format::F32);
    let other = load(&fixture, &base());
    let reason = refused(merging("two/first"), &other);
    assert!(reason.contains("where the model has"), "{reason}");
    let reason = refused(merging("turned/adapter"), &model);
    assert!(reason.contains("cannot be used with this model"), "{reason}");
    let adapter = Arc::new(Adapter::load(&merging("two/first"), &model).unwrap());
    let asked = Request { adapters: vec![(adapter, 1.0)], ..request(&other, "ab", 1) };
    let error = error(&Engine::start().unwrap(), asked);
    assert!(matches!(&error, Error::Adapter { what, .. } if what.contains("another model")), "{error}");
}
