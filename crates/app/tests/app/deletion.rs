//! Models deleted with their files, brought back, gone for good at the next start; and what is left when the program dies
//! in the middle of it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use huacaya_app::{
    App,
    rows::{Model, ModelId, ModelState},
};
use serde_json::{Value, json};

use crate::{
    home::{Home, Mirror, call, ended, import, refused},
    library::{GOLDEN, copy_folder, hashed, row},
    tiny,
};

/// Where the files of a deleted model wait.
fn waiting(home: &Home, model: ModelId) -> PathBuf {
    home.path().join("models/.deleted").join(model.0.to_string())
}

async fn listed(app: &App, model: ModelId) -> Option<Model> {
    Mirror::new(app).await.models.remove(&model.0)
}

/// Starts with a copied model that was hashed, and gives the place of its file.
async fn with_copied(home: &Home, name: &str) -> (App, ModelId, PathBuf) {
    let app = home.start().await;
    let file = home.outside().join(name);
    tiny::write(&file);
    let model = import(&app, &file, true).await;
    row(&app, model, hashed).await;
    (app, model, home.path().join("models").join(name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_model_can_be_brought_back_until_the_next_start() {
    let home = Home::new();
    let (app, model, place) = with_copied(&home, "羊驼 7B.gguf").await;
    let before = listed(&app, model).await.unwrap();
    let bytes = fs::metadata(&place).unwrap().len();
    let _: Value = call(&app, "new_chat", json!({"kind": "chat", "model": model})).await;
    let preview: Value = call(&app, "deletion", json!({"model": model})).await;
    let wanted = json!({"files": [place.to_str()], "bytes": bytes, "frees": true, "used_by_chats": 1});
    assert_eq!(preview, wanted);

    let job = call(&app, "load_model", json!({"model": model, "anyway": false})).await;
    ended(&app, job).await;
    call::<()>(&app, "delete_model", json!({"model": model})).await;
    assert!(listed(&app, model).await.is_none() && !place.exists());
    let scan: Value = call(&app, "scan_models", json!({})).await;
    assert_eq!(scan["added"], 0, "what waits for the undo is not found anew");
    let used: Value = call(&app, "disk_use", json!({})).await;
    assert_eq!(used["deleted_bytes"].as_u64(), Some(bytes));
    call::<()>(&app, "restore_model", json!({"model": model})).await;
    let after = listed(&app, model).await.unwrap();
    assert_eq!((after.state, after.sha256, after.path), (ModelState::Ready, before.sha256, before.path));
    assert!(!waiting(&home, model).exists());
    let job = call(&app, "load_model", json!({"model": model, "anyway": false})).await;
    ended(&app, job).await;

    call::<()>(&app, "delete_model", json!({"model": model})).await;
    app.shut_down().await;
    drop(app);
    let app = home.start().await;
    assert!(listed(&app, model).await.is_none() && !place.exists() && !waiting(&home, model).exists());
    assert_eq!(refused(&app, "restore_model", json!({"model": model})).await, "gone");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_models_go_at_once_when_that_is_asked_for_and_the_built_in_one_stays_away() {
    let home = Home::new();
    let app = home.start().await;
    let demo = Mirror::new(&app).await.models.into_values().find(|row| row.bundled).unwrap();
    call::<()>(&app, "delete_model", json!({"model": demo.id})).await;
    call::<()>(&app, "purge_deleted", json!({})).await;
    assert!(!waiting(&home, demo.id).exists());
    for _ in 0..2 {
        app.shut_down().await;
        drop(home.start().await);
    }
    let app = home.start().await;
    assert!(Mirror::new(&app).await.models.is_empty() && !Path::new(&demo.path).exists());
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_outside_the_storage_folder_is_never_deleted() {
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    let file = home.outside().join("tiny.gguf");
    let preview: Value = call(&app, "deletion", json!({"model": model})).await;
    assert_eq!((preview["frees"].as_bool(), preview["files"][0].as_str()), (Some(false), file.to_str()));
    call::<()>(&app, "delete_model", json!({"model": model})).await;
    call::<()>(&app, "purge_deleted", json!({})).await;
    assert!(listed(&app, model).await.is_none() && file.exists());
    call::<()>(&app, "restore_model", json!({"model": model})).await;
    assert_eq!(listed(&app, model).await.unwrap().state, ModelState::Ready);
    app.shut_down().await;
}

/// The program died between two steps of deleting, or of the undo: each state that can be left is made by hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_or_undo_that_was_cut_off_brings_the_whole_model_back() {
    let home = Home::new();
    let app = home.start().await;
    let [first, second] = tiny::write_split(&home.outside(), "split");
    let model = import(&app, &first, true).await;
    let before = row(&app, model, hashed).await;
    let places = [&first, &second].map(|file| home.path().join("models").join(file.file_name().unwrap()));
    let mut app = app;
    // Which of the two files are back where they were when the program starts again.
    for back in [[true, true], [true, false], [false, true]] {
        call::<()>(&app, "delete_model", json!({"model": model})).await;
        app.shut_down().await;
        drop(app);
        assert!(places.iter().all(|place| !place.exists()));
        for (place, _) in places.iter().zip(back).filter(|(_, back)| *back) {
            fs::rename(waiting(&home, model).join(place.file_name().unwrap()), place).unwrap();
        }
        app = home.start().await;
        let after = listed(&app, model).await.unwrap();
        assert_eq!((after.state, &after.sha256), (ModelState::Ready, &before.sha256), "{back:?}");
        assert!(places.iter().all(|place| place.exists()) && !waiting(&home, model).exists(), "{back:?}");
    }
    // The row never went: nothing happened at all.
    call::<()>(&app, "delete_model", json!({"model": model})).await;
    call::<()>(&app, "restore_model", json!({"model": model})).await;
    // The purge was cut off: it goes on.
    call::<()>(&app, "delete_model", json!({"model": model})).await;
    app.shut_down().await;
    drop(app);
    fs::remove_file(waiting(&home, model).join(places[1].file_name().unwrap())).unwrap();
    let app = home.start().await;
    assert!(listed(&app, model).await.is_none() && !waiting(&home, model).exists());
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_goes_whole_and_leaves_the_model_that_lies_in_it() {
    let home = Home::new();
    let app = home.start().await;
    let folder = home.path().join("models/owner--name");
    copy_folder(&Path::new(GOLDEN).join("base"), &folder);
    fs::write(folder.join("README.md"), "# 卡片").unwrap();
    let _: Value = call(&app, "scan_models", json!({})).await;
    let of = |mirror: &Mirror, end: &str| mirror.models.values().find(|row| row.path.ends_with(end)).map(|row| row.id);
    let model = of(&Mirror::new(&app).await, "owner--name").unwrap();
    let preview: Value = call(&app, "deletion", json!({"model": model})).await;
    assert!(preview["files"].as_array().unwrap().iter().any(|file| file.as_str().unwrap().ends_with("README.md")));
    call::<()>(&app, "delete_model", json!({"model": model})).await;
    assert!(!folder.exists());
    call::<()>(&app, "restore_model", json!({"model": model})).await;
    assert!(folder.join("README.md").exists());
    assert_eq!(listed(&app, model).await.unwrap().state, ModelState::Ready);

    // Another model in the same folder keeps its file, and the folder.
    tiny::write(&folder.join("small.gguf"));
    let other = import(&app, &folder.join("small.gguf"), false).await;
    call::<()>(&app, "delete_model", json!({"model": model})).await;
    assert!(folder.join("small.gguf").exists() && !folder.join("model.safetensors").exists());
    assert_eq!(listed(&app, other).await.unwrap().state, ModelState::Ready);
    call::<()>(&app, "restore_model", json!({"model": model})).await;
    assert!(folder.join("model.safetensors").exists());
    assert_eq!(listed(&app, model).await.unwrap().state, ModelState::Ready);
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_program_on_the_same_folder_leaves_the_undo_alone() {
    let home = Home::new();
    let (app, model, place) = with_copied(&home, "two.gguf").await;
    call::<()>(&app, "delete_model", json!({"model": model})).await;
    let second = home.start().await;
    second.shut_down().await;
    call::<()>(&app, "restore_model", json!({"model": model})).await;
    assert!(place.exists());
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_deleted_while_it_is_hashed_leaves_no_job_behind_and_is_hashed_when_it_comes_back() {
    let home = Home::new();
    let app = home.start().await;
    let file = home.outside().join("large.gguf");
    tiny::write_shape(&file, &tiny::Shape { hidden: 512, ffn: 2048, layers: 16, format: huacaya_weights::Format::F32 });
    let model = import(&app, &file, true).await;
    call::<()>(&app, "delete_model", json!({"model": model})).await;
    let mirror = Mirror::new(&app).await;
    let of_model = |job: &&huacaya_app::rows::Job| job.task["model"] == model.0;
    assert_eq!(mirror.jobs.values().filter(of_model).filter(|job| job.error.is_some()).count(), 0, "{:?}", mirror.jobs);
    call::<()>(&app, "restore_model", json!({"model": model})).await;
    row(&app, model, hashed).await;
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_starts_though_the_files_of_a_deleted_model_cannot_be_removed() {
    let home = Home::new();
    let (app, model, _) = with_copied(&home, "stays.gguf").await;
    call::<()>(&app, "delete_model", json!({"model": model})).await;
    app.shut_down().await;
    drop(app);
    // Something that is no folder, so that what removes folders fails.
    fs::remove_dir_all(waiting(&home, model)).unwrap();
    fs::write(waiting(&home, model), b"").unwrap();
    let app = home.start().await;
    assert!(listed(&app, model).await.is_none());
    app.shut_down().await;
    drop(app);
    fs::remove_file(waiting(&home, model)).unwrap();
    let app = home.start().await;
    assert_eq!(refused(&app, "restore_model", json!({"model": model})).await, "gone");
    app.shut_down().await;
}
