//! Merges an adapter of Chinese-LLaMA-2's real shape into a base of the real shape, both of random values: time and memory.
//!
//! `cargo bench -p huacaya-weights --bench merge [1.3b|7b] [FOLDER]`; the folder needs three times the base (8 or 42 GB).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use huacaya_progress::unwatched;
use huacaya_weights::safetensors::{Dtype, TensorPlan, Writer};
use huacaya_weights::{Error, merge};

const HIDDEN: usize = 4096;
const FFN: usize = 11008;
const RANK: usize = 64;
/// Pieces before and after.
const VOCABULARY: [usize; 2] = [32_000, 55_296];

fn main() {
    // Of tests, `cargo test --benches` runs this, too: there it is enough that it builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let layers = if arguments.first().is_some_and(|size| size == "7b") { 32 } else { 4 };
    let place = arguments.get(1).map_or_else(std::env::temp_dir, PathBuf::from).join("huacaya-merge-bench");
    let result = bench(&place, layers);
    let _ = fs::remove_dir_all(&place);
    if let Err(error) = result {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn bench(place: &Path, layers: usize) -> Result<(), Error> {
    let (base, adapter, out) = (place.join("base"), place.join("adapter"), place.join("out"));
    for folder in [&base, &adapter] {
        let _ = fs::create_dir_all(folder);
    }
    let matrices = [
        ("self_attn.q_proj", HIDDEN, HIDDEN),
        ("self_attn.k_proj", HIDDEN, HIDDEN),
        ("self_attn.v_proj", HIDDEN, HIDDEN),
        ("self_attn.o_proj", HIDDEN, HIDDEN),
        ("mlp.gate_proj", FFN, HIDDEN),
        ("mlp.up_proj", FFN, HIDDEN),
        ("mlp.down_proj", HIDDEN, FFN),
    ];
    let (mut bases, mut pairs) = (Vec::new(), Vec::new());
    for name in ["model.embed_tokens", "lm_head"] {
        bases.push(plan(format!("{name}.weight"), &[VOCABULARY[0], HIDDEN]));
        pairs.push(plan(format!("base_model.model.{name}.weight"), &[VOCABULARY[1], HIDDEN]));
    }
    for layer in 0..layers {
        for (name, rows, columns) in matrices {
            let module = format!("model.layers.{layer}.{name}");
            pairs.push(plan(format!("base_model.model.{module}.lora_A.weight"), &[RANK, columns]));
            pairs.push(plan(format!("base_model.model.{module}.lora_B.weight"), &[rows, RANK]));
            bases.push(plan(format!("{module}.weight"), &[rows, columns]));
        }
    }
    fill(&base.join("model.safetensors"), &bases)?;
    fill(&adapter.join("adapter_model.safetensors"), &pairs)?;
    let config = format!(r#"{{"model_type":"llama","vocab_size":{}}}"#, VOCABULARY[0]);
    let lora = r#"{"peft_type":"LORA","r":64,"lora_alpha":128,"modules_to_save":["embed_tokens","lm_head"],"target_modules":["q_proj","k_proj","v_proj","o_proj","gate_proj","up_proj","down_proj"]}"#;
    // A SentencePiece model of so many empty pieces.
    let tokenizer = [0x0a, 0].repeat(VOCABULARY[1]);
    let write =
        |path: PathBuf, bytes: &[u8]| fs::write(&path, bytes).map_err(|error| Error { path, fault: error.into() });
    write(base.join("config.json"), config.as_bytes())?;
    write(adapter.join("adapter_config.json"), lora.as_bytes())?;
    write(adapter.join("tokenizer.model"), &tokenizer)?;
    let (before, start) = (memory_bytes_max(), Instant::now());
    let report = merge(&base, &[(adapter, 1.0)], &out, &mut unwatched())?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{} changed, {} replaced, {} bytes in {seconds:.1} s", report.changed, report.replaced, report.bytes);
    println!("peak memory {} MB ({} MB before)", memory_bytes_max() >> 20, before >> 20);
    Ok(())
}

fn plan(name: String, shape: &[usize]) -> TensorPlan {
    TensorPlan { name, dtype: Dtype::F16, shape: shape.to_vec() }
}

/// Halves between 0.5 and 1, in no order.
fn fill(path: &Path, plan: &[TensorPlan]) -> Result<(), Error> {
    let mut seed = 1u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (0x3800 | (seed >> 22) as u16).to_le_bytes()
    };
    let noise: Vec<u8> = (0..1 << 21).flat_map(|_| next()).collect();
    let mut writer = Writer::create(path, plan)?;
    for tensor in plan {
        let mut left = tensor.bytes().unwrap_or(0) as usize;
        while left > 0 {
            let piece = &noise[..left.min(noise.len())];
            writer.bytes(&tensor.name, piece)?;
            left -= piece.len();
        }
    }
    writer.finish()
}

/// The most memory that this process has had at once, mapped files included; 0 where the system does not say.
fn memory_bytes_max() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) << 10
}
