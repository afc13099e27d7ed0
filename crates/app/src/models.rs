//! Models: the list of files, whether they are still what was checked, what each is set to.

use std::{fs, path::PathBuf};

use huacaya_store::{HashState, JobId, Model, ModelFile, ModelId, ModelState, Parameters, PersonaId, Problem};
use serde::Serialize;
use ts_rs::TS;

use crate::{
    App, blocking,
    chats::one_line,
    chosen::Purpose,
    error::{Code, Error, Result},
    import::{self, file_name, file_now},
    jobs::Task,
    parameters,
};

/// `Model::template_source` of a template that the person set.
const SET: &str = "set by you";
/// Set as a model's template, it makes it continue raw text. Its row then has the empty name.
const NO_TEMPLATE: &str = "none";

/// What a model would need in memory, in bytes, compared with what is free.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Fit {
    pub context: u32,
    pub weights: u64,
    pub kv: u64,
    pub scratch: u64,
    pub total: u64,
    /// What would be free once the model in memory now is gone.
    pub free: u64,
    pub verdict: Verdict,
    /// Shorter contexts that fit, the longest first.
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

/// The template that the person set for a model.
pub(crate) fn set_template(row: &Model) -> Option<&str> {
    let name = if row.template.is_empty() { NO_TEMPLATE } else { row.template.as_str() };
    (row.template_source == SET).then_some(name)
}

impl App {
    pub(crate) async fn import_model(&self, chosen: u32, copy: bool) -> Result<JobId> {
        let path = self.chosen(chosen, Purpose::Read)?;
        Ok(self.start_job(Task::Import { name: file_name(&path), path, copy }).await?.id)
    }

    pub(crate) async fn scan_models(&self) -> Result<Scan> {
        self.look_after_models().await?;
        let folder = self.storage();
        let found = blocking(move || candidates(&folder)).await?;
        let mut scan = Scan { added: 0, problems: Vec::new() };
        for path in found {
            if self.inner.store.model_at(&path).await?.is_some() {
                continue;
            }
            match self.register(&path, false).await {
                Ok(model) => {
                    self.start_hash(&model).await?;
                    scan.added += 1;
                }
                Err(error) => scan.problems.push(error.problem()),
            }
        }
        Ok(scan)
    }

    /// Sees which files are gone or not what was checked.
    pub(crate) async fn look_after_models(&self) -> Result<()> {
        for model in self.inner.store.models().await? {
            let checked = self.inner.store.model_file(model.id).await?;
            let state = blocking(move || Ok(state_of(&checked))).await?;
            if state != model.state {
                self.inner.store.update_model(model.id, |row| row.state = state).await?;
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
                self.check_again(&row, path).await
            }
        }
    }

    /// The file at this path stands for the model from now on.
    async fn check_again(&self, row: &Model, path: PathBuf) -> Result<(Model, ModelFile)> {
        let (name, template) = (row.name.clone(), set_template(row).map(str::to_string));
        let set = template.is_some();
        let (description, file) =
            blocking(move || Ok((import::describe(&path, &name, template.as_deref())?, file_now(&path)?))).await?;
        self.inner.store.move_model(row.id, &file).await?;
        let change = move |row: &mut Model| {
            row.state = ModelState::Ready;
            row.kind = import::kind(description.kind);
            row.architecture = description.architecture;
            row.quantization = description.quantization;
            row.parameter_count = description.parameter_count;
            row.context_tokens = description.context_tokens as u32;
            row.template = description.template;
            row.template_source = if set { SET } else { description.template_source }.to_string();
            row.thinks = description.thinks;
            (row.sha256, row.hash, row.checked_ms) = (None, HashState::Unknown, None);
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
    ) -> Result<()> {
        parameters::check(&parameters)?;
        let (row, file) = self.ready_model(model).await?;
        let (name, set) = (row.name.clone(), template.is_some());
        let description = blocking(move || import::describe(&file.path, &name, template.as_deref())).await?;
        let change = move |row: &mut Model| {
            row.parameters = parameters;
            row.persona = persona;
            row.kind = import::kind(description.kind);
            row.template = description.template;
            row.template_source = if set { SET } else { description.template_source }.to_string();
            row.thinks = description.thinks;
        };
        self.inner.store.update_model(model, change).await?;
        Ok(())
    }

    pub(crate) async fn templates(&self, model: ModelId) -> Result<Vec<String>> {
        self.inner.store.model(model).await?;
        let built_in = huacaya_engine::template::Template::built_in().iter();
        Ok(built_in.copied().chain([NO_TEMPLATE]).map(str::to_string).collect())
    }

    pub(crate) async fn remove_model(&self, model: ModelId) -> Result<()> {
        self.unload_model(model).await?;
        Ok(self.inner.store.remove_model(model).await?)
    }

    pub(crate) async fn restore_model(&self, model: ModelId) -> Result<()> {
        self.inner.store.restore_model(model).await?;
        self.look_after_models().await
    }

    pub(crate) async fn locate_model(&self, model: ModelId, chosen: u32) -> Result<()> {
        let path = self.chosen(chosen, Purpose::Read)?;
        let row = self.inner.store.model(model).await?;
        self.check_again(&row, path).await?;
        Ok(())
    }

    /// The model of this name, or whose file has it (with or without its ending); in any case of letters.
    pub async fn find_model(&self, name: &str) -> Result<InList> {
        let models = self.inner.store.models().await?;
        let wanted = name.to_lowercase();
        let stem = |model: &Model| {
            let file = file_name(std::path::Path::new(&model.path)).to_lowercase();
            file.strip_suffix(".gguf").map_or(file.clone(), str::to_string) == wanted || file == wanted
        };
        let found =
            models.iter().find(|model| model.name.to_lowercase() == wanted).or(models.iter().find(|model| stem(model)));
        let Some(model) = found else {
            let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
            let detail = format!("there is no such file and no model of this name; the list has: {}", names.join(", "));
            return Err(Error::new(Code::NoModel, detail));
        };
        let (row, file) = self.ready_model(model.id).await?;
        let template = set_template(&row).map(str::to_string);
        Ok(InList { path: file.path, parameters: row.parameters, template })
    }

    /// What answers where nothing else is chosen: the model of the settings, else the bundled one, else the first.
    pub(crate) async fn default_model(&self) -> Result<ModelId> {
        let models = self.inner.store.models().await?;
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

/// GGUF files in the models folder and one folder deeper, and folders with a `config.json`.
fn candidates(folder: &std::path::Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in entries(folder)? {
        if is_gguf(&entry) || entry.join("config.json").is_file() {
            found.push(entry);
        } else if entry.is_dir() {
            found.extend(entries(&entry)?.into_iter().filter(|path| is_gguf(path)));
        }
    }
    Ok(found)
}

fn entries(folder: &std::path::Path) -> Result<Vec<PathBuf>> {
    let unreadable = |error: std::io::Error| Error::unreadable(folder, &error);
    let entries = fs::read_dir(folder).map_err(unreadable)?;
    let mut paths =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    paths.sort();
    Ok(paths)
}

fn is_gguf(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gguf")) && path.is_file()
}
