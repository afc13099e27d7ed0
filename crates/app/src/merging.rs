//! Merging an adapter into a base: a new model in the storage folder, listed when it is whole.

use std::{
    fs,
    path::{Path, PathBuf},
};

use huacaya_hub::FileName;
use huacaya_progress::{Progress, Watch};
use huacaya_store::{JobId, Model, ModelFile, ModelId, ModelKind, Source};
use huacaya_weights::Kind;
use serde_json::Value;

use crate::{
    App,
    catalogue::Catalogue,
    chats::one_line,
    downloads::Pick,
    error::{Code, Error, Result},
    fetching, import,
    jobs::{Outcome, Task, Tell},
    workshop::names,
};

/// What an adapter was trained for beside its matrices, and a configuration says of it.
const CONTEXT_KEYS: [&str; 3] = ["max_position_embeddings", "rope_scaling", "rope_theta"];
const CONFIG: &str = "config.json";
/// Folders of one name are numbered; nobody merges the same more often.
const NUMBERS_MAX: u32 = 1_000;

/// The work of `Task::Merge`, on a worker thread.
pub(crate) fn merge(app: &App, merged: &Merged<'_>, tell: Tell<'_>, watch: Watch<'_>) -> Result<Outcome> {
    let runtime = &app.inner.runtime;
    let out = app.storage().join(merged.folder);
    if let Some(model) = runtime.block_on(app.listed_at(&out))? {
        // An earlier run came as far as this.
        return Ok(Outcome::Merged { model });
    }
    let (base, base_file) = runtime.block_on(app.ready_model(merged.base))?;
    let (adapter, adapter_file) = runtime.block_on(app.ready_model(merged.adapter))?;
    tell("merging");
    remove_left(&out)?;
    let adapters = [(adapter_file.path.clone(), merged.strength)];
    let size = huacaya_weights::merge::merged_size(&base_file.path, &adapters).map_err(of_merge)?;
    import::room(&app.storage(), size)?;
    huacaya_weights::merge::merge(&base_file.path, &adapters, &out, watch).map_err(of_merge)?;
    if let Some(config) = context_of(&adapter, &adapter_file) {
        set_context(&out.join(CONFIG), config)?;
    }
    let source = Source::Made { from: format!("{} + {}", base.name, adapter.name) };
    let row = runtime.block_on(app.register(&out, source)).inspect_err(|_| drop(fs::remove_dir_all(&out)))?;
    let name = merged.name.to_string();
    let row = runtime.block_on(app.inner.store.update_model(row.id, |row| row.name = name))?;
    runtime.block_on(app.start_hash(&row))?;
    Ok(Outcome::Merged { model: row.id })
}

/// What is to be merged, and where to.
pub(crate) struct Merged<'a> {
    pub name: &'a str,
    pub base: ModelId,
    pub adapter: ModelId,
    pub strength: f32,
    /// Below the storage folder.
    pub folder: &'a str,
}

/// The work of `Task::DownloadAndMerge`, on a worker thread. The merge is counted as long as the base.
pub(crate) fn download_and_merge(
    app: &App,
    (name, folder): (&str, &str),
    base: &Pick,
    adapter: &Pick,
    tell: Tell<'_>,
    watch: Watch<'_>,
) -> Result<Outcome> {
    let bytes = |pick: &Pick| pick.files.iter().map(|file| file.bytes).sum::<u64>();
    let total = bytes(adapter) + 2 * bytes(base);
    let mut after = |before: u64, whole: u64, progress: Progress| {
        let share = progress.done as f64 / progress.total.max(1) as f64;
        watch(Progress { done: before + (whole as f64 * share) as u64, total })
    };
    let adapter_model = fetching::fetch_model(app, adapter, tell, &mut |now| after(0, bytes(adapter), now))?;
    let base_model = fetching::fetch_model(app, base, tell, &mut |now| after(bytes(adapter), bytes(base), now))?;
    let merged = Merged { name, base: base_model, adapter: adapter_model, strength: 1.0, folder };
    merge(app, &merged, tell, &mut |now| after(bytes(adapter) + bytes(base), bytes(base), now))
}

/// What a merge that was cut off left, in a folder that was free when the job was put down.
fn remove_left(out: &Path) -> Result<()> {
    match fs::remove_dir_all(out) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::unwritable(out, &error)),
        _ => Ok(()),
    }
}

/// What the catalogue knows of the context that an adapter is for, where its own folder says nothing of it.
fn context_of(adapter: &Model, file: &ModelFile) -> Option<&'static Value> {
    let Source::Hub { repository, .. } = &adapter.source else { return None };
    let catalogue = Catalogue::bundled();
    let plan = catalogue.merge_plan(&catalogue.entry_of(repository)?.id)?;
    (!file.path.join(CONFIG).exists()).then_some(plan.config)
}

/// Writes the context of `from` into the configuration at `path`, in one step.
fn set_context(path: &Path, from: &Value) -> Result<()> {
    let text = fs::read_to_string(path).map_err(|error| Error::unreadable(path, &error))?;
    let mut config: Value = serde_json::from_str(&text).map_err(Error::internal)?;
    let fields = config.as_object_mut().ok_or_else(|| Error::internal("a configuration that is no object"))?;
    for key in CONTEXT_KEYS {
        if let Some(value) = from.get(key) {
            fields.insert(key.to_string(), value.clone());
        }
    }
    let text = serde_json::to_string_pretty(&config).map_err(Error::internal)?;
    let part = import::part_of(path);
    fs::write(&part, text).map_err(|error| Error::unwritable(&part, &error))?;
    import::rename(&part, path)
}

pub(crate) fn of_merge(error: huacaya_weights::Error) -> Error {
    let reason = error.to_string();
    match (error.kind(), error.fault) {
        (Kind::Stopped, _) => Error::stopped(),
        (Kind::Io, huacaya_weights::Fault::Io(source)) => Error::unwritable(&error.path, &source),
        _ => Error::new(Code::MergeRefused, format!("cannot be merged: {reason}")).with("reason", reason),
    }
}

impl App {
    pub(crate) async fn merge(&self, base: ModelId, adapter: ModelId, strength: f32, name: String) -> Result<JobId> {
        let refused = |reason: &str| Error::new(Code::MergeRefused, reason).with("reason", reason);
        let (base, _) = self.ready_model(base).await?;
        let (adapter, _) = self.ready_model(adapter).await?;
        if adapter.kind != ModelKind::Adapter || base.kind == ModelKind::Adapter {
            return Err(refused("a LoRA adapter is merged into a model that is none"));
        }
        let name = match one_line(&name)? {
            name if name.is_empty() => adapter.name.clone(),
            name => name,
        };
        let folder = self.free_folder(&name).await?;
        Ok(self.start_job(Task::Merge { name, base: base.id, adapter: adapter.id, strength, folder }).await?.id)
    }

    /// A folder's name below the storage folder that nothing has, and no job that is not done will have.
    pub(crate) async fn free_folder(&self, name: &str) -> Result<String> {
        let plain: String =
            name.chars().map(|letter| if r#"/\:*?"<>|"#.contains(letter) { '-' } else { letter }).collect();
        let plain = plain.trim_matches([' ', '.']);
        let plain = if FileName::parse(plain).is_ok() { plain } else { "merged" };
        let taken = self.unfinished().await?;
        let storage = self.storage();
        let is_free = |folder: &String| {
            let path: PathBuf = storage.join(folder);
            !path.exists() && !taken.contains(&path)
        };
        let numbered = (2..NUMBERS_MAX).map(|number| format!("{plain}-{number}"));
        let free = [plain.to_string()].into_iter().chain(numbered).find(is_free);
        free.ok_or_else(|| Error::new(Code::FileExists, format!("{plain}: taken")).with("path", plain))
    }

    /// The model of the list at this path.
    pub(crate) async fn listed_at(&self, path: &Path) -> Result<Option<ModelId>> {
        let known = self.inner.store.model_at(path).await?;
        Ok(self.inner.store.models().await?.iter().map(|model| model.id).find(|id| Some(*id) == known))
    }
}

/// What a task makes, once it is whole.
pub(crate) fn made_by(task: &Task, storage: &Path) -> Vec<PathBuf> {
    match task {
        Task::Merge { folder, .. } | Task::DownloadAndMerge { folder, .. } => vec![storage.join(folder)],
        Task::Make { files, .. } => files.iter().map(|file| names::place(storage, file)).collect(),
        _ => Vec::new(),
    }
}
