//! A seeded random Llama with a small vocabulary of its own: a model that talks nonsense, and does not end by itself.

use std::path::{Path, PathBuf};

use huacaya_weights::{
    Format,
    gguf::{Metadata, TensorPlan, Value, Writer},
};

/// How large it is; every size a multiple of what its block format wants.
pub struct Shape {
    pub hidden: usize,
    pub ffn: usize,
    pub layers: usize,
    pub format: Format,
}

const TINY: Shape = Shape { hidden: 32, ffn: 64, layers: 2, format: Format::F32 };
const HEADS: usize = 4;
pub const CONTEXT: u32 = 2048;
/// The longest that is loaded to be measured.
pub const VAST_CONTEXT: u32 = 4096;
/// As many heads, and as large ones, as a model may have.
const VAST_HEADS: u32 = 1024;
/// Chinese and ASCII pieces beside the bytes.
const LETTERS: &str =
    "的一是不了人我在有他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里好很吗呢";

/// Writes the model; the same bytes every time.
pub fn write(path: &Path) {
    write_shape(path, &TINY);
}

/// The tiny model with a Jinja template of its own.
pub fn write_with_template(path: &Path, template: &str) {
    write_all(path, &TINY, Some(template));
}

/// Writes a model of another size, for a test that wants one that takes its time.
pub fn write_shape(path: &Path, shape: &Shape) {
    write_all(path, shape, None);
}

/// Writes the tiny model as the two files of a split one, whose first is `<stem>-00001-of-00002.gguf`.
pub fn write_split(folder: &Path, stem: &str) -> [PathBuf; 2] {
    let pieces = pieces();
    let plan = plan(pieces.len(), &TINY);
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let halves = plan.split_at(plan.len() / 2);
    let paths = [1, 2].map(|number| folder.join(format!("{stem}-0000{number}-of-00002.gguf")));
    for (number, (path, tensors)) in paths.iter().zip([halves.0, halves.1]).enumerate() {
        let mut metadata = if number == 0 { metadata(&pieces, &TINY) } else { Metadata::new(path) };
        metadata.set("split.no", Value::U16(number as u16));
        metadata.set("split.count", Value::U16(2));
        metadata.set("split.tensors.count", Value::I32(plan.len() as i32));
        let mut writer = Writer::create(path, &metadata, tensors).unwrap();
        for tensor in tensors {
            let count: u64 = tensor.dimensions.iter().product();
            let values: Vec<f32> = (0..count).map(|_| random.next() * 0.4).collect();
            writer.values(&tensor.name, &values).unwrap();
        }
        writer.finish().unwrap();
    }
    paths
}

fn write_all(path: &Path, shape: &Shape, template: Option<&str>) {
    let pieces = pieces();
    let plan = plan(pieces.len(), shape);
    let mut metadata = metadata(&pieces, shape);
    if let Some(template) = template {
        metadata.set("tokenizer.chat_template", template.into());
    }
    let mut writer = Writer::create(path, &metadata, &plan).unwrap();
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for tensor in &plan {
        let count: u64 = tensor.dimensions.iter().product();
        let norm = tensor.name.ends_with("norm.weight");
        let mut values: Vec<f32> = (0..count).map(|_| if norm { 1.0 } else { random.next() * 0.4 }).collect();
        if tensor.name == "output.weight" {
            // The end, unknown and start tokens are never the likeliest.
            values[..3 * shape.hidden].fill(0.0);
        }
        writer.values(&tensor.name, &values).unwrap();
    }
    writer.finish().unwrap();
}

/// A small file that no memory holds while it answers: its keys and values take 128 GiB and more for [`VAST_CONTEXT`] tokens.
pub fn write_vast(path: &Path) {
    let (pieces, shape) = (pieces(), Shape { hidden: 1, ffn: 1, layers: 16, format: Format::F16 });
    let mut metadata = metadata(&pieces, &shape);
    for (key, value) in [
        ("context_length", VAST_CONTEXT),
        ("attention.head_count", VAST_HEADS),
        ("attention.head_count_kv", VAST_HEADS),
        ("attention.key_length", VAST_HEADS),
        ("attention.value_length", VAST_HEADS),
        ("rope.dimension_count", VAST_HEADS),
    ] {
        metadata.set(&format!("llama.{key}"), value.into());
    }
    let mut plan = plan(pieces.len(), &shape);
    let width = u64::from(VAST_HEADS * VAST_HEADS);
    for tensor in plan.iter_mut().filter(|tensor| tensor.name.contains("attn_") && !tensor.name.contains("norm")) {
        tensor.dimensions = if tensor.name.contains("attn_output") { vec![width, 1] } else { vec![1, width] };
    }
    let mut writer = Writer::create(path, &metadata, &plan).unwrap();
    for tensor in &plan {
        let bytes = tensor.format.bytes_of(tensor.dimensions.iter().product()).unwrap();
        writer.bytes(&tensor.name, &vec![0; bytes as usize]).unwrap();
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

fn metadata(pieces: &[(String, f32, i32)], shape: &Shape) -> Metadata {
    let mut metadata = Metadata::new(Path::new("tiny.gguf"));
    let mut set = |key: &str, value: Value| metadata.set(key, value);
    set("general.architecture", "llama".into());
    set("general.name", "Tiny Chinese-Alpaca-2".into());
    set("llama.context_length", CONTEXT.into());
    set("llama.embedding_length", (shape.hidden as u32).into());
    set("llama.block_count", (shape.layers as u32).into());
    set("llama.feed_forward_length", (shape.ffn as u32).into());
    set("llama.attention.head_count", (HEADS as u32).into());
    set("llama.attention.head_count_kv", (HEADS as u32).into());
    set("llama.attention.layer_norm_rms_epsilon", 1e-5f32.into());
    set("llama.rope.dimension_count", ((shape.hidden / HEADS) as u32).into());
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

fn plan(vocabulary: usize, shape: &Shape) -> Vec<TensorPlan> {
    let (hidden, ffn) = (shape.hidden, shape.ffn);
    let tensor = |name: &str, sizes: &[usize]| {
        TensorPlan::from_shape(name, sizes, if sizes.len() == 1 { Format::F32 } else { shape.format })
    };
    let mut plan = vec![tensor("token_embd.weight", &[vocabulary, hidden])];
    for layer in 0..shape.layers {
        for (name, sizes) in [
            ("attn_norm", &[hidden][..]),
            ("attn_q", &[hidden, hidden]),
            ("attn_k", &[hidden, hidden]),
            ("attn_v", &[hidden, hidden]),
            ("attn_output", &[hidden, hidden]),
            ("ffn_norm", &[hidden]),
            ("ffn_gate", &[ffn, hidden]),
            ("ffn_up", &[ffn, hidden]),
            ("ffn_down", &[hidden, ffn]),
        ] {
            plan.push(tensor(&format!("blk.{layer}.{name}.weight"), sizes));
        }
    }
    plan.push(tensor("output_norm.weight", &[hidden]));
    plan.push(tensor("output.weight", &[vocabulary, hidden]));
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
