//! The evidence: models loaded one after another and measured side by side, as a report.
//!
//! While one is measured, no other model is in memory, and answers wait; those that are being written end first. What was
//! loaded before is loaded again afterwards, by a job.

use std::{
    fs::File,
    io::Read,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use huacaya_engine::{
    LoadOptions,
    measure::{self, Base, CALIBRATION, Cut, Exam, ExamOptions, PeakMeter, SampleOptions, SpeedOptions},
};
use huacaya_progress::{Progress, Watch};
use huacaya_store::{
    Accuracy, Divergence, MeasureOptions, Model, ModelFile, ModelId, Perplexity, Report, ReportId, ReportRow, Sample,
    SampleAnswer,
};

use super::machine;
use crate::{
    App,
    error::{Code, Error, Result},
    exchange::read_text,
    jobs::{Outcome, Tell},
    loading,
    model_files::file_name,
    models::set_template,
    parameters,
};

/// Long enough to tell models apart, short enough to read side by side.
const ANSWER_TOKENS: usize = 160;
/// Questions with their examples must fit; longer ones are counted out by the measurement itself.
const EXAM_CONTEXT: usize = 4096;
/// Questions and answers of the samples.
const SAMPLE_CONTEXT: usize = 1024;
/// A text to measure on; beyond it a measurement takes days.
const TEXT_BYTES_MAX: u64 = 64 << 20;
/// What each part takes of the time, about, beside the others. The whole of a part is this many steps.
const STEPS: u64 = 1_000;
const LOAD: u64 = 1;
const READ: u64 = 10;
const SPEED: u64 = 2;
const SAMPLES: u64 = 4;
const EXAM: u64 = 20;

/// A model that is measured.
pub(crate) struct Subject {
    pub name: String,
    pub model: Option<ModelId>,
    pub path: PathBuf,
    pub scheme: String,
    pub bytes: u64,
    /// Whose template and parameters it answers with.
    pub row: Model,
}

impl Subject {
    pub(crate) fn of(row: Model, file: ModelFile) -> Subject {
        Subject {
            name: row.name.clone(),
            model: Some(row.id),
            path: file.path,
            scheme: row.quantization.clone(),
            bytes: file.bytes,
            row,
        }
    }

    /// Nothing is measured yet.
    fn row(&self) -> ReportRow {
        ReportRow {
            name: self.name.clone(),
            model: self.model,
            scheme: self.scheme.clone(),
            bytes: self.bytes,
            ..ReportRow::default()
        }
    }
}

/// What a report is about.
pub(crate) struct Subjects {
    pub title: String,
    pub source_name: String,
    /// Divergence is from the first that can be measured.
    pub all: Vec<Subject>,
}

/// The work of `Task::Measure`, on a worker thread.
pub(crate) fn measure_models(
    app: &App,
    models: &[ModelId],
    against: Option<ModelId>,
    options: &MeasureOptions,
    tell: Tell<'_>,
    watch: Watch<'_>,
) -> Result<Outcome> {
    let mut all = Vec::new();
    let others = models.iter().copied().filter(|model| Some(*model) != against);
    for model in against.into_iter().chain(others) {
        let (row, file) = app.inner.runtime.block_on(app.loadable_model(model))?;
        all.push(Subject::of(row, file));
    }
    let names: Vec<&str> = all.iter().map(|subject| subject.name.as_str()).collect();
    let (title, source_name) = (names.join(", "), names.first().map(|name| name.to_string()).unwrap_or_default());
    let subjects = Subjects { title, source_name, all };
    Ok(Outcome::Measured { report: measure(app, subjects, options, tell, watch)? })
}

/// Measures all of them, and keeps what was found. What cannot be measured says so in its row; where nothing could be, there
/// is no report, but the first reason.
pub(crate) fn measure(
    app: &App,
    subjects: Subjects,
    options: &MeasureOptions,
    tell: Tell<'_>,
    watch: Watch<'_>,
) -> Result<ReportId> {
    tell("measuring");
    let text = match &options.text {
        Some(path) => text_of(path)?,
        None => CALIBRATION.to_string(),
    };
    let exam = match &options.evaluation {
        Some(evaluation) => Some(Exam::open(&evaluation.path).map_err(|error| failed(&subjects.title, error))?),
        None => None,
    };
    let Subjects { title, source_name, all } = subjects;
    let plan = Plan { options, text: &text, exam: exam.as_ref(), folder: app.usable_storage()? };
    let whole = plan.steps() * all.len() as u64;
    let (mut rows, mut samples, mut base) = (Vec::new(), Vec::new(), None);
    let (mut before, mut failures) = (None, Vec::new());
    let measured = all.iter().enumerate().try_for_each(|(place, subject)| {
        let mut steps = Steps { done: plan.steps() * place as u64, total: whole, watch: &mut *watch };
        let quiet = loading::quiet(app, steps.watch)?;
        let mut row = subject.row();
        let found = plan.measure(app, subject, &mut row, &mut base, &mut samples, &mut steps);
        before = before.take().or(quiet.leave());
        if let Err(error) = found {
            if matches!(error.code, Code::Stopped | Code::Closing) {
                return Err(error);
            }
            tracing::warn!(model = subject.name, %error, "a model was not measured");
            row.problem = Some(error.problem());
            failures.push(error);
            steps.skip_to(plan.steps() * (place as u64 + 1))?;
        }
        rows.push(row);
        Ok::<(), Error>(())
    });
    if let Some(before) = before {
        before.restore(app);
    }
    measured?;
    if failures.len() == rows.len()
        && let Some(first) = failures.into_iter().next()
    {
        return Err(first);
    }
    let report = Report {
        id: ReportId(0),
        title,
        source_name,
        created_ms: 0,
        machine: machine::describe(),
        options: options.clone(),
        rows,
        samples,
    };
    Ok(app.inner.runtime.block_on(app.inner.store.add_report(report))?.id)
}

/// What is measured of every model.
struct Plan<'a> {
    options: &'a MeasureOptions,
    text: &'a str,
    exam: Option<&'a Exam>,
    /// For what takes too much memory.
    folder: PathBuf,
}

impl Plan<'_> {
    fn reads(&self) -> bool {
        self.options.perplexity || self.options.divergence
    }

    /// Of one model.
    fn steps(&self) -> u64 {
        let options = self.options;
        let part = |wanted: bool, weight: u64| if wanted { weight } else { 0 };
        let parts = [
            LOAD,
            part(self.reads(), READ),
            part(options.speed, SPEED),
            part(options.samples, SAMPLES),
            part(self.exam.is_some(), EXAM),
        ];
        STEPS * parts.iter().sum::<u64>()
    }

    fn measure(
        &self,
        app: &App,
        subject: &Subject,
        row: &mut ReportRow,
        base: &mut Option<Base>,
        samples: &mut Vec<Sample>,
        steps: &mut Steps<'_>,
    ) -> Result<()> {
        let wrong = |error| failed(&subject.name, error);
        let load_options = options(&subject.row, context_of(self.options));
        loading::check_room(&subject.name, &subject.path, &load_options)?;
        let meter = PeakMeter::start();
        let (model, loading) = steps.part(LOAD, |watch| {
            measure::load(&subject.path, &load_options, watch).map_err(|error| Error::of_model(&subject.name, error))
        })?;
        let model = Arc::new(model);
        row.load_ms = Some(loading.ms);
        if self.reads() {
            let read = |watch: Watch<'_>| self.read(&model, base, row, watch).map_err(wrong);
            steps.part(READ, read)?;
        }
        if self.options.speed {
            let speed =
                steps.part(SPEED, |watch| measure::speed(&model, &SpeedOptions::default(), watch).map_err(wrong))?;
            row.prefill_tokens_s = Some(speed.prefill.tokens_per_second);
            row.decode_tokens_s = Some(speed.decode.tokens_per_second);
        }
        row.peak_bytes = meter.peak().map(|peak| peak.grown());
        if self.options.samples {
            let said = steps.part(SAMPLES, |watch| self.ask(app, subject, &model, watch).map_err(wrong))?;
            file_answers(samples, &subject.name, said);
        }
        if let (Some(exam), Some(evaluation)) = (self.exam, &self.options.evaluation) {
            let asked = ExamOptions { shots: evaluation.shots as usize, system: parameters::SYSTEM_PROMPT.to_string() };
            let found = steps.part(EXAM, |watch| measure::evaluate(&model, exam, &asked, watch).map_err(wrong))?.total;
            row.accuracy = Some(Accuracy { correct: found.correct as u32, total: found.total as u32 });
        }
        Ok(())
    }

    /// Perplexity, and how far the model is from the first that was read.
    fn read(
        &self,
        model: &huacaya_engine::Model,
        base: &mut Option<Base>,
        row: &mut ReportRow,
        watch: Watch<'_>,
    ) -> measure::Result<()> {
        let cut = Cut { context: self.options.context as usize, windows_max: None };
        let perplexity = match base {
            _ if !self.options.divergence => measure::perplexity(model, self.text, cut, watch)?,
            None => {
                let first = base.insert(Base::read(model, self.text, cut, &self.folder, watch)?);
                *first.perplexity()
            }
            Some(base) => {
                let found = measure::divergence(model, base, watch)?;
                row.divergence = Some(Divergence { mean: found.mean, top_agreement: found.top_agreement });
                found.perplexity
            }
        };
        row.perplexity = Some(Perplexity { value: perplexity.value, error: perplexity.error });
        Ok(())
    }

    fn ask(
        &self,
        app: &App,
        subject: &Subject,
        model: &Arc<huacaya_engine::Model>,
        watch: Watch<'_>,
    ) -> measure::Result<Vec<String>> {
        let filled = parameters::merge(parameters::program(), &subject.row.parameters);
        let asked = SampleOptions {
            system: parameters::SYSTEM_PROMPT.to_string(),
            sampling: parameters::sampling(&filled),
            tokens_max: ANSWER_TOKENS,
        };
        measure::answers(&app.inner.engine, model, measure::questions(), &asked, watch)
    }
}

/// Puts a model's answers under their questions.
fn file_answers(samples: &mut Vec<Sample>, name: &str, said: Vec<String>) {
    for (place, (question, text)) in measure::questions().iter().zip(said).enumerate() {
        let answer = SampleAnswer { name: name.to_string(), text };
        match samples.get_mut(place) {
            Some(sample) => sample.answers.push(answer),
            None => samples.push(Sample { question: question.to_string(), answers: vec![answer] }),
        }
    }
}

/// The progress of one part as its share of the whole.
struct Steps<'a> {
    done: u64,
    total: u64,
    watch: Watch<'a>,
}

impl Steps<'_> {
    fn part<T>(&mut self, weight: u64, work: impl FnOnce(Watch<'_>) -> Result<T>) -> Result<T> {
        let (done, total, watch) = (self.done, self.total, &mut *self.watch);
        let mut of_part = |now: Progress| {
            let share = now.done as f64 / now.total.max(1) as f64;
            watch(Progress { done: done + (share.min(1.0) * (weight * STEPS) as f64) as u64, total })
        };
        let out = work(&mut of_part)?;
        self.done += weight * STEPS;
        Ok(out)
    }

    /// What was to come before this is not done.
    fn skip_to(&mut self, done: u64) -> Result<()> {
        self.done = done;
        match (self.watch)(Progress { done, total: self.total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::stopped()),
        }
    }
}

/// How a model is loaded to be measured: with its template, and without stretched angles.
pub(crate) fn options(row: &Model, context: usize) -> LoadOptions {
    LoadOptions { template: set_template(row).map(str::to_string), ..measure::load_options(context) }
}

/// The longest context that what is wanted needs.
fn context_of(options: &MeasureOptions) -> usize {
    let exam = if options.evaluation.is_some() { EXAM_CONTEXT } else { 0 };
    let samples = if options.samples { SAMPLE_CONTEXT } else { 0 };
    (options.context as usize).max(exam).max(samples)
}

/// A text to measure on, in whatever encoding.
pub(crate) fn text_of(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| Error::unreadable(path, &error))?;
    let read = file.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::unreadable(path, &error))?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        let error = Error::new(Code::AttachmentTooLarge, format!("{}: the text is too large", path.display()));
        let bytes = path.metadata().map_or(TEXT_BYTES_MAX, |metadata| metadata.len());
        return Err(error.with("name", file_name(path)).with("bytes", bytes).with("most", TEXT_BYTES_MAX));
    }
    Ok(read_text(&file_name(path), &bytes)?.0)
}

/// What `engine` could not measure.
pub(crate) fn failed(model: &str, error: measure::Error) -> Error {
    let reason = error.to_string();
    match error {
        measure::Error::Engine(error) => Error::of_model(model, error),
        measure::Error::TextTooShort { tokens, needed } => {
            Error::new(Code::TextTooShort, reason).with("tokens", tokens).with("needed", needed)
        }
        measure::Error::Io { path, source } => Error::unwritable(&path, &source),
        _ => Error::new(Code::MeasureFailed, format!("{model}: {reason}")).with("reason", reason),
    }
}
