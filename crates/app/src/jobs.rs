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

use huacaya_progress::{Progress, Watch};
use huacaya_store::{Job, JobId, JobState, ModelId};
use serde::{Deserialize, Serialize};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, oneshot, watch},
};
use ts_rs::TS;

use crate::{
    App,
    error::{Code, Error, Result},
    import, loading,
};

/// How often a job's row is written while it runs: often enough for a smooth bar.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// Reading and hashing files is bound by the disk: one at a time.
const DISK_JOBS: usize = 1;

/// What a job does, whole: stored as JSON in its row. Retry and restart run the stored task again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Task {
    /// Brings a model into memory.
    Load { model: ModelId, name: String, context: Option<u32>, anyway: bool },
    /// Takes a model file into the list.
    Import { name: String, path: PathBuf, copy: bool },
    /// Computes a model file's SHA-256.
    Hash { model: ModelId, name: String },
}

/// What came out of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    Loaded { model: ModelId },
    Imported { model: ModelId },
    Hashed { model: ModelId, sha256: String },
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
enum Wish {
    #[default]
    GoOn,
    Stop,
    /// The program is being closed: the row becomes interrupted.
    Close,
}

/// The jobs that this process runs.
pub(crate) struct Jobs {
    running: Mutex<HashMap<JobId, watch::Sender<Wish>>>,
    disk: Arc<Semaphore>,
}

impl Jobs {
    pub(crate) fn new() -> Jobs {
        Jobs { running: Mutex::default(), disk: Arc::new(Semaphore::new(DISK_JOBS)) }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<JobId, watch::Sender<Wish>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn busy(&self) -> bool {
        !self.running().is_empty()
    }

    /// Asks a job to end; whether it was there to be asked.
    pub(crate) fn stop(&self, job: JobId) -> bool {
        self.running().get(&job).map(|wish| wish.send_replace(Wish::Stop)).is_some()
    }

    /// Asks all jobs to end, because the program is being closed.
    pub(crate) fn close(&self) {
        for wish in self.running().values() {
            wish.send_replace(Wish::Close);
        }
    }
}

/// Does the task's work, on a worker thread.
pub fn run(app: &App, task: &Task, watch: Watch<'_>) -> Result<Outcome> {
    match task {
        Task::Load { model, context, anyway, .. } => loading::load(app, *model, *context, *anyway, watch),
        Task::Import { path, copy, .. } => import::import(app, path, *copy, watch),
        Task::Hash { model, .. } => import::hash(app, *model, watch),
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
        let (wish, wishes) = watch::channel(Wish::GoOn);
        self.inner.jobs.running().insert(job.id, wish);
        let (tell, outcome) = oneshot::channel();
        let (app, runtime) = (self.clone(), self.inner.runtime.clone());
        let id = job.id;
        let work = move || {
            let outcome = work(&app, &runtime, id, &task, wishes);
            app.inner.jobs.running().remove(&id);
            // Nobody has to wait for the outcome.
            let _ = tell.send(outcome);
        };
        if let Err(error) = thread::Builder::new().name(format!("job {}", id.0)).spawn(work) {
            self.inner.jobs.running().remove(&id);
            let problem = Error::internal(format!("no thread for a job: {error}"));
            self.inner.store.update_job(id, |job| fail(job, &problem)).await?;
            return Err(problem);
        }
        Ok(Started { id, outcome })
    }

    pub(crate) async fn stop_job(&self, job: JobId) -> Result<()> {
        if self.inner.jobs.stop(job) {
            return Ok(());
        }
        let state = self.inner.store.job(job).await?.state;
        if matches!(state, JobState::Waiting | JobState::Running) {
            return Err(Error::new(Code::Unfit, "another Huacaya runs this job; stop it there")
                .with("reason", "another Huacaya runs this job"));
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
        let started = self.start_job(task).await?;
        self.inner.store.dismiss_job(job).await?;
        Ok(started.id)
    }

    pub(crate) async fn dismiss_job(&self, job: JobId) -> Result<()> {
        Ok(self.inner.store.dismiss_job(job).await?)
    }

    /// What earlier runs of the program left: finished jobs go, hashes are computed again, a model is loaded when it is
    /// asked for; the rest waits for the person.
    pub(crate) async fn tidy_jobs(&self, jobs: Vec<Job>) -> Result<()> {
        for job in jobs {
            let task = serde_json::from_value::<Task>(job.task);
            let over = match job.state {
                JobState::Done | JobState::Stopped => true,
                JobState::Interrupted => matches!(task, Ok(Task::Load { .. } | Task::Hash { .. })),
                JobState::Failed => matches!(task, Ok(Task::Load { .. })),
                JobState::Waiting | JobState::Running | JobState::Paused => false,
            };
            if over {
                self.inner.store.dismiss_job(job.id).await?;
            }
            if let (JobState::Interrupted, Ok(task @ Task::Hash { .. })) = (job.state, task) {
                self.start_job(task).await?;
            }
        }
        Ok(())
    }
}

impl App {
    /// A model that is in memory now makes earlier loads of it old news, the failed ones too.
    async fn forget_loads(&self, loaded: ModelId, last: JobId) -> Result<()> {
        for job in self.inner.store.snapshot().await?.jobs {
            let over = !matches!(job.state, JobState::Waiting | JobState::Running);
            let task = serde_json::from_value::<Task>(job.task);
            if over && job.id != last && matches!(task, Ok(Task::Load { model, .. }) if model == loaded) {
                self.inner.store.dismiss_job(job.id).await?;
            }
        }
        Ok(())
    }
}

/// One job from its first moment to its last update.
fn work(app: &App, runtime: &Handle, id: JobId, task: &Task, wishes: watch::Receiver<Wish>) -> Result<Outcome> {
    let store = &app.inner.store;
    let outcome = begin(app, runtime, id, task, &wishes).and_then(|permit| {
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
        let outcome = catch_unwind(AssertUnwindSafe(|| run(app, task, &mut report)));
        drop(permit);
        outcome.unwrap_or_else(|_| Err(Error::internal("a job broke off")))
    });
    if *wishes.borrow() == Wish::Close && outcome.is_err() {
        // The store makes what this process still runs interrupted.
        return outcome;
    }
    match &outcome {
        Ok(_) => tracing::info!(job = id.0, "a job is done"),
        Err(error) => tracing::warn!(job = id.0, code = %error.code, %error, "a job ended early"),
    }
    let saved = runtime.block_on(store.update_job(id, |job| match &outcome {
        Ok(outcome) => {
            job.state = JobState::Done;
            job.done = job.total;
            job.outcome = serde_json::to_value(outcome).ok();
        }
        Err(error) if error.code == Code::Stopped => job.state = JobState::Stopped,
        Err(error) => fail(job, error),
    }));
    let tidied = match (&outcome, task) {
        (Ok(_), Task::Load { model, .. }) => runtime.block_on(app.forget_loads(*model, id)),
        _ => Ok(()),
    };
    if let Err(error) = saved.map_err(Error::from).and(tidied) {
        tracing::error!(%error, job = id.0, "the end of a job was not saved");
    }
    outcome
}

/// Waits for its turn, then says that it runs.
fn begin(
    app: &App,
    runtime: &Handle,
    id: JobId,
    task: &Task,
    wishes: &watch::Receiver<Wish>,
) -> Result<Option<tokio::sync::OwnedSemaphorePermit>> {
    let mut wishes = wishes.clone();
    runtime.block_on(async {
        let turn = async {
            match task {
                // Loads wait for each other, and for answers, at the model in memory.
                Task::Load { .. } => None,
                // The semaphore is never closed.
                Task::Import { .. } | Task::Hash { .. } => app.inner.jobs.disk.clone().acquire_owned().await.ok(),
            }
        };
        let permit = tokio::select! {
            permit = turn => permit,
            _ = wishes.wait_for(|wish| *wish != Wish::GoOn) => return Err(Error::stopped()),
        };
        app.inner.store.update_job(id, |job| job.state = JobState::Running).await?;
        Ok(permit)
    })
}

fn fail(job: &mut Job, error: &Error) {
    job.state = JobState::Failed;
    job.error = Some(error.problem());
}

fn path_not_unicode(task: &Task) -> Error {
    let path = match task {
        Task::Import { path, .. } => path.display().to_string(),
        Task::Load { name, .. } | Task::Hash { name, .. } => name.clone(),
    };
    Error::new(Code::PathNotUnicode, format!("{path}: its name is not Unicode; rename it")).with("path", path)
}
