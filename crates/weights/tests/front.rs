//! The first bytes of a GGUF file: what they say at every length, and what hostile ones cannot do.

#![allow(clippy::unwrap_used)] // a test may panic

use std::fs;
use std::path::Path;

use huacaya_weights::gguf::{Front, Header};

fn golden() -> Vec<u8> {
    fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/python.gguf")).unwrap()
}

#[test]
fn at_every_length_the_front_says_what_the_whole_header_says_as_far_as_it_goes() {
    let file = golden();
    let header = Header::parse(Path::new("whole"), &file).unwrap();
    let mut most = 0;
    for length in 24..file.len() {
        let front = Front::parse(Path::new("front"), &file[..length]).unwrap();
        assert_eq!(front.tensor_count, header.tensors.len() as u64);
        assert!(front.metadata.iter().eq(header.metadata.iter().take(front.metadata.len())), "{length}");
        if let Some((key, count)) = &front.cut {
            let whole = Front::parse(Path::new("whole"), &file).unwrap();
            assert_eq!(whole.array_length(key), Some(*count), "{length}: {key}");
            assert_eq!(front.array_length(key), Some(*count));
        }
        assert!(front.metadata.len() >= most, "more bytes never say less");
        most = front.metadata.len();
    }
    assert_eq!(most, header.metadata.len());
}

#[test]
fn changed_bytes_are_an_error_or_another_value_and_nothing_worse() {
    let file = golden();
    for place in 0..file.len().min(2_000) {
        for value in [0, 0x7f, 0xff] {
            let mut changed = file.clone();
            changed[place] = value;
            for length in [place + 1, file.len() / 2, file.len()] {
                let _ = Front::parse(Path::new("changed"), &changed[..length]);
            }
        }
    }
}
