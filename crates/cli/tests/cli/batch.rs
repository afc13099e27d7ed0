//! `batch`: the same text as `generate`, whatever runs beside it; stopped, torn and wrong lines.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{cli, demo, failed, said};

/// By their index.
fn answers(out: &Path) -> BTreeMap<u64, Value> {
    let text = fs::read_to_string(out).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|answer| (answer["index"].as_u64().unwrap(), answer)).collect()
}

#[test]
fn every_answer_is_the_one_that_generate_gives_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("问题.jsonl"), folder.path().join("答案.jsonl"));
    let prompts = ["你好", "1, 2, 3", "What is an alpaca?", "列出三种颜色", "hello", "数到五"];
    let mut lines: Vec<String> =
        prompts.iter().map(|prompt| serde_json::json!({"prompt": prompt}).to_string()).collect();
    lines[1] = r#""1, 2, 3""#.to_string();
    lines[2] = r#"{"id": "q", "messages": [{"role": "user", "content": "What is an alpaca?"}]}"#.to_string();
    fs::write(&file, lines.join("\n\n")).unwrap();
    let (demo, file, path) = (demo(), file.to_str().unwrap(), out.to_str().unwrap());
    let drawn = ["--model", demo.to_str().unwrap(), "--temperature", "0", "--tokens", "24", "--quiet"];
    let batch = [&["batch", "--file", file, "--out", path, "--at-once", "4", "--json"], &drawn[..]].concat();
    let told: Value = serde_json::from_str(&said(&batch, "")).unwrap();
    assert_eq!((told["answered"].as_u64(), told["skipped"].as_u64()), (Some(6), Some(0)));
    let found = answers(&out);
    // Empty lines count, too: an index is a place in the file.
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [0, 2, 4, 6, 8, 10]);
    assert_eq!(found[&4]["id"], "q");
    for (prompt, answer) in prompts.iter().zip(found.values()) {
        let alone = said(&[&["generate", "--prompt", prompt], &drawn[..]].concat(), "");
        assert_eq!(alone.trim_end_matches('\n'), answer["text"].as_str().unwrap().trim_end_matches('\n'), "{prompt}");
    }
    let before = fs::read(&out).unwrap();
    let again: Value = serde_json::from_str(&said(&batch, "")).unwrap();
    assert_eq!((again["answered"].as_u64(), again["skipped"].as_u64()), (Some(0), Some(6)));
    assert!(fs::read(&out).unwrap() == before);
}

#[test]
fn a_torn_line_and_errors_are_tried_again_and_wrong_lines_end_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("prompts"), folder.path().join("answers"));
    let lines = [r#"{"id": 1, "prompt": "a"}"#, r#"{"id": 2, "prompt": 5}"#, "no JSON", r#"{"id": 4, "prompt": "b"}"#];
    fs::write(&file, lines.join("\n")).unwrap();
    // The first is answered, the last was torn by a kill.
    let kept = r#"{"index":0,"id":1,"text":"kept"}"#;
    fs::write(&out, format!("{kept}\n{{\"index\":2,\"error\":\"once\"}}\n{{\"index\":3,\"id\":4,\"te")).unwrap();
    let demo = demo();
    let batch = ["batch", "--model", demo.to_str().unwrap(), "--file", file.to_str().unwrap()];
    let rest = ["--out", out.to_str().unwrap(), "--tokens", "3", "--quiet", "--temperature", "0"];
    let output = cli(&[&batch[..], &rest].concat(), "");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && error.contains("2 of 4"), "{error}");
    let found = answers(&out);
    assert_eq!(found.len(), 4);
    assert_eq!(found[&0]["text"], "kept");
    assert!(found[&1]["error"].as_str().unwrap().contains("string") && found[&1]["id"] == 2, "{}", found[&1]);
    assert!(found[&2]["error"].is_string() && found[&3]["text"].is_string());
    assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), 4);
    fs::write(&out, "a letter\nto a friend\n").unwrap();
    let (status, error) = failed(&[&batch[..], &rest].concat(), "");
    assert!(status == 4 && error.contains("line 1"), "{error}");
    assert_eq!(fs::read_to_string(&out).unwrap(), "a letter\nto a friend\n");
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_whole_lines_and_the_next_run_does_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("prompts"), folder.path().join("answers"));
    let lines: Vec<String> = (0..40).map(|count| format!("\"{count}\"")).collect();
    fs::write(&file, lines.join("\n")).unwrap();
    let demo = demo();
    let arguments = ["batch", "--model", demo.to_str().unwrap(), "--file", file.to_str().unwrap(), "--raw", "--quiet"];
    let rest = ["--out", out.to_str().unwrap(), "--tokens", "64", "--temperature", "2", "--at-once", "2"];
    let arguments = [&arguments[..], &rest].concat();
    let mut child =
        Command::new(env!("CARGO_BIN_EXE_huacaya-cli")).args(&arguments).stdin(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while fs::metadata(&out).map_or(0, |file| file.len()) == 0 && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap().code();
    let first = answers(&out).len();
    // It may have come to its end first.
    assert!(first >= 1 && (status == Some(130) || first == 40), "{status:?} {first}");
    said(&arguments, "");
    assert_eq!(answers(&out).len(), 40);
    assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), 40, "none twice");
}
