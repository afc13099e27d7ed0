//! Vocabularies and limits; answers are in tests/grammar.rs.

use std::path::Path;

use serde_json::json;

use super::*;

fn demo() -> Tokenizer {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo/tokenizer.model");
    Tokenizer::from_model_file(&std::fs::read(path).unwrap()).unwrap()
}

fn compiled(grammar: Grammar) -> Result<()> {
    Grammars::default().compile(&grammar, &demo()).map(drop)
}

fn why(grammar: Grammar) -> String {
    compiled(grammar).unwrap_err().to_string()
}

#[test]
fn a_word_is_what_its_token_adds_to_the_text() {
    let tokenizer = demo();
    let words = Words::of(&tokenizer).unwrap();
    let word = |piece: &str| words.word(tokenizer.find(piece).unwrap());
    assert_eq!(word("<0x0A>"), b"\n");
    assert_eq!(word("<0xE4>"), [0xe4]);
    assert_eq!(word("</s>"), b"\xff</s>");
    // No text has this byte: as a word it would be taken for the mark of a control token.
    assert_eq!(word("<0xFF>"), b"");
    let blank = tokenizer.find("▁").unwrap();
    assert_eq!(words.word(blank), b" ");
    assert_eq!(words.blanks, [tokenizer.find("<0x20>").unwrap(), blank]);
    let of = *tokenizer.encode(" of").last().unwrap();
    assert_eq!((words.word(of), words.word(words.without_blank[&of])), (&b" of"[..], &b"of"[..]));
}

#[test]
fn what_cannot_be_compiled_is_refused_with_the_reason() {
    for (grammar, reason) in [
        (Grammar::JsonSchema(json!([1])), "object"),
        (Grammar::JsonSchema(json!({"type": "objekt"})), "objekt"),
        (Grammar::JsonSchema(json!({"$ref": "#/$defs/missing"})), "missing"),
        (Grammar::JsonSchema(json!({"$ref": "https://example.org/schema.json"})), "example.org"),
        (Grammar::JsonSchema(json!({"type": "string", "minLength": 5, "maxLength": 3})), "minLength"),
        (Grammar::Regex("[a-".to_string()), "regex"),
        (Grammar::Regex(String::new()), "empty"),
        (Grammar::Lark("start: unknown_rule".to_string()), "unknown_rule"),
        (Grammar::Lark("start: \"a".to_string()), "1"),
        (Grammar::Lark("first: \"a\"".to_string()), "start"),
    ] {
        let found = why(grammar.clone());
        assert!(found.contains(reason) && found.len() < 600, "{grammar:?}: {found}");
    }
}

/// Each would take a compiler without limits a long time, much memory, or more stack than there is.
#[test]
fn hostile_grammars_are_refused_and_cost_little() {
    let chain = |count: usize| {
        let rules: String = (0..count).map(|i| format!("r{i}: r{} \"x\"\n", i + 1)).collect();
        format!("start: r0\n{rules}r{count}: \"y\"")
    };
    let terminals = |count: usize| {
        let rules: String = (0..count).map(|i| format!("R{i}: R{} \"x\"\n", i + 1)).collect();
        format!("start: R0\n{rules}R{count}: \"y\"")
    };
    assert!(why(Grammar::Lark("(".repeat(5_000))).contains("deep"));
    assert!(why(Grammar::Regex("(".repeat(5_000))).contains("deep"));
    assert!(why(Grammar::Regex("a".repeat(1 << 20))).contains("bytes"));
    assert!(why(Grammar::Lark(chain(RULES_MAX + 1))).contains("rules"));
    let mut deep = json!({"type": "string"});
    for _ in 0..100 {
        deep = json!({"type": "array", "items": deep});
    }
    assert!(why(Grammar::JsonSchema(deep)).contains("levels"));
    // Within the limits, whatever comes of it must come: an answer or an error, not a crash.
    let definitions = (0..4_000).map(|i| (format!("d{i}"), json!({"$ref": format!("#/$defs/d{}", i + 1)})));
    let mut all: serde_json::Map<String, Value> = definitions.collect();
    all.insert("d4000".to_string(), json!({"type": "null"}));
    for grammar in [
        Grammar::Lark(chain(RULES_MAX - 2)),
        Grammar::Lark(terminals(RULES_MAX - 2)),
        Grammar::Regex("(a{1,1000}){1,1000}".to_string()),
        Grammar::Regex("(((((a{0,50}){0,50}){0,50}){0,50}){0,50}){0,50}b".to_string()),
        Grammar::JsonSchema(json!({"$ref": "#/$defs/d0", "$defs": all})),
        Grammar::JsonSchema(json!({"type": "array", "minItems": 100_000_000})),
        Grammar::JsonSchema(json!({"type": "string", "maxLength": 1_000_000_000})),
    ] {
        let said = compiled(grammar.clone()).map_err(|error| error.to_string());
        let shown = format!("{grammar:?}");
        println!("{}: {said:?}", &shown[..shown.len().min(60)]);
    }
}
