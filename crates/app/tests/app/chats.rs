//! Chats, folders, personas, settings: rows that no model is needed for.

use huacaya_app::rows::{Chat, Folder, Persona, Role};
use serde_json::{Value, json};

use crate::home::{Home, Mirror, call, refused};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_to_chats_is_seen_in_the_stream_and_after_a_restart() {
    let home = Home::new();
    let app = home.start().await;
    let mut mirror = Mirror::new(&app).await;
    let folder: Folder = call(&app, "new_folder", json!({"name": " 读书\n笔记 "})).await;
    assert_eq!(folder.name, "读书 笔记");
    let chat: Chat = call(&app, "new_chat", json!({"kind": "chat", "folder": folder.id})).await;
    let () = call(&app, "rename_chat", json!({"chat": chat.id, "title": "红楼梦"})).await;
    let () = call(&app, "pin_chat", json!({"chat": chat.id, "pinned": true})).await;
    mirror.until(|mirror| mirror.chats.get(&chat.id.0).is_some_and(|chat| chat.pinned)).await;
    assert_eq!(mirror.chats[&chat.id.0].title, "红楼梦");
    let () = call(&app, "delete_chat", json!({"chat": chat.id})).await;
    assert_eq!(refused(&app, "rename_chat", json!({"chat": chat.id, "title": "x"})).await, "gone");
    let () = call(&app, "restore_chat", json!({"chat": chat.id})).await;
    app.shut_down().await;
    drop(app);

    let app = home.start().await;
    let mut mirror = Mirror::new(&app).await;
    mirror.until(|mirror| mirror.chats.contains_key(&chat.id.0)).await;
    let chat = &mirror.chats[&chat.id.0];
    assert_eq!((chat.title.as_str(), chat.folder, chat.pinned), ("红楼梦", Some(folder.id), true));
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_personas_greeting_is_the_first_message_until_something_is_said() {
    let home = Home::new();
    let app = home.start().await;
    let fields = |greeting: &str| {
        json!({"name": "茶馆老板", "system": "你开一间茶馆。", "parameters": {}, "greeting": greeting,
               "examples": [{"user": "有什么茶？", "assistant": "龙井和普洱。"}]})
    };
    let persona: Persona = call(&app, "save_persona", fields("客官，里面请！")).await;
    let other: Persona = call(&app, "save_persona", fields("Welcome.")).await;
    let chat: Chat = call(&app, "new_chat", json!({"kind": "chat", "persona": persona.id})).await;
    let mut mirror = Mirror::new(&app).await;
    let () = call(&app, "open_chat", json!({"chat": chat.id})).await;
    mirror.until(|mirror| !mirror.messages.is_empty()).await;
    let first = mirror.messages.values().next().unwrap().clone();
    assert_eq!((first.role, first.body.unwrap().text.as_str()), (Role::Assistant, "客官，里面请！"));
    let () = call(&app, "set_chat", json!({"chat": chat.id, "persona": other.id, "parameters": {}})).await;
    mirror.until(|mirror| mirror.messages.values().any(|row| mirror.text(row.id) == "Welcome.")).await;
    let text: String = call(&app, "export_text", json!({"chat": chat.id, "format": "markdown"})).await;
    assert!(text.contains("Welcome.") && !text.contains("客官"), "{text}");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_no_face_would_send_is_refused() {
    let home = Home::new();
    let app = home.start().await;
    for (key, value) in [
        ("language", json!("xx")),
        ("zoom", json!(90)),
        ("parameters", json!({"temperature": -1})),
        ("parameters", json!({"heat": 1})),
        ("notice", json!("hello")),
        ("anything", json!(1)),
    ] {
        let code = refused(&app, "set_setting", json!({"key": key, "value": value})).await;
        assert!(["wrong_arguments", "parameter_invalid"].contains(&code.as_str()), "{key} {value}: {code}");
    }
    let () = call(&app, "set_setting", json!({"key": "language", "value": "zh"})).await;
    let () = call(&app, "set_setting", json!({"key": "language", "value": null})).await;
    let defaults: Value = call(&app, "defaults", json!({})).await;
    assert_eq!(defaults["parameters"]["repetition_penalty"], json!(1.1f32));
    let report: Value = call(&app, "diagnostics", json!({})).await;
    assert!(report["text"].as_str().unwrap().contains("张 庭 綱"));
    let title = "长".repeat(300);
    let chat: Chat = call(&app, "new_chat", json!({"kind": "page"})).await;
    assert_eq!(refused(&app, "rename_chat", json!({"chat": chat.id, "title": title})).await, "text_too_long");
    app.shut_down().await;
}
