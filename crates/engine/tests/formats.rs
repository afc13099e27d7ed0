//! GGUF files: neighbouring pairs turn, every block format loads and agrees with its own values in f32, and what cannot be
//! computed is refused.

#![allow(clippy::unwrap_used)] // a test's helper may panic

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use huacaya_engine::Error;
use huacaya_engine::candle::{Decoder, Fused, Ops, Plain};
use huacaya_engine::config::Config;
use huacaya_kernels::{Format, dequantize};
use huacaya_progress::unwatched;
use huacaya_weights::gguf::{File, Metadata, TensorPlan, Value, Writer};

/// candle rounds the rows that it multiplies with blocks to 8 bits.
const BLOCK_TOLERANCE: f32 = 0.03;
const DENSE_TOLERANCE: f32 = 1e-5;

/// Metadata of a llama file with the given shape.
fn metadata(path: &Path, hidden: u32, layers: u32, heads: u32, ffn: u32, context: u32) -> Metadata {
    let mut metadata = Metadata::new(path);
    metadata.set("general.architecture", Value::from("llama"));
    for (key, value) in [
        ("embedding_length", hidden),
        ("block_count", layers),
        ("attention.head_count", heads),
        ("attention.head_count_kv", heads),
        ("feed_forward_length", ffn),
        ("context_length", context),
    ] {
        metadata.set(&format!("llama.{key}"), Value::from(value));
    }
    metadata.set("llama.attention.layer_norm_rms_epsilon", Value::from(1e-5f32));
    metadata
}

fn write(path: &Path, metadata: &Metadata, tensors: &[(String, Vec<usize>, Format, Vec<u8>)]) {
    let plan = tensors.iter().map(|(name, shape, format, _)| TensorPlan::from_shape(name, shape, *format));
    let mut writer = Writer::create(path, metadata, &plan.collect::<Vec<_>>()).unwrap();
    tensors.iter().for_each(|(name, _, _, bytes)| writer.bytes(name, bytes).unwrap());
    writer.finish().unwrap();
}

fn logits(decoder: &Decoder, tokens: &[u32]) -> Vec<f32> {
    let tokens = Tensor::new(tokens, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    decoder.forward(&tokens).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The root mean square of the differences, as a part of that of the expected values.
fn error(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let square = |sum: f32, value: f32| sum + value * value;
    let differences = found.iter().zip(expected).map(|(f, e)| f - e).fold(0.0, square);
    (differences / expected.iter().copied().fold(0.0, square)).sqrt()
}

/// Numbers that do not repeat.
fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

/// Our name of a tensor in the naming of Hugging Face.
fn folder_name(name: &str) -> String {
    let inner = [
        ("attn_q_norm", "self_attn.q_norm"),
        ("attn_k_norm", "self_attn.k_norm"),
        ("attn_norm", "input_layernorm"),
        ("ffn_norm", "post_attention_layernorm"),
        ("attn_q", "self_attn.q_proj"),
        ("attn_k", "self_attn.k_proj"),
        ("attn_v", "self_attn.v_proj"),
        ("attn_output", "self_attn.o_proj"),
        ("ffn_gate", "mlp.gate_proj"),
        ("ffn_up", "mlp.up_proj"),
        ("ffn_down", "mlp.down_proj"),
    ];
    match name {
        "token_embd.weight" => "model.embed_tokens.weight".to_string(),
        "output_norm.weight" => "model.norm.weight".to_string(),
        "output.weight" => "lm_head.weight".to_string(),
        _ => {
            let (ours, theirs) = inner.iter().find(|(ours, _)| name.contains(ours)).unwrap();
            name.replace("blk.", "model.layers.").replace(ours, theirs)
        }
    }
}

/// A golden folder as llama.cpp's converter would write it: the rows of a llama's queries and keys stand in another order
/// (`LlamaModel.permute`), so that neighbours turn.
fn convert(folder: &Path, path: &Path, architecture: &str, more: &[(&str, Value)], factors: Option<Vec<f32>>) {
    let stored = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
    let decoder = Decoder::open(folder, Arc::new(Plain), &mut unwatched()).unwrap();
    let config = decoder.config();
    let (heads, kv_heads) = (config.heads, config.kv_heads);
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: Vec<usize>, values: Vec<f32>| {
        tensors.push((name, shape, Format::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect()));
    };
    for (name, shape) in config.parameters() {
        let mut tensor = stored[&folder_name(&name)].to_dtype(DType::F32).unwrap();
        let turned = [("attn_q.", heads), ("attn_k.", kv_heads)].into_iter().find(|(part, _)| name.contains(part));
        if let (Some((_, heads)), "llama") = (turned, architecture) {
            let rows = tensor.dim(0).unwrap();
            let split = tensor.reshape((heads, 2, rows / heads / 2, tensor.elem_count() / rows)).unwrap();
            tensor = split.transpose(1, 2).unwrap().reshape(shape.as_slice()).unwrap();
        }
        add(name, shape, tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap());
    }
    if let Some(factors) = factors {
        add("rope_freqs.weight".to_string(), vec![factors.len()], factors);
    }
    let mut metadata = metadata(path, 32, 2, heads as u32, 48, 512);
    metadata.set("llama.attention.head_count_kv", Value::from(kv_heads as u32));
    metadata.set("llama.attention.key_length", Value::from(config.head_size as u32));
    metadata.set("llama.rope.freq_base", Value::from(config.rope.base));
    more.iter().for_each(|(key, value)| metadata.set(&format!("llama.{key}"), value.clone()));
    let mut renamed = Metadata::new(path);
    metadata
        .iter()
        .for_each(|(key, value)| renamed.set(&key.replace("llama.", &format!("{architecture}.")), value.clone()));
    renamed.set("general.architecture", Value::from(architecture));
    write(path, &renamed, &tensors);
}

/// llama.cpp's converter, `generate_extra_tensors` of `LlamaModel`.
fn llama3_factors(base: f32, head_size: usize, factor: f32, low: f32, high: f32, original: f32) -> Vec<f32> {
    let pairs = (0..head_size / 2).map(|i| 2.0 * std::f32::consts::PI * base.powf(2.0 * i as f32 / head_size as f32));
    pairs
        .map(|wavelength| {
            if wavelength < original / high {
                1.0
            } else if wavelength > original / low {
                factor
            } else {
                let smooth = (original / wavelength - low) / (high - low);
                1.0 / ((1.0 - smooth) / factor + smooth)
            }
        })
        .collect()
}

#[test]
fn files_as_llama_cpp_writes_them_have_the_logits_of_transformers() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("model.gguf");
    let scaling = |kind: &str, factor: f32| {
        vec![("rope.scaling.type", Value::from(kind)), ("rope.scaling.factor", Value::from(factor))]
    };
    let mut yarn = scaling("yarn", 16.0);
    yarn.push(("rope.scaling.original_context_length", Value::from(32u32)));
    let factors = llama3_factors(10000.0, 16, 8.0, 1.0, 4.0, 64.0);
    for (name, architecture, more, factors) in [
        ("plain", "llama", Vec::new(), None),
        ("grouped_tied", "llama", Vec::new(), None),
        ("linear", "llama", scaling("linear", 4.0), None),
        ("yarn", "llama", yarn, None),
        ("llama3", "llama", Vec::new(), Some(factors)),
        ("biases", "llama", Vec::new(), None),
        ("mistral", "llama", Vec::new(), None),
        ("qwen2", "qwen2", Vec::new(), None),
        ("qwen3", "qwen3", Vec::new(), None),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/logits").join(name);
        convert(&folder, &path, architecture, &more, factors);
        let expected = fs::read(folder.join("logits.f32")).unwrap();
        let expected: Vec<f32> =
            expected.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let tokens: Vec<u32> = (0..48).map(|i| (7 * i * i + 3 * i + 5) % 64).collect();
        for ops in [Arc::new(Plain) as Arc<dyn Ops>, Arc::new(Fused)] {
            let found = logits(&Decoder::open(&path, ops, &mut unwatched()).unwrap(), &tokens);
            assert!(error(&found, &expected) < 1e-4, "{name}: {}", error(&found, &expected));
        }
    }
}

/// Where a block's f16 scales stand, and what they are, so that random codes give weights of some hundredths
/// around zero.
fn scales(format: Format) -> &'static [(usize, f32)] {
    match format {
        Format::Q4_0 | Format::Q5_0 => &[(0, 0.008)],
        Format::Q4_1 | Format::Q5_1 => &[(0, 0.008), (2, -0.1)],
        Format::Q8_0 | Format::IQ4_NL => &[(0, 0.0008)],
        Format::Q2_K => &[(80, 0.004), (82, 0.006)],
        Format::Q3_K => &[(108, 0.001)],
        Format::Q4_K => &[(0, 0.0002), (2, 0.0015)],
        Format::Q5_K => &[(0, 0.0001), (2, 0.00155)],
        Format::Q6_K => &[(208, 0.00003)],
        Format::IQ4_XS => &[(0, 0.00004)],
        Format::F32 | Format::F16 | Format::BF16 | Format::MXFP4 => &[],
    }
}

fn random_blocks(format: Format, values: usize, next: &mut impl FnMut() -> u64) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..format.bytes_of(values as u64).unwrap()).map(|_| next() as u8).collect();
    let unit = |next: &mut dyn FnMut() -> u64| (next() % 2001) as f32 / 10000.0 - 0.1;
    for block in bytes.chunks_mut(format.block_bytes()) {
        match format {
            Format::F32 => block.copy_from_slice(&unit(next).to_le_bytes()),
            Format::F16 => block.copy_from_slice(&half::f16::from_f32(unit(next)).to_le_bytes()),
            Format::BF16 => block.copy_from_slice(&half::bf16::from_f32(unit(next)).to_le_bytes()),
            Format::MXFP4 => block[0] = 121,
            _ => {}
        }
        for &(at, scale) in scales(format) {
            let scale = scale * (0.75 + (next() % 1000) as f32 / 2000.0);
            block[at..at + 2].copy_from_slice(&half::f16::from_f32(scale).to_le_bytes());
        }
    }
    bytes
}

#[test]
fn every_block_format_loads_and_agrees_with_its_values_in_f32() {
    let (hidden, vocabulary, context) = (256usize, 64usize, 128);
    let home = tempfile::tempdir().unwrap();
    for (seed, format) in Format::ALL.into_iter().enumerate() {
        let mut next = random(seed as u64);
        let path = home.path().join(format!("{format}.gguf"));
        let metadata = metadata(&path, hidden as u32, 1, 4, 256, context);
        // The shape is read from a file, so one with the right names and shapes is written first.
        let names = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];
        let mut shapes = vec![("token_embd.weight".to_string(), vec![vocabulary, hidden])];
        shapes.extend(names.map(|name| (format!("blk.0.{name}.weight"), vec![256, hidden])));
        shapes.extend(["attn_norm", "ffn_norm"].map(|name| (format!("blk.0.{name}.weight"), vec![hidden])));
        shapes.push(("output_norm.weight".to_string(), vec![hidden]));
        shapes.push(("output.weight".to_string(), vec![vocabulary, hidden]));
        let tensors = shapes.into_iter().map(|(name, shape)| {
            let format = if shape.len() == 1 { Format::F32 } else { format };
            let mut bytes = random_blocks(format, shape.iter().product(), &mut next);
            if shape.len() == 1 {
                bytes = 1.0f32.to_le_bytes().repeat(hidden);
            }
            (name, shape, format, bytes)
        });
        let tensors: Vec<_> = tensors.collect();
        write(&path, &metadata, &tensors);
        let config = Config::from_gguf(&File::open(&path).unwrap()).unwrap();
        let dense = tensors.iter().map(|(name, shape, format, bytes)| {
            let mut values = vec![0.0; shape.iter().product()];
            dequantize(*format, bytes, &mut values).unwrap();
            (name.clone(), Tensor::from_vec(values, shape.as_slice(), &Device::Cpu).unwrap())
        });
        let dense = Decoder::new(&config, &dense.collect::<HashMap<_, _>>()).unwrap();
        let stored = Decoder::open(&path, Arc::new(Fused), &mut unwatched()).unwrap();
        let is_dense = format.is_plain() || matches!(format, Format::IQ4_NL | Format::IQ4_XS | Format::MXFP4);
        let tolerance = if is_dense { DENSE_TOLERANCE } else { BLOCK_TOLERANCE };
        // One row and many: candle has other kernels for each.
        for length in [1, 70] {
            let tokens: Vec<u32> = (0..length).map(|i| (i * 13 + 7) % vocabulary as u32).collect();
            let error = error(&logits(&stored, &tokens), &logits(&dense, &tokens));
            println!("{format}, {length} tokens: {error:.1e}");
            assert!(error < tolerance, "{format}, {length} tokens: off by {error:.1e}");
        }
    }
}

#[test]
fn files_that_cannot_be_computed_are_refused_by_name() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("model.gguf");
    let tensor = |name: &str, shape: &[usize]| {
        let values: usize = shape.iter().product();
        (name.to_string(), shape.to_vec(), Format::F32, vec![0; values * 4])
    };
    let open = |metadata: &Metadata| {
        write(&path, metadata, &[tensor("token_embd.weight", &[8, 32])]);
        Decoder::open(&path, Arc::new(Fused), &mut unwatched()).map(|_| ()).unwrap_err()
    };
    let sound = || metadata(&path, 32, 1, 4, 48, 64);
    let with = |key: &str, value: Value| {
        let mut metadata = sound();
        metadata.set(key, value);
        metadata
    };
    let error = open(&with("general.architecture", Value::from("falcon")));
    assert!(matches!(&error, Error::Architecture { architecture } if architecture == "falcon"), "{error}");
    let error = open(&with("llama.expert_count", Value::from(8u32)));
    assert!(matches!(&error, Error::Architecture { architecture } if architecture.contains("experts")), "{error}");
    let error = open(&sound());
    assert!(matches!(&error, Error::TensorMissing { tensor } if tensor == "blk.0.attn_q.weight"), "{error}");
    let error = open(&with("llama.embedding_length", Value::from(64u32)));
    assert!(matches!(&error, Error::TensorShape { tensor, .. } if tensor == "token_embd.weight"), "{error}");
    for (key, value) in [
        ("llama.attention.head_count", Value::from(0u32)),
        ("llama.attention.head_count", Value::from(u32::MAX)),
        ("llama.attention.head_count_kv", Value::from(3u32)),
        ("llama.block_count", Value::from(u64::MAX)),
        ("llama.block_count", Value::from(-1i32)),
        ("llama.embedding_length", Value::from(0u32)),
        ("llama.embedding_length", Value::from("many")),
        ("llama.context_length", Value::from(0u32)),
        ("llama.rope.freq_base", Value::from(f32::NAN)),
        ("llama.rope.dimension_count", Value::from(7u32)),
        ("llama.rope.dimension_count", Value::from(4096u32)),
        ("llama.rope.scaling.type", Value::from("sideways")),
        ("llama.attention.layer_norm_rms_epsilon", Value::from(-1.0f32)),
    ] {
        let error = open(&with(key, value.clone()));
        assert!(matches!(error, Error::Config { .. } | Error::Weights(_)), "{key} = {value:?}: {error}");
    }
}
