//! Quantizes a model of Chinese-LLaMA-2's real shape, of random values, to Q4_K_M and Q8_0, in turns with llama.cpp's own
//! program on the same file: time and peak memory of each, and the ratio.
//!
//! `cargo bench -p huacaya-weights --bench quantize -- [1.3b|7b] [FOLDER] [LLAMA-QUANTIZE]`; the folder needs 4.5 or 25 GB.

#[path = "shape/random.rs"]
mod random;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use huacaya_progress::unwatched;
use huacaya_weights::quantize::{Scheme, Wanted, quantize};

/// Peaks are read off a running program this often.
const LOOK: Duration = Duration::from_millis(20);
/// Runs of each; the shorter counts, as other work on the machine only ever adds.
const ROUNDS: usize = 2;
/// The first argument of the program that does one quantization, so that its memory is its own.
const ONE: &str = "--one";

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let all: Vec<String> = std::env::args().skip(1).collect();
    if let [mark, from, to, scheme, ..] = &all[..]
        && mark == ONE
    {
        return one(Path::new(from), Path::new(to), scheme);
    }
    // Of tests, `cargo test --benches` runs this, too: there it is enough that it builds.
    if !all.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let arguments: Vec<String> = all.into_iter().filter(|argument| !argument.starts_with("--")).collect();
    let layers = if arguments.first().is_some_and(|size| size == "7b") { 32 } else { 4 };
    let place = arguments.get(1).map_or_else(std::env::temp_dir, PathBuf::from).join("huacaya-quantize-bench");
    fs::create_dir_all(&place)?;
    let result = bench(&place, layers, arguments.get(2).map(Path::new));
    let _ = fs::remove_dir_all(&place);
    result
}

fn one(from: &Path, to: &Path, scheme: &str) -> Outcome<()> {
    let scheme = Scheme::from_name(scheme).ok_or("no such scheme")?;
    let wanted = Wanted { scheme, by_hand: Vec::new(), weighted: false };
    quantize(from, to, &wanted, None, cores(), &mut unwatched())?;
    Ok(())
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn bench(place: &Path, layers: usize, theirs: Option<&Path>) -> Outcome<()> {
    let (source, made) = (place.join("source.gguf"), place.join("made.gguf"));
    random::write(&source, layers, false)?;
    println!("{layers} layers, {:.2} GB at F16, {} cores", fs::metadata(&source)?.len() as f64 / 1e9, cores());
    for scheme in ["Q4_K_M", "Q8_0"] {
        let mut best: Vec<(&str, f64, u64)> = Vec::new();
        for _ in 0..ROUNDS {
            let mut ours = Command::new(std::env::current_exe()?);
            ours.arg(ONE).args([&source, &made]).arg(scheme);
            let mut runs = vec![("huacaya", ours)];
            if let Some(theirs) = theirs {
                let mut theirs = Command::new(theirs);
                theirs.args([&source, &made]).arg(scheme).arg(cores().to_string());
                runs.push(("llama.cpp", theirs));
            }
            for (name, mut command) in runs {
                let (seconds, peak) = measure(&mut command)?;
                println!("  {scheme} {name}: {seconds:.1} s, peak {:.0} MB", peak as f64 / 1e6);
                fs::remove_file(&made)?;
                match best.iter_mut().find(|(known, ..)| *known == name) {
                    Some(entry) => (entry.1, entry.2) = (entry.1.min(seconds), entry.2.max(peak)),
                    None => best.push((name, seconds, peak)),
                }
            }
        }
        if let [ours, theirs] = best[..] {
            println!(
                "{scheme}: {:.2} times llama.cpp's speed, {:.2} of its memory",
                theirs.1 / ours.1,
                ours.2 as f64 / theirs.2 as f64
            );
        }
    }
    Ok(())
}

/// Seconds, and bytes of memory at most, pages of mapped files among them.
fn measure(command: &mut Command) -> Outcome<(f64, u64)> {
    let started = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut peak = 0;
    let status = loop {
        peak = peak.max(peak_of(child.id()));
        match child.try_wait()? {
            Some(status) => break status,
            None => thread::sleep(LOOK),
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    if status.success() { Ok((seconds, peak)) } else { Err(format!("{command:?} failed").into()) }
}

/// Linux only; 0 elsewhere.
fn peak_of(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) << 10
}
