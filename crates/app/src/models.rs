//! Models: the list of files, whether they are still what was checked, what each is set to.

use std::path::{Path, PathBuf};

use huacaya_store::{
    HashState, JobId, Model, ModelFile, ModelId, ModelKind, ModelState, Parameters, PersonaId, Problem, Source,
};
use serde::Serialize;
use ts_rs::TS;

use crate::{
    App, blocking,
    chats::one_line,
    chosen::Purpose,
    error::{Code, Error, Result},
    import,
    jobs::Task,
    model_files::{self, entries, file_name, file_now, ggufs, is_model_folder, whole_of},
    parameters,
    storage::{DELETED, JOURNAL, PART, is_partial},
};

/// `Model::template_source` of a template that the person set.
const SET: &str = "set by you";
/// Set as a model's template, it makes it continue raw text. Its row then has the empty name.
const NO_TEMPLATE: &str = "none";
/// Of the storage folder: `<owner>--<name>/<folder of a quantization>/<file>`.
const FOLDERS_DEEP: u32 = 2;

/// What a model would need in memory, in bytes, compared with what is free.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Fit {
    pub context: u32,
    pub weights: u64,
    pub kv: u64,
    pub scratch: u64,
    /// Of the model that guesses ahead, where one is set.
    pub draft: u64,
    pub total: u64,
    /// What would be free once the model in memory now is gone.
    pub free: u64,
    pub verdict: Verdict,
    /// What would fit, the longest context first; for each the keys and values that lose the least.
    pub choices: Vec<FitChoice>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Well,
    /// It fits, but leaves little for other programs.
    Tight,
    TooLarge,
}

#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct FitChoice {
    pub context: u32,
    /// Where keys and values must be kept in fewer bits than they would be: "q8_0", "q4_0".
    pub kv: Option<String>,
    pub total: u64,
}

/// What was found in the models folder.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Scan {
    /// How many models are new in the list.
    pub added: u32,
    /// Files that are no sound models.
    pub problems: Vec<Problem>,
}

/// A model of the list, for a face that runs it by itself.
pub struct InList {
    pub path: PathBuf,
    pub parameters: Parameters,
    /// What the person set.
    pub template: Option<String>,
}

/// Why a model cannot guess ahead for another, or could not be looked at.
pub(crate) fn of_draft(model: &str, draft: &str, error: huacaya_engine::Error) -> Error {
    match error {
        huacaya_engine::Error::Draft { what } => unfit_draft(model, draft, &what),
        error => Error::of_model(draft, error),
    }
}

fn unfit_draft(model: &str, draft: &str, reason: &str) -> Error {
    let detail = format!("{draft} cannot guess ahead for {model}: {reason}");
    Error::new(Code::DraftUnfit, detail).with("model", model).with("draft", draft).with("reason", reason)
}

/// The template that the person set for a model.
pub(crate) fn set_template(row: &Model) -> Option<&str> {
    let name = if row.template.is_empty() { NO_TEMPLATE } else { row.template.as_str() };
    (row.template_source == SET).then_some(name)
}

impl App {
    pub(crate) async fn import_model(&self, chosen: u32, copy: bool) -> Result<JobId> {
        let (path, program) = self.chosen_of(chosen)?;
        let (program, name) = program.map_or_else(|| (None, file_name(&path)), |(program, name)| (Some(program), name));
        Ok(self.start_job(Task::Import { name, path, copy, program }).await?.id)
    }

    pub(crate) async fn scan_models(&self) -> Result<Scan> {
        self.look_after_models().await?;
        let folder = self.storage();
        let found = blocking(move || Ok(candidates(&folder, 0))).await?;
        let mut scan = Scan { added: 0, problems: Vec::new() };
        let unfinished = self.unfinished().await?;
        for path in found {
            let known = self.inner.store.model_at(&path).await?.is_some();
            if known || unfinished.contains(&path) || self.was_moved(&path).await? {
                continue;
            }
            match self.register(&path, Source::File).await {
                Ok(model) => {
                    self.start_hash(&model).await?;
                    scan.added += 1;
                }
                Err(error) => scan.problems.push(error.problem()),
            }
        }
        Ok(scan)
    }

    /// Sees which files are gone or not what was checked, and which lie in the storage folder.
    pub(crate) async fn look_after_models(&self) -> Result<()> {
        let _looking = self.inner.storage.looking.lock().await;
        self.refresh_storage().await?;
        for model in self.inner.store.models().await? {
            let checked = self.inner.store.model_file(model.id).await?;
            let in_storage = checked.path.starts_with(self.storage());
            let state = blocking(move || Ok(state_of(&checked))).await?;
            if (state, in_storage) != (model.state, model.in_storage) {
                let change = |row: &mut Model| (row.state, row.in_storage) = (state, in_storage);
                self.inner.store.update_model(model.id, change).await?;
            }
        }
        Ok(())
    }

    /// A model whose file is there; one that changed is checked again first.
    pub(crate) async fn ready_model(&self, model: ModelId) -> Result<(Model, ModelFile)> {
        let row = self.inner.store.model(model).await?;
        let file = self.inner.store.model_file(model).await?;
        let checked = file.clone();
        match blocking(move || Ok(state_of(&checked))).await? {
            ModelState::Ready => Ok((row, file)),
            ModelState::Missing => {
                self.inner.store.update_model(model, |row| row.state = ModelState::Missing).await?;
                let path = file.path.display();
                let detail = format!("{}: its file {path} is not there; say where it is now", row.name);
                Err(Error::new(Code::ModelMissing, detail).with("model", row.name).with("path", path))
            }
            ModelState::Changed => {
                self.inner.store.update_model(model, |row| row.state = ModelState::Changed).await?;
                let path = file.path.clone();
                // What was right for a hub's file is right for it still; the person's own may have been made anew.
                let known = !matches!(row.source, Source::File | Source::Made { .. });
                self.check_again(&row, path, known).await
            }
        }
    }

    /// A ready model that can be brought into memory.
    pub(crate) async fn loadable_model(&self, model: ModelId) -> Result<(Model, ModelFile)> {
        let (row, file) = self.ready_model(model).await?;
        if row.kind == ModelKind::Adapter {
            let detail = format!("{}: an adapter is merged into its base, not loaded", row.name);
            return Err(Error::new(Code::AdapterAlone, detail).with("model", row.name));
        }
        Ok((row, file))
    }

    /// The file at this path stands for the model from now on. `same`: it should be the one that was there; where it is
    /// as long, the known hash is kept for the new one to be compared with.
    async fn check_again(&self, row: &Model, path: PathBuf, same: bool) -> Result<(Model, ModelFile)> {
        let (name, template) = (row.name.clone(), set_template(row).map(str::to_string));
        let set = template.is_some();
        let (facts, file) =
            blocking(move || Ok((import::facts(&path, &name, template.as_deref())?, file_now(&path)?))).await?;
        self.inner.store.move_model(row.id, &file).await?;
        let known = same && file.bytes == row.file_bytes;
        let in_storage = file.path.starts_with(self.storage());
        let change = move |row: &mut Model| {
            (row.state, row.in_storage) = (ModelState::Ready, in_storage);
            row.kind = facts.kind;
            row.architecture = facts.architecture;
            row.quantization = facts.quantization;
            row.parameter_count = facts.parameter_count;
            row.context_tokens = facts.context_tokens;
            row.template = facts.template;
            row.template_source = if set { SET.to_string() } else { facts.template_source };
            row.thinks = facts.thinks;
            row.adapter = facts.adapter;
            row.sha256.take_if(|_| !known);
            (row.hash, row.checked_ms) = (HashState::Unknown, None);
        };
        let row = self.inner.store.update_model(row.id, change).await?;
        self.start_hash(&row).await?;
        Ok((row, file))
    }

    pub(crate) async fn rename_model(&self, model: ModelId, name: String) -> Result<()> {
        let name = one_line(&name)?;
        if !name.is_empty() {
            self.inner.store.update_model(model, |row| row.name = name).await?;
        }
        Ok(())
    }

    pub(crate) async fn set_model(
        &self,
        model: ModelId,
        template: Option<String>,
        parameters: Parameters,
        persona: Option<PersonaId>,
        draft: Option<ModelId>,
    ) -> Result<()> {
        parameters::check(&parameters)?;
        if let Some(persona) = persona {
            self.inner.store.persona(persona).await?;
        }
        let (row, file) = self.ready_model(model).await?;
        if let Some(draft) = draft.filter(|draft| row.draft != Some(*draft)) {
            self.check_draft(draft, &row, &file).await?;
        }
        let (name, set) = (row.name.clone(), template.is_some());
        let facts = blocking(move || import::facts(&file.path, &name, template.as_deref())).await?;
        let change = move |row: &mut Model| {
            row.parameters = parameters;
            row.persona = persona;
            row.draft = draft;
            row.kind = facts.kind;
            row.template = facts.template;
            row.template_source = if set { SET.to_string() } else { facts.template_source };
            row.thinks = facts.thinks;
        };
        self.inner.store.update_model(model, change).await?;
        Ok(())
    }

    /// Refuses a model that cannot guess ahead for this one.
    async fn check_draft(&self, draft: ModelId, model: &Model, file: &ModelFile) -> Result<()> {
        let (small, small_file) = self.loadable_model(draft).await?;
        let (name, other, path) = (model.name.clone(), small.name.clone(), file.path.clone());
        if small.id == model.id {
            return Err(unfit_draft(&name, &other, "it is the model itself"));
        }
        let check = move || huacaya_engine::check_draft(&small_file.path, &path);
        blocking(move || check().map_err(|error| of_draft(&name, &other, error))).await
    }

    pub(crate) async fn templates(&self, model: ModelId) -> Result<Vec<String>> {
        self.inner.store.model(model).await?;
        let built_in = huacaya_engine::template::Template::built_in().iter();
        Ok(built_in.copied().chain([NO_TEMPLATE]).map(str::to_string).collect())
    }

    pub(crate) async fn remove_model(&self, model: ModelId) -> Result<()> {
        self.unload_model(model).await?;
        self.stop_jobs_of(model).await?;
        Ok(self.inner.store.remove_model(model).await?)
    }

    /// Ends what reads a model's files: nobody waits for it any more.
    pub(crate) async fn stop_jobs_of(&self, model: ModelId) -> Result<()> {
        for job in self.inner.store.jobs().await? {
            let reads = Task::of(&job).is_some_and(|task| task.reads(model));
            if reads && self.inner.jobs.stop(job.id) {
                self.inner.jobs.end_of(job.id).await;
                self.inner.store.dismiss_job(job.id).await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn restore_model(&self, model: ModelId) -> Result<()> {
        self.bring_back(model).await?;
        let row = self.inner.store.restore_model(model).await?;
        if row.sha256.is_none() {
            self.start_hash(&row).await?;
        }
        self.look_after_models().await
    }

    pub(crate) async fn locate_model(&self, model: ModelId, chosen: u32) -> Result<()> {
        let path = self.chosen(chosen, Purpose::Read)?;
        let row = self.inner.store.model(model).await?;
        self.check_again(&row, whole_of(&path), true).await?;
        Ok(())
    }

    /// The model of this name, or whose file has it (with or without its ending); in any case of letters.
    pub async fn find_model(&self, name: &str) -> Result<InList> {
        let models = self.inner.store.models().await?;
        let wanted = name.to_lowercase();
        let stem = |model: &Model| {
            let file = file_name(Path::new(&model.path)).to_lowercase();
            file.strip_suffix(".gguf").map_or(file.clone(), str::to_string) == wanted || file == wanted
        };
        let found =
            models.iter().find(|model| model.name.to_lowercase() == wanted).or(models.iter().find(|model| stem(model)));
        let Some(model) = found else {
            let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
            let detail = format!("there is no such file and no model of this name; the list has: {}", names.join(", "));
            return Err(Error::new(Code::NoModel, detail));
        };
        let (row, file) = self.loadable_model(model.id).await?;
        let template = set_template(&row).map(str::to_string);
        Ok(InList { path: file.path, parameters: row.parameters, template })
    }

    /// What answers where nothing else is chosen: the model of the settings, else the bundled one, else the first.
    pub async fn default_model(&self) -> Result<ModelId> {
        let mut models = self.inner.store.models().await?;
        models.retain(|model| model.kind != ModelKind::Adapter);
        let set: Option<ModelId> = self.setting("model").await?;
        let chosen = (models.iter().find(|model| Some(model.id) == set))
            .or_else(|| models.iter().find(|model| model.bundled))
            .or(models.first());
        let none = || Error::new(Code::NoModel, "there is no model in the list; add one");
        chosen.map(|model| model.id).ok_or_else(none)
    }
}

fn state_of(checked: &ModelFile) -> ModelState {
    match file_now(&checked.path) {
        Err(_) => ModelState::Missing,
        Ok(now) if now == *checked => ModelState::Ready,
        Ok(_) => ModelState::Changed,
    }
}

/// The models in the storage folder and two folders deeper: GGUF files, each split one once, and folders of weights.
/// Folders with an unfinished download, and what is being deleted, are passed over.
fn candidates(folder: &Path, depth: u32) -> Vec<PathBuf> {
    let entries = entries(folder);
    if depth > 0 && entries.iter().any(|entry| file_name(entry).ends_with(JOURNAL)) {
        return Vec::new();
    }
    let mut found = ggufs(folder);
    for entry in entries.iter().filter(|entry| entry.is_dir()) {
        let name = file_name(entry);
        if name == DELETED || name.ends_with(PART) {
            continue;
        }
        if is_model_folder(entry) {
            if !model_files::entries(entry).iter().any(|file| is_partial(file)) {
                found.push(entry.clone());
            }
        } else if depth < FOLDERS_DEEP {
            found.extend(candidates(entry, depth + 1));
        }
    }
    found
}
