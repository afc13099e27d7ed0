//! Tokens that are guessed ahead and steps that are shared: the answers are those of plain decoding alone.

#![allow(clippy::unwrap_used)] // a test's helper may panic

#[path = "common/tiny.rs"]
mod tiny;

use std::path::Path;
use std::sync::Arc;

use huacaya_engine::sampling::Sampling;
use huacaya_engine::template::Prompt;
use huacaya_engine::{Engine, Error, Event, Finish, LoadOptions, Model, Request, Score, Stats};
use huacaya_kernels::Format;
use huacaya_progress::unwatched;

fn model(seed: u64, format: Format) -> Arc<Model> {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("tiny.gguf");
    tiny::write(&path, seed, format);
    let options = LoadOptions { template: Some("none".to_string()), ..LoadOptions::default() };
    Arc::new(Model::load(&path, &options, &mut unwatched()).unwrap())
}

fn greedy() -> Sampling {
    Sampling { temperature: 0.0, ..Sampling::default() }
}

/// Without guesses.
fn plain(model: &Arc<Model>, text: &str, tokens_max: usize, sampling: Sampling) -> Request {
    Request {
        model: model.clone(),
        adapters: Vec::new(),
        prompt: Prompt::Raw(text.to_string()),
        negative: None,
        sampling,
        grammar: None,
        stop: Vec::new(),
        logprobs: 0,
        echo: false,
        tokens_max,
        speculate: false,
        draft: None,
    }
}

#[derive(Debug, PartialEq)]
struct Heard {
    ids: Vec<u32>,
    text: String,
    logprobs: Vec<Vec<(u32, f32)>>,
    why: Finish,
}

fn hear(stream: impl Iterator<Item = huacaya_engine::Result<Event>>) -> (Heard, Stats) {
    let (mut ids, mut said, mut thoughts) = (Vec::new(), String::new(), Vec::new());
    for event in stream {
        match event.unwrap() {
            Event::Token { id, text, logprobs, .. } => {
                ids.push(id);
                said += &text;
                thoughts.push(logprobs);
            }
            Event::Text { text, .. } => said += &text,
            Event::Finished { why, stats } => return (Heard { ids, text: said, logprobs: thoughts, why }, stats),
            Event::Reading { .. } | Event::Prompt { .. } => {}
        }
    }
    panic!("an answer without an end");
}

fn ask(engine: &Engine, request: Request) -> (Heard, Stats) {
    hear(engine.generate(request))
}

/// Requests of many kinds; a text that repeats itself and a bias towards few tokens make guesses that are often right.
fn kinds(model: &Arc<Model>) -> Vec<Request> {
    let text = "ab 你好 ab 你好，ab 你好 ab 你好，ab ab ab";
    let few = |seed: u64, temperature: f32| {
        let logit_bias = model.tokenize("ab你好，").into_iter().map(|id| (id, 6.0)).collect();
        Sampling { temperature, seed, logit_bias, ..Sampling::default() }
    };
    let mut all = vec![
        plain(model, text, 60, greedy()),
        plain(model, text, 1, greedy()),
        Request { logprobs: 2, ..plain(model, text, 30, few(1, 0.5)) },
        Request { stop: vec!["好你".to_string(), "aba".to_string()], ..plain(model, text, 60, few(2, 1.0)) },
        Request {
            negative: Some(Prompt::Raw("b，b".to_string())),
            ..plain(model, text, 30, Sampling { guidance: 1.5, ..few(3, 0.7) })
        },
    ];
    let penalized = Sampling { repetition_penalty: 1.2, frequency_penalty: 0.3, penalty_window: 8, ..few(4, 1.0) };
    all.push(plain(model, text, 40, penalized));
    all.push(plain(model, text, 40, Sampling { dry_multiplier: 0.8, ..few(5, 1.0) }));
    all.push(plain(model, text, 40, Sampling { xtc_probability: 0.5, xtc_threshold: 0.05, ..few(6, 1.0) }));
    all.extend((10..16).map(|seed| plain(model, text, 3 + 7 * (seed as usize - 10), few(seed, 0.8))));
    // The end token is likely: it ends the answer behind guesses that were right.
    let mut ending = few(20, 1.0);
    ending.logit_bias.push((2, 8.0));
    all.push(plain(model, text, 60, ending));
    all
}

#[test]
fn answers_with_guesses_are_those_of_plain_decoding() {
    let (mut drafted, mut accepted) = (0, 0);
    for (seed, format) in [(1, Format::F32), (2, Format::Q8_0), (3, Format::Q4_0)] {
        let model = model(seed, format);
        for request in kinds(&model) {
            let expected = ask(&Engine::start().unwrap(), request.clone()).0;
            let engine = Engine::start().unwrap();
            let (heard, stats) = ask(&engine, Request { speculate: true, ..request });
            assert_eq!(heard, expected);
            assert!(stats.accepted <= stats.drafted && stats.accepted <= stats.tokens, "{stats:?}");
            drafted += stats.drafted;
            accepted += stats.accepted;
        }
    }
    assert!(accepted > 0 && drafted > accepted, "{accepted} of {drafted}");
}

#[test]
fn a_session_after_guesses_is_reused_as_one_without() {
    let model = model(4, Format::Q8_0);
    for request in kinds(&model).into_iter().filter(|request| request.negative.is_none()) {
        let follow = |speculate: bool| {
            let engine = Engine::start().unwrap();
            ask(&engine, Request { speculate, ..request.clone() });
            let Prompt::Raw(text) = &request.prompt else { panic!("not raw") };
            let (said, _) = ask(&engine, Request { speculate, ..request.clone() });
            let next = plain(&model, &format!("{text}{}and on", said.text), 12, greedy());
            let (heard, stats) = ask(&engine, next);
            (said, heard, stats.reused)
        };
        assert_eq!(follow(true), follow(false));
    }
}

#[test]
fn answers_that_share_steps_are_those_of_each_alone_though_some_go() {
    let model = model(5, Format::Q4_0);
    for speculate in [false, true] {
        let requests: Vec<Request> =
            kinds(&model).into_iter().map(|request| Request { speculate, ..request }).collect();
        let alone: Vec<Heard> = requests
            .iter()
            .map(|request| ask(&Engine::start().unwrap(), Request { speculate: false, ..request.clone() }).0)
            .collect();
        let engine = Engine::start().unwrap();
        // A long prompt is read beside them, and four listeners leave on the way.
        let long = engine.generate(plain(&model, &"你好 ab，".repeat(40), 5, greedy()));
        let leaving: Vec<_> = (0..4).map(|i| engine.generate(plain(&model, "x ab", 400, sampled(i)))).collect();
        let streams: Vec<_> = requests.into_iter().map(|request| engine.generate(request)).collect();
        for (i, mut stream) in leaving.into_iter().enumerate() {
            (0..i * 5).for_each(|_| drop(stream.next()));
        }
        let heard: Vec<Heard> = streams.into_iter().map(|stream| hear(stream).0).collect();
        assert_eq!(heard, alone);
        assert_eq!(hear(long).0.ids.len(), 5);
    }
}

fn sampled(seed: u64) -> Sampling {
    Sampling { seed, ..Sampling::default() }
}

#[test]
fn a_greedy_answer_with_a_draft_model_is_that_without() {
    let (model, other) = (model(6, Format::Q8_0), model(7, Format::Q8_0));
    for (draft, always_right) in [(&other, false), (&model, true)] {
        let request = Request { stop: vec!["好你".to_string()], ..plain(&model, "ab 你好 ab", 60, greedy()) };
        let expected = ask(&Engine::start().unwrap(), request.clone()).0;
        let engine = Engine::start().unwrap();
        for _ in 0..2 {
            let asked = Request { speculate: true, draft: Some(draft.clone()), ..request.clone() };
            let (heard, stats) = ask(&engine, asked);
            assert_eq!(heard, expected);
            assert!(stats.drafted > 0 && (stats.accepted == stats.drafted) == always_right, "{stats:?}");
        }
    }
}

#[test]
fn the_same_seed_and_draft_model_give_the_same_text_whatever_else_runs() {
    let (model, draft) = (model(6, Format::Q8_0), model(7, Format::F32));
    let sampling = Sampling { top_k: 4, temperature: 2.0, ..sampled(3) };
    let request = Request { speculate: true, draft: Some(draft.clone()), ..plain(&model, "ab 你好", 50, sampling) };
    let alone = ask(&Engine::start().unwrap(), request.clone()).0;
    let engine = Engine::start().unwrap();
    let beside: Vec<_> = (0..5).map(|i| engine.generate(plain(&model, "x y z", 60, sampled(i)))).collect();
    assert_eq!(ask(&engine, request).0, alone);
    assert!(beside.into_iter().all(|stream| hear(stream).0.ids.len() == 60));
}

/// The `count` likeliest tokens after `tokens` and their probabilities, by a softmax of our own over whole forward passes.
fn likeliest(engine: &Engine, model: &Arc<Model>, tokens: &[u32], count: usize) -> Vec<(u32, f64)> {
    let rows = tokens.len() - 1..tokens.len();
    let score = Score { model: model.clone(), adapters: Vec::new(), tokens: tokens.to_vec(), rows };
    let logits = engine.score(score, &mut unwatched()).unwrap().logits.remove(0);
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    order.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]));
    let weights: Vec<f64> = order[..count].iter().map(|&id| f64::from(logits[id as usize]).exp()).collect();
    let sum: f64 = weights.iter().sum();
    order.into_iter().zip(weights).map(|(id, weight)| (id, weight / sum)).collect()
}

/// The text of three tokens from the three likeliest each time: 27 texts with known probabilities.
#[test]
fn a_drawn_answer_with_a_draft_model_has_the_models_own_distribution() {
    const ANSWERS: u64 = 1500;
    let (model, draft) = (model(8, Format::F32), model(9, Format::F32));
    let engine = Engine::start().unwrap();
    let prompt = model.render(&Prompt::Raw("ab".to_string())).unwrap().tokens;
    let mut expected = vec![(prompt.clone(), 1.0)];
    for _ in 0..3 {
        let longer = |(tokens, odds): &(Vec<u32>, f64)| {
            let next = likeliest(&engine, &model, tokens, 3);
            let longer = |(id, share): (u32, f64)| ([tokens.as_slice(), &[id]].concat(), odds * share);
            next.into_iter().map(longer).collect::<Vec<_>>()
        };
        expected = expected.iter().flat_map(longer).collect();
    }
    let mut counts = vec![0u64; expected.len()];
    let (mut drafted, mut accepted) = (0, 0);
    for seed in 0..ANSWERS {
        let sampling = Sampling { top_k: 3, ..sampled(seed) };
        let asked = Request { speculate: true, draft: Some(draft.clone()), ..plain(&model, "ab", 3, sampling) };
        let (heard, stats) = ask(&engine, asked);
        let text = [prompt.as_slice(), &heard.ids].concat();
        counts[expected.iter().position(|(tokens, _)| *tokens == text).unwrap()] += 1;
        drafted += stats.drafted;
        accepted += stats.accepted;
    }
    // Rare texts together, so that the approximation by chi-square holds.
    let all = ANSWERS as f64;
    let (mut found, mut freedom, mut rare) = (0.0, -1.0, (0.0, 0.0));
    for (&count, (_, odds)) in counts.iter().zip(&expected) {
        if odds * all < 8.0 {
            rare = (rare.0 + count as f64, rare.1 + odds * all);
        } else {
            found += (count as f64 - odds * all).powi(2) / (odds * all);
            freedom += 1.0;
        }
    }
    if rare.1 > 0.0 {
        found += (rare.0 - rare.1).powi(2) / rare.1;
        freedom += 1.0;
    }
    // Exceeded once in some ten million times: Wilson and Hilferty 1931, at 5.2 standard deviations.
    let ninth = 2.0 / (9.0 * freedom);
    let bound: f64 = freedom * (1.0 - ninth + 5.2 * f64::sqrt(ninth)).powi(3);
    assert!(found < bound, "{found} of at most {bound}: {counts:?}");
    assert!(drafted > accepted, "{accepted} of {drafted}: nothing was replaced");
}

#[test]
fn a_draft_model_with_other_tokens_is_refused_and_harms_nobody() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo");
    let demo = std::fs::read_dir(demo).unwrap().map(|entry| entry.unwrap().path());
    let path = demo.into_iter().find(|path| path.extension().is_some_and(|end| end == "gguf")).unwrap();
    let other = Arc::new(Model::load(&path, &LoadOptions::default(), &mut unwatched()).unwrap());
    let (model, engine) = (model(1, Format::F32), Engine::start().unwrap());
    let request = Request { speculate: true, draft: Some(other), ..plain(&model, "ab", 5, greedy()) };
    let error = engine.generate(request.clone()).last().unwrap().unwrap_err();
    assert!(matches!(&error, Error::Draft { what } if what.contains("tokens")), "{error}");
    // Where nothing is to be guessed, it is not looked at.
    assert_eq!(ask(&engine, Request { speculate: false, ..request }).0.ids.len(), 5);
}
