//! What a LoRA run is made of, as one JSON file. Paths in it are relative to its folder.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Settings;
use crate::Result;
use crate::recipe::{Batch, Course, Optimizer, Stage, make_whole, read_json};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// A model that loads: a GGUF file or a Hugging Face folder.
    pub base: PathBuf,
    pub adapter: Settings,
    pub seed: u64,
    pub files: Files,
    pub batch: Batch,
    pub optimizer: Optimizer,
    /// One after another over the same weights; each has a schedule of its own.
    pub stages: Vec<Stage>,
    pub checkpoint_minutes: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// Questions that are never trained on.
    pub held_out: PathBuf,
    /// Folder for checkpoints and the log.
    pub work: PathBuf,
    /// Folder of the finished adapter.
    pub adapter: PathBuf,
}

impl Recipe {
    /// Whether the recipe at `path` is one of these: it names a base.
    pub fn is_at(path: &Path) -> Result<bool> {
        Ok(read_json::<Value>(path)?.get("base").is_some())
    }

    /// Reads and checks a recipe; its paths are made whole.
    pub fn read(path: &Path) -> Result<Recipe> {
        let mut recipe: Recipe = read_json(path)?;
        let files = &mut recipe.files;
        let named = [&mut recipe.base, &mut files.held_out, &mut files.work, &mut files.adapter];
        make_whole(path, named.into_iter().chain(recipe.stages.iter_mut().map(|stage| &mut stage.data)));
        recipe.course().check()?;
        Ok(recipe)
    }

    pub fn course(&self) -> Course {
        Course {
            seed: self.seed,
            work: self.files.work.clone(),
            batch: self.batch.clone(),
            optimizer: self.optimizer.clone(),
            stages: self.stages.clone(),
            checkpoint_minutes: self.checkpoint_minutes,
        }
    }
}
