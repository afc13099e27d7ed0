//! Models in memory: loaded by a job, kept from leaving while they answer, the longest unused gone when memory is short.

mod place;

pub use place::{Draft, Lease, Loaded};
pub(crate) use place::{Place, Side};

use std::{
    path::Path,
    pin::pin,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use huacaya_engine::{Adapter, KvFormat, LoadOptions, Memory};
use huacaya_progress::{Progress, Watch};
use huacaya_store::{JobId, Model, ModelFile, ModelId, Parameters, Strength};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};
use tokio::sync::OwnedRwLockWriteGuard;

use crate::{
    App,
    app::Inner,
    blocking,
    computing::{self, Computing},
    error::{Code, Error, Result},
    jobs::{Outcome, Task, Tell},
    models::{Fit, FitChoice, Verdict, of_draft},
    parameters,
    sharing::Sharing,
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
    /// What keys and values are kept in, instead of what is set.
    pub(crate) kv: Option<KvFormat>,
    /// Even where it is too large for the free memory.
    pub(crate) anyway: bool,
    /// Measured again, even where the model is in memory.
    pub(crate) tune: bool,
}

/// What a model in memory must have been loaded with to be what is wanted. What was asked for once is no part of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Terms {
    file: ModelFile,
    device: Option<String>,
    template: Option<String>,
    set: Computing,
    /// The model that guesses ahead.
    draft: Option<DraftTerms>,
}

#[derive(Clone, Debug)]
struct DraftTerms {
    id: ModelId,
    name: String,
    sha256: Option<String>,
    context: usize,
    file: ModelFile,
}

impl PartialEq for DraftTerms {
    /// Another name, or a hash that was found out meanwhile, makes no other model of it.
    fn eq(&self, other: &DraftTerms) -> bool {
        (self.id, &self.file) == (other.id, &other.file)
    }
}

impl Terms {
    fn options(&self, context: Option<u32>, kv: Option<KvFormat>) -> LoadOptions {
        LoadOptions {
            context: context.map(|tokens| tokens as usize),
            device: self.device.clone(),
            template: self.template.clone(),
            ..self.set.clone().under(None, kv).options()
        }
    }

    /// The draft is of no use beyond the context of the model that it guesses for.
    fn draft_options(&self, draft: &DraftTerms, context: usize, kv: Option<KvFormat>) -> LoadOptions {
        LoadOptions { template: None, ..self.options(Some(draft.context.min(context) as u32), kv) }
    }

    /// What the model needs with these options, the draft beside it.
    fn memory(&self, row: &Model, options: &LoadOptions) -> Result<Memory> {
        let memory = estimate(&row.name, &self.file, options)?;
        let Some(draft) = &self.draft else { return Ok(memory) };
        let options = self.draft_options(draft, memory.context, Some(options.kv));
        Ok(memory.with(estimate(&draft.name, &draft.file, &options)?.total()))
    }
}

/// The work of `Task::Load`, on a worker thread.
pub(crate) fn load(app: &App, id: ModelId, asked: &Asked, tell: Tell<'_>, watch: Watch<'_>) -> Result<Outcome> {
    let runtime = &app.inner.runtime;
    let (row, file) = runtime.block_on(app.loadable_model(id))?;
    let terms = runtime.block_on(app.terms(&row, file))?;
    let place = &app.inner.place;
    let _hold = patiently(watch, || place.hold.clone().try_read_owned().ok())?;
    let _coming = patiently(watch, || place.coming.clone().try_lock_owned().ok())?;
    let side = place.side_of(id);
    let serves =
        |loaded: &Loaded| loaded.serves(id, &terms, asked.context) && asked.kv.is_none_or(|kv| loaded.model.keeps(kv));
    if !asked.tune && place.has(side, serves) {
        return Ok(Outcome::Loaded { model: id });
    }
    let context = runtime.block_on(app.wanted_context(&row, asked.context))?;
    let options = fitting(&row, &terms, terms.options(context, asked.kv), asked, place.held())?;
    let memory = terms.memory(&row, &options)?;
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
    // Who asks for a measurement wants the card measured, too.
    let slower = if asked.tune { Vec::new() } else { runtime.block_on(app.slower_cards())? };
    let positions = Some(positions(&memory, place.room(free_bytes())));
    let options = LoadOptions { positions, slower, ..options };
    let loaded = bring_in(app, id, &row, terms, &options, asked, tell, watch)?;
    let model = loaded.model.clone();
    place.add(loaded, side);
    runtime.block_on(app.inner.store.set_loaded(id, Some((model.device(), model.fell_back()))))?;
    Ok(Outcome::Loaded { model: id })
}

/// Positions for all texts that programs have at work: a context, which the estimate counts, and some of what is left.
fn positions(memory: &Memory, free: u64) -> usize {
    let spare = free.saturating_sub(memory.total()) / SPARE_SHARE / memory.kv_per_token.max(1);
    let most = memory.context.saturating_mul(TEXTS_MOST);
    memory.context.saturating_add(usize::try_from(spare).unwrap_or(most)).min(most)
}

/// Loads the model, and the one that guesses ahead for it.
#[allow(clippy::too_many_arguments)] // the parts of one step of the work above
fn bring_in(
    app: &App,
    id: ModelId,
    row: &Model,
    terms: Terms,
    options: &LoadOptions,
    asked: &Asked,
    tell: Tell<'_>,
    watch: Watch<'_>,
) -> Result<Loaded> {
    let set = terms.set.clone().under(None, asked.kv);
    if let Some(draft) = &terms.draft {
        huacaya_engine::check_draft(&draft.file.path, &terms.file.path)
            .map_err(|error| of_draft(&row.name, &draft.name, error))?;
    }
    tracing::info!(model = id.0, context = options.context, "loading a model");
    let mut bring = |id: ModelId, name: &str, file: &ModelFile, options: &LoadOptions, again: bool| {
        let loaded = huacaya_engine::Model::load(&file.path, options, &mut *watch);
        let mut model = loaded.map_err(|error| Error::of_model(name, error))?;
        computing::race(app, &mut model, again, tell, &mut *watch)?;
        computing::tune(app, id, &mut model, &set, again, tell, &mut *watch)?;
        if let Some(reason) = model.fell_back() {
            tracing::warn!(reason, "the model is not on the device in the settings");
        }
        Ok::<_, Error>(Arc::new(model))
    };
    let model = bring(id, &row.name, &terms.file, options, asked.tune)?;
    let draft = match &terms.draft {
        Some(draft) => {
            let options = terms.draft_options(draft, model.context(), asked.kv);
            let model = bring(draft.id, &draft.name, &draft.file, &options, false)?;
            Some(Draft { name: draft.name.clone(), sha256: draft.sha256.clone(), model })
        }
        None => None,
    };
    let loaded = Loaded { id, model, terms, asked: *asked, draft, adapters: Arc::default() };
    loaded.set_quiet(app.inner.runtime.block_on(app.sharing())? == Sharing::On);
    Ok(loaded)
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
fn fitting(row: &Model, terms: &Terms, options: LoadOptions, asked: &Asked, held: u64) -> Result<LoadOptions> {
    let memory = terms.memory(row, &options)?;
    let free = free_bytes() + held;
    let fit = compare(&memory, free);
    if fit.verdict != Verdict::TooLarge || asked.anyway {
        return Ok(options);
    }
    // Fewer bits for keys and values are for the person to choose.
    match fit.choices.iter().find(|choice| choice.kv.is_none()) {
        Some(choice) if asked.context.is_none() => {
            Ok(LoadOptions { context: Some(choice.context as usize), ..options })
        }
        _ => Err(short(&row.name, memory.total(), free)),
    }
}

/// Refused for want of memory, in bytes.
fn short(name: &str, needed: u64, free: u64) -> Error {
    let detail = format!("{name} needs {needed} bytes of memory, {free} are free");
    Error::new(Code::MemoryShort, detail).with("model", name).with("needed", needed).with("free", free)
}

fn estimate(name: &str, file: &ModelFile, options: &LoadOptions) -> Result<Memory> {
    huacaya_engine::Model::estimate(&file.path, options).map_err(|error| Error::of_model(name, error))
}

/// Whether the model of a file, which need not be in the list, fits into the memory that is free now.
pub fn room(path: &Path, options: &LoadOptions) -> huacaya_engine::Result<Fit> {
    Ok(compare(&huacaya_engine::Model::estimate(path, options)?, free_bytes()))
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

/// What is needed against what is free, with what would fit: the context halved and halved again, each with the keys and
/// values that lose the least.
fn compare(memory: &Memory, free: u64) -> Fit {
    let total = memory.total();
    let verdict = verdict(total, free);
    let context = memory.context as u32;
    let wanted = memory.kv_format();
    // From many bits to few; those that are wanted, and fewer.
    let smaller = KvFormat::ALL.into_iter().skip_while(|kv| Some(*kv) != wanted).skip(1);
    let kinds: Vec<(Option<String>, Memory)> = std::iter::once((None, memory.clone()))
        .chain(smaller.filter_map(|kv| Some((Some(kv.name().to_string()), memory.in_kv(kv)?))))
        .collect();
    let choice = |context: u32| {
        let at = |(kv, memory): &(Option<String>, Memory)| FitChoice {
            context,
            kv: kv.clone(),
            total: memory.at(context as usize).total(),
        };
        kinds.iter().map(at).find(|choice| choice.total <= free)
    };
    let contexts = std::iter::successors(Some(context), |context| Some(context / 2));
    let contexts = contexts.take_while(|other| *other == context || *other >= CONTEXT_LEAST);
    let choices = if total <= free { Vec::new() } else { contexts.filter_map(choice).collect() };
    let (weights, kv, scratch, draft) = (memory.weights, memory.kv(), memory.scratch, memory.beside);
    Fit { context, weights, kv, scratch, draft, total, free, verdict, choices }
}

impl App {
    /// What the models in memory take, and would give back.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.inner.place.held()
    }

    /// Loads a model as a job. `kv`: what keys and values are kept in, instead of what is set.
    pub(crate) async fn load_model(
        &self,
        model: ModelId,
        context: Option<u32>,
        kv: Option<String>,
        anyway: bool,
    ) -> Result<JobId> {
        if let Some(kv) = kv.as_ref().filter(|kv| KvFormat::from_name(kv).is_none()) {
            let reason = format!("keys and values are not kept in `{kv}`");
            let error = Error::new(Code::WrongArguments, reason.clone());
            return Err(error.with("command", "load_model").with("reason", reason));
        }
        let (row, _) = self.loadable_model(model).await?;
        Ok(self.start_job(Task::Load { model, name: row.name, context, kv, anyway, tune: false }).await?.id)
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
        let gone = self.inner.place.take_unused(None, now, Duration::from_secs(60 * minutes));
        self.note_gone(&gone).await
    }

    /// Takes a model out of the memory for a program that needs it no longer; one that others use stays.
    pub(crate) async fn leave_model(&self, model: ModelId) -> Result<()> {
        let _coming = self.inner.place.coming.lock().await;
        let gone = self.inner.place.take_unused(Some(model), Instant::now(), Duration::ZERO);
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
        let terms = self.terms(&row, file).await?;
        let options = terms.options(self.wanted_context(&row, context).await?, None);
        let held = self.held_bytes();
        blocking(move || Ok(compare(&terms.memory(&row, &options)?, free_bytes() + held))).await
    }

    /// The context as asked for here, else as set by the person, else as set for the model.
    async fn wanted_context(&self, row: &Model, context: Option<u32>) -> Result<Option<u32>> {
        parameters::check(&Parameters { context, ..Parameters::default() })?;
        let person: Option<Parameters> = self.setting("parameters").await?;
        Ok(context.or(person.and_then(|layer| layer.context)).or(row.parameters.context))
    }

    /// How this model is loaded: device, template, computing and draft as set. A draft whose file is not there is left out.
    async fn terms(&self, row: &Model, file: ModelFile) -> Result<Terms> {
        let draft = match row.draft {
            Some(id) => match self.loadable_model(id).await {
                Ok((Model { name, sha256, context_tokens, .. }, file)) => {
                    Some(DraftTerms { id, name, sha256, context: context_tokens as usize, file })
                }
                Err(error) => {
                    tracing::warn!(%error, model = row.id.0, "answered without the draft model");
                    None
                }
            },
            None => None,
        };
        Ok(Terms {
            file,
            device: Some(self.device().await?),
            template: crate::models::set_template(row).map(str::to_string),
            set: self.computing().await?,
            draft,
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
            let wanted = self.terms(&row, file).await?;
            if let Some(lease) = place.lease(hold, side, |loaded| loaded.serves(id, &wanted, context)) {
                return Ok(lease);
            }
            if turn.is_none() {
                turn = Some(place.turn.lock().await);
                continue;
            }
            let context = self.wanted_context(&row, context).await?;
            let task = Task::Load { model: id, name: row.name, context, kv: None, anyway: false, tune: false };
            let started = self.start_job(task).await?;
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
            let (name, room) = (row.name.clone(), self.inner.place.room(free_bytes()));
            let read = move || {
                let wrong = |error| of_adapter(&name, error);
                let needed = Adapter::estimate(&path).map_err(wrong)?;
                if needed > room {
                    return Err(short(&name, needed, room));
                }
                Adapter::load(&path, &model).map_err(wrong)
            };
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
    fn serves(&self, id: ModelId, terms: &Terms, context: Option<u32>) -> bool {
        self.id == id && self.terms == *terms && context.is_none_or(|tokens| self.model.context() == tokens as usize)
    }
}

/// The window's model, which left the memory for a while, and how it was asked for. What programs use comes when they ask.
pub(crate) struct Before {
    model: ModelId,
    asked: Asked,
}

impl Before {
    /// Loads it again, as a job, unless another model is there by now.
    pub(crate) fn restore(self, app: &App) {
        if app.inner.place.of_window().is_some() || app.inner.closing() {
            return;
        }
        let (context, kv) = (self.asked.context, self.asked.kv.map(|kv| kv.name().to_string()));
        if let Err(error) = app.inner.runtime.block_on(app.load_model(self.model, context, kv, false)) {
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
    let before = place.of_window().map(|loaded| Before { model: loaded.id, asked: loaded.asked });
    let gone = place.take_all();
    runtime.block_on(app.note_gone(&gone))?;
    Ok(Quiet { before, _hold: hold })
}

/// Refuses what would not fit into the memory as it is now.
pub(crate) fn check_room(name: &str, path: &Path, options: &LoadOptions) -> Result<()> {
    let Fit { total, free, .. } = room(path, options).map_err(|error| Error::of_model(name, error))?;
    if total <= free { Ok(()) } else { Err(short(name, total, free)) }
}
