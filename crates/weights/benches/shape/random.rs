//! A model of Chinese-LLaMA-2's real shape with random values and a vocabulary of its size: 4 layers are the 1.3B, 32 the 7B.

use std::path::Path;

use huacaya_weights::Format;
use huacaya_weights::gguf::{Array, Metadata, TensorPlan, Value, Writer};

const HIDDEN: usize = 4096;
const FFN: usize = 11008;
const VOCABULARY: usize = 55_296;
const HEADS: u32 = 32;
const CONTEXT: u32 = 4096;
/// Pieces that stand before those of the bytes.
const SPECIAL: [&str; 3] = ["<unk>", "<s>", "</s>"];
/// Numbers of llama.cpp's `llama_token_type`.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const BYTE: i32 = 6;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Tokens of a circle: a line of code, about.
const CIRCLE: usize = 24;
/// Of a model that goes in circles, layers add so little to a token's embedding that it decides alone.
const HUSHED: f32 = 1e-3;

/// Writes the whole model in F16, of values that are spread as trained ones are, more or less: sums of three even ones. What it
/// says cannot be foreseen, or goes in `circles`: after each token comes the next of its circle.
pub fn write(path: &Path, layers: usize, circles: bool) -> Outcome<()> {
    let mut metadata = Metadata::new(path);
    metadata.set("general.architecture", "llama".into());
    for (key, value) in [
        ("block_count", layers as u32),
        ("context_length", CONTEXT),
        ("embedding_length", HIDDEN as u32),
        ("feed_forward_length", FFN as u32),
        ("attention.head_count", HEADS),
        ("attention.head_count_kv", HEADS),
        ("vocab_size", VOCABULARY as u32),
    ] {
        metadata.set(&format!("llama.{key}"), value.into());
    }
    metadata.set("llama.attention.layer_norm_rms_epsilon", 1e-5f32.into());
    vocabulary(&mut metadata);
    let matrix =
        |name: &str, rows, columns| TensorPlan::from_shape(&format!("{name}.weight"), &[rows, columns], Format::F16);
    let norm = |name: &str| TensorPlan::from_shape(&format!("{name}.weight"), &[HIDDEN], Format::F32);
    let mut plan =
        vec![matrix("token_embd", VOCABULARY, HIDDEN), norm("output_norm"), matrix("output", VOCABULARY, HIDDEN)];
    for layer in 0..layers {
        let at = |name: &str| format!("blk.{layer}.{name}");
        plan.extend(["attn_norm", "ffn_norm"].map(|name| norm(&at(name))));
        plan.extend(["attn_q", "attn_k", "attn_v", "attn_output"].map(|name| matrix(&at(name), HIDDEN, HIDDEN)));
        plan.extend(["ffn_gate", "ffn_up"].map(|name| matrix(&at(name), FFN, HIDDEN)));
        plan.push(matrix(&at("ffn_down"), HIDDEN, FFN));
    }
    let mut writer = Writer::create(path, &metadata, &plan)?;
    let mut all = values(0);
    for tensor in &plan {
        let columns = tensor.dimensions[0] as usize;
        let rows = tensor.dimensions.get(1).map_or(1, |rows| *rows as usize);
        let name = tensor.name.trim_end_matches(".weight");
        let mut row = vec![0.0; columns];
        for number in 0..rows {
            match name {
                // Its logit is greatest where the embedding was that of the token before it.
                "output" if circles => row.fill_with(values(before(number) + 1)),
                "token_embd" if circles => row.fill_with(values(number + 1)),
                _ if circles && name.ends_with("norm") => row.fill(1.0),
                _ if circles && (name.ends_with("attn_output") || name.ends_with("ffn_down")) => {
                    row.fill_with(|| all() * HUSHED);
                }
                _ => row.fill_with(&mut all),
            }
            writer.values(&tensor.name, &row)?;
        }
    }
    writer.finish()?;
    Ok(())
}

/// The token that this one comes after.
fn before(token: usize) -> usize {
    let place = token % CIRCLE;
    // The last circle of the vocabulary may be shorter.
    let length = CIRCLE.min(VOCABULARY - (token - place));
    token - place + (place + length - 1) % length
}

/// Random values, the same for the same number (xorshift).
fn values(number: usize) -> impl FnMut() -> f32 {
    let mut state = 0x2545_F491_4F6C_DD1Du64 ^ (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let even = |shift: u32| ((state >> shift) & 0xffff) as f32 / 32768.0 - 1.0;
        (even(0) + even(16) + even(32)) * 0.02
    }
}

/// The special pieces, the bytes, and made-up words.
fn vocabulary(metadata: &mut Metadata) {
    let bytes = (0..=255u8).map(|byte| (format!("<0x{byte:02X}>"), BYTE));
    let special = SPECIAL.iter().zip([UNKNOWN, CONTROL, CONTROL]).map(|(piece, kind)| (piece.to_string(), kind));
    let words = (0..).map(|number| (format!("\u{2581}w{number}"), NORMAL));
    let (pieces, kinds): (Vec<String>, Vec<i32>) = special.chain(bytes).chain(words).take(VOCABULARY).unzip();
    metadata.set("tokenizer.ggml.model", "llama".into());
    metadata.set("tokenizer.ggml.scores", Value::Array(Array::F32((0..VOCABULARY).map(|i| -(i as f32)).collect())));
    metadata.set("tokenizer.ggml.tokens", Value::Array(Array::String(pieces)));
    metadata.set("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds)));
    for (key, id) in [("unknown", 0u32), ("bos", 1), ("eos", 2)] {
        metadata.set(&format!("tokenizer.ggml.{key}_token_id"), id.into());
    }
}
