//! Where a run stands, on the disk: weights, optimizer state and place in the data, enough to go on exactly.
//!
//! A checkpoint is a folder `step-000400`. It is written under another name and renamed when whole.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::optimizer::Moments;
use crate::{Error, Result};

/// Older checkpoints are removed.
const KEPT: usize = 2;
const PREFIX: &str = "step-";
const WEIGHTS: &str = "weights.safetensors";
const MOMENTS: &str = "moments.safetensors";
const STATE: &str = "state.json";

/// Everything that is no tensor. The order of the data is a function of the recipe's seed and the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Steps done.
    pub step: usize,
    /// The stage that `epoch` and `batch` count for.
    #[serde(default)]
    pub stage: usize,
    pub epoch: usize,
    /// Batches of this epoch that are done.
    pub batch: usize,
    /// Tokens read so far.
    pub tokens: u64,
    /// Seconds of computing so far.
    pub seconds: u64,
}

/// Names and tensors, in the order of the parameters.
pub type Named = Vec<(String, Tensor)>;

/// The newest whole checkpoint of a run.
pub fn newest(work: &Path) -> Option<PathBuf> {
    let mut found = all(work);
    found.pop()
}

/// Oldest first: the names sort by step.
fn all(work: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(work).into_iter().flatten().flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
    let mut found: Vec<PathBuf> = entries.filter(named).collect();
    found.sort();
    found
}

/// Writes a checkpoint and removes old ones.
pub fn write(work: &Path, state: &State, weights: &Named, moments: &Moments) -> Result<PathBuf> {
    let folder = work.join(format!("{PREFIX}{:06}", state.step));
    let part = work.join(format!("part-{:06}", state.step));
    for path in [&folder, &part] {
        if path.exists() {
            std::fs::remove_dir_all(path).map_err(Error::io(path))?;
        }
    }
    std::fs::create_dir_all(&part).map_err(Error::io(&part))?;
    let map: HashMap<String, Tensor> = weights.iter().cloned().collect();
    candle_core::safetensors::save(&map, part.join(WEIGHTS))?;
    let mut map = HashMap::new();
    for (index, (name, tensor)) in weights.iter().enumerate() {
        for (kind, values) in [("first", &moments.first[index]), ("second", &moments.second[index])] {
            map.insert(format!("{kind}.{name}"), Tensor::from_slice(values, tensor.shape(), &Device::Cpu)?);
        }
    }
    candle_core::safetensors::save(&map, part.join(MOMENTS))?;
    let state_path = part.join(STATE);
    let text = serde_json::to_string_pretty(state).map_err(|source| Error::Json {
        path: state_path.clone(),
        line: source.line(),
        source,
    })?;
    std::fs::write(&state_path, text).map_err(Error::io(&state_path))?;
    for name in [WEIGHTS, MOMENTS, STATE] {
        let path = part.join(name);
        std::fs::File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io(&path))?;
    }
    std::fs::rename(&part, &folder).map_err(Error::io(&part))?;
    let found = all(work);
    for old in &found[..found.len().saturating_sub(KEPT)] {
        std::fs::remove_dir_all(old).map_err(Error::io(old))?;
    }
    Ok(folder)
}

/// Reads what [`write`] wrote, for parameters of these names and shapes.
pub fn read(folder: &Path, parameters: &[(String, Vec<usize>)]) -> Result<(State, Named, Moments)> {
    let path = folder.join(STATE);
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    let state = serde_json::from_str(&text).map_err(|source| Error::Json { path, line: source.line(), source })?;
    let weights = candle_core::safetensors::load(folder.join(WEIGHTS), &Device::Cpu)?;
    let moments = candle_core::safetensors::load(folder.join(MOMENTS), &Device::Cpu)?;
    let take = |map: &HashMap<String, Tensor>, name: &str, shape: &[usize]| match map.get(name) {
        Some(tensor) if tensor.dims() == shape => Ok(tensor.clone()),
        _ => Err(Error::Checkpoint { path: folder.to_path_buf(), what: format!("no `{name}` of the shape {shape:?}") }),
    };
    let mut named = Named::new();
    let mut state_of = Moments { first: Vec::new(), second: Vec::new() };
    for (name, shape) in parameters {
        named.push((name.clone(), take(&weights, name, shape)?));
        state_of.first.push(take(&moments, &format!("first.{name}"), shape)?.flatten_all()?.to_vec1()?);
        state_of.second.push(take(&moments, &format!("second.{name}"), shape)?.flatten_all()?.to_vec1()?);
    }
    Ok((state, named, state_of))
}
