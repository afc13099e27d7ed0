//! Models: imported, copied, refused, missing, changed, loaded, estimated.

use std::fs;

use huacaya_app::{
    Purpose,
    rows::{JobId, JobState, ModelKind, ModelState},
};
use serde_json::{Value, json};

use crate::{
    home::{Home, Mirror, call, ended, import, refused},
    tiny,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_file_gives_a_clear_problem_and_no_row() {
    let home = Home::new();
    let app = home.start().await;
    let good = home.outside().join("good.gguf");
    tiny::write(&good);
    let sound = fs::read(&good).unwrap();
    let mut huge = sound.clone();
    huge[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut other = sound.clone();
    let place = other.windows(5).position(|bytes| bytes == b"llama").unwrap();
    other[place..place + 5].copy_from_slice(b"mamba");
    for (name, bytes, code) in [
        ("空 empty.gguf", &[][..], "model_broken"),
        ("cut.gguf", &sound[..sound.len() / 2], "model_incomplete"),
        ("tensors 2^64.gguf", &huge, "model_broken"),
        ("page.gguf", b"<html>404 Not Found</html>", "model_broken"),
        ("other.gguf", &other, "model_unsupported"),
    ] {
        let file = home.outside().join(name);
        fs::write(&file, bytes).unwrap();
        let chosen = app.offer(&file, Purpose::Read).unwrap();
        for copy in [false, true] {
            let job: JobId = call(&app, "import_model", json!({"chosen": chosen.id, "copy": copy})).await;
            let job = ended(&app, job).await;
            let error = job.error.unwrap();
            assert_eq!((job.state, error.code.as_str()), (JobState::Failed, code), "{name}: {}", error.detail);
            assert_eq!(error.values["model"], name);
        }
        fs::copy(&file, home.path().join("models").join(name)).unwrap();
    }
    let scan: Value = call(&app, "scan_models", json!({})).await;
    assert_eq!((scan["added"].as_u64(), scan["problems"].as_array().map(Vec::len)), (Some(0), Some(5)), "{scan}");
    let mut mirror = Mirror::new(&app).await;
    mirror.until(|mirror| !mirror.models.is_empty()).await;
    assert!(mirror.models.values().all(|model| model.bundled));
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_is_copied_hashed_and_used_and_its_row_survives_removal() {
    let home = Home::new();
    let app = home.start().await;
    let file = home.outside().join("模型 tiny.gguf");
    tiny::write(&file);
    let model = import(&app, &file, true).await;
    let mut mirror = Mirror::new(&app).await;
    mirror.until(|mirror| mirror.models.get(&model.0).is_some_and(|row| row.sha256.is_some())).await;
    let row = mirror.models[&model.0].clone();
    assert!(home.path().join("models/模型 tiny.gguf").exists());
    assert_eq!((row.kind, row.quantization.as_str(), row.context_tokens), (ModelKind::Chat, "F32", tiny::CONTEXT));
    assert_eq!((row.template.as_str(), row.template_source.as_str()), ("alpaca-2", "built in"));
    // The expected hash is sha256sum's.
    let output = std::process::Command::new("sha256sum").arg(&file).output().unwrap();
    assert_eq!(row.sha256.unwrap(), String::from_utf8_lossy(&output.stdout).trim_start_matches('\\')[..64]);
    // A second copy of the name is refused, not written over.
    let chosen = app.offer(&file, Purpose::Read).unwrap();
    let job = call(&app, "import_model", json!({"chosen": chosen.id, "copy": true})).await;
    assert_eq!(ended(&app, job).await.error.unwrap().code, "file_exists");

    let job = call(&app, "load_model", json!({"model": model, "context": 512, "anyway": false})).await;
    assert_eq!(ended(&app, job).await.state, JobState::Done);
    mirror.until(|mirror| mirror.models[&model.0].loaded_by.is_some()).await;
    let demo = mirror.models.values().find(|row| row.bundled).unwrap().id;
    assert!(mirror.models[&demo.0].loaded_by.is_none(), "one model is in memory at a time");
    call::<()>(&app, "remove_model", json!({"model": model})).await;
    mirror.until(|mirror| !mirror.models.contains_key(&model.0)).await;
    call::<()>(&app, "restore_model", json!({"model": model})).await;
    mirror.until(|mirror| mirror.models.get(&model.0).is_some_and(|row| row.loaded_by.is_none())).await;
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_put_into_the_models_folder_is_in_the_list_after_a_start() {
    let home = Home::new();
    let app = home.start().await;
    app.shut_down().await;
    drop(app);
    tiny::write(&home.path().join("models/放进来的.gguf"));
    let app = home.start().await;
    let mut mirror = Mirror::new(&app).await;
    mirror.until(|mirror| mirror.models.values().any(|row| row.path.ends_with("放进来的.gguf"))).await;
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_succeeds_takes_the_failed_one_off_the_list() {
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    let job = call(&app, "load_model", json!({"model": model, "context": 1_000_000_000, "anyway": false})).await;
    assert_eq!(ended(&app, job).await.state, JobState::Failed);
    let mut mirror = Mirror::new(&app).await;
    assert!(mirror.jobs.contains_key(&job.0));
    let _: JobId = call(&app, "load_model", json!({"model": model, "anyway": false})).await;
    mirror.until(|mirror| !mirror.jobs.contains_key(&job.0)).await;
    app.shut_down().await;
}

/// Resident memory of this process, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_loads_and_unloads_leave_the_memory_as_it_was() {
    let home = Home::new();
    let app = home.start().await;
    let file = home.outside().join("broad.gguf");
    tiny::write_shape(&file, &tiny::Shape { hidden: 256, ffn: 256, layers: 8, format: huacaya_weights::Format::F32 });
    let model = import(&app, &file, false).await;
    let page: huacaya_app::rows::Chat = call(&app, "new_chat", json!({"kind": "page", "model": model})).await;
    let mut before = 0;
    for cycle in 0..50 {
        let next: Vec<Value> = call(&app, "next_tokens", json!({"chat": page.id, "text": "我", "count": 1})).await;
        assert_eq!(next.len(), 1);
        call::<()>(&app, "unload_model", json!({"model": model})).await;
        if cycle == 4 {
            before = resident();
        }
    }
    // One copy of the weights has 15 MB; 45 that stay would be 700. Other tests beside this one take some tens.
    let grown = resident().saturating_sub(before) >> 20;
    println!("{grown} MiB more after 45 loads");
    assert!(grown < 300, "{grown} MiB more after 45 loads");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_vanished_or_changed_is_seen_and_can_be_located() {
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    let file = home.outside().join("tiny.gguf");
    let elsewhere = home.outside().join("搬走了.gguf");
    fs::rename(&file, &elsewhere).unwrap();
    let mut mirror = Mirror::new(&app).await;
    let _: Value = call(&app, "scan_models", json!({})).await;
    mirror.until(|mirror| mirror.models.get(&model.0).is_some_and(|row| row.state == ModelState::Missing)).await;
    let code = refused(&app, "load_model", json!({"model": model, "anyway": false})).await;
    assert_eq!(code, "model_missing");
    let chosen = app.offer(&elsewhere, Purpose::Read).unwrap();
    call::<()>(&app, "locate_model", json!({"model": model, "chosen": chosen.id})).await;
    mirror.until(|mirror| mirror.models[&model.0].state == ModelState::Ready).await;
    assert!(mirror.models[&model.0].path.ends_with("搬走了.gguf"));
    // Written anew by another program: checked again before it is used.
    fs::write(&elsewhere, b"GGUF").unwrap();
    let code = refused(&app, "load_model", json!({"model": model, "anyway": false})).await;
    assert_eq!(code, "model_broken");
    assert_eq!(refused(&app, "locate_model", json!({"model": model, "chosen": 999})).await, "chosen_gone");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_model_will_need_is_compared_with_what_is_free() {
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    let fit: Value = call(&app, "estimate", json!({"model": model})).await;
    assert_eq!((fit["context"].as_u64(), fit["verdict"].as_str()), (Some(u64::from(tiny::CONTEXT)), Some("well")));
    let sum: u64 = ["weights", "kv", "scratch"].iter().map(|part| fit[part].as_u64().unwrap()).sum();
    assert_eq!(fit["total"].as_u64(), Some(sum));
    let code = refused(&app, "estimate", json!({"model": model, "context": 1_000_000_000})).await;
    assert_eq!(code, "parameter_invalid");
    // 16 KiB of keys and values a token: more than 200 gigabytes.
    let file = home.outside().join("broad.gguf");
    tiny::write_shape(&file, &tiny::Shape { hidden: 256, ffn: 64, layers: 8, format: huacaya_weights::Format::F32 });
    let model = import(&app, &file, false).await;
    let fit: Value = call(&app, "estimate", json!({"model": model, "context": 16_000_000})).await;
    assert_eq!(fit["verdict"], "too_large");
    let choices = fit["choices"].as_array().unwrap();
    assert!(choices.iter().all(|choice| choice["total"].as_u64() <= fit["free"].as_u64()));
    // Just above the longest context that fits as it is, one fits with fewer bits; and only there are they offered.
    let (fewer, usual): (Vec<&Value>, Vec<&Value>) = choices.iter().partition(|choice| choice["kv"].is_string());
    assert!(!fewer.is_empty() && !usual.is_empty(), "{fit}");
    for choice in fewer {
        let plain: Value = call(&app, "estimate", json!({"model": model, "context": choice["context"]})).await;
        assert!(plain["total"].as_u64() > fit["free"].as_u64(), "{plain}");
    }
    let job = call(&app, "load_model", json!({"model": model, "context": 16_000_000, "anyway": false})).await;
    let error = ended(&app, job).await.error.unwrap();
    assert_eq!(error.code, "memory_short");
    assert!(error.values["needed"].parse::<u64>().unwrap() > error.values["free"].parse::<u64>().unwrap());
    // What was chosen for once holds until the model leaves.
    let wrong = json!({"model": model, "kv": "q1", "anyway": false});
    assert_eq!(refused(&app, "load_model", wrong).await, "wrong_arguments");
    let job = call(&app, "load_model", json!({"model": model, "context": 512, "kv": "q8_0", "anyway": false})).await;
    assert_eq!(ended(&app, job).await.state, JobState::Done);
    for context in [None, Some(512)] {
        let lease = app.lease(model, context).await.unwrap();
        assert_eq!(lease.model.kv_format().map(|kv| kv.name()), Some("q8_0"));
    }
    call::<()>(&app, "set_setting", json!({"key": "compute_kv", "value": "q4_0"})).await;
    let lease = app.lease(model, None).await.unwrap();
    assert_eq!(lease.model.kv_format().map(|kv| kv.name()), Some("q4_0"), "a setting that changed holds from now on");
    drop(lease);
    app.shut_down().await;
}
