//! Bytes that nobody made with care: whatever they are, readers answer with a value or an error.

#![allow(clippy::unwrap_used)] // a test may panic

use std::path::Path;

use huacaya_weights::{gguf, pytorch, safetensors};
use proptest::prelude::*;

fn golden() -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/python.gguf")).unwrap()
}

/// What every reader of a header promises to its callers about an accepted file.
fn read_gguf(bytes: &[u8]) {
    let Ok(header) = gguf::Header::parse(Path::new("m"), bytes) else { return };
    let mut total = 0;
    for tensor in &header.tensors {
        let bytes = &bytes[tensor.range()];
        assert_eq!(tensor.format.values_in(bytes.len() as u64), Some(tensor.values()));
        total += bytes.len();
    }
    assert!(total <= bytes.len(), "no byte belongs to two tensors");
}

fn read_safetensors(bytes: &[u8]) {
    let Ok(header) = safetensors::Header::parse(Path::new("m"), bytes) else { return };
    for tensor in &header.tensors {
        assert_eq!(bytes[tensor.range()].len() as u64, tensor.bytes);
    }
}

fn pytorch_file() -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/pytorch/kinds.bin")).unwrap()
}

fn read_pytorch(bytes: &[u8]) {
    let Ok(tensors) = pytorch::File::parse(bytes) else { return };
    for tensor in &tensors {
        assert_eq!(tensor.read(bytes).len() as u64, tensor.bytes);
    }
}

fn safetensors_file() -> Vec<u8> {
    let json = br#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}}"#;
    [&(json.len() as u64).to_le_bytes()[..], json, &[1; 32]].concat()
}

/// Writes `change` over `file` from `at` on; some changes are numbers that overflow what they are added to.
fn changed(mut file: Vec<u8>, changes: &[(usize, Vec<u8>)]) -> Vec<u8> {
    for (at, change) in changes {
        let at = at % file.len();
        let end = (at + change.len()).min(file.len());
        file[at..end].copy_from_slice(&change[..end - at]);
    }
    file
}

fn changes() -> impl Strategy<Value = Vec<(usize, Vec<u8>)>> {
    let number = prop_oneof![
        any::<u64>(),
        proptest::sample::select(vec![0, 1, 31, 1 << 31, 1 << 32, 1 << 61, 1 << 63, u64::MAX, u64::MAX - 63]),
        0u64..64,
    ];
    let change = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        number.clone().prop_map(|number| number.to_le_bytes().to_vec()),
        number.prop_map(|number| (number as u32).to_le_bytes().to_vec()),
    ];
    proptest::collection::vec((any::<usize>(), change), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_changed_gguf_file_is_read_or_refused(changes in changes(), keep in 0usize..6000) {
        let mut file = changed(golden(), &changes);
        file.truncate(keep);
        read_gguf(&file);
    }

    #[test]
    fn a_gguf_header_changed_at_its_start_is_read_or_refused(at in 4usize..600, number in any::<u64>()) {
        read_gguf(&changed(golden(), &[(at, number.to_le_bytes().to_vec())]));
    }

    #[test]
    fn random_bytes_behind_a_gguf_magic_are_read_or_refused(
        tensors in 0u64..4, keys in 0u64..4, rest in proptest::collection::vec(0u8..16, 0..300),
    ) {
        let start = [&b"GGUF\x03\0\0\0"[..], &tensors.to_le_bytes(), &keys.to_le_bytes()].concat();
        read_gguf(&[&start[..], &rest].concat());
    }

    #[test]
    fn a_changed_safetensors_file_is_read_or_refused(changes in changes(), keep in 0usize..400) {
        let mut file = changed(safetensors_file(), &changes);
        file.truncate(keep);
        read_safetensors(&file);
    }

    #[test]
    fn random_words_in_a_safetensors_header_are_read_or_refused(
        json in "\\{(\"(a|b|__metadata__)\":(\\{(\"(dtype|shape|data_offsets)\":(\"F32\"|\\[[0-9]{0,20}(,[0-9]{0,20})?\\]),?){0,3}\\}|1|null),?){0,3}\\}",
        data in 0usize..40,
    ) {
        let length = (json.len() as u64).to_le_bytes();
        read_safetensors(&[&length[..], json.as_bytes(), &vec![0; data]].concat());
        let _ = safetensors::Index::parse(Path::new("m"), json.as_bytes());
    }

    #[test]
    fn a_changed_pytorch_file_is_read_or_refused(changes in changes(), keep in 0usize..1000) {
        let mut file = changed(pytorch_file(), &changes);
        file.truncate(file.len().saturating_sub(keep.saturating_sub(900)));
        read_pytorch(&file);
    }

    #[test]
    fn a_pickle_changed_anywhere_is_read_or_refused(at in 0usize..2400, byte in any::<u8>(), more in any::<u8>()) {
        read_pytorch(&changed(pytorch_file(), &[(at, vec![byte]), (at + 1, vec![more])]));
    }

    #[test]
    fn random_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_gguf(&bytes);
        read_safetensors(&bytes);
        read_pytorch(&bytes);
        let _ = safetensors::Index::parse(Path::new("m"), &bytes);
    }
}

#[test]
fn the_files_that_are_changed_here_are_sound() {
    gguf::Header::parse(Path::new("m"), &golden()).unwrap();
    safetensors::Header::parse(Path::new("m"), &safetensors_file()).unwrap();
    pytorch::File::parse(&pytorch_file()).unwrap();
}
