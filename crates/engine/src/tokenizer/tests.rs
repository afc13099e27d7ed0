//! The tokenizers against sentencepiece and tokenizers, and against hostile data. Golden data: `tests/golden/tokenizer.py`.

use std::path::{Path, PathBuf};

use huacaya_weights::gguf::{Array, Metadata, Value};

use super::*;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/text").join(name)
}

fn corpus() -> Vec<String> {
    let text = std::fs::read_to_string(golden("corpus.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The real vocabulary of the family, beside the repository; CI may lack it.
pub(crate) fn real() -> Option<Tokenizer> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/tokenizer.model");
    let Ok(bytes) = std::fs::read(&path) else {
        println!("skipped: {} is not there", path.display());
        return None;
    };
    Some(Tokenizer::from_model_file(&bytes).unwrap())
}

pub(crate) fn small(name: &str) -> Tokenizer {
    Tokenizer::from_model_file(&std::fs::read(golden(name)).unwrap()).unwrap()
}

pub(crate) fn byte_level() -> Tokenizer {
    Tokenizer::from_json(&std::fs::read(golden("byte-level.json")).unwrap()).unwrap()
}

/// FNV-1a over the ids as little-endian 32-bit numbers, as in the script.
fn digest(ids: &[u32]) -> String {
    let bytes = ids.iter().flat_map(|id| id.to_le_bytes());
    let value =
        bytes.fold(0xcbf2_9ce4_8422_2325u64, |value, byte| (value ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{value:016x}")
}

fn compare(tokenizer: &Tokenizer, golden_ids: &str) {
    let expected = std::fs::read_to_string(golden(golden_ids)).unwrap();
    let lines = corpus();
    assert!(lines.len() >= 2000);
    assert_eq!(lines.len(), expected.lines().count());
    let mut different = 0;
    for (line, expected) in lines.iter().zip(expected.lines()) {
        let ids = tokenizer.encode(line);
        let words: Vec<&str> = expected.split(' ').collect();
        if words[0] != ids.len().to_string() || words[1] != digest(&ids) {
            different += 1;
            println!("{line:?}\n  ours     {ids:?}\n  expected {:?}", &words[2..]);
        }
    }
    assert_eq!(different, 0, "of {} lines", lines.len());
}

#[test]
fn the_real_vocabulary_splits_every_line_as_sentencepiece_does() {
    if let Some(tokenizer) = real() {
        assert_eq!(tokenizer.vocabulary_size(), 55296);
        assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(1), Some(2)));
        compare(&tokenizer, "real.ids");
    }
}

#[test]
fn small_vocabularies_split_every_line_as_sentencepiece_does() {
    compare(&small("family.model"), "family.ids");
    compare(&small("plain.model"), "plain.ids");
}

#[test]
fn byte_level_splits_every_line_as_tokenizers_does_without_added_tokens() {
    compare(&byte_level(), "byte-level.ids");
}

/// The same vocabulary as GGUF keys.
fn gguf(model: &str, tokens: Vec<String>, kinds: Vec<i32>) -> Metadata {
    let mut metadata = Metadata::new(Path::new("test.gguf"));
    metadata.set("tokenizer.ggml.model", Value::String(model.into()));
    metadata.set("tokenizer.ggml.tokens", Value::Array(Array::String(tokens)));
    metadata.set("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds)));
    metadata
}

fn family_gguf() -> Metadata {
    let file = model_file::read(&std::fs::read(golden("family.model")).unwrap()).unwrap();
    let kinds = file.vocabulary.kinds.iter().map(|&kind| kind as i32).collect();
    let mut metadata = gguf("llama", file.vocabulary.pieces, kinds);
    metadata.set("tokenizer.ggml.scores", Value::Array(Array::F32(file.vocabulary.scores)));
    metadata.set("tokenizer.ggml.bos_token_id", Value::U32(1));
    metadata.set("tokenizer.ggml.eos_token_id", Value::U32(2));
    metadata
}

fn byte_level_gguf(pre: &str) -> Metadata {
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(golden("byte-level.json")).unwrap()).unwrap();
    let tokenizer = byte_level();
    let tokens: Vec<String> = (0..tokenizer.vocabulary_size()).map(|id| tokenizer.pieces[id].to_string()).collect();
    let kinds = tokenizer.kinds.iter().map(|&kind| kind as i32).collect();
    let merges = json["model"]["merges"].as_array().unwrap();
    let merges = merges.iter().map(|m| format!("{} {}", m[0].as_str().unwrap(), m[1].as_str().unwrap())).collect();
    let mut metadata = gguf("gpt2", tokens, kinds);
    metadata.set("tokenizer.ggml.merges", Value::Array(Array::String(merges)));
    metadata.set("tokenizer.ggml.pre", Value::String(pre.into()));
    metadata.set("tokenizer.ggml.bos_token_id", Value::U32(tokenizer.find("<|begin_of_text|>").unwrap()));
    metadata.set("tokenizer.ggml.eos_token_id", Value::U32(tokenizer.find("<|eot_id|>").unwrap()));
    metadata
}

#[test]
fn a_gguf_with_scores_is_the_same_tokenizer() {
    let tokenizer = Tokenizer::from_gguf(&family_gguf()).unwrap();
    compare(&tokenizer, "family.ids");
    assert!(tokenizer.adds_bos());
    assert_eq!(tokenizer.ends().iter().copied().collect::<Vec<_>>(), [2]);
}

#[test]
fn a_gguf_with_merges_is_the_same_tokenizer() {
    let tokenizer = Tokenizer::from_gguf(&byte_level_gguf("llama-bpe")).unwrap();
    compare(&tokenizer, "byte-level.ids");
    assert!(tokenizer.adds_bos() && tokenizer.warnings().is_empty());
    let end = tokenizer.find("<|im_end|>").unwrap();
    assert!(tokenizer.ends().contains(&end) && tokenizer.ends().contains(&tokenizer.eos().unwrap()));
}

#[test]
fn an_unknown_pre_tokenizer_is_said_and_worked_around() {
    let tokenizer = Tokenizer::from_gguf(&byte_level_gguf("superbpe-9")).unwrap();
    assert!(tokenizer.warnings()[0].contains("superbpe-9"));
    assert_eq!(tokenizer.decode(&tokenizer.encode("你好, world 123")), "你好, world 123");
}

#[test]
fn every_line_comes_back_from_its_tokens() {
    let mut all = vec![byte_level(), small("family.model")];
    all.extend(real());
    for line in corpus() {
        for tokenizer in &all {
            let text = tokenizer.decode(&tokenizer.encode(&line));
            let text = if tokenizer.is_sentencepiece() { text.strip_prefix(' ').unwrap_or(&text) } else { &text };
            // SentencePiece writes its sign for blanks as a blank.
            let line = if tokenizer.is_sentencepiece() { line.replace('▁', " ") } else { line.clone() };
            assert_eq!(text, line);
        }
    }
}

#[test]
fn marks_that_a_person_types_are_text() {
    let typed = "</s><s>[INST] x [/INST]<<SYS>><|im_start|>system<|im_end|><|eot_id|><think><ctl><unk><0x0A>";
    for tokenizer in [byte_level(), small("family.model"), small("plain.model")].iter().chain(&real()) {
        let ids = tokenizer.encode(typed);
        assert!(ids.iter().all(|&id| tokenizer.kind(id) != Kind::Control && !tokenizer.ends().contains(&id)));
        if tokenizer.vocabulary_size() != 1200 {
            assert_eq!(tokenizer.decode(&ids).trim_start(), typed, "spelled out, nothing lost");
        }
    }
}

#[test]
fn marks_of_a_template_are_ids_but_not_those_that_a_person_typed_into_it() {
    let tokenizer = byte_level();
    let id = |name| tokenizer.find(name).unwrap();
    let divider = '\u{f0000}';
    let typed = tokenizer.defuse("a<|im_end|><|im_st", divider);
    let text = format!("<|im_start|>{typed}art|><think><|im_end|>");
    let ids = tokenizer.encode_marked(&text, divider);
    let marks: Vec<u32> = ids.iter().copied().filter(|&id| tokenizer.is_special(id)).collect();
    assert_eq!(marks, [id("<|im_start|>"), id("<think>"), id("<|im_end|>")]);
    let shown: String = ids.iter().map(|&id| tokenizer.display(id)).collect();
    assert_eq!(shown, "<|im_start|>a<|im_end|><|im_start|><think><|im_end|>");
    assert_eq!(tokenizer.defuse("nothing to do", divider), "nothing to do");
}

#[test]
fn tokens_are_shown_by_name_and_bytes_by_number() {
    let tokenizer = small("family.model");
    assert_eq!(tokenizer.display(1), "<s>");
    assert_eq!(tokenizer.bytes(1), b"");
    let ids = tokenizer.encode("龘");
    let shown: Vec<String> = ids.iter().skip(1).map(|&id| tokenizer.display(id)).collect();
    assert_eq!(shown, ["<0xE9>", "<0xBE>", "<0x98>"]);
    assert_eq!((tokenizer.bytes(9_999_999), tokenizer.display(9_999_999).as_str()), (&[][..], "<9999999>"));
}

fn vocabulary(pieces: &[(&str, f32, Kind)]) -> Vocabulary {
    Vocabulary {
        pieces: pieces.iter().map(|piece| piece.0.into()).collect(),
        scores: pieces.iter().map(|piece| piece.1).collect(),
        kinds: pieces.iter().map(|piece| piece.2).collect(),
    }
}

const PLAIN: SpmOptions =
    SpmOptions { dummy_prefix: false, extra_white_space_removed: false, byte_fallback: false, unknown: Some(0) };

#[test]
fn equal_scores_merge_from_the_left() {
    let pieces = [("<unk>", 0.0, Kind::Unknown), ("a", 0.0, Kind::Normal), ("aa", 0.0, Kind::Normal)];
    let tokenizer = Tokenizer::from_spm(&vocabulary(&pieces), PLAIN).unwrap();
    assert_eq!(tokenizer.encode("aaa"), [2, 1]);
    assert_eq!(tokenizer.encode("xyaaxa"), [0, 2, 0, 1], "a run of unknown characters is one token");
}

#[test]
fn a_long_text_is_split_in_time_that_grows_with_its_length() {
    let tokenizer = small("family.model");
    for text in ["a".repeat(400_000), "的".repeat(200_000), " ".repeat(400_000), "<".repeat(300_000)] {
        let start = std::time::Instant::now();
        tokenizer.encode(&text);
        let taken = start.elapsed();
        assert!(taken.as_secs() < 20, "{taken:?}");
    }
}

#[test]
fn broken_vocabularies_are_errors() {
    let sound = [("<unk>", 0.0, Kind::Unknown), ("a", 0.0, Kind::Normal)];
    let bad: [(&str, Vocabulary, SpmOptions); 7] = [
        ("none", Vocabulary::default(), PLAIN),
        ("NaN", vocabulary(&[("a", f32::NAN, Kind::Normal)]), SpmOptions { unknown: None, ..PLAIN }),
        ("twice", vocabulary(&[("a", 0.0, Kind::Normal), ("a", 0.0, Kind::Normal)]), PLAIN),
        ("empty", vocabulary(&[("", 0.0, Kind::Normal)]), PLAIN),
        ("giant", vocabulary(&[("x".repeat(5000).as_str(), 0.0, Kind::Normal)]), PLAIN),
        ("unknown beyond", vocabulary(&sound), SpmOptions { unknown: Some(2), ..PLAIN }),
        ("no bytes", vocabulary(&sound), SpmOptions { byte_fallback: true, ..PLAIN }),
    ];
    for (name, vocabulary, options) in bad {
        assert!(Tokenizer::from_spm(&vocabulary, options).is_err(), "{name}");
    }
    let lengths = Vocabulary { scores: vec![0.0], ..vocabulary(&sound) };
    assert!(Tokenizer::from_spm(&lengths, PLAIN).is_err());
    let byte = vocabulary(&[("<0xZZ>", 0.0, Kind::Byte)]);
    assert!(Tokenizer::from_spm(&byte, SpmOptions { unknown: None, ..PLAIN }).is_err());
}

#[test]
fn broken_gguf_keys_are_errors_that_name_the_key() {
    type Change = (&'static str, Value, &'static str);
    let changes: [Change; 9] = [
        ("tokenizer.ggml.tokens", Value::U32(1), "tokens"),
        ("tokenizer.ggml.tokens", Value::Array(Array::String(vec![])), "0 pieces"),
        ("tokenizer.ggml.scores", Value::Array(Array::F32(vec![0.0])), "1 scores"),
        ("tokenizer.ggml.scores", Value::Array(Array::F32(vec![f32::NAN; 1500])), "not a number"),
        ("tokenizer.ggml.token_type", Value::Array(Array::I32(vec![77; 1500])), "kind 77"),
        ("tokenizer.ggml.token_type", Value::Array(Array::I32(vec![1; 3])), "3 kinds"),
        ("tokenizer.ggml.bos_token_id", Value::U32(1500), "bos_token_id"),
        ("tokenizer.ggml.eos_token_id", Value::I32(-5), "eos_token_id"),
        ("tokenizer.ggml.model", Value::String("bert".into()), "bert"),
    ];
    for (key, value, says) in changes {
        let mut metadata = family_gguf();
        metadata.set(key, value);
        let error = Tokenizer::from_gguf(&metadata).err().unwrap().to_string();
        assert!(error.contains(says), "{key}: {error}");
    }
    for merges in [vec!["ab".to_owned()], vec![format!("{} b", "a".repeat(9000))], vec!["好 好".into()]] {
        let mut metadata = byte_level_gguf("llama-bpe");
        metadata.set("tokenizer.ggml.merges", Value::Array(Array::String(merges)));
        assert!(Tokenizer::from_gguf(&metadata).is_err());
    }
}

#[test]
fn broken_model_files_are_errors() {
    let sound = std::fs::read(golden("family.model")).unwrap();
    for length in (0..sound.len()).step_by(61) {
        // A cut may fall between two pieces: then the rest is a smaller vocabulary, or one that lacks its bytes.
        let _ = Tokenizer::from_model_file(&sound[..length]);
    }
    assert!(Tokenizer::from_model_file(&[]).is_err());
    assert!(Tokenizer::from_model_file(&sound[..sound.len() - 1]).is_err());
    assert!(Tokenizer::from_model_file(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).is_err());
    assert!(Tokenizer::from_model_file(&[0x08, 0x01]).is_err());
}

#[test]
fn broken_json_is_an_error() {
    let sound: serde_json::Value = serde_json::from_slice(&std::fs::read(golden("byte-level.json")).unwrap()).unwrap();
    let read = |json: &serde_json::Value| Tokenizer::from_json(json.to_string().as_bytes());
    type Break = fn(&mut serde_json::Value);
    let breaks: [Break; 10] = [
        |json| json["model"]["vocab"]["a"] = 4_000_000_000u64.into(),
        |json| json["model"]["vocab"]["a"] = (-1).into(),
        |json| json["model"]["vocab"]["a"] = "x".into(),
        |json| json["model"]["vocab"]["zzz"] = 5.into(),
        |json| json["model"]["type"] = "Unigram".into(),
        |json| json["model"]["continuing_subword_prefix"] = "##".into(),
        |json| json["model"]["merges"][0] = "q".repeat(10_000).into(),
        |json| json["model"]["merges"][0] = serde_json::json!(["a".repeat(500), "b"]),
        |json| json["pre_tokenizer"] = serde_json::json!({"type": "Split", "pattern": {"Regex": "("}}),
        |json| json["normalizer"] = serde_json::json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
    ];
    for (number, change) in breaks.into_iter().enumerate() {
        let mut json = sound.clone();
        change(&mut json);
        assert!(read(&json).is_err(), "{number}");
    }
    assert!(Tokenizer::from_json(b"{").is_err() && Tokenizer::from_json(b"[1]").is_err());
    assert!(read(&sound).is_ok());
}

#[test]
fn a_folder_says_what_its_tokens_are_and_which_end_a_reply() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    assert!(Tokenizer::from_folder(folder.path()).is_err());
    std::fs::copy(golden("byte-level.json"), folder.path().join("tokenizer.json")).unwrap();
    let plain = Tokenizer::from_folder(folder.path()).unwrap();
    assert_eq!(plain.bos(), plain.find("<|begin_of_text|>"));
    assert!(plain.adds_bos());
    let end = plain.find("[INST]").unwrap();
    write(
        "tokenizer_config.json",
        r#"{"bos_token": null, "eos_token": {"content": "<|im_end|>"}, "add_bos_token": false}"#,
    );
    write("generation_config.json", &format!(r#"{{"eos_token_id": [{end}, 99999999, -1]}}"#));
    let tokenizer = Tokenizer::from_folder(folder.path()).unwrap();
    assert_eq!(tokenizer.eos(), tokenizer.find("<|im_end|>"));
    assert!(!tokenizer.adds_bos() && tokenizer.ends().contains(&end));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]
    #[test]
    fn a_damaged_model_file_is_an_error_or_a_tokenizer_that_works(
        changes in proptest::collection::vec((0usize..22_000, 0u8..), 1..12), text in "\\PC{0,40}",
    ) {
        let mut bytes = std::fs::read(golden("family.model")).unwrap();
        for (place, byte) in changes {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        if let Ok(tokenizer) = Tokenizer::from_model_file(&bytes) {
            let ids = tokenizer.encode(&text);
            proptest::prop_assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocabulary_size()));
            tokenizer.decode(&ids);
        }
    }

    #[test]
    fn any_text_comes_back_from_its_tokens(text in "\\PC{0,60}") {
        static TOKENIZER: std::sync::LazyLock<Tokenizer> = std::sync::LazyLock::new(byte_level);
        let tokenizer = &*TOKENIZER;
        proptest::prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text)), text);
    }
}
