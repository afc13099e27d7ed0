//! `models search` and `models pull` against a hub on loopback.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use huacaya_loopback::{Fault, Loopback, RepositorySpec};
use serde_json::Value;

use crate::{cli, demo, run};

/// A hub with two models, and the bytes of the smaller one, which is no model of the library yet.
fn hub() -> (Loopback, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let small = folder.path().join("small.gguf");
    let demo = demo();
    said(&cli(&["quantize", demo.to_str().unwrap(), small.to_str().unwrap(), "--type", "Q4_K_M", "--quiet"], ""));
    let bytes = fs::read(small).unwrap();
    let hub = Loopback::start();
    let large = fs::read(demo).unwrap();
    hub.add(RepositorySpec::new("team/demo").file("small.gguf", bytes.clone()).file("large.gguf", large));
    (hub, bytes)
}

fn at(home: &Path, hub: &Loopback, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_huacaya-cli"));
    command.env("HUACAYA_HOME", home).env("HF_ENDPOINT", hub.url()).env("HF_HOME", home.join("no cache"));
    run(command.args(arguments), "")
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_model_is_found_on_the_hub_fetched_by_its_name_and_answers() {
    let (home, (hub, bytes)) = (tempfile::tempdir().unwrap(), hub());
    let home = home.path();
    assert!(said(&at(home, &hub, &["models", "search", "demo"])).contains("team/demo"));
    let hits: Value = serde_json::from_str(&said(&at(home, &hub, &["models", "search", "demo", "--json"]))).unwrap();
    assert_eq!(hits[0]["repository"], "team/demo");
    let unclear = at(home, &hub, &["models", "pull", "team/demo"]);
    let error = String::from_utf8(unclear.stderr).unwrap();
    assert!(
        unclear.status.code() == Some(2) && error.contains("small.gguf") && error.contains("large.gguf"),
        "{error}"
    );
    let pulled = at(home, &hub, &["models", "pull", "team/demo", "small.gguf", "--json", "--quiet"]);
    let model: Value = serde_json::from_str(&said(&pulled)).unwrap();
    let name = model["name"].as_str().unwrap();
    assert!(fs::read(model["path"].as_str().unwrap()).unwrap() == bytes);
    let words = at(home, &hub, &["generate", "--model", name, "--prompt", "你好", "--tokens", "2", "--quiet"]);
    assert!(!said(&words).trim().is_empty());
}

#[test]
fn what_the_hub_has_not_and_a_hub_that_is_not_there_are_told_apart() {
    let (home, (hub, _)) = (tempfile::tempdir().unwrap(), hub());
    let missing = at(home.path(), &hub, &["models", "pull", "team/nothing"]);
    assert_eq!(missing.status.code(), Some(3), "{}", String::from_utf8_lossy(&missing.stderr));
    hub.fault("/api/models", Fault::Status(503).at_hub());
    let broken = at(home.path(), &hub, &["models", "search", "demo"]);
    assert_eq!(broken.status.code(), Some(6), "{}", String::from_utf8_lossy(&broken.stderr));
}
