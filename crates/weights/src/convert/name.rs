//! Tensors' names in Hugging Face's folders and in GGUF files.
//!
//! Source: `tensor_mapping.py` of llama.cpp, for the architectures that are converted.

/// Tables that follow from the configuration, and masks that old files carry along.
const IGNORED: [&str; 3] = [".rotary_emb.inv_freq", ".attention.masked_bias", ".attention.bias"];

/// The parts of a layer that every model has.
pub(super) const PARTS: [&str; 9] = [
    "attn_norm.weight",
    "attn_q.weight",
    "attn_k.weight",
    "attn_v.weight",
    "attn_output.weight",
    "ffn_norm.weight",
    "ffn_gate.weight",
    "ffn_up.weight",
    "ffn_down.weight",
];

/// Whether a tensor is left out.
pub(super) fn is_ignored(name: &str) -> bool {
    IGNORED.iter().any(|end| name.ends_with(end))
}

/// GGUF's name of a tensor; a model without its head is named without the first `model.`.
pub(super) fn gguf(name: &str) -> Option<String> {
    let name = name.strip_prefix("model.").unwrap_or(name);
    let (module, kind) = name.rsplit_once('.').filter(|(_, kind)| matches!(*kind, "weight" | "bias"))?;
    let outer = match module {
        "embed_tokens" => Some("token_embd"),
        "norm" => Some("output_norm"),
        "lm_head" => Some("output"),
        _ => None,
    };
    if let Some(outer) = outer {
        return Some(format!("{outer}.{kind}"));
    }
    let (layer, part) = module.strip_prefix("layers.")?.split_once('.')?;
    let layer: u32 = layer.parse().ok()?;
    let part = match part {
        "input_layernorm" => "attn_norm",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.o_proj" => "attn_output",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        "post_attention_layernorm" => "ffn_norm",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        _ => return None,
    };
    Some(format!("blk.{layer}.{part}.{kind}"))
}
