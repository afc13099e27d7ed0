//! A seeded random model in a GGUF file, for tests that need answers and not their sense. It does not end by itself.

use std::path::Path;

use huacaya_kernels::Format;
use huacaya_weights::gguf::{Metadata, TensorPlan, Value, Writer};

pub const HIDDEN: usize = 64;
pub const LAYERS: usize = 2;
pub const FFN: usize = 96;
pub const CONTEXT: usize = 512;
/// Unknown, begin, end, 256 bytes, and these.
const PIECES: [&str; 9] = ["▁", "a", "b", "你", "好", "，", "▁a", "ab", "你好"];
pub const VOCABULARY: usize = 3 + 256 + PIECES.len();

/// Writes the model. Other seeds are other models.
pub fn write(path: &Path, seed: u64, format: Format) {
    let mut shapes = vec![("token_embd.weight".to_string(), vec![VOCABULARY, HIDDEN])];
    for layer in 0..LAYERS {
        let mut add = |name: &str, shape: &[usize]| shapes.push((format!("blk.{layer}.{name}.weight"), shape.to_vec()));
        add("attn_q", &[HIDDEN, HIDDEN]);
        add("attn_k", &[HIDDEN / 2, HIDDEN]);
        add("attn_v", &[HIDDEN / 2, HIDDEN]);
        add("attn_output", &[HIDDEN, HIDDEN]);
        add("ffn_gate", &[FFN, HIDDEN]);
        add("ffn_up", &[FFN, HIDDEN]);
        add("ffn_down", &[HIDDEN, FFN]);
        add("attn_norm", &[HIDDEN]);
        add("ffn_norm", &[HIDDEN]);
    }
    shapes.push(("output_norm.weight".to_string(), vec![HIDDEN]));
    shapes.push(("output.weight".to_string(), vec![VOCABULARY, HIDDEN]));
    let format_of = |shape: &[usize]| if shape.len() == 1 { Format::F32 } else { format };
    let plan = shapes.iter().map(|(name, shape)| TensorPlan::from_shape(name, shape, format_of(shape)));
    let mut writer = Writer::create(path, &metadata(path), &plan.collect::<Vec<_>>()).unwrap();
    let mut state = seed;
    for (name, shape) in &shapes {
        let values: Vec<f32> = (0..shape.iter().product::<usize>())
            .map(|i| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let noise = (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
                match shape.len() {
                    1 => 1.0 + 0.2 * noise,
                    // Control tokens have a logit of 0, far below the largest.
                    _ if name == "output.weight" && i < 3 * HIDDEN => 0.0,
                    _ => noise * 3.0 / (shape[1] as f32).sqrt(),
                }
            })
            .collect();
        writer.values(name, &values).unwrap();
    }
    writer.finish().unwrap();
}

fn metadata(path: &Path) -> Metadata {
    let mut metadata = Metadata::new(path);
    let mut set = |key: &str, value: Value| metadata.set(key, value);
    set("general.architecture", "llama".into());
    set("general.name", "Tiny".into());
    for (key, value) in [
        ("embedding_length", HIDDEN),
        ("block_count", LAYERS),
        ("attention.head_count", 4),
        ("attention.head_count_kv", 2),
        ("feed_forward_length", FFN),
        ("context_length", CONTEXT),
    ] {
        set(&format!("llama.{key}"), Value::from(value as u32));
    }
    set("llama.attention.layer_norm_rms_epsilon", 1e-5f32.into());
    let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
    let pieces = ["<unk>", "<s>", "</s>"].map(String::from).into_iter().chain(bytes);
    let pieces: Vec<String> = pieces.chain(PIECES.map(String::from)).collect();
    let kinds = (0..VOCABULARY).map(|id| match id {
        0 => 2,
        1 | 2 => 3,
        3..259 => 6,
        _ => 1,
    });
    set("tokenizer.ggml.model", "llama".into());
    set("tokenizer.ggml.scores", (0..VOCABULARY).map(|id| -(id as f32)).collect::<Vec<f32>>().into());
    set("tokenizer.ggml.token_type", kinds.collect::<Vec<i32>>().into());
    set("tokenizer.ggml.tokens", pieces.into());
    set("tokenizer.ggml.bos_token_id", 1u32.into());
    set("tokenizer.ggml.eos_token_id", 2u32.into());
    metadata
}
