//! Any model as tensors by name: a GGUF file, one safetensors file, shards with an index, and folders that are none.

#![allow(clippy::unwrap_used)] // a test may panic

use std::fs;
use std::path::{Path, PathBuf};

use huacaya_weights::pytorch::Fault as PyTorchFault;
use huacaya_weights::safetensors::Fault as SafetensorsFault;
use huacaya_weights::{Checkpoint, Fault, Format, Kind};
use safetensors::tensor::{Dtype, TensorView};

const CONFIG: &str = r#"{"model_type":"llama","hidden_size":8}"#;

fn shard(path: &Path, tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) {
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| (*name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn bf16(name: &str, value: u8) -> (&str, Dtype, Vec<usize>, Vec<u8>) {
    (name, Dtype::BF16, vec![2, 3], vec![value; 12])
}

/// A folder whose path is in another script and has both kinds of blanks.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("张 庭 綱/　data");
    fs::create_dir_all(&folder).unwrap();
    (place, folder)
}

fn sharded() -> (tempfile::TempDir, PathBuf) {
    let (place, folder) = folder();
    fs::write(folder.join("config.json"), CONFIG).unwrap();
    shard(&folder.join("model-00001-of-00002.safetensors"), &[bf16("a", 1), bf16("b", 2)]);
    shard(&folder.join("model-00002-of-00002.safetensors"), &[bf16("c", 3)]);
    index(&folder, &[("c", "model-00002-of-00002"), ("a", "model-00001-of-00002"), ("b", "model-00001-of-00002")]);
    (place, folder)
}

fn index(folder: &Path, map: &[(&str, &str)]) {
    let map: Vec<String> = map.iter().map(|(tensor, shard)| format!(r#""{tensor}":"{shard}.safetensors""#)).collect();
    let json = format!(r#"{{"metadata":{{"total_size":36}},"weight_map":{{{}}}}}"#, map.join(","));
    fs::write(folder.join("model.safetensors.index.json"), json).unwrap();
}

fn fault(path: &Path) -> Fault {
    Checkpoint::open(path).unwrap_err().fault
}

#[test]
fn shards_are_one_model_from_whichever_file_one_opens() {
    let (_place, folder) = sharded();
    let inside = ["", "config.json", "model.safetensors.index.json", "model-00002-of-00002.safetensors"];
    for path in inside.map(|name| folder.join(name)) {
        let checkpoint = Checkpoint::open(&path).unwrap();
        assert_eq!(checkpoint.names(), ["c", "a", "b"], "{}", path.display());
        for (name, value) in [("a", 1), ("b", 2), ("c", 3)] {
            let view = checkpoint.tensor(name).unwrap();
            assert_eq!((view.name, view.format, view.shape()), (name, Format::BF16, vec![2, 3]));
            assert_eq!(*view.bytes, [value; 12]);
        }
        let Checkpoint::Folder(opened) = &checkpoint else { panic!("not a folder") };
        assert_eq!(opened.config()["hidden_size"], 8);
        assert_eq!(opened.shards().len(), 2);
    }
}

#[test]
fn one_safetensors_file_is_read_with_the_configuration_beside_it() {
    let (_place, folder) = folder();
    let path = folder.join("model.safetensors");
    shard(&path, &[bf16("a", 1), ("ids", Dtype::I64, vec![1], vec![0; 8])]);
    assert_eq!(Checkpoint::open(&path).unwrap_err().path, folder.join("config.json"));
    fs::write(folder.join("config.json"), CONFIG).unwrap();
    for path in [&folder, &path] {
        let checkpoint = Checkpoint::open(path).unwrap();
        assert_eq!(*checkpoint.tensor("a").unwrap().bytes, [1; 12]);
        assert!(checkpoint.contains("ids") && !checkpoint.contains("lm_head.weight"));
        assert!(checkpoint.find("lm_head.weight").unwrap().is_none());
        let missing = checkpoint.tensor("lm_head.weight").unwrap_err();
        assert!(missing.to_string().contains("the tensor \"lm_head.weight\" is missing"), "{missing}");
        let unsupported = checkpoint.tensor("ids").unwrap_err();
        assert!(unsupported.to_string().contains("tensor \"ids\" is of type I64, which is not supported"));
        checkpoint.will_need("a");
        checkpoint.will_need("nothing of that name");
    }
}

#[test]
fn a_gguf_file_is_known_by_its_bytes_and_seen_row_major() {
    let (_place, folder) = folder();
    let path = folder.join("模型.bin");
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/python.gguf"), &path).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let view = checkpoint.tensor("a.weight").unwrap();
    assert_eq!((view.format, view.shape(), view.bytes.len()), (Format::F32, vec![2, 3, 64], 2 * 3 * 64 * 4));
    assert_eq!(checkpoint.size(), fs::metadata(&path).unwrap().len());
    fs::rename(&path, folder.join("only.gguf")).unwrap();
    assert!(matches!(Checkpoint::open(&folder).unwrap(), Checkpoint::Gguf(_)));
}

#[test]
fn what_is_not_one_model_is_said_to_be_so() {
    let (_place, folder) = folder();
    assert!(matches!(fault(&folder), Fault::NoModel));
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/python.gguf");
    fs::copy(golden, folder.join("a.gguf")).unwrap();
    fs::copy(golden, folder.join("b.GGUF")).unwrap();
    assert!(matches!(fault(&folder), Fault::SeveralModels { count: 2 }));
    let torch = folder.join("pytorch_model.bin");
    fs::write(&torch, b"PK\x03\x04rest").unwrap();
    assert!(matches!(fault(&torch), Fault::PyTorch(PyTorchFault::Truncated { .. })));
    fs::write(&torch, b"#!/bin/sh\necho hello\n").unwrap();
    assert_eq!(Checkpoint::open(&torch).unwrap_err().kind(), Kind::NotAModel);
    assert!(matches!(fault(&folder.join("missing")), Fault::Io(_)));
}

#[test]
fn an_index_cannot_reach_out_of_its_folder_or_promise_what_is_not_there() {
    let (_place, folder) = sharded();
    index(&folder, &[("a", "../../model")]);
    let name = "../../model.safetensors".to_owned();
    assert!(
        matches!(fault(&folder), Fault::Safetensors(found) if found == SafetensorsFault::ShardName { name, extension: ".safetensors" })
    );
    index(&folder, &[("a", "model-00002-of-00002")]);
    let found = Checkpoint::open(&folder).unwrap_err();
    assert!(found.to_string().contains("says that tensor \"a\" is in \"model-00002-of-00002.safetensors\", where it"));
    index(&folder, &[("a", "model-00003-of-00003")]);
    let found = Checkpoint::open(&folder).unwrap_err();
    assert_eq!((found.kind(), found.path), (Kind::Io, folder.join("model-00003-of-00003.safetensors")));
}

#[test]
fn a_configuration_that_is_too_large_or_no_json_is_refused() {
    let (_place, folder) = sharded();
    let config = folder.join("config.json");
    fs::write(&config, " ".repeat((1 << 20) + 1)).unwrap();
    assert!(matches!(fault(&folder), Fault::TooLarge { limit } if limit == 1 << 20));
    for json in ["", "{", &"[".repeat(100_000)] {
        fs::write(&config, json).unwrap();
        assert!(matches!(fault(&folder), Fault::Json { .. }));
    }
}
