//! A training run: batches through the decoder and back, weights moved, checkpoints written.

use std::collections::HashMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor, Var};
use huacaya_engine::candle::{Decoder, Ops};
use huacaya_engine::config::Config;
use huacaya_engine::tokenizer::Tokenizer;
use huacaya_progress::{Progress, Watch};

use crate::checkpoint::{self, Named, State};
use crate::data::{self, Batch, Example};
use crate::ops::{Training, cross_entropy};
use crate::optimizer::{self, Moments};
use crate::random::Random;
use crate::recipe::{Course, Stage};
use crate::{Error, Recipe, Result, schedule};

/// Steps between two lines of the log.
const LOG_EVERY: usize = 10;
const LOG: &str = "log.tsv";
/// Standard deviation of first weights; what adds to the residual stream has less, by its depth (GPT-2).
const DEVIATION: f64 = 0.02;

/// A run in progress. What it reads and writes is told by its recipe.
pub struct Run {
    course: Course,
    /// Of each stage; stages with the same file share them.
    examples: Vec<Arc<Vec<Example>>>,
    names: Vec<String>,
    variables: Vec<Var>,
    moments: Moments,
    decoder: Decoder,
    state: State,
    /// The epoch's batches; empty before the first step.
    batches: Vec<Vec<usize>>,
    log: PathBuf,
}

/// What a step tells about itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    pub loss: f32,
    /// Norm of the gradient before clipping.
    pub norm: f32,
    pub tokens: usize,
}

/// Seeded first weights in the order of [`Config::parameters`].
pub fn first_weights(config: &Config, seed: u64) -> Result<Named> {
    let residual = DEVIATION / (2.0 * config.layers as f64).sqrt();
    let parameters = config.parameters().into_iter().enumerate();
    let made = parameters.map(|(purpose, (name, shape))| {
        let mut random = Random::new(seed, purpose as u64);
        let deviation = if name.contains("attn_output") || name.contains("ffn_down") { residual } else { DEVIATION };
        let count = shape.iter().product();
        let values = match shape.len() {
            1 => vec![1.0; count],
            _ => (0..count).map(|_| random.normal(deviation)).collect(),
        };
        Ok((name, Tensor::from_vec(values, shape, &Device::Cpu)?))
    });
    made.collect()
}

impl Run {
    /// Begins a run, or goes on from its newest checkpoint.
    pub fn open(recipe: Recipe, tokenizer: &Tokenizer) -> Result<Run> {
        let mut read: HashMap<&Path, Arc<Vec<Example>>> = HashMap::new();
        let mut examples = Vec::new();
        for Stage { data, .. } in &recipe.stages {
            if !read.contains_key(data.as_path()) {
                read.insert(data, Arc::new(data::read(data, tokenizer, recipe.model.context)?));
            }
            examples.push(Arc::clone(&read[data.as_path()]));
        }
        Run::new(recipe, tokenizer.vocabulary_size(), examples, Arc::new(Training))
    }

    /// As [`Run::open`], over given examples of each stage and given operations.
    pub fn new(recipe: Recipe, vocabulary: usize, examples: Vec<Arc<Vec<Example>>>, ops: Arc<dyn Ops>) -> Result<Run> {
        let config = recipe.config(vocabulary);
        let first = || first_weights(&config, recipe.seed);
        Run::over(recipe.course(), examples, &config.parameters(), first, |variables| {
            let tensors: HashMap<String, Tensor> =
                variables.iter().map(|(name, variable)| (name.clone(), variable.as_tensor().clone())).collect();
            Ok(Decoder::with_ops(&config, &tensors, ops)?)
        })
    }

    /// Trains the `parameters` (names and shapes) of whatever decoder is made over them: with the values of the newest
    /// checkpoint or, where there is none, of `first`, which are in the same order.
    pub(crate) fn over(
        course: Course,
        examples: Vec<Arc<Vec<Example>>>,
        parameters: &[(String, Vec<usize>)],
        first: impl FnOnce() -> Result<Named>,
        decoder: impl FnOnce(&[(String, Var)]) -> Result<Decoder>,
    ) -> Result<Run> {
        let work = &course.work;
        std::fs::create_dir_all(work).map_err(Error::io(work))?;
        let unusable = |of: &Vec<Example>| of.is_empty() || of.iter().any(|example| example.tokens.len() < 2);
        if examples.len() != course.stages.len() || examples.iter().any(|of| unusable(of)) {
            return Err(Error::Recipe { what: "the data has no dialogues, or an empty one".to_owned() });
        }
        let (state, weights, moments) = match checkpoint::newest(work) {
            Some(folder) => checkpoint::read(&folder, parameters)?,
            None => {
                let weights = first()?;
                let lengths: Vec<usize> = weights.iter().map(|(_, tensor)| tensor.elem_count()).collect();
                (State::default(), weights, Moments::zeros(&lengths))
            }
        };
        let variables = weights.into_iter().map(|(name, tensor)| Ok((name, Var::from_tensor(&tensor)?)));
        let variables = variables.collect::<Result<Vec<_>>>()?;
        let decoder = decoder(&variables)?;
        let (names, variables) = variables.into_iter().unzip();
        let log = work.join(LOG);
        Ok(Run { course, examples, names, variables, moments, decoder, state, batches: Vec::new(), log })
    }

    pub fn config(&self) -> &Config {
        self.decoder.config()
    }

    /// The model as it is trained.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// The weights as they are.
    pub fn weights(&self) -> Named {
        let tensors = self.variables.iter().map(|variable| variable.as_tensor().clone());
        std::iter::zip(self.names.iter().cloned(), tensors).collect()
    }

    /// Trains to the end of the recipe. Asked to stop, it writes a checkpoint first.
    pub fn train(&mut self, watch: Watch) -> Result<()> {
        let total = self.course.steps();
        let mut saved = Instant::now();
        let every = Duration::from_secs(self.course.checkpoint_minutes * 60);
        let (mut began, mut since) = (Instant::now(), self.state.tokens);
        while self.state.step < total {
            let progress = Progress { done: self.state.step as u64, total: total as u64 };
            if watch(progress) == ControlFlow::Break(()) {
                self.save()?;
                return Err(Error::Stopped);
            }
            let step = self.advance()?;
            if self.state.step.is_multiple_of(LOG_EVERY) || self.state.step == total {
                let seconds = began.elapsed().as_secs_f64();
                self.state.seconds += seconds.round() as u64;
                self.note(&step, (self.state.tokens - since) as f64 / seconds)?;
                (began, since) = (Instant::now(), self.state.tokens);
            }
            if saved.elapsed() >= every || self.state.step == total {
                self.save()?;
                saved = Instant::now();
            }
        }
        let _ = watch(Progress { done: total as u64, total: total as u64 });
        Ok(())
    }

    /// One step over the next shards of the epoch's batches.
    pub fn advance(&mut self) -> Result<Step> {
        if self.enter_stage() || self.batches.is_empty() {
            self.batches = self.order();
        }
        let shards = self.course.batch.shards;
        if self.state.batch + shards > self.batches.len() {
            self.state.epoch += 1;
            self.state.batch = 0;
            self.batches = self.order();
        }
        let chosen = self
            .batches
            .get(self.state.batch..self.state.batch + shards)
            .ok_or_else(|| Error::Recipe { what: format!("the data give less than the {shards} batches of a step") })?;
        let (index, within) = self.course.stage(self.state.step);
        let (stage, examples) = (&self.course.stages[index], &self.examples[index]);
        let shards: Vec<Batch> = chosen.iter().map(|chosen| data::batch(examples, chosen, stage.loss)).collect();
        let learned: usize = shards.iter().map(|shard| shard.targets.len()).sum();
        let (loss, gradients) = self.gradients(&shards, 1.0 / learned.max(1) as f32)?;
        let norm = optimizer::norm(&gradients);
        if !loss.is_finite() || !norm.is_finite() {
            return Err(Error::Diverged { step: self.state.step, loss });
        }
        let settings = &self.course.optimizer;
        let scale = if norm > settings.clip { settings.clip / norm } else { 1.0 };
        let rate = schedule::rate(stage, within);
        let number = self.state.step + 1;
        optimizer::step(settings, rate, number, scale, &self.variables, &gradients, &mut self.moments)?;
        let tokens = shards.iter().map(|shard| shard.inputs.len()).sum();
        self.state.step += 1;
        self.state.batch += shards.len();
        self.state.tokens += tokens as u64;
        Ok(Step { loss, norm, tokens })
    }

    /// Where the step belongs to the next stage: its data begin from the start, unless they are the same.
    fn enter_stage(&mut self) -> bool {
        let (stage, _) = self.course.stage(self.state.step);
        let before = std::mem::replace(&mut self.state.stage, stage);
        let other = !Arc::ptr_eq(&self.examples[before], &self.examples[stage]);
        if other {
            (self.state.epoch, self.state.batch) = (0, 0);
        }
        other
    }

    fn order(&self) -> Vec<Vec<usize>> {
        data::epoch(&self.examples[self.state.stage], &self.course.batch, self.course.seed, self.state.epoch)
    }

    /// Loss and the gradient of every parameter, added over the shards in their order. Each shard has a thread: the small
    /// operations between the matrix products would leave a second core idle.
    fn gradients(&self, shards: &[Batch], weight: f32) -> Result<(f32, Vec<Vec<f32>>)> {
        let results = std::thread::scope(|scope| {
            let threads: Vec<_> =
                shards.iter().map(|shard| scope.spawn(move || self.shard_gradients(shard, weight))).collect();
            threads.into_iter().map(|thread| thread.join().map_err(|_| Error::Panicked)?).collect::<Result<Vec<_>>>()
        })?;
        let mut results = results.into_iter();
        let (mut loss, mut sum) = results.next().ok_or(Error::Panicked)?;
        for (more_loss, more) in results {
            loss += more_loss;
            for (sum, more) in sum.iter_mut().zip(&more) {
                sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            }
        }
        Ok((loss, sum))
    }

    fn shard_gradients(&self, shard: &Batch, weight: f32) -> Result<(f32, Vec<Vec<f32>>)> {
        let loss = loss(&self.decoder, shard, weight)?;
        let gradients = loss.backward()?;
        let taken = self.variables.iter().map(|variable| match gradients.get(variable) {
            Some(gradient) => Ok(gradient.flatten_all()?.to_vec1()?),
            None => Ok(vec![0.0; variable.elem_count()]),
        });
        Ok((loss.to_scalar()?, taken.collect::<Result<Vec<_>>>()?))
    }

    fn save(&self) -> Result<()> {
        checkpoint::write(&self.course.work, &self.state, &self.weights(), &self.moments)?;
        Ok(())
    }

    fn note(&self, step: &Step, tokens_per_second: f64) -> Result<()> {
        let new = !self.log.exists();
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&self.log);
        let mut file = file.map_err(Error::io(&self.log))?;
        let head = if new { "step\tstage\tepoch\trate\tloss\tnorm\ttokens\ttokens_per_second\n" } else { "" };
        let (index, within) = self.course.stage(self.state.step - 1);
        let stage = &self.course.stages[index];
        let rate = schedule::rate(stage, within);
        let State { step: number, epoch, tokens, .. } = &self.state;
        let (name, loss, norm) = (&stage.name, step.loss, step.norm);
        writeln!(
            file,
            "{head}{number}\t{name}\t{epoch}\t{rate:.6}\t{loss:.4}\t{norm:.3}\t{tokens}\t{tokens_per_second:.0}"
        )
        .map_err(Error::io(&self.log))
    }
}

/// `weight` times the sum of the batch's losses.
pub fn loss(decoder: &Decoder, batch: &Batch, weight: f32) -> Result<Tensor> {
    let inputs = Tensor::from_slice(&batch.inputs, (batch.texts, batch.length), &Device::Cpu)?;
    let places = Tensor::from_slice(&batch.places, batch.places.len(), &Device::Cpu)?;
    let hidden = decoder.hidden(&inputs)?.flatten_to(1)?; // (texts * length, hidden)
    let logits = decoder.logits(&hidden.index_select(&places, 0)?)?; // (places, vocabulary)
    Ok(cross_entropy(&logits, batch.targets.clone(), weight)?)
}

/// The folder of a run's newest checkpoint, read for a model of `config`.
pub fn newest_weights(work: &Path, config: &Config) -> Result<(State, Named)> {
    let folder = checkpoint::newest(work)
        .ok_or_else(|| Error::Checkpoint { path: work.to_path_buf(), what: "there is none".to_owned() })?;
    let (state, weights, _) = checkpoint::read(&folder, &config.parameters())?;
    Ok((state, weights))
}

#[cfg(test)]
mod tests;
