//! Merging LoRA adapters: equal to PEFT's own merge (tests/golden/merge.py), whole or not at all, refused with the reason.

#![allow(clippy::unwrap_used)] // a test may panic

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use huacaya_progress::Progress;
use huacaya_weights::{Checkpoint, MergeReport, merge, merged_size};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/merge").join(name)
}

/// A place whose path is in another script and has both kinds of blanks.
fn place() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("张 庭 綱/　data");
    fs::create_dir_all(&folder).unwrap();
    (place, folder)
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Merges a golden case and holds every tensor to PEFT's.
fn merged_as_peft_does(case: &str, adapters: &[(&str, f32)]) -> (tempfile::TempDir, PathBuf, MergeReport) {
    let (place, folder) = place();
    let (base, out) = (golden(case).join("base"), folder.join("合并"));
    let adapters: Vec<_> = adapters.iter().map(|(name, strength)| (golden(case).join(name), *strength)).collect();
    let mut last = Progress::default();
    let mut watch = |progress| {
        last = progress;
        ControlFlow::Continue(())
    };
    let report = merge(&base, &adapters, &out, &mut watch).unwrap();
    assert_eq!(report.bytes, merged_size(&base, &adapters).unwrap());
    assert_eq!(last.total, report.bytes);
    let expected: Value = serde_json::from_slice(&fs::read(golden(case).join("merged.json")).unwrap()).unwrap();
    let checkpoint = Checkpoint::open(&out).unwrap();
    assert_eq!(checkpoint.names().len(), expected.as_object().unwrap().len());
    for (name, wanted) in expected.as_object().unwrap() {
        let view = checkpoint.tensor(name).unwrap();
        assert_eq!(serde_json::json!(view.shape()), wanted["shape"], "{name}");
        assert_eq!(hex(&view.bytes), wanted["sha256"].as_str().unwrap(), "{case}: {name} differs from PEFT's");
    }
    (place, out, report)
}

#[test]
fn bf16_weights_are_those_of_peft_bit_for_bit() {
    let (_place, out, report) = merged_as_peft_does("plain", &[("adapter", 1.0)]);
    assert_eq!((report.changed, report.replaced, report.copied, report.vocabulary), (7, 0, 5, 40));
    let files =
        ["model.safetensors", "config.json", "generation_config.json", "tokenizer.model", "tokenizer_config.json"];
    assert_eq!(report.files, files);
    let mut found: Vec<_> =
        fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    let mut files = report.files.clone();
    files.sort();
    assert_eq!(found, files);
    assert!(!out.with_file_name("合并.part").exists());
}

#[test]
fn a_larger_vocabulary_comes_whole_with_its_tokenizer() {
    let (_place, out, report) = merged_as_peft_does("vocabulary", &[("adapter", 1.0)]);
    assert_eq!((report.changed, report.replaced, report.copied, report.vocabulary), (7, 2, 3, 55));
    let config: Value = serde_json::from_slice(&fs::read(out.join("config.json")).unwrap()).unwrap();
    assert_eq!((&config["vocab_size"], &config["hidden_size"]), (&55.into(), &64.into()));
    assert_eq!(huacaya_weights::vocabulary(&out).unwrap(), Some(55));
    let adapters = golden("vocabulary/adapter");
    assert_eq!(fs::read(out.join("tokenizer.model")).unwrap(), fs::read(adapters.join("tokenizer.model")).unwrap());
}

#[test]
fn several_adapters_are_added_in_their_order_with_their_strengths() {
    merged_as_peft_does("two", &[("first", 0.5), ("second", -1.25)]);
}

#[test]
fn matrices_stored_the_other_way_round_are_turned() {
    merged_as_peft_does("turned", &[("adapter", 1.0)]);
}

#[test]
fn lora_on_embeddings_is_added_to_them() {
    merged_as_peft_does("embeddings", &[("adapter", 1.0)]);
}
