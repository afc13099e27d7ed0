//! What a face asks of the workshop, checked before a job is put down for it.

use huacaya_store::{ChatId, Evaluation, JobId, MeasureOptions, Model, ModelId, ModelKind};
use huacaya_weights::{
    Format,
    quantize::{Group, Scheme, Wanted},
};

use super::{ImportanceFrom, ImportanceSource, MeasureRequest, Output, Strength, Target};
use crate::{
    App,
    chats::one_line,
    chosen::Purpose,
    error::{Code, Error, Result},
    jobs::Task,
    model_files::is_gguf,
};

/// More than there are schemes: all of them, and some by hand.
const TARGETS_MAX: usize = 32;
/// Nobody looks at more side by side, and each is measured.
const MEASURED_MAX: usize = 32;
/// More adapters than anyone merges.
const ADAPTERS_MAX: usize = 16;
/// Beyond it nothing sensible comes out.
const STRENGTH_MOST: f32 = 8.0;
/// The windows that published tables use, in tokens.
const CONTEXTS: [u32; 2] = [512, 4096];
/// The examples before a question that published tables use.
const SHOTS: [u32; 2] = [0, 5];

/// What a face asks to have made.
pub struct Making {
    pub name: String,
    pub source: ModelId,
    pub adapters: Vec<Strength>,
    pub targets: Vec<Target>,
    pub importance: Option<ImportanceFrom>,
    pub measure: Option<MeasureRequest>,
    pub output: Output,
}

impl App {
    pub(crate) async fn make(&self, making: Making) -> Result<JobId> {
        let Making { name, source, adapters, mut targets, importance, measure, output } = making;
        let (row, file) = self.loadable_model(source).await?;
        self.check_adapters(&adapters).await?;
        if !adapters.is_empty() && is_gguf(&file.path) {
            return Err(needs_folder(&row));
        }
        if targets.is_empty() || targets.len() > TARGETS_MAX {
            return Err(unfit("choose at least one format"));
        }
        for target in &mut targets {
            // As files are called, in whatever letters it was asked for.
            target.scheme = wanted(target, false)?.scheme.name().to_string();
        }
        if output == Output::Folder && adapters.is_empty() {
            return Err(unfit("a folder is written of a model that is merged with an adapter"));
        }
        let importance = importance.map(|from| self.importance_source(from)).transpose()?;
        let measure = measure.map(|request| self.measure_options(&request)).transpose()?;
        let name = match one_line(&name)? {
            name if name.is_empty() => row.name,
            name => name,
        };
        let turn = self.inner.jobs.starting.lock().await;
        let files = self.free_names(&name, &targets, output).await?;
        let task = Task::Make { name, source, adapters, targets, importance, measure, output, files };
        let started = self.start_job(task).await?;
        drop(turn);
        Ok(started.id)
    }

    pub(crate) async fn measure_side_by_side(
        &self,
        models: Vec<ModelId>,
        against: Option<ModelId>,
        options: MeasureRequest,
    ) -> Result<JobId> {
        if models.is_empty() || models.len() > MEASURED_MAX {
            return Err(unfit("choose at least one model"));
        }
        let options = self.measure_options(&options)?;
        let mut names = Vec::new();
        for model in models.iter().chain(&against) {
            names.push(self.loadable_model(*model).await?.0.name);
        }
        names.truncate(models.len());
        let name = names.join(", ").chars().take(NAME_SHOWN).collect();
        Ok(self.start_job(Task::Measure { name, models, against, options }).await?.id)
    }

    pub(crate) async fn set_adapters(&self, chat: ChatId, adapters: Vec<Strength>) -> Result<()> {
        self.check_adapters(&adapters).await?;
        self.inner.store.update_chat(chat, |row| row.adapters = adapters).await?;
        Ok(())
    }

    pub(super) async fn check_adapters(&self, adapters: &[Strength]) -> Result<()> {
        if adapters.len() > ADAPTERS_MAX {
            return Err(unfit("these are too many adapters"));
        }
        for Strength { model, strength } in adapters {
            if !strength.is_finite() || strength.abs() > STRENGTH_MOST {
                let detail = format!("an adapter's strength is {strength}");
                let error = Error::new(Code::ParameterInvalid, detail).with("parameter", "strength");
                return Err(error.with("value", strength).with("least", -STRENGTH_MOST).with("most", STRENGTH_MOST));
            }
            let row = self.inner.store.model(*model).await?;
            if row.kind != ModelKind::Adapter {
                return Err(refused(&format!("{} is no LoRA adapter", row.name)));
            }
        }
        Ok(())
    }

    fn importance_source(&self, from: ImportanceFrom) -> Result<ImportanceSource> {
        let path = |chosen| self.chosen(chosen, Purpose::Read);
        Ok(match from {
            ImportanceFrom::Bundled => ImportanceSource::Bundled,
            ImportanceFrom::Text { chosen } => ImportanceSource::Text { path: path(chosen)? },
            ImportanceFrom::File { chosen } => ImportanceSource::File { path: path(chosen)? },
        })
    }

    fn measure_options(&self, request: &MeasureRequest) -> Result<MeasureOptions> {
        let path = |chosen| self.chosen(chosen, Purpose::Read);
        if !CONTEXTS.contains(&request.context) {
            return Err(unfit("perplexity is measured in windows of 512 or 4096 tokens"));
        }
        let evaluation = request.evaluation.map(|asked| {
            if !SHOTS.contains(&asked.shots) {
                return Err(unfit("questions are asked after 0 or 5 examples"));
            }
            Ok(Evaluation { path: path(asked.chosen)?, shots: asked.shots })
        });
        Ok(MeasureOptions {
            perplexity: request.perplexity,
            context: request.context,
            text: request.text.map(path).transpose()?,
            divergence: request.divergence,
            speed: request.speed,
            samples: request.samples,
            evaluation: evaluation.transpose()?,
        })
    }
}

/// Names of a job are one line in a narrow list.
const NAME_SHOWN: usize = 200;

/// What `weights` is to quantize to.
pub(crate) fn wanted(target: &Target, weighted: bool) -> Result<Wanted> {
    let unknown = |what: &str| {
        Error::new(Code::SchemeUnknown, format!("{what}: there is no quantization of this name")).with("scheme", what)
    };
    let scheme = Scheme::from_name(&target.scheme).ok_or_else(|| unknown(&target.scheme))?;
    let by_hand = target.by_hand.iter().map(|one| {
        let group = Group::ALL.into_iter().find(|group| group.name() == one.group);
        let format = Format::from_name(&one.format.to_ascii_uppercase());
        Ok((group.ok_or_else(|| unknown(&one.group))?, format.ok_or_else(|| unknown(&one.format))?))
    });
    Ok(Wanted { scheme, by_hand: by_hand.collect::<Result<_>>()?, weighted })
}

/// Adapters are merged into the weights that they were trained on, not into what a quantization left of them.
pub(crate) fn needs_folder(row: &Model) -> Error {
    refused(&format!(
        "{} is a GGUF file; adapters are merged into the original weights: choose the model's folder (safetensors or .bin), or attach the adapter to a chat without merging",
        row.name
    ))
}

pub(crate) fn refused(reason: &str) -> Error {
    Error::new(Code::MergeRefused, reason).with("reason", reason)
}

pub(crate) fn unfit(reason: &str) -> Error {
    Error::new(Code::Unfit, reason).with("reason", reason)
}
