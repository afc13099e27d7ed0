#![no_main]
//! Any bytes as a GGUF file: read or refused, and what is read keeps the reader's promises.

use std::path::Path;

use huacaya_weights::gguf::Header;
use libfuzzer_sys::fuzz_target;

/// Values dequantized from one tensor: enough for several blocks of any format, little enough to stay fast.
const VALUES_MAX: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    let header = match Header::parse(Path::new("fuzz.gguf"), bytes) {
        Ok(header) => header,
        Err(error) => return drop(error.to_string()),
    };
    let mut total = 0;
    for tensor in &header.tensors {
        assert_eq!(header.find(&tensor.name), Some(tensor));
        assert_eq!(tensor.shape().iter().map(|&dimension| dimension as u64).product::<u64>(), tensor.values());
        let data = &bytes[tensor.range()];
        assert_eq!(tensor.format.values_in(data.len() as u64), Some(tensor.values()));
        total += data.len();
        let blocks = (tensor.values() as usize).min(VALUES_MAX) / tensor.format.block_length();
        let mut values = vec![0.0; blocks * tensor.format.block_length()];
        let data = &data[..blocks * tensor.format.block_bytes()];
        assert_eq!(huacaya_kernels::dequantize(tensor.format, data, &mut values), Ok(()));
    }
    assert!(total <= bytes.len(), "no byte belongs to two tensors");
    for (key, value) in header.metadata.iter() {
        assert!(std::ptr::eq(header.metadata.value(key).expect("a key that is listed is found"), value));
        let _ = header.metadata.find::<u32>(key).map_err(|error| error.to_string());
        let _ = header.metadata.find::<Vec<i64>>(key);
    }
});
