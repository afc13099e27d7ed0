//! Memory that a hostile header can make us take: in proportion to the file, whatever the file claims.

#![allow(clippy::unwrap_used)] // a test may panic
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use huacaya_weights::{gguf, pytorch, safetensors};

/// Counts the bytes in use. Only one test runs in this program, so what it sees is that test's.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes on to the system's allocator unchanged; the counters do not allocate.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller's promises are passed on.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(IN_USE.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: the layout is the caller's, who promised a size above zero.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: the caller's promises are passed on.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the pointer came from `alloc` above, so from the system, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes taken at most while the file is read, beyond those in use before.
fn most(read: impl FnOnce()) -> usize {
    let before = IN_USE.load(Relaxed);
    MOST.store(before, Relaxed);
    read();
    MOST.load(Relaxed) - before
}

fn gguf_start(tensors: u64, keys: u64) -> Vec<u8> {
    [&b"GGUF\x03\0\0\0"[..], &tensors.to_le_bytes(), &keys.to_le_bytes()].concat()
}

/// One key with an array that claims `count` values of type `kind`, and `data`.
fn gguf_array(kind: u32, count: u64, data: &[u8]) -> Vec<u8> {
    let key = [&1u64.to_le_bytes()[..], b"k", &9u32.to_le_bytes(), &kind.to_le_bytes(), &count.to_le_bytes()].concat();
    [&gguf_start(0, 1)[..], &key, data].concat()
}

fn safetensors_file(json: String) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat()
}

#[test]
fn a_header_takes_at_most_sixteen_times_the_file_whatever_it_claims() {
    let ggufs = [
        gguf_start(1 << 18, 1 << 16),
        gguf_start(u64::MAX, u64::MAX),
        gguf_array(12, u64::MAX, &[0; 64]),
        gguf_array(8, 1 << 60, &[0; 4096]),
        // As many empty texts, numbers and keys as fit.
        gguf_array(8, 1 << 17, &[0; 8 << 17]),
        gguf_array(0, 1 << 20, &[0; 1 << 20]),
        gguf_array(10, 1 << 17, &[0; 8 << 17]),
        (0..20_000u32).fold(gguf_start(0, 20_000), |file, i| {
            let key = [&4u64.to_le_bytes()[..], &(i | 0x4040_4040).to_le_bytes(), &0u32.to_le_bytes(), &[0]].concat();
            [file, key].concat()
        }),
    ];
    for file in &ggufs {
        let taken = most(|| drop(gguf::Header::parse(Path::new("m"), file)));
        assert!(taken <= 16 * file.len() + 4096, "{taken} bytes for a file of {}", file.len());
    }
    let tensor = r#"{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#;
    let tensors: Vec<String> = (0..20_000).map(|i| format!(r#""{i}":{tensor}"#)).collect();
    let safetensors = [
        safetensors_file(format!("{{{}}}", tensors.join(","))),
        safetensors_file(format!(r#"{{"t":{{"shape":[{}"#, "0,".repeat(1 << 19))),
        safetensors_file(format!(r#"{{"t":{{"ignored":{}"#, "[".repeat(1 << 20))),
        safetensors_file(format!(r#"{{"__metadata__":{{{}"#, r#""":"","#.repeat(1 << 17))),
    ];
    for file in &safetensors {
        let taken = most(|| drop(safetensors::Header::parse(Path::new("m"), file)));
        assert!(taken <= 16 * file.len() + 4096, "{taken} bytes for a file of {}", file.len());
    }
    pickles();
}

/// What stands in the tables takes some tens of bytes an instruction: of a byte each, in a tuple of a tuple, remembered, or
/// as a new dictionary in a list.
fn pickles() {
    for part in [&b"\x85"[..], b"\x94", b"}a", b")a", b"h\0a", b"q\xff"] {
        let pickle = [b"\x80\x02]q\0".as_slice(), &part.repeat((1 << 18) / part.len()), b"."].concat();
        let file = zip(&pickle);
        let taken = most(|| drop(pytorch::File::parse(&file)));
        assert!(taken <= 128 * file.len() + 4096, "{taken} bytes for a file of {}", file.len());
    }
    let claims = zip(b"\x80\x02]r\xff\xff\xff\xffX\xff\xff\xff\xff.");
    let taken = most(|| drop(pytorch::File::parse(&claims)));
    assert!(taken <= 16 * claims.len() + 4096, "{taken} bytes for a file of {}", claims.len());
}

/// An archive with nothing but this pickle.
fn zip(pickle: &[u8]) -> Vec<u8> {
    let size = (pickle.len() as u32).to_le_bytes();
    let head = [&[0; 12][..], &size, &size, &10u16.to_le_bytes(), &[0, 0]].concat();
    let file = [b"PK\x03\x04\x14\0".as_slice(), &head[2..], b"a/data.pkl", pickle].concat();
    let list = [b"PK\x01\x02\x14\0\x14\0".as_slice(), &head[2..], &[0; 14], b"a/data.pkl"].concat();
    let (length, at) = ((list.len() as u32).to_le_bytes(), (file.len() as u32).to_le_bytes());
    [&file, &list, b"PK\x05\x06\0\0\0\0\x01\0\x01\0".as_slice(), &length, &at, &[0, 0]].concat()
}
