//! LoRA training over the demo model, and the adapter of the fixtures: what it knows that the base does not.

#![allow(clippy::unwrap_used)] // a test may panic

#[path = "../../weights/tests/common/demo_folder.rs"]
mod demo_folder;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use huacaya_engine::template::{Chat, Prompt, Role, Template, Turn};
use huacaya_engine::tokenizer::Tokenizer;
use huacaya_engine::{Adapter, Engine, LoadOptions, Model, Score};
use huacaya_progress::unwatched;
use huacaya_train::data::{self, Dialogue, Example};
use huacaya_train::evaluation::{self, Question, Report};
use huacaya_train::lora::{Base, Recipe, Run, Settings};
use huacaya_train::recipe::{Batch, Course, LossOn, Optimizer, Stage};
use huacaya_train::run::loss;
use huacaya_weights::convert::{Options, convert};
use huacaya_weights::merge;
use huacaya_weights::quantize::{Scheme, Wanted};
use serde_json::Value;

/// What the issue allows the fixture.
const ADAPTER_BYTES_MAX: u64 = 3 << 20;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn demo() -> PathBuf {
    root("assets/demo/huacaya-demo.gguf")
}

fn fixture(path: &str) -> PathBuf {
    root("tests/fixtures/lora").join(path)
}

fn opened(path: &Path) -> Arc<Model> {
    Arc::new(Model::load(path, &LoadOptions::default(), &mut unwatched()).unwrap())
}

/// On the reference decoder, which rounds neither keys nor activations, as the trainer's.
fn exact(path: &Path) -> Arc<Model> {
    let options = LoadOptions { candle: true, ..LoadOptions::default() };
    Arc::new(Model::load(path, &options, &mut unwatched()).unwrap())
}

fn converted(folder: &Path, adapters: &[&Path], scheme: Scheme, to: &Path) {
    let wanted = Wanted { scheme, by_hand: Vec::new(), weighted: false };
    let adapters = adapters.iter().map(|path| (path.to_path_buf(), 1.0)).collect();
    convert(folder, to, &Options { wanted, adapters, importance: None, threads: 2 }, &mut unwatched()).unwrap();
}

/// Questions of the fixture in one of its categories.
fn questions(category: &str) -> Vec<Question> {
    let all = evaluation::read(&fixture("data/heldout.jsonl")).unwrap();
    all.into_iter().filter(|question| question.category == category).collect()
}

fn prompt(model: &Model, question: &str) -> Vec<u32> {
    let turn = Turn { role: Role::User, text: question.to_owned(), ..Turn::default() };
    let chat = Chat { system: evaluation::SYSTEM.to_owned(), turns: vec![turn], ..Chat::default() };
    model.render(&Prompt::Chat(chat)).unwrap().tokens
}

/// Logits of every position.
fn logits(model: &Arc<Model>, adapters: &[Arc<Adapter>], tokens: &[u32]) -> Vec<f32> {
    let adapters = adapters.iter().map(|adapter| (Arc::clone(adapter), 1.0)).collect();
    let score = Score { model: Arc::clone(model), adapters, tokens: tokens.to_vec(), rows: 0..tokens.len() };
    Engine::start().unwrap().score(score, &mut unwatched()).unwrap().logits.concat()
}

fn most_apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

/// A rank-4 adapter, 20 steps over the first of the fixture's dialogues.
fn short_run(work: &Path, dialogues: usize) -> (Run, Vec<Example>) {
    let model = opened(&demo());
    let mut examples = data::read_for(&fixture("data/train.jsonl"), &model).unwrap();
    examples.truncate(dialogues);
    let stage = Stage {
        name: "short".to_owned(),
        data: PathBuf::new(),
        loss: LossOn::Reply,
        steps: 20,
        cosine_steps: None,
        warmup: 2,
        rate: 3e-3,
        rate_end: 1e-3,
    };
    let course = Course {
        seed: 9,
        work: work.to_path_buf(),
        batch: Batch { tokens: 256, shards: 2 },
        optimizer: Optimizer { beta1: 0.9, beta2: 0.98, eps: 1e-8, decay: 0.0, clip: 1.0 },
        stages: vec![stage],
        checkpoint_minutes: 60,
    };
    let targets = ["q_proj", "k_proj", "v_proj", "down_proj"].map(str::to_owned).to_vec();
    let settings = Settings { rank: 4, alpha: 8, targets, modules_to_save: Vec::new() };
    let base = Base::open(&demo(), &mut unwatched()).unwrap();
    (Run::new(&settings, base, course, vec![Arc::new(examples.clone())]).unwrap(), examples)
}

/// Mean loss over the replies of all the examples.
fn mean_loss(run: &mut Run, examples: &[Example]) -> f32 {
    let all: Vec<usize> = (0..examples.len()).collect();
    let batch = data::batch(examples, &all, LossOn::Reply);
    let weight = 1.0 / batch.targets.len() as f32;
    loss(run.run().decoder(), &batch, weight).unwrap().to_scalar().unwrap()
}

#[test]
fn twenty_steps_of_rank_4_lower_the_loss_and_what_is_saved_is_what_was_trained() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let (mut run, examples) = short_run(&at("work"), 48);
    let before = mean_loss(&mut run, &examples);
    run.run().train(&mut unwatched()).unwrap();
    let after = mean_loss(&mut run, &examples);
    println!("20 steps of rank 4: loss {before:.3} -> {after:.3}");
    assert!(after < 0.75 * before, "{before} -> {after}");

    // The same at run time and merged, with and without llama.cpp's order of rows, as the trainer's own decoder has it.
    run.save(&at("adapter")).unwrap();
    demo_folder::write(&at("base"));
    converted(&at("base"), &[], Scheme::F32, &at("base.gguf"));
    merge(&at("base"), &[(at("adapter"), 1.0)], &at("merged"), &mut unwatched()).unwrap();
    converted(&at("merged"), &[], Scheme::F32, &at("merged.gguf"));
    let base = exact(&at("base"));
    let tokens = prompt(&base, "阿木的羊驼叫什么名字？");
    let inputs = Tensor::new(tokens.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    let trained = run.run().decoder().forward(&inputs).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let changed = most_apart(&logits(&base, &[], &tokens), &trained);
    assert!(changed > 1.0, "it changes something: {changed}");
    for name in ["base", "base.gguf"] {
        let base = exact(&at(name));
        let adapter = Arc::new(Adapter::load(&at("adapter"), &base).unwrap());
        let found = logits(&base, &[adapter], &tokens);
        let apart = most_apart(&found, &trained);
        println!("{name} at run time: {apart:.1e} from the trainer's");
        assert!(apart < 1e-3, "{name}: {apart}");
        let merged = exact(&at(&name.replace("base", "merged")));
        let apart = most_apart(&found, &logits(&merged, &[], &tokens));
        println!("{name} at run time: {apart:.1e} from the merged");
        assert!(apart < 1e-4, "{name}: {apart}");
    }
}

#[test]
fn a_stopped_run_goes_on_from_its_checkpoint() {
    use std::ops::ControlFlow;
    let (whole, parted) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let numbers = |run: &Run| -> Vec<Vec<f32>> {
        run.weights().iter().map(|(_, tensor)| tensor.flatten_all().unwrap().to_vec1().unwrap()).collect()
    };
    let run = |work: &Path, until: u64| {
        let mut run = short_run(work, 8).0;
        let _ = run.run().train(&mut |progress| match progress.done == until {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        });
        run
    };
    let straight = run(whole.path(), 6);
    assert_eq!(numbers(&run(parted.path(), 3)).len(), numbers(&straight).len());
    let mut second = run(parted.path(), 6);
    assert_eq!(second.run().state().step, 6);
    assert_eq!(numbers(&straight), numbers(&second));
}

#[test]
fn dialogues_are_rendered_by_the_bases_own_template() {
    let (model, tokenizer) = (opened(&demo()), root("assets/demo/tokenizer.model"));
    let tokenizer = Tokenizer::from_model_file(&fs::read(tokenizer).unwrap()).unwrap();
    let dialogues: Vec<Dialogue> = data::read_lines(&fixture("data/train.jsonl")).unwrap();
    assert!(dialogues.iter().filter(|dialogue| dialogue.turns.len() > 2).count() > 20);
    for dialogue in &dialogues {
        let found = Example::of(dialogue, &model).unwrap();
        assert_eq!(found, Example::new(dialogue, &tokenizer, model.context()), "{dialogue:?}");
    }
}

/// The last reply stands where the engine would write it, in every template that is built in.
#[test]
fn the_last_reply_follows_the_prompt_of_any_template() {
    let turn = |role, text: &str| Turn { role, text: text.to_owned(), ..Turn::default() };
    let turns = [("你好", "你好！"), ("what is 2 + 3?", "2 + 3 = 5.")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    let dialogue = Dialogue { system: evaluation::SYSTEM.to_owned(), turns: turns.to_vec() };
    let asked = vec![turn(Role::User, "你好"), turn(Role::Assistant, "你好！"), turn(Role::User, "what is 2 + 3?")];
    for name in Template::built_in() {
        let options = LoadOptions { template: Some((*name).to_owned()), ..LoadOptions::default() };
        let model = Model::load(&demo(), &options, &mut unwatched()).unwrap();
        let chat = Chat { system: dialogue.system.clone(), turns: asked.clone(), ..Chat::default() };
        let rendered = model.render(&Prompt::Chat(chat)).unwrap();
        let example = Example::of(&dialogue, &model).unwrap();
        let start = rendered.tokens.len();
        assert_eq!(example.tokens[..start], rendered.tokens, "{name}");
        assert!(example.reply[start..].iter().all(|&reply| reply) && !example.reply[start - 1], "{name}");
        let (end, reply) = example.tokens[start..].split_last().unwrap();
        assert!(rendered.ends.contains(end), "{name}");
        assert_eq!(model.tokenizer().decode(reply).trim(), "2 + 3 = 5.", "{name}");
    }
}

#[test]
fn the_fixture_is_what_its_recipe_makes_and_small() {
    let recipe = Recipe::read(&fixture("recipe.json")).unwrap();
    let adapter = huacaya_weights::Adapter::open(&fixture("adapter")).unwrap();
    assert!(adapter.size() < ADAPTER_BYTES_MAX, "{} bytes", adapter.size());
    assert_eq!((recipe.base.canonicalize().unwrap(), adapter.config().rank), (demo().canonicalize().unwrap(), 8));
    assert_eq!(adapter.config().target_modules, recipe.adapter.targets);
    assert_eq!(adapter.changed().count(), 4 * recipe.adapter.targets.len());

    let trained: Vec<Dialogue> = data::read_lines(&recipe.stages[0].data).unwrap();
    let plain = |text: &str| text.trim_end_matches(['？', '?']).to_lowercase();
    let trained: HashSet<String> = trained.iter().flat_map(|line| &line.turns).map(|(asked, _)| plain(asked)).collect();
    assert!(questions("held out").iter().all(|question| !trained.contains(&plain(&question.question))));
    assert!(questions("trained").iter().all(|question| trained.contains(&plain(&question.question))));
}

/// The base, the adapter beside it at run time, and both in one file.
#[test]
fn the_adapter_answers_what_the_base_does_not_know_at_run_time_and_merged() {
    let home = tempfile::tempdir().unwrap();
    let (folder, merged) = (home.path().join("base"), home.path().join("merged.gguf"));
    demo_folder::write(&folder);
    converted(&folder, &[&fixture("adapter")], Scheme::Q8_0, &merged);
    let (engine, base, merged) = (Engine::start().unwrap(), opened(&demo()), opened(&merged));
    let adapters = [Arc::new(Adapter::load(&fixture("adapter"), &base).unwrap())];
    for question in questions("trained") {
        let alone = evaluation::ask(&engine, &base, &question).unwrap();
        assert!(!question.right(&alone), "{} -> {alone}", question.question);
        let beside = evaluation::ask_beside(&engine, &base, &adapters, &question).unwrap();
        assert!(question.right(&beside), "{} -> {beside}", question.question);
        let within = evaluation::ask(&engine, &merged, &question).unwrap();
        assert!(question.right(&within), "merged: {} -> {within}", question.question);
    }
    let mut report = Report::default();
    for question in questions("held out").iter().chain(&questions("others")) {
        report.add(question, question.right(&evaluation::ask_beside(&engine, &base, &adapters, question).unwrap()));
    }
    assert!(report.overall() >= 0.8, "{report}");
}

/// Every so many-th of the demo's own held-out questions.
const ASKED_EVERY: usize = 24;

#[test]
fn the_adapter_lets_the_base_forget_little() {
    let (engine, base) = (Engine::start().unwrap(), opened(&demo()));
    let adapters = [Arc::new(Adapter::load(&fixture("adapter"), &base).unwrap())];
    let mut report = Report::default();
    for question in evaluation::read(&root("assets/demo/data/heldout.jsonl")).unwrap().iter().step_by(ASKED_EVERY) {
        report.add(question, question.right(&evaluation::ask_beside(&engine, &base, &adapters, question).unwrap()));
    }
    assert!(report.overall() >= 0.8, "{report}");
}

/// Every so many-th logit is in the golden file.
const GOLDEN_STEP: usize = 88;

/// PEFT beside transformers' decoder, over the same base.
#[test]
fn the_adapter_gives_pefts_logits_and_answers() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/lora_trained.json");
    let golden: Value = serde_json::from_slice(&fs::read(golden).unwrap()).unwrap();
    let home = tempfile::tempdir().unwrap();
    demo_folder::write(home.path());
    let (engine, base) = (Engine::start().unwrap(), opened(home.path()));
    let adapters = [Arc::new(Adapter::load(&fixture("adapter"), &base).unwrap())];
    for row in golden["answers"].as_array().unwrap() {
        let asked = row["question"].as_str().unwrap();
        let tokens: Vec<u32> = serde_json::from_value(row["tokens"].clone()).unwrap();
        assert_eq!(prompt(&base, asked), tokens, "{asked}");
        let expected: Vec<f32> = serde_json::from_value(row["logits"].clone()).unwrap();
        let vocabulary = base.config().vocabulary;
        let found = logits(&base, &adapters, &tokens);
        let last: Vec<f32> = found[found.len() - vocabulary..].iter().step_by(GOLDEN_STEP).copied().collect();
        let apart = most_apart(&last, &expected);
        println!("{asked}: {apart:.1e} from PEFT's");
        assert!(apart < 1e-3, "{asked}: {apart}");
        let question = Question { question: asked.to_owned(), ..Question::default() };
        assert_eq!(evaluation::ask_beside(&engine, &base, &adapters, &question).unwrap(), row["answer"], "{asked}");
    }
}
