//! The demo model as it might have come from a hub: a Hugging Face folder with a PyTorch checkpoint in two shards.
//!
//! The GGUF's values are unpacked to F32, the rows of queries and keys put back in Hugging Face's order, and the `.bin`
//! files written as `torch.save` lays them out (a zip archive: one pickle, one entry for each tensor's values).

use std::fs;
use std::path::Path;

use huacaya_kernels::dequantize;
use huacaya_weights::gguf::{File, Tensor};
use serde_json::{Map, Value, json};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/demo");
const DEMO_FROM_ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo");
const SHARDS: usize = 2;

/// A tensor under Hugging Face's name.
struct Named {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// Makes the folder: `config.json`, `generation_config.json`, `tokenizer.model`, `tokenizer_config.json`,
/// `pytorch_model-0000N-of-00002.bin` and their index.
pub fn write(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let demo = [DEMO, DEMO_FROM_ROOT].map(Path::new).into_iter().find(|path| path.is_dir()).unwrap();
    let file = File::open(&demo.join("huacaya-demo.gguf")).unwrap();
    let tensors: Vec<Named> = file.tensors().iter().map(|tensor| named(&file, tensor)).collect();
    let bytes: usize = tensors.iter().map(|tensor| tensor.values.len() * 4).sum();
    let mut map = Map::new();
    for (index, part) in tensors.chunks(tensors.len().div_ceil(SHARDS)).enumerate() {
        let name = format!("pytorch_model-{:05}-of-{SHARDS:05}.bin", index + 1);
        fs::write(folder.join(&name), saved(part)).unwrap();
        map.extend(part.iter().map(|tensor| (tensor.name.clone(), Value::from(name.as_str()))));
    }
    let index = json!({ "metadata": { "total_size": bytes }, "weight_map": map });
    let text = |key: &str| file.metadata().get::<&str>(key).unwrap().to_owned();
    let id = |key: &str| number(&file, &format!("tokenizer.ggml.{key}_token_id"));
    let tokenizer = json!({
        "tokenizer_class": "LlamaTokenizer", "add_bos_token": true, "add_eos_token": false, "legacy": true,
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
        "chat_template": text("tokenizer.chat_template"),
    });
    let generation = json!({ "bos_token_id": id("bos"), "eos_token_id": id("eos") });
    for (name, value) in [
        ("config.json", config(&file, &text("general.name"))),
        ("generation_config.json", generation),
        ("tokenizer_config.json", tokenizer),
        ("pytorch_model.bin.index.json", index),
    ] {
        fs::write(folder.join(name), format!("{value:#}\n")).unwrap();
    }
    fs::copy(demo.join("tokenizer.model"), folder.join("tokenizer.model")).unwrap();
}

fn number(file: &File, key: &str) -> u64 {
    u64::from(file.metadata().get::<u32>(key).unwrap())
}

fn config(file: &File, name: &str) -> Value {
    let number = |key: &str| number(file, key);
    let real = |key: &str| {
        let value: f32 = file.metadata().get(key).unwrap();
        value.to_string().parse::<f64>().unwrap() // 1e-5, not what it is in binary
    };
    json!({
        "_name_or_path": name,
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": number("llama.vocab_size"),
        "hidden_size": number("llama.embedding_length"),
        "intermediate_size": number("llama.feed_forward_length"),
        "num_hidden_layers": number("llama.block_count"),
        "num_attention_heads": number("llama.attention.head_count"),
        "num_key_value_heads": number("llama.attention.head_count_kv"),
        "max_position_embeddings": number("llama.context_length"),
        "rms_norm_eps": real("llama.attention.layer_norm_rms_epsilon"),
        "rope_theta": real("llama.rope.freq_base"),
        "hidden_act": "silu",
        "attention_bias": false,
        "tie_word_embeddings": true,
        "bos_token_id": number("tokenizer.ggml.bos_token_id"),
        "eos_token_id": number("tokenizer.ggml.eos_token_id"),
        "torch_dtype": "float32",
    })
}

fn named(file: &File, tensor: &Tensor) -> Named {
    let shape = tensor.shape();
    let mut values = vec![0.0; shape.iter().product()];
    dequantize(tensor.format, file.bytes(tensor), &mut values).unwrap();
    let part = tensor.name.trim_end_matches(".weight").rsplit('.').next().unwrap();
    if ["attn_q", "attn_k"].contains(&part) {
        let heads = number(file, "llama.attention.head_count") as usize;
        let head_rows = number(file, "llama.embedding_length") as usize / heads;
        values = values.chunks(head_rows * shape[1]).flat_map(|head| half_a_head_apart(head, shape[1])).collect();
    }
    Named { name: hugging_face(&tensor.name), shape, values }
}

/// llama.cpp's converter makes rows i and i + half of a head neighbours; this takes them apart again.
fn half_a_head_apart(head: &[f32], width: usize) -> Vec<f32> {
    let rows: Vec<&[f32]> = head.chunks(width).collect();
    let [first, second] = [0, 1].map(|start| rows.iter().skip(start).step_by(2).copied().collect::<Vec<_>>().concat());
    [first, second].concat()
}

fn hugging_face(name: &str) -> String {
    let inner = name.strip_prefix("blk.").and_then(|name| name.split_once('.'));
    match inner {
        Some((layer, part)) => {
            let part = match part.trim_end_matches(".weight") {
                "attn_norm" => "input_layernorm",
                "attn_q" => "self_attn.q_proj",
                "attn_k" => "self_attn.k_proj",
                "attn_v" => "self_attn.v_proj",
                "attn_output" => "self_attn.o_proj",
                "ffn_norm" => "post_attention_layernorm",
                "ffn_gate" => "mlp.gate_proj",
                "ffn_up" => "mlp.up_proj",
                "ffn_down" => "mlp.down_proj",
                other => panic!("the demo has no {other}"),
            };
            format!("model.layers.{layer}.{part}.weight")
        }
        None if name == "token_embd.weight" => "model.embed_tokens.weight".to_owned(),
        None => "model.norm.weight".to_owned(),
    }
}

/// The bytes of a `.bin`, as of `torch.save({name: tensor, …})`.
fn saved(tensors: &[Named]) -> Vec<u8> {
    let mut pickle = b"\x80\x02}(".to_vec();
    for (key, Named { name, shape, values }) in tensors.iter().enumerate() {
        pickle.extend(text(name));
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        pickle.extend(
            [text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text(&key.to_string()), text("cpu")].concat(),
        );
        pickle.extend([int(values.len()), b"tQ".to_vec(), int(0)].concat());
        let strides: Vec<usize> = (1..=shape.len()).map(|after| shape[after..].iter().product()).collect();
        pickle.extend([tuple(shape), tuple(&strides)].concat());
        pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    pickle.extend(b"u.");
    let mut entries =
        vec![("archive/data.pkl".to_owned(), pickle), ("archive/byteorder".to_owned(), b"little".to_vec())];
    for (key, tensor) in tensors.iter().enumerate() {
        let bytes = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        entries.push((format!("archive/data/{key}"), bytes));
    }
    entries.push(("archive/version".to_owned(), b"3\n".to_vec()));
    archive(&entries)
}

fn text(text: &str) -> Vec<u8> {
    [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn int(number: usize) -> Vec<u8> {
    [b"\x8a\x08".as_slice(), &(number as u64).to_le_bytes()].concat()
}

fn tuple(numbers: &[usize]) -> Vec<u8> {
    [b"(".to_vec(), numbers.iter().flat_map(|&number| int(number)).collect(), b"t".to_vec()].concat()
}

/// A zip archive of entries stored as they are (PKWARE's APPNOTE, 4.3).
fn archive(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut file, mut list) = (Vec::new(), Vec::new());
    for (name, bytes) in entries {
        let at = (file.len() as u32).to_le_bytes();
        let (sum, size) = (crc32(bytes).to_le_bytes(), (bytes.len() as u32).to_le_bytes());
        // Flags, method, time, date; checksum, both sizes, lengths of name and extra field.
        let head = [&[0; 8][..], &sum, &size, &size, &(name.len() as u16).to_le_bytes(), &[0; 2]].concat();
        file.extend([b"PK\x03\x04\x14\0".as_slice(), &head, name.as_bytes(), bytes].concat());
        list.extend([b"PK\x01\x02\x14\0\x14\0".as_slice(), &head, &[0; 10], &at, name.as_bytes()].concat());
    }
    let (count, at, size) =
        ((entries.len() as u16).to_le_bytes(), (file.len() as u32).to_le_bytes(), (list.len() as u32).to_le_bytes());
    file.extend(list);
    file.extend([b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &size, &at, &[0, 0]].concat());
    file
}

/// The checksum of zip archives (IEEE 802.3).
fn crc32(bytes: &[u8]) -> u32 {
    let mut table = [0u32; 256];
    for (byte, entry) in table.iter_mut().enumerate() {
        *entry = (0..8).fold(byte as u32, |sum, _| (sum >> 1) ^ (0xEDB8_8320 * (sum & 1)));
    }
    !bytes.iter().fold(!0, |sum: u32, &byte| (sum >> 8) ^ table[usize::from(sum as u8 ^ byte)])
}
