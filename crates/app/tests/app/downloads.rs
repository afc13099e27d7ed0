//! Downloads: the queue, what is fetched and what is not, and what is listed at the end.

use std::{fs, time::Duration};

use huacaya_app::rows::{HashState, JobId, JobState, Source};
use huacaya_loopback::{Fault, FileSpec, Loopback, RepositorySpec};
use serde_json::{Value, json};

use crate::{
    home::{Home, Mirror, call},
    remote::{download, failure, files_in, hub, job_is, large, model, small, start},
    tiny,
};

/// Slow enough to be caught in the middle.
const SLOW: Fault = Fault::Slow { bytes_per_second: 4_000_000 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_becomes_a_verified_model_that_answers() {
    let home = Home::new();
    let bytes = small(&home);
    let hub = hub("队/tiny".replace("队", "team").as_str(), "sub/tiny.gguf", bytes.clone());
    let app = start(&home, &hub).await;
    let job = download(&app, "team/tiny", "sub/tiny.gguf").await;
    let model = model(&app, job).await;
    let place = home.path().join("models").join("team--tiny").join("sub").join("tiny.gguf");
    assert_eq!((fs::read(&place).unwrap() == bytes, model.path.as_str()), (true, place.to_str().unwrap()));
    assert_eq!((model.hash, model.in_storage), (HashState::Verified, true));
    let from_hub = matches!(&model.source, Source::Hub { repository, file, .. } if repository == "team/tiny" && file == "sub/tiny.gguf");
    assert!(from_hub, "{:?}", model.source);
    let load: JobId = call(&app, "load_model", json!({"model": model.id, "context": 512, "anyway": true})).await;
    assert_eq!(job_is(&app, load, |job| job.state.is_over()).await.state, JobState::Done);
    assert_eq!(files_in(&home.path().join("models")), ["tiny.gguf"]);
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_is_paused_goes_on_and_survives_a_restart_paused_or_running() {
    let home = Home::new();
    let bytes = large(&home);
    let hub = hub("team/large", "large.gguf", bytes.clone());
    hub.fault("large.gguf", SLOW);
    let app = start(&home, &hub).await;
    let job = download(&app, "team/large", "large.gguf").await;
    job_is(&app, job, |job| job.state == JobState::Running && job.done > 1_000_000).await;
    call::<()>(&app, "pause_job", json!({"job": job})).await;
    let paused = job_is(&app, job, |job| job.state == JobState::Paused).await;
    assert!(paused.done > 0 && paused.done < bytes.len() as u64);
    app.shut_down().await;
    drop(app);

    let app = home.start().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(job_is(&app, job, |_| true).await.state, JobState::Paused, "it goes on when the person says so");
    call::<()>(&app, "resume_job", json!({"job": job})).await;
    job_is(&app, job, |job| job.state == JobState::Running && job.done > paused.done).await;
    app.shut_down().await;
    drop(app);

    hub.mend();
    let app = home.start().await;
    let model = model(&app, job).await;
    assert!(fs::read(&model.path).unwrap() == bytes);
    // What was there twice was not fetched again: at most a part that was under way, each time.
    assert!(hub.bytes_sent("large.gguf") < 2 * bytes.len() as u64, "{}", hub.bytes_sent("large.gguf"));
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_download_leaves_nothing_and_stays_cancelled() {
    let home = Home::new();
    let hub = hub("team/large", "large.gguf", large(&home));
    hub.fault("large.gguf", SLOW);
    let app = start(&home, &hub).await;
    let job = download(&app, "team/large", "large.gguf").await;
    job_is(&app, job, |job| job.done > 0).await;
    call::<()>(&app, "stop_job", json!({"job": job})).await;
    job_is(&app, job, |job| job.state == JobState::Stopped).await;
    while app.busy() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(files_in(&home.path().join("models")).is_empty(), "{:?}", files_in(&home.path().join("models")));
    app.shut_down().await;
    drop(app);
    hub.forget_requests();
    let app = home.start().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!Mirror::new(&app).await.jobs.contains_key(&job.0));
    assert!(hub.requests().is_empty());
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_starts_of_the_same_download_are_one() {
    let home = Home::new();
    let bytes = large(&home);
    let hub = hub("team/large", "large.gguf", bytes.clone());
    hub.fault("large.gguf", SLOW);
    let app = start(&home, &hub).await;
    let (one, other) =
        tokio::join!(download(&app, "team/large", "large.gguf"), download(&app, "team/large", "large.gguf"));
    assert_eq!(one, other);
    job_is(&app, one, |job| job.done > 0).await;
    let page: Value = call(&app, "read_repository", json!({"address": "team/large"})).await;
    assert_eq!(page["choices"][0]["job"], json!(one));
    let model = model(&app, one).await;
    assert_eq!(bytes_of_transfers(&hub), bytes.len() as u64, "no byte of it came twice");
    let page: Value = call(&app, "read_repository", json!({"address": "team/large"})).await;
    assert_eq!((page["choices"][0]["here"].clone(), page["choices"][0]["job"].clone()), (json!(model.id), Value::Null));
    app.shut_down().await;
}

/// Sent by the hub, but for what the page read of the file's beginning and the one byte that a transfer asks first.
fn bytes_of_transfers(hub: &Loopback) -> u64 {
    let looks = ["bytes=0-262143", "bytes=0-0"];
    let is_part = |range: &Option<String>| range.as_deref().is_none_or(|range| !looks.contains(&range));
    hub.transfers("large.gguf").iter().filter(|one| is_part(&one.range)).map(|one| one.bytes).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_file_of_two_repositories_is_stored_once() {
    let home = Home::new();
    let bytes = small(&home);
    let hub = hub("team/tiny", "tiny.gguf", bytes.clone());
    hub.add(RepositorySpec::new("mirror/other").file("another name.gguf", bytes));
    let app = start(&home, &hub).await;
    let first = download(&app, "team/tiny", "tiny.gguf").await;
    let first = model(&app, first).await;
    let second = download(&app, "mirror/other", "another name.gguf").await;
    let second = model(&app, second).await;
    assert_eq!(first.id, second.id);
    assert_eq!(hub.bytes_sent("another name.gguf"), 0);
    assert_eq!(files_in(&home.path().join("models")), ["tiny.gguf"]);
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_had_says_why_and_can_be_tried_again() {
    let home = Home::new();
    let hub = Loopback::start();
    hub.add(RepositorySpec::new("team/gated").file("tiny.gguf", small(&home)).gated());
    let mut wrong = FileSpec::new("wrong.gguf", small(&home));
    wrong.claimed_sha256 = Some("ab".repeat(32));
    let mut repository = RepositorySpec::new("team/wrong");
    repository.files.push(wrong);
    hub.add(repository);
    let app = start(&home, &hub).await;
    let gated = download(&app, "team/gated", "tiny.gguf").await;
    let (code, values) = failure(&app, gated).await;
    assert_eq!((code.as_str(), values["repository"].as_str()), ("gated", Some("team/gated")), "{values}");
    assert!(values["url"].as_str().unwrap().ends_with("/team/gated"));
    let wrong = download(&app, "team/wrong", "wrong.gguf").await;
    assert_eq!(failure(&app, wrong).await.0, "hash_wrong");
    assert!(Mirror::new(&app).await.models.values().all(|model| model.bundled));
    // The hub is put right.
    hub.add(RepositorySpec::new("team/gated").file("tiny.gguf", small(&home)));
    let again: JobId = call(&app, "retry_job", json!({"job": gated})).await;
    assert_eq!(again, gated, "it keeps its place in the queue");
    model(&app, again).await;
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_model_with_the_right_hash_is_never_listed() {
    let home = Home::new();
    let mut broken = small(&home);
    broken.truncate(broken.len() / 2);
    let hub = hub("team/broken", "broken.gguf", broken);
    hub.add(RepositorySpec::new("team/page").file("page.gguf", b"<html>404</html>".to_vec()));
    let app = start(&home, &hub).await;
    hub.add(RepositorySpec::new("team/noise").file("noise.gguf", vec![7; 4000]));
    for (repository, file, codes) in [
        ("team/broken", "broken.gguf", ["model_incomplete", "model_broken"]),
        ("team/page", "page.gguf", ["not_a_file", "model_broken"]),
        ("team/noise", "noise.gguf", ["model_broken"; 2]),
    ] {
        let job = download(&app, repository, file).await;
        let (code, _) = failure(&app, job).await;
        assert!(codes.contains(&code.as_str()), "{file}: {code}");
    }
    let scan: Value = call(&app, "scan_models", json!({})).await;
    assert_eq!((scan["added"].as_u64(), scan["problems"].as_array().map(Vec::len)), (Some(0), Some(0)), "{scan}");
    assert!(Mirror::new(&app).await.models.values().all(|model| model.bundled));
    assert!(files_in(&home.path().join("models")).is_empty(), "what is of no use does not stay on the disk");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_in_several_files_is_listed_once_and_whole() {
    let home = Home::new();
    let parts = tiny::write_split(&home.outside(), "split");
    let hub = Loopback::start();
    let mut repository = RepositorySpec::new("team/split");
    for part in &parts {
        repository = repository.file(part.file_name().unwrap().to_str().unwrap(), fs::read(part).unwrap());
    }
    hub.add(repository);
    hub.fault("split-00002-of-00002.gguf", Fault::Slow { bytes_per_second: 40_000 });
    let app = start(&home, &hub).await;
    let job = download(&app, "team/split", "split-00001-of-00002.gguf").await;
    // The first of the files is whole, the second is not: nothing of it is a model yet.
    let first = fs::metadata(&parts[0]).unwrap().len();
    job_is(&app, job, |job| job.done > first).await;
    let scan: Value = call(&app, "scan_models", json!({})).await;
    assert_eq!((scan["added"].as_u64(), scan["problems"].as_array().map(Vec::len)), (Some(0), Some(0)), "{scan}");
    hub.mend();
    let row = model(&app, job).await;
    let total: u64 = parts.iter().map(|part| fs::metadata(part).unwrap().len()).sum();
    assert_eq!((row.file_bytes, row.hash), (total, HashState::Verified));
    assert_eq!(Mirror::new(&app).await.models.values().filter(|model| !model.bundled).count(), 1);
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn downloads_start_in_the_order_of_the_queue_as_slots_become_free() {
    let home = Home::new();
    let hub = hub("team/large", "large.gguf", large(&home));
    hub.fault("large.gguf", SLOW);
    for name in ["a", "b", "c"] {
        let path = home.outside().join(name);
        tiny::write_with_template(&path, name);
        hub.add(RepositorySpec::new(&format!("team/{name}")).file(&format!("{name}.gguf"), fs::read(path).unwrap()));
    }
    let app = start(&home, &hub).await;
    call::<()>(&app, "set_setting", json!({"key": "downloads_at_once", "value": 1})).await;
    let first = download(&app, "team/large", "large.gguf").await;
    let mut waiting = Vec::new();
    for name in ["a", "b", "c"] {
        waiting.push(download(&app, &format!("team/{name}"), &format!("{name}.gguf")).await);
    }
    job_is(&app, first, |job| job.done > 0).await;
    for job in &waiting {
        assert_eq!(job_is(&app, *job, |_| true).await.state, JobState::Waiting);
    }
    call::<()>(&app, "move_job", json!({"job": waiting[2], "before": waiting[0]})).await;
    call::<()>(&app, "pause_job", json!({"job": waiting[0]})).await;
    hub.mend();
    model(&app, first).await;
    for job in [waiting[2], waiting[1]] {
        model(&app, job).await;
    }
    assert_eq!(job_is(&app, waiting[0], |_| true).await.state, JobState::Paused);
    let fetched: Vec<String> =
        ["c.gguf", "b.gguf", "a.gguf"].iter().map(|name| hub.bytes_sent(name).min(1).to_string()).collect();
    assert_eq!(fetched, ["1", "1", "0"]);
    let at = |name: &str| hub.transfers(name)[0].at;
    assert!(at("c.gguf") < at("b.gguf"), "the one that was moved up came first");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn going_offline_lets_a_download_wait_and_it_goes_on_by_itself() {
    let home = Home::new();
    let hub = hub("team/large", "large.gguf", large(&home));
    hub.fault("large.gguf", SLOW);
    let app = start(&home, &hub).await;
    let job = download(&app, "team/large", "large.gguf").await;
    job_is(&app, job, |job| job.done > 0).await;
    call::<()>(&app, "set_setting", json!({"key": "offline", "value": true})).await;
    let row = job_is(&app, job, |job| job.state == JobState::Waiting).await;
    assert_eq!(row.stage.as_deref(), Some("offline"));
    hub.forget_requests();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(hub.requests().is_empty());
    hub.mend();
    call::<()>(&app, "set_setting", json!({"key": "offline", "value": false})).await;
    model(&app, job).await;
    app.shut_down().await;
}

const TOKEN: &str = "hf_only_for_the_hub";
/// Set in the processes that tests start of themselves.
const CHILD: &str = "TEST_CHILD";

fn gated(home: &Home) -> Loopback {
    let hub = Loopback::start();
    hub.add(RepositorySpec::new("team/gated").file("tiny.gguf", small(home)).gated());
    hub.accept_token(TOKEN, true);
    hub
}

/// Not a test by itself: the process that the test below starts: the person's keyring is none of a test's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_keyring() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let home = Home::new();
    let hub = gated(&home);
    let app = start(&home, &hub).await;
    let place: String = call(&app, "set_token", json!({"url": hub.url(), "token": TOKEN})).await;
    assert_eq!(place, "file");
    let network: Value = call(&app, "network", json!({})).await;
    assert_eq!(network["endpoints"][0]["token"], "file");
    assert!(!network.to_string().contains(TOKEN));
    app.shut_down().await;
    drop(app);

    let app = home.start().await;
    let job = download(&app, "team/gated", "tiny.gguf").await;
    model(&app, job).await;
    let hosts: Vec<String> = hub.hosts_that_saw(TOKEN).into_iter().collect();
    assert_eq!(hosts, [hub.url().trim_start_matches("http://")], "not the host that the files come from");
    let place: String = call(&app, "set_token", json!({"url": hub.url(), "token": null})).await;
    assert_eq!(place, "none");
    app.shut_down().await;
    for file in files_in(&home.path()).iter().filter(|name| name.ends_with(".log") || name.ends_with(".json")) {
        let told = fs::read(home.path().join(file)).or_else(|_| fs::read(home.path().join("logs").join(file)));
        assert!(!String::from_utf8_lossy(&told.unwrap()).contains(TOKEN), "{file}");
    }
}

#[test]
fn a_token_opens_a_gated_repository_and_is_sent_to_its_own_host_only() {
    child("downloads::without_a_keyring", &[("HUACAYA_NO_KEYRING", "1")]);
}

/// Not a test by itself: the process that the test below starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_another_environment() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let home = Home::new();
    let app = home.start().await;
    let network: Value = call(&app, "network", json!({})).await;
    let endpoints = network["endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), 1, "whoever names an endpoint wants no other host asked");
    assert_eq!(
        (endpoints[0]["from_environment"].clone(), endpoints[0]["token"].clone()),
        (json!(true), json!("environment"))
    );
    let job = download(&app, "team/gated", "tiny.gguf").await;
    model(&app, job).await;
    app.shut_down().await;
}

#[test]
fn the_endpoint_and_the_token_of_the_environment_are_used() {
    let hub = gated(&Home::new());
    child("downloads::in_another_environment", &[("HF_ENDPOINT", &hub.url()), ("HF_TOKEN", TOKEN)]);
    let hosts: Vec<String> = hub.hosts_that_saw(TOKEN).into_iter().collect();
    assert_eq!(hosts, [hub.url().trim_start_matches("http://")]);
}

/// Runs one of this file's tests in a process of its own.
fn child(test: &str, environment: &[(&str, &str)]) {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test]).env(CHILD, "").envs(environment.iter().copied());
    let ended = command.output().unwrap();
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && told.contains("1 passed"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_endpoint_takes_over_where_the_first_is_gone() {
    let home = Home::new();
    let bytes = large(&home);
    let (first, second) =
        (hub("team/large", "large.gguf", bytes.clone()), hub("team/large", "large.gguf", bytes.clone()));
    first.fault("large.gguf", SLOW);
    let app = home.start().await;
    let endpoint = |hub: &Loopback, name: &str| json!({"name": name, "url": hub.url(), "dialect": "hugging_face"});
    let endpoints = json!([endpoint(&first, "first"), endpoint(&second, "second")]);
    call::<()>(&app, "set_endpoints", json!({"endpoints": endpoints})).await;
    let job = download(&app, "team/large", "large.gguf").await;
    job_is(&app, job, |job| job.done > 1_000_000).await;
    first.unplug();
    let model = model(&app, job).await;
    assert!(fs::read(&model.path).unwrap() == bytes);
    assert!(second.bytes_sent("large.gguf") > 0);
    app.shut_down().await;
}

/// Not a test by itself: the process that the test below starts: where the cache is comes from the environment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_cache() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let home = Home::new();
    let bytes = small(&home);
    let hub = hub("team/tiny", "tiny.gguf", bytes.clone());
    let commit = hub.repository("team/tiny").unwrap().commit();
    let cache = std::path::PathBuf::from(std::env::var_os("HF_HUB_CACHE").unwrap());
    let snapshot = cache.join("models--team--tiny").join("snapshots").join(commit);
    fs::create_dir_all(&snapshot).unwrap();
    let cached = snapshot.join("tiny.gguf");
    fs::write(&cached, &bytes).unwrap();
    let app = start(&home, &hub).await;
    let page: Value = call(&app, "read_repository", json!({"address": "team/tiny"})).await;
    assert_eq!(page["choices"][0]["in_cache"], true, "{page}");
    hub.forget_requests();
    let job = download(&app, "team/tiny", "tiny.gguf").await;
    let model = model(&app, job).await;
    assert_eq!(hub.bytes_sent("tiny.gguf"), 0);
    let used = fs::canonicalize(&model.path).unwrap();
    assert_eq!((used, model.in_storage), (fs::canonicalize(&cached).unwrap(), false));
    assert_eq!(model.hash, HashState::Verified);
    app.shut_down().await;
}

#[test]
fn what_the_hugging_face_cache_holds_is_used_in_its_place() {
    let cache = tempfile::tempdir().unwrap();
    child("downloads::with_a_cache", &[("HF_HUB_CACHE", cache.path().join("hub").to_str().unwrap())]);
}

/// Not a test by itself: the process that the test below starts, which kills it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn until_it_is_killed() {
    let Some(home) = std::env::var_os("TEST_HOME").map(std::path::PathBuf::from) else { return };
    let app = huacaya_app::App::start(huacaya_app::Places::at(&home).unwrap()).await.unwrap();
    let endpoints = json!([{"name": "loopback", "url": std::env::var("TEST_HUB").unwrap(), "dialect": "hugging_face"}]);
    call::<()>(&app, "set_endpoints", json!({"endpoints": endpoints})).await;
    download(&app, "team/large", "large.gguf").await;
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_goes_on_by_itself_after_its_process_was_killed() {
    let home = Home::new();
    let bytes = large(&home);
    let hub = hub("team/large", "large.gguf", bytes.clone());
    hub.fault("large.gguf", SLOW);
    let mut killed = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "downloads::until_it_is_killed"])
        .env("TEST_HOME", home.path())
        .env("TEST_HUB", hub.url())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let half = async {
        while hub.bytes_sent("large.gguf") < bytes.len() as u64 / 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(crate::home::PATIENCE, half).await.unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    hub.mend();
    let app = home.start().await;
    let mut mirror = Mirror::new(&app).await;
    mirror.until(|mirror| mirror.jobs.values().any(|job| job.state == JobState::Done && job.outcome.is_some())).await;
    mirror.until(|mirror| mirror.models.values().any(|model| !model.bundled)).await;
    let row = mirror.models.values().find(|model| !model.bundled).unwrap();
    assert!(fs::read(&row.path).unwrap() == bytes);
    assert_eq!(files_in(&home.path().join("models")), ["large.gguf"]);
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_comes_from_modelscope_as_well() {
    let home = Home::new();
    let hub = hub("team/tiny", "tiny.gguf", small(&home));
    let app = home.start().await;
    let endpoints = json!([{"name": "魔搭", "url": hub.modelscope_url(), "dialect": "model_scope"}]);
    call::<()>(&app, "set_endpoints", json!({"endpoints": endpoints})).await;
    let job = download(&app, "team/tiny", "tiny.gguf").await;
    let model = model(&app, job).await;
    assert_eq!(model.hash, HashState::Verified);
    assert!(hub.requests().iter().all(|request| request.face != huacaya_loopback::Face::Hub));
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_disk_has_no_room_for_is_not_begun() {
    let home = Home::new();
    let hub = Loopback::start();
    let mut huge = FileSpec::new("huge.gguf", small(&home));
    huge.claimed_bytes = Some(1 << 50);
    let mut repository = RepositorySpec::new("team/huge");
    repository.files.push(huge);
    hub.add(repository);
    let app = start(&home, &hub).await;
    let job = download(&app, "team/huge", "huge.gguf").await;
    let (code, values) = failure(&app, job).await;
    assert_eq!(code, "space_short");
    let number = |name: &str| values[name].as_str().unwrap().parse::<u64>().unwrap();
    assert!(number("needed") > number("free") && number("needed") >= 1 << 50);
    assert!(files_in(&home.path().join("models")).is_empty());
    app.shut_down().await;
}
