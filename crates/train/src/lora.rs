//! LoRA training: narrow pairs beside the frozen matrices of any model that loads, saved as PEFT lays adapters out.
//!
//! W x becomes W x + alpha / rank * B (A x), A: (rank, in), B: (out, rank) (Hu et al. 2021, arXiv 2106.09685). The base's
//! weights are unpacked to f32 and never move; what is in `modules_to_save` is trained whole.
//!
//! Modules in reading order: what is trained (`plan`), how it computes (`ops`, `frozen`), what comes out (`save`), and the
//! recipe of a run (`recipe`).

mod frozen;
mod ops;
mod plan;
mod recipe;
mod save;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::Tensor;
use huacaya_engine::candle::unpacked;
use huacaya_engine::config::Config;
use huacaya_engine::{LoadOptions, Model};
use huacaya_progress::{Watch, unwatched};

use crate::checkpoint::Named;
use crate::data::{self, Example};
use crate::recipe::{Course, Stage};
use crate::{Result, run};

pub use plan::{Plan, Settings};
pub use recipe::{Files, Recipe};

/// What an adapter is trained beside: a model's shape and its weights in f32.
pub struct Base {
    /// What the adapter says that it is for: a path or a repository's name.
    pub name: String,
    pub config: Config,
    /// By the names of [`Config::parameters`].
    pub tensors: HashMap<String, Tensor>,
}

impl Base {
    /// Unpacks a GGUF file or a Hugging Face folder: four bytes a parameter. The watch counts bytes of the file.
    pub fn open(path: &Path, watch: Watch<'_>) -> Result<Base> {
        let (config, tensors) = unpacked(path, watch)?;
        let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Ok(Base { name, config, tensors })
    }
}

/// A run that trains an adapter.
pub struct Run {
    plan: Plan,
    base: String,
    run: run::Run,
}

impl Run {
    /// Begins a run, or goes on from its newest checkpoint. Dialogues are rendered by the base's own template.
    pub fn open(recipe: &Recipe) -> Result<Run> {
        let model = Model::load(&recipe.base, &LoadOptions::default(), &mut unwatched())?;
        let mut read: HashMap<&Path, Arc<Vec<Example>>> = HashMap::new();
        let mut examples = Vec::new();
        for Stage { data, .. } in &recipe.stages {
            if !read.contains_key(data.as_path()) {
                read.insert(data, Arc::new(data::read_for(data, &model)?));
            }
            examples.push(Arc::clone(&read[data.as_path()]));
        }
        drop(model);
        let base = Base::open(&recipe.base, &mut unwatched())?;
        Run::new(&recipe.adapter, base, recipe.course(), examples)
    }

    /// As [`Run::open`], over given examples of each stage.
    pub fn new(settings: &Settings, base: Base, course: Course, examples: Vec<Arc<Vec<Example>>>) -> Result<Run> {
        let Base { name, config, tensors } = base;
        let plan = Plan::new(settings, &config)?;
        let seed = course.seed;
        let first = || plan.first(&tensors, seed);
        let decoder = |variables: &[_]| plan.decoder(&tensors, variables);
        let run = run::Run::over(course, examples, &plan.parameters(), first, decoder)?;
        Ok(Run { plan, base: name, run })
    }

    /// The steps of the run.
    pub fn run(&mut self) -> &mut run::Run {
        &mut self.run
    }

    /// Everything that is trained, by PEFT's keys, rows in the base's own order.
    pub fn weights(&self) -> Named {
        self.run.weights()
    }

    /// Writes the adapter as it is to the folder, in the place of what is there.
    pub fn save(&self, folder: &Path) -> Result<()> {
        save::save(folder, &self.plan, &self.base, &self.weights())
    }
}
