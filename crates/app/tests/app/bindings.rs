//! The generated client and the dispatch by name.

use serde_json::json;

use crate::home::Home;

#[test]
fn the_client_in_the_page_is_the_one_that_the_table_gives() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/src/api/bindings.ts");
    let there = std::fs::read_to_string(file).unwrap();
    assert!(there == huacaya_app::bindings::typescript(), "{file} is stale: run `cargo xtask types`");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_command_and_unknown_arguments_are_named() {
    let home = Home::new();
    let app = home.start().await;
    let error = app.call("format_disk", json!({})).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.values["command"].as_str()), ("unknown_command", "format_disk"));
    let error = app.call("new_folder", json!({"name": "x", "path": "/etc"})).await.unwrap_err();
    assert_eq!(error.code.as_str(), "wrong_arguments");
    assert!(error.values["reason"].contains("path"), "{error}");
    let error = app.call("new_folder", json!({})).await.unwrap_err();
    assert!(error.values["reason"].contains("name"), "{error}");
    let error = app.call("rename_chat", json!({"chat": 7, "title": "x"})).await.unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.values["table"].as_str(), error.values["id"].as_str()),
        ("gone", "chat", "7")
    );
    app.shut_down().await;
}
