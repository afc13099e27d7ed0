//! How a model file comes into the list: checked, copied if wanted, hashed afterwards. And the model that is there from the start.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use huacaya_engine::{Description, Kind};
use huacaya_progress::{Progress, Watch};
use huacaya_store::{HashState, Model, ModelFile, ModelId, ModelKind, ModelState, Parameters, Source, Time};
use sha2::{Digest, Sha256};

use crate::{
    App, blocking,
    error::{Code, Error, Result},
    hashing::{each_chunk, hex},
    jobs::Outcome,
    now_ms, parameters,
};

/// The model that comes with the program.
static DEMO: &[u8] = include_bytes!("../../../assets/demo/huacaya-demo.gguf");
const DEMO_FILE: &str = "huacaya-demo.gguf";
/// What of a model folder is copied; the rest is not read.
const FOLDER_ENDINGS: [&str; 5] = ["safetensors", "json", "model", "txt", "jinja"];

/// The work of `Task::Import`.
pub(crate) fn import(app: &App, path: &Path, copy: bool, watch: Watch<'_>) -> Result<Outcome> {
    check(path)?;
    let place = if copy { copy_in(&app.storage(), path, watch)? } else { path.to_path_buf() };
    let model = app.inner.runtime.block_on(app.register(&place, false))?;
    app.inner.runtime.block_on(app.start_hash(&model))?;
    Ok(Outcome::Imported { model: model.id })
}

/// Whether the file is a sound model, without loading it.
fn check(path: &Path) -> Result<Description> {
    let name = file_name(path);
    if !path.exists() {
        let detail = format!("{}: there is no such file", path.display());
        return Err(Error::new(Code::ModelMissing, detail).with("model", name).with("path", path.display()));
    }
    describe(path, &name, None)
}

/// What the header says; the template as set, where it is set.
pub(crate) fn describe(path: &Path, name: &str, template: Option<&str>) -> Result<Description> {
    huacaya_engine::Model::describe(path, template).map_err(|error| Error::of_model(name, error))
}

/// Copies a file or folder into the models folder, under its own name, in one step at the end.
fn copy_in(models: &Path, path: &Path, watch: Watch<'_>) -> Result<PathBuf> {
    let place = models.join(path.file_name().unwrap_or_default());
    if place == path {
        return Ok(place);
    }
    if place.exists() {
        let detail = format!("{}: there is a model of this name already", place.display());
        return Err(Error::new(Code::FileExists, detail).with("path", place.display()));
    }
    let mut part = place.clone().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let copied = copy(path, &part, watch)
        .and_then(|()| fs::rename(&part, &place).map_err(|error| Error::unwritable(&place, &error)));
    if copied.is_err() {
        // What is left of the attempt is of no use; that it cannot be removed changes nothing.
        let _ = if part.is_dir() { fs::remove_dir_all(&part) } else { fs::remove_file(&part) };
    }
    copied.map(|()| place)
}

fn copy(from: &Path, to: &Path, watch: Watch<'_>) -> Result<()> {
    let files = files_of(from)?;
    let mut progress = Progress { done: 0, total: files.iter().map(|(_, bytes)| bytes).sum() };
    let folder = from.is_dir();
    if folder {
        fs::create_dir_all(to).map_err(|error| Error::unwritable(to, &error))?;
    }
    for (path, _) in &files {
        let place = if folder { to.join(path.file_name().unwrap_or_default()) } else { to.to_path_buf() };
        let mut file = File::create(&place).map_err(|error| Error::unwritable(&place, &error))?;
        each_chunk(path, &mut progress, watch, |chunk| {
            file.write_all(chunk).map_err(|error| Error::unwritable(&place, &error))
        })?;
        file.sync_all().map_err(|error| Error::unwritable(&place, &error))?;
    }
    Ok(())
}

/// The files of a model with their sizes: itself, or of a folder those that belong to it.
pub(crate) fn files_of(path: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let unreadable = |error: std::io::Error| Error::unreadable(path, &error);
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.is_file() {
        return Ok(vec![(path.to_path_buf(), metadata.len())]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if FOLDER_ENDINGS.contains(&ending) && file.is_file() {
            let bytes = fs::metadata(&file).map_err(unreadable)?.len();
            files.push((file, bytes));
        }
    }
    files.sort();
    Ok(files)
}

/// The size and time by which a changed file is known.
pub(crate) fn file_now(path: &Path) -> Result<ModelFile> {
    let unreadable = |error: std::io::Error| Error::unreadable(path, &error);
    let metadata = fs::metadata(path).map_err(unreadable)?;
    let bytes = files_of(path)?.iter().map(|(_, bytes)| bytes).sum();
    let modified = metadata.modified().map_err(unreadable)?;
    let modified_ms = modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Time);
    Ok(ModelFile { path: path.to_path_buf(), bytes, modified_ms })
}

pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

impl App {
    /// Checks a model file and puts it into the list.
    pub(crate) async fn register(&self, path: &Path, bundled: bool) -> Result<Model> {
        let place = path.to_path_buf();
        let (description, file) = blocking(move || Ok((check(&place)?, file_now(&place)?))).await?;
        for warning in &description.warnings {
            tracing::warn!(model = description.name, warning, "a model file is unusual");
        }
        Ok(self.inner.store.add_model(row(description, bundled), &file).await?)
    }

    /// Writes the bundled model into the models folder, unless it is there, and puts it into the list at the first start.
    pub(crate) async fn provide_demo(&self) -> Result<()> {
        let path = self.storage().join(DEMO_FILE);
        let place = path.clone();
        let written = blocking(move || write_demo(&place)).await?;
        let known = self.inner.store.model_at(&path).await?;
        let listed = self.inner.store.models().await?;
        let removed = known.is_some_and(|known| listed.iter().all(|model| model.id != known));
        if known.is_none() || (written && !removed) {
            let model = self.register(&path, true).await?;
            let sha256 = hex(&Sha256::digest(DEMO));
            let change = |row: &mut Model| {
                (row.sha256, row.hash, row.checked_ms) = (Some(sha256), HashState::Verified, Some(now_ms()));
            };
            self.inner.store.update_model(model.id, change).await?;
        }
        Ok(())
    }
}

/// Whether it had to be written.
fn write_demo(path: &Path) -> Result<bool> {
    if fs::read(path).is_ok_and(|there| there == DEMO) {
        return Ok(false);
    }
    let part = path.with_extension("part");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&part)?;
        file.write_all(DEMO)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(|error| Error::unwritable(path, &error))?;
    Ok(true)
}

/// The row of a model that passed its checks. The store fills in the id, the file and the times.
fn row(description: Description, bundled: bool) -> Model {
    Model {
        id: ModelId(0),
        kind: kind(description.kind),
        name: description.name,
        path: String::new(),
        bundled,
        source: if bundled { Source::BuiltIn } else { Source::File },
        family: String::new(),
        state: ModelState::Ready,
        architecture: description.architecture,
        quantization: description.quantization,
        file_bytes: description.file_bytes,
        parameter_count: description.parameter_count,
        context_tokens: description.context_tokens as u32,
        sha256: None,
        hash: HashState::Unknown,
        checked_ms: None,
        in_storage: false,
        adapter: None,
        template: description.template,
        template_source: description.template_source.to_string(),
        thinks: description.thinks,
        parameters: if bundled { parameters::demo() } else { Parameters::default() },
        persona: None,
        loaded_by: None,
        device: None,
        added_ms: 0,
        used_ms: None,
    }
}

pub(crate) fn kind(kind: Kind) -> ModelKind {
    match kind {
        Kind::Base => ModelKind::Base,
        Kind::Chat => ModelKind::Chat,
    }
}
