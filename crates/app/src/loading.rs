//! The model in memory: one at a time, loaded by a job, kept from being replaced while it answers.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use huacaya_engine::{Adapter, LoadOptions, Memory};
use huacaya_progress::{Progress, Watch};
use huacaya_store::{JobId, Model, ModelFile, ModelId, Parameters, Strength};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::{
    App, blocking, computing,
    error::{Code, Error, Result},
    jobs::{Outcome, Task, Tell},
    models::{Fit, FitChoice, Verdict},
    parameters,
};

/// Below this share of the free memory a model fits well; above it other programs will feel it.
const WELL: f64 = 0.8;
/// Shorter contexts are of no use for talk.
const CONTEXT_LEAST: u32 = 512;
/// How often a load looks whether the answers of the model before are over.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often an answer tries again when another model takes the place of the one that it had loaded.
const TRIES_MAX: usize = 8;

/// A model in memory, and what it was loaded from.
#[derive(Clone)]
pub struct Loaded {
    pub id: ModelId,
    pub model: Arc<huacaya_engine::Model>,
    file: ModelFile,
    options: LoadOptions,
    adapters: Adapters,
}

/// The adapters that were read for the model in memory, with the files that they were read from.
type Adapters = Arc<Mutex<HashMap<ModelId, (ModelFile, Arc<Adapter>)>>>;

/// An adapter that an answer is made with.
pub(crate) struct Beside {
    pub(crate) name: String,
    pub(crate) adapter: Arc<Adapter>,
    pub(crate) strength: f32,
}

/// A hold on the model in memory: while it lives, nothing replaces it.
pub struct Lease {
    pub model: Arc<huacaya_engine::Model>,
    adapters: Adapters,
    _hold: OwnedRwLockReadGuard<()>,
}

/// While it lives, somebody waits for this load; dropped before the end (the answer was stopped), it stops the load too.
struct Wanted<'a> {
    app: &'a App,
    job: JobId,
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.app.inner.jobs.stop(self.job);
    }
}

/// The place for one model.
#[derive(Default)]
pub(crate) struct Place {
    /// Read by who answers, written by who replaces.
    hold: Arc<RwLock<()>>,
    /// Answers that wait for the same model have it loaded once.
    turn: tokio::sync::Mutex<()>,
    loaded: Mutex<Option<Loaded>>,
}

impl Place {
    fn slot(&self) -> MutexGuard<'_, Option<Loaded>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The model in memory, for a look at its words and its template.
    pub(crate) fn now(&self) -> Option<Loaded> {
        self.slot().clone()
    }
}

/// How a load was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) context: Option<u32>,
    /// Even where it is too large for the free memory.
    pub(crate) anyway: bool,
    /// Measured again, even where the model is in memory.
    pub(crate) tune: bool,
}

/// The work of `Task::Load`, on a worker thread.
pub(crate) fn load(app: &App, id: ModelId, asked: &Asked, tell: Tell<'_>, watch: Watch<'_>) -> Result<Outcome> {
    let Asked { context, anyway, tune } = *asked;
    let runtime = &app.inner.runtime;
    let (row, file) = runtime.block_on(app.loadable_model(id))?;
    let options = runtime.block_on(app.load_options(&row, context))?;
    // Answers of the model before come to their end first.
    let _hold = loop {
        let there = app.inner.place.now().is_some_and(|loaded| loaded.serves(id, &file, &options, context));
        if there && !tune {
            return Ok(Outcome::Loaded { model: id });
        }
        match app.inner.place.hold.clone().try_write_owned() {
            Ok(hold) => break hold,
            Err(_) if watch(Progress::default()).is_break() => return Err(Error::stopped()),
            Err(_) => std::thread::sleep(LOOK_EVERY),
        }
    };
    let options = fitting(&row, &file, options, context, anyway, held(&app.inner.place))?;
    if let Some(before) = app.inner.place.slot().take() {
        tracing::info!(model = before.id.0, "a model leaves the memory");
        runtime.block_on(app.inner.store.set_loaded(before.id, None))?;
    }
    tracing::info!(model = id.0, context = options.context, "loading a model");
    let mut model =
        huacaya_engine::Model::load(&file.path, &options, watch).map_err(|error| Error::of_model(&row.name, error))?;
    computing::tune(app, id, &mut model, tune, tell, watch)?;
    model.set_quiet(runtime.block_on(app.setting(computing::QUIET))?.unwrap_or(false));
    if let Some(reason) = model.fell_back() {
        tracing::warn!(reason, "the model is not on the device in the settings");
    }
    let device = model.device().to_string();
    let asked = LoadOptions { context: context.map(|tokens| tokens as usize), ..options };
    *app.inner.place.slot() =
        Some(Loaded { id, model: Arc::new(model), file, options: asked, adapters: Adapters::default() });
    runtime.block_on(app.inner.store.set_loaded(id, Some(&device)))?;
    Ok(Outcome::Loaded { model: id })
}

/// What the model in memory takes, and would give back.
fn held(place: &Place) -> u64 {
    place.slot().as_ref().map_or(0, |loaded| loaded.model.memory().weights)
}

/// Options whose context fits into the memory; where none was asked for, the longest that does.
fn fitting(
    row: &Model,
    file: &ModelFile,
    mut options: LoadOptions,
    context: Option<u32>,
    anyway: bool,
    held: u64,
) -> Result<LoadOptions> {
    let memory = estimate(row, file, &options)?;
    let free = free_bytes() + held;
    let fit = compare(&memory, free);
    if fit.verdict != Verdict::TooLarge || anyway {
        return Ok(options);
    }
    match fit.choices.first() {
        Some(choice) if context.is_none() => {
            options.context = Some(choice.context as usize);
            Ok(options)
        }
        _ => {
            let detail = format!("{} needs {} bytes of memory, {free} are free", row.name, memory.total());
            let error = Error::new(Code::MemoryShort, detail).with("model", &row.name);
            Err(error.with("needed", memory.total()).with("free", free))
        }
    }
}

fn estimate(row: &Model, file: &ModelFile, options: &LoadOptions) -> Result<Memory> {
    huacaya_engine::Model::estimate(&file.path, options).map_err(|error| Error::of_model(&row.name, error))
}

/// Memory that programs could take now.
pub(crate) fn free_bytes() -> u64 {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    // A system that does not tell must not keep a model from being tried.
    System::new_with_specifics(memory).map_or(u64::MAX / 2, |system| system.available_memory())
}

/// How what is needed fits into what is free.
pub(crate) fn verdict(total: u64, free: u64) -> Verdict {
    match total as f64 / free.max(1) as f64 {
        share if share <= WELL => Verdict::Well,
        share if share <= 1.0 => Verdict::Tight,
        _ => Verdict::TooLarge,
    }
}

/// What is needed against what is free, with the shorter contexts that would fit.
fn compare(memory: &Memory, free: u64) -> Fit {
    let total = memory.total();
    let verdict = verdict(total, free);
    let context = memory.context as u32;
    let shorter = std::iter::successors(Some(context / 2), |context| Some(context / 2));
    let choices = (shorter.take_while(|context| *context >= CONTEXT_LEAST))
        .map(|context| FitChoice { context, total: memory.at(context as usize).total() })
        .filter(|choice| choice.total <= free)
        .collect();
    Fit { context, weights: memory.weights, kv: memory.kv(), scratch: memory.scratch, total, free, verdict, choices }
}

impl App {
    /// What the model in memory takes, and would give back.
    pub(crate) fn held_bytes(&self) -> u64 {
        held(&self.inner.place)
    }

    /// Loads a model as a job.
    pub(crate) async fn load_model(&self, model: ModelId, context: Option<u32>, anyway: bool) -> Result<JobId> {
        let (row, _) = self.loadable_model(model).await?;
        Ok(self.start_job(Task::Load { model, name: row.name, context, anyway, tune: false }).await?.id)
    }

    pub(crate) async fn unload_model(&self, model: ModelId) -> Result<()> {
        if self.inner.place.now().is_none_or(|loaded| loaded.id != model) {
            return Ok(());
        }
        self.stop_all_answers().await;
        let _hold = self.inner.place.hold.clone().write_owned().await;
        let gone = self.inner.place.slot().take_if(|loaded| loaded.id == model);
        if gone.is_some() {
            self.inner.store.set_loaded(model, None).await?;
        }
        Ok(())
    }

    pub(crate) async fn estimate(&self, model: ModelId, context: Option<u32>) -> Result<Fit> {
        let (row, file) = self.loadable_model(model).await?;
        let options = self.load_options(&row, context).await?;
        let held = held(&self.inner.place);
        blocking(move || Ok(compare(&estimate(&row, &file, &options)?, free_bytes() + held))).await
    }

    /// How this model is loaded: context as asked for here, else as set for it, else by the person; device and template
    /// as set.
    async fn load_options(&self, row: &Model, context: Option<u32>) -> Result<LoadOptions> {
        parameters::check(&Parameters { context, ..Parameters::default() })?;
        let person: Option<Parameters> = self.setting("parameters").await?;
        let context = context.or(person.and_then(|layer| layer.context)).or(row.parameters.context);
        Ok(LoadOptions {
            context: context.map(|tokens| tokens as usize),
            device: self.setting("device").await?,
            template: crate::models::set_template(row).map(str::to_string),
            ..self.computing().await?.options()
        })
    }

    /// A hold on this model in memory; it is loaded first where it is not there (with this context, where one is asked for).
    pub async fn lease(&self, id: ModelId, context: Option<u32>) -> Result<Lease> {
        let mut turn = None;
        for _ in 0..TRIES_MAX {
            let hold = self.inner.place.hold.clone().read_owned().await;
            let (row, file) = self.loadable_model(id).await?;
            let wanted = self.load_options(&row, context).await?;
            if let Some(loaded) = self.inner.place.now().filter(|loaded| loaded.serves(id, &file, &wanted, context)) {
                return Ok(Lease { model: loaded.model, adapters: loaded.adapters, _hold: hold });
            }
            drop(hold);
            if turn.is_none() {
                turn = Some(self.inner.place.turn.lock().await);
                continue;
            }
            let context = wanted.context.map(|tokens| tokens as u32);
            let started =
                self.start_job(Task::Load { model: id, name: row.name, context, anyway: false, tune: false }).await?;
            let _wanted = Wanted { app: self, job: started.id };
            started.outcome().await?;
        }
        Err(Error::internal("other models kept taking the memory"))
    }

    /// Adapters for the model of this lease, in their order; each is read once for as long as the model is in memory.
    pub(crate) async fn adapters(&self, lease: &Lease, wanted: &[Strength]) -> Result<Vec<Beside>> {
        let mut ready = Vec::with_capacity(wanted.len());
        for one in wanted {
            let (row, file) = self.ready_model(one.model).await?;
            let known =
                lease.adapters().get(&one.model).filter(|(from, _)| *from == file).map(|(_, read)| read.clone());
            if let Some(adapter) = known {
                ready.push(Beside { name: row.name, adapter, strength: one.strength });
                continue;
            }
            let (path, model) = (file.path.clone(), Arc::clone(&lease.model));
            let name = row.name.clone();
            let read = move || Adapter::load(&path, &model).map_err(|error| of_adapter(&name, error));
            let adapter = Arc::new(blocking(read).await?);
            lease.adapters().insert(one.model, (file, adapter.clone()));
            ready.push(Beside { name: row.name, adapter, strength: one.strength });
        }
        Ok(ready)
    }
}

/// Why an adapter cannot be used beside the model in memory.
fn of_adapter(name: &str, error: huacaya_engine::Error) -> Error {
    match error {
        huacaya_engine::Error::Weights(error) => crate::merging::of_merge(error),
        error => Error::of_model(name, error),
    }
}

impl Lease {
    fn adapters(&self) -> MutexGuard<'_, HashMap<ModelId, (ModelFile, Arc<Adapter>)>> {
        self.adapters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loaded {
    /// Whether this is what was asked for. A context that nobody asked for is no reason to load again.
    fn serves(&self, id: ModelId, file: &ModelFile, wanted: &LoadOptions, context: Option<u32>) -> bool {
        self.id == id
            && self.file == *file
            && self.options.device == wanted.device
            && self.options.template == wanted.template
            && (self.options.candle, self.options.threads, self.options.kernels, self.options.kv)
                == (wanted.candle, wanted.threads, wanted.kernels, wanted.kv)
            && context.is_none_or(|tokens| self.model.context() == tokens as usize)
    }
}

/// A model that left the memory for a while, and how it was asked for.
pub(crate) struct Before {
    model: ModelId,
    context: Option<u32>,
}

impl Before {
    /// Loads it again, as a job, unless another model is there by now.
    pub(crate) fn restore(self, app: &App) {
        if app.inner.place.now().is_some() || app.inner.closing() {
            return;
        }
        if let Err(error) = app.inner.runtime.block_on(app.load_model(self.model, self.context, false)) {
            tracing::warn!(%error, model = self.model.0, "the model that was in memory before is not loaded again");
        }
    }
}

/// While it lives, no model of a chat is in memory and none comes.
pub(crate) struct Quiet {
    before: Option<Before>,
    _hold: OwnedRwLockWriteGuard<()>,
}

impl Quiet {
    /// What had to leave the memory.
    pub(crate) fn leave(self) -> Option<Before> {
        self.before
    }
}

/// Waits for answers in progress, then takes the model in memory out of it.
pub(crate) fn quiet(app: &App, watch: Watch<'_>) -> Result<Quiet> {
    let hold = loop {
        match app.inner.place.hold.clone().try_write_owned() {
            Ok(hold) => break hold,
            Err(_) if watch(Progress::default()).is_break() => return Err(Error::stopped()),
            Err(_) => std::thread::sleep(LOOK_EVERY),
        }
    };
    let before = app.inner.place.slot().take().map(|loaded| {
        tracing::info!(model = loaded.id.0, "a model leaves the memory for a measurement");
        Before { model: loaded.id, context: loaded.options.context.map(|tokens| tokens as u32) }
    });
    if let Some(before) = &before {
        app.inner.runtime.block_on(app.inner.store.set_loaded(before.model, None))?;
    }
    Ok(Quiet { before, _hold: hold })
}

/// Refuses what would not fit into the memory as it is now.
pub(crate) fn check_room(name: &str, path: &Path, options: &LoadOptions) -> Result<()> {
    let memory = huacaya_engine::Model::estimate(path, options).map_err(|error| Error::of_model(name, error))?;
    let free = free_bytes();
    if memory.total() <= free {
        return Ok(());
    }
    let detail = format!("{name} needs {} bytes of memory, {free} are free", memory.total());
    let error = Error::new(Code::MemoryShort, detail).with("model", name);
    Err(error.with("needed", memory.total()).with("free", free))
}
