//! A seeded random Llama with a small vocabulary of its own: a model that talks nonsense, and does not end by itself.

use std::path::Path;

use huacaya_weights::{
    Format,
    gguf::{Metadata, TensorPlan, Value, Writer},
};

const HIDDEN: usize = 32;
const FFN: usize = 64;
const LAYERS: usize = 2;
const HEADS: usize = 4;
pub const CONTEXT: u32 = 2048;
/// Chinese and ASCII pieces beside the bytes.
const LETTERS: &str =
    "的一是不了人我在有他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里好很吗呢";

/// Writes the model; the same bytes every time.
pub fn write(path: &Path) {
    let pieces = pieces();
    let plan = plan(pieces.len());
    let mut writer = Writer::create(path, &metadata(&pieces), &plan).unwrap();
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for tensor in &plan {
        let count: u64 = tensor.dimensions.iter().product();
        let norm = tensor.name.ends_with("norm.weight");
        let mut values: Vec<f32> = (0..count).map(|_| if norm { 1.0 } else { random.next() * 0.4 }).collect();
        if tensor.name == "output.weight" {
            // The end, unknown and start tokens are never the likeliest.
            values[..3 * HIDDEN].fill(0.0);
        }
        writer.values(&tensor.name, &values).unwrap();
    }
    writer.finish().unwrap();
}

fn pieces() -> Vec<(String, f32, i32)> {
    let mut pieces = vec![("<unk>".to_string(), 0.0, 2), ("<s>".to_string(), 0.0, 3), ("</s>".to_string(), 0.0, 3)];
    pieces.extend((0..256).map(|byte| (format!("<0x{byte:02X}>"), 0.0, 6)));
    let letters = ('!'..='~').chain(LETTERS.chars()).map(|letter| letter.to_string());
    let spaces = ["▁".to_string(), "▁▁".to_string()];
    let all: Vec<String> = spaces.into_iter().chain(letters).collect();
    pieces.extend(all.into_iter().enumerate().map(|(rank, piece)| (piece, -(rank as f32), 1)));
    pieces
}

fn metadata(pieces: &[(String, f32, i32)]) -> Metadata {
    let mut metadata = Metadata::new(Path::new("tiny.gguf"));
    let mut set = |key: &str, value: Value| metadata.set(key, value);
    set("general.architecture", "llama".into());
    set("general.name", "Tiny Chinese-Alpaca-2".into());
    set("llama.context_length", CONTEXT.into());
    set("llama.embedding_length", (HIDDEN as u32).into());
    set("llama.block_count", (LAYERS as u32).into());
    set("llama.feed_forward_length", (FFN as u32).into());
    set("llama.attention.head_count", (HEADS as u32).into());
    set("llama.attention.head_count_kv", (HEADS as u32).into());
    set("llama.attention.layer_norm_rms_epsilon", 1e-5f32.into());
    set("llama.rope.dimension_count", ((HIDDEN / HEADS) as u32).into());
    set("llama.rope.freq_base", 10000f32.into());
    set("tokenizer.ggml.model", "llama".into());
    set("tokenizer.ggml.tokens", pieces.iter().map(|(piece, ..)| piece.clone()).collect::<Vec<_>>().into());
    set("tokenizer.ggml.scores", pieces.iter().map(|(_, score, _)| *score).collect::<Vec<_>>().into());
    set("tokenizer.ggml.token_type", pieces.iter().map(|(.., kind)| *kind).collect::<Vec<_>>().into());
    set("tokenizer.ggml.bos_token_id", 1u32.into());
    set("tokenizer.ggml.eos_token_id", 2u32.into());
    set("tokenizer.ggml.unknown_token_id", 0u32.into());
    set("tokenizer.ggml.add_bos_token", true.into());
    set("tokenizer.ggml.add_eos_token", false.into());
    metadata
}

fn plan(vocabulary: usize) -> Vec<TensorPlan> {
    let tensor = |name: &str, shape: &[usize]| TensorPlan::from_shape(name, shape, Format::F32);
    let mut plan = vec![tensor("token_embd.weight", &[vocabulary, HIDDEN])];
    for layer in 0..LAYERS {
        for (name, shape) in [
            ("attn_norm", &[HIDDEN][..]),
            ("attn_q", &[HIDDEN, HIDDEN]),
            ("attn_k", &[HIDDEN, HIDDEN]),
            ("attn_v", &[HIDDEN, HIDDEN]),
            ("attn_output", &[HIDDEN, HIDDEN]),
            ("ffn_norm", &[HIDDEN]),
            ("ffn_gate", &[FFN, HIDDEN]),
            ("ffn_up", &[FFN, HIDDEN]),
            ("ffn_down", &[HIDDEN, FFN]),
        ] {
            plan.push(tensor(&format!("blk.{layer}.{name}.weight"), shape));
        }
    }
    plan.push(tensor("output_norm.weight", &[HIDDEN]));
    plan.push(tensor("output.weight", &[vocabulary, HIDDEN]));
    plan
}

/// xorshift64*: uniform in -1..1.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40;
        bits as f32 / (1u64 << 23) as f32 - 1.0
    }
}
