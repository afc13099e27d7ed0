//! An adapter's folder as PEFT writes it: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! Source: PEFT 0.21, `tuners/lora/config.py`, `utils/save_and_load.py`. Of a model with one matrix for embeddings and head
//! PEFT also writes the embeddings a second time as `lm_head`; here they stand once, and `ensure_weight_tying` says what
//! they are.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use huacaya_engine::rope::Pairs;
use huacaya_weights::safetensors::{Dtype, TensorPlan, Writer};
use serde_json::{Value, json};

use super::plan::{Place, Plan, Role};
use crate::checkpoint::Named;
use crate::{Error, Result};

const CONFIG: &str = "adapter_config.json";
const TENSORS: &str = "adapter_model.safetensors";
/// Their rows turn in pairs.
const TURNED: [&str; 2] = [".attn_q.weight", ".attn_k.weight"];

/// Writes to a folder beside it and gives that the name when it is whole.
pub(super) fn save(folder: &Path, plan: &Plan, base: &str, weights: &Named) -> Result<()> {
    let part = PathBuf::from(format!("{}.part", folder.display()));
    if part.exists() {
        fs::remove_dir_all(&part).map_err(Error::io(&part))?;
    }
    fs::create_dir_all(&part).map_err(Error::io(&part))?;
    tensors(&part.join(TENSORS), plan, weights)?;
    let config_path = part.join(CONFIG);
    fs::write(&config_path, format!("{:#}\n", config(plan, base))).map_err(Error::io(&config_path))?;
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(Error::io(folder))?;
    }
    fs::rename(&part, folder).map_err(Error::io(folder))
}

fn tensors(path: &Path, plan: &Plan, weights: &Named) -> Result<()> {
    let mut places: Vec<(&Place, &Tensor)> = plan.places.iter().zip(weights.iter().map(|(_, tensor)| tensor)).collect();
    places.sort_by(|(a, _), (b, _)| a.key.cmp(&b.key));
    let planned = places.iter().map(|(place, _)| TensorPlan {
        name: place.key.clone(),
        dtype: Dtype::F32,
        shape: place.shape.clone(),
    });
    let mut writer = Writer::create(path, &planned.collect::<Vec<_>>())?;
    for (place, tensor) in places {
        let mut values = tensor.flatten_all()?.to_vec1::<f32>()?;
        let turned = place.role == Role::Up && TURNED.iter().any(|end| place.matrix.ends_with(end));
        if turned && plan.config.rope.pairs == Pairs::Adjacent {
            values = half_a_head_apart(&values, place.shape[1], plan.config.head_size);
        }
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        writer.bytes(&place.key, &bytes)?;
    }
    Ok(writer.finish()?)
}

/// A llama GGUF has the two rows of a head that turn together side by side, Hugging Face has them half a head apart.
/// The inverse of `LlamaModel.permute` of llama.cpp's `convert_hf_to_gguf.py`.
fn half_a_head_apart(rows: &[f32], width: usize, head_rows: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(rows.len());
    for head in rows.chunks(head_rows * width) {
        for first in [0, 1] {
            head.chunks(width).skip(first).step_by(2).for_each(|row| out.extend_from_slice(row));
        }
    }
    out
}

fn config(plan: &Plan, base: &str) -> Value {
    let settings = &plan.settings;
    let saved = (!settings.modules_to_save.is_empty()).then_some(&settings.modules_to_save);
    json!({
        "alpha_pattern": {},
        "base_model_name_or_path": base,
        "bias": "none",
        "ensure_weight_tying": saved.is_some() && plan.config.tied,
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "layers_pattern": null,
        "layers_to_transform": null,
        "lora_alpha": settings.alpha,
        "lora_dropout": 0.0,
        "modules_to_save": saved,
        "peft_type": "LORA",
        "r": settings.rank,
        "rank_pattern": {},
        "target_modules": settings.targets,
        "task_type": "CAUSAL_LM",
        "use_dora": false,
        "use_rslora": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_come_to_stand_half_a_head_apart() {
        // Two heads of four rows of two values; the converter's test has the way there.
        let rows: Vec<f32> = (0..16).map(|value| value as f32).collect();
        let expected = [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15].map(|value| value as f32);
        assert_eq!(half_a_head_apart(&rows, 2, 4), expected);
    }
}
