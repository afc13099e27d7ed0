//! Choosing files without a system dialog: what a listed folder shows, and that nothing else is reached through it.

use std::fs;

use huacaya_app::App;
use serde_json::{Value, json};

use crate::home::{Home, call, refused};

/// A listed folder with something of everything, beside a folder that is not listed.
async fn furnished(home: &Home) -> App {
    let app = home.start().await;
    let (listed, other) = (home.outside().join("listed"), home.outside().join("other"));
    fs::create_dir_all(listed.join("内 部/deeper")).unwrap();
    fs::create_dir_all(listed.join(".hidden")).unwrap();
    fs::create_dir_all(&other).unwrap();
    fs::write(listed.join("b.txt"), "twelve bytes").unwrap();
    fs::write(listed.join("A.txt"), "").unwrap();
    fs::write(listed.join(".secret"), "secret").unwrap();
    fs::write(listed.join(".hidden/inside.txt"), "secret").unwrap();
    fs::write(listed.join("内 部/c.gguf"), "c").unwrap();
    fs::write(other.join("secret.txt"), "secret").unwrap();
    #[cfg(unix)]
    for (to, name) in [
        (other.as_path(), "out"),
        (&other.join("secret.txt"), "out.txt"),
        (&listed.join(".hidden"), "to hidden"),
        (&listed.join("gone"), "dangling"),
        (&listed.join("内 部/c.gguf"), "内 部/link.gguf"),
    ] {
        std::os::unix::fs::symlink(to, listed.join(name)).unwrap();
    }
    app.list_folders(&[listed]).unwrap();
    app
}

fn names(listing: &Value) -> Vec<&str> {
    listing["entries"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_folder_shows_what_can_be_chosen_in_it() {
    let home = Home::new();
    let app = furnished(&home).await;
    let roots: Vec<String> = call(&app, "listed_folders", json!({})).await;
    assert_eq!(roots.len(), 2);
    assert!(roots[0].ends_with("models") && roots[1].ends_with("listed"), "{roots:?}");
    let top: Value = call(&app, "list_folder", json!({"root": 1, "path": []})).await;
    assert_eq!(names(&top), ["内 部", "A.txt", "b.txt"]);
    assert_eq!(
        (&top["entries"][2]["bytes"], &top["entries"][2]["folder"], &top["more"]),
        (&json!(12), &json!(false), &json!(false))
    );
    let inside: Value = call(&app, "list_folder", json!({"root": 1, "path": ["内 部"]})).await;
    #[cfg(unix)]
    assert_eq!(names(&inside), ["deeper", "c.gguf", "link.gguf"]);
    let chosen: Value = call(&app, "choose_listed", json!({"root": 1, "path": ["b.txt"]})).await;
    assert_eq!((&chosen["name"], &chosen["bytes"]), (&json!("b.txt"), &json!(12)));
    // The id is worth what one of the desktop's dialog is.
    let read: Value = call(&app, "read_dropped", json!({"chat": null, "chosen": chosen["id"]})).await;
    assert_eq!(read["text"], "twelve bytes");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outside_a_listed_folder_is_reached() {
    let home = Home::new();
    let app = furnished(&home).await;
    let mut paths = vec![
        json!([".."]),
        json!(["内 部", "..", ".."]),
        json!(["../other/secret.txt"]),
        json!(["内 部/../../other"]),
        json!(["/etc/passwd"]),
        json!(["."]),
        json!([""]),
        json!(["内 部/"]),
        json!([".secret"]),
        json!([".hidden", "inside.txt"]),
        json!(["b.txt\0"]),
        json!(vec!["内 部"; 1000]),
    ];
    #[cfg(unix)]
    paths.extend([
        json!(["out"]),
        json!(["out", "secret.txt"]),
        json!(["out.txt"]),
        json!(["to hidden", "inside.txt"]),
    ]);
    for path in &paths {
        for command in ["list_folder", "choose_listed"] {
            let error = refused(&app, command, json!({"root": 1, "path": path})).await;
            assert_eq!(error, "folder_not_listed", "{command} {path}");
        }
        let error = refused(&app, "choose_new", json!({"root": 1, "path": path, "name": "x", "replace": true})).await;
        assert_eq!(error, "folder_not_listed", "{path}");
    }
    for name in ["../x", "/x", ".x", "a/b", "..", "CON", "a:b", "x\0", ""] {
        refused(&app, "choose_new", json!({"root": 1, "path": [], "name": name, "replace": true})).await;
    }
    assert_eq!(refused(&app, "list_folder", json!({"root": 2, "path": []})).await, "folder_not_listed");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_there_is_replaced_only_where_the_person_says_so() {
    let home = Home::new();
    let app = furnished(&home).await;
    let choose = |name: &str, replace: bool| json!({"root": 1, "path": ["内 部"], "name": name, "replace": replace});
    assert_eq!(refused(&app, "choose_new", choose("c.gguf", false)).await, "file_unwritable");
    assert_eq!(refused(&app, "choose_new", choose("deeper", true)).await, "file_unwritable");
    // Written through, it could lead anywhere by then.
    #[cfg(unix)]
    assert_eq!(refused(&app, "choose_new", choose("link.gguf", true)).await, "file_unwritable");
    for (name, replace) in [("新的.json", false), ("c.gguf", true)] {
        let chosen: Value = call(&app, "choose_new", choose(name, replace)).await;
        let export = json!({"chats": null, "format": "json", "chosen": chosen["id"]});
        let _: Value = call(&app, "export_chats", export).await;
        let written = fs::read_to_string(home.outside().join("listed/内 部").join(name)).unwrap();
        assert!(serde_json::from_str::<Value>(&written).is_ok(), "{written}");
    }
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_face_with_dialogs_of_the_system_lists_nothing() {
    let home = Home::new();
    let app = home.start().await;
    for (command, arguments) in [
        ("listed_folders", json!({})),
        ("list_folder", json!({"root": 0, "path": []})),
        ("choose_listed", json!({"root": 0, "path": []})),
        ("choose_new", json!({"root": 0, "path": [], "name": "x", "replace": false})),
    ] {
        assert_eq!(refused(&app, command, arguments).await, "folder_not_listed", "{command}");
    }
    app.shut_down().await;
}
