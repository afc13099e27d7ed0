//! Merges that are refused, stopped or killed: the reason is named, and nothing half-made is left behind.

#![allow(clippy::unwrap_used)] // a test may panic

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use huacaya_progress::unwatched;
use huacaya_weights::{Adapter, Checkpoint, Fault, Kind, is_adapter, merge, merged_size};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/merge").join(name)
}

/// Copies of a golden case's folders, to be changed.
struct Case {
    place: tempfile::TempDir,
}

type Tensor = (String, Dtype, Vec<usize>, Vec<u8>);

impl Case {
    fn new(name: &str) -> Case {
        let place = tempfile::tempdir().unwrap();
        for folder in ["base", "adapter"] {
            let to = place.path().join(folder);
            fs::create_dir(&to).unwrap();
            for entry in fs::read_dir(golden(name).join(folder)).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
        Case { place }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn configure(&self, change: impl FnOnce(&mut Value)) {
        let path = self.path("adapter/adapter_config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut config);
        fs::write(path, config.to_string()).unwrap();
    }

    /// Changes the list of the adapter's tensors.
    fn tensors(&self, change: impl FnOnce(&mut Vec<Tensor>)) {
        let path = self.path("adapter/adapter_model.safetensors");
        let bytes = fs::read(&path).unwrap();
        let read = SafeTensors::deserialize(&bytes).unwrap();
        let mut tensors: Vec<Tensor> = read
            .iter()
            .map(|(name, view)| (name.to_owned(), view.dtype(), view.shape().to_vec(), view.data().to_vec()))
            .collect();
        change(&mut tensors);
        let views = tensors
            .iter()
            .map(|(name, dtype, shape, data)| (name.clone(), TensorView::new(*dtype, shape.clone(), data).unwrap()));
        fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    }

    /// What a merge says; it must leave nothing behind.
    fn refused(&self) -> (Kind, String) {
        self.refused_with(&[(self.path("adapter"), 1.0)])
    }

    fn refused_with(&self, adapters: &[(PathBuf, f32)]) -> (Kind, String) {
        let out = self.path("out");
        let error = merge(&self.path("base"), adapters, &out, &mut unwatched()).unwrap_err();
        let planned = merged_size(&self.path("base"), adapters).unwrap_err();
        assert_eq!(error.to_string(), planned.to_string());
        assert!(!out.exists() && !self.path("out.part").exists());
        (error.kind(), error.to_string())
    }
}

fn assert_says(found: (Kind, String), kind: Kind, words: &[&str]) {
    assert_eq!(found.0, kind, "{}", found.1);
    words.iter().for_each(|word| assert!(found.1.contains(word), "{word} is not in: {}", found.1));
}

#[test]
fn another_base_is_refused_by_names_shapes_and_vocabulary() {
    let case = Case::new("plain");
    fs::remove_dir_all(case.path("base")).unwrap();
    fs::rename(Case::new("turned").path("base"), case.path("base")).unwrap();
    assert_says(case.refused(), Kind::Refused, &["does not belong to this base model", "has no \"model.layers.0."]);

    let case = Case::new("plain");
    case.tensors(|tensors| {
        let b = tensors.iter_mut().find(|tensor| tensor.0.ends_with("up_proj.lora_B.weight")).unwrap();
        (b.2, b.3) = (vec![73, 4], vec![1; 73 * 4 * 4]);
    });
    assert_says(case.refused(), Kind::Refused, &["up_proj.weight", "made for [73, 64]", "has [72, 64]"]);

    let case = Case::new("plain");
    fs::copy(golden("vocabulary/adapter/tokenizer.model"), case.path("adapter/tokenizer.model")).unwrap();
    assert_says(case.refused(), Kind::Refused, &["55 tokens", "has 40", "made for another base model"]);
}

#[test]
fn a_vocabulary_unlike_the_adapters_tokenizer_is_refused() {
    let case = Case::new("vocabulary");
    let tokenizer = case.path("adapter/tokenizer.model");
    fs::copy(case.path("base/tokenizer.model"), &tokenizer).unwrap();
    assert_says(case.refused(), Kind::Refused, &["40 tokens", "has 55", "its tokenizer do not fit together"]);
    fs::remove_file(&tokenizer).unwrap();
    assert_says(case.refused(), Kind::Refused, &["40 tokens", "has 55", "Fetch its tokenizer files, too"]);
    fs::remove_file(case.path("base/tokenizer.model")).unwrap();
    assert_says(case.refused(), Kind::Refused, &["embeddings for 55 tokens, but no tokenizer"]);
    let json = |count: usize| {
        let vocab: serde_json::Map<_, _> = (0..count - 1).map(|id| (format!("p{id}"), id.into())).collect();
        json!({ "model": { "vocab": vocab }, "added_tokens": [{ "id": count - 1, "content": "<pad>" }] }).to_string()
    };
    fs::write(case.path("adapter/tokenizer.json"), json(54)).unwrap();
    assert_says(case.refused(), Kind::Refused, &["54 tokens", "has 55"]);
    fs::write(case.path("adapter/tokenizer.json"), json(55)).unwrap();
    merge(&case.path("base"), &[(case.path("adapter"), 1.0)], &case.path("out"), &mut unwatched()).unwrap();
}

#[test]
fn an_incomplete_adapter_is_refused() {
    let case = Case::new("plain");
    case.tensors(|tensors| tensors.retain(|tensor| !tensor.0.ends_with("up_proj.lora_B.weight")));
    assert_says(case.refused(), Kind::Incomplete, &["up_proj\" has no lora_B"]);
    case.tensors(|tensors| tensors.retain(|tensor| !tensor.0.contains("up_proj")));
    assert_says(
        case.refused(),
        Kind::Refused,
        &["changes \"up_proj\", but has nothing for \"model.layers.0.mlp.up_proj"],
    );
    case.configure(|config| config["modules_to_save"] = json!(["lm_head"]));
    case.configure(|config| config["target_modules"] = json!("all-linear"));
    assert_says(case.refused(), Kind::Refused, &["brings \"lm_head\", but does not have it"]);
    case.configure(|config| config["r"] = json!(5));
    assert_says(case.refused(), Kind::Damaged, &["has the rank [4, 4]", "says 5"]);
    fs::remove_file(case.path("adapter/adapter_model.safetensors")).unwrap();
    assert_says(case.refused(), Kind::Incomplete, &["neither adapter_model.safetensors nor adapter_model.bin"]);
}

#[test]
fn an_adapter_that_adds_nothing_is_refused() {
    let case = Case::new("plain");
    case.tensors(|tensors| {
        tensors.iter_mut().filter(|tensor| tensor.0.contains("lora_B")).for_each(|tensor| tensor.3.fill(0));
    });
    assert_says(case.refused(), Kind::Refused, &["adds nothing"]);
    let case = Case::new("plain");
    case.configure(|config| config["lora_alpha"] = json!(0));
    assert_says(case.refused(), Kind::Refused, &["adds nothing"]);
    for strength in [0.0, f32::NAN, f32::INFINITY, 17.0] {
        assert_says(case.refused_with(&[(case.path("adapter"), strength)]), Kind::Refused, &["was given the strength"]);
    }
    assert_says(case.refused_with(&[]), Kind::Refused, &["no adapter was chosen"]);
}

#[test]
fn two_adapters_that_bring_the_same_embeddings_conflict() {
    let case = Case::new("vocabulary");
    let adapter = case.path("adapter");
    assert_says(
        case.refused_with(&[(adapter.clone(), 1.0), (adapter, 0.5)]),
        Kind::Refused,
        &["lm_head.weight", "whole"],
    );
}

#[test]
fn kinds_of_adapters_that_are_not_supported_are_named() {
    let settings = [
        ("use_dora", json!(true), "use_dora (true)"),
        ("bias", json!("all"), "bias (\"all\")"),
        ("lora_bias", json!(true), "lora_bias"),
        ("init_lora_weights", json!("pissa"), "init_lora_weights (\"pissa\")"),
        ("layer_replication", json!([[0, 1]]), "layer_replication"),
        ("trainable_token_indices", json!([1]), "trainable_token_indices"),
        ("peft_type", json!("IA3"), "the kind \"IA3\""),
        ("rank_pattern", json!({".*_proj|x": 4}), "rank_pattern"),
    ];
    for (setting, value, words) in settings {
        let case = Case::new("plain");
        case.configure(|config| config[setting] = value);
        assert_says(case.refused(), Kind::Unsupported, &[words]);
    }
    let case = Case::new("plain");
    case.tensors(|tensors| {
        tensors[0].0 = "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector".into()
    });
    assert_says(case.refused(), Kind::Unsupported, &["lora_magnitude_vector"]);
}

#[test]
fn impossible_configurations_are_refused() {
    let settings = [
        ("r", json!(0)),
        ("r", json!(u64::MAX)),
        ("r", json!(-1)),
        ("r", json!("4")),
        ("lora_alpha", json!(null)),
        ("lora_alpha", json!([])),
        ("fan_in_fan_out", json!(1)),
        ("target_modules", json!([1])),
        ("modules_to_save", json!({})),
        ("rank_pattern", json!({ "q_proj": 0 })),
        ("alpha_pattern", json!([])),
    ];
    for (setting, value) in settings {
        let case = Case::new("plain");
        case.configure(|config| config[setting] = value);
        assert_says(case.refused(), Kind::Damaged, &[setting, "cannot be"]);
    }
    for text in ["", "[]", "{", "null", &"[".repeat(100_000)] {
        let case = Case::new("plain");
        fs::write(case.path("adapter/adapter_config.json"), text).unwrap();
        case.refused();
    }
}

#[test]
fn what_is_no_base_or_no_adapter_is_said_to_be_so() {
    let case = Case::new("plain");
    assert!(is_adapter(&case.path("adapter")) && !is_adapter(&case.path("base")));
    let adapter = Adapter::open(&case.path("adapter/adapter_model.safetensors")).unwrap();
    assert_eq!((adapter.config().rank, adapter.config().alpha, adapter.vocabulary()), (4, 8.0, None));
    assert_eq!(adapter.list().len(), 14);
    let factors = adapter.factors("model.layers.0.mlp.down_proj.weight").unwrap().unwrap();
    assert_eq!((factors.rows, factors.rank, factors.columns, factors.scale), (64, 4, 72, 2.0));
    assert_eq!((adapter.changed().count(), adapter.replacing().count()), (7, 0));
    assert!(adapter.factors("lm_head.weight").unwrap().is_none());
    let replacing = Adapter::open(&golden("vocabulary/adapter")).unwrap();
    assert_eq!(replacing.replacing().collect::<Vec<_>>(), ["lm_head.weight", "model.embed_tokens.weight"]);
    assert_eq!(replacing.replacement("lm_head.weight").unwrap().unwrap().shape, [55, 64]);
    assert!(matches!(Checkpoint::open(&case.path("adapter")).unwrap_err().fault, Fault::AdapterAlone));
    let base = case.path("base");
    fs::remove_dir_all(&base).unwrap();
    fs::create_dir(&base).unwrap();
    let gguf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/python.gguf");
    fs::copy(gguf, base.join("model.gguf")).unwrap();
    assert_says(case.refused(), Kind::Refused, &["is a GGUF file"]);
}

#[test]
fn what_stands_there_is_never_touched() {
    let case = Case::new("plain");
    let (base, out) = (case.path("base"), case.path("out"));
    fs::write(&out, b"mine").unwrap();
    let error = merge(&base, &[(case.path("adapter"), 1.0)], &out, &mut unwatched()).unwrap_err();
    assert!(error.to_string().contains("stands there already"), "{error}");
    assert_eq!(fs::read(&out).unwrap(), b"mine");
    let inside = merge(&base, &[(case.path("adapter"), 1.0)], &out.join("deeper"), &mut unwatched()).unwrap_err();
    assert_eq!(inside.kind(), Kind::Io);
}

#[test]
fn a_merge_stopped_at_any_point_leaves_nothing() {
    let case = Case::new("plain");
    let (base, adapters, out) = (case.path("base"), [(case.path("adapter"), 1.0)], case.path("out"));
    let mut points = 0;
    merge(&base, &adapters, &case.path("whole"), &mut |_| {
        points += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(points > 12);
    for stop in 0..points {
        let mut left = stop;
        let mut watch = |_| {
            left -= 1;
            if left < 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let error = merge(&base, &adapters, &out, &mut watch).unwrap_err();
        assert_eq!(error.kind(), Kind::Stopped);
        assert!(!out.exists() && !case.path("out.part").exists());
    }
}

/// The program that the test below kills: this one again, told where to merge.
#[test]
fn a_merge_in_a_process_of_its_own() {
    let Some(place) = std::env::var_os("MERGE_SLOWLY_IN").map(PathBuf::from) else { return };
    let mut watch = |_| {
        std::thread::sleep(Duration::from_millis(4));
        ControlFlow::Continue(())
    };
    merge(&place.join("base"), &[(place.join("adapter"), 1.0)], &place.join("out"), &mut watch).unwrap();
}

#[test]
fn a_merge_killed_at_any_point_leaves_no_model_and_can_be_run_again() {
    let whole = Case::new("plain");
    merge(&whole.path("base"), &[(whole.path("adapter"), 1.0)], &whole.path("out"), &mut unwatched()).unwrap();
    let wanted = fs::read(whole.path("out/model.safetensors")).unwrap();
    let case = Case::new("plain");
    for trial in 0..20 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_merge_in_a_process_of_its_own"])
            .env("MERGE_SLOWLY_IN", case.place.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(5 * trial));
        let _ = child.kill();
        child.wait().unwrap();
        let out = case.path("out");
        if out.exists() {
            assert_eq!(fs::read(out.join("model.safetensors")).unwrap(), wanted, "trial {trial}");
            fs::remove_dir_all(&out).unwrap();
        }
    }
    merge(&case.path("base"), &[(case.path("adapter"), 1.0)], &case.path("out"), &mut unwatched()).unwrap();
    assert_eq!(fs::read(case.path("out/model.safetensors")).unwrap(), wanted);
    assert!(!case.path("out.part").exists());
}

/// A limit on the size of files stands for the full disk: writing fails in the same way, at the same places.
#[cfg(unix)]
#[test]
fn a_disk_that_is_full_leaves_nothing() {
    // In blocks of 512 bytes or of 1,024, by the shell: past the header, and in the middle of the tensors.
    for blocks in [0, 1, 20, 60] {
        let case = Case::new("plain");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" --exact a_merge_in_a_process_of_its_own");
        let child = Command::new("sh")
            .args(["-c", &script])
            .arg(std::env::current_exe().unwrap())
            .env("MERGE_SLOWLY_IN", case.place.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert!(!child.status.success(), "{blocks} blocks were enough");
        assert!(!case.path("out").exists() && !case.path("out.part").exists());
    }
}
