//! How models are computed on processors: what the person set, and what a measurement found to be the fastest on this
//! machine.
//!
//! What was found is kept in the setting `tunings`: one entry for each machine and shape of a model. It is measured when a
//! model of that shape is loaded for the first time, and again when the person asks.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use huacaya_engine::{
    AUTO, BACKEND_VARIABLE, CPU, InstructionSet, KERNELS_VARIABLE, Kernels, KvFormat, LoadOptions, Model, Way,
    measure::{self, Freedom, Trial},
    physical_cores,
};
use huacaya_progress::Watch;
use huacaya_store::{JobId, ModelId, setting};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use ts_rs::TS;

use crate::{
    App, Places,
    error::{Error, Result},
    jobs::{Task, Tell},
    now_ms,
    sharing::{self, QUIET, Sharing},
    workshop::machine,
};

const BACKEND: &str = "compute_backend";
const THREADS: &str = "compute_threads";
const KERNELS: &str = "compute_kernels";
const KV: &str = "compute_kv";
/// The setting that keeps what was found.
const TUNINGS: &str = "tunings";
/// The one that keeps which of graphics card and processor was faster.
const RACES: &str = "card_races";
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
            prefill_tokens_per_second: trial.pace.prefill_tokens_per_second,
            decode_tokens_per_second: trial.pace.decode_tokens_per_second,
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

impl Tuned {
    fn holds_for(&self, machine: &str, shape: &str) -> bool {
        self.machine == machine && self.shape == shape
    }
}

/// A graphics card against this machine's processor, at models of one shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Raced {
    machine: String,
    /// The adapter's identity, its driver's version in it.
    card: String,
    shape: String,
    measured_ms: i64,
    /// Tokens a second, read and written.
    card_speed: (f64, f64),
    processor_speed: (f64, f64),
    card_wins: bool,
}

/// What there is to choose from on this machine.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct ComputeChoices {
    /// Names of the instruction sets that its processor has, the best first.
    pub kernels: Vec<String>,
    /// Without hyper-threads: as many threads as are used where nothing says otherwise.
    pub cores: u32,
    pub threads_max: u32,
    pub now: ComputingNow,
}

/// Why it is computed in this way and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// An environment variable forces it.
    Environment,
    /// The person set it.
    Setting,
    /// It was measured to be the fastest.
    Measured,
    /// Nothing says otherwise.
    Usual,
}

/// How the window's model is computed; without one, how the next would be that was not measured.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct ComputingNow {
    /// The name of the model in memory.
    pub model: Option<String>,
    /// "native", "gpu", "candle".
    pub backend: String,
    pub backend_why: Why,
    /// The instruction set, of the native back end only: "avx2", "neon", …
    pub kernels: Option<String>,
    pub kernels_why: Why,
    /// What the environment names instead, where this machine has no such set.
    pub kernels_ignored: Option<String>,
    /// Of the native back end only.
    pub threads: Option<u32>,
    pub threads_why: Why,
    /// What the environment asks for, granted or not, and why no graphics card computes where one could; in English.
    pub reason: Option<String>,
}

/// What a face asks for this process alone, over what the person set.
#[derive(Clone, Debug, Default)]
pub struct Here {
    /// As the setting `device` names it.
    pub device: Option<String>,
    pub threads: Option<usize>,
}

/// What the person set about computing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Computing {
    candle: bool,
    threads: Option<usize>,
    kernels: Option<InstructionSet>,
    kv: Option<KvFormat>,
}

/// Settings by their keys.
type Settings = BTreeMap<String, Value>;

/// A setting's value; absent too where what is stored is not of this type.
fn value<T: DeserializeOwned>(settings: &Settings, key: &str) -> Option<T> {
    serde_json::from_value(settings.get(key)?.clone()).ok()
}

impl Computing {
    fn of(settings: &Settings) -> Computing {
        let name = |key| value::<String>(settings, key);
        Computing {
            candle: name(BACKEND).is_some_and(|name| name == "candle"),
            threads: value(settings, THREADS),
            kernels: name(KERNELS).as_deref().and_then(InstructionSet::from_name).filter(|set| set.is_available()),
            kv: name(KV).as_deref().and_then(KvFormat::from_name),
        }
    }

    pub(crate) fn options(&self) -> LoadOptions {
        let kv = self.kv.unwrap_or_default();
        LoadOptions { candle: self.candle, threads: self.threads, kernels: self.kernels, kv, ..LoadOptions::default() }
    }

    fn freedom(&self) -> Freedom {
        let forced = Kernels::choice().forced;
        Freedom { kernels: self.kernels.is_none() && !forced, threads: self.threads.is_none(), kv: self.kv.is_none() }
    }

    /// With what was asked for once, which goes before it.
    pub(crate) fn under(mut self, threads: Option<usize>, kv: Option<KvFormat>) -> Computing {
        self.threads = threads.or(self.threads);
        self.kv = kv.or(self.kv);
        self
    }

    /// How `model` is computed, or one that would be loaded now.
    fn now(&self, model: Option<&Model>) -> ComputingNow {
        let choice = Kernels::choice();
        let candle = huacaya_engine::candle_is_forced() || self.candle;
        let backend = model.map_or(if candle { "candle" } else { "native" }, Model::backend_name);
        let usual = choice.kernels.set();
        let (kernels, threads) = match model {
            Some(model) => (model.way().map(|way| way.kernels), model.threads()),
            None if candle => (None, None),
            None => {
                let kernels = self.kernels.filter(|_| !choice.forced).unwrap_or(usual);
                (Some(kernels), Some(self.threads.unwrap_or_else(physical_cores)))
            }
        };
        let because = |set: bool, usual: bool| match (set, usual) {
            (true, _) => Why::Setting,
            (false, true) => Why::Usual,
            (false, false) => Why::Measured,
        };
        let asked = huacaya_engine::candle_is_forced().then(|| format!("{BACKEND_VARIABLE}=candle asks for candle"));
        let fell_back = model.and_then(Model::fell_back).map(str::to_string);
        ComputingNow {
            model: model.map(|model| model.description().name.clone()),
            backend: backend.to_string(),
            backend_why: match asked {
                Some(_) => Why::Environment,
                None if self.candle => Why::Setting,
                None => Why::Usual,
            },
            kernels: kernels.map(|set| set.name().to_string()),
            kernels_why: match choice.forced {
                true => Why::Environment,
                false => because(self.kernels.is_some(), kernels.is_none_or(|set| set == usual)),
            },
            kernels_ignored: std::env::var(KERNELS_VARIABLE).ok().filter(|_| !choice.forced && choice.reason.is_some()),
            threads: threads.map(|threads| threads as u32),
            threads_why: because(self.threads.is_some(), threads.is_none_or(|threads| threads == physical_cores())),
            reason: choice
                .reason
                .into_iter()
                .chain(asked)
                .chain(fell_back)
                .reduce(|one, other| format!("{one}; {other}")),
        }
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
        BACKEND => matches!(name, Some("native" | "candle")),
        THREADS => value.as_u64().is_some_and(|count| (1..=threads_max()).contains(&count)),
        KERNELS => name.and_then(InstructionSet::from_name).is_some_and(InstructionSet::is_available),
        KV => name.and_then(KvFormat::from_name).is_some(),
        QUIET => serde_json::from_value::<Sharing>(value.clone()).is_ok(),
        _ => return None,
    })
}

/// More threads than the system runs at once only wait for each other.
fn threads_max() -> u64 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u64)
}

/// Names of the instruction sets that this processor has, the best first.
pub(crate) fn instruction_sets() -> Vec<String> {
    let sets = InstructionSet::ALL.into_iter().rev().filter(|set| set.is_available());
    sets.map(|set| set.name().to_string()).collect()
}

/// What a measurement holds for: another processor, another number of threads or another version may be otherwise.
fn fingerprint() -> String {
    format!("{}, {} cores ({})", machine::describe(), physical_cores(), crate::VERSION)
}

/// What a data folder says about computing, for a face that loads a model without opening the library.
#[derive(Debug)]
pub struct Kept {
    set: Computing,
    device: String,
    slower: Vec<(String, String)>,
    tunings: Vec<Tuned>,
    sharing: Sharing,
}

impl Kept {
    /// Nothing where there is no data folder; none is made. A library that cannot be read is no reason to be without the
    /// model: the log says why.
    pub async fn of(places: &Places) -> Kept {
        let rows = setting::peek(places.home()).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "what is set about computing could not be read");
            Vec::new()
        });
        let settings: Settings = rows.into_iter().map(|row| (row.key, row.value)).collect();
        huacaya_engine::remember_graphics_in(places.home());
        let races: Vec<Raced> = value(&settings, RACES).unwrap_or_default();
        // Nothing is measured here: a card that never won is not tried unless it is asked for.
        let usual = if races.iter().any(|raced| raced.card_wins) { AUTO } else { CPU };
        Kept {
            set: Computing::of(&settings),
            device: value(&settings, "device").unwrap_or_else(|| usual.to_string()),
            slower: slower(races),
            tunings: value(&settings, TUNINGS).unwrap_or_default(),
            sharing: value(&settings, QUIET).unwrap_or_default(),
        }
    }

    /// With what was said elsewhere, which goes before it.
    pub fn under(self, here: Here, kv: Option<KvFormat>) -> Kept {
        Kept { set: self.set.under(here.threads, kv), device: here.device.unwrap_or(self.device), ..self }
    }

    pub fn options(&self) -> LoadOptions {
        LoadOptions { device: Some(self.device.clone()), slower: self.slower.clone(), ..self.set.options() }
    }

    /// Has the model computed as was found to be the fastest for its shape on this machine, where it was measured, but for
    /// what keys and values are kept in: that alone changes what a seed gives. Nothing is measured.
    pub fn apply(&self, model: &mut Model) -> huacaya_engine::Result<()> {
        if let Some(own) = model.way()
            && !self.tunings.is_empty()
        {
            let machine = fingerprint();
            let shape = &model.description().shape;
            let known = self.tunings.iter().find(|tuned| tuned.holds_for(&machine, shape));
            if let Some(way) = known.and_then(|tuned| tuned.chosen.way()) {
                let way = Way { kv: own.kv, ..self.set.within(way, own) };
                if way != own {
                    model.compute(&way)?;
                }
            }
        }
        Ok(())
    }

    /// Leaves a core free where the person wants that: always, or while other programs compute.
    pub fn share(&self, model: &Arc<Model>) {
        sharing::follow_alone(model, self.sharing);
    }
}

/// Leaves a model on the graphics card that nobody asked for where that is faster than the processor, and measures whether it is where nobody did.
/// A measurement that fails is no reason to be without the model; one that is stopped stops the load.
pub(crate) fn race(app: &App, model: &mut Model, again: bool, tell: Tell<'_>, watch: Watch<'_>) -> Result<()> {
    let runtime = &app.inner.runtime;
    let Some(card) = model.chosen_card() else { return Ok(()) };
    let (machine, shape) = (fingerprint(), model.description().shape.clone());
    let mut all: Vec<Raced> = runtime.block_on(app.setting(RACES))?.unwrap_or_default();
    let same = |raced: &Raced| raced.machine == machine && raced.card == card && raced.shape == shape;
    // One that the processor won is not on the card.
    if !again && all.iter().any(same) {
        return Ok(());
    }
    tell("tuning");
    let race = match measure::race(model, if again { BUDGET_ASKED } else { BUDGET }, watch) {
        Ok(Some(race)) => race,
        Ok(None) => return Ok(()),
        Err(error) if error.is_stopped() => return Err(Error::stopped()),
        Err(error) => {
            tracing::warn!(%error, "whether the graphics card is faster could not be measured");
            return Ok(());
        }
    };
    tracing::info!(card, ?race, "the graphics card was measured beside the processor");
    let pair = |pace: measure::Pace| (pace.prefill_tokens_per_second, pace.decode_tokens_per_second);
    let (card_speed, processor_speed) = (pair(race.card), pair(race.processor));
    let card_wins = race.card_wins();
    all.retain(|raced| !same(raced));
    all.insert(0, Raced { machine, card, shape, measured_ms: now_ms(), card_speed, processor_speed, card_wins });
    all.truncate(KEPT_MAX);
    let value = serde_json::to_value(&all).map_err(Error::internal)?;
    runtime.block_on(app.inner.store.set_setting(RACES, value))?;
    if !card_wins {
        let (name, here, there) = (model.device().to_string(), processor_speed.1, card_speed.1);
        let reason = format!("{name}: the processor is faster ({here:.1} tokens/s against {there:.1})");
        model.leave_card(reason).map_err(|error| Error::of_model(&model.description().name, error))?;
    }
    Ok(())
}

/// Graphics cards that this machine's processor beat, with the shapes of the models.
fn slower(races: Vec<Raced>) -> Vec<(String, String)> {
    let machine = fingerprint();
    let beaten = races.into_iter().filter(|raced| raced.machine == machine && !raced.card_wins);
    beaten.map(|raced| (raced.card, raced.shape)).collect()
}

/// Has a model computed in the way that is the fastest here, and measures which that is where nobody did. A measurement that
/// fails is no reason to be without the model; one that is stopped stops the load.
pub(crate) fn tune(
    app: &App,
    id: ModelId,
    model: &mut Model,
    set: &Computing,
    again: bool,
    tell: Tell<'_>,
    watch: Watch<'_>,
) -> Result<()> {
    let runtime = &app.inner.runtime;
    let Some(own) = model.way() else { return Ok(()) };
    let (machine, shape) = (fingerprint(), model.description().shape.clone());
    let mut all: Vec<Tuned> = runtime.block_on(app.setting(TUNINGS))?.unwrap_or_default();
    let known = all.iter().find(|tuned| tuned.holds_for(&machine, &shape));
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
            all.retain(|tuned| !tuned.holds_for(&machine, &shape));
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

    /// Where models are computed: "auto", "cpu", "gpu:vulkan Arc", …
    pub(crate) async fn device(&self) -> Result<String> {
        match self.inner.here.get().and_then(|here| here.device.clone()) {
            Some(device) => Ok(device),
            None => Ok(self.setting("device").await?.unwrap_or_else(|| AUTO.to_string())),
        }
    }

    /// Graphics cards that the processor beat, with the shapes of the models.
    pub(crate) async fn slower_cards(&self) -> Result<Vec<(String, String)>> {
        Ok(slower(self.setting(RACES).await?.unwrap_or_default()))
    }

    /// What the person set about computing.
    pub(crate) async fn computing(&self) -> Result<Computing> {
        let mut settings = Settings::new();
        for key in [BACKEND, THREADS, KERNELS, KV] {
            settings.extend(self.setting(key).await?.map(|value| (key.to_string(), value)));
        }
        let here = self.inner.here.get().and_then(|here| here.threads);
        Ok(Computing::of(&settings).under(here, None))
    }

    /// What there is to choose from on this machine.
    pub(crate) async fn compute_choices(&self) -> Result<ComputeChoices> {
        Ok(ComputeChoices {
            kernels: instruction_sets(),
            cores: physical_cores() as u32,
            threads_max: threads_max() as u32,
            now: self.computing_now().await?,
        })
    }

    /// How the window's model is computed; without one, how the next would be.
    pub(crate) async fn computing_now(&self) -> Result<ComputingNow> {
        let loaded = self.inner.place.of_window();
        Ok(self.computing().await?.now(loaded.as_ref().map(|loaded| &*loaded.model)))
    }

    /// What was measured for models of this one's shape on this machine, with whichever of them it was.
    pub(crate) async fn tuning(&self, model: ModelId) -> Result<Option<Tuned>> {
        let (row, file) = self.loadable_model(model).await?;
        let all: Vec<Tuned> = self.setting(TUNINGS).await?.unwrap_or_default();
        crate::blocking(move || {
            let found = Model::describe(&file.path, None).map_err(|error| Error::of_model(&row.name, error))?;
            let machine = fingerprint();
            Ok(all.into_iter().find(|tuned| tuned.holds_for(&machine, &found.shape)))
        })
        .await
    }

    /// Measures again which way of computing is the fastest, as a job that loads the model.
    pub(crate) async fn tune_model(&self, model: ModelId) -> Result<JobId> {
        let (row, _) = self.loadable_model(model).await?;
        Ok(self
            .start_job(Task::Load { model, name: row.name, context: None, kv: None, anyway: false, tune: true })
            .await?
            .id)
    }
}
