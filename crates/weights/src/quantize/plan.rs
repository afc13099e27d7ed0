//! Which format each tensor gets: the same choices as llama.cpp's mixes, as a pure function of names and shapes.
//!
//! Source: `llama_tensor_get_type_impl`, `tensor_allows_quantization` and `tensor_type_fallback` of llama.cpp, for models
//! without experts.

use huacaya_kernels::Format;

use super::Scheme;
use crate::gguf::TensorPlan;

/// What a choice depends on besides a tensor's name and shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
}

impl Shape {
    /// Query heads that share a head of keys and values.
    fn shared(self) -> usize {
        self.heads / self.kv_heads.max(1)
    }

    /// llama.cpp's "70B": 80 layers with shared heads.
    fn is_70b(self) -> bool {
        self.layers == 80 && self.heads != self.kv_heads
    }
}

/// A group of tensors, as the person may set its format by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    Embedding,
    Output,
    Query,
    Key,
    Value,
    AttentionOutput,
    Gate,
    Up,
    Down,
}

impl Group {
    pub const ALL: [Group; 9] = [
        Group::Embedding,
        Group::Output,
        Group::Query,
        Group::Key,
        Group::Value,
        Group::AttentionOutput,
        Group::Gate,
        Group::Up,
        Group::Down,
    ];

    /// The name in GGUF files, without layer and ending.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Embedding => "token_embd",
            Group::Output => "output",
            Group::Query => "attn_q",
            Group::Key => "attn_k",
            Group::Value => "attn_v",
            Group::AttentionOutput => "attn_output",
            Group::Gate => "ffn_gate",
            Group::Up => "ffn_up",
            Group::Down => "ffn_down",
        }
    }

    /// The group that a tensor belongs to: `blk.3.attn_q.weight` is of [`Group::Query`].
    pub fn of(tensor: &str) -> Option<Group> {
        let name = tensor.strip_suffix(".weight")?;
        let name = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')).map_or(name, |(_, name)| name);
        Group::ALL.into_iter().find(|group| group.name() == name)
    }
}

/// What to quantize to.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub scheme: Scheme,
    /// Formats set by hand; they come before the scheme's.
    pub by_hand: Vec<(Group, Format)>,
    /// There is an importance matrix.
    pub weighted: bool,
}

/// The tensors as they will be written, in the order given. Norms and biases stay as they are.
pub fn plan(tensors: &[TensorPlan], shape: Shape, wanted: &Wanted) -> Vec<TensorPlan> {
    let tied = !tensors.iter().any(|tensor| Group::of(&tensor.name) == Some(Group::Output));
    let formats = tensors.iter().map(|tensor| {
        let target = format(tensor, shape, wanted, tied).unwrap_or(tensor.format);
        TensorPlan { format: target, ..tensor.clone() }
    });
    formats.collect()
}

/// `None`: it is not quantized.
fn format(tensor: &TensorPlan, shape: Shape, wanted: &Wanted, tied: bool) -> Option<Format> {
    let name = &tensor.name;
    if tensor.dimensions.len() < 2 || !name.ends_with("weight") || name.ends_with("_norm.weight") {
        return None;
    }
    let base = wanted.scheme.format();
    let group = Group::of(name);
    let by_hand = wanted.by_hand.iter().find(|(by_hand, _)| Some(*by_hand) == group).map(|(_, format)| *format);
    if base.is_plain() && by_hand.is_none() {
        return Some(base);
    }
    let columns = tensor.dimensions.first().copied().unwrap_or_default();
    let chosen = by_hand.unwrap_or_else(|| match group {
        // One matrix for both ends is treated as the output, which is the more sensitive end.
        Some(Group::Output) => output(base, columns),
        Some(Group::Embedding) if tied => output(base, columns),
        Some(group) => mixed(group, layer(name), shape, wanted),
        None => base,
    });
    Some(fitting(chosen, columns))
}

/// The layer's number in `blk.3.attn_q.weight`; 0 where there is none.
fn layer(name: &str) -> usize {
    let number = name.strip_prefix("blk.").and_then(|rest| rest.split('.').next());
    number.and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn output(base: Format, columns: u64) -> Format {
    if !columns.is_multiple_of(base.block_length() as u64) || base == Format::Q8_0 {
        Format::Q8_0
    } else {
        Format::Q6_K
    }
}

/// The first and the last eighth of the layers, and every third between them.
fn more_bits(layer: usize, layers: usize) -> bool {
    layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2
}

/// What a group gets where it differs from the scheme's own format.
fn mixed(group: Group, layer: usize, shape: Shape, wanted: &Wanted) -> Format {
    let scheme = wanted.scheme;
    let layers = shape.layers;
    let first_eighth = layer < layers / 8;
    let base = scheme.format();
    match group {
        Group::Value => {
            let many = shape.shared() >= 4;
            let chosen = match scheme {
                Scheme::Q2_K if many => Format::Q4_K,
                Scheme::Q2_K => Format::Q3_K,
                Scheme::Q3_K_M if layer < 2 => Format::Q5_K,
                Scheme::Q3_K_M => Format::Q4_K,
                Scheme::Q3_K_L => Format::Q5_K,
                Scheme::IQ4_NL | Scheme::IQ4_XS if many => Format::Q5_K,
                Scheme::Q4_K_M | Scheme::Q5_K_M if more_bits(layer, layers) => Format::Q6_K,
                Scheme::Q4_K_S if layer < 4 => Format::Q5_K,
                _ => base,
            };
            // With eight query heads to one, this matrix is small: more bits cost little.
            if shape.is_70b() && matches!(chosen, Format::Q3_K | Format::Q4_K) { Format::Q5_K } else { chosen }
        }
        Group::Down => match scheme {
            Scheme::Q2_K => Format::Q3_K,
            Scheme::Q3_K_M if layer < layers / 16 => Format::Q5_K,
            Scheme::Q3_K_M => Format::Q4_K,
            Scheme::Q3_K_L => Format::Q5_K,
            Scheme::Q4_K_M | Scheme::Q5_K_M if more_bits(layer, layers) => Format::Q6_K,
            Scheme::IQ4_NL | Scheme::IQ4_XS if first_eighth && !wanted.weighted => Format::Q5_K,
            Scheme::Q4_K_S if first_eighth => Format::Q5_K,
            // With weights the first layers can go astray in these two.
            Scheme::Q4_0 if first_eighth && wanted.weighted => Format::Q4_1,
            Scheme::Q5_0 if first_eighth && wanted.weighted => Format::Q5_1,
            _ => base,
        },
        Group::AttentionOutput => match scheme {
            Scheme::Q2_K => Format::Q3_K,
            Scheme::Q3_K_M => Format::Q4_K,
            Scheme::Q3_K_L => Format::Q5_K,
            _ => base,
        },
        Group::Embedding | Group::Output | Group::Query | Group::Key | Group::Gate | Group::Up => base,
    }
}

/// The format itself, or where rows are no whole number of its blocks, one with shorter blocks.
fn fitting(format: Format, columns: u64) -> Format {
    let fits = |format: Format| columns.is_multiple_of(format.block_length() as u64);
    if fits(format) {
        return format;
    }
    let shorter = match format {
        Format::IQ4_XS => Format::IQ4_NL,
        Format::Q2_K | Format::Q3_K => Format::Q4_0,
        Format::Q4_K => Format::Q5_0,
        Format::Q5_K => Format::Q5_1,
        Format::Q6_K => Format::Q8_0,
        other => other,
    };
    if fits(shorter) { shorter } else { Format::F16 }
}
