//! What the catalogue promises: it is whole, and its numbers hold together.

use std::collections::HashSet;

use huacaya_engine::template::Template;

use super::*;

/// Published sizes are rounded to ten megabytes; a small model's vocabulary weighs more.
const SIZE_TOLERANCE: f64 = 0.03;

fn catalogue() -> Catalogue {
    Catalogue::read(include_str!("../../../../assets/catalogue.json")).unwrap()
}

#[test]
fn the_family_is_all_there() {
    let catalogue = catalogue();
    let ids: Vec<&str> = catalogue.entries().iter().map(|entry| entry.id.as_str()).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "an id stands twice");
    for size in ["1.3b", "7b", "13b", "7b-16k", "13b-16k", "7b-64k"] {
        for word in ["llama", "alpaca"] {
            let full = format!("chinese-{word}-2-{size}");
            assert!(ids.contains(&&*full), "{full}");
            let lora = format!("chinese-{word}-2-lora-{size}");
            assert_eq!(ids.contains(&&*lora), size != "1.3b", "{lora}");
        }
    }
    for id in ["chinese-alpaca-2-1.3b-rlhf", "chinese-alpaca-2-7b-rlhf", "llama-3-chinese-8b-instruct-v3", "qwen3-8b"] {
        assert!(ids.contains(&id), "{id}");
    }
}

#[test]
fn every_entry_says_what_it_is_in_both_languages() {
    let catalogue = catalogue();
    for entry in catalogue.entries() {
        let licence = &catalogue.licences[&entry.licence];
        for words in [&entry.purpose, &licence.note] {
            assert!(words.zh.chars().any(|letter| ('一'..='龥').contains(&letter)), "{}: {words:?}", entry.id);
            assert!(!words.en.is_empty() && words.en.chars().all(|letter| !('一'..='龥').contains(&letter)));
        }
        assert!(licence.url.starts_with("https://"), "{}", entry.id);
        assert!(!entry.files.is_empty(), "{}", entry.id);
        let known = ["", "jinja"].contains(&&*entry.template) || Template::built_in().contains(&&*entry.template);
        assert!(known, "{}: template {}", entry.id, entry.template);
        assert_eq!(entry.kind == EntryKind::Base, entry.template.is_empty() && entry.base.is_none(), "{}", entry.id);
        let context = catalogue.config(entry).unwrap().context;
        assert_eq!(context, entry.context_tokens as usize, "{}", entry.id);
    }
}

#[test]
fn every_lora_has_a_base_that_is_the_original() {
    let catalogue = catalogue();
    for entry in catalogue.entries() {
        let plan = catalogue.merge_plan(&entry.id);
        assert_eq!(plan.is_some(), entry.kind == EntryKind::Lora, "{}", entry.id);
        let Some(plan) = plan else { continue };
        assert!(plan.base.repository.starts_with("meta-llama/") && plan.base.needs_token);
        assert_eq!(plan.config["vocab_size"], 55296);
        let (base, merged) = (catalogue.config(plan.base).unwrap(), catalogue.config(entry).unwrap());
        assert_eq!((base.hidden, base.layers, base.ffn), (merged.hidden, merged.layers, merged.ffn), "{}", entry.id);
        assert_eq!(plan.config.get("rope_scaling").is_some(), !entry.variant.is_empty(), "{}", entry.id);
    }
}

#[test]
fn sizes_agree_with_shapes_and_quantizations() {
    let catalogue = catalogue();
    for entry in catalogue.entries().iter().filter(|entry| entry.kind != EntryKind::Lora) {
        let config = catalogue.config(entry).unwrap();
        for file in &entry.files {
            let mix = Mix::from_name(&file.quantization).unwrap_or_else(|| panic!("{}", file.path));
            // The family's Q2_K files were made by an older rule, with larger formats in some tensors.
            let tolerance = if file.quantization.starts_with("Q2_K") { 0.12 } else { SIZE_TOLERANCE };
            let ratio = file.bytes as f64 / mix.bytes(config) as f64;
            assert!((ratio - 1.0).abs() < tolerance, "{} {}: {ratio}", entry.id, file.path);
        }
    }
}

#[test]
fn hashes_are_hashes_and_paths_are_paths() {
    let catalogue = catalogue();
    let mut seen = HashSet::new();
    for (entry, path, bytes, _, sha256) in catalogue.known() {
        assert!(bytes > 0 && !path.is_empty() && !path.contains(".."), "{} {path}", entry.id);
        if let Some(sha256) = sha256 {
            let lower = |letter: char| matches!(letter, '0'..='9' | 'a'..='f');
            assert!(sha256.len() == 64 && sha256.chars().all(lower), "{} {path}", entry.id);
            assert!(seen.insert(sha256), "{sha256} stands twice");
            let (found, there, size) = catalogue.by_sha256(&sha256.to_uppercase()).unwrap();
            assert_eq!((&*found.id, there, size), (&*entry.id, path, bytes));
        }
    }
    // The facts file gives these for the Alpaca-2 7B.
    let shard = "182d552f893db16f7196afdf6ec13f05b43650985c9ce71f41f6d576e978c53f";
    assert_eq!(catalogue.by_sha256(shard).unwrap().0.id, "chinese-alpaca-2-7b");
}

#[test]
fn a_repository_is_known_by_each_of_its_names() {
    let catalogue = catalogue();
    for name in ["hfl/chinese-alpaca-2-7b", "HFL/chinese-alpaca-2-7b-gguf", "ChineseAlpacaGroup/chinese-alpaca-2-7b"] {
        assert_eq!(catalogue.entry_of(name).unwrap().id, "chinese-alpaca-2-7b", "{name}");
    }
    assert!(catalogue.entry_of("somebody/something").is_none());
}

#[test]
fn a_copy_is_the_original_only_where_every_hash_can_be_compared_and_agrees() {
    let hash = |letter: &str| letter.repeat(64);
    let (a, b) = (hash("a"), hash("b"));
    let path = |part: u32| format!("model-0000{part}-of-00002.safetensors");
    let (one, two) = (path(1), path(2));
    let mark = |path: &'static str, sha256: Option<&'static str>| Mark { path, bytes: 1, sha256 };
    let leak = |text: &str| -> &'static str { Box::leak(text.to_string().into_boxed_str()) };
    let (one, two, a, b) = (leak(&one), leak(&two), leak(&a), leak(&b));
    let known = |path: &str, sha256: Option<&str>| KnownFile {
        path: path.to_string(),
        bytes: 1,
        bytes_exact: true,
        sha256: sha256.map(str::to_string),
    };
    let whole = [known(one, Some(a)), known(two, Some(b))];
    let copy = [mark(one, Some(a)), mark(two, Some(b)), mark("config.json", None)];
    assert_eq!(same_as_original(&whole, None, &copy), Ok(()));
    let missing = same_as_original(&whole, None, &copy[..1]);
    assert_eq!(missing, Err(NotTheOriginal::Missing { path: two.to_string() }));
    for other in [Some(a), None] {
        let differs = same_as_original(&whole, None, &[mark(one, Some(a)), mark(two, other)]);
        assert_eq!(differs, Err(NotTheOriginal::Differs { path: two.to_string() }));
    }
    let half = [known(one, Some(a)), known(two, None)];
    assert_eq!(same_as_original(&half, None, &copy), Err(NotTheOriginal::Unknown { path: two.to_string() }));
    let listed = [mark(one, Some(a)), mark(two, Some(b))];
    assert_eq!(same_as_original(&half, Some(&listed), &copy), Ok(()));
    // What the catalogue knows is believed over a listing.
    let lying = [mark(one, Some(b)), mark(two, Some(b))];
    assert!(same_as_original(&half, Some(&lying), &lying).is_err());
    assert!(same_as_original(&[], None, &copy).is_err());
}
