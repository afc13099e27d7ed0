//! What PyTorch saves, read without running anything: golden files of PyTorch's own, and hostile ones made here.

#![allow(clippy::unwrap_used)] // a test may panic

use std::fs;
use std::path::{Path, PathBuf};

use huacaya_weights::pytorch::{Fault, File};
use huacaya_weights::{Checkpoint, Error, Fault as AnyFault, Kind, Shard, safetensors};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pytorch").join(name)
}

fn engine_golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/golden")
}

#[test]
fn every_type_and_every_kind_of_view_reads_as_pytorch_reads_it() {
    let expected = safetensors::File::open(&golden("expected.safetensors")).unwrap();
    for name in ["kinds.bin", "newer.bin"] {
        let file = File::open(&golden(name)).unwrap();
        assert_eq!(file.tensors().len(), expected.tensors().len());
        for tensor in file.tensors() {
            let wanted = expected.tensor(&tensor.name).unwrap();
            assert_eq!((tensor.dtype, &tensor.shape), (wanted.dtype, &wanted.shape), "{}", tensor.name);
            assert_eq!(*file.bytes(tensor), *expected.bytes(wanted), "{name}: {}", tensor.name);
        }
        let gathered = ["transposed", "permuted", "columns", "half_steps"];
        for tensor in file.tensors() {
            assert_eq!(tensor.is_mapped(), !gathered.contains(&tensor.name.as_str()), "{}", tensor.name);
        }
    }
}

#[test]
fn shards_with_an_index_are_one_model_from_whichever_file_one_opens() {
    let folder = engine_golden().join("pytorch");
    let expected = Checkpoint::open(&engine_golden().join("logits/yarn")).unwrap();
    let inside = ["", "config.json", "pytorch_model.bin.index.json", "pytorch_model-00002-of-00002.bin"];
    for path in inside.map(|name| folder.join(name)) {
        let checkpoint = Checkpoint::open(&path).unwrap();
        for name in expected.names() {
            let (found, wanted) = (checkpoint.tensor(name).unwrap(), expected.tensor(name).unwrap());
            assert_eq!((found.format, found.shape(), found.bytes), (wanted.format, wanted.shape(), wanted.bytes));
        }
        let Checkpoint::Folder(opened) = &checkpoint else { panic!("not a folder") };
        assert!(opened.shards().iter().all(|shard| matches!(shard, Shard::PyTorch(_))));
        assert_eq!(opened.config()["hidden_size"], 32);
    }
}

#[test]
fn a_folder_with_both_is_read_from_its_safetensors() {
    let place = tempfile::tempdir().unwrap();
    let source = engine_golden().join("logits/yarn");
    for name in ["config.json", "model.safetensors"] {
        fs::copy(source.join(name), place.path().join(name)).unwrap();
    }
    fs::write(place.path().join("pytorch_model.bin"), b"PK\x03\x04 and nothing more").unwrap();
    let Checkpoint::Folder(opened) = Checkpoint::open(place.path()).unwrap() else { panic!("not a folder") };
    assert!(matches!(opened.shards(), [Shard::Safetensors(_)]));
}

#[test]
fn what_pytorch_saved_but_is_no_model_is_named() {
    let fault = |name: &str| match File::open(&golden(name)).unwrap_err() {
        Error { fault: AnyFault::PyTorch(fault), .. } => fault,
        other => panic!("{other}"),
    };
    let legacy = fault("legacy.bin");
    assert!(legacy.to_string().contains("torch.save(torch.load(path, weights_only=True), path)"), "{legacy}");
    assert_eq!(legacy.kind(), Kind::Unsupported);
    assert_eq!(fault("trainer.bin"), Fault::NoTensors);
}

#[test]
fn an_index_cannot_reach_out_of_its_folder() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("model");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("config.json"), "{}").unwrap();
    fs::copy(golden("kinds.bin"), place.path().join("outside.bin")).unwrap();
    let absolute = place.path().join("outside.bin").to_string_lossy().into_owned();
    let names =
        ["../outside.bin", "..\\outside.bin", "C:outside.bin", "con.bin", "a/b.bin", "outside.bin:s", &absolute];
    for name in names.into_iter().chain(["outside.safetensors", ".bin", ""]) {
        let index = serde_json::json!({ "weight_map": { "transposed": name } });
        fs::write(folder.join("pytorch_model.bin.index.json"), index.to_string()).unwrap();
        let error = Checkpoint::open(&folder).unwrap_err();
        let expected = safetensors::Fault::ShardName { name: name.into(), extension: ".bin" };
        assert!(matches!(error.fault, AnyFault::Safetensors(found) if found == expected), "{name}");
    }
}

#[test]
fn metas_own_layout_and_several_files_are_told_from_a_model() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    fs::write(folder.join("config.json"), "{}").unwrap();
    fs::copy(golden("kinds.bin"), folder.join("weights.pth")).unwrap();
    assert_eq!(Checkpoint::open(folder).unwrap().tensor("rows").unwrap().shape(), [2, 8]);
    fs::copy(golden("kinds.bin"), folder.join("optimizer.pt")).unwrap();
    assert!(matches!(Checkpoint::open(folder).unwrap_err().fault, AnyFault::SeveralModels { count: 2 }));
    fs::write(folder.join("params.json"), "{}").unwrap();
    fs::rename(folder.join("weights.pth"), folder.join("consolidated.00.pth")).unwrap();
    let error = Checkpoint::open(folder).unwrap_err();
    assert!(error.to_string().contains("Meta's original layout"), "{error}");
}
