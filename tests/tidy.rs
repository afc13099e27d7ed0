//! The house rules as tests: what may depend on what, what stands where, how long a file may grow.

#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Our crates and which of our crates each may use (normal dependencies). ARCHITECTURE.md draws the same table.
const ARROWS: &[(&str, &[&str])] = &[
    ("huacaya-progress", &[]),
    ("huacaya-kernels", &[]),
    ("huacaya-weights", &["huacaya-kernels", "huacaya-progress"]),
    ("huacaya-gpu", &["huacaya-kernels", "huacaya-progress"]),
    ("huacaya-engine", &["huacaya-gpu", "huacaya-weights", "huacaya-kernels", "huacaya-progress"]),
    ("huacaya-train", &["huacaya-engine", "huacaya-weights", "huacaya-progress"]),
    ("huacaya-hub", &["huacaya-progress"]),
    ("huacaya-loopback", &[]),
    ("huacaya-store", &[]),
    ("huacaya-app", &["huacaya-progress", "huacaya-weights", "huacaya-engine", "huacaya-hub", "huacaya-store"]),
    ("huacaya-server", &["huacaya-app"]),
    ("huacaya-cli", &["huacaya-app", "huacaya-server"]),
    ("huacaya-xtask", &[]),
    ("huacaya", &["huacaya-app", "huacaya-server"]),
];

/// Libraries that one crate alone may name, so that what they can do happens in one place.
const OWNERS: &[(&str, &[&str])] = &[
    ("sqlx", &["huacaya-store"]),
    ("tauri", &["huacaya"]),
    ("candle-core", &["huacaya-engine", "huacaya-train"]),
    ("candle-nn", &["huacaya-engine", "huacaya-train"]),
    ("memmap2", &["huacaya-weights"]),
    ("wgpu", &["huacaya-gpu"]),
    ("tokenizers", &["huacaya-engine"]),
    ("minijinja", &["huacaya-engine"]),
    ("llguidance", &["huacaya-engine"]),
    ("reqwest", &["huacaya-hub"]),
    ("hf-hub", &["huacaya-hub"]),
];

/// Past this, a file holds more than one noun.
const LINES_MAX: usize = 700;

/// Where `unsafe` may stand: arithmetic, the mapped file, and one environment setting before any thread starts.
const UNSAFE_ALLOWED: &[&str] = &["crates/kernels/", "crates/weights/", "src-tauri/src/main.rs"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Every file that git tracks or would track, by path from the root, with one of these endings.
fn files(endings: &[&str]) -> Vec<(String, String)> {
    let list = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files");
    let names = String::from_utf8(list.stdout).unwrap();
    let mut files: Vec<(String, String)> = names
        .split('\0')
        .filter(|name| endings.iter().any(|ending| name.ends_with(ending)))
        .filter_map(|name| Some((name.to_owned(), fs::read_to_string(root().join(name)).ok()?)))
        .collect();
    files.sort();
    files.dedup();
    assert!(!files.is_empty(), "no {endings:?} files found");
    files
}

fn none(broken: Vec<String>, rule: &str) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// Package name -> names of its normal dependencies.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let mut all = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let normal =
            package["dependencies"].as_array().unwrap().iter().filter(|dependency| dependency["kind"].is_null());
        let names = normal.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect();
        all.insert(package["name"].as_str().unwrap().to_owned(), names);
    }
    all
}

#[test]
fn arrows_between_crates_point_down_as_drawn() {
    let found = dependencies();
    let drawn: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let ours: BTreeSet<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(ours, drawn.keys().copied().collect(), "the table in this test names every crate");
    for (package, uses) in &found {
        for used in uses.iter().filter(|used| ours.contains(used.as_str())) {
            assert!(drawn[package.as_str()].contains(&used.as_str()), "{package} may not use {used}");
        }
    }
}

#[test]
fn each_powerful_library_is_named_by_its_owner_alone() {
    for (package, uses) in dependencies() {
        for (library, owners) in OWNERS {
            assert!(
                !uses.contains(*library) || owners.contains(&package.as_str()),
                "{package} may not use {library}: only {owners:?} may"
            );
        }
    }
}

#[test]
fn every_rust_file_says_what_lives_there() {
    let broken = files(&[".rs"]).into_iter().filter(|(name, text)| {
        !name.starts_with("fuzz/") && !text.trim_start_matches("#![no_main]").trim_start().starts_with("//!")
    });
    none(broken.map(|(name, _)| name).collect(), "the first line of a Rust file is a `//!` that says what lives there");
}

#[test]
fn no_file_grows_past_one_noun() {
    let long = files(&[".rs", ".ts", ".svelte"])
        .into_iter()
        .filter(|(name, text)| text.lines().count() > LINES_MAX && !name.ends_with("bindings.ts"));
    let named = long.map(|(name, text)| format!("{name}: {} lines", text.lines().count()));
    none(named.collect(), "a file has at most 700 lines");
}

#[test]
fn unsafe_stands_where_it_may_and_says_why_it_is_sound() {
    let mut broken = Vec::new();
    for (name, text) in files(&[".rs"]) {
        if name == "tests/tidy.rs" {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            let opens = ["unsafe {", "unsafe impl", "unsafe fn"].iter().any(|word| code.contains(word));
            if !opens {
                continue;
            }
            let before = &lines[number.saturating_sub(8)..=number];
            let reasoned = before.iter().any(|line| line.contains("SAFETY") || line.contains("# Safety"));
            if !reasoned || !UNSAFE_ALLOWED.iter().any(|place| name.starts_with(place)) {
                broken.push(format!("{name}:{}", number + 1));
            }
        }
    }
    none(broken, "`unsafe` stands in kernels, weights or at the top of main, with a SAFETY comment");
}

#[test]
fn names_say_something() {
    let empty = ["Manager", "Service", "Helper", "Helpers", "Util", "Utils"];
    let mut broken = Vec::new();
    for (name, text) in files(&[".rs", ".ts", ".svelte"]) {
        if name == "tests/tidy.rs" {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let words: Vec<&str> =
                line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
            let vague =
                |word: &str| empty.iter().any(|end| word.ends_with(end)) || ["utils", "helpers"].contains(&word);
            let declares = ["struct", "enum", "trait", "class", "mod", "interface"];
            if words.windows(2).any(|pair| declares.contains(&pair[0]) && vague(pair[1])) {
                broken.push(format!("{name}:{}", number + 1));
            }
        }
    }
    none(broken, "no Manager, Service, Helper, Util");
}

#[test]
fn raw_html_goes_through_one_component() {
    let with: Vec<String> =
        files(&[".svelte"]).into_iter().filter(|(_, text)| text.contains("{@html")).map(|(name, _)| name).collect();
    assert!(with.len() <= 1, "{{@html}} stands only in the audited Markdown component, found in {with:?}");
}

#[test]
fn no_test_is_switched_off_and_nothing_is_left_for_later() {
    let marks = [
        "#[ignore",
        "it.skip(",
        "it.only(",
        "test.skip(",
        "test.only(",
        "describe.skip(",
        "describe.only(",
        "TODO",
        "FIXME",
        "todo!(",
    ];
    let mut broken = Vec::new();
    for (name, text) in files(&[".rs", ".ts", ".svelte", ".mjs"]) {
        if name == "tests/tidy.rs" {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                broken.push(format!("{name}:{}", number + 1));
            }
        }
    }
    none(broken, "tests run, and what is left is an issue, not a comment");
}

#[test]
fn lock_files_name_no_registry_address() {
    let broken = files(&["package-lock.json"]).into_iter().filter(|(_, text)| text.contains("\"resolved\": \"http"));
    none(
        broken.map(|(name, _)| name).collect(),
        "set omit-lockfile-registry-resolved=true in ui/.npmrc and lock again",
    );
}
