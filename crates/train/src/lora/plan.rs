//! What of a model is trained: a pair beside each targeted matrix, and whole matrices of the vocabulary.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{Device, Tensor, Var};
use huacaya_engine::candle::{Decoder, folder_name};
use huacaya_engine::config::Config;
use serde::{Deserialize, Serialize};

use super::ops::{LoraOps, Pair};
use crate::checkpoint::Named;
use crate::random::Random;
use crate::{Error, Result};

/// What PEFT puts before the base model's own names.
const PREFIX: &str = "base_model.model.";
/// The largest rank that our own reader takes; those in use are 4 to 512.
const RANK_MAX: usize = 1 << 14;
const EMBEDDING: &str = "token_embd.weight";
const HEAD: &str = "output.weight";

/// An adapter's shape, in PEFT's words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub rank: usize,
    pub alpha: u32,
    /// Matrices of the layers that get a pair, by the ends of their names in Hugging Face's folders: `q_proj`.
    pub targets: Vec<String>,
    /// `embed_tokens`, `lm_head`: trained and saved whole. Where a model has one matrix for both, `embed_tokens` is it.
    #[serde(default)]
    pub modules_to_save: Vec<String>,
}

/// What is trained of one model.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) settings: Settings,
    pub(super) config: Config,
    pub(super) places: Vec<Place>,
}

/// One trained tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    /// The base's matrix, by the engine's name.
    pub matrix: String,
    /// PEFT's key.
    pub key: String,
    pub shape: Vec<usize>,
    pub role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A: (rank, in)
    Down,
    /// B: (out, rank), its rows in the base's order
    Up,
    Whole,
}

impl Plan {
    /// Every name of the settings must fit a matrix of the model.
    pub fn new(settings: &Settings, config: &Config) -> Result<Plan> {
        let fault = |what: String| Err(Error::Recipe { what });
        let rank = settings.rank;
        if rank == 0 || rank > RANK_MAX || settings.alpha == 0 {
            return fault(format!("an adapter of rank {rank} and alpha {} adds nothing", settings.alpha));
        }
        let mut places = Vec::new();
        let mut left: Vec<&str> =
            settings.targets.iter().chain(&settings.modules_to_save).map(String::as_str).collect();
        for (name, shape) in config.parameters().into_iter().filter(|(_, shape)| shape.len() == 2) {
            let stored = folder_name(&name);
            let module = stored.trim_end_matches(".weight");
            let of_vocabulary = [EMBEDDING, HEAD].contains(&name.as_str());
            let wanted = if of_vocabulary { &settings.modules_to_save } else { &settings.targets };
            if !wanted.iter().any(|end| ends_with_parts(module, end)) {
                continue;
            }
            left.retain(|end| !ends_with_parts(module, end));
            let place = |key: String, shape: Vec<usize>, role| Place { matrix: name.clone(), key, shape, role };
            if of_vocabulary {
                places.push(place(format!("{PREFIX}{stored}"), shape, Role::Whole));
            } else {
                let key = |half: &str| format!("{PREFIX}{module}.{half}.weight");
                places.push(place(key("lora_A"), vec![rank, shape[1]], Role::Down));
                places.push(place(key("lora_B"), vec![shape[0], rank], Role::Up));
            }
        }
        if let Some(name) = left.first() {
            return fault(format!("the model has no matrix {name:?} that can be trained so"));
        }
        if places.is_empty() {
            return fault("the adapter has no targets".to_owned());
        }
        Ok(Plan { settings: settings.clone(), config: config.clone(), places })
    }

    /// Keys and shapes of all that is trained.
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        self.places.iter().map(|place| (place.key.clone(), place.shape.clone())).collect()
    }

    /// Seeded first values: A uniform within 1 / sqrt(in) (Kaiming's with a = sqrt(5)), B zero, as PEFT begins; whole
    /// matrices are the base's.
    pub fn first(&self, base: &HashMap<String, Tensor>, seed: u64) -> Result<Named> {
        let first = self.places.iter().enumerate().map(|(purpose, place)| {
            let tensor = match place.role {
                Role::Down => {
                    let mut random = Random::new(seed, purpose as u64);
                    let bound = (place.shape[1] as f64).sqrt().recip();
                    let values: Vec<f32> = (0..place.shape.iter().product()).map(|_| random.within(bound)).collect();
                    Tensor::from_vec(values, place.shape.as_slice(), &Device::Cpu)?
                }
                Role::Up => Tensor::zeros(place.shape.as_slice(), candle_core::DType::F32, &Device::Cpu)?,
                Role::Whole => matrix(base, &place.matrix)?.clone(),
            };
            Ok((place.key.clone(), tensor))
        });
        first.collect()
    }

    /// The base's decoder with what is trained in its places. `variables` are in the order of [`Plan::parameters`].
    pub fn decoder(&self, base: &HashMap<String, Tensor>, variables: &[(String, Var)]) -> Result<Decoder> {
        let mut tensors = base.clone();
        let scale = f64::from(self.settings.alpha) / self.settings.rank as f64;
        let mut ops = LoraOps::default();
        let mut down = None;
        for (place, (_, variable)) in self.places.iter().zip(variables) {
            let trained = variable.as_tensor().clone();
            match (place.role, down.take()) {
                (Role::Down, _) => down = Some(trained),
                (Role::Up, Some(a)) => ops.add(matrix(base, &place.matrix)?, Pair { a, b: trained, scale }),
                (Role::Up, None) => return Err(Error::Recipe { what: format!("{} has no half", place.matrix) }),
                (Role::Whole, _) => {
                    ops.train(&trained);
                    tensors.insert(place.matrix.clone(), trained);
                }
            }
        }
        Ok(Decoder::with_ops(&self.config, &tensors, Arc::new(ops))?)
    }
}

fn matrix<'b>(base: &'b HashMap<String, Tensor>, name: &str) -> Result<&'b Tensor> {
    let missing = || huacaya_engine::Error::TensorMissing { tensor: name.to_owned() };
    Ok(base.get(name).ok_or_else(missing)?)
}

/// Whether the name ends with these parts, whole ones, as PEFT matches targets.
fn ends_with_parts(name: &str, end: &str) -> bool {
    name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
