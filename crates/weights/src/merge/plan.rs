//! What goes into every tensor of the merged model, and whether the parts belong together. Nothing is written here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Fault;
use super::arithmetic::Rows;
use super::files::{self, SmallFile};
use crate::adapter::{Adapter, Pair, is_vocabulary};
use crate::checkpoint::Checkpoint;
use crate::folder::Folder;
use crate::safetensors::{Dtype, TensorPlan};
use crate::shard::Shard;
use crate::vocabulary::{has_tokenizer, vocabulary};
use crate::{Error, Fault as AnyFault};

/// Sliders end at 2; what is beyond this is a slip.
const STRENGTH_MAX: f32 = 16.0;
/// A table of rotary frequencies that older PyTorch models carry along: it follows from the configuration.
const IGNORED_END: &str = "rotary_emb.inv_freq";
/// Of these, the first has the embeddings and the second the output's matrix.
const EMBEDDINGS_END: &str = "embed_tokens.weight";
const HEAD_END: &str = "lm_head.weight";

/// What is to be written.
pub(crate) struct Plan {
    base: Folder,
    adapters: Vec<Adapter>,
    /// In the order of the base.
    pub steps: Vec<Step>,
    /// Rows of the embeddings.
    pub vocabulary: usize,
    /// The folder whose tokenizer the merged model takes.
    tokenizer: PathBuf,
}

/// One tensor of the merged model.
pub(crate) struct Step {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub origin: Origin,
    /// Added to it in this order.
    pub sums: Vec<Sum>,
}

/// Where a tensor's own values come from.
pub(crate) enum Origin {
    Base,
    /// The adapter, and the tensor's place there.
    Adapter(usize, usize),
}

/// A product to be added.
pub(crate) struct Sum {
    pub adapter: usize,
    /// The adapter's own, times the strength.
    pub scale: f32,
}

impl Plan {
    /// Opens everything and checks that it fits together.
    pub(super) fn make(base: &Path, adapters: &[(PathBuf, f32)]) -> Result<Plan, Error> {
        let base = match Checkpoint::open(base)? {
            Checkpoint::Folder(folder) => folder,
            Checkpoint::Gguf(file) => return Err(refused(file.path(), Fault::BaseIsGguf)),
        };
        if adapters.is_empty() {
            return Err(refused(base.path(), Fault::NoAdapter));
        }
        Plan::of(base, adapters)
    }

    /// As [`Plan::make`], of a base that is open; without adapters, the plan is the base itself.
    pub(crate) fn of(base: Folder, adapters: &[(PathBuf, f32)]) -> Result<Plan, Error> {
        let mut opened = Vec::with_capacity(adapters.len());
        for (path, strength) in adapters {
            if !strength.is_finite() || *strength == 0.0 || strength.abs() > STRENGTH_MAX {
                return Err(refused(path, Fault::Strength { strength: *strength, limit: STRENGTH_MAX }));
            }
            let adapter = Adapter::open(path)?;
            is_whole(&base, &adapter)?;
            adds_something(&adapter)?;
            opened.push(adapter);
        }
        let strengths: Vec<f32> = adapters.iter().map(|(_, strength)| *strength).collect();
        let steps = steps(&base, &opened, &strengths)?;
        let (vocabulary, tokenizer) = matched_vocabulary(&base, &opened, &steps)?;
        let plan = Plan { base, adapters: opened, steps, vocabulary, tokenizer };
        // Refused now rather than after an hour.
        plan.config()?;
        Ok(plan)
    }

    pub(crate) fn tensors(&self) -> Vec<TensorPlan> {
        let plan = |step: &Step| TensorPlan { name: step.name.clone(), dtype: step.dtype, shape: step.shape.clone() };
        self.steps.iter().map(plan).collect()
    }

    /// Hands over the tensor's bytes in its type, about `values` values at a time, whole rows where something is computed.
    pub(crate) fn pieces(
        &self,
        step: &Step,
        values: usize,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (bytes, stored) = self.bytes(step);
        if step.sums.is_empty() && stored == step.dtype {
            return bytes.chunks(values.max(1) * (step.dtype.bits() / 8).max(1) as usize).try_for_each(each);
        }
        let mut rows = Rows::new(self, step, &bytes, stored)?;
        while let Some(piece) = rows.next(values)? {
            each(piece)?;
        }
        Ok(())
    }

    /// The base's folder, and the one whose tokenizer the merged model takes.
    pub(crate) fn folders(&self) -> (&Path, &Path) {
        (self.base.path(), &self.tokenizer)
    }

    /// Why a tensor's values cannot be computed with.
    pub(crate) fn unsupported(&self, step: &Step) -> Option<Error> {
        self.place(step).map(|(shard, place)| shard.unsupported(place))
    }

    /// The tensor's own values as they are stored, and the type that they are stored in.
    fn bytes(&self, step: &Step) -> (Cow<'_, [u8]>, Dtype) {
        match self.place(step) {
            Some((shard, place)) => (shard.bytes(place), shard.tensor(place).dtype),
            None => (Cow::Borrowed(&[]), step.dtype),
        }
    }

    pub(super) fn adapter(&self, index: usize) -> &Adapter {
        &self.adapters[index]
    }

    pub(crate) fn will_need(&self, step: &Step) {
        self.place(step).into_iter().for_each(|(shard, place)| shard.will_need(place));
    }

    pub(crate) fn release(&self, step: &Step) {
        self.place(step).into_iter().for_each(|(shard, place)| shard.release(place));
        for adapter in step.sums.iter().map(|sum| &self.adapters[sum.adapter]) {
            let places = adapter.pairs().get(&step.name).map(|pair| [pair.a, pair.b]);
            places.into_iter().flatten().for_each(|place| adapter.shard().release(place));
        }
    }

    /// The files beside the tensors.
    pub(super) fn small_files(&self) -> Result<Vec<SmallFile>, Error> {
        files::collect(&self.config()?, self.base.path(), &self.tokenizer)
    }

    /// The merged model's `config.json`.
    pub(crate) fn config(&self) -> Result<serde_json::Value, Error> {
        files::config(&self.base, &self.adapters, self.vocabulary)
    }

    fn place(&self, step: &Step) -> Option<(&Shard, usize)> {
        match step.origin {
            Origin::Base => self.base.place(&step.name),
            Origin::Adapter(adapter, place) => Some((self.adapters[adapter].shard(), place)),
        }
    }
}

pub(crate) fn refused(path: &Path, fault: Fault) -> Error {
    Error::new(path, AnyFault::Merge(Box::new(fault)))
}

/// What the adapter says that it has, as far as the base has a place for it, is there.
fn is_whole(base: &Folder, adapter: &Adapter) -> Result<(), Error> {
    let config = adapter.config();
    for name in base.names() {
        let Some(module) = name.strip_suffix(".weight") else { continue };
        let is_matrix = base.raw(name).is_some_and(|raw| raw.shape.len() == 2);
        let there = adapter.pairs().contains_key(name) || adapter.replaced().contains_key(name);
        if is_matrix && !there && !config.some_layers && config.targets(module) {
            let fault = Fault::PairMissing { module: last_part(module).to_owned(), tensor: name.clone() };
            return Err(refused(adapter.path(), fault));
        }
    }
    for module in &config.modules_to_save {
        let end = format!("{}.weight", last_part(module));
        let has = |name: &str| name == end || name.ends_with(&format!(".{end}"));
        if base.names().iter().any(|name| has(name)) && !adapter.replaced().keys().any(|name| has(name)) {
            return Err(refused(adapter.path(), Fault::SavedMissing { module: module.clone() }));
        }
    }
    Ok(())
}

fn last_part(module: &str) -> &str {
    module.rsplit('.').next().unwrap_or(module)
}

/// Training begins with B = 0: an adapter of only such pairs was never trained.
fn adds_something(adapter: &Adapter) -> Result<(), Error> {
    let is_some = |place: usize| Ok::<_, Error>(adapter.shard().values(place)?.iter().any(|&value| value != 0.0));
    if !adapter.replaced().is_empty() {
        return Ok(());
    }
    for pair in adapter.pairs().values() {
        if pair.scale != 0.0 && is_some(pair.b)? && is_some(pair.a)? {
            return Ok(());
        }
    }
    Err(refused(adapter.path(), Fault::AddsNothing))
}

fn steps(base: &Folder, adapters: &[Adapter], strengths: &[f32]) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    let mut places = BTreeMap::new();
    for name in base.names().iter().filter(|name| !name.ends_with(IGNORED_END)) {
        let Some(raw) = base.raw(name) else { continue };
        let step = Step {
            name: name.clone(),
            dtype: raw.dtype,
            shape: raw.shape.to_vec(),
            origin: Origin::Base,
            sums: Vec::new(),
        };
        places.insert(name.clone(), steps.len());
        steps.push(step);
    }
    for (index, (adapter, &strength)) in adapters.iter().zip(strengths).enumerate() {
        let find = |name: &String| {
            let base = base.path().display().to_string();
            places.get(name).copied().ok_or_else(|| Fault::ModuleMissing { tensor: name.clone(), base })
        };
        for (name, &place) in adapter.replaced() {
            let step = &mut steps[find(name).map_err(|fault| refused(adapter.path(), fault))?];
            replace(base, adapters, step, (index, place))?;
        }
        for (name, pair) in adapter.pairs() {
            let step = &mut steps[find(name).map_err(|fault| refused(adapter.path(), fault))?];
            add(base, adapter, step, pair)?;
            let scale = (pair.scale * f64::from(strength)) as f32;
            step.sums.push(Sum { adapter: index, scale });
        }
    }
    Ok(steps)
}

/// Lets the adapter's tensor take the place of the base's. Only a table of the vocabulary may have another number of rows.
fn replace(base: &Folder, adapters: &[Adapter], step: &mut Step, (index, place): (usize, usize)) -> Result<(), Error> {
    let adapter = &adapters[index];
    let raw = adapter.shard().tensor(place);
    let before = match step.origin {
        Origin::Adapter(other, _) => Some(other),
        Origin::Base => step.sums.first().map(|sum| sum.adapter),
    };
    if let Some(other) = before {
        let (tensor, other) = (step.name.clone(), adapters[other].path().display().to_string());
        return Err(refused(adapter.path(), Fault::Conflict { tensor, other }));
    }
    let free = usize::from(is_vocabulary(&step.name) && step.shape.len() == 2);
    if raw.shape.len() != step.shape.len() || raw.shape[free..] != step.shape[free..] {
        return Err(refused(adapter.path(), shape_fault(base, step, raw.shape.to_vec())));
    }
    convertible(base, step)?;
    step.shape = raw.shape.to_vec();
    step.origin = Origin::Adapter(index, place);
    Ok(())
}

fn add(base: &Folder, adapter: &Adapter, step: &Step, pair: &Pair) -> Result<(), Error> {
    let (columns, rows) = (adapter.shard().tensor(pair.a).shape[1], adapter.shard().tensor(pair.b).shape[0]);
    let wanted = if pair.turned { vec![columns, rows] } else { vec![rows, columns] };
    if step.shape != wanted {
        return Err(refused(adapter.path(), shape_fault(base, step, wanted)));
    }
    convertible(base, step)
}

fn shape_fault(base: &Folder, step: &Step, wanted: Vec<usize>) -> Fault {
    let (tensor, found, base) = (step.name.clone(), step.shape.clone(), base.path().display().to_string());
    Fault::Shape { tensor, wanted, found, base }
}

/// Whether values can be computed in the base's type.
fn convertible(base: &Folder, step: &Step) -> Result<(), Error> {
    match base.place(&step.name) {
        Some((shard, place)) if shard.tensor(place).dtype.format().is_none() => Err(shard.unsupported(place)),
        _ => Ok(()),
    }
}

/// The merged model's number of tokens and the folder of its tokenizer, which must be for as many.
fn matched_vocabulary(base: &Folder, adapters: &[Adapter], steps: &[Step]) -> Result<(usize, PathBuf), Error> {
    let rows = |end: &str| {
        let step = steps.iter().find(|step| step.name == end || step.name.ends_with(&format!(".{end}")));
        step.and_then(|step| step.shape.first().copied())
    };
    let configured = base.config().get("vocab_size").and_then(serde_json::Value::as_u64).map(|size| size as usize);
    let vocabulary_rows = rows(EMBEDDINGS_END).or(rows(HEAD_END)).or(configured).unwrap_or(0);
    if let (Some(embeddings), Some(head)) = (rows(EMBEDDINGS_END), rows(HEAD_END))
        && embeddings != head
    {
        let adapter = adapters.iter().find(|adapter| adapter.vocabulary().is_some());
        let path = adapter.map_or(base.path(), Adapter::path);
        return Err(refused(path, Fault::HeadDiffers { embeddings, head }));
    }
    let from = adapters.iter().rev().map(Adapter::path).find(|folder| has_tokenizer(folder));
    let tokenizer = from.unwrap_or(base.path()).to_path_buf();
    let brought = adapters.iter().any(|adapter| adapter.vocabulary().is_some());
    if from.is_none() && !brought {
        return Ok((vocabulary_rows, tokenizer));
    }
    let Some(tokens) = vocabulary(&tokenizer)? else {
        return Err(refused(adapters[0].path(), Fault::TokenizerMissing { rows: vocabulary_rows }));
    };
    // Some models have more rows than tokens. That is right where their own tokenizer has as many tokens as this one.
    let padded = !brought && tokens < vocabulary_rows && vocabulary(base.path())? == Some(tokens);
    if tokens != vocabulary_rows && !padded {
        let hint = match (brought, from) {
            (true, None) => "The adapter brings new embeddings, but not its tokenizer. Fetch its tokenizer files, too",
            (true, Some(_)) => "The adapter's embeddings and its tokenizer do not fit together. Fetch it again",
            (false, _) => "The adapter was made for another base model, with another vocabulary",
        };
        return Err(refused(&tokenizer, Fault::Vocabulary { tokens, rows: vocabulary_rows, hint }));
    }
    Ok((vocabulary_rows, tokenizer))
}
