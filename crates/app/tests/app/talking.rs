//! Answers: sent, streamed, stopped, made again, edited, continued.

use std::time::Instant;

use huacaya_app::{
    App,
    rows::{Chat, Finish, MessageId, MessageState, Role},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    home::{Home, Mirror, PATIENCE, call, import, refused},
    tiny,
};

#[derive(Deserialize)]
struct Sent {
    chat: Value,
    user: MessageId,
    answer: MessageId,
}

async fn send(app: &App, chat: Value, text: &str) -> Sent {
    let sent: Sent =
        call(app, "send_message", json!({"chat": chat, "text": text, "attachments": [], "begin": ""})).await;
    call::<()>(app, "open_chat", json!({"chat": sent.chat})).await;
    sent
}

/// Short answers from the tiny model.
async fn short(app: &App, tokens: u32) {
    let parameters = json!({"temperature": 0.8, "tokens_max": tokens, "logit_bias": [[2, -100.0]]});
    call::<()>(app, "set_setting", json!({"key": "parameters", "value": parameters})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bundled_model_answers_at_the_first_start_and_the_stream_is_the_answer() {
    let home = Home::new();
    let app = home.start().await;
    call::<()>(&app, "set_setting", json!({"key": "parameters", "value": {"tokens_max": 24}})).await;
    let mut mirror = Mirror::new(&app).await;
    let sent = send(&app, Value::Null, "你好").await;
    let answer = mirror.answer(sent.answer).await;
    assert_eq!(answer.state, MessageState::Done, "{:?}", answer.error);
    let body = answer.body.unwrap();
    assert!(!body.text.is_empty());
    let (made, stats) = (answer.made.unwrap(), answer.stats.unwrap());
    assert!(made.model_sha256.is_some_and(|hash| hash.len() == 64));
    assert!(made.parameters.seed.is_some() && made.parameters.context.is_some());
    assert!(stats.prompt_tokens > 0 && stats.tokens > 0, "{stats:?}");
    let chat = mirror.chats.values().next().unwrap().clone();
    assert_eq!((chat.heading.as_str(), chat.leaf), ("你好", Some(sent.answer)));
    let idle = async {
        while app.busy() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, idle).await.expect("nothing runs any more");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_stops_at_once_keeps_its_words_and_can_be_continued() {
    let home = Home::new();
    let (app, _) = home.start_with_tiny().await;
    short(&app, 1500).await;
    let mut mirror = Mirror::new(&app).await;
    let sent = send(&app, Value::Null, "说个不停").await;
    mirror.grown(sent.answer, 40).await;
    assert!(app.busy());
    let asked = Instant::now();
    call::<()>(&app, "stop_message", json!({"message": sent.answer})).await;
    assert!(asked.elapsed().as_secs_f32() < 2.0, "{:?}", asked.elapsed());
    let stopped = mirror.answer(sent.answer).await;
    assert_eq!(stopped.state, MessageState::Stopped);
    assert_eq!(stopped.stats.unwrap().finish, Finish::Stopped);
    let before = stopped.body.unwrap().text;
    assert!(before.len() >= 40);
    short(&app, 20).await;
    call::<()>(&app, "continue_message", json!({"message": sent.answer})).await;
    assert_eq!(refused(&app, "continue_message", json!({"message": sent.answer})).await, "already_writing");
    mirror.until(|mirror| mirror.text(sent.answer).len() > before.len()).await;
    call::<()>(&app, "stop_message", json!({"message": sent.answer})).await;
    let continued = mirror.answer(sent.answer).await.body.unwrap().text;
    assert!(continued.starts_with(&before) && continued.len() > before.len(), "{before:?} {continued:?}");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_streamed_is_what_a_chat_opened_later_shows() {
    let home = Home::new();
    let (app, _) = home.start_with_tiny().await;
    short(&app, 300).await;
    let mut early = Mirror::new(&app).await;
    let sent = send(&app, Value::Null, "讲故事").await;
    early.grown(sent.answer, 30).await;
    // A page that is loaded anew in the middle gets what is there, and then the rest.
    let mut late = Mirror::new(&app).await;
    late.until(|mirror| !mirror.chats.is_empty()).await;
    call::<()>(&app, "open_chat", json!({"chat": sent.chat})).await;
    late.until(|mirror| mirror.text(sent.answer).len() >= 30).await;
    call::<()>(&app, "stop_message", json!({"message": sent.answer})).await;
    let (seen, seen_late) = (early.answer(sent.answer).await, late.answer(sent.answer).await);
    assert_eq!(seen.body, seen_late.body);
    assert_eq!(seen.body.unwrap().text, early.text(sent.answer));
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_again_gives_the_same_text_and_regenerate_another() {
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    short(&app, 40).await;
    let mut mirror = Mirror::new(&app).await;
    // The hash is there before anything is made with the model.
    mirror.until(|mirror| mirror.models.get(&model.0).is_some_and(|row| row.sha256.is_some())).await;
    let sent = send(&app, Value::Null, "天气").await;
    let first = mirror.answer(sent.answer).await;
    assert_eq!(first.stats.as_ref().unwrap().finish, Finish::Length);
    // What the person sets afterwards changes nothing about it.
    let hot = json!({"temperature": 2.0, "tokens_max": 7});
    call::<()>(&app, "set_setting", json!({"key": "parameters", "value": hot})).await;
    let again: MessageId = call(&app, "run_again", json!({"message": sent.answer})).await;
    let again = mirror.answer(again).await;
    assert_eq!(again.parent, first.parent);
    assert_eq!(again.body, first.body);
    assert_eq!(again.made, first.made);
    short(&app, 40).await;
    let other: MessageId = call(&app, "regenerate", json!({"message": sent.answer, "begin": ""})).await;
    let other = mirror.answer(other).await;
    assert_ne!(other.body.unwrap().text, first.body.unwrap().text);
    assert!(other.stats.unwrap().reused_tokens > 0, "the prompt was evaluated again");
    let once = json!({"message": sent.answer, "begin": "在", "parameters": {"seed": 5, "temperature": 0.0}});
    let begun: MessageId = call(&app, "regenerate", once).await;
    let begun = mirror.answer(begun).await;
    assert!(begun.body.unwrap().text.starts_with("在"));
    assert_eq!(begun.made.unwrap().parameters.seed, Some(5));
    assert_eq!(refused(&app, "run_again", json!({"message": sent.user})).await, "not_an_answer");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_is_a_sibling_and_a_branch_a_chat_of_its_own() {
    let home = Home::new();
    let (app, _) = home.start_with_tiny().await;
    short(&app, 8).await;
    let mut mirror = Mirror::new(&app).await;
    let sent = send(&app, Value::Null, "第一问").await;
    mirror.answer(sent.answer).await;
    let edit = json!({"message": sent.user, "text": "改过的问题", "attachments": [], "answer": true});
    let question: MessageId = call(&app, "edit_message", edit).await;
    mirror.until(|mirror| mirror.messages.values().any(|row| row.parent == Some(question))).await;
    let answer = mirror.messages.values().find(|row| row.parent == Some(question)).unwrap().id;
    mirror.answer(answer).await;
    let rows: Vec<_> = mirror.messages.values().filter(|row| row.role == Role::User).collect();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.parent.is_none()));
    // The model's own words: no new answer.
    let edit = json!({"message": answer, "text": "我说的是这个。", "attachments": [], "answer": false});
    let said: MessageId = call(&app, "edit_message", edit).await;
    let branch: Chat = call(&app, "branch_chat", json!({"message": said})).await;
    assert_ne!(json!(branch.id), sent.chat);
    let text: String = call(&app, "export_text", json!({"chat": branch.id, "format": "markdown"})).await;
    assert!(text.contains("改过的问题") && text.contains("我说的是这个。") && !text.contains("\n第一问"), "{text}");
    call::<()>(&app, "choose_leaf", json!({"chat": sent.chat, "message": sent.user})).await;
    mirror.until(|mirror| mirror.chats.values().any(|chat| chat.leaf == Some(sent.answer))).await;
    call::<()>(&app, "delete_message", json!({"message": sent.user})).await;
    call::<()>(&app, "restore_message", json!({"message": sent.user})).await;
    mirror.until(|mirror| mirror.chats.values().any(|chat| chat.leaf == Some(sent.answer))).await;
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_chats_are_answered_at_the_same_time() {
    let home = Home::new();
    let (app, _) = home.start_with_tiny().await;
    short(&app, 30).await;
    let mut mirror = Mirror::new(&app).await;
    let mut answers = Vec::new();
    for text in ["一", "二", "三", "四"] {
        answers.push(send(&app, Value::Null, text).await.answer);
    }
    for answer in answers {
        let row = mirror.answer(answer).await;
        assert_eq!((row.state, row.stats.unwrap().tokens), (MessageState::Done, 30));
    }
    assert_eq!(mirror.chats.len(), 4);
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_layers_decide_in_their_order_and_a_base_model_does_not_chat() {
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    short(&app, 3).await;
    let of_model = json!({"model": model, "parameters": {"temperature": 0.5, "top_k": 7, "min_p": 0.05}});
    call::<()>(&app, "set_model", of_model).await;
    let chat: Chat = call(&app, "new_chat", json!({"kind": "chat"})).await;
    let edit = json!({"chat": chat.id, "system": "只说一个字。", "parameters": {"top_k": 3, "seed": 11}});
    call::<()>(&app, "set_chat", edit).await;
    let mut mirror = Mirror::new(&app).await;
    let sent = send(&app, json!(chat.id), "好吗").await;
    let made = mirror.answer(sent.answer).await.made.unwrap();
    let values = &made.parameters;
    // The model's, the person's over the model's, the chat's over both, the program's under all.
    assert_eq!((values.min_p, values.temperature, values.top_k), (Some(0.05), Some(0.8), Some(3)));
    assert_eq!((values.seed, values.repetition_penalty), (Some(11), Some(1.1)));
    assert_eq!(made.system, "只说一个字。");
    call::<()>(&app, "set_model", json!({"model": model, "template": "none", "parameters": {}})).await;
    let code = refused(&app, "send_message", json!({"text": "x", "attachments": [], "begin": ""})).await;
    assert_eq!(code, "model_is_base");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_is_refused_with_the_number_and_what_is_dropped_is_told() {
    let home = Home::new();
    let (app, _) = home.start_with_tiny().await;
    let parameters = json!({"tokens_max": 20, "context": 256, "logit_bias": [[2, -100.0]]});
    call::<()>(&app, "set_setting", json!({"key": "parameters", "value": parameters})).await;
    let mut mirror = Mirror::new(&app).await;
    let mut sent = send(&app, Value::Null, "在").await;
    mirror.answer(sent.answer).await;
    // The model is in memory now: what is too long is refused before anything is written.
    let book = json!({"chat": sent.chat, "text": "的".repeat(400), "attachments": [], "begin": ""});
    let error = app.call("send_message", book).await.unwrap_err();
    assert_eq!(error.code.as_str(), "prompt_too_long");
    let over: u32 = error.values["over"].parse().unwrap();
    assert!((164..400).contains(&over), "{over}");
    use base64::{Engine, prelude::BASE64_STANDARD};
    let file = json!({"chat": sent.chat, "name": "书.txt", "base64": BASE64_STANDARD.encode("的".repeat(400))});
    assert_eq!(refused(&app, "read_attachment", file).await, "attachment_over");
    let file = json!({"chat": sent.chat, "name": "短.txt", "base64": BASE64_STANDARD.encode("我有三个")});
    let file: Value = call(&app, "read_attachment", file).await;
    assert_eq!((file["text"].as_str(), file["encoding"].as_str()), (Some("我有三个"), Some("UTF-8")));
    assert!(file["tokens"].as_u64().unwrap() >= 4);
    // A file that was dropped: the same by its id; a folder is no file.
    let path = home.path().join("拖来的.txt");
    let text = "我有三个苹果，他有两个梨，一共是五个水果。";
    let gb18030 = [
        0xce, 0xd2, 0xd3, 0xd0, 0xc8, 0xfd, 0xb8, 0xf6, 0xc6, 0xbb, 0xb9, 0xfb, 0xa3, 0xac, 0xcb, 0xfb, 0xd3, 0xd0,
        0xc1, 0xbd, 0xb8, 0xf6, 0xc0, 0xe6, 0xa3, 0xac, 0xd2, 0xbb, 0xb9, 0xb2, 0xca, 0xc7, 0xce, 0xe5, 0xb8, 0xf6,
        0xcb, 0xae, 0xb9, 0xfb, 0xa1, 0xa3,
    ];
    std::fs::write(&path, gb18030).unwrap();
    let chosen = app.offer(&path, huacaya_app::Purpose::Read).unwrap();
    let file: Value = call(&app, "read_dropped", json!({"chat": sent.chat, "chosen": chosen.id})).await;
    assert_eq!((file["name"].as_str(), file["text"].as_str()), (Some("拖来的.txt"), Some(text)));
    let folder = app.offer(&home.path(), huacaya_app::Purpose::Read).unwrap();
    assert_eq!(refused(&app, "read_dropped", json!({"chosen": folder.id})).await, "file_unreadable");
    let mut rows = Vec::new();
    for turn in 0..8 {
        let text = format!("{turn}{}", "他".repeat(20));
        let next = json!({"chat": sent.chat, "text": text, "attachments": [], "begin": ""});
        sent = call(&app, "send_message", next).await;
        rows.push((sent.user, mirror.answer(sent.answer).await));
    }
    let last = rows.last().unwrap().1.stats.clone().unwrap();
    assert!(last.turns_dropped > 0 && last.prompt_tokens + 20 <= 256, "{last:?}");
    let seen = last.memory_starts_at.unwrap();
    assert!(rows.iter().any(|(user, _)| *user == seen), "whole turns are dropped");
    let used: Value = call(&app, "context", json!({"chat": sent.chat, "text": "好", "attachments": []})).await;
    let part = |name: &str| used[name].as_u64().unwrap();
    assert_eq!((part("total"), part("reserve"), part("over")), (256, 20, 0));
    assert!(part("system") + part("history") + part("draft") + part("reserve") <= 256, "{used}");
    assert!(used["exact"].as_bool().unwrap() && used["memory_starts_at"].is_i64(), "{used}");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thoughts_are_a_field_of_their_own_and_can_be_switched_off() {
    const TEMPLATE: &str = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant: \
        {% if enable_thinking is not defined or enable_thinking %}<think>{% endif %}";
    let home = Home::new();
    let app = home.start().await;
    let file = home.outside().join("thinker.gguf");
    tiny::write_with_template(&file, TEMPLATE);
    let model = import(&app, &file, false).await;
    call::<()>(&app, "set_setting", json!({"key": "model", "value": model})).await;
    short(&app, 12).await;
    let mut mirror = Mirror::new(&app).await;
    let row = &mirror.models[&model.0];
    assert!(row.thinks);
    assert_eq!(row.template_source, "file");
    let sent = send(&app, Value::Null, "想一想").await;
    let body = mirror.answer(sent.answer).await.body.unwrap();
    assert!(body.text.is_empty() && !body.thought.is_empty(), "{body:?}");
    assert_eq!(body.thought_tokens, 12);
    let streamed: String =
        mirror.pieces.iter().filter(|(_, thought, _)| *thought).map(|(.., piece)| piece.as_str()).collect();
    assert!(body.thought.ends_with(&streamed), "{streamed:?} {:?}", body.thought);
    let once = json!({"message": sent.answer, "begin": "", "parameters": {"thinking": false}});
    let plain: MessageId = call(&app, "regenerate", once).await;
    let body = mirror.answer(plain).await.body.unwrap();
    assert!(body.thought.is_empty() && !body.text.is_empty(), "{body:?}");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_of_5000_messages_is_opened_measured_and_answered_without_a_wait() {
    const MESSAGES: usize = 5_000;
    let home = Home::new();
    let (app, _) = home.start_with_tiny().await;
    short(&app, 4).await;
    let node = |place: usize| {
        let role = if place.is_multiple_of(2) { "user" } else { "assistant" };
        let text = "这是一个很长的对话，说了很多的话。".repeat(6);
        let parent = place.checked_sub(1).map(|parent| parent.to_string());
        let message = json!({"author": {"role": role}, "content": {"content_type": "text", "parts": [text]}});
        (place.to_string(), json!({"id": place.to_string(), "parent": parent, "message": message}))
    };
    let mapping: serde_json::Map<String, Value> = (0..MESSAGES).map(node).collect();
    let file = json!([{"title": "长谈", "mapping": mapping, "current_node": (MESSAGES - 1).to_string()}]).to_string();
    use base64::{Engine, prelude::BASE64_STANDARD};
    let taken: Value =
        call(&app, "import_chats", json!({"name": "conversations.json", "base64": BASE64_STANDARD.encode(file)})).await;
    assert_eq!(taken["messages"], MESSAGES, "{taken}");
    let mut mirror = Mirror::new(&app).await;
    let chat = mirror.chats.values().next().unwrap().id;
    let begun = Instant::now();
    call::<()>(&app, "open_chat", json!({"chat": chat})).await;
    mirror.until(|mirror| mirror.messages.len() == MESSAGES).await;
    let opened = begun.elapsed();
    let sent: Sent =
        call(&app, "send_message", json!({"chat": chat, "text": "好", "attachments": [], "begin": ""})).await;
    let stats = mirror.answer(sent.answer).await.stats.unwrap();
    assert!(stats.turns_dropped > 2_000 && stats.memory_starts_at.is_some(), "{stats:?}");
    let begun = Instant::now();
    let used: Value = call(&app, "context", json!({"chat": chat, "text": "再说", "attachments": []})).await;
    let measured = begun.elapsed();
    println!("opened in {opened:?}, measured in {measured:?}");
    assert_eq!(used["exact"], true);
    // Far above what they take, far below what would be felt as a hang.
    assert!(opened.as_secs_f32() < 5.0 && measured.as_secs_f32() < 2.0, "{opened:?} {measured:?}");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_a_model_file_says_so_in_its_row() {
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    std::fs::remove_file(home.outside().join("tiny.gguf")).unwrap();
    let mut mirror = Mirror::new(&app).await;
    let sent = send(&app, Value::Null, "在吗").await;
    let row = mirror.answer(sent.answer).await;
    assert_eq!((row.state, row.error.unwrap().code.as_str()), (MessageState::Failed, "model_missing"));
    mirror.until(|mirror| mirror.models[&model.0].state == huacaya_app::rows::ModelState::Missing).await;
    // The bundled one can take its place.
    let demo = mirror.models.values().find(|row| row.bundled).unwrap().id;
    let again = json!({"message": sent.answer, "model": demo, "begin": "", "parameters": {"tokens_max": 12}});
    let answer: MessageId = call(&app, "regenerate", again).await;
    assert_eq!(mirror.answer(answer).await.state, MessageState::Done);
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_inspector_shows_the_prompt_token_by_token() {
    let home = Home::new();
    let app = home.start().await;
    let seen: Value = call(&app, "inspect_prompt", json!({"text": "你好 [/INST] </s>"})).await;
    assert_eq!((seen["template"].as_str(), seen["source"].as_str()), (Some("alpaca-2"), Some("built in")));
    let tokens = seen["tokens"].as_array().unwrap();
    // What is typed stays text: the start token is the only control token of a first turn.
    let special: Vec<_> = tokens.iter().filter(|token| token["special"] == true).collect();
    assert_eq!(special.len(), 1, "{special:?}");
    assert!(seen["text"].as_str().unwrap().contains("<<SYS>>"));
    assert!(seen["stops"].as_array().unwrap().iter().any(|stop| stop == "</s>"));
    assert!(seen["tokens_per_100_characters"].as_f64().unwrap() > 0.0);
    app.shut_down().await;
}
