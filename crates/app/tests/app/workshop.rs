//! The workshop: plans, models made of models, the evidence, and what is done with it.

use std::{fs, path::Path};

use huacaya_app::{
    App, Purpose,
    rows::{Chat, Job, JobId, JobState, Model, ModelId, Report, ReportId, Source},
};
use huacaya_weights::{Checkpoint, Format, quantize::Importance};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    home::{Home, Mirror, call, ended, import, refused},
    remote::files_in,
    tiny,
};

/// A base in PyTorch's files and an adapter that brings more words; what PEFT makes of the two stands beside them.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../weights/tests/golden/merge/vocabulary");
/// Rows are whole blocks of every format, and quantizing takes a moment.
const LARGER: tiny::Shape = tiny::Shape { hidden: 256, ffn: 512, layers: 2, format: Format::F32 };

/// More than two windows of 512 tokens for models with few words.
fn text(home: &Home) -> std::path::PathBuf {
    let path = home.outside().join("读物.txt");
    let words = "的一是不了人我在有他这个们中来上大为和国地到以说时";
    fs::write(&path, words.repeat(48)).unwrap();
    path
}

fn target(scheme: &str) -> Value {
    json!({"scheme": scheme, "by_hand": []})
}

/// Everything that is measured quickly, on a text of one's own.
fn measuring(app: &App, home: &Home) -> Value {
    let chosen = app.offer(&text(home), Purpose::Read).unwrap().id;
    json!({"perplexity": true, "context": 512, "text": chosen, "divergence": true, "speed": true, "samples": true,
        "evaluation": null})
}

async fn made(app: &App, arguments: Value) -> (Job, Vec<Model>) {
    let job: JobId = call(app, "make", arguments).await;
    let job = ended(app, job).await;
    assert_eq!(job.state, JobState::Done, "{:?}", job.error);
    let outcome = job.outcome.clone().unwrap();
    assert_eq!(outcome["kind"], "made");
    let ids: Vec<ModelId> = serde_json::from_value(outcome["models"].clone()).unwrap();
    let mut models = Mirror::new(app).await.models;
    (job, ids.iter().map(|id| models.remove(&id.0).unwrap()).collect())
}

async fn report_of(app: &App, job: &Job) -> Report {
    let id: ReportId = serde_json::from_value(job.outcome.as_ref().unwrap()["report"].clone()).unwrap();
    Mirror::new(app).await.reports.remove(&id.0).unwrap()
}

fn nothing_unfinished(home: &Home) {
    let left = files_in(&home.path().join("models"));
    assert!(!left.iter().any(|name| name.contains(".part")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plans_sizes_are_those_of_the_files_that_are_made() {
    let home = Home::new();
    let app = home.start().await;
    let file = home.outside().join("larger.gguf");
    tiny::write_shape(&file, &LARGER);
    let source = import(&app, &file, false).await;
    let plan: Value = call(&app, "plan_making", json!({"source": source, "adapters": [], "context": 1024})).await;
    let rows = plan["schemes"].as_array().unwrap();
    assert_eq!((rows.len(), &plan["requantizes"], &plan["problems"]), (19, &json!(false), &json!([])));
    assert_eq!(rows.iter().filter(|row| row["recommended"] == true).count(), 1);
    assert!(plan["reason"]["zh"].as_str().unwrap().contains("token"), "{}", plan["reason"]);
    assert!(plan["seconds_per_scheme"].as_f64().unwrap() > 0.0 && plan["free_bytes"].as_u64().unwrap() > 0);
    let schemes = ["BF16", "Q8_0", "Q4_K_M", "IQ4_XS", "Q2_K"];
    let targets: Vec<Value> = schemes.iter().map(|scheme| target(scheme)).collect();
    let arguments = json!({"name": "规划", "source": source, "adapters": [], "targets": targets, "importance": null,
        "measure": null, "output": "gguf"});
    let (job, models) = made(&app, arguments).await;
    assert_eq!((job.done, job.outcome.unwrap()["report"].clone()), (job.total, Value::Null));
    for (scheme, model) in schemes.iter().zip(&models) {
        let row = rows.iter().find(|row| row["scheme"] == **scheme).unwrap();
        assert_eq!(row["bytes"], fs::metadata(&model.path).unwrap().len(), "{scheme}");
        assert!(row["decode_tokens_s"].as_f64().unwrap() > 0.0 && row["memory_bytes"].as_u64().unwrap() > 0);
        assert_eq!(row["perplexity_known"], Value::Null, "it is no Chinese-LLaMA-2-7B");
        assert_eq!(model.name, format!("规划 {scheme}"));
        assert!(model.path.ends_with(&format!("made/规划-{scheme}.gguf")), "{}", model.path);
        assert!(matches!(&model.source, Source::Made { from } if from == "Tiny Chinese-Alpaca-2"));
        assert_eq!((model.family.as_str(), model.in_storage), ("Chinese-Alpaca-2", true));
    }
    assert_eq!(models[2].quantization, "Q4_K_M");
    // What is quantized already is said to be, and a taken name gets a number.
    let again = json!({"source": models[1].id, "adapters": []});
    assert_eq!(call::<Value>(&app, "plan_making", again).await["requantizes"], true);
    let by_hand = json!([{"scheme": "Q4_K_M", "by_hand": [{"group": "output", "format": "Q8_0"}]}, target("Q4_K_M")]);
    let arguments = json!({"name": "规划", "source": source, "adapters": [], "targets": by_hand, "importance": null,
        "measure": null, "output": "gguf"});
    let (_, models) = made(&app, arguments).await;
    let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["规划 Q4_K_M-custom", "规划 Q4_K_M-2"]);
    let custom = Checkpoint::open(Path::new(&models[0].path)).unwrap();
    assert_eq!(custom.tensor("output.weight").unwrap().format, Format::Q8_0);
    nothing_unfinished(&home);
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_types_are_made_and_measured_in_one_go_and_one_is_kept() {
    let home = Home::new();
    let app = home.start().await;
    let file = home.outside().join("larger.gguf");
    tiny::write_shape(&file, &LARGER);
    let source = import(&app, &file, false).await;
    let load: JobId = call(&app, "load_model", json!({"model": source, "anyway": true})).await;
    ended(&app, load).await;
    let importance = json!({"kind": "text", "chosen": app.offer(&text(&home), Purpose::Read).unwrap().id});
    let arguments = json!({"name": "", "source": source, "adapters": [], "targets": [target("Q8_0"), target("q2_k")],
        "importance": importance, "measure": measuring(&app, &home), "output": "gguf"});
    let (job, models) = made(&app, arguments).await;
    let report = report_of(&app, &job).await;
    assert_eq!((report.rows.len(), report.source_name.as_str()), (3, "Tiny Chinese-Alpaca-2"));
    let [original, q8, q2] = &report.rows[..] else { panic!() };
    assert_eq!((original.model, q8.model, q2.model), (Some(source), Some(models[0].id), Some(models[1].id)));
    assert!(original.divergence.is_none());
    let (far, near) = (q2.divergence.unwrap(), q8.divergence.unwrap());
    assert!(near.mean < far.mean && near.top_agreement > far.top_agreement, "{near:?} {far:?}");
    let off = |row: &huacaya_app::rows::ReportRow| {
        (row.perplexity.unwrap().value / original.perplexity.unwrap().value - 1.0).abs()
    };
    assert!(off(q2) > off(q8), "{} {}", off(q8), off(q2));
    for row in &report.rows {
        assert!(row.decode_tokens_s.unwrap() > 0.0 && row.prefill_tokens_s.unwrap() > 0.0 && row.load_ms.is_some());
        assert_eq!(row.accuracy, None);
    }
    assert!(report.samples.len() >= 4 && report.samples.iter().all(|sample| sample.answers.len() == 3));
    // What was in memory before is loaded again.
    let mut mirror = Mirror::new(&app).await;
    mirror.until(|mirror| mirror.models[&source.0].loaded_by.is_some()).await;

    let out = home.outside().join("report.md");
    let chosen = app.offer(&out, Purpose::Write).unwrap().id;
    call::<()>(&app, "export_report", json!({"report": report.id, "format": "markdown", "chosen": chosen})).await;
    let markdown = fs::read_to_string(&out).unwrap();
    assert!(markdown.contains("Q2\\_K") && markdown.contains("读物.txt"), "{markdown}");
    call::<()>(&app, "export_report", json!({"report": report.id, "format": "csv", "chosen": chosen})).await;
    assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), 4);

    call::<()>(&app, "rename_report", json!({"report": report.id, "title": " 新 名 "})).await;
    call::<()>(&app, "delete_report", json!({"report": report.id})).await;
    assert!(Mirror::new(&app).await.reports.is_empty());
    call::<()>(&app, "restore_report", json!({"report": report.id})).await;
    assert_eq!(Mirror::new(&app).await.reports[&report.id.0].title, "新 名");

    call::<()>(&app, "keep_made", json!({"report": report.id, "model": models[0].id})).await;
    let now = Mirror::new(&app).await.models;
    assert!(now.contains_key(&source.0) && now.contains_key(&models[0].id.0) && !now.contains_key(&models[1].id.0));
    assert!(!Path::new(&models[1].path).exists());
    call::<()>(&app, "restore_model", json!({"model": models[1].id})).await;
    assert!(Path::new(&models[1].path).exists());
    nothing_unfinished(&home);
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_of_the_list_are_measured_side_by_side() {
    let home = Home::new();
    let (app, first) = home.start_with_tiny().await;
    let options = measuring(&app, &home);
    let job: JobId = call(&app, "measure", json!({"models": [first], "options": options})).await;
    let job = ended(&app, job).await;
    assert_eq!((job.state, job.done), (JobState::Done, job.total), "{:?}", job.error);
    let report = report_of(&app, &job).await;
    assert_eq!((report.rows.len(), report.rows[0].model), (1, Some(first)));
    // A model of random numbers knows nothing: its perplexity is about that of a guess among its words.
    let perplexity = report.rows[0].perplexity.unwrap().value;
    assert!(perplexity > 50.0, "{perplexity}");
    // Multiple choice, constrained to the four letters.
    let exam = home.outside().join("exam_val.csv");
    let questions = "id,question,A,B,C,D,answer\n0,一加一是？,一,二,三,四,B\n1,羊驼是？,鱼,鸟,兽,虫,C\n";
    fs::write(&exam, questions).unwrap();
    let chosen = app.offer(&exam, Purpose::Read).unwrap().id;
    let options = json!({"perplexity": false, "context": 512, "text": null, "divergence": false, "speed": false,
        "samples": false, "evaluation": {"chosen": chosen, "shots": 0}});
    let job: JobId = call(&app, "measure", json!({"models": [first], "against": null, "options": options})).await;
    let job = ended(&app, job).await;
    assert_eq!(job.state, JobState::Done, "{:?}", job.error);
    let row = report_of(&app, &job).await.rows.remove(0);
    assert_eq!((row.accuracy.unwrap().total, row.perplexity), (2, None));
    // A text that is too short is told with what is needed.
    let short = home.outside().join("short.txt");
    fs::write(&short, "你好").unwrap();
    let options = json!({"perplexity": true, "context": 512, "text": app.offer(&short, Purpose::Read).unwrap().id,
        "divergence": false, "speed": false, "samples": false, "evaluation": null});
    let job: JobId = call(&app, "measure", json!({"models": [first], "options": options})).await;
    let problem = ended(&app, job).await.error.unwrap();
    assert_eq!((problem.code.as_str(), problem.values["needed"].as_str()), ("text_too_short", "1024"));
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_too_large_for_the_memory_says_so_in_its_row_and_the_others_are_measured() {
    let home = Home::new();
    let (app, small) = home.start_with_tiny().await;
    let file = home.outside().join("vast.gguf");
    tiny::write_vast(&file);
    let vast = import(&app, &file, false).await;
    let exam = home.outside().join("exam_val.csv");
    fs::write(&exam, "id,question,A,B,C,D,answer\n0,一加一是？,一,二,三,四,B\n").unwrap();
    // Questions with their examples are asked at the longest context.
    let mut options = measuring(&app, &home);
    options["samples"] = json!(false);
    options["evaluation"] = json!({"chosen": app.offer(&exam, Purpose::Read).unwrap().id, "shots": 0});
    let asked = json!({"models": [small], "against": vast, "options": options});
    let job: JobId = call(&app, "measure", asked).await;
    let job = ended(&app, job).await;
    assert_eq!((job.state, job.done), (JobState::Done, job.total), "{:?}", job.error);
    let report = report_of(&app, &job).await;
    let [large, other] = &report.rows[..] else { panic!() };
    let problem = large.problem.as_ref().unwrap();
    assert_eq!((problem.code.as_str(), &problem.values["model"]), ("memory_short", &large.name));
    assert_eq!((large.model, large.perplexity, large.decode_tokens_s), (Some(vast), None, None));
    assert!(other.perplexity.is_some() && other.decode_tokens_s.is_some() && other.accuracy.is_some());
    assert!(other.problem.is_none() && other.divergence.is_none(), "there is nothing to compare it with");
    let out = home.outside().join("report.md");
    let chosen = app.offer(&out, Purpose::Write).unwrap().id;
    call::<()>(&app, "export_report", json!({"report": report.id, "format": "markdown", "chosen": chosen})).await;
    assert!(fs::read_to_string(&out).unwrap().contains("bytes of memory"));
    // Where nothing can be measured there is no report.
    let job: JobId = call(&app, "measure", json!({"models": [vast], "options": options})).await;
    assert_eq!(ended(&app, job).await.error.unwrap().code, "memory_short");
    assert_eq!(Mirror::new(&app).await.reports.len(), 1);
    app.shut_down().await;
}

/// Every tensor that holds the same numbers in both layouts is PEFT's, byte for byte.
fn is_as_peft_merges(file: &Path) {
    let expected: Value = serde_json::from_slice(&fs::read(Path::new(GOLDEN).join("merged.json")).unwrap()).unwrap();
    let checkpoint = Checkpoint::open(file).unwrap();
    for (gguf, name) in [
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("output.weight", "lm_head.weight"),
        ("blk.0.attn_v.weight", "model.layers.0.self_attn.v_proj.weight"),
        ("blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj.weight"),
    ] {
        let view = checkpoint.tensor(gguf).unwrap();
        let digest: String = Sha256::digest(&view.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            (json!(view.shape()), json!(digest)),
            (expected[name]["shape"].clone(), expected[name]["sha256"].clone()),
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_base_and_an_adapter_become_quantized_models_in_one_job() {
    let home = Home::new();
    let app = home.start().await;
    let base = import(&app, &Path::new(GOLDEN).join("base"), false).await;
    let adapter = import(&app, &Path::new(GOLDEN).join("adapter"), false).await;
    let adapters = json!([{"model": adapter, "strength": 1.0}]);
    let plan: Value = call(&app, "plan_making", json!({"source": base, "adapters": adapters})).await;
    assert_eq!(plan["problems"], json!([]));
    let size = |scheme: &str| {
        let rows = plan["schemes"].as_array().unwrap();
        rows.iter().find(|row| row["scheme"] == scheme).unwrap()["bytes"].as_u64().unwrap()
    };
    let arguments = json!({"name": "合并", "source": base, "adapters": adapters, "targets": [target("F16"), target("Q8_0")],
        "importance": null, "measure": null, "output": "gguf"});
    let (_, models) = made(&app, arguments).await;
    is_as_peft_merges(Path::new(&models[0].path));
    for (model, scheme) in models.iter().zip(["F16", "Q8_0"]) {
        assert_eq!(model.file_bytes, size(scheme), "{scheme}");
        assert!(matches!(&model.source, Source::Made { from } if from == "base + adapter"), "{:?}", model.source);
        let load: JobId = call(&app, "load_model", json!({"model": model.id, "anyway": true})).await;
        assert_eq!(ended(&app, load).await.state, JobState::Done);
    }
    // A folder, for other programs.
    let arguments = json!({"name": "合并", "source": base, "adapters": adapters, "targets": [target("F16")],
        "importance": null, "measure": null, "output": "folder"});
    let (_, folders) = made(&app, arguments).await;
    assert!(Path::new(&folders[0].path).join("config.json").exists());
    nothing_unfinished(&home);

    // A GGUF file is no base; the plan says so too.
    let arguments = json!({"name": "", "source": models[1].id, "adapters": adapters, "targets": [target("Q8_0")],
        "importance": null, "measure": null, "output": "gguf"});
    assert_eq!(refused(&app, "make", arguments).await, "merge_refused");
    let plan: Value = call(&app, "plan_making", json!({"source": models[1].id, "adapters": adapters})).await;
    assert_eq!(plan["problems"][0]["code"], "merge_refused");
    let plan: Value = call(&app, "plan_making", json!({"source": folders[0].id, "adapters": adapters})).await;
    assert_eq!(plan["problems"], json!([]), "merging it once more is unusual, not wrong");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_before_a_job_is_put_down() {
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    let make = |targets: Value, importance: Value| {
        json!({"name": "", "source": model, "adapters": [], "targets": targets, "importance": importance,
            "measure": null, "output": "gguf"})
    };
    assert_eq!(refused(&app, "make", make(json!([]), Value::Null)).await, "unfit");
    assert_eq!(refused(&app, "make", make(json!([target("Q9_Z")]), Value::Null)).await, "scheme_unknown");
    let file = json!({"kind": "file", "chosen": 77});
    assert_eq!(refused(&app, "make", make(json!([target("Q8_0")]), file)).await, "chosen_gone");
    let broken = home.outside().join("broken.imatrix");
    fs::write(&broken, b"no matrix").unwrap();
    let file = json!({"kind": "file", "chosen": app.offer(&broken, Purpose::Read).unwrap().id});
    let job: JobId = call(&app, "make", make(json!([target("Q8_0")]), file)).await;
    let problem = ended(&app, job).await.error.unwrap();
    assert_eq!((problem.code.as_str(), problem.values["name"].as_str()), ("importance_broken", "broken.imatrix"));

    let chat: Chat = call(&app, "new_chat", json!({"kind": "chat"})).await;
    let adapters = json!([{"model": model, "strength": 1.0}]);
    assert_eq!(refused(&app, "set_adapters", json!({"chat": chat.id, "adapters": adapters})).await, "merge_refused");
    let adapter = import(&app, &Path::new(GOLDEN).join("adapter"), false).await;
    let adapters = json!([{"model": adapter, "strength": 0.5}]);
    call::<()>(&app, "set_adapters", json!({"chat": chat.id, "adapters": adapters})).await;
    let row = Mirror::new(&app).await.chats.remove(&chat.id.0).unwrap();
    assert_eq!(serde_json::to_value(&row.adapters).unwrap(), adapters);
    app.shut_down().await;
}

/// A matrix as llama.cpp wrote it before its GGUF form: for every matrix but the embeddings of `LARGER`, sums over 8 calls.
fn legacy_matrix(hidden: usize, ffn: usize) -> (Vec<u8>, Importance) {
    let names = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];
    let blocks = (0..LARGER.layers).flat_map(|layer| names.map(|name| format!("blk.{layer}.{name}.weight")));
    let tensors: Vec<String> = blocks.chain(["output.weight".to_string()]).collect();
    let (mut bytes, mut matrix) = ((tensors.len() as i32).to_le_bytes().to_vec(), Importance::default());
    for name in tensors {
        let columns = if name.contains("ffn_down") { ffn } else { hidden };
        let sums: Vec<f32> = (0..columns).map(|column| ((column * 37) % 101) as f32).collect();
        bytes.extend((name.len() as i32).to_le_bytes());
        bytes.extend(name.as_bytes());
        bytes.extend([8i32, columns as i32].map(i32::to_le_bytes).as_flattened());
        bytes.extend(sums.iter().flat_map(|sum| sum.to_le_bytes()));
        matrix.add(&name, &sums, 8.0);
    }
    (bytes, matrix)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_matrix_of_ones_own_weighs_in_both_forms_and_one_that_does_not_fit_is_refused_by_name() {
    let home = Home::new();
    let app = home.start().await;
    let model = home.outside().join("larger.gguf");
    tiny::write_shape(&model, &LARGER);
    let source = import(&app, &model, false).await;
    let file = |name: &str| home.outside().join(name);
    let arguments = |matrix: Option<&Path>| {
        let chosen = matrix.map(|path| app.offer(path, Purpose::Read).unwrap().id);
        json!({"name": "", "source": source, "adapters": [], "targets": [target("Q4_K_M")], "measure": null,
            "importance": chosen.map(|chosen| json!({"kind": "file", "chosen": chosen})), "output": "gguf"})
    };
    let (bytes, matrix) = legacy_matrix(LARGER.hidden, LARGER.ffn);
    fs::write(file("矩阵.dat"), &bytes).unwrap();
    matrix.save(&file("矩阵.gguf")).unwrap();
    let mut results = Vec::new();
    for matrix in [None, Some(file("矩阵.dat")), Some(file("矩阵.gguf"))] {
        let (_, models) = made(&app, arguments(matrix.as_deref())).await;
        results.push(fs::read(&models[0].path).unwrap());
    }
    assert!(results[1] == results[2], "both forms say the same");
    assert!(results[0] != results[1], "the matrix weighs");

    fs::write(file("cut.dat"), &bytes[..bytes.len() / 2]).unwrap();
    legacy_matrix(32, 64).1.save(&file("small.gguf")).unwrap();
    let mut foreign = Importance::default();
    foreign.add("encoder.layer.0.weight", &[1.0; 256], 1.0);
    foreign.save(&file("foreign.gguf")).unwrap();
    let cases = [
        ("cut.dat", "ends early"),
        ("small.gguf", "made for another model"),
        ("foreign.gguf", "made for another model"),
        ("larger.gguf", "a GGUF of another kind"),
    ];
    for (name, reason) in cases {
        let job: JobId = call(&app, "make", arguments(Some(&file(name)))).await;
        let problem = ended(&app, job).await.error.unwrap();
        assert_eq!((problem.code.as_str(), problem.values["name"].as_str()), ("importance_broken", name));
        assert!(problem.values["reason"].contains(reason), "{name}: {}", problem.values["reason"]);
    }
    nothing_unfinished(&home);
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_job_leaves_nothing_unfinished_and_can_be_run_again() {
    let home = Home::new();
    let app = home.start().await;
    let file = home.outside().join("large.gguf");
    tiny::write_shape(&file, &tiny::Shape { hidden: 512, ffn: 2048, layers: 8, format: Format::F32 });
    let source = import(&app, &file, false).await;
    let arguments = json!({"name": "停", "source": source, "adapters": [], "targets": [target("Q2_K"), target("Q3_K_M")],
        "importance": null, "measure": null, "output": "gguf"});
    let job: JobId = call(&app, "make", arguments).await;
    let mut mirror = Mirror::new(&app).await;
    mirror.until(|mirror| mirror.jobs.get(&job.0).is_some_and(|job| job.done > 0)).await;
    call::<()>(&app, "stop_job", json!({"job": job})).await;
    assert_eq!(ended(&app, job).await.state, JobState::Stopped);
    while app.busy() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    nothing_unfinished(&home);
    let scan: Value = call(&app, "scan_models", json!({})).await;
    assert_eq!(scan["problems"], json!([]));
    let again: JobId = call(&app, "retry_job", json!({"job": job})).await;
    let again = ended(&app, again).await;
    assert_eq!(again.state, JobState::Done, "{:?}", again.error);
    nothing_unfinished(&home);
    app.shut_down().await;
}
