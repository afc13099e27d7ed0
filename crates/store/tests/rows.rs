//! Rows of every table: written, changed, deleted, brought back, and read though some are damaged.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Folder, body, new_chat, open, turn};
use huacaya_store::{
    Attachment, Draft, Error, Example, HashState, JobState, Model, ModelFile, ModelId, ModelKind, ModelState,
    Parameters, Persona, PersonaId, ROW_DAMAGED, Role, Source, Store,
};
use sqlx::Connection;

/// Another program's hand in the database.
async fn meddle(folder: &Folder, sql: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.database());
    let mut conn = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

fn model(name: &str) -> Model {
    Model {
        id: ModelId(0),
        name: name.into(),
        path: String::new(),
        bundled: false,
        source: Source::File,
        family: String::new(),
        kind: ModelKind::Chat,
        state: ModelState::Ready,
        architecture: "llama".into(),
        quantization: "Q8_0".into(),
        file_bytes: 0,
        parameter_count: 7_000_000_000,
        context_tokens: 4096,
        sha256: None,
        hash: HashState::Unknown,
        checked_ms: None,
        in_storage: false,
        adapter: None,
        template: "alpaca-2".into(),
        template_source: "built in".into(),
        thinks: false,
        parameters: Parameters::default(),
        persona: None,
        draft: None,
        loaded_by: None,
        device: None,
        device_reason: None,
        added_ms: 0,
        used_ms: None,
    }
}

fn file(path: &str) -> ModelFile {
    ModelFile { path: path.into(), bytes: 5 << 30, modified_ms: 77 }
}

#[tokio::test]
async fn everything_is_there_after_the_store_is_opened_again() {
    let folder = Folder::new();
    let store = folder.open().await;
    let shelf = store.new_folder(" 旅行 ").await.unwrap();
    let chat = new_chat(&store).await;
    let parameters = Parameters { temperature: Some(0.25), stop: Some(vec!["。".into()]), ..Parameters::default() };
    let (given, shelf_id) = (parameters.clone(), shelf.id);
    store
        .update_chat(chat.id, move |chat| {
            (chat.title, chat.folder, chat.pinned) = ("去秘鲁".into(), Some(shelf_id), true);
            (chat.system, chat.parameters) = (Some("你是羊驼".into()), given);
        })
        .await
        .unwrap();
    let begun = turn(&store, chat.id, None, "# 秘鲁 有 什么？\n细节", "有羊驼。").await;
    let draft = Draft {
        chat: Some(chat.id),
        text: "还有".into(),
        attachments: vec![Attachment {
            name: "a.txt".into(),
            encoding: "GB18030".into(),
            text: "甲".into(),
            tokens: 1,
        }],
    };
    store.save_draft(&draft).await.unwrap();
    store.save_draft(&Draft { chat: None, text: "新".into(), attachments: vec![] }).await.unwrap();
    store.set_setting("theme", "dark".into()).await.unwrap();
    store.close().await;
    drop(store);

    let store = folder.open().await;
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.folders, [shelf]);
    let [kept] = &snapshot.chats[..] else { panic!("{:?}", snapshot.chats) };
    assert_eq!((kept.title.as_str(), kept.heading.as_str()), ("去秘鲁", "秘鲁 有 什么？"));
    assert_eq!((kept.pinned, kept.system.as_deref(), &kept.parameters), (true, Some("你是羊驼"), &parameters));
    assert_eq!(kept.leaf, Some(begun.answer));
    assert_eq!(snapshot.drafts.len(), 2);
    assert!(snapshot.drafts.contains(&draft));
    assert_eq!(store.setting("theme").await.unwrap(), Some("dark".into()));
    assert_eq!(common::texts(&store, begun.answer).await, ["# 秘鲁 有 什么？\n细节", "有羊驼。"]);
}

#[tokio::test]
async fn a_deleted_chat_comes_back_whole() {
    let folder = Folder::new();
    let store = folder.open().await;
    let chat = new_chat(&store).await;
    let begun = turn(&store, chat.id, None, "问", "答").await;
    store.delete_chat(chat.id).await.unwrap();
    assert!(store.snapshot().await.unwrap().chats.is_empty());
    assert!(matches!(store.message(begun.answer).await, Err(Error::Missing(_))));
    assert!(matches!(store.delete_chat(chat.id).await, Err(Error::Missing(_))));
    assert!(store.search("答", 9).await.unwrap().is_empty());
    assert_eq!(store.restore_chat(chat.id).await.unwrap().leaf, Some(begun.answer));
    assert_eq!(common::texts(&store, begun.answer).await, ["问", "答"]);
}

#[tokio::test]
async fn chats_move_out_of_a_deleted_folder_and_get_a_restored_persona_back() {
    let folder = Folder::new();
    let store = folder.open().await;
    let shelf = store.new_folder("a").await.unwrap();
    let persona = Persona {
        id: PersonaId(0),
        name: "老师".into(),
        system: "教".into(),
        parameters: Parameters::default(),
        greeting: "你好".into(),
        examples: vec![Example { user: "问".into(), assistant: "答".into() }],
    };
    let persona = store.add_persona(persona).await.unwrap();
    assert_eq!(store.persona(persona.id).await.unwrap(), persona);
    let chat = new_chat(&store).await;
    let (shelf_id, persona_id) = (shelf.id, persona.id);
    let set = move |chat: &mut huacaya_store::Chat| (chat.folder, chat.persona) = (Some(shelf_id), Some(persona_id));
    assert_eq!(store.update_chat(chat.id, set).await.unwrap().folder, Some(shelf.id));
    store.delete_folder(shelf.id).await.unwrap();
    store.delete_persona(persona.id).await.unwrap();
    let kept = store.chat(chat.id).await.unwrap();
    assert_eq!((kept.folder, kept.persona), (None, None));
    store.restore_persona(persona.id).await.unwrap();
    assert_eq!(store.chat(chat.id).await.unwrap().persona, Some(persona.id));
}

#[tokio::test]
async fn a_models_origin_hash_and_adapter_are_kept_and_a_deleted_persona_is_not_named() {
    let folder = Folder::new();
    let store = folder.open().await;
    let poet = Persona {
        id: PersonaId(0),
        name: "诗人".into(),
        system: "作诗".into(),
        parameters: Parameters::default(),
        greeting: String::new(),
        examples: vec![],
    };
    let persona = store.add_persona(poet).await.unwrap().id;
    let source =
        Source::Hub { endpoint: "e".into(), repository: "o/n".into(), revision: "main".into(), file: "a.gguf".into() };
    let small = store.add_model(model("small"), &file("/small.gguf")).await.unwrap().id;
    let row = Model {
        source,
        family: "Qwen3".into(),
        kind: ModelKind::Adapter,
        sha256: Some("ab".into()),
        hash: HashState::Wrong,
        checked_ms: Some(5),
        in_storage: true,
        adapter: Some(huacaya_store::Adapter { base: "羊驼".into(), rank: 64 }),
        persona: Some(persona),
        draft: Some(small),
        ..model("x")
    };
    let id = store.add_model(row.clone(), &file("/a.gguf")).await.unwrap().id;
    store.close().await;
    let store = folder.open().await;
    let kept = store.model(id).await.unwrap();
    let of = |row: &Model| (row.source.clone(), row.family.clone(), row.kind, row.hash, row.checked_ms, row.in_storage);
    assert_eq!(of(&kept), of(&row));
    assert_eq!((&kept.adapter, kept.persona, kept.draft), (&row.adapter, Some(persona), Some(small)));
    store.remove_model(small).await.unwrap();
    assert_eq!(store.model(id).await.unwrap().draft, None);
    store.restore_model(small).await.unwrap();
    assert_eq!(store.model(id).await.unwrap().draft, Some(small));
    store.delete_persona(persona).await.unwrap();
    assert_eq!(store.model(id).await.unwrap().persona, None);
    store.restore_persona(persona).await.unwrap();
    assert_eq!(store.model(id).await.unwrap().persona, Some(persona));
    store.close().await;
}

#[tokio::test]
async fn a_model_deleted_with_its_files_waits_for_its_undo_or_is_forgotten() {
    let folder = Folder::new();
    let store = folder.open().await;
    let id = store.add_model(model("x"), &file("/a.gguf")).await.unwrap().id;
    let built_in = Model { bundled: true, source: Source::BuiltIn, ..model("demo") };
    let built_in = store.add_model(built_in, &file("/demo.gguf")).await.unwrap().id;
    for model in [id, built_in] {
        store.delete_model(model).await.unwrap();
    }
    assert!(store.models().await.unwrap().is_empty());
    assert!(store.deleted_models().await.unwrap().iter().all(|deleted| deleted.kept));
    // While this process runs another one sees that it may undo it, and afterwards that nobody will.
    let second = folder.open().await;
    assert!(second.deleted_models().await.unwrap().iter().all(|deleted| deleted.kept));
    store.restore_model(id).await.unwrap();
    assert_eq!(second.deleted_models().await.unwrap().len(), 1);
    store.delete_model(id).await.unwrap();
    store.close().await;
    let deleted = second.deleted_models().await.unwrap();
    assert_eq!(
        deleted.iter().map(|deleted| (deleted.id, deleted.kept)).collect::<Vec<_>>(),
        [(id, false), (built_in, false)]
    );
    assert_eq!(deleted[0].file, file("/a.gguf"));
    for model in [id, built_in] {
        second.forget_model(model).await.unwrap();
    }
    assert!(second.deleted_models().await.unwrap().is_empty());
    assert_eq!(second.model_at("/a.gguf".as_ref()).await.unwrap(), None);
    assert_eq!(second.model_at("/demo.gguf".as_ref()).await.unwrap(), Some(built_in), "it would be written anew");
    second.close().await;
}

#[tokio::test]
async fn a_model_is_one_row_for_each_file() {
    let folder = Folder::new();
    let store = folder.open().await;
    let first = store.add_model(model("七B"), &file("/模型/a.gguf")).await.unwrap();
    store.update_model(first.id, |model| model.name = "我的".into()).await.unwrap();
    store.remove_model(first.id).await.unwrap();
    assert!(store.models().await.unwrap().is_empty());
    let again = store.add_model(model("七B"), &file("/模型/a.gguf")).await.unwrap();
    assert_eq!((again.id, again.name.as_str(), again.path.as_str()), (first.id, "我的", "/模型/a.gguf"));
    let second = store.add_model(model("b"), &file("/模型/b.gguf")).await.unwrap();
    assert!(matches!(store.move_model(second.id, &file("/模型/a.gguf")).await, Err(Error::Unfit { .. })));
    let moved = store.move_model(second.id, &file("/c.gguf")).await.unwrap();
    assert_eq!((moved.path.as_str(), moved.file_bytes), ("/c.gguf", 5 << 30));
    assert_eq!(store.model_file(second.id).await.unwrap(), file("/c.gguf"));
    assert_eq!(store.model_at("/c.gguf".as_ref()).await.unwrap(), Some(second.id));
    let loaded = store.set_loaded(second.id, Some(("CPU", None))).await.unwrap();
    assert_eq!((loaded.loaded_by.as_deref(), loaded.device.as_deref()), (Some(store.owner()), Some("CPU")));
    assert_eq!(store.set_loaded(second.id, None).await.unwrap().loaded_by, None);
}

#[cfg(unix)]
#[tokio::test]
async fn a_path_that_is_not_unicode_is_kept_byte_for_byte() {
    use std::os::unix::ffi::OsStringExt;
    let folder = Folder::new();
    let store = folder.open().await;
    let path = std::ffi::OsString::from_vec(b"/models/\xff\xc4\xe3.gguf".to_vec());
    let file = ModelFile { path: path.into(), bytes: 1, modified_ms: 2 };
    let row = store.add_model(model("x"), &file).await.unwrap();
    assert_eq!(store.model_file(row.id).await.unwrap(), file);
}

#[tokio::test]
async fn jobs_run_in_order_and_end_once() {
    let folder = Folder::new();
    let store = folder.open().await;
    let first = store.add_job(serde_json::json!({"kind": "load", "model": 1})).await.unwrap();
    let second = store.add_job(serde_json::json!({"kind": "load", "model": 2})).await.unwrap();
    assert!(second.position > first.position);
    assert_eq!(store.take_job().await.unwrap().unwrap().id, first.id);
    store.progress_job(first.id, 5, 10).await.unwrap();
    let done = store.update_job(first.id, |job| job.state = JobState::Done).await.unwrap();
    assert!(done.finished_ms.is_some());
    assert_eq!((done.done, done.total), (5, 10));
    store.progress_job(first.id, 6, 10).await.unwrap();
    assert_eq!(store.job(first.id).await.unwrap().done, 5);
    assert!(matches!(store.dismiss_job(second.id).await, Err(Error::Unfit { .. })));
    store.dismiss_job(first.id).await.unwrap();
    assert_eq!(store.take_job().await.unwrap().unwrap().state, JobState::Running);
    assert!(store.take_job().await.unwrap().is_none());
}

#[tokio::test]
async fn a_damaged_row_never_hides_the_rest() {
    let folder = Folder::new();
    let store = folder.open().await;
    let damaged = new_chat(&store).await;
    let sound = new_chat(&store).await;
    let begun = turn(&store, damaged.id, None, "问", "答").await;
    store.add_job(serde_json::json!({"kind": "load"})).await.unwrap();
    store.set_setting("zoom", 1.5.into()).await.unwrap();
    store.set_setting("theme", "dark".into()).await.unwrap();
    store.close().await;
    meddle(
        &folder,
        "UPDATE chats SET parameters = '{\"temperature\": [', kind = 'novel' WHERE id = 1;
         UPDATE messages SET made = 'null]', stats = '{}', text = CAST(x'e4bda0ff' AS TEXT) WHERE id = 2;
         UPDATE jobs SET task = '', error = '7';
         UPDATE settings SET value = '\"' WHERE key = 'theme';",
    )
    .await;
    let store = open(&folder.path).await;
    let snapshot = store.snapshot().await.unwrap();
    let ids: Vec<_> = snapshot.chats.iter().map(|chat| chat.id).collect();
    assert!(ids.contains(&damaged.id) && ids.contains(&sound.id), "{ids:?}");
    assert_eq!(snapshot.settings.len(), 1);
    assert_eq!(snapshot.jobs[0].error.as_ref().unwrap().code, ROW_DAMAGED);
    let path = store.path(begun.answer).await.unwrap();
    assert_eq!(path[0].body.as_ref().unwrap().text, "问");
    assert_eq!(path[1].body.as_ref().unwrap().text, "你\u{fffd}");
    let problem = path[1].error.as_ref().unwrap();
    assert_eq!((problem.code.as_str(), problem.values["columns"].as_str()), (ROW_DAMAGED, "made, stats"));
}

#[tokio::test]
async fn what_was_deleted_long_ago_is_removed_at_start_and_the_rest_stays() {
    let folder = Folder::new();
    let store = folder.open().await;
    let old = new_chat(&store).await;
    let deep = turn(&store, old.id, None, "旧问", "旧答").await;
    turn(&store, old.id, Some(deep.answer), "又问", "又答").await;
    store.delete_chat(old.id).await.unwrap();
    let chat = new_chat(&store).await;
    let kept = turn(&store, chat.id, None, "新问", "新答").await;
    let gone = turn(&store, chat.id, Some(kept.answer), "误问", "误答").await;
    store.delete_message(gone.question.unwrap()).await.unwrap();
    let recent = store.add_message(chat.id, Some(kept.answer), Role::User, body("刚删")).await.unwrap();
    store.delete_message(recent).await.unwrap();
    store.close().await;
    meddle(
        &folder,
        "UPDATE chats SET deleted_ms = deleted_ms - 8 * 86400000 WHERE deleted_ms IS NOT NULL;
         UPDATE messages SET deleted_ms = deleted_ms - 8 * 86400000 WHERE deleted_ms IS NOT NULL AND text <> '刚删';",
    )
    .await;
    let store: Store = open(&folder.path).await;
    assert!(matches!(store.restore_chat(old.id).await, Err(Error::Missing(_))));
    assert!(matches!(store.restore_message(gone.question.unwrap()).await, Err(Error::Missing(_))));
    store.restore_message(recent).await.unwrap();
    assert_eq!(common::texts(&store, recent).await, ["新问", "新答", "刚删"]);
}
