//! Jobs: long work as plain data in a row, run on worker threads.

use std::{
    collections::HashMap,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use huacaya_engine::KvFormat;
use huacaya_progress::{Progress, Watch};
use huacaya_store::{Job, JobId, JobState, MeasureOptions, ModelId, ReportId};
use serde::{Deserialize, Serialize};
use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore, oneshot, watch},
};
use ts_rs::TS;

use crate::{
    App,
    downloads::{self, Pick},
    elsewhere::Program,
    error::{Code, Error, Result},
    hashing, import, loading,
    merging::{self, Merged},
    moving, recognition,
    recognition::Recognised,
    workshop::{ImportanceSource, Output, Strength, Target, making, measuring},
};

/// How often a job's row is written while it runs: often enough for a smooth bar.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// Reading and hashing files is bound by the disk: one at a time.
const DISK_JOBS: usize = 1;
/// Quantizing and measuring take all cores: one at a time.
const WORKSHOP_JOBS: usize = 1;
/// `Job::stage` of a download that goes on by itself when the offline switch is off again.
pub(crate) const OFFLINE: &str = "offline";

/// What a job does, whole: stored as JSON in its row. Retry and restart run the stored task again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Task {
    /// Brings a model into memory.
    Load {
        model: ModelId,
        name: String,
        context: Option<u32>,
        /// What keys and values are kept in, instead of what is set: "q8_0", …
        #[serde(default)]
        kv: Option<String>,
        anyway: bool,
        /// Measures again which way of computing is the fastest.
        #[serde(default)]
        tune: bool,
    },
    /// Takes a model file into the list.
    Import {
        name: String,
        path: PathBuf,
        copy: bool,
        /// Whose file it is, where another program's was found.
        #[serde(default)]
        program: Option<Program>,
    },
    /// Computes a model file's SHA-256.
    Hash { model: ModelId, name: String },
    /// Computes it again and compares it with the one that is known.
    Verify { model: ModelId, name: String },
    /// Finds out which model a file is.
    Recognise { name: String, path: PathBuf },
    /// Moves the storage folder.
    MoveStorage { name: String, from: PathBuf, to: PathBuf },
    /// Downloads what was picked, and takes it into the list.
    Download { name: String, address: Pick },
    /// Downloads a base and an adapter, takes both into the list, and merges them into `folder`.
    DownloadAndMerge { name: String, base: Pick, adapter: Pick, folder: String },
    /// Merges an adapter into a base, as a new model of the list: in `folder`, below the storage folder.
    Merge { name: String, base: ModelId, adapter: ModelId, strength: f32, folder: String },
    /// Makes models of a model: merged with adapters, quantized to each target, measured where wanted.
    Make {
        name: String,
        source: ModelId,
        adapters: Vec<Strength>,
        targets: Vec<Target>,
        importance: Option<ImportanceSource>,
        measure: Option<MeasureOptions>,
        output: Output,
        /// One for each target, below `made/` in the storage folder: free when the job was put down.
        files: Vec<String>,
    },
    /// Measures models side by side; divergence is from `against`, else from the first.
    Measure { name: String, models: Vec<ModelId>, against: Option<ModelId>, options: MeasureOptions },
}

impl Task {
    /// What it downloads. A job that downloads waits in the queue; it can be paused, put elsewhere in the queue, and goes
    /// on after a restart.
    pub(crate) fn picks(&self) -> Vec<&Pick> {
        match self {
            Task::Download { address, .. } => vec![address],
            Task::DownloadAndMerge { base, adapter, .. } => vec![adapter, base],
            _ => Vec::new(),
        }
    }

    /// Whether it reads this model's files.
    pub(crate) fn reads(&self, id: ModelId) -> bool {
        match self {
            Task::Hash { model, .. } | Task::Verify { model, .. } | Task::Load { model, .. } => *model == id,
            Task::Make { source, adapters, .. } => *source == id || adapters.iter().any(|one| one.model == id),
            Task::Measure { models, against, .. } => models.contains(&id) || *against == Some(id),
            _ => false,
        }
    }

    pub(crate) fn of(job: &Job) -> Option<Task> {
        serde_json::from_value(job.task.clone()).ok()
    }
}

/// What came out of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    Loaded {
        model: ModelId,
    },
    Imported {
        model: ModelId,
    },
    Hashed {
        model: ModelId,
        sha256: String,
    },
    Recognised(Recognised),
    /// Where the storage folder is now.
    Moved {
        to: PathBuf,
    },
    Downloaded {
        model: ModelId,
    },
    Merged {
        model: ModelId,
    },
    Made {
        models: Vec<ModelId>,
        report: Option<ReportId>,
    },
    Measured {
        report: ReportId,
    },
}

/// A job that was started.
pub struct Started {
    pub id: JobId,
    outcome: oneshot::Receiver<Result<Outcome>>,
}

impl Started {
    /// Waits for the end.
    pub async fn outcome(self) -> Result<Outcome> {
        self.outcome.await.unwrap_or_else(|_| Err(Error::internal("a job ended without an outcome")))
    }
}

/// Why a job should end early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wish {
    #[default]
    GoOn,
    /// For good; what a download left is removed.
    Stop,
    /// What is there is kept.
    Pause,
    /// The program is being closed: the row becomes interrupted.
    Close,
}

/// The jobs that this process runs, and what those that wait for a turn need.
pub(crate) struct Jobs {
    running: Mutex<HashMap<JobId, watch::Sender<Wish>>>,
    /// Who waits for the outcome of a job that waits in the queue.
    told: Mutex<HashMap<JobId, oneshot::Sender<Result<Outcome>>>>,
    /// A clone for each thread that still uses the runtime: a job that is over starts the next before its thread ends.
    threads: Arc<()>,
    disk: Arc<Semaphore>,
    workshop: Arc<Semaphore>,
    /// Held by who changes the queue of downloads: two never start the same job, nor one that is being paused.
    pub(crate) queue: tokio::sync::Mutex<()>,
    /// Held by who starts a download, so that two starts of the same one make one job.
    pub(crate) starting: tokio::sync::Mutex<()>,
    ended: Notify,
}

impl Jobs {
    pub(crate) fn new() -> Jobs {
        Jobs {
            running: Mutex::default(),
            told: Mutex::default(),
            threads: Arc::default(),
            disk: Arc::new(Semaphore::new(DISK_JOBS)),
            workshop: Arc::new(Semaphore::new(WORKSHOP_JOBS)),
            queue: tokio::sync::Mutex::default(),
            starting: tokio::sync::Mutex::default(),
            ended: Notify::new(),
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<JobId, watch::Sender<Wish>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self) -> MutexGuard<'_, HashMap<JobId, oneshot::Sender<Result<Outcome>>>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a thread of a job still uses the runtime.
    pub(crate) fn has_threads(&self) -> bool {
        Arc::strong_count(&self.threads) > 1
    }

    pub(crate) fn busy(&self) -> bool {
        !self.running().is_empty()
    }

    pub(crate) fn runs(&self, job: JobId) -> bool {
        self.running().contains_key(&job)
    }

    /// Asks a job to end; whether it was there to be asked.
    pub(crate) fn stop(&self, job: JobId) -> bool {
        self.wish(job, Wish::Stop)
    }

    /// The same for another reason. A job that is to stop for good does not merely pause.
    pub(crate) fn wish(&self, job: JobId, new: Wish) -> bool {
        let running = self.running();
        let Some(wish) = running.get(&job) else { return false };
        wish.send_modify(|wish| *wish = if *wish == Wish::Stop { Wish::Stop } else { new });
        true
    }

    /// Whether it runs but was asked to end.
    pub(crate) fn is_ending(&self, job: JobId) -> bool {
        self.running().get(&job).is_some_and(|wish| *wish.borrow() != Wish::GoOn)
    }

    /// Waits until this process does not run the job any more.
    pub(crate) async fn end_of(&self, job: JobId) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if !self.runs(job) {
                return;
            }
            ended.await;
        }
    }

    /// Asks all jobs to end, because the program is being closed.
    pub(crate) fn close(&self) {
        for wish in self.running().values() {
            wish.send_replace(Wish::Close);
        }
    }
}

/// Told what a job is at ("fetching", "verifying", …).
pub(crate) type Tell<'a> = &'a (dyn Fn(&str) + Sync);

/// Does the task's work, on a worker thread.
fn run(app: &App, task: &Task, tell: Tell<'_>, watch: Watch<'_>) -> Result<Outcome> {
    match task {
        Task::Load { model, context, kv, anyway, tune, .. } => {
            let kv = kv.as_deref().and_then(KvFormat::from_name);
            let asked = loading::Asked { context: *context, kv, anyway: *anyway, tune: *tune };
            loading::load(app, *model, &asked, tell, watch)
        }
        Task::Import { name, path, copy, program } => {
            import::import(app, path, *copy, program.map(|program| (program, name.as_str())), watch)
        }
        Task::Hash { model, .. } => hashing::hash(app, *model, watch),
        Task::Verify { model, .. } => hashing::verify(app, *model, watch),
        Task::Recognise { path, .. } => recognition::recognise(app, path, watch),
        Task::MoveStorage { from, to, .. } => moving::move_storage(app, from, to, watch),
        Task::Download { address, .. } => downloads::download(app, address, tell, watch),
        Task::DownloadAndMerge { name, base, adapter, folder } => {
            merging::download_and_merge(app, (name, folder), base, adapter, tell, watch)
        }
        Task::Merge { name, base, adapter, strength, folder } => {
            let merged = Merged { name, base: *base, adapter: *adapter, strength: *strength, folder };
            merging::merge(app, &merged, tell, watch)
        }
        Task::Make { name, source, adapters, targets, importance, measure, output, files } => {
            let (importance, measure) = (importance.as_ref(), measure.as_ref());
            let make =
                making::Make { name, source: *source, adapters, targets, importance, measure, output: *output, files };
            making::make(app, &make, tell, watch)
        }
        Task::Measure { models, against, options, .. } => {
            measuring::measure_models(app, models, *against, options, tell, watch)
        }
    }
}

impl App {
    /// Puts a job down and starts it.
    pub async fn start_job(&self, task: Task) -> Result<Started> {
        if self.inner.closing() {
            return Err(Error::closing());
        }
        let stored = serde_json::to_value(&task).map_err(|_| path_not_unicode(&task))?;
        let job = self.inner.store.add_job(stored).await?;
        let (told, outcome) = oneshot::channel();
        let id = job.id;
        self.inner.jobs.told().insert(id, told);
        if task.picks().is_empty() {
            self.spawn_job(id, task).await?;
        } else {
            self.fill_queue().await?;
        }
        Ok(Started { id, outcome })
    }

    /// Gives a job a thread.
    pub(crate) async fn spawn_job(&self, id: JobId, task: Task) -> Result<()> {
        let (wish, wishes) = watch::channel(Wish::GoOn);
        self.inner.jobs.running().insert(id, wish);
        let (app, runtime) = (self.clone(), self.inner.runtime.clone());
        let thread = self.inner.jobs.threads.clone();
        let work = move || {
            let outcome = work(&app, &runtime, id, &task, wishes);
            app.inner.jobs.running().remove(&id);
            app.inner.jobs.ended.notify_waiters();
            if let Some(told) = app.inner.jobs.told().remove(&id) {
                // Nobody has to wait for the outcome.
                let _ = told.send(outcome);
            }
            if let Err(error) = runtime.block_on(app.fill_queue()) {
                tracing::error!(%error, "the next job of the queue was not started");
            }
            drop(thread);
        };
        if let Err(error) = thread::Builder::new().name(format!("job {}", id.0)).spawn(work) {
            self.inner.jobs.running().remove(&id);
            self.inner.jobs.told().remove(&id);
            let problem = Error::internal(format!("no thread for a job: {error}"));
            self.inner.store.update_job(id, |job| fail(job, &problem)).await?;
            return Err(problem);
        }
        Ok(())
    }

    pub(crate) async fn retry_job(&self, job: JobId) -> Result<JobId> {
        let cannot = || Error::new(Code::CannotRetry, format!("job {} cannot be run again", job.0));
        let row = self.inner.store.job(job).await?;
        if !matches!(row.state, JobState::Failed | JobState::Stopped | JobState::Interrupted) {
            return Err(cannot());
        }
        let task: Task = serde_json::from_value(row.task).map_err(|_| cannot())?;
        if !task.picks().is_empty() {
            // The same row: it keeps its place in the queue.
            self.revive_job(job).await?;
            return Ok(job);
        }
        let started = self.start_job(task).await?;
        self.inner.store.dismiss_job(job).await?;
        Ok(started.id)
    }

    /// What earlier runs of the program left: finished jobs go, hashes are computed again, downloads go on, a model is
    /// loaded when it is asked for; the rest waits for the person.
    pub(crate) async fn tidy_jobs(&self, jobs: Vec<Job>) -> Result<()> {
        for job in jobs {
            let task = Task::of(&job);
            let queued = task.as_ref().is_some_and(|task| !task.picks().is_empty());
            let over = match job.state {
                JobState::Done | JobState::Stopped => true,
                JobState::Interrupted => {
                    matches!(task, Some(Task::Load { .. } | Task::Hash { .. } | Task::MoveStorage { .. }))
                }
                JobState::Failed => matches!(task, Some(Task::Load { .. })),
                JobState::Waiting | JobState::Running | JobState::Paused => false,
            };
            if over {
                // A download that was stopped just before the program ended may have left something.
                self.dismiss_job(job.id).await?;
            }
            match (job.state, task) {
                (JobState::Interrupted, Some(task @ (Task::Hash { .. } | Task::MoveStorage { .. }))) => {
                    drop(self.start_job(task).await?);
                }
                (JobState::Interrupted, Some(_)) if queued => drop(self.inner.store.revive_job(job.id).await?),
                _ => {}
            }
        }
        self.fill_queue().await
    }
}

impl App {
    /// A model that is in memory now makes earlier loads of it old news, the failed ones too.
    async fn forget_loads(&self, loaded: ModelId, last: JobId) -> Result<()> {
        for job in self.inner.store.snapshot().await?.jobs {
            let task = Task::of(&job);
            if job.state.is_over()
                && job.id != last
                && matches!(task, Some(Task::Load { model, .. }) if model == loaded)
            {
                self.inner.store.dismiss_job(job.id).await?;
            }
        }
        Ok(())
    }
}

/// One job from its first moment to its last update.
fn work(app: &App, runtime: &Handle, id: JobId, task: &Task, wishes: watch::Receiver<Wish>) -> Result<Outcome> {
    let store = &app.inner.store;
    let outcome = begin(app, runtime, id, task, &wishes).and_then(|permits| {
        let mut last = None::<Instant>;
        let mut report = |Progress { done, total }: Progress| {
            if last.is_none_or(|last| last.elapsed() >= PROGRESS_EVERY) {
                last = Some(Instant::now());
                if let Err(error) = runtime.block_on(store.progress_job(id, done, total)) {
                    tracing::warn!(%error, job = id.0, "a job's progress was not saved");
                }
            }
            if *wishes.borrow() == Wish::GoOn { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let tell = |stage: &str| {
            if let Err(error) = runtime.block_on(store.stage_job(id, Some(stage))) {
                tracing::warn!(%error, job = id.0, "what a job is at was not saved");
            }
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| run(app, task, &tell, &mut report)));
        drop(permits);
        outcome.unwrap_or_else(|_| Err(Error::internal("a job broke off")))
    });
    let wish = *wishes.borrow();
    if wish == Wish::Close && outcome.is_err() {
        // The store makes what this process still runs interrupted.
        return outcome;
    }
    match &outcome {
        Ok(_) => tracing::info!(job = id.0, "a job is done"),
        Err(error) => tracing::warn!(job = id.0, code = %error.code, %error, "a job ended early"),
    }
    let saved = runtime.block_on(store.update_job(id, |job| end(job, &outcome, wish, !task.picks().is_empty())));
    let tidied = match (&outcome, task) {
        (Ok(_), Task::Load { model, .. }) => runtime.block_on(app.forget_loads(*model, id)),
        (Err(_), _) if wish == Wish::Stop => runtime.block_on(app.clear_away(task)),
        _ => Ok(()),
    };
    if let Err(error) = saved.map_err(Error::from).and(tidied) {
        tracing::error!(%error, job = id.0, "the end of a job was not saved");
    }
    outcome
}

/// The row of a job whose work came to an end.
fn end(job: &mut Job, outcome: &Result<Outcome>, wish: Wish, queued: bool) {
    job.stage = None;
    match outcome {
        Ok(outcome) => {
            job.state = JobState::Done;
            job.done = job.total;
            job.outcome = serde_json::to_value(outcome).ok();
        }
        Err(_) if wish == Wish::Stop => job.state = JobState::Stopped,
        Err(_) if wish == Wish::Pause => job.state = JobState::Paused,
        Err(error) if queued && error.code == Code::Offline => {
            job.state = JobState::Waiting;
            job.stage = Some(OFFLINE.to_string());
        }
        Err(error) if error.code == Code::Stopped => job.state = JobState::Stopped,
        Err(error) => fail(job, error),
    }
}

/// Waits for its turn, then says that it runs.
fn begin(
    app: &App,
    runtime: &Handle,
    id: JobId,
    task: &Task,
    wishes: &watch::Receiver<Wish>,
) -> Result<Vec<tokio::sync::OwnedSemaphorePermit>> {
    let mut wishes = wishes.clone();
    runtime.block_on(async {
        let turn = async {
            let jobs = &app.inner.jobs;
            let lines: &[&Arc<Semaphore>] = match task {
                // Loads wait for each other, and for answers, at the model in memory.
                Task::Load { .. } => &[],
                Task::Import { .. }
                | Task::Hash { .. }
                | Task::Verify { .. }
                | Task::Recognise { .. }
                | Task::Merge { .. } => &[&jobs.disk],
                Task::Make { .. } | Task::Measure { .. } => &[&jobs.workshop],
                // Nothing may be written into a folder that moves.
                Task::MoveStorage { .. } => &[&jobs.workshop, &jobs.disk],
                // The queue gave them their turn.
                Task::Download { .. } | Task::DownloadAndMerge { .. } => &[],
            };
            let mut permits = Vec::new();
            for line in lines {
                // The semaphores are never closed.
                permits.extend((*line).clone().acquire_owned().await.ok());
            }
            permits
        };
        let permits = tokio::select! {
            permits = turn => permits,
            _ = wishes.wait_for(|wish| *wish != Wish::GoOn) => return Err(Error::stopped()),
        };
        app.inner.store.update_job(id, |job| job.state = JobState::Running).await?;
        Ok(permits)
    })
}

fn fail(job: &mut Job, error: &Error) {
    job.state = JobState::Failed;
    job.error = Some(error.problem());
}

fn path_not_unicode(task: &Task) -> Error {
    let path = match task {
        Task::Import { path, .. } | Task::Recognise { path, .. } | Task::MoveStorage { to: path, .. } => {
            path.display().to_string()
        }
        Task::Load { name, .. }
        | Task::Hash { name, .. }
        | Task::Verify { name, .. }
        | Task::Download { name, .. }
        | Task::DownloadAndMerge { name, .. }
        | Task::Merge { name, .. }
        | Task::Make { name, .. }
        | Task::Measure { name, .. } => name.clone(),
    };
    Error::new(Code::PathNotUnicode, format!("{path}: its name is not Unicode; rename it")).with("path", path)
}
