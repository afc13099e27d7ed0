//! What goes out comes back the same; what comes from elsewhere comes in as far as it is sound, and harms nothing.

use std::collections::BTreeMap;

use huacaya_store::{
    Attachment, Body, Chat, ChatId, ChatKind, Example, Finish, Made, Message, MessageId, MessageState, ModelId,
    Parameters, Persona, PersonaId, Problem, Role, Stats, Time, WholeChat,
};
use serde_json::{Value, json};

use super::*;
use crate::error::Code;

const NOW: Time = 1_790_000_000_000;

fn message(id: i64, parent: Option<i64>, role: Role, text: &str) -> Message {
    Message {
        id: MessageId(id),
        chat: ChatId(1),
        parent: parent.map(MessageId),
        role,
        state: MessageState::Done,
        error: None,
        made: None,
        stats: None,
        created_ms: NOW - 1000 + id,
        body: Some(Body { text: text.into(), ..Body::default() }),
    }
}

fn whole() -> WholeChat {
    let persona = Persona {
        id: PersonaId(4),
        name: "羊驼".into(),
        system: "你是羊驼".into(),
        parameters: Parameters { temperature: Some(0.5), ..Parameters::default() },
        greeting: "咩".into(),
        examples: vec![Example { user: "问".into(), assistant: "答".into() }],
    };
    let mut answer =
        message(2, Some(1), Role::Assistant, "```rust\nfn main() {}\n```\n\"引号\" \u{1f999} \u{0}\u{2028}");
    answer.state = MessageState::Stopped;
    answer.made = Some(Made {
        model: ModelId(0),
        model_name: "Chinese-Alpaca-2-7B".into(),
        model_sha256: Some("ab".repeat(32)),
        template: "alpaca-2".into(),
        system: "你是羊驼".into(),
        parameters: Parameters { seed: Some(7), temperature: Some(0.2), ..Parameters::default() },
        adapters: vec![("诗.gguf".into(), 0.5)],
        begin: "好".into(),
        backend: "CPU".into(),
        draft: None,
        version: "0.1.0".into(),
    });
    answer.stats = Some(Stats {
        prompt_tokens: 10,
        reused_tokens: 3,
        tokens: 20,
        first_token_ms: 30,
        tokens_per_second: 12.5,
        finish: Finish::Stopped,
        drafted_tokens: 0,
        accepted_tokens: 0,
        moved: None,
        turns_dropped: 1,
        memory_starts_at: Some(MessageId(1)),
    });
    let mut thinking = message(3, Some(1), Role::Assistant, "另一个");
    thinking.body = Some(Body {
        thought: "想想".into(),
        thought_tokens: 2,
        thought_ms: 900,
        text: "另一个".into(),
        ..Body::default()
    });
    thinking.error = Some(Problem { code: "engine_failed".into(), values: BTreeMap::new(), detail: "x".into() });
    let mut question = message(1, None, Role::User, "你好，羊驼\n第二行");
    question.body.as_mut().unwrap().attachments =
        vec![Attachment { name: "a.csv".into(), encoding: "gb18030".into(), text: "甲,```,乙\n".into(), tokens: 5 }];
    let chat = Chat {
        id: ChatId(1),
        kind: ChatKind::Chat,
        title: "羊驼的事".into(),
        heading: "你好，羊驼".into(),
        folder: None,
        pinned: true,
        persona: Some(persona.id),
        model: None,
        system: Some("系统\n提示".into()),
        parameters: Parameters { top_k: Some(5), stop: Some(vec!["完".into()]), ..Parameters::default() },
        adapters: Vec::new(),
        leaf: Some(MessageId(2)),
        created_ms: NOW - 5000,
        changed_ms: NOW,
    };
    WholeChat { chat, messages: vec![question, answer, thinking], persona: Some(persona) }
}

fn read(value: &Value) -> Sound {
    read_chats("x.json", value.to_string().as_bytes(), NOW).unwrap()
}

fn reasons(sound: &Sound) -> Vec<String> {
    sound.skipped.iter().map(|problem| format!("{}: {}", problem.values["name"], problem.values["reason"])).collect()
}

/// (text, index of the parent) of every message.
fn tree(chat: &WholeChat) -> Vec<(&str, Option<usize>)> {
    let place = |id: MessageId| chat.messages.iter().position(|message| message.id == id).unwrap();
    chat.messages
        .iter()
        .map(|message| (message.body.as_ref().unwrap().text.as_str(), message.parent.map(place)))
        .collect()
}

#[test]
fn an_export_comes_back_equal() {
    let other = WholeChat { chat: Chat { id: ChatId(2), ..whole().chat }, ..whole() };
    let mut page = whole();
    (page.chat.id, page.chat.kind, page.chat.system, page.persona, page.chat.persona) =
        (ChatId(3), ChatKind::Page, None, None, None);
    let mut chats = vec![whole(), other, page];
    for chat in &mut chats {
        let id = chat.chat.id;
        chat.messages.iter_mut().for_each(|message| message.chat = id);
    }
    let text = export(&chats, Format::Json, NOW);
    let sound = read_chats("x.json", text.as_bytes(), NOW + 5).unwrap();
    assert_eq!(sound.skipped, []);
    assert_eq!(sound.chats, chats);
}

#[test]
fn markdown_is_the_visible_path() {
    let expected = "# 羊驼的事\n\n> 系统\n> 提示\n\n## User\n\n````text a.csv\n甲,```,乙\n````\n\n你好，羊驼\n第二行\n\n## 羊驼\n\n```rust\nfn main() {}\n```\n\"引号\" \u{1f999} \u{0}\n";
    assert_eq!(export(&[whole()], Format::Markdown, NOW), expected);
    let mut page = whole();
    page.chat.kind = ChatKind::Page;
    page.messages = vec![message(1, None, Role::User, "从前"), message(2, Some(1), Role::Assistant, "有只羊驼")];
    assert_eq!(export(&[page], Format::Markdown, NOW), "# 羊驼的事\n\n从前有只羊驼\n");
}

#[test]
fn a_tree_with_circles_orphans_and_doubles_keeps_what_is_sound() {
    let node = |id: Value, parent: Value| json!({"id": id, "parent": parent, "role": "user", "body": {"text": format!("m{id}")}});
    let file = json!({"format": "huacaya-chats", "version": 1, "chats": [{
        "chat": {"title": "坏"},
        "messages": [
            node(9.into(), 5.into()), node(5.into(), Value::Null), node(7.into(), 8.into()), node(8.into(), 7.into()),
            node(6.into(), 6.into()), node(10.into(), 999.into()), node(5.into(), Value::Null), node(11.into(), "x".into()),
            {"id": 1, "role": "system", "body": {"text": ""}}, {"id": "1", "role": "user", "body": {}}, 7, null, {"id": 2, "role": "user"},
        ],
    }, "no chat", {"chat": {}, "messages": 5}]});
    let sound = read(&file);
    assert_eq!(tree(&sound.chats[0]), [("m5", None), ("m9", Some(0)), ("m10", None), ("m11", None)]);
    assert_eq!(sound.chats.len(), 2);
    let expected = [
        "坏: 5 messages have no id, role or body and are left out",
        "坏: 1 messages have an id that another has; the first of each is taken",
        "坏: 2 messages hang on one that is not there; each begins a version of its own",
        "坏: 3 messages lead back to themselves and are left out",
        "#2: it is not a chat",
        "#3: it has no list of messages",
    ];
    assert_eq!(reasons(&sound), expected);
}

#[test]
fn values_of_the_wrong_kind_and_out_of_range_become_defaults() {
    let file = json!({"format": "huacaya-chats", "version": 2, "chats": [{
        "chat": {"title": "a\u{0}\n\u{202e}b".repeat(999), "kind": 7, "pinned": "yes", "system": [1], "leaf": 1e300,
            "parameters": {"temperature": "hot", "top_p": -1, "seed": 3, "unknown": {}}, "created_ms": -5, "changed_ms": 1e300},
        "messages": [{"id": 1, "parent": null, "role": "assistant", "state": "writing", "made": {"model": 1}, "stats": "fast",
            "created_ms": "now", "body": {"text": 5, "thought": null, "thought_tokens": -1, "attachments": [{}, {"text": "t"}]}}],
        "persona": {"id": "x", "name": {}, "examples": [{"user": 1}, {"user": "u", "assistant": "a"}]},
    }]});
    let sound = read(&file);
    assert_eq!(reasons(&sound), ["x.json: it was written by a newer version; what is understood comes in"]);
    let WholeChat { chat, messages, persona } = &sound.chats[0];
    assert_eq!(chat.title.chars().count(), 200);
    assert!(!chat.title.chars().any(char::is_control));
    assert_eq!((chat.kind, chat.pinned, chat.system.as_ref(), chat.leaf), (ChatKind::Chat, false, None, None));
    assert_eq!(chat.parameters, Parameters { seed: Some(3), ..Parameters::default() });
    assert_eq!((chat.created_ms, chat.changed_ms), (NOW, NOW));
    assert_eq!((messages[0].state, &messages[0].made, &messages[0].stats), (MessageState::Interrupted, &None, &None));
    assert_eq!(messages[0].body.as_ref().unwrap().attachments.len(), 1);
    assert_eq!(persona.as_ref().unwrap().examples.len(), 1);
}

#[test]
fn a_file_that_is_nothing_of_ours_is_refused_and_one_cut_short_gives_its_beginning() {
    for text in
        ["", "7", "\"chats\"", "{}", "{\"chats\": []}", "null", "<html>", "{\"format\": \"huacaya-chats\"", "[1"]
    {
        let result = read_chats("x.json", text.as_bytes(), NOW);
        match result {
            Err(error) => assert_eq!(error.code, Code::ImportBroken, "{text}"),
            Ok(sound) => assert!(sound.chats.is_empty() && !sound.skipped.is_empty(), "{text}: {sound:?}"),
        }
    }
    let text = export(&[whole(), whole(), whole()], Format::Json, NOW);
    let cut = &text.as_bytes()[..text.len() * 3 / 4];
    let sound = read_chats("x.json", cut, NOW).unwrap();
    assert_eq!(sound.chats.len(), 2);
    assert!(reasons(&sound)[0].contains("it breaks off"), "{:?}", reasons(&sound));
}

#[test]
fn nesting_without_end_and_huge_texts_are_bounded() {
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert!(read_chats("x.json", deep.as_bytes(), NOW).is_err());
    let long = "驼".repeat((4 << 20) / 3 + 9);
    let file = json!({"format": "huacaya-chats", "version": 1, "chats": [{"chat": {}, "messages": [
        {"id": 1, "role": "user", "body": {"text": long}}]}]});
    let sound = read(&file);
    let text = &sound.chats[0].messages[0].body.as_ref().unwrap().text;
    assert!(text.len() <= 4 << 20 && text.chars().all(|c| c == '驼'));
    assert_eq!(reasons(&sound), ["#1: 1 messages are longer than is taken and were cut"]);
    let many: Vec<Value> = (0..200).map(|_| json!(7)).collect();
    assert_eq!(read(&json!(many)).skipped.len(), 51);
}

fn gpt(id: &str, parent: Option<&str>, message: Value) -> (String, Value) {
    (id.into(), json!({"id": id, "parent": parent, "message": message, "children": ["ignored"]}))
}

fn said(role: &str, text: &str) -> Value {
    json!({"author": {"role": role}, "create_time": 1700000000.5, "content": {"content_type": "text", "parts": [text]},
        "recipient": "all", "metadata": {}})
}

#[test]
fn conversations_of_chatgpt_come_in_with_their_versions() {
    let mut hidden = said("user", "藏");
    hidden["metadata"]["is_visually_hidden_from_conversation"] = true.into();
    let mut call = said("assistant", "search()");
    call["recipient"] = "browser".into();
    let picture = json!({"author": {"role": "user"}, "create_time": null, "content": {"content_type": "multimodal_text",
        "parts": [{"content_type": "image_asset_pointer"}, "看图", null, 7]}});
    let thoughts = json!({"author": {"role": "assistant"}, "content": {"content_type": "thoughts",
        "thoughts": [{"summary": "s", "content": "想一"}, {"content": "想二"}]}});
    let code = json!({"author": {"role": "assistant"}, "content": {"content_type": "code", "language": "python", "text": "print(1)"}});
    let mapping: serde_json::Map<String, Value> = [
        gpt("root", None, Value::Null),
        gpt("sys", Some("root"), said("system", "")),
        gpt("ctx", Some("sys"), hidden),
        gpt("q1", Some("ctx"), said("user", "问题一")),
        gpt("a1", Some("q1"), said("assistant", "答案甲")),
        gpt("a2", Some("q1"), thoughts),
        gpt("call", Some("a2"), call),
        gpt("tool", Some("call"), said("tool", "网页")),
        gpt("a3", Some("tool"), said("assistant", "答案乙")),
        gpt("a4", Some("a3"), code),
        gpt("q2", Some("a4"), picture),
        gpt("empty", Some("q2"), said("assistant", "")),
        gpt("null", Some("empty"), json!({"author": null, "content": null})),
    ]
    .into_iter()
    .collect();
    let file = json!([{"title": "旅行", "create_time": 1699999999.0, "update_time": 1700000009, "mapping": mapping, "current_node": "null"},
        {"title": null, "mapping": {}}, {"id": 3}, null]);
    let sound = read(&file);
    let chat = &sound.chats[0];
    assert_eq!(
        tree(chat),
        [("问题一", None), ("答案甲", Some(0)), ("答案乙\n\n```python\nprint(1)\n```", Some(0)), ("看图", Some(2))]
    );
    assert_eq!(chat.messages[2].body.as_ref().unwrap().thought, "想一\n\n想二");
    assert_eq!(chat.chat.leaf, Some(chat.messages[3].id));
    assert_eq!((chat.chat.title.as_str(), chat.chat.heading.as_str()), ("旅行", "问题一"));
    assert_eq!((chat.chat.created_ms, chat.chat.changed_ms), (1_699_999_999_000, 1_700_000_009_000));
    assert_eq!(chat.messages[0].created_ms, 1_700_000_000_500);
    let expected = [
        "#2: there are no words in it",
        "#3: it is not a conversation of ChatGPT",
        "#4: it is not a conversation of ChatGPT",
    ];
    assert_eq!(reasons(&sound), expected);
}

#[test]
fn hostile_conversations_end() {
    // Circles of words, circles without words, a node that is its own parent, a missing parent, half characters.
    let mapping: serde_json::Map<String, Value> = [
        gpt("a", Some("b"), said("assistant", "圈")),
        gpt("b", Some("a"), said("assistant", "圈")),
        gpt("c", Some("c"), said("user", "自")),
        gpt("d", Some("e"), said("user", "空圈")),
        gpt("e", Some("f"), Value::Null),
        gpt("f", Some("e"), Value::Null),
        gpt("g", Some("nowhere"), said("user", "孤")),
    ]
    .into_iter()
    .collect();
    let sound = read(&json!([{"mapping": mapping, "current_node": "f"}]));
    assert_eq!(tree(&sound.chats[0]), [("空圈", None), ("孤", None)]);
    let text = r#"[{"title": "\ud83d", "mapping": {"a": {"message": {"author": {"role": "user"}, "content": {"parts": ["x\udc00y\ud83e\udd99"]}}}}}]"#;
    let sound = read_chats("x.json", text.as_bytes(), NOW).unwrap();
    assert_eq!(tree(&sound.chats[0]), [("x\u{fffd}y\u{1f999}", None)]);
    // A chain of 20,000 answers, each the only child of the one before.
    let chain: serde_json::Map<String, Value> = (0..20_000)
        .map(|at| gpt(&at.to_string(), (at > 0).then(|| (at - 1).to_string()).as_deref(), said("assistant", "段")))
        .collect();
    let sound = read(&json!([{"mapping": chain}]));
    assert_eq!(sound.chats[0].messages.len(), 1);
}

#[test]
fn a_cards_fields_become_a_persona() {
    let v2 = json!({"spec": "chara_card_v2", "spec_version": "2.0", "data": {
        "name": "Luna", "description": "{{char}} is an alpaca. {{User}} is her friend.", "personality": "calm", "scenario": "On a hill with <USER>.",
        "first_mes": "Hello {{user}}, I am {{CHAR}}! {{time}}", "system_prompt": "{{original}}\nStay <BOT>.",
        "mes_example": "<START>\n{{user}}: Hi\n{{char}}: Humm.\nMore humm.\n<START>\n{{char}}: alone\n{{user}}: Bye\n{{char}}: Bye {{user}}\n{{user}}: unanswered"}});
    let persona = read_character("luna.json", v2.to_string().as_bytes()).unwrap();
    let example = |user: &str, assistant: &str| Example { user: user.into(), assistant: assistant.into() };
    let expected = Persona {
        id: PersonaId(0),
        name: "Luna".into(),
        system: "Stay Luna.\n\nLuna is an alpaca. User is her friend.\n\nPersonality: calm\n\nScenario: On a hill with User.".into(),
        parameters: Parameters::default(),
        greeting: "Hello User, I am Luna! {{time}}".into(),
        examples: vec![example("Hi", "Humm.\nMore humm."), example("Bye", "Bye User")],
    };
    assert_eq!(persona, expected);
    let v1 = json!({"name": "露娜", "description": "{{char}}是羊驼", "personality": "安静", "scenario": "", "first_mes": "{{user}}，你好",
        "mes_example": "{{user}}：问\n{{char}}：答"});
    let persona = read_character("露娜.json", v1.to_string().as_bytes()).unwrap();
    assert_eq!(persona.system, "露娜是羊驼\n\n性格：安静");
    assert_eq!((persona.greeting.as_str(), &persona.examples[..]), ("用户，你好", &[example("问", "答")][..]));
}

fn png_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    [&(data.len() as u32).to_be_bytes()[..], kind, data, &[0; 4]].concat()
}

fn png_of(chunks: &[Vec<u8>]) -> Vec<u8> {
    let header = png_chunk(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 6, 0, 0, 0]);
    [png::SIGNATURE, &header, &chunks.concat(), &png_chunk(b"IEND", b"")].concat()
}

fn card(name: &str) -> String {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD.encode(json!({"name": name, "description": "d"}).to_string())
}

#[test]
fn cards_are_found_in_every_kind_of_text_chunk_and_the_newer_form_first() {
    let plain = png_chunk(b"tEXt", format!("chara\0{}", card("old")).as_bytes());
    let squeezed = miniz_oxide::deflate::compress_to_vec_zlib(card("squeezed").as_bytes(), 6);
    let compressed = png_chunk(b"zTXt", &[b"chara\0\0", &squeezed[..]].concat());
    let international = png_chunk(b"iTXt", format!("ccv3\0\0\0\0\0{}", card("new")).as_bytes());
    let international_squeezed = png_chunk(b"iTXt", &[b"ccv3\0\x01\0en\0t\0", &squeezed[..]].concat());
    let other = png_chunk(b"tEXt", b"Software\0x");
    let cases = [
        (vec![other.clone(), plain.clone()], "old"),
        (vec![compressed], "squeezed"),
        (vec![plain.clone(), international], "new"),
        (vec![international_squeezed], "squeezed"),
    ];
    for (chunks, name) in cases {
        assert_eq!(read_character("x.png", &png_of(&chunks)).unwrap().name, name);
    }
    let refused = read_character("x.png", &png_of(&[other])).unwrap_err();
    assert_eq!(refused.code, Code::CharacterBroken);
}

#[test]
fn broken_pictures_and_cards_are_refused() {
    let whole = png_of(&[png_chunk(b"tEXt", format!("chara\0{}", card("x")).as_bytes())]);
    for cut in 0..whole.len() - 16 {
        let _ = read_character("x.png", &whole[..cut]);
    }
    let mut huge = png::SIGNATURE.to_vec();
    huge.extend(u32::MAX.to_be_bytes());
    huge.extend(b"tEXtchara\0e30=");
    // A bomb: 12 MiB of zeros in 12 KiB.
    let bomb = miniz_oxide::deflate::compress_to_vec_zlib(&vec![0; 12 << 20], 1);
    let bomb = png_of(&[png_chunk(b"zTXt", &[b"chara\0\0", &bomb[..]].concat())]);
    let cases: [&[u8]; 8] = [
        &huge,
        &bomb,
        &png_of(&[png_chunk(b"tEXt", b"chara"), png_chunk(b"zTXt", b"chara\0"), png_chunk(b"iTXt", b"ccv3\0\x01")]),
        &png_of(&[png_chunk(b"tEXt", b"chara\0not base64!")]),
        b"[]",
        b"{\"name\": 5, \"description\": \"d\"}",
        b"{\"name\": \"x\"}",
        b"{",
    ];
    for bytes in cases {
        assert_eq!(read_character("x", bytes).unwrap_err().code, Code::CharacterBroken);
    }
    let deep = format!("{{\"data\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(read_character("x", deep.as_bytes()).is_err());
}

/// Numbers that only look random: a failure can be repeated.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % bound
    }
}

#[test]
fn a_file_changed_anywhere_gives_sound_chats_or_an_error() {
    let ours = export(&[whole(), whole()], Format::Json, NOW).into_bytes();
    let mapping: serde_json::Map<String, Value> =
        [gpt("a", None, said("user", "问")), gpt("b", Some("a"), said("assistant", "答"))].into_iter().collect();
    let theirs = json!([{"title": "t", "mapping": mapping, "current_node": "b"}]).to_string().into_bytes();
    let card = png_of(&[png_chunk(b"tEXt", format!("chara\0{}", card("x")).as_bytes())]);
    let tokens: [&[u8]; 10] = [b"null", b"[", b"}", b"\"", b"-1", b"1e999", b"\\ud800", b"{\"a\":1}", b"\xff", b","];
    let mut draw = Draw(3);
    for _ in 0..600 {
        for file in [&ours, &theirs, &card] {
            let mut bytes = file.clone();
            for _ in 0..1 + draw.below(3) {
                let at = draw.below(bytes.len());
                match draw.below(3) {
                    0 => bytes[at] = draw.below(256) as u8,
                    1 => drop(bytes.splice(at..(at + draw.below(40)).min(bytes.len()), [])),
                    _ => drop(bytes.splice(at..at, tokens[draw.below(tokens.len())].iter().copied())),
                }
            }
            let _ = read_character("x", &bytes);
            let _ = read_text("x", &bytes);
            let Ok(sound) = read_chats("x", &bytes, NOW) else { continue };
            for whole in sound.chats {
                for (at, message) in whole.messages.iter().enumerate() {
                    let earlier = |id: MessageId| whole.messages[..at].iter().any(|other| other.id == id);
                    assert!(message.parent.is_none_or(earlier));
                    assert!(!earlier(message.id));
                }
            }
        }
    }
}
