//! A folder of Hugging Face's, adapters merged on the way, as tensors and keys of a GGUF.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use huacaya_kernels::Format;
use serde_json::Value;

use super::hyperparameters::{About, Architecture, Hyperparameters, at};
use super::{Fault, name, order, tokenizer};
use crate::Error;
use crate::folder::{CONFIG_NAME, Folder};
use crate::gguf::{Metadata, TensorPlan};
use crate::json::read_config;
use crate::merge::plan::{Plan, Step};
use crate::quantize::Source;

const GENERATION_NAME: &str = "generation_config.json";
/// Of one value for each pair that turns: by how much its frequency is divided.
const ROPE_FACTORS: &str = "rope_freqs.weight";

pub(super) struct FolderSource {
    plan: Plan,
    metadata: Metadata,
    tensors: Vec<TensorPlan>,
    /// Where each of `tensors` comes from.
    origins: Vec<Origin>,
}

enum Origin {
    Step {
        step: usize,
        stored: Format,
        /// Its rows are brought side by side, within so many heads.
        heads: Option<usize>,
    },
    /// Computed here, in f32.
    Bytes(Vec<u8>),
}

impl FolderSource {
    pub(super) fn new(base: Folder, adapters: &[(PathBuf, f32)]) -> Result<FolderSource, Error> {
        let plan = Plan::of(base, adapters)?;
        let config = plan.config()?;
        let (folder, tokenizer_folder) = plan.folders();
        let config_path = folder.join(CONFIG_NAME);
        let in_config = at(&config_path);
        let hyperparameters = Hyperparameters::read(&config).map_err(&in_config)?;
        let factors = hyperparameters.rope_factors().map_err(&in_config)?;
        let (tensors, origins) = origins(&plan, &hyperparameters, factors)?;
        is_whole(folder, &tensors, &hyperparameters)?;
        let generation = folder.join(GENERATION_NAME);
        // Only recommendations: what cannot be read recommends nothing.
        let generation = read_config(&generation).unwrap_or(Value::Null);
        let name = model_name(&config, folder);
        let about = About { name: &name, generation: &generation, parameters: values(&tensors) };
        let mut metadata = hyperparameters.keys(folder, &about).map_err(&in_config)?;
        tokenizer::keys(&mut metadata, tokenizer_folder, &config, &hyperparameters)?;
        Ok(FolderSource { plan, metadata, tensors, origins })
    }

    fn step(&self, place: usize) -> Option<&Step> {
        match self.origins[place] {
            Origin::Step { step, .. } => self.plan.steps.get(step),
            Origin::Bytes(_) => None,
        }
    }
}

/// Values of all tensors.
pub(super) fn values(tensors: &[TensorPlan]) -> u64 {
    tensors.iter().map(|tensor| tensor.dimensions.iter().product::<u64>()).sum()
}

/// The name in the configuration, where it is no path on someone's computer, or the folder's.
fn model_name(config: &Value, folder: &Path) -> String {
    let named = config["_name_or_path"].as_str().filter(|name| !name.is_empty() && name.matches('/').count() <= 1);
    match named {
        Some(name) if !name.contains(' ') => name.split_once('/').map_or(name, |(_, name)| name).to_owned(),
        Some(name) => name.to_owned(),
        None => folder_name(folder),
    }
}

/// The folder's own name, also where the path does not end in it.
pub(super) fn folder_name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or(folder.to_path_buf());
    whole.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// A tensor as it stands in a GGUF that is not quantized: vectors are f32 there, whatever the model has.
pub(super) fn as_plan(name: String, shape: &[usize], stored: Format) -> TensorPlan {
    let keeps = shape.len() <= 1 || name.ends_with("_norm.weight") || !name.ends_with(".weight");
    TensorPlan::from_shape(&name, shape, if keeps { Format::F32 } else { stored })
}

fn origins(
    plan: &Plan,
    hyperparameters: &Hyperparameters,
    factors: Option<Vec<f32>>,
) -> Result<(Vec<TensorPlan>, Vec<Origin>), Error> {
    let folder = plan.folders().0;
    let failed = |fault: Fault| Error::new(folder, fault);
    let (mut tensors, mut origins) = (Vec::new(), Vec::new());
    if let Some(factors) = factors {
        tensors.push(TensorPlan::from_shape(ROPE_FACTORS, &[factors.len()], Format::F32));
        origins.push(Origin::Bytes(factors.iter().flat_map(|factor| factor.to_le_bytes()).collect()));
    }
    let mut names = HashSet::new();
    for (place, step) in plan.steps.iter().enumerate().filter(|(_, step)| !name::is_ignored(&step.name)) {
        let unknown = || failed(Fault::UnknownTensor { tensor: step.name.clone() });
        let name = name::gguf(&step.name).ok_or_else(unknown)?;
        if !names.insert(name.clone()) {
            return Err(failed(Fault::Repeated { tensor: name }));
        }
        let Some(stored) = step.dtype.format() else {
            return Err(plan.unsupported(step).unwrap_or_else(unknown));
        };
        let heads = turned_heads(&name, hyperparameters);
        tensors.push(as_plan(name, &step.shape, stored));
        origins.push(Origin::Step { step: place, stored, heads });
    }
    Ok((tensors, origins))
}

/// The number of heads within which this tensor's rows are brought side by side.
fn turned_heads(name: &str, hyperparameters: &Hyperparameters) -> Option<usize> {
    if !matches!(hyperparameters.architecture, Architecture::Llama | Architecture::Mistral) {
        return None;
    }
    let part = name.strip_prefix("blk.")?.split('.').nth(1)?;
    match part {
        "attn_q" => Some(hyperparameters.heads as usize),
        "attn_k" => Some(hyperparameters.kv_heads as usize),
        _ => None,
    }
}

/// Every layer's parts are there, and everything has the shape that the configuration makes it.
pub(super) fn is_whole(folder: &Path, tensors: &[TensorPlan], hyperparameters: &Hyperparameters) -> Result<(), Error> {
    let failed = |fault: Fault| Error::new(folder, fault);
    let names: HashSet<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    let outer = ["token_embd.weight", "output_norm.weight"].map(str::to_owned);
    let inner = (0..hyperparameters.layers).flat_map(|layer| name::PARTS.map(|part| format!("blk.{layer}.{part}")));
    if let Some(tensor) = outer.into_iter().chain(inner).find(|name| !names.contains(name.as_str())) {
        return Err(failed(Fault::MissingTensor { tensor }));
    }
    for tensor in tensors {
        if let Some(wanted) = hyperparameters.dimensions(&tensor.name).filter(|wanted| *wanted != tensor.dimensions) {
            let (tensor, found) = (tensor.name.clone(), tensor.dimensions.clone());
            return Err(failed(Fault::Shape { tensor, found, wanted }));
        }
    }
    Ok(())
}

impl Source for FolderSource {
    fn path(&self) -> &Path {
        self.plan.folders().0
    }

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn tensors(&self) -> &[TensorPlan] {
        &self.tensors
    }

    fn stored(&self, place: usize) -> Format {
        match self.origins[place] {
            Origin::Step { stored, .. } => stored,
            Origin::Bytes(_) => Format::F32,
        }
    }

    fn pieces(
        &self,
        place: usize,
        values: usize,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (step, stored, heads) = match &self.origins[place] {
            Origin::Bytes(bytes) => return each(bytes),
            Origin::Step { step, stored, heads } => (&self.plan.steps[*step], *stored, heads),
        };
        let Some(heads) = heads else {
            let plan = &self.tensors[place];
            return self.plan.pieces(step, plan.rows_of(values) * plan.columns(), each);
        };
        // Of a vector, each value is a row that can be turned.
        let columns = step.shape.get(1).copied().unwrap_or(1);
        let head_rows = step.shape[0] / heads;
        let head = head_rows * columns;
        let mut turned = Vec::new();
        self.plan.pieces(step, (values / head).max(1) * head, &mut |piece| {
            order::side_by_side(piece, columns * stored.block_bytes(), head_rows, &mut turned);
            each(&turned)
        })
    }

    fn will_need(&self, place: usize) {
        self.step(place).into_iter().for_each(|step| self.plan.will_need(step));
    }

    fn release(&self, place: usize) {
        self.step(place).into_iter().for_each(|step| self.plan.release(step));
    }
}
