//! `bench`: how fast a model loads, reads and writes on this computer.

use std::{
    fmt::Write as _,
    io::{Write, stdout},
    ops::ControlFlow,
    time::{Duration, Instant},
};

use clap::Args;
use huacaya_app::engine::{
    KvFormat,
    measure::{self, PeakMeter, Speed, SpeedOptions},
};
use serde_json::json;

use crate::{
    failure::Failure,
    model::{Meter, ModelOptions},
};

/// Rounds take as long as they take: whoever asks for them waits.
const BUDGET: Duration = Duration::from_secs(24 * 3600);

#[derive(Args)]
pub struct BenchOptions {
    #[command(flatten)]
    model: ModelOptions,
    /// Tokens to read in a round
    #[arg(long, visible_alias = "prompt", value_name = "TOKENS", default_value_t = 512)]
    prefill: usize,
    /// Tokens to write in a round
    #[arg(long, visible_alias = "tokens", value_name = "TOKENS", default_value_t = 128)]
    decode: usize,
    /// Tokens that stand before them, not timed
    #[arg(long, value_name = "TOKENS", default_value_t = 0)]
    depth: usize,
    /// Rounds to make; the median counts
    #[arg(long, visible_alias = "rounds", value_name = "NUMBER", default_value_t = 1)]
    repeat: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(options: &BenchOptions) -> Result<(), Failure> {
    let memory = PeakMeter::start();
    let start = Instant::now();
    let loaded = options.model.load()?;
    let load_ms = start.elapsed().as_millis() as u64;
    let mut meter = Meter::new("measuring", options.model.quiet);
    let stop = loaded.stop.clone();
    let wanted = SpeedOptions {
        depth: options.depth,
        prompt_tokens: options.prefill,
        new_tokens: options.decode,
        rounds: options.repeat,
        budget: BUDGET,
    };
    let measured = measure::speed(&loaded.model, &wanted, &mut |progress| {
        meter.show(progress);
        if stop.asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    meter.clear();
    let found = measured.map_err(|error| Failure::of_measurement(&loaded.path, error))?;
    let Speed { prefill, decode, rounds, prefill_samples, decode_samples } = found;
    let peak = memory.peak().map(|peak| peak.highest);
    let mut out = stdout();
    let model = &loaded.model;
    if options.json {
        let found = json!({
            "backend": model.backend_name(), "kernels": model.kernels(), "threads": model.threads(),
            "kv": model.kv_format().map(KvFormat::name),
            "prefill_tokens_per_second": prefill.tokens_per_second,
            "decode_tokens_per_second": decode.tokens_per_second,
            "prefill_samples": prefill_samples,
            "decode_samples": decode_samples,
            "prefill_tokens": prefill.tokens,
            "decode_tokens": decode.tokens,
            "depth": options.depth,
            "rounds": rounds,
            "load_ms": load_ms,
            "peak_bytes": peak,
            "peak_memory_bytes": peak,
            "device": model.device(),
        });
        writeln!(out, "{found}")?;
        return Ok(());
    }
    let line = |what: &str, rate: measure::Rate| {
        format!(
            "{what:<8}{:>9.2} tokens/s  {:>9.2} ms/token  ({} tokens)",
            rate.tokens_per_second, rate.ms_per_token, rate.tokens
        )
    };
    let mut device = format!("{}, {}", model.device(), model.backend_name());
    if let Some(way) = model.way() {
        let _ = write!(device, ", {} threads of {}, {} cache", way.threads, way.kernels, way.kv.name());
    }
    writeln!(out, "device  {device}\nload    {load_ms:>9} ms")?;
    writeln!(out, "{}\n{}", line("read", prefill), line("write", decode))?;
    if let Some(bytes) = peak {
        writeln!(out, "memory  {:>9.0} MB at most", bytes as f64 / 1e6)?;
    }
    Ok(())
}
