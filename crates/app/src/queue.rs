//! The queue of downloads: started in its order as slots become free, paused, put in another order, stopped for good.

use huacaya_store::{Job, JobId, JobState};

use crate::{
    App,
    error::{Code, Error, Result},
    jobs::{Task, Wish},
};

/// More at once only share the same line.
pub(crate) const DOWNLOADS_MAX: u64 = 8;
/// One that waits for a slow host leaves the line to the other.
const DOWNLOADS_USUAL: u64 = 2;

impl App {
    /// Starts what waits, in the order of the queue, as long as there are free slots and a network.
    pub(crate) async fn fill_queue(&self) -> Result<()> {
        let _turn = self.inner.jobs.queue.lock().await;
        if self.inner.closing() || !self.inner.line.is_open() || self.inner.storage.is_moving() {
            return Ok(());
        }
        let slots = self.setting("downloads_at_once").await?.unwrap_or(DOWNLOADS_USUAL).min(DOWNLOADS_MAX) as usize;
        let jobs = self.inner.store.jobs().await?;
        let queued = |job: &&Job| Task::of(job).is_some_and(|task| !task.picks().is_empty());
        let running = jobs.iter().filter(queued).filter(|job| self.inner.jobs.runs(job.id)).count();
        let waiting = jobs.iter().filter(queued).filter(|job| job.state == JobState::Waiting);
        let mut free = slots.saturating_sub(running);
        for job in waiting {
            if free == 0 {
                break;
            }
            let Some(task) = Task::of(job) else { continue };
            // One that is on its way out still has its thread.
            if !self.inner.jobs.runs(job.id) && self.inner.store.begin_job(job.id).await? {
                self.spawn_job(job.id, task).await?;
                free -= 1;
            }
        }
        Ok(())
    }

    pub(crate) async fn pause_job(&self, job: JobId) -> Result<()> {
        let _turn = self.inner.jobs.queue.lock().await;
        let row = self.queued_job(job).await?;
        if self.inner.jobs.wish(job, Wish::Pause) || row.state.is_over() {
            return Ok(());
        }
        self.rest(job, JobState::Paused).await
    }

    pub(crate) async fn resume_job(&self, job: JobId) -> Result<()> {
        self.queued_job(job).await?;
        self.revive_job(job).await
    }

    /// A job that rests goes back into the queue, at its place; one that is just being paused, too.
    pub(crate) async fn revive_job(&self, job: JobId) -> Result<()> {
        if self.inner.closing() {
            return Err(Error::closing());
        }
        if self.inner.store.job(job).await?.state != JobState::Running || self.inner.jobs.is_ending(job) {
            self.inner.jobs.end_of(job).await;
        }
        self.inner.store.revive_job(job).await?;
        self.fill_queue().await
    }

    pub(crate) async fn move_job(&self, job: JobId, before: Option<JobId>) -> Result<()> {
        Ok(self.inner.store.move_job(job, before).await?)
    }

    pub(crate) async fn stop_job(&self, job: JobId) -> Result<()> {
        let _turn = self.inner.jobs.queue.lock().await;
        let row = self.inner.store.job(job).await?;
        let task = Task::of(&row).filter(|task| !task.picks().is_empty());
        if self.inner.jobs.stop(job) {
            if task.is_some() {
                // Written down at once: a program that ends now does not go on with it at the next start.
                self.inner.store.update_job(job, |job| job.state = JobState::Stopped).await?;
            }
            return Ok(());
        }
        match (row.state, task) {
            (JobState::Done | JobState::Stopped, _) => Ok(()),
            (_, Some(task)) => {
                self.rest(job, JobState::Stopped).await?;
                self.clear_away(&task).await
            }
            (JobState::Waiting | JobState::Running, None) => Err(elsewhere()),
            _ => Ok(()),
        }
    }

    /// Takes a job that is over out of the list. What a download left, and nobody will go on with, goes too.
    pub(crate) async fn dismiss_job(&self, job: JobId) -> Result<()> {
        let _turn = self.inner.jobs.queue.lock().await;
        let row = self.inner.store.job(job).await?;
        self.inner.store.dismiss_job(job).await?;
        match Task::of(&row) {
            Some(task) if row.state != JobState::Done && !self.inner.jobs.runs(job) => self.clear_away(&task).await,
            _ => Ok(()),
        }
    }

    async fn rest(&self, job: JobId, state: JobState) -> Result<()> {
        if self.inner.store.rest_job(job, state).await? { Ok(()) } else { Err(elsewhere()) }
    }

    /// A job that is, or was, in the queue.
    async fn queued_job(&self, job: JobId) -> Result<Job> {
        let row = self.inner.store.job(job).await?;
        match Task::of(&row) {
            Some(task) if !task.picks().is_empty() => Ok(row),
            _ => {
                Err(Error::new(Code::Unfit, "only downloads can be paused")
                    .with("reason", "only downloads can be paused"))
            }
        }
    }
}

fn elsewhere() -> Error {
    Error::new(Code::Unfit, "another Huacaya runs this job; stop it there")
        .with("reason", "another Huacaya runs this job")
}
