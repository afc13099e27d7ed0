//! The storage folder: moved, refused, cut off in the middle and gone on with; looked through.

use std::{
    fs,
    path::{Path, PathBuf},
};

use huacaya_app::{
    App, Purpose,
    rows::{Job, JobId, JobState, ModelState},
};
use serde_json::{Value, json};

use crate::{
    home::{Home, Mirror, call, ended, import},
    library::{GOLDEN, copy_folder, hashed, row},
    tiny,
};

async fn move_to(app: &App, to: &Path) -> Job {
    let chosen = app.offer(to, Purpose::Read).unwrap();
    let job: JobId = call(app, "move_storage", json!({"chosen": chosen.id})).await;
    ended(app, job).await
}

/// Every model of the list is ready and lies in this folder.
async fn all_in(app: &App, folder: &Path, count: usize) {
    let mirror = Mirror::new(app).await;
    let odd = |row: &&huacaya_app::rows::Model| {
        row.state != ModelState::Ready || !row.in_storage || !Path::new(&row.path).starts_with(folder)
    };
    let odd: Vec<_> = mirror.models.values().filter(odd).map(|row| (&row.path, row.state, row.in_storage)).collect();
    assert!(odd.is_empty(), "{odd:?}");
    assert_eq!(mirror.models.len(), count);
}

/// A home with one model of each form, the built-in one, a card and an unfinished download.
async fn furnished(home: &Home) -> App {
    let app = home.start().await;
    let file = home.outside().join("单个.gguf");
    tiny::write(&file);
    let [split, _] = tiny::write_split(&home.outside(), "split");
    let folder = home.outside().join("folder");
    copy_folder(&Path::new(GOLDEN).join("base"), &folder);
    for path in [&file, &split, &folder] {
        let model = import(&app, path, true).await;
        row(&app, model, hashed).await;
    }
    let partial = home.path().join("models/owner--name");
    fs::create_dir_all(&partial).unwrap();
    fs::write(partial.join("big.gguf.part"), vec![7; 5000]).unwrap();
    fs::write(partial.join("big.gguf.part.json"), b"{}").unwrap();
    app
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_storage_folder_moves_with_all_that_is_in_it() {
    let home = Home::new();
    let app = furnished(&home).await;
    let to = home.outside().join("新的 文件夹");
    fs::create_dir(&to).unwrap();
    let before: Value = call(&app, "disk_use", json!({})).await;
    let job = move_to(&app, &to).await;
    assert_eq!(job.state, JobState::Done, "{:?}", job.error);
    all_in(&app, &to, 4).await;
    let after: Value = call(&app, "disk_use", json!({})).await;
    assert_eq!(after["folder"].as_str(), to.to_str());
    for sum in ["models_bytes", "partial_bytes", "total_bytes"] {
        assert_eq!(after[sum], before[sum], "{sum}");
    }
    assert_eq!(after["partial_bytes"], 5002);
    assert_eq!(after["largest"].as_array().unwrap().len(), 4);
    assert!(!home.path().join("models").exists() && to.join("owner--name/big.gguf.part").exists());
    assert!(!to.join(".huacaya-moving").exists());
    let added = home.outside().join("later.gguf");
    tiny::write_with_template(&added, "{{ messages[0]['content'] }}");
    let model = import(&app, &added, true).await;
    assert!(to.join("later.gguf").exists());
    call::<()>(&app, "delete_model", json!({"model": model})).await;
    assert!(to.join(".deleted").exists());
    app.shut_down().await;
    drop(app);
    let app = home.start().await;
    all_in(&app, &to, 4).await;
    let scan: Value = call(&app, "scan_models", json!({})).await;
    assert_eq!(scan, json!({"added": 0, "problems": []}));
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_cannot_take_the_models_is_refused_and_left_as_it_was() {
    let home = Home::new();
    let app = furnished(&home).await;
    let models = home.path().join("models");
    let inside = models.join("inside");
    let taken = home.outside().join("taken");
    for folder in [&inside, &taken] {
        fs::create_dir(folder).unwrap();
    }
    fs::write(taken.join("单个.gguf"), b"mine").unwrap();
    let file = home.outside().join("a file");
    fs::write(&file, b"").unwrap();
    for refused in [inside.clone(), models.parent().unwrap().to_path_buf(), taken.clone(), file] {
        let error = move_to(&app, &refused).await.error.unwrap();
        assert_eq!(
            (error.code.as_str(), error.values["path"].as_str()),
            ("storage_unusable", refused.to_str().unwrap())
        );
    }
    assert_eq!(fs::read_dir(&taken).unwrap().count(), 1);
    assert_eq!(fs::read(taken.join("单个.gguf")).unwrap(), b"mine");
    fs::remove_dir(&inside).unwrap();
    all_in(&app, &models, 4).await;
    app.shut_down().await;
}

/// Something stands in the way of the third model; and before that, the program died after bringing a file and before its
/// row was switched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_was_cut_off_leaves_models_that_work_and_goes_on() {
    let home = Home::new();
    let app = furnished(&home).await;
    let to = home.outside().join("to");
    fs::create_dir(&to).unwrap();
    app.shut_down().await;
    drop(app);
    let models = home.path().join("models");
    fs::write(to.join(".huacaya-moving"), b"").unwrap();
    fs::rename(models.join("单个.gguf"), to.join("单个.gguf")).unwrap();
    fs::write(to.join("huacaya-demo.gguf.part"), b"half").unwrap();
    let in_the_way = to.join("folder/model.safetensors/x");
    fs::create_dir_all(&in_the_way).unwrap();

    let app = home.start().await;
    let job = move_to(&app, &to).await;
    assert_eq!((job.state, job.error.unwrap().code.as_str()), (JobState::Failed, "file_unwritable"));
    let mirror = Mirror::new(&app).await;
    let scan: Value = call(&app, "scan_models", json!({})).await;
    assert_eq!(scan["added"], 0, "no model is there twice: {scan}");
    let moved = mirror.models.values().filter(|row| Path::new(&row.path).starts_with(&to)).count();
    assert_eq!((moved, mirror.models.len()), (3, 4));
    for row in mirror.models.values().filter(|row| !row.path.ends_with("folder")) {
        let job = call(&app, "load_model", json!({"model": row.id, "anyway": false})).await;
        assert_eq!(ended(&app, job).await.state, JobState::Done, "{}", row.path);
    }
    fs::remove_dir_all(in_the_way.parent().unwrap()).unwrap();
    let again = call(&app, "retry_job", json!({"job": job.id})).await;
    let again = ended(&app, again).await;
    assert_eq!(again.state, JobState::Done, "{:?}", again.error);
    all_in(&app, &to, 4).await;
    assert!(!models.exists() && !to.join(".huacaya-moving").exists());
    app.shut_down().await;
}

/// The setting was changed, but the old copies were still there when the program died.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_copies_that_a_cut_off_move_left_are_removed_when_it_goes_on() {
    let home = Home::new();
    let app = furnished(&home).await;
    let (from, to) = (home.path().join("models"), home.outside().join("to"));
    fs::create_dir(&to).unwrap();
    let task = json!({"kind": "move_storage", "name": "to", "from": from, "to": to});
    let task: huacaya_app::jobs::Task = serde_json::from_value(task).unwrap();
    app.start_job(task.clone()).await.unwrap().outcome().await.unwrap();
    fs::create_dir_all(&from).unwrap();
    fs::copy(to.join("单个.gguf"), from.join("单个.gguf")).unwrap();
    fs::write(from.join("mine.txt"), b"put here since").unwrap();
    app.start_job(task).await.unwrap().outcome().await.unwrap();
    assert!(!from.join("单个.gguf").exists() && from.join("mine.txt").exists());
    all_in(&app, &to, 4).await;
    app.shut_down().await;
}

/// Another file system in the memory, where there is one.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn onto_another_disk_files_are_copied_and_the_old_ones_removed_at_the_end() {
    use std::os::unix::fs::MetadataExt;
    let home = Home::new();
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else { return };
    if fs::metadata(other.path()).unwrap().dev() == fs::metadata(home.outside()).unwrap().dev() {
        return;
    }
    let app = furnished(&home).await;
    let to: PathBuf = other.path().join("另一个 disk");
    fs::create_dir(&to).unwrap();
    let job = move_to(&app, &to).await;
    assert_eq!(job.state, JobState::Done, "{:?}", job.error);
    assert_eq!(job.done, job.total);
    all_in(&app, &to, 4).await;
    let hashes = |mirror: Mirror| mirror.models.into_values().map(|row| (row.id, row.sha256, row.hash));
    let before: Vec<_> = hashes(Mirror::new(&app).await).collect();
    let _: Value = call(&app, "scan_models", json!({})).await;
    assert_eq!(hashes(Mirror::new(&app).await).collect::<Vec<_>>(), before);
    all_in(&app, &to, 4).await;
    assert!(!home.path().join("models").exists());
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scan_looks_two_folders_deep_and_leaves_unfinished_ones_alone() {
    let home = Home::new();
    let app = home.start().await;
    let models = home.path().join("models");
    let place = |path: &str| {
        let path = models.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    for path in ["owner--a/Q4/deep.gguf", "owner--a/a.gguf", "x/y/z/too deep.gguf", ".deleted/7/gone.gguf"] {
        tiny::write(&place(path));
    }
    tiny::write(&place("owner--b/first.gguf"));
    fs::write(place("owner--b/second.gguf.part.json"), b"{}").unwrap();
    tiny::write_split(place("owner--c/x").parent().unwrap(), "split");
    copy_folder(&Path::new(GOLDEN).join("base"), &models.join("owner--d"));
    copy_folder(&Path::new(GOLDEN).join("base"), &models.join("copying.part"));
    let scan: Value = call(&app, "scan_models", json!({})).await;
    let mut found: Vec<String> = Mirror::new(&app).await.models.values().map(|row| row.path.clone()).collect();
    found.sort();
    let wanted = [
        "huacaya-demo.gguf",
        "owner--a/Q4/deep.gguf",
        "owner--a/a.gguf",
        "owner--c/split-00001-of-00002.gguf",
        "owner--d",
    ];
    assert_eq!(found, wanted.map(|path| models.join(path).to_str().unwrap().to_string()), "{scan}");
    app.shut_down().await;
}

/// The folder is on a disk that is not plugged in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_folder_that_is_gone_is_waited_for_and_not_made_anew() {
    let home = Home::new();
    let app = furnished(&home).await;
    let (to, away) = (home.outside().join("disk"), home.outside().join("unplugged"));
    fs::create_dir(&to).unwrap();
    assert_eq!(move_to(&app, &to).await.state, JobState::Done);
    let deleted = Mirror::new(&app).await.models.into_values().find(|row| row.path.ends_with("folder")).unwrap().id;
    call::<()>(&app, "delete_model", json!({"model": deleted})).await;
    app.shut_down().await;
    drop(app);
    fs::rename(&to, &away).unwrap();
    let app = home.start().await;
    let mirror = Mirror::new(&app).await;
    assert!(mirror.models.values().all(|row| row.state == ModelState::Missing), "{:?}", mirror.models);
    let file = home.outside().join("new.gguf");
    tiny::write_with_template(&file, "{{ messages[0]['content'] }}");
    let chosen = app.offer(&file, Purpose::Read).unwrap();
    let job: JobId = call(&app, "import_model", json!({"chosen": chosen.id, "copy": true})).await;
    let error = ended(&app, job).await.error.unwrap();
    assert_eq!((error.code.as_str(), error.values["path"].as_str()), ("storage_unusable", to.to_str().unwrap()));
    assert!(!to.exists());
    fs::rename(&away, &to).unwrap();
    let _: Value = call(&app, "scan_models", json!({})).await;
    all_in(&app, &to, 3).await;
    // What was deleted before was not forgotten meanwhile.
    call::<()>(&app, "restore_model", json!({"model": deleted})).await;
    all_in(&app, &to, 4).await;
    app.shut_down().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_too_small_is_refused_before_anything_is_copied() {
    use std::os::unix::fs::MetadataExt;
    let home = Home::new();
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else { return };
    if fs::metadata(other.path()).unwrap().dev() == fs::metadata(home.outside()).unwrap().dev() {
        return;
    }
    let app = home.start().await;
    let models = home.path().join("models");
    // Takes no room here; copied, it would take more than any memory has.
    fs::File::create(models.join("sparse.bin")).unwrap().set_len(1 << 42).unwrap();
    let job = move_to(&app, other.path()).await;
    let error = job.error.unwrap();
    assert_eq!((error.code.as_str(), error.values["path"].as_str()), ("space_short", other.path().to_str().unwrap()));
    assert!(error.values["needed"].parse::<u64>().unwrap() >= 1 << 42);
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
    all_in(&app, &models, 1).await;
    app.shut_down().await;
}

/// Another window on the same data folder, open while the first moves the storage folder.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_program_follows_the_move() {
    let home = Home::new();
    let app = furnished(&home).await;
    let second = home.start().await;
    let to = home.outside().join("to");
    fs::create_dir(&to).unwrap();
    assert_eq!(move_to(&app, &to).await.state, JobState::Done);
    let _: Value = call(&second, "scan_models", json!({})).await;
    all_in(&second, &to, 4).await;
    let used: Value = call(&second, "disk_use", json!({})).await;
    assert_eq!(used["folder"].as_str(), to.to_str());
    second.shut_down().await;
    app.shut_down().await;
}

/// The program was killed while it moved the folder: the next start goes on with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_goes_on_by_itself_at_the_next_start() {
    use huacaya_app::rows::Store;
    let home = Home::new();
    let app = furnished(&home).await;
    let (from, to) = (home.path().join("models"), home.outside().join("to"));
    fs::create_dir(&to).unwrap();
    app.shut_down().await;
    drop(app);
    let store = Store::open(&home.path()).await.unwrap().store;
    let task = json!({"kind": "move_storage", "name": "to", "from": from, "to": to});
    let job = store.add_job(task).await.unwrap().id;
    store.update_job(job, |job| job.state = JobState::Running).await.unwrap();
    store.close().await;
    fs::write(to.join(".huacaya-moving"), b"").unwrap();
    fs::rename(from.join("split-00002-of-00002.gguf"), to.join("split-00002-of-00002.gguf")).unwrap();

    let app = home.start().await;
    let mut mirror = Mirror::new(&app).await;
    mirror
        .until(|mirror| mirror.jobs.values().any(|job| job.task["kind"] == "move_storage" && job.state.is_over()))
        .await;
    all_in(&app, &to, 4).await;
    assert!(!from.exists());
    app.shut_down().await;
}
