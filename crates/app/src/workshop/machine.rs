//! This machine: what it is called in a report, and how fast it is, from measurements of well under a second each that are
//! kept until the machine is another one.

use std::{
    fs,
    hint::black_box,
    ops::ControlFlow,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use huacaya_engine::{Memory, config::Config};
use huacaya_store::ReportRow;
use huacaya_weights::{convert, quantize::Scheme};
use serde::{Deserialize, Serialize};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use super::{
    making::threads,
    weights::{self, Order},
};
use crate::{
    App, blocking,
    error::{Error, Result},
    import::DEMO_FILE,
    loading,
};

/// The setting that keeps what was measured.
const SETTING: &str = "machine_speed";
/// More than any processor's cache holds, so that memory is what is measured.
const READ_BYTES: usize = 256 << 20;
/// The best of several is what the machine can do when nothing is in the way.
const READ_ROUNDS: usize = 3;
/// A machine with little memory is not filled for a guess.
const READ_SHARE: u64 = 8;
/// The scheme that quantizing is timed with: one of the slow ones, and the most used.
const TIMED: Scheme = Scheme::Q4_K_M;
/// The timing is stopped after this; what was done by then counts.
const TIMED_MAX: Duration = Duration::from_millis(1_500);
/// Of what memory can give, this much arrives when a model is read for a token: the rest goes to computing and to waiting
/// for each other. On the low side of what programs reach (40 to 92 %), until a report tells what models get here.
const SHARE_USUAL: f64 = 0.5;
/// Smaller models spend their time otherwise than by reading.
const TELLING_BYTES: u64 = 200 << 20;

/// How fast this machine is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Speed {
    /// The machine that it was measured on.
    machine: String,
    /// Drawn from memory by all cores.
    bytes_per_second: f64,
    /// Numbers that are quantized in a second; absent where there was nothing to time it with.
    numbers_per_second: Option<f64>,
    /// How much of `bytes_per_second` models get, by the newest report that was made here.
    #[serde(skip)]
    share: Option<f64>,
}

impl Speed {
    /// About how many tokens of an answer come in a second, for memory is what decoding waits for:
    ///
    /// `bytes_per_second * share / (bytes of the weights but the embeddings + bytes of keys and values at half the context)`
    ///
    /// Every token reads each weight once, of the embeddings one row, and what is kept of the tokens before it: on the way
    /// through the context half of it.
    pub(crate) fn decode(&self, config: &Config, memory: &Memory, file_bytes: u64) -> f64 {
        let numbers = config.parameter_count();
        let embeddings = if config.tied { 0 } else { (config.vocabulary * config.hidden) as u64 };
        // Weights that are unpacked to be computed with are read as they are then.
        let unpacked = memory.weights >= numbers * UNPACKED_BYTES;
        let bytes = if unpacked { memory.weights } else { file_bytes };
        let weights = bytes as f64 * (1.0 - embeddings as f64 / numbers.max(1) as f64);
        let read = weights + memory.kv() as f64 / 2.0;
        self.bytes_per_second * self.share.unwrap_or(SHARE_USUAL) / read.max(1.0)
    }

    /// About how long quantizing a model of so many numbers takes.
    pub(crate) fn quantizing_seconds(&self, numbers: u64) -> Option<f64> {
        self.numbers_per_second.map(|speed| numbers as f64 / speed)
    }
}

/// f32.
const UNPACKED_BYTES: u64 = 4;

/// Processor, threads, memory and system.
pub(crate) fn describe() -> String {
    let kinds =
        RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()).with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(kinds).ok();
    let brand = system.as_ref().and_then(|system| Some(system.cpus().first()?.brand().trim().to_string()));
    let brand = brand.filter(|brand| !brand.is_empty()).unwrap_or_else(|| std::env::consts::ARCH.to_string());
    let gib = system.map_or(0.0, |system| system.total_memory() as f64 / f64::from(1 << 30));
    format!("{brand}, {} threads, {gib:.0} GiB, {}", threads(), std::env::consts::OS)
}

impl App {
    /// Measured now, or at an earlier time on this machine by this version.
    pub(crate) async fn machine_speed(&self) -> Result<Speed> {
        let machine = describe();
        let seen = self.bytes_seen(&machine).await?;
        let share = |measured: &Speed| seen.map(|seen| seen / measured.bytes_per_second);
        let of_version = format!("{machine} ({})", crate::VERSION);
        let known: Option<Speed> = self.setting(SETTING).await?;
        if let Some(known) = known.filter(|known| known.machine == of_version) {
            return Ok(Speed { share: share(&known), ..known });
        }
        let sample = self.storage().join(DEMO_FILE);
        let scratch = self.inner.places.home().join(format!("timing-{}", std::process::id()));
        let measured = blocking(move || {
            let numbers_per_second = quantizing(&sample, &scratch);
            Ok(Speed { machine: of_version, bytes_per_second: reading(), numbers_per_second, share: None })
        });
        let measured = measured.await?;
        let value = serde_json::to_value(&measured).map_err(Error::internal)?;
        self.inner.store.set_setting(SETTING, value).await?;
        Ok(Speed { share: share(&measured), ..measured })
    }

    /// The bytes of models that decoding reads in a second on this machine, by the newest report that tells.
    async fn bytes_seen(&self, machine: &str) -> Result<Option<f64>> {
        let mut reports = self.inner.store.snapshot().await?.reports;
        reports.sort_by_key(|report| std::cmp::Reverse((report.created_ms, report.id)));
        Ok(reports.iter().filter(|report| report.machine == machine).find_map(|report| bytes_in(&report.rows)))
    }
}

/// The middle of what large models got.
fn bytes_in(rows: &[ReportRow]) -> Option<f64> {
    let large = rows.iter().filter(|row| row.bytes >= TELLING_BYTES);
    let mut seen: Vec<f64> = large.filter_map(|row| Some(row.decode_tokens_s? * row.bytes as f64)).collect();
    seen.sort_by(f64::total_cmp);
    seen.get(seen.len() / 2).copied()
}

/// Bytes in a second that all cores together draw from memory.
fn reading() -> f64 {
    let bytes = READ_BYTES.min((loading::free_bytes() / READ_SHARE) as usize).max(1 << 20);
    // Not zeros: those may all be one page of memory.
    let block: Vec<u64> = (0..bytes as u64 / 8).collect();
    let read = || {
        let start = Instant::now();
        thread::scope(|scope| {
            for part in block.chunks(block.len().div_ceil(threads()).max(1)) {
                scope.spawn(|| black_box(part.iter().fold(0u64, |sum, value| sum.wrapping_add(*value))));
            }
        });
        bytes as f64 / start.elapsed().as_secs_f64().max(1e-9)
    };
    (0..READ_ROUNDS).map(|_| read()).fold(0.0, f64::max)
}

/// Numbers in a second, from quantizing a small model.
fn quantizing(sample: &Path, scratch: &Path) -> Option<f64> {
    let wanted = weights::plain(TIMED);
    let (tensors, _) = convert::target(sample, &[], &wanted).ok()?;
    let numbers: u64 = tensors.iter().map(|tensor| tensor.dimensions.iter().product::<u64>()).sum();
    let order = Order { adapters: &[], wanted: &wanted, importance: None };
    let start = Instant::now();
    let mut share = 0.0;
    let made = weights::make(sample, scratch, &order, &mut |now| {
        share = now.done as f64 / now.total.max(1) as f64;
        if start.elapsed() < TIMED_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let seconds = start.elapsed().as_secs_f64();
    if made.is_ok()
        && let Err(error) = fs::remove_file(scratch)
    {
        tracing::warn!(path = %scratch.display(), %error, "a scratch file was not removed");
    }
    (share > 0.0).then(|| numbers as f64 * share / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_for_a_token_tells_the_speed() {
        let text = r#"{"architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "num_hidden_layers": 32,
            "num_attention_heads": 32, "intermediate_size": 11008, "vocab_size": 55296,
            "max_position_embeddings": 4096, "rms_norm_eps": 1e-5}"#;
        let config = Config::from_json(&serde_json::from_str(text).unwrap()).unwrap();
        let speed =
            Speed { machine: String::new(), bytes_per_second: 20e9, numbers_per_second: Some(7e7), share: Some(1.0) };
        let memory = Memory::expected(&config, 4096, |_| huacaya_weights::Format::Q4_0).unwrap();
        // 55,296 * 4,096 of 6,929,256,448 numbers are embeddings: 3.27 %. 20 GB/s over 3.96 GB, and over the keys and values
        // of 2,048 tokens.
        let kv = 2048.0 * memory.kv_per_token as f64 / 1e9;
        let predicted = speed.decode(&config, &memory, 3_960_000_000);
        assert!((predicted - 20.0 / (3.96 * (1.0 - 0.0327) + kv)).abs() < 0.01, "{predicted}");
        let short = memory.at(512);
        assert!(speed.decode(&config, &short, 3_960_000_000) > predicted, "a shorter context is read faster");
        assert_eq!(speed.quantizing_seconds(7_000_000_000), Some(100.0));
    }

    #[test]
    fn a_report_tells_what_large_models_get() {
        let row = |bytes, decode_tokens_s| ReportRow { bytes, decode_tokens_s, ..ReportRow::default() };
        let rows = [row(4 << 30, Some(5.0)), row(1 << 20, Some(900.0)), row(8 << 30, None), row(2 << 30, Some(9.0))];
        assert_eq!(bytes_in(&rows), Some(20.0 * f64::from(1 << 30)));
        assert_eq!(bytes_in(&rows[1..3]), None);
    }

    #[test]
    fn memory_is_measured_in_a_moment() {
        let start = Instant::now();
        let speed = reading();
        assert!((1e8..1e13).contains(&speed), "{speed}");
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}
