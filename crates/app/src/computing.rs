//! How models are computed on processors: what the person set, and what a measurement found to be the fastest on this
//! machine.
//!
//! What was found is kept in the setting `tunings`: one entry for each machine and shape of a model. It is measured when a
//! model of that shape is loaded for the first time, and again when the person asks.

use std::time::Duration;

use huacaya_engine::{
    InstructionSet, KvFormat, LoadOptions, Model, Way,
    measure::{self, Freedom, Trial},
};
use huacaya_progress::Watch;
use huacaya_store::{JobId, ModelId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ts_rs::TS;

use crate::{
    App,
    error::{Error, Result},
    jobs::{Task, Tell},
    now_ms,
    workshop::machine,
};

/// The setting that keeps what was found.
const TUNINGS: &str = "tunings";
/// Whether a core is left free for other programs.
pub(crate) const QUIET: &str = "compute_quiet";
/// A first answer waits for this long at most, about.
const BUDGET: Duration = Duration::from_secs(5);
/// Who asks for a measurement gets a better one.
const BUDGET_ASKED: Duration = Duration::from_secs(20);
/// Smaller models write faster than anybody reads, however they are computed.
const BYTES_MIN: u64 = 100 << 20;
/// A list that nobody reads to its end.
const KEPT_MAX: usize = 64;

/// A way of computing, and how fast it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Pace {
    /// "avx2", "avx512", "neon", …
    pub kernels: String,
    pub threads: u32,
    /// Rows of a step.
    pub chunk: u32,
    /// What keys and values are kept in: "f16", "q8_0", "q4_0".
    pub kv: String,
    pub prefill_tokens_per_second: f64,
    pub decode_tokens_per_second: f64,
}

impl Pace {
    fn of(trial: &Trial) -> Pace {
        Pace {
            kernels: trial.way.kernels.name().to_string(),
            threads: trial.way.threads as u32,
            chunk: trial.way.chunk as u32,
            kv: trial.way.kv.name().to_string(),
            prefill_tokens_per_second: trial.prefill_tokens_per_second,
            decode_tokens_per_second: trial.decode_tokens_per_second,
        }
    }

    /// `None` where the words are of another version.
    fn way(&self) -> Option<Way> {
        Some(Way {
            kernels: InstructionSet::from_name(&self.kernels).filter(|set| set.is_available())?,
            threads: self.threads as usize,
            chunk: self.chunk as usize,
            kv: KvFormat::from_name(&self.kv)?,
        })
    }
}

/// What was found for models of one shape on one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Tuned {
    pub machine: String,
    pub shape: String,
    /// The model that it was measured with.
    pub model: ModelId,
    pub measured_ms: i64,
    pub default: Pace,
    /// The same, where nothing was faster.
    pub chosen: Pace,
    /// Ways that were tried beside the default.
    pub tried: u32,
}

/// What there is to choose from on this machine.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct ComputeChoices {
    /// Names of the instruction sets that its processor has, the best first.
    pub kernels: Vec<String>,
    /// Without hyper-threads: as many threads as are used where nothing says otherwise.
    pub cores: u32,
    pub threads_max: u32,
}

/// What a face asks for this process alone, over what the person set.
#[derive(Clone, Debug, Default)]
pub struct Here {
    /// As the setting `device` names it.
    pub device: Option<String>,
    pub threads: Option<usize>,
}

/// What the person set about computing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Computing {
    candle: bool,
    threads: Option<usize>,
    kernels: Option<InstructionSet>,
    kv: Option<KvFormat>,
}

impl Computing {
    pub(crate) fn options(&self) -> LoadOptions {
        let kv = self.kv.unwrap_or_default();
        LoadOptions { candle: self.candle, threads: self.threads, kernels: self.kernels, kv, ..LoadOptions::default() }
    }

    fn freedom(&self) -> Freedom {
        let forced = std::env::var_os(huacaya_engine::KERNELS_VARIABLE).is_some();
        Freedom { kernels: self.kernels.is_none() && !forced, threads: self.threads.is_none(), kv: self.kv.is_none() }
    }

    /// What was found, but for what the person set, as far as the model can: `own` is how it was loaded with that.
    fn within(&self, found: Way, own: Way) -> Way {
        let free = self.freedom();
        Way {
            kernels: if free.kernels { found.kernels } else { own.kernels },
            threads: if free.threads { found.threads } else { own.threads },
            kv: if free.kv { found.kv } else { own.kv },
            ..found
        }
    }
}

/// Whether a setting about computing can hold this value; `None` where it is another setting.
pub(crate) fn fits(key: &str, value: &Value) -> Option<bool> {
    let name = value.as_str();
    Some(match key {
        "compute_backend" => matches!(name, Some("native" | "candle")),
        "compute_threads" => value.as_u64().is_some_and(|count| (1..=threads_max()).contains(&count)),
        "compute_kernels" => name.and_then(InstructionSet::from_name).is_some_and(InstructionSet::is_available),
        "compute_kv" => name.and_then(KvFormat::from_name).is_some(),
        QUIET => value.is_boolean(),
        _ => return None,
    })
}

/// More threads than the system runs at once only wait for each other.
fn threads_max() -> u64 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u64)
}

/// What must agree for a model to be computed as fast: all but the values of the weights.
fn shape(model: &Model) -> String {
    let config = model.config();
    let heads = format!("{}/{}x{}", config.heads, config.kv_heads, config.head_size);
    format!(
        "{} {} layers, {} wide, {heads} heads, {} ffn, {} pieces, {}",
        config.architecture.name(),
        config.layers,
        config.hidden,
        config.ffn,
        config.vocabulary,
        model.description().quantization
    )
}

/// What a measurement holds for: another processor, another number of threads or another version may be otherwise.
fn fingerprint() -> String {
    format!("{}, {} cores ({})", machine::describe(), huacaya_engine::physical_cores(), crate::VERSION)
}

/// Has a model computed in the way that is the fastest here, and measures which that is where nobody did. A measurement that
/// fails is no reason to be without the model; one that is stopped stops the load.
pub(crate) fn tune(
    app: &App,
    id: ModelId,
    model: &mut Model,
    again: bool,
    tell: Tell<'_>,
    watch: Watch<'_>,
) -> Result<()> {
    let runtime = &app.inner.runtime;
    let set = runtime.block_on(app.computing())?;
    let Some(own) = model.way() else { return Ok(()) };
    let (machine, shape) = (fingerprint(), shape(model));
    let mut all: Vec<Tuned> = runtime.block_on(app.setting(TUNINGS))?.unwrap_or_default();
    let known = all.iter().find(|tuned| tuned.machine == machine && tuned.shape == shape);
    let chosen = match known.filter(|_| !again).and_then(|tuned| tuned.chosen.way()) {
        Some(way) => way,
        None if !again && model.memory().weights < BYTES_MIN => return Ok(()),
        None => {
            tell("tuning");
            let budget = if again { BUDGET_ASKED } else { BUDGET };
            let found = match measure::tune(model, set.freedom(), budget, watch) {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(()),
                Err(error) if error.is_stopped() => return Err(Error::stopped()),
                Err(error) => {
                    tracing::warn!(%error, "the fastest way to compute could not be measured");
                    return Ok(());
                }
            };
            all.retain(|tuned| tuned.machine != machine || tuned.shape != shape);
            all.insert(
                0,
                Tuned {
                    machine,
                    shape,
                    model: id,
                    measured_ms: now_ms(),
                    default: Pace::of(&found.default),
                    chosen: Pace::of(&found.chosen),
                    tried: found.tried as u32,
                },
            );
            all.truncate(KEPT_MAX);
            let value = serde_json::to_value(&all).map_err(Error::internal)?;
            runtime.block_on(app.inner.store.set_setting(TUNINGS, value))?;
            found.chosen.way
        }
    };
    let way = set.within(chosen, own);
    if own != way {
        tracing::info!(?way, "computed as a measurement found fastest");
        model.compute(&way).map_err(|error| Error::of_model(&model.description().name, error))?;
    }
    Ok(())
}

impl App {
    /// Models that are loaded from now on are computed so in this process. What was asked first holds.
    pub fn compute_here(&self, here: Here) {
        self.inner.here.get_or_init(|| here);
    }

    /// Where models are computed: "cpu", "gpu:0", …; none: where the program would.
    pub(crate) async fn device(&self) -> Result<Option<String>> {
        match self.inner.here.get().and_then(|here| here.device.clone()) {
            Some(device) => Ok(Some(device)),
            None => self.setting("device").await,
        }
    }

    /// What the person set about computing.
    pub(crate) async fn computing(&self) -> Result<Computing> {
        let kernels: Option<String> = self.setting("compute_kernels").await?;
        let kv: Option<String> = self.setting("compute_kv").await?;
        Ok(Computing {
            candle: self.setting::<String>("compute_backend").await?.is_some_and(|name| name == "candle"),
            threads: self.inner.here.get().and_then(|here| here.threads).or(self.setting("compute_threads").await?),
            kernels: kernels.as_deref().and_then(InstructionSet::from_name).filter(|set| set.is_available()),
            kv: kv.as_deref().and_then(KvFormat::from_name),
        })
    }

    /// What there is to choose from on this machine.
    pub(crate) async fn compute_choices(&self) -> Result<ComputeChoices> {
        let sets = InstructionSet::ALL.into_iter().rev().filter(|set| set.is_available());
        Ok(ComputeChoices {
            kernels: sets.map(|set| set.name().to_string()).collect(),
            cores: huacaya_engine::physical_cores() as u32,
            threads_max: threads_max() as u32,
        })
    }

    /// Leaves a core free from now on, or takes it again: also for the models in memory.
    pub(crate) fn set_quiet(&self, quiet: bool) {
        for loaded in self.inner.place.all() {
            loaded.model.set_quiet(quiet);
        }
    }

    /// Measures again which way of computing is the fastest, as a job that loads the model.
    pub(crate) async fn tune_model(&self, model: ModelId) -> Result<JobId> {
        let (row, _) = self.loadable_model(model).await?;
        Ok(self.start_job(Task::Load { model, name: row.name, context: None, anyway: false, tune: true }).await?.id)
    }
}
