//! Random models as files. tests/golden/llama_logits.py writes the same ones, from the same generator.

use std::path::{Path, PathBuf};

use huacaya_kernels::Format;
use huacaya_weights::gguf::{Metadata, TensorPlan, Value, Writer};

pub(crate) const VOCABULARY: usize = 64;
const LAYERS: usize = 2;

/// What a random model is like.
#[derive(Clone)]
pub(crate) struct Shape {
    pub architecture: &'static str,
    pub hidden: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub ffn: usize,
    pub context: usize,
    pub tied: bool,
    /// Which matrices have one.
    pub biases: &'static [&'static str],
    /// Of each query's and key's head.
    pub norms: bool,
    /// Each frequency of the rope has a factor.
    pub factors: bool,
    /// Behind the architecture's name.
    pub keys: Vec<(&'static str, Value)>,
}

/// Rows of whole blocks of any format; two heads share keys.
pub(crate) fn grouped() -> Shape {
    Shape {
        architecture: "llama",
        hidden: 256,
        heads: 4,
        kv_heads: 2,
        ffn: 512,
        context: 512,
        tied: false,
        biases: &[],
        norms: false,
        factors: false,
        keys: Vec::new(),
    }
}

/// One for long texts.
pub(crate) fn small() -> Shape {
    Shape { hidden: 64, heads: 2, kv_heads: 1, ffn: 96, context: 8192, ..grouped() }
}

pub(crate) fn linear() -> Vec<(&'static str, Value)> {
    vec![("rope.scaling.type", Value::from("linear")), ("rope.scaling.factor", Value::from(4.0f32))]
}

pub(crate) fn yarn(original: u32) -> Vec<(&'static str, Value)> {
    vec![
        ("rope.scaling.type", Value::from("yarn")),
        ("rope.scaling.factor", Value::from(16.0f32)),
        ("rope.scaling.original_context_length", Value::from(original)),
    ]
}

/// The grouped model with its matrices in one format.
pub(crate) fn write(folder: &Path, format: Format) -> PathBuf {
    write_shape(folder, &format.to_string(), format, &grouped())
}

pub(crate) fn write_shape(folder: &Path, name: &str, format: Format, shape: &Shape) -> PathBuf {
    let path = folder.join(format!("{name}.gguf"));
    let mut metadata = Metadata::new(&path);
    metadata.set("general.architecture", Value::from(shape.architecture));
    let sizes = [
        ("embedding_length", shape.hidden),
        ("block_count", LAYERS),
        ("attention.head_count", shape.heads),
        ("attention.head_count_kv", shape.kv_heads),
        ("feed_forward_length", shape.ffn),
        ("context_length", shape.context),
    ];
    let sizes = sizes.map(|(key, value)| (key, Value::from(value as u32)));
    let epsilon = ("attention.layer_norm_rms_epsilon", Value::from(1e-5f32));
    for (key, value) in sizes.into_iter().chain([epsilon]).chain(shape.keys.clone()) {
        metadata.set(&format!("{}.{key}", shape.architecture), value);
    }
    let shapes = tensors(shape);
    let format_of = |shape: &[usize]| if shape.len() == 1 { Format::F32 } else { format };
    let plan = shapes.iter().map(|(name, shape)| TensorPlan::from_shape(name, shape, format_of(shape)));
    let mut writer = Writer::create(&path, &metadata, &plan.collect::<Vec<_>>()).unwrap();
    let mut noise = noise();
    for (name, shape) in &shapes {
        let count: usize = shape.iter().product();
        if format == Format::MXFP4 && shape.len() == 2 {
            // Nothing writes it: random codes, with scales of some sixteenths.
            let mut bytes: Vec<u8> = (0..count / 32 * 17).map(|_| (noise() * 127.0) as i8 as u8).collect();
            bytes.chunks_mut(17).for_each(|block| block[0] = 122);
            writer.bytes(name, &bytes).unwrap();
            continue;
        }
        let values: Vec<f32> = (0..count).map(|i| value(name, shape, i, &mut noise)).collect();
        writer.values(name, &values).unwrap();
    }
    writer.finish().unwrap();
    path
}

/// Names and shapes in the file's order.
fn tensors(shape: &Shape) -> Vec<(String, Vec<usize>)> {
    let Shape { hidden, heads, kv_heads, ffn, .. } = *shape;
    let head = hidden / heads;
    let mut all = vec![("token_embd.weight".to_string(), vec![VOCABULARY, hidden])];
    for layer in 0..LAYERS {
        for (name, rows, columns) in [
            ("attn_q", hidden, hidden),
            ("attn_k", kv_heads * head, hidden),
            ("attn_v", kv_heads * head, hidden),
            ("attn_output", hidden, hidden),
            ("ffn_gate", ffn, hidden),
            ("ffn_up", ffn, hidden),
            ("ffn_down", hidden, ffn),
        ] {
            all.push((format!("blk.{layer}.{name}.weight"), vec![rows, columns]));
            if shape.biases.contains(&name) {
                all.push((format!("blk.{layer}.{name}.bias"), vec![rows]));
            }
        }
        all.push((format!("blk.{layer}.attn_norm.weight"), vec![hidden]));
        all.push((format!("blk.{layer}.ffn_norm.weight"), vec![hidden]));
        if shape.norms {
            all.push((format!("blk.{layer}.attn_q_norm.weight"), vec![head]));
            all.push((format!("blk.{layer}.attn_k_norm.weight"), vec![head]));
        }
    }
    all.push(("output_norm.weight".to_string(), vec![hidden]));
    if !shape.tied {
        all.push(("output.weight".to_string(), vec![VOCABULARY, hidden]));
    }
    if shape.factors {
        all.push(("rope_freqs.weight".to_string(), vec![head / 2]));
    }
    all
}

fn value(name: &str, shape: &[usize], i: usize, noise: &mut impl FnMut() -> f32) -> f32 {
    if name == "rope_freqs.weight" {
        return 1.0 + i as f32 / 4.0;
    }
    match shape {
        _ if name.ends_with(".bias") => 0.3 * noise(),
        [_, columns] => noise() * (3.0 / *columns as f32).sqrt(),
        _ => 1.0 + 0.2 * noise(),
    }
}

/// A linear congruential generator, its upper bits in [-1, 1).
fn noise() -> impl FnMut() -> f32 {
    let mut state = 7u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}
