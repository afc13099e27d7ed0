//! The decoder against other implementations: transformers (tests/golden/logits.py) and candle-transformers.

#![allow(clippy::unwrap_used)] // a test's helper may panic

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama;
use huacaya_engine::candle::{Decoder, Fused, Ops, Plain};
use huacaya_progress::unwatched;

const LENGTH: usize = 48;
const VOCABULARY: usize = 64;
/// Of the largest logit: the rounding of f32 in another order of operations stays well below.
const TOLERANCE: f32 = 1e-4;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/logits")
}

/// As in logits.py.
fn tokens() -> Vec<u32> {
    (0..LENGTH as u32).map(|i| (7 * i * i + 3 * i + 5) % VOCABULARY as u32).collect()
}

fn expected(folder: &Path) -> Vec<f32> {
    let bytes = fs::read(folder.join("logits.f32")).unwrap();
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn assert_close(name: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0f32, |a, b| a.max(b.abs()));
    let error = found.iter().zip(expected).fold(0.0f32, |a, (f, e)| a.max((f - e).abs())) / largest;
    println!("{name}: {error:.1e} of the largest logit");
    assert!(error < TOLERANCE, "{name}: off by {error:.1e}");
}

fn decoder(folder: &Path, ops: Arc<dyn Ops>) -> Decoder {
    Decoder::open(folder, ops, &mut unwatched()).unwrap()
}

fn logits(decoder: &Decoder) -> Vec<f32> {
    let tokens = Tensor::new(tokens(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    decoder.forward(&tokens).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn logits_equal_those_of_transformers() {
    let mut seen = Vec::new();
    for entry in fs::read_dir(golden()).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        for (kind, ops) in [("plain ops", Arc::new(Plain) as Arc<dyn Ops>), ("fused ops", Arc::new(Fused))] {
            assert_close(&format!("{name}, {kind}"), &logits(&decoder(&folder, ops)), &expected(&folder));
        }
        seen.push(name);
    }
    seen.sort();
    let all = ["biases", "dynamic", "grouped_tied", "linear", "llama3", "mistral", "plain", "qwen2", "qwen3", "yarn"];
    assert_eq!(seen, all);
}

#[test]
fn shards_that_pytorch_saved_give_the_same_logits() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pytorch");
    assert_close("yarn, two .bin", &logits(&decoder(&folder, Arc::new(Plain))), &expected(&golden().join("yarn")));
}

#[test]
fn logits_equal_those_of_candle_transformers() {
    // Its Llama knows no linear, dynamic or YaRN scaling and no head size of its own.
    for (name, kv_heads, tied, base) in [("plain", 4, false, 10000.0), ("grouped_tied", 2, true, 500000.0)] {
        let folder = golden().join(name);
        let config = llama::Config {
            hidden_size: 32,
            intermediate_size: 48,
            vocab_size: VOCABULARY,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: kv_heads,
            use_flash_attn: false,
            rms_norm_eps: 1e-5,
            rope_theta: base,
            bos_token_id: None,
            eos_token_id: None,
            rope_scaling: None,
            max_position_embeddings: 512,
            tie_word_embeddings: tied,
        };
        let tensors = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
        let builder = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let model = llama::Llama::load(builder, &config).unwrap();
        let ours = logits(&decoder(&folder, Arc::new(Plain)));
        let mut cache = llama::Cache::new(true, DType::F32, &config, &Device::Cpu).unwrap();
        for (i, token) in tokens().into_iter().enumerate() {
            let input = Tensor::new(&[[token]], &Device::Cpu).unwrap();
            let theirs = model.forward(&input, i, &mut cache).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_close(&format!("{name}, token {i}"), &ours[i * VOCABULARY..][..VOCABULARY], &theirs);
        }
    }
}
