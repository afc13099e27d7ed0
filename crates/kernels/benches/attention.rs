//! How fast each instruction set answers attention, on one thread: decode (one row) in GB/s of keys and values, and a part
//! of a prompt (512 rows) in billions of operations a second (a product and a sum being two, what is not seen not counted);
//! then the operations on rows, in billions of values a second.
//!
//! `cargo bench -p huacaya-kernels --bench attention -- [SET]`. Times are of the processor where the system tells them
//! (Linux), so that a busy machine spoils them less; the best of some rounds counts. Decode goes over 32 kv heads in turn, as
//! a layer does: at 4,000 positions more than a second-level cache holds. `turned`: keys are turned as they are read.

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use huacaya_kernels::{ATTENTION_TILE, Format, InstructionSet, Kernels, Page, Pairs, Past, Queries, Strip, Turn};

/// Positions of a page, as the engine has them.
const PAGE: usize = 256;
/// kv heads that take turns.
const KV_HEADS: usize = 32;
/// Values in a row of the operations on rows.
const ROW: usize = 4096;
/// Values in each of two rows that no cache near a core holds.
const FAR: usize = 16 << 20;
/// Shorter rounds would be lost in the system's clock.
const ROUND: Duration = Duration::from_millis(60);
const ROUNDS: usize = 4;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let all: Vec<String> = std::env::args().skip(1).collect();
    // Of tests, `cargo test --benches` runs this, too: there it is enough that it builds.
    if !all.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let wanted = all.iter().find(|argument| !argument.starts_with("--"));
    for set in InstructionSet::ALL.into_iter().filter(|set| wanted.is_none_or(|name| name == set.name())) {
        let Some(kernels) = Kernels::of(set) else {
            println!("{:<10} not on this machine", set.name());
            continue;
        };
        for (format, head_size, heads) in [
            (Format::F16, 128, 1),
            (Format::F16, 128, 4),
            (Format::F16, 128, 8),
            (Format::F16, 64, 1),
            (Format::F16, 64, 4),
            (Format::F16, 96, 1),
            (Format::F16, 80, 1),
            (Format::Q8_0, 128, 1),
            (Format::Q8_0, 128, 4),
            (Format::Q4_0, 128, 1),
            (Format::Q4_0, 128, 4),
        ] {
            attention(kernels, format, head_size, heads, false)?;
            if (head_size, heads) == (128, 1) {
                attention(kernels, format, head_size, heads, true)?;
            }
        }
        rows(kernels)?;
    }
    Ok(())
}

fn attention(kernels: &Kernels, format: Format, head_size: usize, heads: usize, turned: bool) -> Outcome<()> {
    let row_bytes = format.bytes_of(head_size as u64).ok_or("whole blocks")? as usize;
    let how = if turned { "turned" } else { "" };
    let mut line = format!("{:<10} {:<5} {heads} x {head_size:<4}{how:<7}", kernels.set().name(), format.to_string());
    for (label, rows, depth) in [
        ("decode 500", 1, 500),
        ("decode 4000", 1, 4000),
        ("verify 8", 8, 4000),
        ("prompt", 512, 512),
        ("prompt 4000", 512, 4000),
    ] {
        let pages = depth / PAGE + 1;
        // Keys and values of all kv heads: page by page, head by head.
        let mut bytes = vec![0; 2 * KV_HEADS * pages * PAGE * row_bytes];
        let values = numbers(PAGE * head_size);
        for page in bytes.chunks_exact_mut(PAGE * row_bytes) {
            kernels.encode(format, &values, page)?;
        }
        let half = bytes.len() / 2;
        let positions: Vec<usize> = (depth - rows..depth).collect();
        let width = heads * head_size;
        let (asked, mut out) = (numbers(rows * width), vec![0.0; rows * width]);
        let scale = 1.0 / (head_size as f32).sqrt();
        let queries = Queries { values: &asked, stride: width, positions: &positions, heads, head_size, scale };
        let angles = numbers(head_size / 2 * ATTENTION_TILE.max(depth / ATTENTION_TILE + 1));
        let within = [&angles[..head_size / 2 * ATTENTION_TILE]; 2];
        let turn = turned.then_some(Turn { pairs: Pairs::Halves, within, starts: [&angles; 2] });
        let kv_heads = if rows == 1 { KV_HEADS } else { 2 };
        let seconds = best(|| {
            for head in 0..kv_heads {
                let page = |i: usize| {
                    let start = (i * KV_HEADS + head) * PAGE * row_bytes;
                    let part = start..start + PAGE * row_bytes;
                    Page { keys: &bytes[part.clone()], values: &bytes[half..][part] }
                };
                let past = Past { keys: format, values: format, page_length: PAGE, page: &page, turn };
                kernels.attend(&queries, &past, &mut Strip::whole(&mut out, width))?;
            }
            Ok(())
        })? / kv_heads as f64;
        black_box(&out);
        let seen: usize = positions.iter().map(|position| position + 1).sum();
        line += &if rows == 1 {
            format!(" {label} {:>6.1} GB/s", (2 * depth * row_bytes) as f64 / seconds / 1e9)
        } else {
            format!(" {label} {:>6.1} GOP/s", (4 * seen * width) as f64 / seconds / 1e9)
        };
    }
    println!("{line}");
    Ok(())
}

fn rows(kernels: &Kernels) -> Outcome<()> {
    let (x, weight, mut out) = (numbers(ROW), numbers(ROW), numbers(ROW));
    let (angles, mut halves) = (numbers(64), vec![0; 2 * ROW]);
    let mut line = format!("{:<10}", kernels.set().name());
    let mut time = |label: &str, work: &mut dyn FnMut(&mut [f32]) -> Outcome<()>| -> Outcome<()> {
        let seconds = best(|| (0..64).try_for_each(|_| work(&mut out)))? / 64.0;
        line += &format!(" {label} {:.1}", ROW as f64 / seconds / 1e9);
        out.copy_from_slice(&x);
        Ok(())
    };
    time("norm", &mut |out| Ok(kernels.rms_norm(&x, &weight, 1e-5, out)?))?;
    time("rotate", &mut |out| Ok(kernels.rotate(out, 128, &angles, &angles, Pairs::Halves)?))?;
    time("rotate adjacent", &mut |out| Ok(kernels.rotate(out, 128, &angles, &angles, Pairs::Adjacent)?))?;
    time("swiglu", &mut |out| Ok(kernels.swiglu(out, &x)?))?;
    time("softmax", &mut |out| {
        kernels.softmax(out);
        Ok(())
    })?;
    time("add", &mut |out| Ok(kernels.add(out, &x)?))?;
    time("scale_add", &mut |out| Ok(kernels.scale_add(out, 0.1, &x)?))?;
    time("dot", &mut |out| {
        out[0] = kernels.dot(&x, &weight)?;
        Ok(())
    })?;
    time("to f16", &mut |_| Ok(kernels.encode(Format::F16, &x, &mut halves)?))?;
    time("from f16", &mut |out| Ok(kernels.decode(Format::F16, &halves, out)?))?;
    time("to bf16", &mut |_| Ok(kernels.encode(Format::BF16, &x, &mut halves)?))?;
    time("from bf16", &mut |out| Ok(kernels.decode(Format::BF16, &halves, out)?))?;
    for (label, format) in [("Q8_0", Format::Q8_0), ("Q4_0", Format::Q4_0)] {
        let bytes = &mut halves[..ROW / 32 * format.block_bytes()];
        time(&format!("to {label}"), &mut |_| Ok(kernels.encode(format, &x, bytes)?))?;
        time(&format!("from {label}"), &mut |out| Ok(kernels.decode(format, bytes, out)?))?;
    }
    println!("{line} (billions of values a second)");
    let (a, b) = (numbers(FAR), numbers(FAR));
    let mut sum = 0.0;
    let seconds = best(|| {
        sum += kernels.dot(&a, &b)?;
        Ok(())
    })?;
    black_box(sum);
    println!("{:<10} dot of long rows in memory: {:.1} GB/s", kernels.set().name(), 8.0 * FAR as f64 / seconds / 1e9);
    Ok(())
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

/// Random numbers from -0.5 to 0.5, the same at every run (xorshift).
fn numbers(count: usize) -> Vec<f32> {
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..count).map(|_| (next() >> 40) as f32 / (1u64 << 24) as f32 - 0.5).collect()
}
