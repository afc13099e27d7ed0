//! A model split into several GGUF files (gguf-py wrote them) opens as one, from any of them, or says what is missing.

#![allow(clippy::unwrap_used)] // a test may panic

use std::fs;
use std::path::{Path, PathBuf};

use huacaya_weights::{Checkpoint, Kind, split_parts};

const NAMES: [&str; 3] = ["model-00001-of-00003.gguf", "model-00002-of-00003.gguf", "model-00003-of-00003.gguf"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/split").join(name)
}

/// A copy whose path is in another script and has both kinds of blanks.
fn copy(names: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("张 庭 綱/　data");
    fs::create_dir_all(&folder).unwrap();
    for name in names {
        fs::copy(golden(name), folder.join(name)).unwrap();
    }
    (place, folder)
}

#[test]
fn any_part_and_the_folder_open_the_whole_model() {
    let (_place, folder) = copy(&NAMES);
    let sizes: u64 = NAMES.iter().map(|name| fs::metadata(folder.join(name)).unwrap().len()).sum();
    for path in ["", NAMES[0], NAMES[2]].map(|name| folder.join(name)) {
        let checkpoint = Checkpoint::open(&path).unwrap();
        assert_eq!(checkpoint.size(), sizes);
        assert_eq!(
            checkpoint.names(),
            ["blk.0.weight", "blk.1.weight", "blk.2.weight", "blk.3.weight", "blk.4.weight"]
        );
        for i in 0..5usize {
            let view = checkpoint.tensor(&format!("blk.{i}.weight")).unwrap();
            assert_eq!(view.shape(), [i + 1, 32]);
            assert!(view.bytes.chunks(4).all(|value| value == (i as f32).to_le_bytes()), "tensor {i}");
            checkpoint.will_need(view.name);
        }
        let Checkpoint::Gguf(file) = &checkpoint else { panic!("no GGUF") };
        assert_eq!(file.metadata().get::<u32>("llama.block_count").unwrap(), 7);
    }
}

#[test]
fn a_missing_part_is_named_and_a_strange_one_refused() {
    let (_place, folder) = copy(&[NAMES[0], NAMES[2]]);
    let missing = Checkpoint::open(&folder.join(NAMES[2])).unwrap_err();
    assert_eq!((missing.kind(), &missing.path), (Kind::Incomplete, &folder.join(NAMES[1])));
    assert!(missing.to_string().contains("split into 3 files, of which this is number 2"), "{missing}");
    fs::copy(golden(NAMES[0]), folder.join(NAMES[1])).unwrap();
    let strange = Checkpoint::open(&folder.join(NAMES[0])).unwrap_err();
    assert_eq!(strange.path, folder.join(NAMES[1]));
    assert!(strange.to_string().contains("is not what its name says, number 2 of 3"), "{strange}");
    fs::rename(folder.join(NAMES[0]), folder.join("其他.gguf")).unwrap();
    let renamed = Checkpoint::open(&folder.join("其他.gguf")).unwrap_err();
    assert!(renamed.to_string().contains("…-00001-of-00003.gguf"), "{renamed}");
}

#[test]
fn a_part_tells_the_names_of_all() {
    assert_eq!(split_parts(Path::new("a/model-00002-of-00003.gguf")), NAMES);
    for name in ["model.gguf", "m-1-of-2.gguf", "m-00001-of-99999.gguf", "m-00001-of-00002.bin", "-of-.gguf"] {
        assert!(split_parts(Path::new(name)).is_empty(), "{name}");
    }
}
