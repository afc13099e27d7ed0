//! A model ready to compute: weights, kernels, threads, and how the cache is laid out.

use std::sync::{Arc, OnceLock};

use huacaya_kernels::{Kernels, Pool, physical_cores};
use huacaya_progress::Watch;

use super::kv::{KvFormat, Layout};
use super::load::{Need, Weights, load};
use crate::Result;
use crate::config::Config;
use crate::source::Source;

/// How to compute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub kernels: &'static Kernels,
    /// `None`: as many as there are cores that computing pays on.
    pub threads: Option<usize>,
    /// Rows of a step.
    pub chunk: usize,
    pub kv: KvFormat,
}

/// Which activations a layer's products need.
pub(super) struct Needs {
    pub query: Need,
    pub query_key_value: Need,
    pub attention_output: Need,
    pub gate_up: Need,
    pub down: Need,
}

/// Immutable; each back end over it has buffers and sequences of its own.
pub(crate) struct Decoder {
    pub config: Config,
    pub settings: Settings,
    pub(super) weights: Arc<Weights>,
    pub(super) pool: Arc<Pool>,
    pub(super) layout: Layout,
    pub(super) needs: Vec<Needs>,
    pub(super) output_need: Need,
}

impl Decoder {
    /// Finds the weights and brings them in. The watch counts bytes of the file.
    pub fn open(source: Source, config: &Config, settings: Settings, watch: Watch<'_>) -> Result<Decoder> {
        let layout = Layout::of(config, settings.kv)?;
        let pool = pool(settings.threads);
        let weights = Arc::new(load(source, config, &pool, watch)?);
        Ok(Decoder::over(weights, config, settings, layout, pool))
    }

    /// The same model computed in another way, over the same weights.
    pub fn again(&self, settings: Settings) -> Result<Decoder> {
        let layout = Layout::of(&self.config, settings.kv)?;
        Ok(Decoder::over(self.weights.clone(), &self.config, settings, layout, pool(settings.threads)))
    }

    fn over(weights: Arc<Weights>, config: &Config, settings: Settings, layout: Layout, pool: Arc<Pool>) -> Decoder {
        let needs = weights.layers.iter().map(|layer| Needs {
            query: Need::of(&[&layer.query.weight]),
            query_key_value: Need::of(&[&layer.query.weight, &layer.key.weight, &layer.value.weight]),
            attention_output: Need::of(&[&layer.attention_output.weight]),
            gate_up: Need::of(&[&layer.gate.weight, &layer.up.weight]),
            down: Need::of(&[&layer.down.weight]),
        });
        let (needs, output_need) = (needs.collect(), Need::of(&[&weights.output().weight]));
        Decoder { config: config.clone(), settings, weights, pool, layout, needs, output_need }
    }

    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Leaves a core free while the person uses the machine. Models without a number of threads of their own share theirs.
    pub fn set_quiet(&self, quiet: bool) {
        self.pool.set_quiet(quiet);
    }
}

/// The process's threads, or some of a model's own where another number is wanted.
fn pool(threads: Option<usize>) -> Arc<Pool> {
    static SHARED: OnceLock<Arc<Pool>> = OnceLock::new();
    let cores = physical_cores();
    match threads {
        Some(threads) if threads != cores => Arc::new(Pool::new(threads)),
        _ => SHARED.get_or_init(|| Arc::new(Pool::new(cores))).clone(),
    }
}
