//! Models of other programs: found in folders laid out as those programs do, used in their place, and nothing outside.

use std::{
    fs,
    path::{Path, PathBuf},
};

use huacaya_app::{
    App,
    elsewhere::{Elsewhere, Program, Roots},
    rows::{JobId, JobState, ModelId, Source},
};
use serde_json::{Value, json};

use crate::{
    home::{Home, call, ended},
    library::{GOLDEN, copy_folder, hashed, row},
    tiny,
};

async fn found(app: &App, program: Program, folder: &Path) -> Vec<Elsewhere> {
    app.find_elsewhere_in(Roots(vec![(program, folder.to_path_buf())])).await.unwrap()
}

fn names(found: &[Elsewhere]) -> Vec<&str> {
    found.iter().map(|one| one.name.as_str()).collect()
}

async fn take(app: &App, one: &Elsewhere) -> ModelId {
    let job: JobId = call(app, "import_model", json!({"chosen": one.chosen, "copy": false})).await;
    let job = ended(app, job).await;
    assert_eq!(job.state, JobState::Done, "{:?}", job.error);
    serde_json::from_value(job.outcome.unwrap()["model"].clone()).unwrap()
}

fn write(path: &Path, text: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A blob of the tiny model, and its hash as sha256sum gives it.
fn blob(store: &Path) -> (PathBuf, String) {
    fs::create_dir_all(store.join("blobs")).unwrap();
    let file = store.join("blobs/new");
    tiny::write(&file);
    let output = std::process::Command::new("sha256sum").arg(&file).output().unwrap();
    let hash = String::from_utf8_lossy(&output.stdout).trim_start_matches('\\')[..64].to_string();
    let place = store.join("blobs").join(format!("sha256-{hash}"));
    fs::rename(&file, &place).unwrap();
    (place, hash)
}

fn manifest(digest: &str, size: u64) -> String {
    json!({"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "layers": [
        {"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": size},
        {"mediaType": "application/vnd.ollama.image.params", "digest": "sha256:00", "size": 3},
    ]})
    .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ollamas_blobs_are_found_through_their_manifests_and_used_in_their_place() {
    let home = Home::new();
    let app = home.start().await;
    let store = home.outside().join("ollama models");
    let (place, hash) = blob(&store);
    let bytes = fs::metadata(&place).unwrap().len();
    let text = manifest(&format!("sha256:{hash}"), bytes);
    write(&store.join("manifests/registry.ollama.ai/library/qwen3/0.6b-q4_K_M"), &text);
    let all = found(&app, Program::Ollama, &store).await;
    assert_eq!(names(&all), ["qwen3:0.6b-q4_K_M"]);
    assert_eq!((all[0].quantization.as_str(), all[0].bytes, all[0].here), ("Q4_K_M", bytes, None));
    let model = take(&app, &all[0]).await;
    let row = row(&app, model, hashed).await;
    assert_eq!((row.path.as_str(), row.in_storage), (place.canonicalize().unwrap().to_str().unwrap(), false));
    assert_eq!((row.source, row.sha256), (Source::Program { program: "ollama".into() }, Some(hash)));
    assert_eq!(found(&app, Program::Ollama, &store).await[0].here, Some(model));
    // A namespace of one's own, and the same blob under a second name: one model.
    write(&store.join("manifests/registry.ollama.ai/me/mine/latest"), &text);
    assert_eq!(found(&app, Program::Ollama, &store).await.len(), 1);
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_manifest_leads_nowhere() {
    let home = Home::new();
    let app = home.start().await;
    let store = home.outside().join("ollama");
    let (place, hash) = blob(&store);
    let bytes = fs::metadata(&place).unwrap().len();
    let secret = home.outside().join("secret.gguf");
    fs::copy(&place, &secret).unwrap();
    let tag = |name: &str| store.join("manifests/registry.ollama.ai/library/evil").join(name);
    for (name, text) in [
        ("up", manifest("sha256:../../secret.gguf", 0)),
        ("absolute", manifest(secret.to_str().unwrap(), 0)),
        ("prefixed", manifest(&format!("sha256:{}", secret.display()), 0)),
        ("upper", manifest(&format!("sha256:{}", hash.to_uppercase()), 0)),
        ("long", manifest(&format!("sha256:{hash}0"), 0)),
        ("other size", manifest(&format!("sha256:{hash}"), bytes + 1)),
        ("nul", manifest(&format!("sha256:{}\0", &hash[..63]), 0)),
        ("not there", manifest(&format!("sha256:{}", "0".repeat(64)), 0)),
        ("no json", "<html>".into()),
        ("deep", "[".repeat(200_000)),
        ("huge", format!("{{\"layers\":[], \"x\":\"{}\"}}", "a".repeat(3 << 20))),
        ("types", json!({"layers": [{"mediaType": 5, "digest": [], "size": "many"}]}).to_string()),
    ] {
        write(&tag(name), text);
    }
    #[cfg(unix)]
    {
        let linked = "1".repeat(64);
        std::os::unix::fs::symlink(&secret, store.join("blobs").join(format!("sha256-{linked}"))).unwrap();
        write(&tag("link"), manifest(&format!("sha256:{linked}"), 0));
        let outside = home.outside().join("manifest");
        write(&outside, manifest(&format!("sha256:{hash}"), bytes));
        std::os::unix::fs::symlink(&outside, tag("linked manifest")).unwrap();
    }
    assert_eq!(names(&found(&app, Program::Ollama, &store).await), Vec::<&str>::new());
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_folders_of_lm_studio_jan_and_modelscope_are_looked_through() {
    let home = Home::new();
    let app = home.start().await;
    let folder = home.outside().join("lm studio");
    let put = |path: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        tiny::write(&path);
    };
    put("publisher/Some-GGUF/some-Q8_0.gguf");
    put("publisher/Some-GGUF/mmproj-some.gguf");
    let all = found(&app, Program::LmStudio, &folder).await;
    assert_eq!(names(&all), ["publisher/Some-GGUF · some-Q8_0"]);
    assert_eq!(all[0].quantization, "Q8_0");
    let model = take(&app, &all[0]).await;
    assert_eq!(row(&app, model, |_| true).await.source, Source::Program { program: "lm_studio".into() });

    let folder = home.outside().join("jan");
    let put = |path: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        tiny::write(&path);
    };
    put("llamacpp/models/unsloth/Qwen3-Q4_K_M/model.gguf");
    put("llamacpp/models/named/model.gguf");
    write(
        &folder.join("llamacpp/models/named/model.yml"),
        "model_path: /etc/passwd\nname: \"小羊驼\"\nsize_bytes: 5\n",
    );
    put("models/huggingface.co/owner/old/old.Q4_0.gguf");
    let all = found(&app, Program::Jan, &folder).await;
    assert_eq!(names(&all), ["huggingface.co/owner/old · old.Q4_0", "unsloth/Qwen3-Q4_K_M", "小羊驼"]);
    assert_eq!(all.iter().map(|one| one.quantization.as_str()).collect::<Vec<_>>(), ["Q4_0", "Q4_K_M", ""]);

    let folder = home.outside().join("modelscope");
    copy_folder(&Path::new(GOLDEN).join("base"), &folder.join("hub/models/Qwen/Qwen3-0___6B"));
    copy_folder(&Path::new(GOLDEN).join("base"), &folder.join("hub/older/model"));
    let all = found(&app, Program::ModelScope, &folder).await;
    assert_eq!(names(&all), ["Qwen/Qwen3-0.6B", "older/model"]);
    take(&app, &all[0]).await;
    assert!(found(&app, Program::ModelScope, &folder).await[0].here.is_some());
    app.shut_down().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hugging_faces_cache_is_read_through_its_links_and_no_further() {
    use std::os::unix::fs::symlink;
    let home = Home::new();
    let app = home.start().await;
    let cache = home.outside().join("hub");
    let repository = cache.join("models--hfl--chinese-alpaca-2-1.3b-gguf");
    let snapshot = repository.join("snapshots/0123456789012345678901234567890123456789");
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(repository.join("blobs")).unwrap();
    tiny::write(&repository.join("blobs/abc"));
    symlink("../../blobs/abc", snapshot.join("ggml-model-q4_k.gguf")).unwrap();
    let secret = home.outside().join("secret.gguf");
    tiny::write(&secret);
    symlink(&secret, snapshot.join("stolen.gguf")).unwrap();
    symlink(home.outside(), snapshot.join("out")).unwrap();
    symlink(&snapshot, snapshot.join("round")).unwrap();
    let all = found(&app, Program::HuggingFace, &cache).await;
    assert_eq!(names(&all), ["hfl/chinese-alpaca-2-1.3b-gguf · ggml-model-q4_k"]);
    let model = take(&app, &all[0]).await;
    let row = row(&app, model, hashed).await;
    assert!(row.path.ends_with("ggml-model-q4_k.gguf"), "{}", row.path);
    assert_eq!(row.family, "Chinese-Alpaca-2");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn this_machine_can_be_asked_whatever_it_has() {
    let home = Home::new();
    let app = home.start().await;
    let _: Vec<Value> = call(&app, "find_elsewhere", json!({})).await;
    app.shut_down().await;
}
