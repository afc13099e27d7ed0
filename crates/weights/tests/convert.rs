//! Converting folders against llama.cpp's `convert_hf_to_gguf.py` (`tests/golden/convert.py`), and in one pass with
//! adapters against one step after another.

#![allow(clippy::unwrap_used)] // a test may panic

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use huacaya_progress::unwatched;
use huacaya_weights::convert::{Fault, Options, convert, target};
use huacaya_weights::gguf::{Array, File, Value};
use huacaya_weights::quantize::{Scheme, Wanted};
use huacaya_weights::{Fault as AnyFault, merge};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

const CASES: [&str; 7] = ["llama", "merges", "mistral", "llama3", "qwen2", "qwen3", "meta"];
/// As in the golden script: what is longer is a hash there.
const LIST_MAX: usize = 16;

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

fn wanted(scheme: Scheme) -> Wanted {
    Wanted { scheme, by_hand: Vec::new(), weighted: false }
}

fn options(scheme: Scheme, adapters: &[PathBuf]) -> Options {
    let adapters = adapters.iter().map(|path| (path.clone(), 1.0)).collect();
    Options { wanted: wanted(scheme), adapters, importance: None, threads: 2 }
}

fn expected(case: &str) -> Json {
    serde_json::from_slice(&fs::read(golden(&format!("convert/{case}/expected.json"))).unwrap()).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As gguf-py names the type.
fn kind(value: &Value) -> String {
    match value {
        Value::Array(array) => format!("ARRAY {}", array.kind().name()),
        other => other.kind().name().to_owned(),
    }
}

fn check_key(key: &str, value: &Value, wanted: &Json) {
    assert_eq!(kind(value), wanted["type"].as_str().unwrap(), "{key}");
    if let Value::Array(array) = value
        && array.len() > LIST_MAX
    {
        let bytes: Vec<u8> = match array {
            Array::String(texts) => texts.iter().flat_map(|text| [text.as_bytes(), b"\0"].concat()).collect(),
            Array::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Array::I32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            other => panic!("{key} is {other:?}"),
        };
        assert_eq!(
            (array.len() as u64, sha256(&bytes)),
            (wanted["length"].as_u64().unwrap(), text(&wanted["sha256"])),
            "{key}"
        );
        return;
    }
    let found = match value {
        Value::String(text) => Json::from(text.as_str()),
        Value::Bool(flag) => Json::from(*flag),
        Value::F32(number) => Json::from(f64::from(*number)),
        Value::Array(Array::String(texts)) => Json::from(texts.clone()),
        other => Json::from(other.as_integer().unwrap() as i64),
    };
    assert_eq!(found, wanted["value"], "{key}");
}

fn text(json: &Json) -> String {
    json.as_str().unwrap().to_owned()
}

#[test]
fn every_key_is_the_one_that_llama_cpp_writes() {
    let folder = tempfile::tempdir().unwrap();
    for case in CASES {
        let out = folder.path().join("out.gguf");
        let source = golden(&format!("convert/{case}/model"));
        convert(&source, &out, &options(Scheme::F16, &[]), &mut unwatched()).unwrap();
        let file = File::open(&out).unwrap();
        let mut keys = expected(case)["keys"].as_object().unwrap().clone();
        for (key, value) in file.metadata().iter().filter(|(key, _)| *key != "general.file_type") {
            let wanted = keys
                .remove(key)
                .unwrap_or_else(|| panic!("{case}: {key} is {value:?}, which llama.cpp does not write"));
            println!("{case}: {key}");
            check_key(key, value, &wanted);
        }
        assert!(keys.is_empty(), "{case}: not written: {keys:?}");
    }
}

#[test]
fn every_tensor_has_the_bytes_that_llama_cpp_writes() {
    let folder = tempfile::tempdir().unwrap();
    for case in CASES {
        let golden_tensors = &expected(case)["tensors"];
        for scheme in [Scheme::F16, Scheme::BF16, Scheme::F32] {
            let out = folder.path().join("out.gguf");
            let source = golden(&format!("convert/{case}/model"));
            let (_, size) = target(&source, &[], &wanted(scheme)).unwrap();
            let report = convert(&source, &out, &options(scheme, &[]), &mut unwatched()).unwrap();
            assert_eq!((report.bytes, size), (fs::metadata(&out).unwrap().len(), report.bytes));
            let file = File::open(&out).unwrap();
            assert_eq!(file.metadata().get::<u32>("general.file_type").unwrap(), scheme.file_type());
            let mut wanted = golden_tensors[scheme.name()].as_object().unwrap().clone();
            for tensor in file.tensors() {
                let at = format!("{case}, {scheme}, {}", tensor.name);
                let row = wanted.remove(&tensor.name).unwrap_or_else(|| panic!("{at}: one too many"));
                assert_eq!(tensor.format.name(), text(&row["type"]), "{at}");
                assert_eq!(serde_json::json!(tensor.dimensions), row["dimensions"], "{at}");
                match row["values"].as_array() {
                    // Powers may differ in the last bit from one library to the next.
                    Some(values) => {
                        let found = file.bytes(tensor).as_chunks().0.iter().map(|&b| f64::from(f32::from_le_bytes(b)));
                        for (found, wanted) in found.zip(values) {
                            let wanted = wanted.as_f64().unwrap();
                            assert!((found / wanted - 1.0).abs() < 1e-5, "{at}: {found}, {wanted}");
                        }
                    }
                    None => assert_eq!(sha256(file.bytes(tensor)), text(&row["sha256"]), "{at}"),
                }
            }
            assert!(wanted.is_empty(), "{case}: not written: {wanted:?}");
        }
    }
}

#[test]
fn one_pass_with_an_adapter_gives_what_merging_then_converting_then_quantizing_gives() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (case, exact) in [("vocabulary", Scheme::F16), ("plain", Scheme::BF16)] {
        let (base, adapter) = (golden(&format!("merge/{case}/base")), golden(&format!("merge/{case}/adapter")));
        let (merged, plain) = (at(&format!("{case}-merged")), at("plain.gguf"));
        merge(&base, &[(adapter.clone(), 1.0)], &merged, &mut unwatched()).unwrap();
        convert(&merged, &plain, &options(exact, &[]), &mut unwatched()).unwrap();
        for scheme in [exact, Scheme::Q8_0, Scheme::Q4_0] {
            let (one, several) = (at("one.gguf"), at("several.gguf"));
            convert(&plain, &several, &options(scheme, &[]), &mut unwatched()).unwrap();
            let adapters = [adapter.clone()];
            let (_, size) = target(&base, &[(adapter.clone(), 1.0)], &wanted(scheme)).unwrap();
            convert(&base, &one, &options(scheme, &adapters), &mut unwatched()).unwrap();
            assert!(fs::read(&one).unwrap() == fs::read(&several).unwrap(), "{case}, {scheme}");
            assert_eq!(size, fs::metadata(&one).unwrap().len());
        }
    }
}

#[test]
fn a_stopped_conversion_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut calls = 0;
    let mut stop = |_| {
        calls += 1;
        if calls < 5 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let (source, out) = (golden("convert/llama/model"), folder.path().join("out.gguf"));
    let stopped = convert(&source, &out, &options(Scheme::Q8_0, &[]), &mut stop).unwrap_err();
    assert!(matches!(stopped.fault, AnyFault::Stopped), "{stopped}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// The golden model of this name in a folder of its own, one of its files changed.
fn changed(case: &str, file: &str, change: impl Fn(&mut Json)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden(&format!("convert/{case}/model"))).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let path = folder.path().join(file);
    let mut json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut json);
    fs::write(&path, json.to_string()).unwrap();
    folder
}

#[test]
fn what_cannot_be_converted_is_refused_by_name() {
    let refused = |folder: &Path| {
        let error = target(folder, &[], &wanted(Scheme::F16)).unwrap_err();
        match error.fault {
            AnyFault::Convert(fault) => (*fault, error.path),
            other => panic!("{other}"),
        }
    };
    let config = |change: &dyn Fn(&mut Json)| refused(changed("llama3", "config.json", change).path()).0;
    let architecture = config(&|json| json["architectures"][0] = "MixtralForCausalLM".into());
    assert_eq!(architecture, Fault::Architecture { architecture: "MixtralForCausalLM".into() });
    let scaling = config(&|json| json["rope_scaling"]["rope_type"] = "longrope".into());
    assert_eq!(scaling, Fault::RopeScaling { kind: "longrope".into() });
    let quantized = config(&|json| json["quantization_config"] = serde_json::json!({ "quant_method": "gptq" }));
    assert_eq!(quantized, Fault::Quantized { method: "gptq".into() });
    let missing = config(&|json| json["num_hidden_layers"] = 2.into());
    assert_eq!(missing, Fault::MissingTensor { tensor: "blk.1.attn_norm.weight".into() });
    for heads in [0, 5, 64] {
        let fault = config(&|json| json["num_attention_heads"] = heads.into());
        assert!(matches!(fault, Fault::Key { .. } | Fault::Shape { .. }), "{heads}: {fault}");
    }
    let split = |json: &mut Json| json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "x+".into();
    let (fault, path) = refused(changed("qwen3", "tokenizer.json", split).path());
    assert!(matches!(fault, Fault::Tokenizer { .. }) && path.ends_with("tokenizer.json"), "{fault}");
    let folder = changed("llama", "config.json", |_| {});
    fs::remove_file(folder.path().join("tokenizer.model")).unwrap();
    assert_eq!(refused(folder.path()).0, Fault::NoTokenizer);
    let folder = changed("meta", "params.json", |_| {});
    fs::remove_file(folder.path().join("consolidated.01.pth")).unwrap();
    let (fault, _) = refused(folder.path());
    assert!(matches!(fault, Fault::Shape { .. }), "{fault}");
    let adapter = [(golden("merge/plain/adapter"), 1.0)];
    let error = target(&golden("convert/meta/model"), &adapter, &wanted(Scheme::F16)).unwrap_err();
    assert!(error.to_string().contains("Hugging Face's layout"), "{error}");
}
