//! GGUF files that lie, each with the fault that names the lie. Built by hand, byte by byte, not by our writer.

#![allow(clippy::unwrap_used)] // a test may panic

use std::path::Path;

use huacaya_weights::gguf::{Fault, File, Header, Place};
use huacaya_weights::{Error, Fault as AnyFault, Format, Kind};

/// Writes the parts of a GGUF file as the specification has them.
#[derive(Clone, Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn start(version: u32, tensors: u64, keys: u64) -> Bytes {
        Bytes(b"GGUF".to_vec()).u32(version).u64(tensors).u64(keys)
    }
    fn raw(mut self, bytes: &[u8]) -> Bytes {
        self.0.extend(bytes);
        self
    }
    fn u32(self, value: u32) -> Bytes {
        self.raw(&value.to_le_bytes())
    }
    fn u64(self, value: u64) -> Bytes {
        self.raw(&value.to_le_bytes())
    }
    fn text(self, text: &[u8]) -> Bytes {
        self.u64(text.len() as u64).raw(text)
    }
    fn tensor(self, name: &str, dimensions: &[u64], format: u32, offset: u64) -> Bytes {
        let start = self.text(name.as_bytes()).u32(dimensions.len() as u32);
        dimensions.iter().fold(start, |bytes, &dimension| bytes.u64(dimension)).u32(format).u64(offset)
    }
    fn pad(mut self, alignment: usize) -> Bytes {
        self.0.resize(self.0.len().next_multiple_of(alignment), 0);
        self
    }
    fn data(self, length: usize) -> Bytes {
        self.raw(&vec![7; length])
    }
    fn fault(&self) -> Fault {
        gguf(Header::parse(Path::new("m.gguf"), &self.0).unwrap_err())
    }
}

fn gguf(error: Error) -> Fault {
    match error.fault {
        AnyFault::Gguf(fault) => fault,
        other => panic!("not a fault of GGUF: {other}"),
    }
}

fn key(name: &str) -> Place {
    Place::Key(name.into())
}

/// One key, `k`, whose type and value are `rest`.
fn with_key(rest: impl FnOnce(Bytes) -> Bytes) -> Fault {
    rest(Bytes::start(3, 0, 1).text(b"k")).fault()
}

/// One tensor, `t`, of 64 F32 where nothing else is said, and its data.
fn with_tensor(dimensions: &[u64], format: u32, offset: u64) -> Fault {
    Bytes::start(3, 1, 0).tensor("t", dimensions, format, offset).pad(32).data(256).fault()
}

#[test]
fn a_sound_file_of_either_version_is_read() {
    for version in [2, 3] {
        let file = Bytes::start(version, 1, 1).text(b"k").u32(4).u32(9).tensor("t", &[32, 2], 8, 0).pad(32).data(68);
        let header = Header::parse(Path::new("m.gguf"), &file.0).unwrap();
        assert_eq!((header.version, header.alignment, header.metadata.get::<u32>("k").unwrap()), (version, 32, 9));
        let tensor = header.find("t").unwrap();
        assert_eq!((tensor.format, tensor.shape(), tensor.bytes), (Format::Q8_0, vec![2, 32], 68));
        assert_eq!(tensor.range(), file.0.len() - 68..file.0.len());
    }
}

#[test]
fn what_is_no_gguf_at_all_is_told_from_what_is_cut_short() {
    assert_eq!(Bytes(b"PK\x03\x04rest".to_vec()).fault(), Fault::NotGguf { found: b"PK\x03\x04".to_vec() });
    assert_eq!(Bytes(b"GG".to_vec()).fault(), Fault::Truncated { place: Place::Start, size: 2 });
    assert_eq!(Bytes(b"X".to_vec()).fault(), Fault::NotGguf { found: b"X".to_vec() });
    for version in [0, 1, 4, 0xffff_ffff] {
        assert_eq!(Bytes::start(version, 0, 0).fault(), Fault::Version { version });
    }
}

#[test]
fn a_big_endian_file_is_named_as_such() {
    for version in [2u32, 3] {
        let file =
            Bytes(b"GGUF".to_vec()).raw(&version.to_be_bytes()).raw(&1u64.to_be_bytes()).raw(&1u64.to_be_bytes());
        assert_eq!(file.fault(), Fault::BigEndian { version });
    }
}

#[test]
fn every_way_to_cut_a_file_short_is_an_incomplete_file() {
    let file = Bytes::start(3, 1, 2).text(b"a").u32(8).text(b"word").text(b"b").u32(9).u32(8).u64(2);
    let file = file.text(b"x").text(b"").tensor("t", &[8, 2], 0, 0).pad(32).data(64);
    Header::parse(Path::new("m"), &file.0).unwrap();
    for length in 1..file.0.len() {
        let error = Header::parse(Path::new("m"), &file.0[..length]).unwrap_err();
        assert_eq!(error.kind(), Kind::Incomplete, "{length} bytes: {error}");
    }
    assert_eq!(Bytes(file.0[..39].to_vec()).fault(), Fault::Truncated { place: key("a"), size: 39 });
}

#[test]
fn counts_that_no_file_has_are_refused_before_anything_is_allocated() {
    let fault = Fault::TooManyKeys { count: 1 << 60, limit: 1 << 16 };
    assert_eq!(Bytes::start(3, 0, 1 << 60).fault(), fault);
    let fault = Fault::TooManyTensors { count: u64::MAX, limit: 1 << 18 };
    assert_eq!(Bytes::start(3, u64::MAX, 0).fault(), fault);
    let fault = Fault::Truncated { place: Place::TensorName(0), size: 24 };
    assert_eq!(Bytes::start(3, 1 << 18, 0).fault(), fault);
}

#[test]
fn lengths_past_the_end_are_refused_whatever_they_overflow() {
    for length in [5, 1 << 40, u64::MAX, u64::MAX - 24] {
        let fault = Fault::Truncated { place: key("k"), size: 24 + 9 + 4 + 8 };
        assert_eq!(with_key(|bytes| bytes.u32(8).u64(length)), fault);
    }
    for (kind, count) in [(0, 1 << 40), (8, 1 << 61), (12, 1 << 61), (12, u64::MAX), (7, 9)] {
        let fault = Fault::Truncated { place: key("k"), size: 24 + 9 + 4 + 4 + 8 };
        assert_eq!(with_key(|bytes| bytes.u32(9).u32(kind).u64(count)), fault);
    }
}

#[test]
fn names_have_their_own_limits() {
    for length in [0, 1025, u64::MAX] {
        let fault = Fault::NameLength { place: Place::KeyName(0), length, limit: 1024 };
        assert_eq!(Bytes::start(3, 0, 1).u64(length).data(2000).fault(), fault);
        let fault = Fault::NameLength { place: Place::TensorName(0), length, limit: 1024 };
        assert_eq!(Bytes::start(3, 1, 0).u64(length).data(2000).fault(), fault);
    }
}

#[test]
fn text_that_is_not_utf_8_is_refused_wherever_it_stands() {
    let bad = b"\xff\xfe";
    assert_eq!(Bytes::start(3, 0, 1).text(bad).fault(), Fault::NotUtf8 { place: Place::KeyName(0) });
    assert_eq!(Bytes::start(3, 1, 0).text(bad).fault(), Fault::NotUtf8 { place: Place::TensorName(0) });
    assert_eq!(with_key(|bytes| bytes.u32(8).text(bad)), Fault::NotUtf8 { place: key("k") });
    assert_eq!(with_key(|bytes| bytes.u32(9).u32(8).u64(1).text(bad)), Fault::NotUtf8 { place: key("k") });
}

#[test]
fn values_of_unknown_types_and_impossible_truths_are_refused() {
    assert_eq!(with_key(|bytes| bytes.u32(13)), Fault::UnknownValueKind { key: "k".into(), number: 13 });
    let fault = Fault::UnknownValueKind { key: "k".into(), number: u32::MAX };
    assert_eq!(with_key(|bytes| bytes.u32(9).u32(u32::MAX).u64(1)), fault);
    assert_eq!(with_key(|bytes| bytes.u32(7).raw(&[2])), Fault::NotBool { key: "k".into(), value: 2 });
    assert_eq!(with_key(|bytes| bytes.u32(9).u32(7).u64(1).raw(&[9])), Fault::NotBool { key: "k".into(), value: 9 });
}

#[test]
fn arrays_of_arrays_are_refused_however_deep() {
    let fault = Fault::NestedArray { key: "k".into() };
    assert_eq!(with_key(|bytes| (0..10_000).fold(bytes.u32(9), |bytes, _| bytes.u32(9).u64(1))), fault);
}

#[test]
fn a_key_or_a_tensor_that_stands_there_twice_is_refused() {
    let file = Bytes::start(3, 0, 2).text(b"k").u32(4).u32(1).text(b"k").u32(4).u32(2);
    assert_eq!(file.fault(), Fault::KeyRepeated { key: "k".into() });
    let file = Bytes::start(3, 2, 0).tensor("t", &[8], 0, 0).tensor("t", &[8], 0, 32).pad(32).data(64);
    assert_eq!(file.fault(), Fault::TensorRepeated { tensor: "t".into() });
}

#[test]
fn an_alignment_that_is_no_power_of_two_or_absurd_is_refused() {
    for alignment in [0, 3, 33, 1 << 22, 1 << 31, u32::MAX] {
        let file = Bytes::start(3, 1, 1).text(b"general.alignment").u32(4).u32(alignment).tensor("t", &[8], 0, 0);
        let fault = Fault::Alignment { alignment: alignment.into(), limit: 1 << 21 };
        assert_eq!(file.pad(32).data(64).fault(), fault);
    }
    let fault = Bytes::start(3, 0, 1).text(b"general.alignment").u32(5).u32(u32::MAX).fault();
    assert!(matches!(fault, Fault::KeyKind { found, .. } if found == "the INT32 -1"));
    let fault = Bytes::start(3, 0, 1).text(b"general.alignment").u32(8).text(b"32").fault();
    assert!(matches!(fault, Fault::KeyKind { key, .. } if key == "general.alignment"));
}

#[test]
fn dimensions_that_overflow_are_refused() {
    let huge: [&[u64]; 5] =
        [&[1 << 62, 4], &[1 << 32, 1 << 32], &[u64::MAX - 31], &[1 << 16; 4], &[1 << 63, 1 << 63, 1 << 63, 1 << 63]];
    for dimensions in huge {
        let fault = Fault::TensorTooLarge { tensor: "t".into(), dimensions: dimensions.to_vec() };
        assert_eq!(with_tensor(dimensions, 0, 0), fault);
    }
    let fault = Fault::TooManyDimensions { tensor: "t".into(), count: 5, limit: 4 };
    assert_eq!(with_tensor(&[1; 5], 0, 0), fault);
    let fault = Fault::TooManyDimensions { tensor: "t".into(), count: u32::MAX, limit: 4 };
    assert_eq!(Bytes::start(3, 1, 0).text(b"t").u32(u32::MAX).data(64).fault(), fault);
    let fault = Fault::EmptyDimension { tensor: "t".into(), dimensions: vec![8, 0] };
    assert_eq!(with_tensor(&[8, 0], 0, 0), fault);
}

#[test]
fn rows_that_are_no_whole_blocks_are_refused() {
    let fault = Fault::PartialBlock { tensor: "t".into(), format: Format::Q4_K, row: 128 };
    assert_eq!(with_tensor(&[128, 2], 12, 0), fault);
    let fault = Fault::PartialBlock { tensor: "t".into(), format: Format::Q8_0, row: 1 };
    assert_eq!(with_tensor(&[], 8, 0), fault);
}

#[test]
fn a_type_that_is_not_supported_is_named() {
    assert_eq!(with_tensor(&[256], 16, 0), Fault::UnsupportedType { tensor: "t".into(), number: 16 });
    assert!(with_tensor(&[256], 16, 0).to_string().contains("\"t\" is of type IQ2_XXS"));
    assert!(with_tensor(&[256], 4711, 0).to_string().contains("type number 4711"));
}

#[test]
fn a_tensor_outside_the_file_is_refused() {
    // 24 bytes of start and 33 of the entry: data from 64 on, 256 bytes of it.
    let past = |end| Fault::PastEnd { tensor: "t".into(), end, size: 320 };
    assert_eq!(with_tensor(&[65], 0, 0), past(64 + 260));
    assert_eq!(with_tensor(&[64], 0, 32), past(64 + 32 + 256));
    assert_eq!(with_tensor(&[64], 0, u64::MAX - 31), past(u64::MAX));
    assert_eq!(with_tensor(&[1 << 61], 1, 0), past(64 + (1 << 62)));
    let fault = Fault::Misaligned { tensor: "t".into(), offset: 16, alignment: 32 };
    assert_eq!(with_tensor(&[8], 0, 16), fault);
}

#[test]
fn tensors_that_overlap_are_refused_in_whatever_order() {
    for (first, second) in [(0, 0), (0, 32), (32, 0)] {
        let file = Bytes::start(3, 2, 0).tensor("a", &[16], 0, first).tensor("b", &[16], 0, second).pad(32).data(256);
        assert!(matches!(file.fault(), Fault::Overlap { .. }), "{first} {second}");
    }
    let file = Bytes::start(3, 2, 0).tensor("b", &[8], 0, 64).tensor("a", &[16], 0, 0).pad(32).data(256);
    Header::parse(Path::new("m"), &file.0).unwrap();
}

#[test]
fn a_header_beyond_its_limit_is_refused() {
    let limit = 64 << 20;
    let fault = with_key(|bytes| bytes.u32(9).u32(0).u64(limit).data(limit as usize));
    assert_eq!(fault, Fault::HeaderTooLarge { place: key("k"), limit });
}

#[test]
fn names_from_the_file_are_shown_escaped_and_the_file_is_named() {
    let file = Bytes::start(3, 1, 0).tensor("t\x1b[2J\n", &[256], 16, 0).pad(32).data(256);
    let error = Header::parse(Path::new("模型.gguf"), &file.0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "模型.gguf: tensor \"t\\u{1b}[2J\\n\" is of type IQ2_XXS, which is not supported. \
         Choose another quantization of the model"
    );
}

#[test]
fn a_missing_key_or_one_of_another_type_is_named() {
    let file =
        Bytes::start(3, 0, 2).text(b"a.count").u32(5).raw(&(-1i32).to_le_bytes()).text(b"a.name").u32(8).text(b"x");
    let metadata = Header::parse(Path::new("m.gguf"), &file.0).unwrap().metadata;
    let text = |result: Result<u32, Error>| result.unwrap_err().to_string();
    assert!(text(metadata.get("b")).starts_with("m.gguf: the key \"b\" is missing"));
    let wanted = "m.gguf: the key \"a.count\" holds the INT32 -1, where an integer from 0 to 2^32 - 1 is wanted";
    assert!(text(metadata.get("a.count")).starts_with(wanted));
    assert!(text(metadata.get("a.name")).starts_with("m.gguf: the key \"a.name\" holds a text, where an integer"));
    assert_eq!(metadata.find::<&str>("b").unwrap(), None);
    assert_eq!(metadata.get::<i64>("a.count").unwrap(), -1);
}

#[test]
fn files_that_are_no_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path| File::open(path).unwrap_err();
    assert!(matches!(open(folder.path()).fault, AnyFault::NotAFile));
    let path = folder.path().join("empty.gguf");
    std::fs::write(&path, b"").unwrap();
    assert!(matches!(open(&path).fault, AnyFault::Empty));
    let error = open(&folder.path().join("missing.gguf"));
    assert!(matches!(&error.fault, AnyFault::Io(io) if io.kind() == std::io::ErrorKind::NotFound));
    assert_eq!(error.kind(), Kind::Io);
    #[cfg(unix)]
    {
        // A device that never ends, and a pipe that nobody writes to: opening either would hang.
        assert!(matches!(open(Path::new("/dev/zero")).fault, AnyFault::NotAFile));
        let pipe = folder.path().join("pipe.gguf");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert!(matches!(open(&pipe).fault, AnyFault::NotAFile));
    }
}
