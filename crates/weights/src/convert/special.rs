//! Which tokens begin and end a text, whether they are added, and the chat template: from the small files beside a
//! tokenizer.
//!
//! Source: `SpecialVocab` of gguf-py.

use std::path::Path;

use serde_json::{Map, Value};

use crate::Error;
use crate::gguf::Metadata;
use crate::json::{read_bounded, read_config};

/// As `tokenizer_config.json` and `config.json` call them, and GGUF; the last stands in no file, but may be found.
const KINDS: [(&str, &str); 8] = [
    ("bos", "bos_token_id"),
    ("eos", "eos_token_id"),
    ("unk", "unknown_token_id"),
    ("sep", "seperator_token_id"), // as the format has it
    ("pad", "padding_token_id"),
    ("cls", "cls_token_id"),
    ("mask", "mask_token_id"),
    ("eot", "eot_token_id"),
];
/// Templates have some thousands of characters.
const TEMPLATE_BYTES_MAX: u64 = 1 << 20;

/// Adds the keys. `tokens`: only ids below it are taken.
pub(super) fn keys(
    metadata: &mut Metadata,
    folder: &Path,
    config: &Value,
    tokenizer: Option<&Value>,
    tokens: Option<u64>,
) -> Result<(), Error> {
    let path = folder.join("tokenizer_config.json");
    let mut named = if path.is_file() { read_config(&path)?.as_object().cloned() } else { None };
    if let Some(named) = &mut named {
        // Only what a template turns out to end with is one.
        named.remove("eot_token");
    }
    let mut adds: Vec<(&'static str, bool)> = Vec::new();
    if let Some(tokenizer) = tokenizer {
        let processor = &tokenizer["post_processor"];
        let list = processor["processors"].as_array().map_or(std::slice::from_ref(processor), Vec::as_slice);
        for processor in list {
            post_processor(processor, named.as_mut(), &mut adds);
        }
    }
    let has_turn_end = named.as_ref().is_some_and(|named| named.contains_key("eot_token"));
    let kinds = &KINDS[..KINDS.len() - usize::from(!has_turn_end)];
    let mut ids: Vec<(&str, u64)> = Vec::new();
    let mut id = |kind: &'static str, id: Option<u64>| {
        if let Some(id) = id.filter(|id| tokens.is_none_or(|tokens| *id < tokens))
            && !ids.iter().any(|(known, _)| *known == kind)
        {
            ids.push((kind, id));
        }
    };
    let added = tokenizer.and_then(|tokenizer| tokenizer["added_tokens"].as_array()).map_or(&[][..], Vec::as_slice);
    if let Some(named) = &named {
        for &(kind, _) in kinds {
            if let Some(Value::Bool(add)) = named.get(&format!("add_{kind}_token")) {
                set(&mut adds, kind, *add, false);
            }
            let entry = named.get(&format!("{kind}_token")).unwrap_or(&Value::Null);
            let Some(text) = entry.as_str().or(entry["content"].as_str()) else { continue };
            let token = added.iter().find(|token| token["content"].as_str() == Some(text));
            id(kind, token.and_then(|token| token["id"].as_u64()));
        }
    }
    for &(kind, _) in kinds {
        id(kind, config[format!("{kind}_token_id")].as_u64());
    }
    for (kind, key) in kinds {
        if let Some((_, id)) = ids.iter().find(|(known, _)| known == kind) {
            metadata.set(&format!("tokenizer.ggml.{key}"), (*id as u32).into());
        }
    }
    // Only these have a key.
    for (kind, add) in adds.into_iter().filter(|(kind, _)| matches!(*kind, "bos" | "eos" | "sep")) {
        metadata.set(&format!("tokenizer.ggml.add_{kind}_token"), add.into());
    }
    if let Some(named) = &named {
        template(metadata, folder, named)?;
    }
    Ok(())
}

/// What is known first stays, unless `over`.
fn set(adds: &mut Vec<(&'static str, bool)>, kind: &'static str, add: bool, over: bool) {
    match adds.iter_mut().find(|(known, _)| *known == kind) {
        Some(entry) if over => entry.1 = add,
        Some(_) => {}
        None => adds.push((kind, add)),
    }
}

/// What a part of `tokenizer.json` adds to every text, which may also say what begins and ends one.
fn post_processor(part: &Value, named: Option<&mut Map<String, Value>>, adds: &mut Vec<(&'static str, bool)>) {
    match part["type"].as_str() {
        Some("ByteLevel") => {
            set(adds, "bos", false, false);
            set(adds, "eos", false, false);
        }
        Some("TemplateProcessing") => match named {
            Some(named) => template_processing(part, named, adds),
            // Nothing says otherwise.
            None => template_processing(part, &mut Map::new(), adds),
        },
        _ => {}
    }
}

fn text_of<'a>(named: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    let value = named.get(key)?;
    value.as_str().or(value["content"].as_str()).filter(|text| !text.is_empty())
}

fn special_of(item: Option<&Value>) -> Option<&str> {
    item.and_then(|item| item["SpecialToken"]["id"].as_str())
}

/// What begins and ends a text, and what stands between two.
fn template_processing(part: &Value, named: &mut Map<String, Value>, adds: &mut Vec<(&'static str, bool)>) {
    let list = |key: &str| part[key].as_array().map_or(&[][..], Vec::as_slice);
    let single = list("single");
    let ends = if single.len() > 1 { (special_of(single.first()), special_of(single.last())) } else { (None, None) };
    let (first, last) = ends;
    if let Some(first) = first {
        for key in ["bos_token", "cls_token"] {
            let is_named = [text_of(named, "bos_token"), text_of(named, "cls_token")].contains(&Some(first));
            if !is_named && text_of(named, key).is_none() {
                named.insert(key.to_owned(), first.into());
                if key == "bos_token" && text_of(named, "cls_token").is_none() {
                    named.insert("cls_token".to_owned(), first.into());
                }
            }
        }
        let is_named = [text_of(named, "bos_token"), text_of(named, "cls_token")].contains(&Some(first));
        set(adds, "bos", is_named, true);
    }
    if let Some(last) = last {
        // A text that ends in another token ends in that: the one named before ends a turn.
        if text_of(named, "eos_token").is_none_or(|named| named != last) {
            let before = text_of(named, "eos_token").map_or(Value::Null, Value::from);
            named.insert("eot_token".to_owned(), before);
            named.insert("eos_token".to_owned(), last.into());
        }
        set(adds, "eos", true, true);
    }
    let pair = list("pair");
    let from = usize::from(first.is_some() && special_of(pair.first()) == first);
    let to = pair.len() - usize::from(last.is_some() && special_of(pair.last()) == last);
    let Some(between) = pair.get(from..to).filter(|rest| rest.len() > 2) else { return };
    let is = |item: &Value, id: &str| item["Sequence"]["id"] == id;
    if is(&between[0], "A") && is(&between[between.len() - 1], "B") {
        let between = &between[1..between.len() - 1];
        let separators = [text_of(named, "sep_token"), text_of(named, "eos_token")];
        let separates = |item: Option<&Value>| special_of(item).is_some_and(|token| separators.contains(&Some(token)));
        let add = separates(between.first()) && last.is_none() || between.len() == 2 && separates(between.get(1));
        if add && text_of(named, "sep_token").is_none() {
            let eos = text_of(named, "eos_token").map_or(Value::Null, Value::from);
            named.insert("sep_token".to_owned(), eos);
        }
        set(adds, "sep", add, true);
    }
}

/// `tokenizer_config.json`'s own comes before the files beside it. Of several, each is written by its name.
fn template(metadata: &mut Metadata, folder: &Path, named: &Map<String, Value>) -> Result<(), Error> {
    let (jinja, json) = (folder.join("chat_template.jinja"), folder.join("chat_template.json"));
    let value = match named.get("chat_template") {
        Some(value) => value.clone(),
        None if jinja.is_file() => {
            Value::String(String::from_utf8_lossy(&read_bounded(&jinja, TEMPLATE_BYTES_MAX)?).into_owned())
        }
        None if json.is_file() => read_config(&json)?["chat_template"].clone(),
        None => return Ok(()),
    };
    let Value::Array(list) = &value else {
        if let Value::String(text) = &value {
            metadata.set("tokenizer.chat_template", text.as_str().into());
        }
        return Ok(());
    };
    let mut names = Vec::new();
    for entry in list {
        let (Some(name), Some(text)) = (entry["name"].as_str(), entry["template"].as_str()) else { continue };
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        if name == "default" {
            metadata.set("tokenizer.chat_template", text.into());
        } else if !name.is_empty() {
            metadata.set(&format!("tokenizer.chat_template.{name}"), text.into());
            names.push(name);
        }
    }
    if !names.is_empty() {
        metadata.set("tokenizer.chat_templates", names.into());
    }
    Ok(())
}
