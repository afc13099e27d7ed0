//! Making models: merged with adapters and quantized, each target a file below `made/` that is listed when it is whole.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use huacaya_engine::measure::{self, CALIBRATION, Cut};
use huacaya_progress::{Progress, Watch};
use huacaya_store::{MeasureOptions, Model, ModelFile, ModelId, Source};
use huacaya_weights::{
    Checkpoint, Kind, convert,
    quantize::{Importance, Scheme},
};

use super::{
    ImportanceSource, Output, Strength, Target,
    measuring::{self, Subject, Subjects},
    names, request,
    weights::{self, Order},
};
use crate::{
    App,
    error::{Code, Error, Result},
    import,
    jobs::{Outcome, Tell},
    loading, merging,
    model_files::{file_name, file_now, is_gguf},
    models::set_template,
};

/// What `Task::Make` says.
pub(crate) struct Make<'a> {
    pub name: &'a str,
    pub source: ModelId,
    pub adapters: &'a [Strength],
    pub targets: &'a [Target],
    pub importance: Option<&'a ImportanceSource>,
    pub measure: Option<&'a MeasureOptions>,
    pub output: Output,
    /// One for each target.
    pub files: &'a [String],
}

/// What things are made of, and where.
struct Work<'a> {
    app: &'a App,
    make: &'a Make<'a>,
    tell: Tell<'a>,
    row: Model,
    file: ModelFile,
    /// Adapters with their strengths, in order.
    adapters: Vec<(PathBuf, f32)>,
    /// `Source::Made` says this.
    from: String,
    storage: PathBuf,
}

/// The merged weights that are quantized and compared with; they go with this value.
struct Merged(PathBuf);

impl Drop for Merged {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "merged weights were not removed");
        }
    }
}

/// The work of `Task::Make`, on a worker thread.
pub(crate) fn make(app: &App, make: &Make<'_>, tell: Tell<'_>, watch: Watch<'_>) -> Result<Outcome> {
    let work = Work::new(app, make, tell)?;
    let mut models = Vec::new();
    for file in make.files {
        // An earlier run may have come as far as this.
        models.push(app.inner.runtime.block_on(app.listed_at(&names::place(&work.storage, file)))?);
    }
    let merged = work.merged(&models, watch)?;
    let from = merged.as_ref().map_or(&work.file.path, |merged| &merged.0);
    if models.contains(&None) {
        work.room(&models, from)?;
        let importance = work.importance(from, watch)?;
        let missing = models.iter().filter(|model| model.is_none()).count();
        let missed = models.iter_mut().enumerate().filter(|(_, model)| model.is_none());
        for (before, (place, model)) in missed.enumerate() {
            let before = before as u64;
            let mut of_all = |now: Progress| {
                watch(Progress { done: before * now.total + now.done, total: missing as u64 * now.total })
            };
            *model = Some(work.target(place, from, importance.as_ref(), &mut of_all)?);
        }
    }
    let models: Vec<ModelId> = models.into_iter().flatten().collect();
    let report = match make.measure {
        Some(options) => Some(work.evidence(&models, merged.as_ref(), options, watch)?),
        None => None,
    };
    Ok(Outcome::Made { models, report })
}

impl<'a> Work<'a> {
    fn new(app: &'a App, make: &'a Make<'a>, tell: Tell<'a>) -> Result<Work<'a>> {
        let runtime = &app.inner.runtime;
        let (row, file) = runtime.block_on(app.loadable_model(make.source))?;
        let mut adapters = Vec::new();
        let mut from = row.name.clone();
        for one in make.adapters {
            let (adapter, place) = runtime.block_on(app.ready_model(one.model))?;
            from = format!("{from} + {}", adapter.name);
            adapters.push((place.path, one.strength));
        }
        if !adapters.is_empty() && is_gguf(&file.path) {
            return Err(request::needs_folder(&row));
        }
        let storage = app.usable_storage()?;
        let folder = names::folder(&storage);
        fs::create_dir_all(&folder).map_err(|error| Error::unwritable(&folder, &error))?;
        for file in make.files {
            runtime.block_on(app.sweep_made(&names::place(&storage, file)))?;
        }
        Ok(Work { app, make, tell, row, file, adapters, from, storage })
    }

    /// Merges once where the result is needed more than once: for several targets, for an importance matrix, or to be
    /// compared with.
    fn merged(&self, models: &[Option<ModelId>], watch: Watch<'_>) -> Result<Option<Merged>> {
        let missing = models.iter().filter(|model| model.is_none()).count();
        let reads_text = missing > 0
            && matches!(self.make.importance, Some(ImportanceSource::Bundled | ImportanceSource::Text { .. }));
        let compares = self.make.measure.is_some_and(|options| options.divergence);
        let Some(first) = self.make.files.first() else { return Ok(None) };
        if self.adapters.is_empty() || self.make.output == Output::Folder || !(missing > 1 || reads_text || compares) {
            return Ok(None);
        }
        (self.tell)("merging");
        let merged = Merged(names::merged_place(&names::place(&self.storage, first)));
        let wanted = weights::plain(self.stored_as()?);
        let order = Order { adapters: &self.adapters, wanted: &wanted, importance: None };
        let target = convert::target(&self.file.path, &self.adapters, &wanted);
        let (_, bytes) = target.map_err(|error| self.broken(error))?;
        import::room(&self.storage, bytes)?;
        weights::make(&self.file.path, &merged.0, &order, watch).map_err(|error| self.broken(error))?;
        Ok(Some(merged))
    }

    /// The scheme that keeps the source's numbers as they are.
    fn stored_as(&self) -> Result<Scheme> {
        let checkpoint = Checkpoint::open(&self.file.path).map_err(|error| self.broken(error))?;
        let matrix = checkpoint.list().into_iter().find(|tensor| tensor.shape.len() > 1);
        Ok(matrix.and_then(|tensor| Scheme::from_name(tensor.kind)).unwrap_or(Scheme::F16))
    }

    fn room(&self, models: &[Option<ModelId>], from: &Path) -> Result<()> {
        let mut needed = 0u64;
        for (target, _) in self.make.targets.iter().zip(models).filter(|(_, model)| model.is_none()) {
            let wanted = request::wanted(target, self.make.importance.is_some())?;
            let bytes = match self.make.output {
                Output::Folder => huacaya_weights::merged_size(&self.file.path, &self.adapters),
                Output::Gguf => convert::target(from, self.left(from), &wanted).map(|(_, bytes)| bytes),
            };
            needed = needed.saturating_add(bytes.map_err(|error| self.broken(error))?);
        }
        import::room(&self.storage, needed)
    }

    /// What is still to be merged: merged weights hold the adapters already.
    fn left(&self, from: &Path) -> &[(PathBuf, f32)] {
        if *from == *self.file.path { &self.adapters } else { &[] }
    }

    fn importance(&self, from: &Path, watch: Watch<'_>) -> Result<Option<Importance>> {
        let (text, name) = match self.make.importance {
            None => return Ok(None),
            Some(ImportanceSource::File { path }) => {
                return Importance::open(path).map(Some).map_err(|error| importance_broken(path, error));
            }
            Some(ImportanceSource::Bundled) => (CALIBRATION.to_string(), "calibration.txt".to_string()),
            Some(ImportanceSource::Text { path }) => (measuring::text_of(path)?, file_name(path)),
        };
        (self.tell)("importance");
        let quiet = loading::quiet(self.app, watch)?;
        let importance = self.importance_of(from, &text, &name, watch);
        if let Some(before) = quiet.leave() {
            before.restore(self.app);
        }
        importance.map(Some)
    }

    fn importance_of(&self, from: &Path, text: &str, name: &str, watch: Watch<'_>) -> Result<Importance> {
        let model = &self.row.name;
        let cut = Cut::default();
        let options = measuring::options(&self.row, cut.context);
        loading::check_room(model, from, &options)?;
        let (loaded, _) = measure::load(from, &options, watch).map_err(|error| Error::of_model(model, error))?;
        measure::importance(&loaded, text, name, cut, watch).map_err(|error| measuring::failed(model, error))
    }

    /// Makes one target, and puts it into the list.
    fn target(&self, place: usize, from: &Path, importance: Option<&Importance>, watch: Watch<'_>) -> Result<ModelId> {
        let (Some(target), Some(file)) = (self.make.targets.get(place), self.make.files.get(place)) else {
            return Err(Error::internal("a target without a file"));
        };
        let out = names::place(&self.storage, file);
        match self.make.output {
            Output::Folder => {
                (self.tell)("merging");
                huacaya_weights::merge(&self.file.path, &self.adapters, &out, watch).map_err(merging::of_merge)?;
            }
            Output::Gguf => {
                (self.tell)("quantizing");
                let wanted = request::wanted(target, importance.is_some())?;
                let order = Order { adapters: self.left(from), wanted: &wanted, importance };
                weights::make(from, &out, &order, watch).map_err(|error| self.broken(error))?;
            }
        }
        let source = Source::Made { from: self.from.clone() };
        let runtime = &self.app.inner.runtime;
        let row = runtime.block_on(self.app.register(&out, source)).inspect_err(|_| discard(&out))?;
        let row = self.dress(&row, names::shown(self.make.name, target, file))?;
        runtime.block_on(self.app.start_hash(&row))?;
        Ok(row.id)
    }

    /// What the person set for the source holds for what is made of it.
    fn dress(&self, made: &Model, name: String) -> Result<Model> {
        let source = &self.row;
        let template = set_template(source);
        let facts = match template {
            Some(template) => Some(import::facts(Path::new(&made.path), &name, Some(template))?),
            None => None,
        };
        let change = |row: &mut Model| {
            row.name = name;
            row.parameters = source.parameters.clone();
            row.persona = source.persona;
            if !source.family.is_empty() && self.adapters.is_empty() {
                row.family = source.family.clone();
            }
            if let Some(facts) = facts {
                (row.kind, row.template, row.thinks) = (facts.kind, facts.template, facts.thinks);
                row.template_source = source.template_source.clone();
            }
        };
        Ok(self.app.inner.runtime.block_on(self.app.inner.store.update_model(made.id, change))?)
    }

    /// Measures what was made, beside what it was made of.
    fn evidence(
        &self,
        models: &[ModelId],
        merged: Option<&Merged>,
        options: &MeasureOptions,
        watch: Watch<'_>,
    ) -> Result<huacaya_store::ReportId> {
        let runtime = &self.app.inner.runtime;
        let mut all = Vec::new();
        if let Some(Merged(path)) = merged {
            let bytes = file_now(path)?.bytes;
            all.push(Subject {
                name: self.from.clone(),
                model: None,
                path: path.clone(),
                scheme: self.stored_as()?.name().to_string(),
                bytes,
                row: self.row.clone(),
            });
        } else if self.adapters.is_empty() {
            all.push(Subject::of(self.row.clone(), self.file.clone()));
        }
        for (id, target) in models.iter().zip(self.make.targets) {
            let (row, file) = runtime.block_on(self.app.loadable_model(*id))?;
            all.push(Subject { scheme: target.label(), ..Subject::of(row, file) });
        }
        let subjects = Subjects { title: self.make.name.to_string(), source_name: self.from.clone(), all };
        measuring::measure(self.app, subjects, options, self.tell, watch)
    }

    fn broken(&self, error: huacaya_weights::Error) -> Error {
        weights::failed(&self.row.name, self.make.importance, error)
    }
}

/// A file that is no sound model after all.
fn discard(out: &Path) {
    let removed = if out.is_dir() { fs::remove_dir_all(out) } else { fs::remove_file(out) };
    if let Err(error) = removed {
        tracing::warn!(path = %out.display(), %error, "a file that is no model was not removed");
    }
}

fn importance_broken(path: &Path, error: huacaya_weights::Error) -> Error {
    if let (Kind::Io, huacaya_weights::Fault::Io(source)) = (error.kind(), &error.fault) {
        return Error::unreadable(path, source);
    }
    let reason = error.to_string();
    Error::new(Code::ImportanceBroken, reason.clone()).with("name", file_name(path)).with("reason", reason)
}

/// All cores: other work goes on beside, for the system shares them out.
pub(crate) fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
