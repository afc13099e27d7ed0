//! How a model comes into the list: checked, copied if wanted, hashed afterwards. And the model that is there from the start.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use huacaya_engine::{Description, Kind};
use huacaya_progress::{Progress, Watch};
use huacaya_store::{HashState, Model, ModelFile, ModelId, ModelKind, ModelState, Parameters, Source};
use sha2::{Digest, Sha256};

use crate::{
    App, blocking,
    elsewhere::Program,
    error::{Code, Error, Result},
    family::family,
    hashing::{each_chunk, hex},
    jobs::Outcome,
    model_files::{describe_adapter, file_name, file_now, files_of, first_part, incomplete, is_adapter, whole_of},
    now_ms, parameters,
    storage::PART,
};

/// The model that comes with the program.
static DEMO: &[u8] = include_bytes!("../../../assets/demo/huacaya-demo.gguf");
pub(crate) const DEMO_FILE: &str = "huacaya-demo.gguf";
/// An adapter's architecture, as rows name it.
const LORA: &str = "lora";

/// The work of `Task::Import`.
pub(crate) fn import(
    app: &App,
    path: &Path,
    copy: bool,
    program: Option<(Program, &str)>,
    watch: Watch<'_>,
) -> Result<Outcome> {
    if !path.exists() {
        let detail = format!("{}: there is no such file", path.display());
        let error = Error::new(Code::ModelMissing, detail).with("model", file_name(path));
        return Err(error.with("path", path.display()));
    }
    let path = whole_of(path);
    facts(&path, &file_name(&path), None)?;
    let place =
        if copy && !path.starts_with(app.storage()) { copy_in(&app.usable_storage()?, &path, watch)? } else { path };
    let source = program.map_or(Source::File, |(program, _)| Source::Program { program: program.word().to_string() });
    let mut model = app.inner.runtime.block_on(app.register(&place, source))?;
    if let Some((_, name)) = program.filter(|_| file_name(&place).starts_with(&model.name)) {
        // A blob's name tells nothing, the program's own name of it does.
        model =
            app.inner.runtime.block_on(app.inner.store.update_model(model.id, |row| row.name = name.to_string()))?;
    }
    app.inner.runtime.block_on(app.start_hash(&model))?;
    Ok(Outcome::Imported { model: model.id })
}

/// What is known of a model from its headers.
pub(crate) struct Facts {
    pub name: String,
    pub kind: ModelKind,
    pub architecture: String,
    pub quantization: String,
    pub parameter_count: u64,
    pub context_tokens: u32,
    pub template: String,
    pub template_source: String,
    pub thinks: bool,
    pub adapter: Option<huacaya_store::Adapter>,
}

/// Whether the model is sound, without loading it, and what it is; the template as set, where it is set.
pub(crate) fn facts(path: &Path, name: &str, template: Option<&str>) -> Result<Facts> {
    files_of(path)?;
    if path.is_dir() && is_adapter(path) {
        return adapter_facts(path);
    }
    let description = describe(path, name, template)?;
    for warning in &description.warnings {
        tracing::warn!(model = description.name, warning, "a model file is unusual");
    }
    Ok(Facts {
        name: description.name,
        kind: kind(description.kind),
        architecture: description.architecture,
        quantization: description.quantization,
        parameter_count: description.parameter_count,
        context_tokens: description.context_tokens as u32,
        template: description.template,
        template_source: description.template_source.to_string(),
        thinks: description.thinks,
        adapter: None,
    })
}

fn adapter_facts(path: &Path) -> Result<Facts> {
    let facts = describe_adapter(path)?;
    Ok(Facts {
        name: file_name(path),
        kind: ModelKind::Adapter,
        architecture: LORA.to_string(),
        quantization: facts.kind,
        parameter_count: facts.parameter_count,
        context_tokens: 0,
        template: String::new(),
        template_source: "none".to_string(),
        thinks: false,
        adapter: Some(facts.adapter),
    })
}

/// What the header of a model that can be loaded says.
fn describe(path: &Path, name: &str, template: Option<&str>) -> Result<Description> {
    huacaya_engine::Model::describe(path, template).map_err(|error| {
        let cut = if let huacaya_engine::Error::Weights(error) = &error { incomplete(error) } else { None };
        cut.unwrap_or_else(|| Error::of_model(name, error))
    })
}

/// Copies a model into the storage folder: a file or folder under its own name, in one step at the end; the parts of a
/// split one, each in one step, the first at the end.
fn copy_in(storage: &Path, path: &Path, watch: Watch<'_>) -> Result<PathBuf> {
    let files = files_of(path)?;
    let total: u64 = files.iter().map(|(_, bytes)| bytes).sum();
    let place = |file: &Path| storage.join(file.file_name().unwrap_or_default());
    let mut progress = Progress { done: 0, total };
    room(storage, total)?;
    if path.is_dir() {
        let place = place(path);
        refuse_existing(&place)?;
        let part = part_of(&place);
        let copied = copy_folder(&files, &part, &mut progress, watch).and_then(|()| rename(&part, &place));
        return copied.inspect_err(|_| drop(fs::remove_dir_all(&part))).map(|()| place);
    }
    files.iter().try_for_each(|(file, _)| refuse_existing(&place(file)))?;
    let mut done = Vec::new();
    for (file, _) in files.iter().rev() {
        let (place, part) = (place(file), part_of(&place(file)));
        let copied = copy_file(file, &part, &mut progress, watch).and_then(|()| rename(&part, &place));
        if let Err(error) = copied {
            // What is left of the attempt is of no use; that it cannot be removed changes nothing.
            done.iter().chain([&part]).for_each(|left: &PathBuf| drop(fs::remove_file(left)));
            return Err(error);
        }
        done.push(place);
    }
    Ok(place(&first_part(path)))
}

fn copy_folder(files: &[(PathBuf, u64)], to: &Path, progress: &mut Progress, watch: Watch<'_>) -> Result<()> {
    fs::create_dir_all(to).map_err(|error| Error::unwritable(to, &error))?;
    let mut names = files.iter().map(|(file, _)| (file, to.join(file.file_name().unwrap_or_default())));
    names.try_for_each(|(file, place)| copy_file(file, &place, progress, watch))
}

/// Copies a file's bytes, and sees them onto the disk.
pub(crate) fn copy_file(from: &Path, to: &Path, progress: &mut Progress, watch: Watch<'_>) -> Result<()> {
    let mut file = File::create(to).map_err(|error| Error::unwritable(to, &error))?;
    each_chunk(from, progress, watch, |chunk| file.write_all(chunk).map_err(|error| Error::unwritable(to, &error)))?;
    file.sync_all().map_err(|error| Error::unwritable(to, &error))
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|error| Error::unwritable(to, &error))
}

pub(crate) fn part_of(place: &Path) -> PathBuf {
    let mut part = place.as_os_str().to_os_string();
    part.push(PART);
    PathBuf::from(part)
}

fn refuse_existing(place: &Path) -> Result<()> {
    if !place.exists() {
        return Ok(());
    }
    let detail = format!("{}: there is a model of this name already", place.display());
    Err(Error::new(Code::FileExists, detail).with("path", place.display()))
}

/// Whether so many bytes more have room in the folder.
pub(crate) fn room(folder: &Path, needed: u64) -> Result<()> {
    let free = fs4::available_space(crate::storage::existing(folder)).unwrap_or(u64::MAX);
    if needed <= free {
        return Ok(());
    }
    let detail = format!("{}: {needed} bytes are needed, {free} are free", folder.display());
    let error = Error::new(Code::SpaceShort, detail).with("needed", needed).with("free", free);
    Err(error.with("path", folder.display()))
}

impl App {
    /// Checks a model and puts it into the list.
    pub(crate) async fn register(&self, path: &Path, source: Source) -> Result<Model> {
        let (place, storage) = (path.to_path_buf(), self.storage());
        let check = move || {
            let facts = facts(&place, &file_name(&place), None)?;
            Ok((facts, file_now(&place)?, place.starts_with(storage)))
        };
        let (facts, file, in_storage) = blocking(check).await?;
        let row = row(facts, &file, source, in_storage);
        Ok(self.inner.store.add_model(row, &file).await?)
    }

    /// Writes the bundled model into the storage folder, unless it is there or was deleted, and puts it into the list at
    /// the first start.
    pub(crate) async fn provide_demo(&self) -> Result<()> {
        let path = self.usable_storage()?.join(DEMO_FILE);
        let known = self.inner.store.model_at(&path).await?;
        let listed = self.inner.store.models().await?;
        if known.is_some_and(|known| listed.iter().all(|model| model.id != known)) {
            return Ok(());
        }
        let place = path.clone();
        let written = blocking(move || write_demo(&place)).await?;
        if known.is_none() || written {
            let model = self.register(&path, Source::BuiltIn).await?;
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
    let part = part_of(path);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&part)?;
        file.write_all(DEMO)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(|error| Error::unwritable(path, &error))?;
    Ok(true)
}

/// The row of a model that passed its checks. The store fills in the id and the times.
fn row(facts: Facts, file: &ModelFile, source: Source, in_storage: bool) -> Model {
    let bundled = source == Source::BuiltIn;
    Model {
        id: ModelId(0),
        family: family(&facts.name, &file.path, &source),
        kind: facts.kind,
        name: facts.name,
        path: String::new(),
        bundled,
        source,
        state: ModelState::Ready,
        architecture: facts.architecture,
        quantization: facts.quantization,
        file_bytes: file.bytes,
        parameter_count: facts.parameter_count,
        context_tokens: facts.context_tokens,
        sha256: None,
        hash: HashState::Unknown,
        checked_ms: None,
        in_storage,
        adapter: facts.adapter,
        template: facts.template,
        template_source: facts.template_source,
        thinks: facts.thinks,
        parameters: if bundled { parameters::demo() } else { Parameters::default() },
        persona: None,
        draft: None,
        loaded_by: None,
        device: None,
        device_reason: None,
        added_ms: 0,
        used_ms: None,
    }
}

fn kind(kind: Kind) -> ModelKind {
    match kind {
        Kind::Base => ModelKind::Base,
        Kind::Chat => ModelKind::Chat,
    }
}
