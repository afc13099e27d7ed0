//! The command line as a person or a script uses it, on the model that comes with the program.

#![allow(clippy::unwrap_used)] // a test's helper may panic

mod batch;
mod chat;
mod hub;
mod library;
mod serve;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo/huacaya-demo.gguf")
}

fn cli(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_huacaya-cli"));
    run(command.args(arguments), input)
}

fn run(command: &mut Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that fails early reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Standard output of a command that works.
fn said(arguments: &[&str], input: &str) -> String {
    let output = cli(arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Exit status and standard error of a command that does not.
fn failed(arguments: &[&str], input: &str) -> (i32, String) {
    let output = cli(arguments, input);
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn the_same_seed_gives_the_same_answer_in_words_and_in_json() {
    let demo = demo();
    let model = ["--model", demo.to_str().unwrap(), "--quiet"];
    let generate = |more: &[&str]| said(&[&["generate"], &model[..], &["--prompt", "你好"], more].concat(), "");
    let greedy = generate(&["--temperature", "0", "--tokens", "24"]);
    let parsed: Value = serde_json::from_str(&generate(&["--temperature", "0", "--tokens", "24", "--json"])).unwrap();
    assert_eq!(greedy, format!("{}\n", parsed["text"].as_str().unwrap()));
    assert!(parsed["prompt_tokens"].as_u64().unwrap() > 0 && parsed["tokens"].as_u64().unwrap() <= 24);
    let warm = ["--temperature", "1.5", "--seed", "7", "--tokens", "24"];
    assert_eq!(generate(&warm), generate(&warm));
}

#[test]
fn likelihoods_stand_beside_their_tokens_the_drawn_one_first() {
    let demo = demo();
    let model = ["generate", "--model", demo.to_str().unwrap(), "--quiet", "--prompt", "你好", "--temperature", "0"];
    let rest = ["--repetition-penalty", "1", "--tokens", "6", "--logprobs", "3", "--json"];
    let parsed: Value = serde_json::from_str(&said(&[&model[..], &rest].concat(), "")).unwrap();
    let (ids, told) = (parsed["ids"].as_array().unwrap(), parsed["logprobs"].as_array().unwrap());
    assert!(!ids.is_empty() && ids.len() == told.len());
    for (id, token) in ids.iter().zip(told) {
        assert_eq!(&token["id"], id);
        let of = |token: &Value| token["logprob"].as_f64().unwrap();
        let top = token["top"].as_array().unwrap();
        // The likeliest is what is drawn at temperature 0, and all shares together are at most 1.
        assert!(top.len() == 3 && of(&top[0]) == of(token) && of(token) <= 0.0, "{token}");
        assert!(top.iter().map(|token| of(token).exp()).sum::<f64>() <= 1.0 + 1e-3, "{token}");
    }
    assert_eq!(failed(&[&model[..], &["--logprobs", "3"]].concat(), "").0, 2, "without --json");
}

#[test]
fn an_answer_is_held_to_a_form() {
    let (demo, folder) = (demo(), tempfile::tempdir().unwrap());
    let schema = folder.path().join("form.json");
    let grammar = folder.path().join("form.lark");
    fs::write(
        &schema,
        r#"{"type": "object", "properties": {"a": {"enum": [7]}}, "required": ["a"], "additionalProperties": false}"#,
    )
    .unwrap();
    fs::write(&grammar, r#"start: "yes" | "no""#).unwrap();
    let common = ["generate", "--model", demo.to_str().unwrap(), "--quiet", "--prompt", "你好", "--tokens", "400"];
    let held = |format: &str| said(&[&common[..], &["--format", format]].concat(), "").trim().to_string();
    let number = held("regex:[0-9]{3}");
    assert!(number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit()), "{number}");
    assert_eq!(serde_json::from_str::<Value>(&held(schema.to_str().unwrap())).unwrap(), serde_json::json!({"a": 7}));
    let word = held(grammar.to_str().unwrap());
    assert!(["yes", "no"].contains(&word.as_str()), "{word}");
    for wrong in ["xml", "regex:[0-9", "none.lark"] {
        let (status, words) = failed(&[&common[..], &["--format", wrong]].concat(), "");
        assert_eq!(status, 2, "{wrong}: {words}");
    }
}

#[test]
fn what_needs_more_memory_than_is_free_is_not_begun() {
    let demo = demo();
    let common = ["generate", "--model", demo.to_str().unwrap(), "--prompt", "1", "--tokens", "1", "--context"];
    // The longest context takes about 100 GB.
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.split_whitespace().next());
    if kilobytes.and_then(|count| count.parse::<u64>().ok()).is_some_and(|count| count > 90_000_000) {
        return println!("not run: this machine has memory for the longest context");
    }
    let (status, words) = failed(&[&common[..], &["16777216"]].concat(), "");
    assert_eq!(status, 5, "{words}");
    assert!(words.contains("of memory") && words.contains("--context") && words.contains("--anyway"), "{words}");
}

#[test]
fn a_benchmark_tells_every_sample_and_their_medians() {
    let demo = demo();
    let bench = |names: [&str; 3]| {
        let [read, write, rounds] = names;
        let options = [read, "8", write, "4", rounds, "3", "--depth", "2", "--threads", "1", "--json", "--quiet"];
        let told = said(&[&["bench", "--model", demo.to_str().unwrap()], &options[..]].concat(), "");
        serde_json::from_str::<Value>(&told).unwrap()
    };
    let found = bench(["--prefill", "--decode", "--repeat"]);
    for what in ["prefill", "decode"] {
        let samples = found[format!("{what}_samples")].as_array().unwrap().clone();
        let mut samples: Vec<f64> = samples.iter().map(|sample| sample.as_f64().unwrap()).collect();
        samples.sort_by(f64::total_cmp);
        let median = found[format!("{what}_tokens_per_second")].as_f64().unwrap();
        assert!(samples.len() == 3 && (median / samples[1] - 1.0).abs() < 1e-6, "{found}");
    }
    assert_eq!((found["prefill_tokens"].as_u64(), found["decode_tokens"].as_u64()), (Some(8), Some(4)));
    assert!(found["peak_memory_bytes"].as_u64().unwrap() > 1_000_000);
    assert_eq!(bench(["--prompt", "--tokens", "--rounds"])["rounds"], 3, "the names of before");
}

#[test]
fn a_reader_that_went_away_is_no_error_to_tell() {
    let demo = demo();
    let mut child = Command::new(env!("CARGO_BIN_EXE_huacaya-cli"))
        .args(["tokenize", "--model", demo.to_str().unwrap(), "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all("你好\n".repeat(10_000).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(141), 0));
}

#[test]
fn help_and_manual_say_what_the_statuses_mean() {
    let help = said(&["--help"], "");
    for status in ["0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "6 ", "130 ", "141 "] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(status)), "{status}: {help}");
    }
    let folder = tempfile::tempdir().unwrap();
    said(&["man", folder.path().to_str().unwrap()], "");
    let page = fs::read_to_string(folder.path().join("huacaya-cli.1")).unwrap();
    assert!(page.contains("interrupted by Ctrl"), "{page}");
}

#[test]
fn a_prompt_comes_from_the_line_a_file_or_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("问题 一.txt");
    fs::write(&file, "1, 2, 3").unwrap();
    let demo = demo();
    let generate = |prompt: &str, input: &str| {
        let model = demo.to_str().unwrap();
        let rest = ["--raw", "--temperature", "0", "--tokens", "8", "--quiet"];
        said(&[&["generate", "--model", model, "--prompt", prompt], &rest[..]].concat(), input)
    };
    let from_line = generate("1, 2, 3", "");
    assert_eq!(generate(&format!("@{}", file.display()), ""), from_line);
    assert_eq!(generate("-", "1, 2, 3"), from_line);
}

#[test]
fn tokenize_prints_one_array_a_line_without_a_start_token() {
    let out = said(&["tokenize", "--model", demo().to_str().unwrap(), "--quiet"], "你好\n\n<s> [/INST]\n");
    let lines: Vec<Vec<u32>> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[1].is_empty(), "{out}");
    assert!(lines.iter().flatten().all(|id| *id > 2), "control tokens from typed text: {out}");
}

#[test]
fn template_prints_the_prompt_that_the_model_gets() {
    let messages = r#"[{"role":"system","content":"S"},{"role":"user","content":"你好"}]"#;
    let out = said(&["template", "--model", demo().to_str().unwrap(), "--json", "--quiet"], messages);
    let parsed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((parsed["template"].as_str(), parsed["source"].as_str()), (Some("alpaca-2"), Some("built in")));
    let text = parsed["text"].as_str().unwrap();
    // As the family's own scripts write a first turn.
    assert!(text.ends_with("[INST] <<SYS>>\nS\n<</SYS>>\n\n你好 [/INST]"), "{text:?}");
    assert_eq!(parsed["ids"][0], 1);
    let (status, error) =
        failed(&["template", "--model", demo().to_str().unwrap()], r#"[{"role":"judge","content":""}]"#);
    assert!(status == 2 && error.contains("judge") && error.contains("help:"), "{error}");
}

#[test]
fn logits_are_one_row_of_the_vocabulary_for_each_token() {
    let folder = tempfile::tempdir().unwrap();
    let (text, out) = (folder.path().join("text"), folder.path().join("logits"));
    fs::write(&text, "你好，世界").unwrap();
    let (text, out) = (text.to_str().unwrap(), out.to_str().unwrap());
    let shape = said(&["logits", "--model", demo().to_str().unwrap(), "--file", text, "--out", out, "--quiet"], "");
    let shape: Value = serde_json::from_str(&shape).unwrap();
    let size = |name: &str| shape[name].as_u64().unwrap();
    assert_eq!(fs::metadata(out).unwrap().len(), size("tokens") * size("vocabulary") * 4);
    let values: Vec<f32> =
        fs::read(out).unwrap().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    assert!(values.iter().all(|value| value.is_finite()));
    assert_eq!(shape["ids"][0], 1);
}

#[test]
fn a_model_is_found_by_its_name_in_the_library() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().join("张 庭");
    let tokenize = |name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_huacaya-cli"));
        run(command.env("HUACAYA_HOME", &home).args(["tokenize", "--model", name, "--quiet"]), "好\n")
    };
    let output = tokenize("huacaya-demo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = tokenize("gpt-9");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(3) && error.contains("gpt-9"), "{error}");
}

#[test]
fn failures_say_what_on_what_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.gguf");
    fs::write(&broken, b"GGUF").unwrap();
    let (status, error) = failed(&["generate", "--model", broken.to_str().unwrap(), "--prompt", "x"], "");
    assert!(status == 4 && error.starts_with("error: ") && error.contains("broken.gguf"), "{error}");
    let missing = ["generate", "--model", broken.to_str().unwrap(), "--prompt", "@/no/such file"];
    let (status, error) = failed(&missing, "");
    assert!(status == 3 && error.contains("/no/such file"), "{error}");
    let demo = demo();
    let hot = ["generate", "--model", demo.to_str().unwrap(), "--prompt", "x", "--temperature=-3"];
    let (status, error) = failed(&hot, "");
    assert!(status == 2 && error.contains("temperature is -3"), "{error}");
    let (status, _) = failed(&["generate"], "");
    assert_eq!(status, 2, "wrong usage");
}

#[test]
fn a_folder_with_an_adapter_becomes_one_quantized_file_in_one_pass_or_by_way_of_a_merged_folder() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../weights/tests/golden/merge/plain");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (base, adapter) = (golden.join("base"), golden.join("adapter"));
    let base = base.to_str().unwrap();
    // The strength that is given, and the one that is meant where none is.
    let (plain, half) = (adapter.to_str().unwrap(), format!("{}=0.5", adapter.display()));
    let one_pass = |lora: &str, to: &str| said(&["convert", base, to, "--lora", lora, "--type", "q8_0", "--quiet"], "");
    assert_eq!(one_pass(plain, &at("one.gguf")), "");
    one_pass(&half, &at("half.gguf"));
    let merged: Value =
        serde_json::from_str(&said(&["merge", base, plain, "--out", &at("merged"), "--json"], "")).unwrap();
    assert!(merged["changed"].as_u64().unwrap() > 0, "{merged}");
    said(&["convert", "--from", &at("merged"), "--to", &at("plain.gguf"), "--scheme", "BF16", "--quiet"], "");
    said(&["convert", &at("plain.gguf"), &at("two.gguf"), "--type", "Q8_0", "--quiet"], "");
    said(&["merge", base, plain, "--out", &at("three.gguf"), "--type", "Q8_0", "--quiet"], "");
    let bytes = |name: &str| fs::read(at(name)).unwrap();
    assert!(bytes("one.gguf") == bytes("two.gguf") && bytes("one.gguf") == bytes("three.gguf"));
    assert!(bytes("one.gguf") != bytes("half.gguf"));
}

#[test]
fn a_conversion_that_cannot_be_says_why_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.gguf");
    let out = out.to_str().unwrap();
    let demo = demo();
    let demo = demo.to_str().unwrap();
    let (status, error) = failed(&["convert", demo, out, "--type", "Q9_X"], "");
    assert!(status == 2 && error.contains("Q4_K_M"), "{error}");
    let (status, error) =
        failed(&["convert", demo, out, "--lora", folder.path().to_str().unwrap(), "--type", "F16"], "");
    assert!(status == 4 && error.contains("is a GGUF file"), "{error}");
    let (status, error) = failed(&["convert", "/no/such", out, "--type", "F16"], "");
    assert!(status == 3 && error.contains("/no/such"), "{error}");
    let (status, error) = failed(&["convert", demo, demo, "--type", "F16"], "");
    assert!(status == 1 && error.contains("help:"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_cleanly_with_what_was_said() {
    use std::io::Read;
    let demo = demo();
    let mut child = Command::new(env!("CARGO_BIN_EXE_huacaya-cli"))
        .args(["generate", "--model", demo.to_str().unwrap(), "--raw", "--prompt", "1", "--tokens", "1000", "--quiet"])
        .args(["--temperature", "2"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 1];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    // It may have come to its end first.
    assert!(matches!(output.status.code(), Some(0 | 130)), "{:?}", output.status);
    assert!(output.stdout.ends_with(b"\n"));
}
