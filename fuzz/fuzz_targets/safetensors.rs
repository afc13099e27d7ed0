#![no_main]
//! Any bytes as a safetensors file and as an index of shards: read or refused, and what is read keeps its promises.

use std::path::{Component, Path};

use huacaya_weights::safetensors::{Header, Index};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match Header::parse(Path::new("fuzz.safetensors"), bytes) {
        Err(error) => drop(error.to_string()),
        Ok(header) => {
            let mut total = 0;
            for tensor in &header.tensors {
                assert_eq!(header.find(&tensor.name), Some(tensor));
                let values: usize = tensor.shape.iter().product();
                assert_eq!(tensor.dtype.bytes_of(values as u64), Some(tensor.bytes));
                total += bytes[tensor.range()].len();
            }
            assert!(total < bytes.len(), "no byte belongs to two tensors, and some to the header");
        }
    }
    if let Ok(index) = Index::parse(Path::new("fuzz.json"), bytes) {
        for shard in &index.shards {
            let mut parts = Path::new(shard).components();
            assert!(matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)), "{shard:?}");
        }
    }
});
