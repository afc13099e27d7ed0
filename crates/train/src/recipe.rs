//! What a training run is made of, as one JSON file. Paths in it are relative to its folder.

use std::path::{Path, PathBuf};

use huacaya_engine::config::{Architecture, Biases, Config};
use huacaya_engine::rope::{Pairs, RopeConfig};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// `general.name` of the model file.
    pub name: String,
    pub seed: u64,
    pub model: Shape,
    pub files: Files,
    pub batch: Batch,
    pub optimizer: Optimizer,
    /// One after another over the same weights; each has a schedule of its own.
    pub stages: Vec<Stage>,
    pub checkpoint_minutes: u64,
}

/// A Llama's shape; the vocabulary is the tokenizer's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    pub hidden: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub ffn: usize,
    pub context: usize,
    pub rope_base: f32,
    pub norm_eps: f32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// A SentencePiece `tokenizer.model`.
    pub tokenizer: PathBuf,
    /// Questions that are never trained on.
    pub held_out: PathBuf,
    /// Folder for checkpoints and the log.
    pub work: PathBuf,
    /// The finished model, Q8_0.
    pub model: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Tokens of one shard, padding counted.
    pub tokens: usize,
    /// Shards of one step, each computed by a thread of its own; their gradients are added.
    pub shards: usize,
}

/// AdamW.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimizer {
    pub beta1: f32,
    pub beta2: f32,
    pub eps: f32,
    /// Of matrices only; norms do not decay.
    pub decay: f32,
    /// Largest norm of all gradients together.
    pub clip: f32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    pub name: String,
    /// Dialogues, one JSON object a line.
    pub data: PathBuf,
    pub loss: LossOn,
    pub steps: usize,
    /// How long the cosine is; longer than the stage where the next stage takes over in the middle. `None`: the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cosine_steps: Option<usize>,
    /// Steps in which the rate rises from 0.
    pub warmup: usize,
    /// Learning rate after the warm-up, and at the end of the cosine.
    pub rate: f32,
    pub rate_end: f32,
}

/// The way through the data, for whatever is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    pub seed: u64,
    /// Folder for checkpoints and the log.
    pub work: PathBuf,
    pub batch: Batch,
    pub optimizer: Optimizer,
    pub stages: Vec<Stage>,
    pub checkpoint_minutes: u64,
}

/// Which tokens are learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossOn {
    /// Every token: pre-training.
    All,
    /// The replies and their end: instruction tuning.
    Reply,
}

impl Recipe {
    /// Reads and checks a recipe; its paths are made whole.
    pub fn read(path: &Path) -> Result<Recipe> {
        let mut recipe: Recipe = read_json(path)?;
        let files = &mut recipe.files;
        let named = [&mut files.tokenizer, &mut files.held_out, &mut files.work, &mut files.model];
        make_whole(path, named.into_iter().chain(recipe.stages.iter_mut().map(|stage| &mut stage.data)));
        if recipe.model.heads == 0 || !recipe.model.hidden.is_multiple_of(recipe.model.heads) {
            return Err(Error::Recipe { what: "the hidden size is no multiple of the heads".to_owned() });
        }
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

    /// The model's shape for a tokenizer of `vocabulary` pieces. Input and output embeddings are one.
    pub fn config(&self, vocabulary: usize) -> Config {
        let shape = &self.model;
        let head_size = shape.hidden / shape.heads;
        Config {
            architecture: Architecture::Llama,
            hidden: shape.hidden,
            layers: shape.layers,
            heads: shape.heads,
            kv_heads: shape.kv_heads,
            head_size,
            ffn: shape.ffn,
            vocabulary,
            norm_eps: shape.norm_eps,
            rope: RopeConfig::plain(shape.rope_base, head_size, Pairs::Adjacent),
            biases: Biases::default(),
            query_key_norms: false,
            tied: true,
            context: shape.context,
        }
    }
}

/// Reads a recipe of any kind.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    serde_json::from_str(&text).map_err(|source| Error::Json { path: path.to_path_buf(), line: source.line(), source })
}

/// Paths in the recipe at `path` are relative to its folder.
pub(crate) fn make_whole<'a>(path: &Path, files: impl Iterator<Item = &'a mut PathBuf>) {
    let folder = path.parent().unwrap_or(Path::new("."));
    files.for_each(|file| *file = folder.join(&*file));
}

impl Course {
    pub(crate) fn check(&self) -> Result<()> {
        let fault = |what: &str| Err(Error::Recipe { what: what.to_owned() });
        if self.batch.shards == 0 || self.batch.tokens < 2 {
            return fault("a step has no tokens");
        }
        if self.stages.is_empty() || self.stages.iter().any(|stage| stage.steps == 0) {
            return fault("a stage has no steps");
        }
        Ok(())
    }

    /// Steps of all stages.
    pub fn steps(&self) -> usize {
        self.stages.iter().map(|stage| stage.steps).sum()
    }

    /// The stage of a step (counted from 0 over all stages) and the step within it.
    pub fn stage(&self, step: usize) -> (usize, usize) {
        let mut left = step;
        for (index, stage) in self.stages.iter().enumerate() {
            if left < stage.steps {
                return (index, left);
            }
            left -= stage.steps;
        }
        let last = self.stages.len() - 1;
        (last, self.stages[last].steps)
    }
}
