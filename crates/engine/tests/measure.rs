//! Measurements of the demo model against llama.cpp's programs (`tests/golden/perplexity.py`), and what else they promise.

#![allow(clippy::unwrap_used)] // a test's helper may panic

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use huacaya_engine::measure::{
    self, Base, Cut, Error, Exam, ExamOptions, PeakMeter, SampleOptions, SpeedOptions, answers, divergence, evaluate,
    importance, perplexity, speed,
};
use huacaya_engine::sampling::Sampling;
use huacaya_engine::template::{Chat, Prompt, Role, Turn};
use huacaya_engine::{Engine, LoadOptions, Model, Score};
use huacaya_progress::{Progress, unwatched};
use huacaya_weights::quantize::{Importance, Scheme, Wanted, quantize};
use serde_json::Value;
use tempfile::TempDir;

/// The promise: within a thousandth of llama.cpp's figure.
const SAME_FIGURE: f64 = 1e-3;
/// llama.cpp rounds what it multiplies weights of four bits by to 8 bits; the engine unpacks a small model and rounds nothing.
/// Over so short a text that moves the figure by some thousandths; the unpacked weights give the same one.
const OTHER_ROUNDING: f64 = 5e-3;
/// Of a divergence: it is a small difference of large numbers, and llama.cpp prints six decimals.
const SAME_DIVERGENCE: f64 = 5e-3;
const OTHER_DIVERGENCE: f64 = 0.15;

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo/huacaya-demo.gguf")
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/measure").join(name)
}

fn text() -> String {
    fs::read_to_string(golden("text.txt")).unwrap()
}

fn figures() -> Value {
    serde_json::from_str(&fs::read_to_string(golden("figures.json")).unwrap()).unwrap()
}

fn cut(context: usize) -> Cut {
    Cut { context, windows_max: None }
}

/// The demo model in another scheme.
fn made(folder: &TempDir, scheme: &str) -> Model {
    let path = folder.path().join(format!("{scheme}.gguf"));
    let wanted = Wanted { scheme: Scheme::from_name(scheme).unwrap(), by_hand: Vec::new(), weighted: false };
    quantize(&demo(), &path, &wanted, None, 2, &mut unwatched()).unwrap();
    load(&path)
}

/// On the reference decoder, whose arithmetic is that of the golden figures; native.rs holds the other decoder to it.
fn load(path: &Path) -> Model {
    let options = LoadOptions { candle: true, ..measure::load_options(512) };
    Model::load(path, &options, &mut unwatched()).unwrap()
}

fn assert_within(what: &str, found: f64, expected: f64, tolerance: f64) {
    println!("{what}: {found:.5}, llama.cpp {expected:.5} ({:+.4} %)", 100.0 * (found / expected - 1.0));
    assert!((found - expected).abs() <= tolerance, "{what}: {found} instead of {expected}");
}

#[test]
fn perplexity_is_the_figure_of_llama_cpp() {
    let (folder, figures, text) = (tempfile::tempdir().unwrap(), figures(), text());
    let check = |model: &Model, scheme: &str, tolerance: f64| {
        for context in [512, 128] {
            let name = format!("{scheme} {context}");
            let expected = &figures["perplexity"][&name];
            let found = perplexity(model, &text, cut(context), &mut unwatched()).unwrap();
            let [value, error] = [0, 1].map(|i| expected[i].as_f64().unwrap());
            assert_within(&name, found.value, value, tolerance * value);
            assert_within(&format!("{name}, error"), found.error, error, 2.0 * tolerance * error);
            assert_eq!(found.tokens, found.windows * (context - 1 - context / 2));
        }
    };
    for scheme in ["F32", "F16", "Q8_0"] {
        check(&made(&folder, scheme), scheme, SAME_FIGURE);
    }
    for scheme in ["Q4_K_M", "Q4_0"] {
        let model = made(&folder, scheme);
        check(&model, &format!("{scheme} unpacked"), SAME_FIGURE / 10.0);
        check(&model, scheme, OTHER_ROUNDING);
    }
}

#[test]
fn divergence_from_the_original_is_the_figure_of_llama_cpp() {
    let (folder, figures, text) = (tempfile::tempdir().unwrap(), figures(), text());
    let original = made(&folder, "F32");
    let mut base = Base::read(&original, &text, cut(512), folder.path(), &mut unwatched()).unwrap();
    let alone = perplexity(&original, &text, cut(512), &mut unwatched()).unwrap();
    assert_eq!(*base.perplexity(), alone);
    // The file has no name, so nothing of it can stay behind.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    for scheme in ["Q4_K_M", "Q4_0"] {
        let model = made(&folder, scheme);
        let found = divergence(&model, &mut base, &mut unwatched()).unwrap();
        let unpacked = format!("{scheme} unpacked");
        for (name, tolerance) in [(unpacked.as_str(), SAME_DIVERGENCE), (scheme, OTHER_DIVERGENCE)] {
            let figure = |what: &str, i: usize| figures["divergence"][name][what][i].as_f64().unwrap();
            let (mean, mean_error) = (figure("mean", 0), figure("mean", 1));
            assert_within(&format!("{name}, divergence"), found.mean, mean, tolerance * mean);
            assert_within(&format!("{name}, its error"), found.error, mean_error, 2.0 * tolerance * mean_error);
            let [top, top_error] = [found.top_agreement, found.top_agreement_error].map(|share| 100.0 * share);
            assert_within(&format!("{name}, same top"), top, figure("same_top_percent", 0), 100.0 * tolerance);
            assert_within(&format!("{name}, its error"), top_error, figure("same_top_percent", 1), 0.1);
        }
        assert_eq!(found.perplexity, perplexity(&model, &text, cut(512), &mut unwatched()).unwrap());
    }
    let same = divergence(&original, &mut base, &mut unwatched()).unwrap();
    // What is left is the rounding to sixteen bits.
    assert!(same.mean.abs() < 1e-6 && same.top_agreement == 1.0, "{same:?}");
}

#[test]
fn importance_has_the_numbers_of_llama_cpp() {
    let folder = tempfile::tempdir().unwrap();
    let found = importance(&made(&folder, "F32"), &text(), "text.txt", cut(512), &mut unwatched()).unwrap();
    let expected = Importance::open(&golden("imatrix.gguf")).unwrap();
    assert_eq!(found.tensors().collect::<Vec<_>>(), expected.tensors().collect::<Vec<_>>());
    assert_eq!(found.chunks, expected.chunks);
    for tensor in expected.tensors() {
        let (found, expected) = (found.of(tensor).unwrap(), expected.of(tensor).unwrap());
        assert_eq!(found.len(), expected.len());
        let largest = expected.iter().fold(0.0f32, |a, b| a.max(*b));
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() <= 1e-4 * e + 1e-6 * largest, "{tensor}: {f} instead of {e}");
        }
    }
    // Saved as llama.cpp saves it, it can be quantized with.
    let file = folder.path().join("saved.gguf");
    found.save(&file).unwrap();
    assert_eq!(Importance::open(&file).unwrap(), found);
}

#[test]
fn what_cannot_be_measured_says_why() {
    let model = load(&demo());
    let short = perplexity(&model, "短い。", cut(512), &mut unwatched()).unwrap_err();
    assert!(matches!(short, Error::TextTooShort { tokens: 1..10, needed: 1024 }), "{short}");
    let long = perplexity(&model, &text(), cut(4096), &mut unwatched()).unwrap_err();
    assert!(matches!(long, Error::ContextTooShort { wanted: 4096, context: 512 }), "{long}");
    let nowhere = Base::read(&model, &text(), cut(128), Path::new("/no/such/folder"), &mut unwatched());
    assert!(matches!(nowhere.err(), Some(Error::Io { .. })));
    let too_long = SpeedOptions { prompt_tokens: 600, ..SpeedOptions::default() };
    assert!(matches!(speed(&model, &too_long, &mut unwatched()), Err(Error::ContextTooShort { wanted: 632, .. })));
}

#[test]
fn every_measurement_stops_when_it_is_told_to() {
    let (model, text, folder) = (Arc::new(load(&demo())), text(), tempfile::tempdir().unwrap());
    let exam = exam(&folder, "q.csv", "question,A,B,C,D,answer\n1+1=?,1,2,3,4,B\n");
    // A window of 512 tokens has 8 chunks of 4 layers, and is told of each end: some forty calls.
    let stopped_after = |calls: u64| {
        let mut seen = 0;
        let mut watch = move |_: Progress| {
            seen += 1;
            assert!(seen <= calls, "it went on after it was stopped");
            if seen == calls { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let questions = measure::questions();
        let options = SampleOptions { tokens_max: 50, ..SampleOptions::default() };
        let engine = Engine::start().unwrap();
        let stopped = [
            perplexity(&model, &text, cut(512), &mut watch.clone()).err(),
            Base::read(&model, &text, cut(512), folder.path(), &mut watch.clone()).err(),
            importance(&model, &text, "", cut(512), &mut watch.clone()).err(),
            speed(&model, &SpeedOptions::default(), &mut watch.clone()).err(),
            evaluate(&model, &exam, &ExamOptions::default(), &mut watch.clone()).err(),
            answers(&engine, &model, questions, &options, &mut watch).err(),
        ];
        assert!(stopped.iter().all(|error| error.as_ref().is_some_and(Error::is_stopped)), "{calls}: {stopped:?}");
    };
    stopped_after(1);
    stopped_after(5);
}

fn exam(folder: &TempDir, name: &str, content: &str) -> Exam {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    Exam::open(&path).unwrap()
}

#[test]
fn exams_are_read_however_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let ceval = "\u{feff}id,question,A,B,C,D,answer,explanation\r\n0,\"下列,\"\"句子\"\"\n哪句对？\",甲,乙,丙,丁,C,\r\n1,没有答案,1,2,3,4,,\r\n";
    let exam_ceval = exam(&folder, "val/logic_val.csv", ceval);
    let subject = &exam_ceval.subjects()[0];
    assert_eq!(
        (subject.key.as_str(), subject.name.as_str(), subject.group.as_str()),
        ("logic", "逻辑学", "Humanities")
    );
    assert_eq!(exam_ceval.questions(), 1);
    let question = &subject.questions[0];
    assert_eq!((question.text.as_str(), question.answer), ("下列,\"句子\"\n哪句对？", 2));
    assert_eq!(question.choices, ["甲", "乙", "丙", "丁"]);
    // CMMLU's columns, in GBK ("一", "二", "三", "四" are D2BB, B6FE, C8FD, CBC4); the examples stand in dev.
    let mut gbk = b",Question,A,B,C,D,Answer\n0,1?,".to_vec();
    gbk.extend([0xD2, 0xBB, b',', 0xB6, 0xFE, b',', 0xC8, 0xFD, b',', 0xCB, 0xC4]);
    gbk.extend(b",a\n");
    fs::create_dir_all(folder.path().join("cmmlu/test")).unwrap();
    fs::create_dir_all(folder.path().join("cmmlu/dev")).unwrap();
    fs::write(folder.path().join("cmmlu/test/agronomy.csv"), &gbk).unwrap();
    fs::write(folder.path().join("cmmlu/dev/agronomy.csv"), ",Question,A,B,C,D,Answer\n0,x,1,2,3,4,D\n").unwrap();
    let exam_cmmlu = Exam::open(&folder.path().join("cmmlu")).unwrap();
    let subject = &exam_cmmlu.subjects()[0];
    assert_eq!((subject.name.as_str(), subject.group.as_str(), subject.examples.len()), ("农学", "Other", 1));
    assert_eq!(
        (subject.questions[0].choices.clone(), subject.questions[0].answer),
        (["一", "二", "三", "四"].map(String::from), 0)
    );
}

#[test]
fn hostile_exams_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let open = |content: &[u8]| {
        let path = folder.path().join("x.csv");
        fs::write(&path, content).unwrap();
        Exam::open(&path).unwrap_err()
    };
    assert!(matches!(open(b""), Error::ColumnMissing { column: "question", .. }));
    assert!(matches!(open(b"question,A,B,C,answer\n"), Error::ColumnMissing { column: "D", .. }));
    assert!(matches!(open(b"question,A,B,C,D\nx,1,2,3,4\n"), Error::ColumnMissing { column: "answer", .. }));
    assert!(matches!(open(b"question,A,B,C,D,answer\n"), Error::ExamEmpty { .. }));
    assert!(matches!(open(b"question,A,B,C,D,answer\na,b\n\"x,1,2"), Error::ExamBroken { line: 3, .. }));
    assert!(matches!(open(&b",".repeat(1 << 16)), Error::ExamBroken { line: 1, .. }));
    assert!(matches!(open(&b"x".repeat((16 << 20) + 1)), Error::ExamTooLarge { .. }));
    assert!(matches!(Exam::open(&folder.path().join("none.csv")), Err(Error::Io { .. })));
}

/// The prompts are written out here as the published exams have them, and the letters scored from the model's own logits.
#[test]
fn the_letter_with_the_highest_sum_of_its_two_logits_is_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start().unwrap();
    let options = LoadOptions { template: Some("none".to_string()), ..measure::load_options(512) };
    let base = Arc::new(Model::load(&demo(), &options, &mut unwatched()).unwrap());
    let chat = Arc::new(load(&demo()));
    let chosen = |model: &Arc<Model>, prompt: &Prompt| {
        let tokens = model.render(prompt).unwrap().tokens;
        let last = tokens.len() - 1;
        let score = Score { model: model.clone(), adapters: Vec::new(), tokens, rows: last..last + 1 };
        let logits = engine.score(score, &mut unwatched()).unwrap().logits.remove(0);
        let sum = |letter: &str| {
            let pieces = [format!("▁{letter}"), letter.to_string()];
            pieces.iter().map(|piece| logits[model.tokenizer().find(piece).unwrap() as usize]).sum::<f32>()
        };
        ["A", "B", "C", "D"].into_iter().max_by(|a, b| sum(a).total_cmp(&sum(b))).unwrap()
    };
    let header = "以下是中国关于逻辑学考试的单项选择题，请选出其中的正确答案。\n\n";
    let shot = "你是谁？\nA. 羊驼\nB. 猫\nC. 狗\nD. 鱼\n答案：";
    exam(&folder, "dev/logic_dev.csv", "question,A,B,C,D,answer\n你是谁？,羊驼,猫,狗,鱼,A\n");
    for (number, question) in ["一加一等于几？", "今天星期几？", "What is 3 + 4?", "七的倍数是？"].iter().enumerate()
    {
        let block = format!("{question}\nA. 一\nB. 二\nC. 三\nD. 七\n答案：");
        let say = |role, text: &str| Turn { role, text: text.to_string(), ..Turn::default() };
        let talk = |turns| Prompt::Chat(Chat { system: "你好".to_string(), turns, ..Chat::default() });
        let turns = vec![
            say(Role::User, header),
            say(Role::Assistant, "好的，我会结合逻辑学相关知识回答"),
            say(Role::User, shot),
            say(Role::Assistant, "A"),
            say(Role::User, &block),
        ];
        for (model, shots, prompt) in [
            (&base, 0, Prompt::Raw(block.clone())),
            (&base, 1, Prompt::Raw(format!("{header}{shot}A\n\n{block}"))),
            (&chat, 0, talk(vec![say(Role::User, &block)])),
            (&chat, 1, talk(turns)),
        ] {
            let letter = chosen(model, &prompt);
            let table = format!("question,A,B,C,D,answer\n{question},一,二,三,七,{letter}\n");
            let exam = exam(&folder, "val/logic_val.csv", &table);
            let options = ExamOptions { shots, system: "你好".to_string() };
            let found = evaluate(model, &exam, &options, &mut unwatched()).unwrap();
            assert_eq!((found.total.correct, found.total.total), (1, 1), "question {number}, {shots} shots, {letter}");
        }
    }
}

#[test]
fn an_exam_is_marked_by_subject_and_group() {
    let folder = tempfile::tempdir().unwrap();
    let table = |rows: &[&str]| format!("id,question,A,B,C,D,answer\n{}\n", rows.join("\n"));
    let rows = ["0,一加一等于几？,1,2,3,4,B", "1,2+2=?,4,5,6,7,A", "2,\"天,空\",蓝,红,绿,黑,A"];
    exam(&folder, "val/logic_val.csv", &table(&rows));
    exam(&folder, "val/physician_val.csv", &table(&rows[..1]));
    exam(&folder, "dev/logic_dev.csv", &table(&rows));
    let path = folder.path();
    fs::copy(path.join("dev/logic_dev.csv"), path.join("dev/physician_dev.csv")).unwrap();
    let exam = Exam::open(path).unwrap();
    for template in [None, Some("none".to_string())] {
        let options = LoadOptions { template, ..measure::load_options(512) };
        let model = Model::load(&demo(), &options, &mut unwatched()).unwrap();
        for shots in [0, 5] {
            let mut last = Progress::default();
            let mut watch = |progress| {
                last = progress;
                ControlFlow::Continue(())
            };
            let found = evaluate(&model, &exam, &ExamOptions { shots, ..ExamOptions::default() }, &mut watch).unwrap();
            assert_eq!(last, Progress { done: 4, total: 4 });
            assert_eq!((found.total.total, found.left_out), (4, 0));
            let totals = |list: &[(String, measure::Accuracy)]| {
                list.iter().map(|(name, accuracy)| (name.clone(), accuracy.total)).collect::<Vec<_>>()
            };
            assert_eq!(totals(&found.subjects), [("逻辑学".to_string(), 3), ("医师资格".to_string(), 1)]);
            assert_eq!(totals(&found.groups), [("Humanities".to_string(), 3), ("Other".to_string(), 1)]);
            assert_eq!(found.total.correct, found.groups.iter().map(|(_, accuracy)| accuracy.correct).sum::<usize>());
            // There are three examples.
            assert_eq!(found.fewer_shots, if shots == 0 { 0 } else { 4 });
        }
    }
    fs::remove_file(path.join("dev/logic_dev.csv")).unwrap();
    let without = Exam::open(path).unwrap();
    let options = ExamOptions { shots: 5, ..ExamOptions::default() };
    let refused = evaluate(&load(&demo()), &without, &options, &mut unwatched()).unwrap_err();
    assert!(matches!(&refused, Error::ShotsMissing { subject } if subject == "逻辑学"), "{refused}");
}

#[test]
fn speed_and_memory_are_measured_over_what_was_asked_for() {
    let meter = PeakMeter::start();
    let (model, loading) = measure::load(&demo(), &LoadOptions::default(), &mut unwatched()).unwrap();
    let options =
        SpeedOptions { depth: 20, prompt_tokens: 100, new_tokens: 8, rounds: 3, budget: Duration::from_secs(60) };
    let found = speed(&model, &options, &mut unwatched()).unwrap();
    assert_eq!((found.prefill.tokens, found.decode.tokens, found.rounds), (100, 8, 3));
    for rate in [found.prefill, found.decode] {
        assert!((rate.tokens_per_second * rate.ms_per_token - 1000.0).abs() < 1e-6);
    }
    let hurried = SpeedOptions { rounds: 1000, budget: Duration::ZERO, ..options };
    assert_eq!(speed(&model, &hurried, &mut unwatched()).unwrap().rounds, 1);
    println!("{loading:?} {found:?} {:?}", meter.peak());
    // 4.1 million values of four bytes lie in memory; other tests of this program may run beside.
    if let Some(peak) = meter.peak() {
        assert!(peak.highest > 16_000_000, "{peak:?}");
    }
}

#[test]
fn sample_answers_are_the_same_every_time() {
    let (engine, model) = (Engine::start().unwrap(), Arc::new(load(&demo())));
    let sampling = Sampling { temperature: 0.7, ..Sampling::default() };
    let options = SampleOptions { system: String::new(), sampling, tokens_max: 24 };
    let ask = || answers(&engine, &model, &measure::questions()[..3], &options, &mut unwatched()).unwrap();
    let (first, second) = (ask(), ask());
    assert_eq!(first, second);
    assert!(first.len() == 3 && first.iter().all(|answer| !answer.is_empty()), "{first:?}");
}

#[test]
fn the_bundled_text_is_long_enough_for_the_longest_windows() {
    // The family's large vocabulary needs the fewest tokens: less than one for a character.
    assert!(measure::CALIBRATION.chars().count() > 2 * 4096 * 2);
    assert!(!measure::CALIBRATION.contains('\u{fffd}') && !measure::CALIBRATION.contains('\r'));
}
