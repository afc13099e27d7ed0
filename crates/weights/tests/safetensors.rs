//! Safetensors against the reference implementation, and files that lie, each with the fault that names the lie.

#![allow(clippy::unwrap_used)] // a test may panic

use std::path::Path;

use huacaya_weights::safetensors::{Dtype, Fault, Header, Index};
use huacaya_weights::{Error, Fault as AnyFault, Format, Kind};
use safetensors::tensor::{Dtype as Theirs, TensorView};

fn fault(error: Error) -> Fault {
    match error.fault {
        AnyFault::Safetensors(fault) => fault,
        other => panic!("not a fault of safetensors: {other}"),
    }
}

fn file(json: &str, data: usize) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &vec![1; data]].concat()
}

fn parse(file: &[u8]) -> Result<Header, Fault> {
    Header::parse(Path::new("m.safetensors"), file).map_err(fault)
}

fn refused(json: &str, data: usize) -> Fault {
    parse(&file(json, data)).unwrap_err()
}

fn entry(dtype: &str, shape: &str, start: u64, end: u64) -> String {
    format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}"#)
}

fn one(dtype: &str, shape: &str, start: u64, end: u64) -> String {
    format!(r#"{{"t":{}}}"#, entry(dtype, shape, start, end))
}

fn named(name: &str) -> String {
    name.to_owned()
}

#[test]
fn what_the_reference_writes_is_read_as_it_was_meant() {
    let floats: Vec<u8> = (0..6).flat_map(|i| (i as f32 / 4.0).to_le_bytes()).collect();
    let halves = [0u8, 0x3c, 0, 0xc0];
    let ids: Vec<u8> = (0..3i64).flat_map(i64::to_le_bytes).collect();
    let tensors = [
        ("model.norm.weight", TensorView::new(Theirs::F16, vec![2], &halves).unwrap()),
        ("词.weight", TensorView::new(Theirs::F32, vec![2, 3], &floats).unwrap()),
        ("position_ids", TensorView::new(Theirs::I64, vec![1, 3], &ids).unwrap()),
        ("scalar", TensorView::new(Theirs::BF16, vec![], &halves[..2]).unwrap()),
        ("none", TensorView::new(Theirs::F32, vec![0, 4], &[]).unwrap()),
    ];
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    let bytes = safetensors::serialize(tensors.clone(), Some(metadata)).unwrap();
    let header = parse(&bytes).unwrap();
    assert_eq!(header.metadata, [("format".to_owned(), "pt".to_owned())]);
    assert_eq!(header.tensors.len(), tensors.len());
    for (name, theirs) in &tensors {
        let ours = header.find(name).unwrap();
        assert_eq!((ours.shape.as_slice(), &bytes[ours.range()]), (theirs.shape(), theirs.data()), "{name}");
    }
    let format = |name| header.find(name).unwrap().dtype.format();
    assert_eq!((format("词.weight"), format("model.norm.weight")), (Some(Format::F32), Some(Format::F16)));
    assert_eq!((format("scalar"), format("position_ids")), (Some(Format::BF16), None));
}

#[test]
fn sizes_of_types_are_those_of_the_reference() {
    for theirs in [Theirs::BOOL, Theirs::F4, Theirs::F8_E8M0, Theirs::BF16, Theirs::U32, Theirs::C64, Theirs::I64] {
        let ours = Dtype::from_name(&theirs.to_string()).unwrap();
        assert_eq!(ours.bits(), theirs.bitsize() as u64, "{theirs}");
        assert_eq!(ours.name(), theirs.to_string());
    }
    assert_eq!(Dtype::F4.bytes_of(3), None, "a byte and a half");
}

#[test]
fn what_is_no_safetensors_file_is_told_from_what_is_cut_short() {
    assert_eq!(parse(b"GGUF\x03\0\0\0\x01\0\0\0").unwrap_err(), Fault::NotSafetensors);
    assert_eq!(parse(b"PK").unwrap_err(), Fault::Truncated { wanted: 8, size: 2 });
    let whole = file(&one("F32", "[2,3]", 0, 24), 24);
    parse(&whole).unwrap();
    for length in 1..whole.len() {
        let error = Header::parse(Path::new("m"), &whole[..length]).unwrap_err();
        assert_eq!(error.kind(), Kind::Incomplete, "{length} bytes: {error}");
    }
}

#[test]
fn a_header_longer_than_any_is_refused_before_it_is_read() {
    for length in [(32 << 20) + 1, 1 << 60, u64::MAX] {
        let file = [&length.to_le_bytes()[..], b"{}"].concat();
        assert_eq!(parse(&file).unwrap_err(), Fault::HeaderTooLarge { length, limit: 32 << 20 });
    }
}

#[test]
fn a_header_that_is_no_list_of_tensors_is_refused() {
    let deep = format!("{{\"t\":{}", "{\"a\":".repeat(100_000));
    let repeated = r#"{"__metadata__":{"a":"b"},"__metadata__":{"a":"c"}}"#;
    let broken = [
        "{",
        "{}x",
        "{\"t\":1}",
        "{\"t\":{}}",
        r#"{"t":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
        r#"{"t":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}"#,
        r#"{"t":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]}}"#,
        r#"{"t":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}}"#,
        r#"{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}"#,
        r#"{"__metadata__":{"a":1}}"#,
        repeated,
        &deep,
    ];
    for json in broken {
        let fault = refused(json, 4);
        assert!(matches!(fault, Fault::Header { .. }), "{}: {fault}", &json[..json.len().min(80)]);
    }
    let not_utf8 = [&5u64.to_le_bytes()[..], b"{\"\xff\":", b""].concat();
    assert!(matches!(parse(&not_utf8).unwrap_err(), Fault::Header { .. }));
}

#[test]
fn a_tensor_that_stands_there_twice_is_refused() {
    let json = format!(r#"{{"t":{},"t":{}}}"#, entry("F32", "[1]", 0, 4), entry("F32", "[1]", 4, 8));
    assert_eq!(refused(&json, 8), Fault::TensorRepeated { tensor: named("t") });
}

#[test]
fn types_and_names_that_no_file_has_are_refused() {
    let fault = Fault::UnknownDtype { tensor: named("t"), dtype: named("Q4_K") };
    assert_eq!(refused(&one("Q4_K", "[1]", 0, 4), 4), fault);
    let json = format!(r#"{{"{}":{}}}"#, "n".repeat(1025), entry("F32", "[1]", 0, 4));
    assert_eq!(refused(&json, 4), Fault::NameLength { length: 1025, limit: 1024 });
    let fault = Fault::TooManyDimensions { tensor: named("t"), count: 9, limit: 8 };
    assert_eq!(refused(&one("F32", "[1,1,1,1,1,1,1,1,1]", 0, 4), 4), fault);
}

#[test]
fn sizes_that_contradict_the_shape_or_overflow_are_refused() {
    let fault = Fault::Size { tensor: named("t"), given: 4, wanted: 8 };
    assert_eq!(refused(&one("F32", "[2]", 0, 4), 4), fault);
    let shape = vec![1 << 32, 1 << 32];
    let fault = Fault::TensorTooLarge { tensor: named("t"), shape };
    assert_eq!(refused(&one("F32", "[4294967296,4294967296]", 0, 0), 0), fault);
    let fault = Fault::TensorTooLarge { tensor: named("t"), shape: vec![1 << 60] };
    assert_eq!(refused(&one("F64", "[1152921504606846976]", 0, 0), 0), fault);
    let fault = Fault::Backwards { tensor: named("t"), start: 4, end: 0 };
    assert_eq!(refused(&one("F32", "[1]", 4, 0), 4), fault);
}

#[test]
fn tensors_outside_the_file_on_each_other_or_with_gaps_between_are_refused() {
    let json = one("F32", "[2]", 0, 8);
    let end = 8 + json.len() as u64 + 8;
    assert_eq!(refused(&json, 7), Fault::PastEnd { tensor: named("t"), end, size: end - 1 });
    let far = one("F32", "[1]", u64::MAX - 4, u64::MAX);
    let size = 8 + far.len() as u64 + 8;
    assert_eq!(refused(&far, 8), Fault::PastEnd { tensor: named("t"), end: u64::MAX, size });
    let two = |first: u64, second: u64| {
        let (a, b) = (entry("F32", "[2]", first, first + 8), entry("F32", "[2]", second, second + 8));
        format!(r#"{{"a":{a},"b":{b}}}"#)
    };
    assert_eq!(refused(&two(0, 4), 16), Fault::Overlap { first: named("a"), second: named("b") });
    assert_eq!(refused(&two(4, 0), 16), Fault::Overlap { first: named("b"), second: named("a") });
    assert!(matches!(refused(&two(0, 12), 20), Fault::Gap { bytes: 4, .. }));
    assert!(matches!(refused(&two(4, 12), 20), Fault::Gap { bytes: 4, .. }));
    assert!(matches!(refused(&two(0, 8), 17), Fault::Gap { bytes: 1, .. }));
    parse(&file(&two(8, 0), 16)).unwrap();
}

#[test]
fn a_shard_is_a_plain_file_name_on_every_system() {
    let index = |name: &str| {
        let json = serde_json::json!({ "metadata": { "total_size": 1 }, "weight_map": { "t": name } }).to_string();
        Index::parse(Path::new("i.json"), json.as_bytes()).map_err(fault)
    };
    for name in ["model-00001-of-00002.safetensors", "模型 一.safetensors", "command.safetensors", "com.safetensors"]
    {
        assert_eq!(index(name).unwrap().shards, [name]);
    }
    let hostile = [
        "../x.safetensors",
        "a/../../x.safetensors",
        "/etc/x.safetensors",
        "a/x.safetensors",
        "..\\x.safetensors",
        "C:\\x.safetensors",
        "C:x.safetensors",
        "\\\\host\\share\\x.safetensors",
        "x.safetensors:stream.safetensors",
        "NUL.safetensors",
        "con.x.safetensors",
        "Com1.safetensors",
        "LPT9 .safetensors",
        "aux.safetensors",
        "COM².safetensors",
        ".safetensors",
        "..safetensors",
        "a\0.safetensors",
        "a\n.safetensors",
        "passwd",
        "x.safetensors.",
        "",
    ];
    for name in hostile {
        assert_eq!(index(name).unwrap_err(), Fault::ShardName { name: named(name), extension: ".safetensors" });
    }
    let long = format!("{}.safetensors", "n".repeat(300));
    assert!(matches!(index(&long).unwrap_err(), Fault::ShardName { .. }));
}

#[test]
fn an_index_that_is_none_repeats_itself_or_names_too_many_shards_is_refused() {
    let parse = |json: &str| Index::parse(Path::new("i.json"), json.as_bytes()).map_err(fault).unwrap_err();
    for json in ["", "[]", "{}", r#"{"weight_map":{"t":1}}"#, r#"{"weight_map":[]}"#] {
        assert!(matches!(parse(json), Fault::Index { .. }), "{json}");
    }
    let twice = r#"{"weight_map":{"t":"a.safetensors","t":"b.safetensors"}}"#;
    assert_eq!(parse(twice), Fault::ListedTwice { tensor: named("t") });
    let many: Vec<String> = (0..1025).map(|i| format!(r#""t{i}":"s{i}.safetensors""#)).collect();
    let many = format!(r#"{{"weight_map":{{{}}}}}"#, many.join(","));
    assert_eq!(parse(&many), Fault::TooManyShards { count: 1025, limit: 1024 });
}
