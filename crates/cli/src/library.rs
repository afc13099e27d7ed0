//! The person's library behind the commands: the same data folder as the window's, opened for one command.

use std::{path::Path, time::Duration};

use huacaya_app::{
    App, Change, Changes, Error, Places, Purpose,
    rows::{JobId, JobState, Model, Snapshot},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    failure::Failure,
    model::{Meter, Stop},
};

/// How often Ctrl-C is looked for while a job runs.
const GLANCE: Duration = Duration::from_millis(100);

/// The open library. Goes only through [`Library::with`], which closes it.
pub struct Library {
    pub app: App,
    pub stop: Stop,
    pub quiet: bool,
}

impl Library {
    /// Opens the data folder, does `work` and closes it, whatever came of the work.
    pub fn with<T>(quiet: bool, work: impl AsyncFnOnce(&Library) -> Result<T, Failure>) -> Result<T, Failure> {
        let stop = Stop::listen()?;
        let runtime: Runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let library = Library { app: App::open(Places::find()?).await?, stop, quiet };
            let done = work(&library).await;
            library.app.shut_down().await;
            done
        })
    }

    /// Runs a command of the program's table.
    pub async fn call<T: DeserializeOwned>(&self, name: &str, arguments: Value) -> Result<T, Failure> {
        let result = self.app.call(name, arguments).await?;
        Ok(serde_json::from_value(result).map_err(Error::internal)?)
    }

    /// All rows as they are now.
    pub async fn rows(&self) -> Result<Snapshot, Failure> {
        let mut changes = self.app.subscribe();
        while let Some(batch) = changes.next().await {
            if let Some(Change::Snapshot(rows)) = batch.into_iter().find(|change| matches!(change, Change::Snapshot(_)))
            {
                return Ok(rows);
            }
        }
        Err(Error::closing().into())
    }

    /// The model of this name or number, or whose file has the name, with its ending or without, in any case of letters; or
    /// whose path it is.
    pub async fn model(&self, name: &str) -> Result<Model, Failure> {
        let models = self.rows().await?.models;
        let wanted = name.to_lowercase();
        let same = |model: &&Model| model.name.to_lowercase() == wanted || model.id.0.to_string() == wanted;
        let file = |model: &&Model| {
            let name = Path::new(&model.path).file_name().unwrap_or_default().to_string_lossy().to_lowercase();
            name == wanted || name.strip_suffix(".gguf") == Some(wanted.as_str())
        };
        let path = std::path::absolute(name).unwrap_or_default();
        let place = |model: &&Model| Path::new(&model.path) == path;
        let found = models.iter().find(same).or_else(|| models.iter().find(file)).or_else(|| models.iter().find(place));
        if let Some(model) = found {
            return Ok(model.clone());
        }
        let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
        Err(Failure::NotThere(format!(
            "{name}: there is no such file and no model of this name\nhelp: the list has: {}",
            names.join(", ")
        )))
    }

    /// Takes a file into the library, copied into its folder or in its place.
    pub async fn take_in(&self, path: &Path, copy: bool) -> Result<Model, Failure> {
        let chosen = self.app.offer(path, Purpose::Read)?.id;
        let job: JobId = self.call("import_model", json!({"chosen": chosen, "copy": copy})).await?;
        let outcome = self.wait(job, "importing", "stop_job").await?;
        let gone = || Failure::NotThere(format!("{}: is no longer in the list", path.display()));
        self.brought(outcome).await?.ok_or_else(gone)
    }

    /// The model that a job brought.
    pub async fn brought(&self, outcome: Option<Value>) -> Result<Option<Model>, Failure> {
        let id = outcome.unwrap_or_default()["model"].clone();
        Ok(self.rows().await?.models.into_iter().find(|model| json!(model.id) == id))
    }

    /// The next changes; none: it is time to look for Ctrl-C again.
    pub async fn glance(&self, changes: &mut Changes) -> Result<Option<Vec<Change>>, Failure> {
        match tokio::time::timeout(GLANCE, changes.next()).await {
            Err(_) => Ok(None),
            Ok(Some(batch)) => Ok(Some(batch)),
            Ok(None) => Err(Error::closing().into()),
        }
    }

    /// Waits for a job, with its progress shown. Ctrl-C stops it with the command `on_stop`.
    pub async fn wait(&self, job: JobId, what: &'static str, on_stop: &str) -> Result<Option<Value>, Failure> {
        let mut changes = self.app.subscribe();
        let mut meter = Meter::new(what, self.quiet);
        loop {
            if self.stop.asked() {
                meter.clear();
                self.call::<Value>(on_stop, json!({"job": job})).await?;
                return Err(Failure::Interrupted);
            }
            let Some(batch) = self.glance(&mut changes).await? else { continue };
            let rows = batch.into_iter().flat_map(|change| match change {
                Change::Job(row) => vec![row],
                Change::Snapshot(rows) => rows.jobs,
                _ => Vec::new(),
            });
            for row in rows.filter(|row| row.id == job) {
                meter.show(huacaya_app::progress::Progress { done: row.done, total: row.total });
                if !row.state.is_over() {
                    continue;
                }
                meter.clear();
                return match (row.state, row.error) {
                    (JobState::Done, _) => Ok(row.outcome),
                    (JobState::Stopped, _) => Err(Failure::Interrupted),
                    (_, Some(problem)) => Err(Failure::of_problem(&problem)),
                    (_, None) => Err(Failure::Said(format!("{what} did not come to its end"))),
                };
            }
        }
    }
}
