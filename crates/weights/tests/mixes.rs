//! Quantizing whole models against llama.cpp's `llama-quantize` (`tests/golden/mixes.py`): the choice of formats, and the bytes.

#![allow(clippy::unwrap_used)] // a test may panic

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use huacaya_progress::unwatched;
use huacaya_weights::gguf::{File, Metadata, TensorPlan, Writer};
use huacaya_weights::quantize::{Fault, Group, Importance, Scheme, Shape, Wanted, plan, quantize, target};
use huacaya_weights::{Fault as AnyFault, Format};
use serde_json::Value;
use sha2::{Digest, Sha256};

const VOCABULARY: usize = 64;

#[derive(Clone, Copy)]
struct Model {
    architecture: &'static str,
    layers: usize,
    hidden: usize,
    ffn: usize,
    heads: usize,
    kv_heads: usize,
    tied: bool,
}

const fn model(architecture: &'static str, sizes: [usize; 5], tied: bool) -> Model {
    let [layers, hidden, ffn, heads, kv_heads] = sizes;
    Model { architecture, layers, hidden, ffn, heads, kv_heads, tied }
}

const SMALL: Model = model("llama", [3, 256, 512, 8, 4], false);

/// As in the golden script.
const MODELS: [(&str, Model); 7] = [
    ("7b", model("llama", [32, 256, 256, 2, 2], false)),
    ("1.3b", model("llama", [4, 256, 256, 2, 2], false)),
    ("13b", model("llama", [40, 256, 256, 2, 2], false)),
    ("70b", model("llama", [80, 256, 256, 8, 1], false)),
    ("shared", model("qwen3", [28, 256, 256, 8, 2], true)),
    ("no_whole_k_blocks", model("llama", [8, 96, 160, 2, 2], false)),
    ("no_whole_blocks", model("qwen2", [8, 80, 144, 2, 1], true)),
];

impl Model {
    fn tensors(self) -> Vec<TensorPlan> {
        let Model { hidden, ffn, .. } = self;
        let kv = hidden / self.heads * self.kv_heads;
        let of = |name: &str, shape: &[usize]| TensorPlan::from_shape(&format!("{name}.weight"), shape, Format::F32);
        let mut tensors = vec![of("token_embd", &[VOCABULARY, hidden]), of("output_norm", &[hidden])];
        if !self.tied {
            tensors.push(of("output", &[VOCABULARY, hidden]));
        }
        for layer in 0..self.layers {
            let of = |name: &str, shape: &[usize]| of(&format!("blk.{layer}.{name}"), shape);
            tensors.extend([
                of("attn_norm", &[hidden]),
                of("attn_q", &[hidden, hidden]),
                of("attn_k", &[kv, hidden]),
                of("attn_v", &[kv, hidden]),
                of("attn_output", &[hidden, hidden]),
                of("ffn_norm", &[hidden]),
                of("ffn_gate", &[ffn, hidden]),
                of("ffn_up", &[ffn, hidden]),
                of("ffn_down", &[hidden, ffn]),
            ]);
        }
        tensors
    }

    fn write(self, path: &Path) {
        let mut metadata = Metadata::new(path);
        let key = |name: &str| format!("{}.{name}", self.architecture);
        metadata.set("general.architecture", self.architecture.into());
        metadata.set(&key("block_count"), (self.layers as u32).into());
        metadata.set(&key("attention.head_count"), (self.heads as u32).into());
        metadata.set(&key("attention.head_count_kv"), (self.kv_heads as u32).into());
        let tensors = self.tensors();
        let mut writer = Writer::create(path, &metadata, &tensors).unwrap();
        for (seed, tensor) in tensors.iter().enumerate() {
            writer.values(&tensor.name, &values(seed as u64, tensor.dimensions.iter().product())).unwrap();
        }
        writer.finish().unwrap();
    }

    /// For each matrix but the embedding: (column % 97 + 1) / 8.
    fn importance(self) -> Importance {
        let mut importance = Importance::default();
        for tensor in self.tensors() {
            if tensor.dimensions.len() == 2 && tensor.name != "token_embd.weight" {
                let columns: Vec<f32> = (0..tensor.dimensions[0]).map(|i| (i % 97 + 1) as f32 / 8.0).collect();
                importance.add(&tensor.name, &columns, 1.0);
            }
        }
        importance
    }

    fn shape(self) -> Shape {
        Shape { layers: self.layers, heads: self.heads, kv_heads: self.kv_heads }
    }
}

/// The golden script's formula.
fn values(seed: u64, count: u64) -> Vec<f32> {
    let value = |i: u64| {
        let mut x = (i * 0x9E37_79B1 + seed * 0x85EB_CA77) & 0xFFFF_FFFF;
        x ^= x >> 15;
        x = (x * 0x2C1B_3C6D) & 0xFFFF_FFFF;
        x ^= x >> 12;
        ((x >> 8) as f32 / (1 << 23) as f32 - 1.0) * 0.05
    };
    (0..count).map(value).collect()
}

fn golden() -> Value {
    serde_json::from_slice(&fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/mixes.json")).unwrap()).unwrap()
}

fn wanted(scheme: Scheme, weighted: bool) -> Wanted {
    Wanted { scheme, by_hand: Vec::new(), weighted }
}

/// "Q6_K*4 Q4_K*12": formats by group, in the order of the layers.
fn groups(tensors: &[TensorPlan]) -> BTreeMap<String, String> {
    let mut groups: BTreeMap<String, Vec<Format>> = BTreeMap::new();
    for tensor in tensors {
        let parts: Vec<&str> = tensor.name.split('.').collect();
        groups.entry(parts[if parts[0] == "blk" { 2 } else { 0 }].to_owned()).or_default().push(tensor.format);
    }
    let runs = |formats: Vec<Format>| {
        let runs = formats.chunk_by(|a, b| a == b).map(|run| format!("{}*{}", run[0], run.len()));
        runs.collect::<Vec<_>>().join(" ")
    };
    groups.into_iter().map(|(group, formats)| (group, runs(formats))).collect()
}

#[test]
fn every_tensor_gets_the_format_that_llama_cpp_gives_it() {
    let golden = golden();
    for (name, model) in MODELS {
        for weighted in [false, true] {
            let case = format!("{name}{}", if weighted { "_weighted" } else { "" });
            for scheme in Scheme::ALL {
                let found = groups(&plan(&model.tensors(), model.shape(), &wanted(scheme, weighted)));
                let wanted: BTreeMap<String, String> =
                    serde_json::from_value(golden["formats"][&case][scheme.name()].clone()).unwrap();
                assert_eq!(found, wanted, "{case}, {scheme}");
            }
        }
    }
}

#[test]
fn a_quantized_model_has_the_bytes_that_llama_quantize_writes() {
    let golden = golden();
    let folder = tempfile::tempdir().unwrap();
    let (source, made) = (folder.path().join("source.gguf"), folder.path().join("made.gguf"));
    SMALL.write(&source);
    let importance = SMALL.importance();
    for scheme in Scheme::ALL {
        for weighted in [false, true] {
            let matrix = weighted.then_some(&importance);
            let report = quantize(&source, &made, &wanted(scheme, weighted), matrix, 3, &mut unwatched()).unwrap();
            let file = File::open(&made).unwrap();
            assert_eq!(report.bytes, fs::metadata(&made).unwrap().len());
            assert_eq!(file.metadata().get::<u32>("general.file_type").unwrap(), scheme.file_type());
            let mut tensors: Vec<_> = file.tensors().iter().collect();
            tensors.sort_by(|a, b| a.name.cmp(&b.name));
            let mut digest = Sha256::new();
            tensors.iter().for_each(|tensor| digest.update(file.bytes(tensor)));
            let found: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            let name = format!("{scheme}{}", if weighted { "_weighted" } else { "" });
            assert_eq!(found, golden["bytes"][&name].as_str().unwrap(), "{name}");
        }
    }
}

#[test]
fn formats_set_by_hand_come_before_the_schemes() {
    let by_hand = vec![(Group::Value, Format::Q8_0), (Group::Embedding, Format::F16)];
    let planned = plan(&SMALL.tensors(), SMALL.shape(), &Wanted { scheme: Scheme::Q4_0, by_hand, weighted: false });
    let groups = groups(&planned);
    assert_eq!(groups["attn_v"], "Q8_0*3");
    assert_eq!(groups["token_embd"], "F16*1");
    assert_eq!(groups["attn_q"], "Q4_0*3");
}

#[test]
fn a_stopped_quantization_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (source, made) = (folder.path().join("source.gguf"), folder.path().join("made.gguf"));
    SMALL.write(&source);
    let mut calls = 0;
    let mut stop = |_| {
        calls += 1;
        if calls < 5 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let stopped = quantize(&source, &made, &wanted(Scheme::Q4_K_M, false), None, 2, &mut stop).unwrap_err();
    assert!(matches!(stopped.fault, AnyFault::Stopped), "{stopped}");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["source.gguf"]);
}

#[test]
fn what_cannot_be_quantized_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (source, made) = (folder.path().join("source.gguf"), folder.path().join("made.gguf"));
    SMALL.write(&source);
    let onto_itself = quantize(&source, &source, &wanted(Scheme::Q8_0, false), None, 1, &mut unwatched()).unwrap_err();
    assert!(matches!(onto_itself.fault, AnyFault::Quantize(Fault::OntoItself)), "{onto_itself}");

    let mut foreign = Importance::default();
    foreign.add("blk.1.ffn_up.weight", &[1.0; 12], 1.0);
    let refused =
        quantize(&source, &made, &wanted(Scheme::Q4_K_M, true), Some(&foreign), 1, &mut unwatched()).unwrap_err();
    assert!(refused.to_string().contains("blk.1.ffn_up.weight"), "{refused}");
    let mut foreign = Importance::default();
    foreign.add("encoder.layer.0.weight", &[1.0; 256], 1.0);
    let refused =
        quantize(&source, &made, &wanted(Scheme::Q4_K_M, true), Some(&foreign), 1, &mut unwatched()).unwrap_err();
    assert!(matches!(refused.fault, AnyFault::Quantize(Fault::ImportanceForeign)), "{refused}");

    let mut odd = fs::read(&source).unwrap();
    let tensor = File::open(&source).unwrap().tensor("blk.2.ffn_gate.weight").unwrap().clone();
    odd[tensor.start as usize + 400..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&source, odd).unwrap();
    let refused = quantize(&source, &made, &wanted(Scheme::Q4_0, false), None, 2, &mut unwatched()).unwrap_err();
    assert!(refused.to_string().contains("blk.2.ffn_gate.weight"), "{refused}");
    assert!(!made.exists());
}

#[test]
fn the_size_is_known_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (source, made) = (folder.path().join("source.gguf"), folder.path().join("made.gguf"));
    SMALL.write(&source);
    for scheme in [Scheme::F16, Scheme::Q6_K, Scheme::IQ4_XS] {
        let (_, size) = target(&File::open(&source).unwrap(), &wanted(scheme, false)).unwrap();
        quantize(&source, &made, &wanted(scheme, false), None, 2, &mut unwatched()).unwrap();
        assert_eq!(size, fs::metadata(&made).unwrap().len(), "{scheme}");
    }
}

#[test]
fn rounding_once_more_what_was_rounded_before_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    SMALL.write(&path("f32.gguf"));
    let made = |from: &str, scheme: Scheme, to: &str| {
        quantize(&path(from), &path(to), &wanted(scheme, false), None, 2, &mut unwatched()).unwrap().requantized
    };
    assert_eq!(made("f32.gguf", Scheme::F16, "f16.gguf"), 0);
    assert_eq!(made("f16.gguf", Scheme::Q8_0, "q8_0.gguf"), 0, "plain numbers were not rounded to blocks");
    assert_eq!(made("q8_0.gguf", Scheme::Q8_0, "again.gguf"), 0, "bytes are taken over");
    assert!(made("q8_0.gguf", Scheme::Q4_0, "q4_0.gguf") > 0);
}

#[test]
fn an_importance_matrix_survives_being_saved_and_old_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("imatrix.gguf");
    let mut importance = SMALL.importance();
    importance.source = "中文 and English".into();
    importance.chunks = 7;
    importance.save(&path).unwrap();
    assert_eq!(Importance::open(&path).unwrap(), importance);

    let old = folder.path().join("imatrix.dat");
    let mut bytes = Vec::new();
    for part in [1i32.to_le_bytes(), 3i32.to_le_bytes()] {
        bytes.extend(part);
    }
    bytes.extend(b"a.b");
    for part in [4i32.to_le_bytes(), 2i32.to_le_bytes(), 6f32.to_le_bytes(), 2f32.to_le_bytes()] {
        bytes.extend(part);
    }
    fs::write(&old, &bytes).unwrap();
    assert_eq!(Importance::open(&old).unwrap().of("a.b"), Some(&[1.5, 0.5][..]));
    for length in 0..bytes.len() {
        fs::write(&old, &bytes[..length]).unwrap();
        assert!(Importance::open(&old).is_err(), "cut at {length}");
    }
}
