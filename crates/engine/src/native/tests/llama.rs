//! The native decoder against llama.cpp (tests/golden/llama_logits.py): every format, and every shape and rope scaling that GGUF
//! knows.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use huacaya_kernels::{Format, dequantize};
use huacaya_weights::gguf::{File, TensorPlan, Writer};

use super::random::{Shape, grouped, linear, small, write, write_shape, yarn};
use super::*;

/// The rows that the script kept, of the last 64 of a text.
const POSITIONS: [usize; 6] = [0, 1, 15, 31, 47, 63];
/// Of the demo model's vocabulary it kept every fourth logit.
const KEPT: usize = 4;

/// What the two may differ by, as a part of the logits' root mean square.
///
/// - F32: the order of sums, and our keys and values in f16. F16 and BF16: llama.cpp rounds activations to the weights' format,
///   by up to 2^-12 and 2^-9 of each; ours stay f32.
/// - All else: both round activations to 8 bits in the same groups, by scales that llama.cpp keeps in f16 for groups of 32. What
///   differs by that comes to the next rounding, where a value near the middle of two steps falls to the other side: the bound
///   is that of one such rounding.
fn bound(format: Format) -> f32 {
    match format {
        Format::F32 => SAME_KV,
        Format::F16 => 2e-3,
        Format::BF16 => 1e-2,
        _ => EIGHT_BITS,
    }
}

/// Of the largest logit, in f32 but for our keys and values in f16.
const SHAPES: f32 = 1e-3;

struct Golden(HashMap<String, Tensor>);

impl Golden {
    fn read() -> Golden {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/llama/logits.safetensors");
        Golden(candle_core::safetensors::load(path, &Device::Cpu).unwrap())
    }

    fn logits(&self, name: &str) -> Logits {
        self.0[name].to_vec2().unwrap()
    }
}

/// The kept rows of a text's logits.
fn kept(path: &Path, tokens: &[u32]) -> Logits {
    let mut backend = NativeBackend::new(open(path, |_| {}, settings(KvFormat::F16)), tokens.len(), None);
    let id = backend.create().unwrap();
    let read = Run { wanted: tokens.len() - 64..tokens.len(), ..run(id, 0, tokens, 0) };
    let mut logits = backend.step(&batch(vec![read]), &|| false).unwrap();
    POSITIONS.map(|row| std::mem::take(&mut logits[row])).to_vec()
}

#[test]
fn random_models_in_every_format_have_the_logits_of_llama_cpp() {
    let (home, golden) = (tempfile::tempdir().unwrap(), Golden::read());
    for format in Format::ALL {
        let found = kept(&write(home.path(), format), &tokens(64));
        let error = typical(&found, &golden.logits(&format!("random {format}")));
        println!("{format}: {error:.1e}");
        assert!(error < bound(format), "{format}: off by {error:.1e}");
    }
}

#[test]
fn the_demo_model_in_every_format_has_the_logits_of_llama_cpp() {
    let (home, golden) = (tempfile::tempdir().unwrap(), Golden::read());
    let tokens: Vec<u32> = golden.0["tokens"].to_vec1().unwrap();
    // Nothing writes MXFP4.
    for format in Format::ALL.into_iter().filter(|&format| format != Format::MXFP4) {
        let mut found = kept(&demo_in(home.path(), format), &tokens);
        found.iter_mut().for_each(|row| *row = row.iter().step_by(KEPT).copied().collect());
        let error = typical(&found, &golden.logits(&format!("demo {format}")));
        println!("{format}: {error:.1e}");
        assert!(error < bound(format), "{format}: off by {error:.1e}");
    }
}

/// The demo model with its matrices unpacked and rounded anew.
fn demo_in(folder: &Path, format: Format) -> PathBuf {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo/huacaya-demo.gguf");
    let (demo, path) = (File::open(&demo).unwrap(), folder.join(format!("{format}.gguf")));
    let plan = demo.tensors().iter().map(|tensor| {
        let shape = tensor.shape();
        TensorPlan::from_shape(&tensor.name, &shape, if shape.len() == 1 { Format::F32 } else { format })
    });
    let mut writer = Writer::create(&path, demo.metadata(), &plan.collect::<Vec<_>>()).unwrap();
    for tensor in demo.tensors() {
        let mut values = vec![0.0; tensor.values() as usize];
        dequantize(tensor.format, demo.bytes(tensor), &mut values).unwrap();
        writer.values(&tensor.name, &values).unwrap();
    }
    writer.finish().unwrap();
    path
}

#[test]
fn every_shape_and_scaling_has_the_logits_of_llama_cpp() {
    const ALL: [&str; 7] = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];
    let (home, golden) = (tempfile::tempdir().unwrap(), Golden::read());
    let shapes = [
        ("plain", Shape { kv_heads: 4, ..grouped() }),
        ("grouped", grouped()),
        ("tied", Shape { tied: true, ..grouped() }),
        ("biased", Shape { biases: &ALL, ..grouped() }),
        ("qwen2", Shape { architecture: "qwen2", biases: &ALL[..3], ..grouped() }),
        ("qwen3", Shape { architecture: "qwen3", norms: true, tied: true, ..grouped() }),
        ("linear", Shape { keys: linear(), ..grouped() }),
        ("yarn", Shape { keys: yarn(32), ..grouped() }),
        ("factors", Shape { factors: true, ..grouped() }),
        ("deep", small()),
        ("deep_linear", Shape { keys: linear(), ..small() }),
        ("deep_yarn", Shape { keys: yarn(512), ..small() }),
        ("deep_factors", Shape { factors: true, ..small() }),
    ];
    for (name, shape) in shapes {
        let length = if name.starts_with("deep") { 8192 } else { 64 };
        let found = kept(&write_shape(home.path(), name, Format::F32, &shape), &tokens(length));
        let error = worst(&found, &golden.logits(name));
        println!("{name}: {error:.1e}");
        assert!(error < SHAPES, "{name}: off by {error:.1e}");
    }
}
