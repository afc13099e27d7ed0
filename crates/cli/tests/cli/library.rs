//! The library's commands, each on a data folder of its own.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use huacaya_app::{App, Places};
use serde_json::Value;

use crate::{demo, run};

fn at(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_huacaya-cli"));
    run(command.env("HUACAYA_HOME", home).args(arguments), "")
}

fn said(home: &Path, arguments: &[&str]) -> String {
    let output = at(home, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(home: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&said(home, arguments)).unwrap()
}

/// Standard error of a command that fails with this status.
fn failed(status: i32, home: &Path, arguments: &[&str]) -> String {
    let output = at(home, arguments);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_model_is_imported_listed_verified_looked_into_and_taken_off_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("数据 home");
    let file = folder.path().join("my copy.gguf");
    fs::copy(demo(), &file).unwrap();
    let name = said(&home, &["models", "import", file.to_str().unwrap(), "--quiet"]);
    let name = name.trim();
    let listed = json(&home, &["models", "list", "--json"]);
    let names: Vec<&str> = listed.as_array().unwrap().iter().filter_map(|model| model["name"].as_str()).collect();
    assert!(names.len() == 2 && names.contains(&name), "{names:?}");
    assert!(said(&home, &["models", "ls"]).contains("my copy.gguf"));
    let sum = Command::new("sha256sum").arg(&file).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    let verified = said(&home, &["models", "verify", name, "--quiet"]);
    assert!(verified.contains(sum.split(' ').next().unwrap()), "{verified}");
    let inside = json(&home, &["models", "inspect", "MY COPY", "--json"]);
    assert_eq!(inside["inside"]["format"], "GGUF");
    assert!(said(&home, &["models", "show", name]).contains("general.architecture = llama"));
    assert_eq!(json(&home, &["models", "rm", name, "--json"])["removed"], name);
    assert_eq!(json(&home, &["models", "list", "--json"]).as_array().unwrap().len(), 1);
    assert!(file.exists(), "a file outside the storage folder stays");
}

#[test]
fn an_unknown_model_is_answered_with_the_names_of_the_list() {
    let home = tempfile::tempdir().unwrap();
    for command in ["rm", "inspect", "verify"] {
        let error = failed(3, home.path(), &["models", command, "gpt-9"]);
        assert!(error.contains("gpt-9") && error.contains("Huacaya Demo"), "{error}");
    }
    let error = failed(3, home.path(), &["models", "import", "/no/such.gguf"]);
    assert!(error.contains("/no/such.gguf"), "{error}");
}

#[test]
fn chats_come_in_are_found_and_go_out_again() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let from_elsewhere = folder.path().join("conversations.json");
    let message = |role: &str, text: &str| serde_json::json!({"author": {"role": role}, "content": {"content_type": "text", "parts": [text]}});
    let conversation = serde_json::json!([{
        "title": "羊驼", "create_time": 1.0, "current_node": "b",
        "mapping": {
            "a": {"id": "a", "parent": null, "children": ["b"], "message": message("user", "What is an alpaca?")},
            "b": {"id": "b", "parent": "a", "children": [], "message": message("assistant", "An animal.")},
        }
    }]);
    fs::write(&from_elsewhere, conversation.to_string()).unwrap();
    let came = json(&one, &["chats", "import", from_elsewhere.to_str().unwrap(), "--json"]);
    assert_eq!((came["chats"].as_u64(), came["messages"].as_u64()), (Some(1), Some(2)));
    let chats = json(&one, &["chats", "list", "--json"]);
    let id = chats[0]["id"].to_string();
    assert!(said(&one, &["chats", "list"]).contains("羊驼"));
    assert!(said(&one, &["chats", "search", "alpaca"]).contains("alpaca"));
    let text = said(&one, &["chats", "export", &id]);
    assert!(text.contains("What is an alpaca?") && text.contains("An animal."), "{text}");
    let all = folder.path().join("all.json");
    said(&one, &["chats", "export", "--format", "json", "--to", all.to_str().unwrap()]);
    assert!(failed(1, &one, &["chats", "export", "--to", all.to_str().unwrap()]).contains("stands there already"));
    assert!(failed(3, &one, &["chats", "export", "999"]).contains("999"));
    assert_eq!(json(&other, &["chats", "import", all.to_str().unwrap(), "--json"])["messages"], 2);
    fs::write(&all, "no chats").unwrap();
    assert!(failed(4, &other, &["chats", "import", all.to_str().unwrap()]).starts_with("error: "));
}

#[test]
fn doctor_tells_the_version_and_the_data_folder_that_is_used() {
    let home = tempfile::tempdir().unwrap();
    let found = json(home.path(), &["doctor", "--json"]);
    assert_eq!(found["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(found["home"], home.path().to_str().unwrap());
    assert!(found["instruction_sets"].is_array() && found["devices"].is_array());
    let words = said(home.path(), &["doctor"]);
    assert!(words.contains("instruction sets:"), "{words}");
    let sentence = words.lines().find(|line| line.starts_with("recommended: ")).unwrap();
    assert!(!sentence.contains('{'), "words, no JSON: {sentence}");
    assert_eq!(
        (&found["computing"]["backend"], &found["computing"]["kernels_why"]),
        (&"native".into(), &"usual".into())
    );
}

#[test]
fn the_environment_goes_before_the_settings_and_doctor_says_so() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    set(home, "compute_backend", "candle".into());
    assert_eq!(json(home, &["doctor", "--json"])["computing"]["backend"], "candle");
    set(home, "compute_backend", Value::Null);
    let sets = json(home, &["doctor", "--json"])["instruction_sets"].clone();
    set(home, "compute_kernels", sets[0].clone());
    let under = |variable: &str, value: &str, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_huacaya-cli"));
        let output = run(command.env("HUACAYA_HOME", home).env(variable, value).args(arguments), "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let demo = demo();
    let bench = ["bench", "--model", demo.to_str().unwrap(), "--prompt", "4", "--tokens", "2", "--json", "--quiet"];
    let forced: Value = serde_json::from_str(&under("HUACAYA_KERNELS", "portable", &bench)).unwrap();
    assert_eq!(forced["kernels"], "portable", "{forced}");
    let told = under("HUACAYA_KERNELS", "portable", &["doctor"]);
    assert!(told.contains("kernels portable (forced by the environment)"), "{told}");
    let ignored = under("HUACAYA_KERNELS", "avx9000", &["doctor"]);
    assert!(ignored.contains("HUACAYA_KERNELS=avx9000 names no instruction set"), "{ignored}");
    let candle = under("HUACAYA_BACKEND", "candle", &["doctor"]);
    assert!(candle.contains("computing: candle (forced by the environment)"), "{candle}");
}

#[test]
fn shells_and_manuals_know_every_command() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        assert!(said(folder.path(), &["completions", shell]).contains("perplexity"), "{shell}");
    }
    let pages = folder.path().join("man");
    said(folder.path(), &["man", pages.to_str().unwrap()]);
    let names: Vec<String> =
        fs::read_dir(&pages).unwrap().map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().any(|name| name.starts_with("huacaya-cli-models")), "{names:?}");
}

#[test]
fn quantize_takes_in_and_out_and_a_type() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("small.gguf");
    let to = out.to_str().unwrap().to_owned();
    // By its name in the library.
    let from = "huacaya-demo";
    said(folder.path(), &["quantize", from, &to, "--type", "Q4_K_M", "--quiet"]);
    let text = said(folder.path(), &["generate", "--model", &to, "--prompt", "你好", "--tokens", "2", "--quiet"]);
    assert!(!text.is_empty());
    assert!(failed(1, folder.path(), &["quantize", from, &to, "--type", "Q4_K_M"]).contains("stands there already"));
    let wrong = at(folder.path(), &["quantize", from, "--type", "Q4_K_M"]);
    assert_eq!(wrong.status.code(), Some(2), "without OUT");
}

#[test]
fn what_the_command_line_says_of_computing_reaches_the_decoder() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("data");
    let demo = demo();
    let bench = |more: &[&str]| {
        let sizes = ["--prompt", "4", "--tokens", "2", "--json", "--quiet"];
        json(&home, &[&["bench", "--model", demo.to_str().unwrap()], &sizes[..], more].concat())
    };
    let plain = bench(&[]);
    assert_eq!((&plain["backend"], &plain["kv"]), (&"native".into(), &"f16".into()), "{plain}");
    // More than any machine's cores, so that it cannot be what it takes by itself.
    let told = bench(&["--threads", "37", "--kv", "q4_0"]);
    assert_eq!((&told["threads"], &told["kv"]), (&37.into(), &"q4_0".into()), "{told}");
    assert!(!home.exists(), "a model given by its path needs no data folder");
    // The library's settings, and the line before them.
    said(&home, &["models", "list"]);
    set(&home, "compute_kv", "q8_0".into());
    assert_eq!(bench(&[])["kv"], "q8_0");
    assert_eq!(bench(&["--kv", "f16"])["kv"], "f16");
}

fn set(home: &Path, key: &str, value: Value) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let app = App::open(Places::at(home).unwrap()).await.unwrap();
        app.call("set_setting", serde_json::json!({"key": key, "value": value})).await.unwrap();
        app.shut_down().await;
    });
}
