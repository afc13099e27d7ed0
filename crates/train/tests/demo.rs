//! The model file that comes with the program: what it is, and what it answers.

#![allow(clippy::unwrap_used)] // a test may panic

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use huacaya_engine::template::{Chat, Prompt, Role, Turn};
use huacaya_engine::tokenizer::Tokenizer;
use huacaya_engine::{Engine, LoadOptions, Model};
use huacaya_progress::unwatched;
use huacaya_train::Recipe;
use huacaya_train::data::{self, Dialogue, Example};
use huacaya_train::evaluation::{self, Question, Report};

/// Every so many-th held-out question is asked here; the model card has all of them.
const ASKED_EVERY: usize = 18;

fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo").join(name)
}

fn model() -> Arc<Model> {
    Arc::new(Model::load(&demo("huacaya-demo.gguf"), &LoadOptions::default(), &mut unwatched()).unwrap())
}

fn tokenizer() -> Tokenizer {
    Tokenizer::from_model_file(&std::fs::read(demo("tokenizer.model")).unwrap()).unwrap()
}

#[test]
fn the_file_holds_the_recipes_model_and_is_small() {
    let recipe = Recipe::read(&demo("recipe.json")).unwrap();
    let model = model();
    assert_eq!(*model.config(), recipe.config(tokenizer().vocabulary_size()));
    assert_eq!((model.template().name(), model.context()), ("alpaca-2", 1024));
    assert_eq!((model.config().hidden % 256, model.config().ffn % 256), (0, 0));
    assert!(std::fs::metadata(demo("huacaya-demo.gguf")).unwrap().len() < 16 << 20);
}

#[test]
fn the_file_splits_text_as_the_vocabulary_it_was_trained_with() {
    let (model, tokenizer) = (model(), tokenizer());
    for line in std::fs::read_to_string(demo("data/heldout.jsonl")).unwrap().lines() {
        assert_eq!(model.tokenize(line), tokenizer.encode(line), "{line}");
    }
}

#[test]
fn dialogues_are_trained_on_as_the_engine_renders_them() {
    let (model, tokenizer) = (model(), tokenizer());
    for system in [evaluation::SYSTEM, ""] {
        let turns = [("你好", "你好！"), ("what is 2 + 3?", "2 + 3 = 5."), ("谢谢", "不客气")];
        let owned = |(question, answer): (&str, &str)| (question.to_owned(), answer.to_owned());
        let dialogue = Dialogue { system: system.to_owned(), turns: turns.map(owned).to_vec() };
        let trained = Example::new(&dialogue, &tokenizer, 1024);

        let turn = |role, text: &str| Turn { role, text: text.to_owned(), ..Turn::default() };
        let mut said =
            turns.map(|(question, answer)| [turn(Role::User, question), turn(Role::Assistant, answer)]).concat();
        said.pop();
        let chat = Chat { system: system.to_owned(), turns: said, ..Chat::default() };
        let rendered = model.render(&Prompt::Chat(chat)).unwrap().tokens;
        assert_eq!(trained.tokens[..rendered.len()], rendered);
        assert!(trained.reply[rendered.len()..].iter().all(|&reply| reply) && !trained.reply[rendered.len() - 1]);
    }
}

/// A wording without what people leave out, as the generator compares them.
fn plain(text: &str) -> String {
    let kept = |c: &char| !c.is_whitespace() && !"，。？！、：；“”\"'?!.,:;~".contains(*c);
    text.chars().filter(kept).flat_map(char::to_lowercase).collect()
}

#[test]
fn no_held_out_wording_was_trained_on() {
    let questions = evaluation::read(&demo("data/heldout.jsonl")).unwrap();
    assert!(questions.len() >= 600);
    let first = questions.iter().filter(|question| question.before.is_empty());
    let held_out: HashSet<String> = first.map(|question| plain(&question.question)).collect();
    for file in ["data/train.jsonl", "data/train-more.jsonl", "data/train-last.jsonl"] {
        let dialogues: Vec<Dialogue> = data::read_lines(&demo(file)).unwrap();
        for (question, _) in dialogues.iter().flat_map(|dialogue| &dialogue.turns) {
            assert!(!held_out.contains(&plain(question)), "{file}: {question}");
        }
    }
}

#[test]
fn every_category_is_held_out_in_both_languages() {
    let questions = evaluation::read(&demo("data/heldout.jsonl")).unwrap();
    let mut cells: HashMap<(&str, &str), usize> = HashMap::new();
    for question in &questions {
        *cells.entry((&question.category, &question.language)).or_default() += 1;
    }
    assert_eq!(cells.len(), 18);
    assert!(cells.values().all(|&count| count >= 30), "{cells:?}");
    assert!(questions.iter().filter(|question| !question.before.is_empty()).count() >= 100);
}

#[test]
fn it_answers_held_out_questions() {
    let (engine, model) = (Engine::start().unwrap(), model());
    let questions = evaluation::read(&demo("data/heldout.jsonl")).unwrap();
    let mut report = Report::default();
    for question in questions.iter().step_by(ASKED_EVERY) {
        report.add(question, question.right(&evaluation::ask(&engine, &model, question).unwrap()));
    }
    assert!(report.overall() >= 0.85, "{report}");
}

#[test]
fn it_answers_what_people_say_first() {
    let (engine, model) = (Engine::start().unwrap(), model());
    for (question, needed) in [
        ("你好", "你好"),
        ("你是谁", "演示模型"),
        ("你能做什么", "算术"),
        ("1+1等于几", "1 + 1 = 2"),
        ("写一个故事", "羊驼"),
        ("hello", "Hello"),
        ("who are you", "demo model"),
        ("what is Huacaya", "desktop program"),
        ("count to 20", "18, 19, 20"),
        ("从一数到二十", "18、19、20"),
    ] {
        let asked = Question { question: question.to_owned(), ..Question::default() };
        let answer = evaluation::ask(&engine, &model, &asked).unwrap();
        assert!(answer.contains(needed), "{question} -> {answer}");
    }
}
