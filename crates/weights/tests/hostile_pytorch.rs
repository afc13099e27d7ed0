//! PyTorch files that someone made to harm: nothing runs, nothing is followed, nothing is allocated for a claim.

#![allow(clippy::unwrap_used)] // a test may panic

use huacaya_weights::pytorch::{Fault, File};

/// A zip archive of entries stored as they are.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut list) = (Vec::new(), Vec::new());
    for (name, bytes) in entries {
        let start = file.len();
        let (size, length) = ((bytes.len() as u32).to_le_bytes(), (name.len() as u16).to_le_bytes());
        let head = [&[0; 10][..], &[0; 4], &size, &size, &length, &[0, 0]].concat();
        file.extend([b"PK\x03\x04\x14\0".as_slice(), &head[2..], name.as_bytes(), bytes].concat());
        let at = (start as u32).to_le_bytes();
        let more = [&[0; 10][..], &at].concat();
        list.extend([b"PK\x01\x02\x14\0\x14\0".as_slice(), &head[2..], &more, name.as_bytes()].concat());
    }
    let (count, at) = ((entries.len() as u16).to_le_bytes(), (file.len() as u32).to_le_bytes());
    let size = (list.len() as u32).to_le_bytes();
    file.extend(list);
    file.extend([b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &size, &at, &[0, 0]].concat());
    file
}

/// A file with this pickle, and a storage of eight floats under the key `0`.
fn with_pickle(pickle: &[u8]) -> Vec<u8> {
    archive(&[("a/data.pkl", pickle), ("a/data/0", &[0; 32])])
}

fn fault(pickle: &[u8]) -> Fault {
    File::parse(&with_pickle(pickle)).unwrap_err()
}

fn text(text: &str) -> Vec<u8> {
    [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn int(number: i64) -> Vec<u8> {
    [b"\x8a\x08".as_slice(), &number.to_le_bytes()].concat()
}

fn tuple(values: &[i64]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|&value| int(value)).collect();
    [b"(".as_slice(), &values, b"t"].concat()
}

/// A dictionary with one tensor.
fn one_tensor(key: &str, length: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let mut pickle = b"\x80\x02}".to_vec();
    pickle.extend(text("w"));
    pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
    pickle.extend(text("storage"));
    pickle.extend(b"ctorch\nFloatStorage\n");
    pickle.extend([text(key), text("cpu"), int(length), b"tQ".to_vec(), int(offset)].concat());
    pickle.extend([tuple(shape), tuple(strides), b"\x89}tRs.".to_vec()].concat());
    pickle
}

#[test]
fn the_file_that_is_changed_here_is_sound() {
    let tensors = File::parse(&with_pickle(&one_tensor("0", 8, 2, &[2, 3], &[3, 1]))).unwrap();
    assert_eq!((tensors[0].name.as_str(), &tensors[0].shape, tensors[0].bytes), ("w", &vec![2, 3], 24));
}

#[test]
fn no_name_but_the_few_that_tensors_need_is_ever_looked_up() {
    for (pickle, name) in [
        (&b"\x80\x02cposix\nsystem\n(X\x02\0\0\0idtR."[..], "posix.system"),
        (b"\x80\x02c__builtin__\neval\n.", "__builtin__.eval"),
        (b"\x80\x04\x8c\x08builtins\x94\x8c\x04exec\x94\x93.", "builtins.exec"),
        (b"cos\nsystem\n.", "os.system"),
        (b"csubprocess\nPopen\n.", "subprocess.Popen"),
        (b"ctorch\nload\n.", "torch.load"),
        (b"ctorch\nevilStorage\n.", "torch.evilStorage"),
        (b"ctorch.hub\nload\n.", "torch.hub.load"),
        (b"ctorch._utils\n_rebuild_qtensor\n.", "torch._utils._rebuild_qtensor"),
        (b"cnumpy.core.multiarray\n_reconstruct\n.", "numpy.core.multiarray._reconstruct"),
        (b"ccollections\ndefaultdict\n.", "collections.defaultdict"),
        (b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n.", "torch._utils._rebuild_tensor_v2.__globals__"),
    ] {
        assert_eq!(fault(pickle), Fault::Global { name: name.into() });
    }
    let long = [b"c".as_slice(), &[b'm'; 5000], b"\nf\n."].concat();
    assert!(matches!(fault(&long), Fault::Global { name } if name.len() == 80));
}

#[test]
fn instructions_that_make_or_call_anything_else_are_named() {
    for (pickle, name) in [
        (&b"\x80\x02(ios\nsystem\n."[..], "INST"),
        (b"\x80\x02(o.", "OBJ"),
        (b"ccollections\nOrderedDict\n)\x81.", "NEWOBJ"),
        (b"\x82\x01.", "EXT1"),
        (b"Pid\n.", "PERSID"),
        (b"}2.", "DUP"),
        (b"\x97.", "NEXT_BUFFER"),
        (b"\xff.", "0xff"),
        (b"I1\n.", "INT"),
        (b"\x8b\x04\0\0\0\0\0\0\0.", "LONG4"),
    ] {
        assert!(matches!(fault(pickle), Fault::Opcode { name: found, .. } if found == name), "{name}");
    }
}

#[test]
fn calls_with_other_values_than_pytorch_writes_are_refused() {
    let rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n".as_slice();
    for pickle in [
        &b"ccollections\nOrderedDict\n(ctorch\nFloatStorage\ntR."[..],
        &[rebuild, b")R."].concat(),
        &[rebuild, b"(NK\0))\x89}tR."].concat(),
        b"ctorch._utils\n_rebuild_parameter\n(}\x89}tR.",
        b"ctorch\nFloatStorage\n)R.",
        b"ctorch\nSize\n)R.",
        b"(X\x07\0\0\0storagecposix\n",
        b"(X\x07\0\0\0storageN)))tQ.",
        b"(X\x06\0\0\0modulectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x08tQ.",
        b")Q.",
        b"})b.",
        b"]}b.",
        b"ctorch\nFloatStorage\n}b.",
    ] {
        let found = fault(pickle);
        let expected = matches!(found, Fault::Call { .. } | Fault::PickleEnds { .. } | Fault::Global { .. });
        assert!(expected, "{}: {found}", String::from_utf8_lossy(pickle));
    }
    for pickle in [
        &b"}}R."[..],
        b"K\x01)R.",
        b"]N}s.",
        b"}Ns.",
        b"}a.",
        b"N(e.",
        b"Nu.",
        b"N(u.",
        b"](NNu.",
        b"}(Nu.",
        b"R.",
        b".",
    ] {
        assert!(matches!(fault(pickle), Fault::Pickle { .. }), "{}", String::from_utf8_lossy(pickle));
    }
}

#[test]
fn depth_width_and_memory_have_their_limits() {
    let nested = |part: &[u8], count: usize| [b"\x80\x02}".as_slice(), &part.repeat(count), b"."].concat();
    // A tuple in a tuple in a tuple: no limit is needed, as nothing recurses.
    assert_eq!(fault(&nested(b"\x85", 500_000)), Fault::NoTensors);
    assert!(matches!(fault(&nested(b"(", 65)), Fault::TooMany { .. }));
    assert!(matches!(fault(&nested(b"N", 1 << 17)), Fault::TooMany { .. }));
    assert!(matches!(fault(&nested(b"\x85", 2 << 20)), Fault::TooMany { .. }));
    assert!(matches!(fault(&nested(b"\x94", 2 << 20)), Fault::TooMany { .. }));
    assert!(matches!(fault(&vec![b'N'; 9 << 20]), Fault::PickleTooLarge { .. }));
    // Remembered under the largest number there is; a dictionary in itself; ten times ten times ten …
    assert_eq!(fault(b"}r\xff\xff\xff\xff0."), Fault::Opcode { name: "POP".into(), at: 6 });
    assert_eq!(fault(b"}q\0X\x01\0\0\0wh\0s."), Fault::NoTensors);
    let laughs: Vec<u8> =
        (0..40u8).flat_map(|i| [b"(".to_vec(), [b'h', i].repeat(10), vec![b't', b'q', i + 1]].concat()).collect();
    assert_eq!(fault(&[b"}q\0".as_slice(), &laughs, b"h\0."].concat()), Fault::NoTensors);
    assert!(matches!(fault(b"h\x05."), Fault::Pickle { .. }));
    assert!(matches!(fault(b"q\x05."), Fault::Pickle { .. }));
}

#[test]
fn tensors_cannot_reach_out_of_their_storage_or_overflow() {
    let tensor =
        |key, length, offset, shape: &[i64], strides: &[i64]| fault(&one_tensor(key, length, offset, shape, strides));
    assert!(matches!(tensor("0", 8, 3, &[2, 3], &[3, 1]), Fault::PastStorage { end: 9, values: 8, .. }));
    assert!(matches!(tensor("0", 8, 9, &[0], &[1]), Fault::PastStorage { .. }));
    assert!(matches!(tensor("0", 8, 0, &[2, 2], &[7, 1]), Fault::PastStorage { end: 9, .. }));
    assert!(matches!(tensor("0", 8, 0, &[2, 2], &[i64::MAX, i64::MAX]), Fault::PastStorage { end: u64::MAX, .. }));
    assert!(matches!(tensor("0", 8, 0, &[100], &[0]), Fault::Repeats { wanted: 100, values: 8, .. }));
    for (offset, shape, strides) in [
        (0, vec![-1], vec![1]),
        (0, vec![8], vec![-1]),
        (-1, vec![1], vec![1]),
        (0, vec![1, 2], vec![1]),
        (0, vec![i64::MAX, i64::MAX], vec![1, 1]),
        (i64::MAX, vec![i64::MAX], vec![i64::MAX]),
        (0, vec![1; 9], vec![1; 9]),
    ] {
        let found = tensor("0", 8, offset, &shape, &strides);
        assert!(matches!(found, Fault::Shape { .. }), "{shape:?} {strides:?}: {found}");
    }
    assert!(matches!(tensor("0", 9, 0, &[1], &[1]), Fault::StorageSize { found: 32, wanted: 36, .. }));
    assert!(matches!(tensor("0", -1, 0, &[1], &[1]), Fault::StorageSize { .. }));
    assert!(matches!(tensor("0", i64::MAX, 0, &[1], &[1]), Fault::StorageSize { .. }));
    for key in ["1", "../data.pkl", "../../../../etc/passwd", "/etc/passwd", "C:\\x", "0\0", ""] {
        assert!(matches!(tensor(key, 8, 0, &[1], &[1]), Fault::StorageMissing { .. }), "{key}");
    }
}

#[test]
fn many_names_for_one_storage_cannot_claim_a_huge_model() {
    let one = one_tensor("0", 1024, 0, &[1024], &[1]);
    let fault = |pickle: &[u8]| File::parse(&archive(&[("a/data.pkl", pickle), ("a/data/0", &[0; 4096])])).unwrap_err();
    let tensor = &one[b"\x80\x02}".len() + text("w").len()..one.len() - 2];
    let many: Vec<u8> = (0..500).flat_map(|i| [text(&i.to_string()), b"h\0".to_vec()].concat()).collect();
    let pickle = [b"\x80\x02}".as_slice(), &text("w"), tensor, b"q\0s(", &many, b"u."].concat();
    assert!(matches!(fault(&pickle), Fault::Shared { bytes, .. } if bytes == 501 * 4096));
    let twice = [b"\x80\x02}".as_slice(), &text("w"), tensor, b"q\0s", &text("w"), b"h\0s."].concat();
    assert_eq!(fault(&twice), Fault::TensorRepeated { tensor: "w".into() });
}

/// Writes `bytes` over the one place where `mark` stands for the `nth` time.
fn changed(file: &[u8], mark: &[u8], nth: usize, at: usize, bytes: &[u8]) -> Vec<u8> {
    let found = (0..file.len() - 3).filter(|&i| file[i..].starts_with(mark)).nth(nth).unwrap();
    let mut file = file.to_vec();
    file[found + at..][..bytes.len()].copy_from_slice(bytes);
    file
}

#[test]
fn archives_that_contradict_themselves_are_refused() {
    let sound = with_pickle(&one_tensor("0", 8, 0, &[8], &[1]));
    File::parse(&sound).unwrap();
    let fault = |file: Vec<u8>| File::parse(&file).unwrap_err();
    let (local, central, end) = (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06");
    assert!(matches!(fault(changed(&sound, local, 1, 8, &[8])), Fault::HeadersDiffer { .. }));
    assert!(matches!(fault(changed(&sound, local, 1, 18, &[33])), Fault::HeadersDiffer { .. }));
    assert!(matches!(fault(changed(&sound, local, 1, 30, b"b")), Fault::HeadersDiffer { .. }));
    assert!(matches!(fault(changed(&sound, local, 1, 0, b"PK\x03\x05")), Fault::HeadersDiffer { .. }));
    assert!(matches!(fault(changed(&sound, central, 1, 10, &[8])), Fault::Compressed { .. }));
    assert!(matches!(fault(changed(&sound, central, 1, 8, &[1])), Fault::Encrypted { .. }));
    assert!(matches!(fault(changed(&sound, central, 1, 20, &[1])), Fault::EntrySize { .. }));
    assert!(matches!(fault(changed(&sound, central, 1, 42, &[0, 0])), Fault::HeadersDiffer { .. }));
    assert!(matches!(fault(changed(&sound, central, 1, 42, &[255, 255, 255, 254])), Fault::PastEnd { .. }));
    assert!(matches!(fault(changed(&sound, central, 1, 42, &[255; 4])), Fault::Directory));
    assert!(matches!(fault(changed(&sound, central, 1, 28, &[255, 255])), Fault::Directory));
    assert!(matches!(fault(changed(&sound, end, 0, 10, &[3])), Fault::Directory));
    assert!(matches!(fault(changed(&sound, end, 0, 16, &[255; 3])), Fault::Directory));
    assert!(matches!(fault(changed(&sound, end, 0, 20, &[9])), Fault::Truncated { .. }));
}

#[test]
fn entries_that_overlap_repeat_or_are_missing_are_refused() {
    let pickle = one_tensor("0", 8, 0, &[8], &[1]);
    // The second entry's header and bytes lie in the first one's bytes.
    let inner = archive(&[("a/data/0", &[7; 32])]);
    let inner = &inner[..30 + 8 + 32];
    let outer = archive(&[("a/data.pkl", &pickle), ("a/data/1", inner), ("a/data/0", &[7; 32])]);
    let inside = (0..outer.len()).filter(|&i| outer[i..].starts_with(b"PK\x03\x04")).nth(2).unwrap() as u32;
    let nested = changed(&outer, b"PK\x01\x02", 2, 42, &inside.to_le_bytes());
    assert!(matches!(File::parse(&nested).unwrap_err(), Fault::EntriesOverlap { .. }));
    let parse = |entries: &[(&str, &[u8])]| File::parse(&archive(entries)).unwrap_err();
    assert!(matches!(
        parse(&[("a/data.pkl", &pickle), ("a/data/0", &[0; 32]), ("a/data/0", &[0; 32])]),
        Fault::EntryRepeated { .. }
    ));
    assert_eq!(parse(&[("a/data.pkl", &pickle), ("b/data.pkl", &pickle)]), Fault::SeveralPickles);
    assert_eq!(parse(&[("a/b/data.pkl", &pickle)]), Fault::SeveralPickles);
    assert_eq!(parse(&[("word/document.xml", b"<xml/>")]), Fault::NoPickle);
    assert_eq!(parse(&[]), Fault::NoPickle);
    let big = [("a/data.pkl", &pickle[..]), ("a/data/0", &[0; 32]), ("a/byteorder", b"big")];
    assert_eq!(parse(&big), Fault::ByteOrder { order: "big".into() });
    let meta = String::from_utf8_lossy(&text("tok_embeddings.weight")).into_owned();
    let pickle = [b"\x80\x02}".as_slice(), meta.as_bytes(), &one_tensor("0", 8, 0, &[8], &[1])[3 + 6..]].concat();
    assert_eq!(parse(&[("a/data.pkl", &pickle), ("a/data/0", &[0; 32])]), Fault::Meta);
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/pytorch/kinds.bin")).unwrap();
    File::parse(&whole).unwrap();
    for length in 0..whole.len() {
        assert!(File::parse(&whole[..length]).is_err(), "cut to {length} bytes");
    }
}
