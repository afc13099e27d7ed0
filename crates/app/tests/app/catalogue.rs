//! The catalogue as a face gets it, and what it knows of the models that are here.

use huacaya_loopback::RepositorySpec;
use serde_json::{Value, json};

use crate::{
    home::{Home, call},
    remote::{download, hub, model, small, start},
};

/// A file of the catalogue whose hash it does not know.
const REPOSITORY: &str = "hfl/chinese-alpaca-2-1.3b-gguf";
const FILE: &str = "ggml-model-q4_0.gguf";

fn entry<'a>(catalogue: &'a Value, id: &str) -> &'a Value {
    catalogue["entries"].as_array().unwrap().iter().find(|entry| entry["id"] == id).unwrap()
}

fn file<'a>(entry: &'a Value, path: &str) -> &'a Value {
    entry["files"].as_array().unwrap().iter().find(|file| file["path"] == path).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_file_says_what_it_needs_and_one_is_recommended() {
    let home = Home::new();
    let app = home.start().await;
    let catalogue: Value = call(&app, "catalogue", json!({})).await;
    for entry in catalogue["entries"].as_array().unwrap() {
        for file in entry["files"].as_array().unwrap() {
            assert!(file["memory_bytes"].as_u64().unwrap() > 0, "{file}");
            assert!(["well", "tight", "too_large"].contains(&file["verdict"].as_str().unwrap()), "{file}");
            assert_eq!(file["here"], Value::Null);
        }
    }
    // A machine may be too small for any; where one is recommended it runs well.
    if let Some(recommended) = catalogue["recommended"].as_object() {
        let entry = entry(&catalogue, recommended["entry"].as_str().unwrap());
        let file = file(entry, recommended["file"].as_str().unwrap());
        assert_eq!((&file["verdict"], &file["memory_bytes"]), (&json!("well"), &recommended["memory_bytes"]));
        assert!(recommended["reason"]["zh"].as_str().unwrap().contains(entry["name"].as_str().unwrap()));
    }
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_was_downloaded_is_known_to_be_here() {
    let home = Home::new();
    let hub = hub("team/other", "other.gguf", small(&home));
    hub.add(RepositorySpec::new(REPOSITORY).file(FILE, small(&home)));
    let app = start(&home, &hub).await;
    let job = download(&app, REPOSITORY, FILE).await;
    let id = model(&app, job).await.id;
    let catalogue: Value = call(&app, "catalogue", json!({})).await;
    let alpaca = entry(&catalogue, "chinese-alpaca-2-1.3b");
    assert_eq!(file(alpaca, FILE)["here"], json!(id));
    assert_eq!(file(alpaca, "ggml-model-q8_0.gguf")["here"], Value::Null);
    app.shut_down().await;
}
