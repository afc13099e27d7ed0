//! The library: every kind of model taken in, looked into, verified, recognised; what is cut off or missing said plainly.

use std::{fs, path::Path};

use huacaya_app::{
    Purpose,
    rows::{Chat, HashState, JobId, JobState, Model, ModelId, ModelKind, ModelState, Persona, Source},
};
use serde_json::{Value, json};

use crate::{
    home::{Home, Mirror, call, ended, import, refused},
    tiny,
};

/// Folders as Hugging Face lays them out, made by transformers and PEFT for other tests.
pub const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../weights/tests/golden/merge/plain");

pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Waits until a row is as wanted.
pub async fn row(app: &huacaya_app::App, model: ModelId, wanted: impl Fn(&Model) -> bool) -> Model {
    let mut mirror = Mirror::new(app).await;
    mirror.until(|mirror| mirror.models.get(&model.0).is_some_and(&wanted)).await;
    mirror.models.remove(&model.0).unwrap()
}

pub fn hashed(row: &Model) -> bool {
    row.hash != HashState::Unknown
}

fn sha256sum(path: &Path) -> String {
    let output = std::process::Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim_start_matches('\\')[..64].to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_file_of_a_split_model_stands_for_all_of_them_and_a_missing_one_is_named() {
    let home = Home::new();
    let app = home.start().await;
    let [first, second] = tiny::write_split(&home.outside(), "分开 model");
    let model = import(&app, &second, true).await;
    let row = row(&app, model, hashed).await;
    assert!(row.path.ends_with("分开 model-00001-of-00002.gguf"), "{}", row.path);
    let sizes = fs::metadata(&first).unwrap().len() + fs::metadata(&second).unwrap().len();
    assert_eq!((row.file_bytes, row.in_storage, row.kind), (sizes, true, ModelKind::Chat));
    let copy = home.path().join("models/分开 model-00002-of-00002.gguf");
    assert_eq!(fs::read(&copy).unwrap(), fs::read(&second).unwrap());
    let job = call(&app, "load_model", json!({"model": model, "anyway": false})).await;
    assert_eq!(ended(&app, job).await.state, JobState::Done);

    fs::remove_file(&second).unwrap();
    let chosen = app.offer(&first, Purpose::Read).unwrap();
    let job = call(&app, "import_model", json!({"chosen": chosen.id, "copy": false})).await;
    let error = ended(&app, job).await.error.unwrap();
    assert_eq!(
        (error.code.as_str(), error.values["path"].as_str()),
        ("model_missing", "分开 model-00002-of-00002.gguf")
    );
    // A part that vanished later is seen, too.
    fs::rename(&copy, home.outside().join("away")).unwrap();
    let _: Value = call(&app, "scan_models", json!({})).await;
    assert_eq!(self::row(&app, model, |row| row.state != ModelState::Ready).await.state, ModelState::Missing);
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_taken_in_its_place_or_copied_without_what_is_not_the_models() {
    let home = Home::new();
    let app = home.start().await;
    let folder = home.outside().join("羊驼 folder");
    copy_folder(&Path::new(GOLDEN).join("base"), &folder);
    fs::write(folder.join("training_args.bin"), b"not a model").unwrap();
    fs::write(folder.join("notes.pdf"), b"%PDF").unwrap();
    // By one of its files, or itself.
    let model = import(&app, &folder.join("model.safetensors"), false).await;
    let row = row(&app, model, hashed).await;
    assert_eq!((row.path.as_str(), row.in_storage, &row.source), (folder.to_str().unwrap(), false, &Source::File));
    let copied = import(&app, &folder, true).await;
    assert_ne!(copied, model);
    let place = home.path().join("models/羊驼 folder");
    assert!(place.join("model.safetensors").is_file() && place.join("config.json").is_file());
    assert!(!place.join("training_args.bin").exists() && !place.join("notes.pdf").exists());

    let inside: Value = call(&app, "read_metadata", json!({"model": model})).await;
    assert_eq!(inside["format"], "safetensors");
    let keys = inside["metadata"].as_array().unwrap();
    let hidden = keys.iter().find(|row| row["key"] == "hidden_size").unwrap();
    let config: Value = serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
    assert_eq!(
        (hidden["kind"].as_str(), hidden["value"].as_str()),
        (Some("NUMBER"), Some(&*config["hidden_size"].to_string()))
    );
    let tensors = inside["tensors"].as_array().unwrap();
    let embedding = tensors.iter().find(|tensor| tensor["name"] == "model.embed_tokens.weight").unwrap();
    assert_eq!(embedding["shape"], json!([config["vocab_size"], config["hidden_size"]]));
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_pytorch_saved_is_taken_in_with_all_its_shards() {
    let home = Home::new();
    let app = home.start().await;
    let folder = home.outside().join("pytorch 模型");
    copy_folder(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/tests/golden/pytorch")), &folder);
    let tokenizer = Path::new(GOLDEN).join("base/tokenizer.model");
    fs::copy(tokenizer, folder.join("tokenizer.model")).unwrap();
    fs::write(folder.join("optimizer.bin"), b"state of a training run").unwrap();
    let model = import(&app, &folder.join("pytorch_model-00002-of-00002.bin"), true).await;
    let row = row(&app, model, hashed).await;
    let place = home.path().join("models/pytorch 模型");
    assert_eq!((row.path.as_str(), row.in_storage), (place.to_str().unwrap(), true));
    assert!(place.join("pytorch_model-00001-of-00002.bin").exists() && !place.join("optimizer.bin").exists());
    let inside: Value = call(&app, "read_metadata", json!({"model": model})).await;
    assert_eq!((inside["format"].as_str(), inside["version"].as_u64()), (Some("PyTorch"), Some(0)));
    assert!(inside["tensors"].as_array().unwrap().len() > 10);
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adapter_is_listed_with_its_base_and_cannot_be_loaded() {
    let home = Home::new();
    let app = home.start().await;
    let folder = home.outside().join("lora 适配器");
    copy_folder(&Path::new(GOLDEN).join("adapter"), &folder);
    let model = import(&app, &folder, true).await;
    let row = row(&app, model, |_| true).await;
    let config: Value = serde_json::from_slice(&fs::read(folder.join("adapter_config.json")).unwrap()).unwrap();
    let adapter = row.adapter.unwrap();
    assert_eq!((row.kind, row.name.as_str(), row.architecture.as_str()), (ModelKind::Adapter, "lora 适配器", "lora"));
    assert_eq!(Some(adapter.base.as_str()), config["base_model_name_or_path"].as_str().or(Some("")));
    assert_eq!(Some(u64::from(adapter.rank)), config["r"].as_u64());
    assert_eq!(refused(&app, "load_model", json!({"model": model, "anyway": false})).await, "adapter_alone");
    assert_eq!(refused(&app, "estimate", json!({"model": model})).await, "adapter_alone");
    let inside: Value = call(&app, "read_metadata", json!({"model": model})).await;
    assert!(inside["metadata"].as_array().unwrap().iter().any(|row| row["key"] == "lora_alpha"), "{inside}");
    assert!(inside["tensors"][0]["name"].as_str().unwrap().contains("lora"), "{inside}");

    // One without weights is none, and its base may be named in a way that is no line of text.
    fs::remove_file(
        fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()).find(|path| is_weights(path)).unwrap(),
    )
    .unwrap();
    let chosen = app.offer(&folder, Purpose::Read).unwrap();
    let job = call(&app, "import_model", json!({"chosen": chosen.id, "copy": false})).await;
    assert_eq!(ended(&app, job).await.error.unwrap().code, "model_missing");
    app.shut_down().await;
}

fn is_weights(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "safetensors" || ending == "bin")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_ends_too_early_says_how_much_is_missing_whatever_is_done_with_it() {
    let home = Home::new();
    let app = home.start().await;
    let whole = home.outside().join("whole.gguf");
    tiny::write(&whole);
    let bytes = fs::read(&whole).unwrap();
    let cut = home.outside().join("从网盘下载(1)");
    fs::write(&cut, &bytes[..bytes.len() - 1000]).unwrap();
    let chosen = app.offer(&cut, Purpose::Read).unwrap();
    let job = call(&app, "import_model", json!({"chosen": chosen.id, "copy": true})).await;
    let error = ended(&app, job).await.error.unwrap();
    assert_eq!((error.code.as_str(), error.values["model"].as_str()), ("model_incomplete", "从网盘下载(1)"));
    let of = |name: &str| error.values[name].parse::<usize>().unwrap();
    assert_eq!((of("bytes"), of("needed")), (bytes.len() - 1000, bytes.len()));

    let job = call(&app, "recognise", json!({"chosen": chosen.id})).await;
    let found = ended(&app, job).await.outcome.unwrap();
    assert_eq!((found["state"].as_str(), found["expected"].as_u64()), (Some("truncated"), Some(bytes.len() as u64)));
    // Safetensors say it as well.
    let folder = home.outside().join("cut folder");
    copy_folder(&Path::new(GOLDEN).join("base"), &folder);
    let weights = folder.join("model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() - 10]).unwrap();
    let chosen = app.offer(&folder, Purpose::Read).unwrap();
    let job = call(&app, "import_model", json!({"chosen": chosen.id, "copy": false})).await;
    let error = ended(&app, job).await.error.unwrap();
    assert_eq!((error.code.as_str(), error.values["needed"].as_str()), ("model_incomplete", &*bytes.len().to_string()));
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_under_any_name_is_recognised_by_its_bytes() {
    let home = Home::new();
    let app = home.start().await;
    // The built-in model, as somebody sent it.
    let demo = home.path().join("models/huacaya-demo.gguf");
    let sent = home.outside().join("未命名文件.bin");
    fs::copy(&demo, &sent).unwrap();
    let recognise = async |path: &Path| {
        let chosen = app.offer(path, Purpose::Read).unwrap();
        let job = call(&app, "recognise", json!({"chosen": chosen.id})).await;
        ended(&app, job).await.outcome.unwrap()
    };
    let found = recognise(&sent).await;
    let listed = Mirror::new(&app).await.models.into_values().find(|row| row.bundled).unwrap();
    assert_eq!((found["kind"].as_str(), found["state"].as_str()), (Some("recognised"), Some("complete")));
    assert_eq!(found["name"], Value::from(listed.name));
    let mut bytes = fs::read(&sent).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&sent, bytes).unwrap();
    assert_eq!(recognise(&sent).await["state"], "unknown");
    let page = home.outside().join("page.gguf");
    fs::write(&page, b"<html>").unwrap();
    let found = recognise(&page).await;
    assert_eq!((found["state"].as_str(), found["name"].as_str()), (Some("unknown"), Some("page.gguf")));
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_byte_is_found_and_the_right_hash_is_kept() {
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    let file = home.outside().join("tiny.gguf");
    let before = row(&app, model, hashed).await;
    assert_eq!((before.hash, before.sha256.clone()), (HashState::Computed, Some(sha256sum(&file))));
    let job = call(&app, "verify_model", json!({"model": model})).await;
    assert_eq!(ended(&app, job).await.outcome.unwrap()["sha256"], Value::from(before.sha256.clone()));

    // The disk's fault: neither size nor time tell of it.
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    let sound = fs::read(&file).unwrap();
    let mut bytes = sound.clone();
    let last = bytes.len() - 1;
    bytes[last] ^= 0x10;
    let write = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
    };
    write(&bytes);
    let job: JobId = call(&app, "verify_model", json!({"model": model})).await;
    let error = ended(&app, job).await.error.unwrap();
    assert_eq!((error.code.as_str(), error.values["name"].as_str()), ("hash_wrong", before.name.as_str()));
    let after = row(&app, model, |row| row.hash == HashState::Wrong).await;
    assert_eq!(after.sha256, before.sha256);
    assert!(after.checked_ms >= before.checked_ms);
    write(&sound);
    let job = call(&app, "verify_model", json!({"model": model})).await;
    assert_eq!(ended(&app, job).await.state, JobState::Done);
    row(&app, model, |row| row.hash == HashState::Computed).await;
    // The built-in one is known.
    let demo = Mirror::new(&app).await.models.into_values().find(|row| row.bundled).unwrap();
    assert_eq!((demo.hash, demo.source), (HashState::Verified, Source::BuiltIn));
    let job = call(&app, "verify_model", json!({"model": demo.id})).await;
    assert_eq!(ended(&app, job).await.state, JobState::Done);
    row(&app, demo.id, |row| row.hash == HashState::Verified && row.checked_ms > demo.checked_ms).await;
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_located_file_is_known_again_by_its_hash_and_another_one_is_not_taken_for_it() {
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    let file = home.outside().join("tiny.gguf");
    let before = row(&app, model, hashed).await;
    let elsewhere = home.outside().join("搬走了.gguf");
    fs::rename(&file, &elsewhere).unwrap();
    let chosen = app.offer(&elsewhere, Purpose::Read).unwrap();
    call::<()>(&app, "locate_model", json!({"model": model, "chosen": chosen.id})).await;
    let after = row(&app, model, hashed).await;
    assert_eq!((after.hash, after.sha256, after.state), (before.hash, before.sha256.clone(), ModelState::Ready));
    let mut bytes = fs::read(&elsewhere).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let other = home.outside().join("other.gguf");
    fs::write(&other, bytes).unwrap();
    let chosen = app.offer(&other, Purpose::Read).unwrap();
    call::<()>(&app, "locate_model", json!({"model": model, "chosen": chosen.id})).await;
    let after = row(&app, model, hashed).await;
    assert_eq!((after.hash, after.sha256), (HashState::Wrong, before.sha256));
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_and_tensor_of_a_gguf_can_be_read_and_long_values_are_shortened() {
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    let inside: Value = call(&app, "read_metadata", json!({"model": model})).await;
    assert_eq!((inside["format"].as_str(), inside["version"].as_u64()), (Some("GGUF"), Some(3)));
    let key = |name: &str| {
        let row = inside["metadata"].as_array().unwrap().iter().find(|row| row["key"] == name).unwrap();
        (row["kind"].as_str().unwrap().to_string(), row["value"].as_str().unwrap().to_string(), row["length"].as_u64())
    };
    assert_eq!(key("llama.context_length"), ("UINT32".into(), tiny::CONTEXT.to_string(), Some(1)));
    assert_eq!(key("general.name"), ("STRING".into(), "Tiny Chinese-Alpaca-2".into(), Some(21)));
    assert_eq!(key("tokenizer.ggml.add_bos_token").1, "true");
    let (kind, value, length) = key("tokenizer.ggml.tokens");
    assert_eq!(kind, "ARRAY of STRING");
    assert!(length > Some(400) && value.chars().count() <= 2_001 && value.ends_with('…'), "{value}");
    let tensors = inside["tensors"].as_array().unwrap();
    // Two layers of nine, and three around them.
    assert_eq!(tensors.len(), 21);
    let down = tensors.iter().find(|tensor| tensor["name"] == "blk.1.ffn_down.weight").unwrap();
    assert_eq!(*down, json!({"name": "blk.1.ffn_down.weight", "shape": [32, 64], "kind": "F32", "bytes": 32 * 64 * 4}));
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_models_persona_is_that_of_new_chats_with_it() {
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    let persona: Persona = call(
        &app,
        "save_persona",
        json!({"name": "诗人", "system": "作诗", "parameters": {}, "greeting": "", "examples": []}),
    )
    .await;
    call::<()>(&app, "set_model", json!({"model": model, "parameters": {}, "persona": persona.id})).await;
    let chat: Chat = call(&app, "new_chat", json!({"kind": "chat", "model": model})).await;
    assert_eq!(chat.persona, Some(persona.id));
    let chat: Chat = call(&app, "new_chat", json!({"kind": "chat"})).await;
    assert_eq!(chat.persona, Some(persona.id), "the tiny model is the default one");
    let chat: Chat = call(&app, "new_chat", json!({"kind": "page", "model": model})).await;
    assert_eq!(chat.persona, None);
    call::<()>(&app, "delete_persona", json!({"persona": persona.id})).await;
    row(&app, model, |row| row.persona.is_none()).await;
    let chat: Chat = call(&app, "new_chat", json!({"kind": "chat"})).await;
    assert_eq!(chat.persona, None);
    assert_eq!(refused(&app, "set_model", json!({"model": model, "parameters": {}, "persona": 99})).await, "gone");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_a_chat_that_was_taken_in_from_a_file_is_made_again_by_the_same_model() {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    row(&app, model, hashed).await;
    call::<()>(&app, "set_setting", json!({"key": "parameters", "value": {"tokens_max": 8}})).await;
    let sent: Value = call(&app, "send_message", json!({"text": "说", "attachments": [], "begin": ""})).await;
    let mut mirror = Mirror::new(&app).await;
    call::<()>(&app, "open_chat", json!({"chat": sent["chat"]})).await;
    let answer = mirror.answer(serde_json::from_value(sent["answer"].clone()).unwrap()).await;
    let text: String = call(&app, "export_text", json!({"chat": sent["chat"], "format": "json"})).await;
    call::<()>(&app, "set_setting", json!({"key": "model", "value": null})).await;
    let _: Value = call(&app, "import_chats", json!({"name": "x.json", "base64": BASE64_STANDARD.encode(text)})).await;
    let chats = Mirror::new(&app).await.chats;
    let taken = chats.values().find(|chat| sent["chat"] != chat.id.0).unwrap();
    call::<()>(&app, "open_chat", json!({"chat": taken.id})).await;
    mirror.until(|mirror| mirror.messages.values().any(|row| row.chat == taken.id && row.made.is_some())).await;
    let there = mirror.messages.values().find(|row| row.chat == taken.id && row.made.is_some()).unwrap().id;
    let again = call(&app, "run_again", json!({"message": there})).await;
    let again = mirror.answer(again).await;
    assert_eq!(again.body.unwrap().text, answer.body.unwrap().text);
    assert_eq!(again.made.unwrap().model, model);
    app.shut_down().await;
}
