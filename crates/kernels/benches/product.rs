//! How fast each instruction set multiplies each format, on one thread: decode (one input row) in GB/s of weights, from
//! memory and from the second-level cache (of some more rows there, too), and prefill (512 input rows, a 4096 x 4096 matrix) in billions of operations a
//! second, a product and a sum being two.
//!
//! `cargo bench -p huacaya-kernels --bench product -- [SET] [FORMAT]`, of which either may be `all`. Times are of the
//! processor where the system tells them (Linux), so that a busy machine spoils them less; the best of some rounds counts.

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use huacaya_kernels::{Activations, Format, Input, InstructionSet, Kernels, Rows, Strip, quantize};

const COLUMNS: usize = 4096;
/// Weight rows of the prefill's matrix.
const ROWS: usize = 4096;
const PREFILL: usize = 512;
/// Input rows of steps that few answers share.
const FEW: [usize; 5] = [1, 2, 3, 4, 8];
/// Weight rows in one call, as the engine's threads claim them.
const STRIP: usize = 128;
/// More than a core's caches, whatever the machine shares between cores.
const MEMORY: usize = 512 << 20;
/// Less than a second-level cache.
const CACHED: usize = 1536 << 10;
/// Shorter rounds would be lost in the system's clock.
const ROUND: Duration = Duration::from_millis(120);
const ROUNDS: usize = 5;

const FORMATS: [Format; 16] = [
    Format::Q4_0,
    Format::Q4_K,
    Format::Q8_0,
    Format::Q6_K,
    Format::Q5_K,
    Format::Q4_1,
    Format::Q5_0,
    Format::Q5_1,
    Format::Q2_K,
    Format::Q3_K,
    Format::IQ4_NL,
    Format::IQ4_XS,
    Format::MXFP4,
    Format::F16,
    Format::BF16,
    Format::F32,
];

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let all: Vec<String> = std::env::args().skip(1).collect();
    // Of tests, `cargo test --benches` runs this, too: there it is enough that it builds.
    if !all.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let wanted: Vec<&String> = all.iter().filter(|argument| !argument.starts_with("--")).collect();
    let is_wanted = |place: usize, name: &str| {
        wanted.get(place).is_none_or(|wanted| *wanted == "all" || wanted.eq_ignore_ascii_case(name))
    };
    println!("{}; one thread, best of {ROUNDS} rounds of {} ms or more", processor(), ROUND.as_millis());
    println!("{:<10} {:<7} {:>12}  cache GB/s, {FEW:?} rows; prefill GOP/s", "set", "format", "memory GB/s");
    let mut memory = vec![0u8; MEMORY];
    for set in InstructionSet::ALL.into_iter().filter(|set| is_wanted(0, set.name())) {
        let Some(kernels) = Kernels::of(set) else {
            println!("{:<10} not on this machine", set.name());
            continue;
        };
        for format in FORMATS.into_iter().filter(|format| is_wanted(1, &format.to_string())) {
            bench(kernels, format, &mut memory)?;
        }
    }
    Ok(())
}

fn bench(kernels: &Kernels, format: Format, memory: &mut [u8]) -> Outcome<()> {
    let row_bytes = format.bytes_of(COLUMNS as u64).ok_or("whole blocks")? as usize;
    fill(format, row_bytes, memory)?;
    let decode = |rows: usize, bytes: usize| -> Outcome<f64> {
        let bytes = (bytes / (row_bytes * STRIP)).max(1) * row_bytes * STRIP;
        Ok(bytes as f64 / Values::new(kernels, format, rows).time(kernels, format, &memory[..bytes])? / 1e9)
    };
    let (streamed, mut cached) = (decode(1, MEMORY)?, String::new());
    for rows in FEW {
        cached += &format!(" {:>9.1}", decode(rows, CACHED)?);
    }
    let seconds = Values::new(kernels, format, PREFILL).time(kernels, format, &memory[..row_bytes * ROWS])?;
    let operations = 2.0 * (COLUMNS * ROWS * PREFILL) as f64 / seconds / 1e9;
    println!("{:<10} {:<7} {streamed:>12.1} {cached} {operations:>12.0}", kernels.set().name(), format.to_string());
    Ok(())
}

/// Input rows in the kind that the format takes, and room for what comes out.
struct Values {
    plain: Vec<f32>,
    quantized: Option<Activations>,
    rows: usize,
}

impl Values {
    fn new(kernels: &Kernels, format: Format, rows: usize) -> Values {
        let plain = numbers(rows * COLUMNS);
        let quantized = format.grouping().map(|grouping| {
            let mut quantized = Activations::new(grouping, rows, COLUMNS);
            quantized.reset(rows, COLUMNS);
            for (row, values) in plain.chunks_exact(COLUMNS).enumerate() {
                quantized.quantize_row(kernels, row, values);
            }
            quantized
        });
        Values { plain, quantized, rows }
    }

    /// Seconds for the product with all of `weights`, strip by strip.
    fn time(&self, kernels: &Kernels, format: Format, weights: &[u8]) -> Outcome<f64> {
        let input = match &self.quantized {
            Some(quantized) => Input::Quantized(quantized),
            None => Input::Plain { values: &self.plain, columns: COLUMNS },
        };
        let row_bytes = format.bytes_of(COLUMNS as u64).ok_or("whole blocks")? as usize;
        // As wide as a layer's, so that rows stand as far apart as they do there.
        let mut out = vec![0.0; self.rows * ROWS];
        let mut strips = Vec::new();
        let mut rest = Strip::whole(&mut out, ROWS);
        while rest.width() > 0 {
            let (strip, others) = rest.split_at(STRIP);
            strips.push(strip);
            rest = others;
        }
        let count = strips.len();
        let seconds = best(|| {
            for (block, bytes) in weights.chunks_exact(row_bytes * STRIP).enumerate() {
                kernels.product(Rows { format, columns: COLUMNS, bytes }, input, &mut strips[block % count])?;
            }
            Ok(())
        })?;
        black_box(&out);
        Ok(seconds)
    }
}

/// Seconds that `work` takes, at best.
fn best(mut work: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    let mut least = f64::INFINITY;
    for round in 0..=ROUNDS {
        let (mut times, wall, before) = (0, Instant::now(), thread_time());
        while wall.elapsed() < ROUND {
            work()?;
            times += 1;
        }
        let spent = before.zip(thread_time()).map_or(wall.elapsed(), |(before, after)| after - before);
        // The first round warms caches and clocks.
        least = if round == 0 { least } else { least.min(spent.as_secs_f64() / f64::from(times)) };
    }
    Ok(least)
}

/// Time that this thread has run (`/proc/thread-self/schedstat`, nanoseconds).
fn thread_time() -> Option<Duration> {
    let line = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    line.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// Fills `memory` with rows of the format, of values as weights have them.
fn fill(format: Format, row_bytes: usize, memory: &mut [u8]) -> Outcome<()> {
    let mut rows = vec![0; row_bytes * STRIP];
    if quantize(format, &numbers(COLUMNS * STRIP), &mut rows).is_err() {
        // Only read, never written: any codes, and exponents around those of weights.
        let (size, mut next) = (format.block_bytes(), stream());
        for (i, byte) in rows.iter_mut().enumerate() {
            *byte = if i.is_multiple_of(size) { 118 + (next() % 4) as u8 } else { (next() >> 24) as u8 };
        }
    }
    memory.chunks_mut(rows.len()).for_each(|part| part.copy_from_slice(&rows[..part.len()]));
    Ok(())
}

fn numbers(count: usize) -> Vec<f32> {
    let mut next = stream();
    (0..count).map(|_| (next() >> 40) as f32 / (1u64 << 24) as f32 - 0.5).collect()
}

/// Random numbers, the same at every run (xorshift).
fn stream() -> impl FnMut() -> u64 {
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// The processor's name, as Linux has it.
fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name"));
    line.and_then(|line| line.split_once(": ")).map_or(std::env::consts::ARCH, |(_, name)| name).to_owned()
}
