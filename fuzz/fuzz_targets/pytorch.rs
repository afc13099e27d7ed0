#![no_main]
//! Any bytes as a PyTorch file, archive and pickle: read or refused, and what is read keeps the reader's promises.

use huacaya_weights::pytorch::File;
use libfuzzer_sys::fuzz_target;

/// The largest sum of tensors' bytes that is gathered, to stay fast.
const BYTES_MAX: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    // Archives are hard to hit upon: the same bytes again as the pickle of a sound one.
    read(&archive(bytes));
});

fn read(bytes: &[u8]) {
    let tensors = match File::parse(bytes) {
        Ok(tensors) => tensors,
        Err(fault) => return drop(fault.to_string()),
    };
    let total: u64 = tensors.iter().map(|tensor| tensor.bytes).sum();
    assert!(total <= 4 * bytes.len() as u64, "tensors of {total} bytes in a file of {}", bytes.len());
    for tensor in tensors.iter().filter(|_| total <= BYTES_MAX) {
        let values = tensor.shape.iter().product::<usize>() as u64;
        assert_eq!(tensor.dtype.bytes_of(values), Some(tensor.bytes));
        assert_eq!(tensor.read(bytes).len() as u64, tensor.bytes);
    }
}

/// A zip archive with this pickle and a storage of 64 bytes under the key `0`.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let (mut file, mut list) = (Vec::new(), Vec::new());
    for (name, bytes) in [("a/data.pkl", pickle), ("a/data/0", &[1; 64])] {
        let at = (file.len() as u32).to_le_bytes();
        let size = (bytes.len() as u32).to_le_bytes();
        let head = [&[0; 12][..], &size, &size, &(name.len() as u16).to_le_bytes(), &[0, 0]].concat();
        file.extend([b"PK\x03\x04\x14\0".as_slice(), &head[2..], name.as_bytes(), bytes].concat());
        list.extend([b"PK\x01\x02\x14\0\x14\0".as_slice(), &head[2..], &[0; 10], &at, name.as_bytes()].concat());
    }
    let (length, at) = ((list.len() as u32).to_le_bytes(), (file.len() as u32).to_le_bytes());
    [file, list, [b"PK\x05\x06\0\0\0\0\x02\0\x02\0".as_slice(), &length, &at, &[0, 0]].concat()].concat()
}
