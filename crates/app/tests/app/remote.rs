//! A hub on loopback with models on it, and what a face asks of it.

use std::{fs, path::Path};

use huacaya_app::{
    App,
    rows::{Job, JobId, JobState, Model, ModelId},
};
use huacaya_loopback::{Loopback, RepositorySpec};
use huacaya_weights::Format;
use serde_json::{Value, json};

use crate::{
    home::{Home, Mirror, call, ended},
    tiny,
};

/// Some megabytes, so that a transfer can be caught half-way.
const LARGE: tiny::Shape = tiny::Shape { hidden: 256, ffn: 768, layers: 4, format: Format::F32 };

/// A model file of some megabytes that is no other test's: its name is in it.
pub fn large(home: &Home) -> Vec<u8> {
    let path = home.outside().join("large.gguf");
    tiny::write_shape(&path, &LARGE);
    fs::read(path).unwrap()
}

pub fn small(home: &Home) -> Vec<u8> {
    let path = home.outside().join("small.gguf");
    tiny::write(&path);
    fs::read(path).unwrap()
}

/// A hub with one repository of one file.
pub fn hub(repository: &str, file: &str, bytes: Vec<u8>) -> Loopback {
    let hub = Loopback::start();
    hub.add(RepositorySpec::new(repository).file(file, bytes).card("---\nlicense: apache-2.0\n---\n# 一个模型"));
    hub
}

/// The program, with this hub as its only endpoint.
pub async fn start(home: &Home, hub: &Loopback) -> App {
    let app = home.start().await;
    let endpoints = json!([{"name": "loopback", "url": hub.url(), "dialect": "hugging_face"}]);
    call::<()>(&app, "set_endpoints", json!({"endpoints": endpoints})).await;
    app
}

pub async fn download(app: &App, address: &str, choice: &str) -> JobId {
    call(app, "download", json!({"address": address, "choice": choice})).await
}

/// The model that a download became.
pub async fn model(app: &App, job: JobId) -> Model {
    let job = ended(app, job).await;
    assert_eq!(job.state, JobState::Done, "{:?}", job.error);
    let id: ModelId = serde_json::from_value(job.outcome.unwrap()["model"].clone()).unwrap();
    Mirror::new(app).await.models.remove(&id.0).unwrap()
}

/// Why a download failed.
pub async fn failure(app: &App, job: JobId) -> (String, Value) {
    let job = ended(app, job).await;
    assert_eq!(job.state, JobState::Failed, "{:?}", job.outcome);
    let error = job.error.unwrap();
    (error.code, json!(error.values))
}

/// Waits until a job's row is as wanted.
pub async fn job_is(app: &App, job: JobId, wanted: impl Fn(&Job) -> bool) -> Job {
    let mut mirror = Mirror::new(app).await;
    mirror.until(|mirror| mirror.jobs.get(&job.0).is_some_and(&wanted)).await;
    mirror.jobs.remove(&job.0).unwrap()
}

/// The files below a folder, by their names, the bundled model's left out.
pub fn files_in(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path)
            } else {
                names.push(path.file_name().unwrap().to_string_lossy().into_owned())
            }
        }
    }
    names.retain(|name| name != "huacaya-demo.gguf");
    names.sort();
    names
}
