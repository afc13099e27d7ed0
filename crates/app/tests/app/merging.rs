//! A LoRA adapter and its base from the hub, merged into a model.

use std::{fs, path::Path};

use huacaya_app::rows::{Job, JobId, JobState, Model, ModelId, ModelKind, Source};
use huacaya_loopback::{Loopback, RepositorySpec};
use huacaya_weights::Checkpoint;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    home::{Home, Mirror, call, ended, refused},
    remote::{download, files_in, model, start},
};

/// A base in PyTorch's files, and an adapter that brings more words; what PEFT makes of the two stands beside them.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../weights/tests/golden/merge/vocabulary");

fn serve(hub: &Loopback, repository: &str, folder: &str) {
    let mut files = RepositorySpec::new(repository);
    for entry in fs::read_dir(Path::new(GOLDEN).join(folder)).unwrap() {
        let path = entry.unwrap().path();
        files = files.file(path.file_name().unwrap().to_str().unwrap(), fs::read(&path).unwrap());
    }
    hub.add(files);
}

/// Every tensor is PEFT's, byte for byte.
fn is_as_peft_merges(folder: &Path) {
    let expected: Value = serde_json::from_slice(&fs::read(Path::new(GOLDEN).join("merged.json")).unwrap()).unwrap();
    let checkpoint = Checkpoint::open(folder).unwrap();
    for (name, wanted) in expected.as_object().unwrap() {
        let view = checkpoint.tensor(name).unwrap();
        let digest: String = Sha256::digest(&view.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((json!(view.shape()), json!(digest)), (wanted["shape"].clone(), wanted["sha256"].clone()), "{name}");
    }
}

async fn merged(app: &huacaya_app::App, job: JobId) -> (Job, Model) {
    let job = ended(app, job).await;
    assert_eq!(job.state, JobState::Done, "{:?}", job.error);
    let outcome = job.outcome.clone().unwrap();
    assert_eq!(outcome["kind"], "merged");
    let id: ModelId = serde_json::from_value(outcome["model"].clone()).unwrap();
    let row = Mirror::new(app).await.models.remove(&id.0).unwrap();
    (job, row)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_base_and_an_adapter_of_the_hub_become_a_model() {
    let home = Home::new();
    let hub = Loopback::start();
    serve(&hub, "team/base", "base");
    serve(&hub, "team/lora", "adapter");
    let app = start(&home, &hub).await;
    let base = download(&app, "team/base", "config.json").await;
    let base = model(&app, base).await;
    let adapter = download(&app, "team/lora", "adapter_config.json").await;
    let adapter = model(&app, adapter).await;
    assert_eq!((base.name.as_str(), adapter.name.as_str()), ("base", "lora"), "as their repositories are");
    assert_eq!((adapter.kind, base.in_storage, adapter.in_storage), (ModelKind::Adapter, true, true));
    let arguments = json!({"base": adapter.id, "adapter": base.id, "strength": 1.0, "name": "x"});
    assert_eq!(refused(&app, "merge", arguments).await, "merge_refused");

    let arguments = json!({"base": base.id, "adapter": adapter.id, "strength": 1.0, "name": "合并 A/B"});
    let job: JobId = call(&app, "merge", arguments).await;
    let (_, row) = merged(&app, job).await;
    assert_eq!(row.name, "合并 A/B");
    assert!(matches!(&row.source, Source::Made { from } if from.contains(" + ")), "{:?}", row.source);
    is_as_peft_merges(Path::new(&row.path));
    let load: JobId = call(&app, "load_model", json!({"model": row.id, "anyway": true})).await;
    assert_eq!(ended(&app, load).await.state, JobState::Done);
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lora_of_the_catalogue_is_fetched_with_its_base_and_merged_in_one_job() {
    let home = Home::new();
    let hub = Loopback::start();
    serve(&hub, "meta-llama/Llama-2-7b-hf", "base");
    serve(&hub, "hfl/chinese-alpaca-2-lora-7b-16k", "adapter");
    let app = start(&home, &hub).await;
    let entry = json!({"entry": "chinese-alpaca-2-lora-7b-16k"});
    let job: JobId = call(&app, "download_merged", entry.clone()).await;
    assert_eq!(call::<JobId>(&app, "download_merged", entry).await, job, "two starts are one");
    let (job, row) = merged(&app, job).await;
    assert_eq!(job.done, job.total);
    is_as_peft_merges(Path::new(&row.path));
    let config: Value = serde_json::from_slice(&fs::read(Path::new(&row.path).join("config.json")).unwrap()).unwrap();
    // The adapter's folder does not say so; its authors published it.
    assert_eq!(
        (config["max_position_embeddings"].clone(), config["rope_scaling"]["factor"].clone()),
        (json!(16384), json!(4.0))
    );
    let kinds: Vec<bool> =
        Mirror::new(&app).await.models.values().map(|model| model.kind == ModelKind::Adapter).collect();
    assert_eq!(
        (kinds.len(), kinds.iter().filter(|adapter| **adapter).count()),
        (4, 1),
        "base, adapter, merged, bundled"
    );
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_go_together_is_refused_and_leaves_nothing() {
    let home = Home::new();
    let hub = Loopback::start();
    serve(&hub, "team/base", "base");
    serve(&hub, "team/lora", "../turned/adapter");
    let app = start(&home, &hub).await;
    let base = download(&app, "team/base", "config.json").await;
    let base = model(&app, base).await;
    let adapter = download(&app, "team/lora", "adapter_config.json").await;
    let adapter = model(&app, adapter).await;
    let before = files_in(&home.path().join("models"));
    let arguments = json!({"base": base.id, "adapter": adapter.id, "strength": 0.0, "name": "no"});
    let job: JobId = call(&app, "merge", arguments).await;
    let job = ended(&app, job).await;
    assert_eq!(job.error.map(|error| error.code).as_deref(), Some("merge_refused"));
    assert_eq!(files_in(&home.path().join("models")), before);
    app.shut_down().await;
}
