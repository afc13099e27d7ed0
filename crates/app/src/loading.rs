//! Models in memory: loaded by a job, kept from leaving while they answer, the longest unused gone when memory is short.

mod place;

pub use place::{Lease, Loaded};
pub(crate) use place::{Place, Side};

use std::{
    path::Path,
    pin::pin,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use huacaya_engine::{Adapter, LoadOptions, Memory};
use huacaya_progress::{Progress, Watch};
use huacaya_store::{JobId, Model, ModelFile, ModelId, Parameters, Strength};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};
use tokio::sync::OwnedRwLockWriteGuard;

use crate::{
    App,
    app::Inner,
    blocking, computing,
    error::{Code, Error, Result},
    jobs::{Outcome, Task, Tell},
    models::{Fit, FitChoice, Verdict},
    parameters,
};

/// Below this share of the free memory a model fits well; above it other programs will feel it.
const WELL: f64 = 0.8;
/// Of the memory that stays free beside a model, the part that texts of several programs may take: an eighth is felt by
/// nobody, and the next model finds room.
const SPARE_SHARE: u64 = 8;
/// Contexts that texts together may fill: as many are answered side by side.
const TEXTS_MOST: usize = 8;
/// Shorter contexts are of no use for talk.
const CONTEXT_LEAST: u32 = 512;
/// How often a load looks whether the answers of the model before are over.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often models that nobody uses any more are looked for: much finer than the minutes that a person sets.
const UNUSED_EVERY: Duration = Duration::from_secs(15);
/// How often an answer tries again when another model takes the place of the one that it had loaded.
const TRIES_MAX: usize = 8;

/// An adapter that an answer is made with.
pub(crate) struct Beside {
    pub(crate) name: String,
    pub(crate) adapter: Arc<Adapter>,
    pub(crate) strength: f32,
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
    let place = &app.inner.place;
    let _hold = patiently(watch, || place.hold.clone().try_read_owned().ok())?;
    let _coming = patiently(watch, || place.coming.clone().try_lock_owned().ok())?;
    let side = place.side_of(id);
    if !tune && place.has(side, |loaded| loaded.serves(id, &file, &options, context)) {
        return Ok(Outcome::Loaded { model: id });
    }
    let options = fitting(&row, &file, options, context, anyway, place.held())?;
    let memory = estimate(&row, &file, &options)?;
    let needed = memory.total();
    let leaving = place.make_way(id, side);
    loop {
        let verdict = verdict(needed, place.room(free_bytes()));
        if verdict == Verdict::Well || !place.ask_longest_unused(verdict == Verdict::TooLarge) {
            break;
        }
    }
    // Answers of models that leave come to their end first.
    let gone = patiently(watch, || place.take_leaving())?;
    drop(leaving);
    runtime.block_on(app.note_gone(&gone))?;
    drop(gone);
    let options = LoadOptions { positions: Some(positions(&memory, place.room(free_bytes()))), ..options };
    tracing::info!(model = id.0, context = options.context, positions = options.positions, "loading a model");
    let mut model =
        huacaya_engine::Model::load(&file.path, &options, watch).map_err(|error| Error::of_model(&row.name, error))?;
    computing::tune(app, id, &mut model, tune, tell, watch)?;
    model.set_quiet(runtime.block_on(app.setting(computing::QUIET))?.unwrap_or(false));
    if let Some(reason) = model.fell_back() {
        tracing::warn!(reason, "the model is not on the device in the settings");
    }
    let device = model.device().to_string();
    let asked = LoadOptions { context: context.map(|tokens| tokens as usize), ..options };
    place.add(Loaded { id, model: Arc::new(model), file, options: asked, adapters: Arc::default() }, side);
    runtime.block_on(app.inner.store.set_loaded(id, Some(&device)))?;
    Ok(Outcome::Loaded { model: id })
}

/// Positions for all texts that programs have at work: a context, which the estimate counts, and some of what is left.
fn positions(memory: &Memory, free: u64) -> usize {
    let spare = free.saturating_sub(memory.total()) / SPARE_SHARE / memory.kv_per_token.max(1);
    let most = memory.context.saturating_mul(TEXTS_MOST);
    memory.context.saturating_add(usize::try_from(spare).unwrap_or(most)).min(most)
}

/// Tries until it works, or until the watch does not want to wait any more.
fn patiently<T>(watch: Watch<'_>, mut attempt: impl FnMut() -> Option<T>) -> Result<T> {
    loop {
        match attempt() {
            Some(done) => return Ok(done),
            None if watch(Progress::default()).is_break() => return Err(Error::stopped()),
            None => std::thread::sleep(LOOK_EVERY),
        }
    }
}

/// Takes models that no program uses any more out of the memory, where the person set for how long they may stay.
pub(crate) async fn forget_unused(app: Weak<Inner>) {
    loop {
        tokio::time::sleep(UNUSED_EVERY).await;
        let Some(inner) = app.upgrade().filter(|inner| !inner.closing()) else { return };
        if let Err(error) = (App { inner }).unload_unused(Instant::now()).await {
            tracing::warn!(%error, "models that nobody uses stay in memory");
        }
    }
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
    /// What the models in memory take, and would give back.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.inner.place.held()
    }

    /// Loads a model as a job.
    pub(crate) async fn load_model(&self, model: ModelId, context: Option<u32>, anyway: bool) -> Result<JobId> {
        let (row, _) = self.loadable_model(model).await?;
        Ok(self.start_job(Task::Load { model, name: row.name, context, anyway, tune: false }).await?.id)
    }

    pub(crate) async fn unload_model(&self, model: ModelId) -> Result<()> {
        let place = &self.inner.place;
        if place.of(model).is_none() {
            return Ok(());
        }
        let _coming = place.coming.lock().await;
        let leaving = place.cut(model);
        self.stop_answers_with(model).await;
        let gone = loop {
            match place.take_leaving() {
                Some(gone) => break gone,
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        };
        drop(leaving);
        self.note_gone(&gone).await
    }

    /// Takes models out of the memory that no program has used for as long, by `now`, as the setting `server_ttl` says (in
    /// minutes; without it they stay). The window's model stays in any case.
    pub async fn unload_unused(&self, now: Instant) -> Result<()> {
        let Some(minutes) = self.setting::<u64>("server_ttl").await? else { return Ok(()) };
        let Ok(_coming) = self.inner.place.coming.try_lock() else { return Ok(()) };
        let gone = self.inner.place.take_unused(now, Duration::from_secs(60 * minutes));
        self.note_gone(&gone).await
    }

    async fn note_gone(&self, gone: &[Loaded]) -> Result<()> {
        for loaded in gone {
            tracing::info!(model = loaded.id.0, "a model leaves the memory");
            self.inner.store.set_loaded(loaded.id, None).await?;
        }
        Ok(())
    }

    pub(crate) async fn estimate(&self, model: ModelId, context: Option<u32>) -> Result<Fit> {
        let (row, file) = self.loadable_model(model).await?;
        let options = self.load_options(&row, context).await?;
        let held = self.held_bytes();
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
            device: self.device().await?,
            template: crate::models::set_template(row).map(str::to_string),
            ..self.computing().await?.options()
        })
    }

    /// A hold on this model in memory; it is loaded first where it is not there (with this context, where one is asked for).
    pub async fn lease(&self, id: ModelId, context: Option<u32>) -> Result<Lease> {
        self.lease_for(Side::Window, id, context).await
    }

    pub(crate) async fn lease_for(&self, side: Side, id: ModelId, context: Option<u32>) -> Result<Lease> {
        let place = &self.inner.place;
        let _asked = (side == Side::Programs).then(|| place.wait_for(id));
        let mut turn = None;
        for _ in 0..TRIES_MAX {
            let hold = place.hold.clone().read_owned().await;
            let (row, file) = self.loadable_model(id).await?;
            let wanted = self.load_options(&row, context).await?;
            if let Some(lease) = place.lease(hold, side, |loaded| loaded.serves(id, &file, &wanted, context)) {
                return Ok(lease);
            }
            if turn.is_none() {
                turn = Some(place.turn.lock().await);
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

/// The window's model, which left the memory for a while, and how it was asked for. What programs use comes when they ask.
pub(crate) struct Before {
    model: ModelId,
    context: Option<u32>,
}

impl Before {
    /// Loads it again, as a job, unless another model is there by now.
    pub(crate) fn restore(self, app: &App) {
        if app.inner.place.of_window().is_some() || app.inner.closing() {
            return;
        }
        if let Err(error) = app.inner.runtime.block_on(app.load_model(self.model, self.context, false)) {
            tracing::warn!(%error, model = self.model.0, "the model that was in memory before is not loaded again");
        }
    }
}

/// While it lives, no model is in memory and none comes.
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

/// Waits for answers in progress (new ones wait behind it), then takes all models out of the memory.
pub(crate) fn quiet(app: &App, watch: Watch<'_>) -> Result<Quiet> {
    let (place, runtime) = (&app.inner.place, &app.inner.runtime);
    let hold = runtime.block_on(async {
        let mut wanted = pin!(place.hold.clone().write_owned());
        loop {
            tokio::select! {
                hold = &mut wanted => break Ok(hold),
                () = tokio::time::sleep(LOOK_EVERY) => {
                    if watch(Progress::default()).is_break() {
                        break Err(Error::stopped());
                    }
                }
            }
        }
    })?;
    let before = place
        .of_window()
        .map(|loaded| Before { model: loaded.id, context: loaded.options.context.map(|tokens| tokens as u32) });
    let gone = place.take_all();
    runtime.block_on(app.note_gone(&gone))?;
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
