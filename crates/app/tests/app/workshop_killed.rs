//! Making models in a process that is killed at any moment, or that is given a disk without room: nothing half-made is
//! ever listed, and the work is offered again.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use huacaya_app::{
    App, Places, Purpose,
    rows::{JobId, JobState, Model, ModelId, Source},
};
use huacaya_weights::{
    Format,
    safetensors::{Dtype, TensorPlan, Writer},
};
use serde_json::{Value, json};

use crate::{
    home::{Home, Mirror, PATIENCE, call, ended, import},
    remote::files_in,
    tiny,
};

/// As the issue promises.
const KILLS: usize = 20;
/// The child's data folder, what it is to make, and the file that it writes once the job is put down.
const FOLDER: &str = "HUACAYA_TEST_FOLDER";
const MAKE: &str = "HUACAYA_TEST_MAKE";
const BEGUN: &str = "HUACAYA_TEST_BEGUN";
const TOKENIZER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../weights/tests/golden/merge/vocabulary/base");
const LAYERS: usize = 6;
const HIDDEN: usize = 256;
const FFN: usize = 1024;
/// Pieces of `TOKENIZER`.
const PIECES: usize = 40;
const RANK: usize = 8;

/// Not a test by itself: the process that the tests below start and kill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn makes_models_until_it_is_killed() {
    let variable = |name: &str| std::env::var_os(name).unwrap();
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let app = App::start(Places::at(Path::new(&folder)).unwrap()).await.unwrap();
    let arguments: Value = serde_json::from_str(variable(MAKE).to_str().unwrap()).unwrap();
    let job: JobId = call(&app, "make", arguments).await;
    fs::write(variable(BEGUN), b"").unwrap();
    let job = ended(&app, job).await;
    println!("ended: {:?} {:?}", job.state, job.error.map(|error| error.code));
    app.shut_down().await;
}

fn command(home: &Home, arguments: &Value) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", "workshop_killed::makes_models_until_it_is_killed"]);
    command.env(FOLDER, home.path()).env(MAKE, arguments.to_string()).env(BEGUN, home.outside().join("begun"));
    command
}

/// The child, once its job is put down.
fn begun(home: &Home, arguments: &Value) -> Child {
    let mark = home.outside().join("begun");
    let _ = fs::remove_file(&mark);
    let child = command(home, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while !mark.exists() {
        assert!(start.elapsed() < PATIENCE, "the child begins");
        sleep(Duration::from_millis(2));
    }
    child
}

fn made(models: BTreeMap<i64, Model>) -> Vec<Model> {
    models.into_values().filter(|model| matches!(model.source, Source::Made { .. })).collect()
}

/// Whatever is listed is, byte for byte, what an undisturbed run makes.
fn all_whole(models: Vec<Model>, whole: &BTreeMap<String, Vec<u8>>) {
    for model in models {
        let name = Path::new(&model.path).file_name().unwrap().to_str().unwrap();
        assert!(fs::read(&model.path).unwrap() == whole[name], "{name} is half-made");
    }
}

/// Deletes what an earlier run made, for good.
async fn clear(app: &App) {
    for model in made(Mirror::new(app).await.models) {
        call::<()>(app, "delete_model", json!({"model": model.id})).await;
    }
    call::<()>(app, "purge_deleted", json!({})).await;
}

async fn killed_at_any_point(home: &Home, arguments: &Value) {
    let mut undisturbed = begun(home, arguments);
    let start = Instant::now();
    assert!(undisturbed.wait().unwrap().success());
    let takes = start.elapsed();
    let app = home.start().await;
    let models = made(Mirror::new(&app).await.models);
    assert_eq!(models.len(), arguments["targets"].as_array().unwrap().len());
    let read = |model: &Model| {
        let path = PathBuf::from(&model.path);
        (path.file_name().unwrap().to_str().unwrap().to_string(), fs::read(path).unwrap())
    };
    let whole: BTreeMap<String, Vec<u8>> = models.iter().map(read).collect();
    clear(&app).await;
    app.shut_down().await;
    drop(app);

    let (mut random, mut cut_off) = (0x9E37_79B9_7F4A_7C15_u64, 0);
    for kill in 0..KILLS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut child = begun(home, arguments);
        sleep(takes.mul_f64((random >> 11) as f64 / (1u64 << 53) as f64));
        child.kill().unwrap();
        child.wait().unwrap();
        let app = home.start().await;
        let mirror = Mirror::new(&app).await;
        all_whole(made(mirror.models), &whole);
        let scan: Value = call(&app, "scan_models", json!({})).await;
        assert_eq!(scan["problems"], json!([]));
        let after = Mirror::new(&app).await;
        all_whole(made(after.models), &whole);
        let left = after.jobs.values().find(|job| job.task["kind"] == "make").cloned();
        match left {
            Some(job) if job.state == JobState::Interrupted => {
                cut_off += 1;
                if kill % 5 == 0 {
                    let again: JobId = call(&app, "retry_job", json!({"job": job.id})).await;
                    let again = ended(&app, again).await;
                    assert_eq!(again.state, JobState::Done, "{:?}", again.error);
                    let models = made(Mirror::new(&app).await.models);
                    assert_eq!(models.len(), whole.len());
                    all_whole(models, &whole);
                } else {
                    call::<()>(&app, "dismiss_job", json!({"job": job.id})).await;
                }
            }
            Some(job) => assert_eq!(job.state, JobState::Done),
            None => {}
        }
        let unfinished = files_in(&home.path().join("models"));
        assert!(!unfinished.iter().any(|name| name.contains(".part")), "{unfinished:?}");
        clear(&app).await;
        app.shut_down().await;
    }
    println!("{cut_off} of {KILLS} kills came before the end");
    assert!(cut_off > KILLS / 3, "{cut_off}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quantization_that_is_killed_lists_nothing_half_made_and_is_offered_again() {
    let home = Home::new();
    let app = home.start().await;
    let file = home.outside().join("source.gguf");
    tiny::write_shape(&file, &tiny::Shape { hidden: HIDDEN, ffn: FFN, layers: LAYERS, format: Format::F32 });
    let source = import(&app, &file, false).await;
    app.shut_down().await;
    drop(app);
    killed_at_any_point(&home, &arguments(source, json!([]), &["Q4_K_M", "Q3_K_M"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_that_is_killed_lists_nothing_half_made_and_is_offered_again() {
    let home = Home::new();
    let app = home.start().await;
    let (base, adapter) = (home.outside().join("base"), home.outside().join("lora"));
    write_base(&base);
    write_adapter(&adapter);
    let base = import(&app, &base, false).await;
    let adapter = import(&app, &adapter, false).await;
    app.shut_down().await;
    drop(app);
    let adapters = json!([{"model": adapter, "strength": 1.0}]);
    killed_at_any_point(&home, &arguments(base, adapters, &["Q8_0", "Q4_K_M"])).await;
}

fn arguments(source: ModelId, adapters: Value, schemes: &[&str]) -> Value {
    let targets: Vec<Value> = schemes.iter().map(|scheme| json!({"scheme": scheme, "by_hand": []})).collect();
    json!({"name": "made", "source": source, "adapters": adapters, "targets": targets, "importance": null,
        "measure": null, "output": "gguf"})
}

/// A Llama of random numbers as Hugging Face lays it out, with the words of `TOKENIZER`.
fn write_base(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for name in ["tokenizer.model", "tokenizer_config.json"] {
        fs::copy(Path::new(TOKENIZER).join(name), folder.join(name)).unwrap();
    }
    let config = json!({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": PIECES,
        "hidden_size": HIDDEN, "intermediate_size": FFN, "num_hidden_layers": LAYERS, "num_attention_heads": 4,
        "num_key_value_heads": 4, "hidden_act": "silu", "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": false, "torch_dtype": "float32"});
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_string(), vec![PIECES, HIDDEN]),
        ("lm_head.weight".to_string(), vec![PIECES, HIDDEN]),
        ("model.norm.weight".to_string(), vec![HIDDEN]),
    ];
    for layer in 0..LAYERS {
        let mut add =
            |name: &str, shape: Vec<usize>| tensors.push((format!("model.layers.{layer}.{name}.weight"), shape));
        for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            add(&format!("self_attn.{name}"), vec![HIDDEN, HIDDEN]);
        }
        add("mlp.gate_proj", vec![FFN, HIDDEN]);
        add("mlp.up_proj", vec![FFN, HIDDEN]);
        add("mlp.down_proj", vec![HIDDEN, FFN]);
        add("input_layernorm", vec![HIDDEN]);
        add("post_attention_layernorm", vec![HIDDEN]);
    }
    write_tensors(&folder.join("model.safetensors"), tensors);
}

fn write_adapter(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let config = json!({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": 16, "bias": "none",
        "fan_in_fan_out": false, "target_modules": ["down_proj"], "base_model_name_or_path": "base"});
    fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
    let mut tensors = Vec::new();
    for layer in 0..LAYERS {
        let name = format!("base_model.model.model.layers.{layer}.mlp.down_proj");
        tensors.push((format!("{name}.lora_A.weight"), vec![RANK, FFN]));
        tensors.push((format!("{name}.lora_B.weight"), vec![HIDDEN, RANK]));
    }
    write_tensors(&folder.join("adapter_model.safetensors"), tensors);
}

fn write_tensors(path: &Path, tensors: Vec<(String, Vec<usize>)>) {
    let plan: Vec<TensorPlan> =
        tensors.into_iter().map(|(name, shape)| TensorPlan { name, dtype: Dtype::F32, shape }).collect();
    let mut writer = Writer::create(path, &plan).unwrap();
    let mut random = 88_172_645_463_325_252_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    for tensor in &plan {
        let count: usize = tensor.shape.iter().product();
        let bytes: Vec<u8> = (0..count).flat_map(|_| next().to_le_bytes()).collect();
        writer.bytes(&tensor.name, &bytes).unwrap();
    }
    writer.finish().unwrap();
}

/// What the child says of its job, with the storage folder on a disk in memory mounted with `options` in a mount
/// namespace of its own, and the names of what is on that disk then; none where this system lets us mount nothing.
async fn on_a_disk(options: &str) -> Option<(String, Vec<String>)> {
    let home = Home::new();
    let app = home.start().await;
    let file = home.outside().join("source.gguf");
    tiny::write_shape(&file, &tiny::Shape { hidden: HIDDEN, ffn: FFN, layers: LAYERS, format: Format::F32 });
    let source = import(&app, &file, false).await;
    let disk = home.outside().join("disk");
    fs::create_dir_all(&disk).unwrap();
    let chosen = app.offer(&disk, Purpose::Read).unwrap().id;
    let moving: JobId = call(&app, "move_storage", json!({"chosen": chosen})).await;
    assert_eq!(ended(&app, moving).await.state, JobState::Done);
    app.shut_down().await;
    drop(app);
    let child = command(&home, &arguments(source, json!([]), &["Q8_0", "Q6_K"]));
    let mount = format!("mount -t tmpfs -o {options} none \"$DISK\" || exit 77");
    let script = format!("{mount}\n\"$@\"\necho; echo LEFT; find \"$DISK\" -type f");
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script, "sh"]).arg(child.get_program()).args(child.get_args());
    command.envs(child.get_envs().filter_map(|(key, value)| Some((key, value?)))).env("DISK", &disk);
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some((said, left)) = text.split_once("\nLEFT\n") else {
        println!("skipped: no disk of our own can be mounted: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    };
    let ended = said.lines().find_map(|line| line.split_once("ended: ")).map(|(_, ended)| ended.to_string());
    Some((ended.unwrap_or_else(|| said.to_string()), left.lines().map(str::to_string).collect()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_without_room_is_told_before_anything_is_written() {
    let Some((said, left)) = on_a_disk("size=6m").await else { return };
    assert_eq!(said, "Failed Some(\"space_short\")");
    assert!(!left.iter().any(|name| name.contains("made-")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_cannot_be_written_is_told() {
    let Some((said, left)) = on_a_disk("ro").await else { return };
    assert_eq!(said, "Failed Some(\"file_unwritable\")");
    assert!(left.is_empty(), "{left:?}");
}
