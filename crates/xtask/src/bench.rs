//! `bench cpu` and `bench server`: this program and llama.cpp on the same files, in turns, on this machine.
//!
//! llama.cpp is built once from the pinned source of llama-cpp-python, into a folder outside the checkout. Every measured
//! figure is a line of JSON in a file there, so that a run that was stopped goes on where it was.

mod cell;
mod llama;
mod server;
mod table;

use std::{env, fs, path::PathBuf};

use crate::shell::{Outcome, cargo, program, say, target};
use cell::{Cell, Measured, Side, What};

const USAGE: &str = "\
usage: cargo xtask bench cpu [--avx2] [--full] [--again]
       cargo xtask bench server [--rounds N] [--again]

  --avx2   hold AVX2 against AVX2: llama.cpp built for it, our kernels forced to it
  --full   more types, one thread, other prompts, a busy process for each core, and the 7B
  --again  forget what was measured before
  --rounds of each figure, 3 where it is not said: what was measured before counts";

/// Rounds of each figure; their median counts.
const ROUNDS: usize = 3;

/// What was asked for.
pub struct Options {
    pub avx2: bool,
    pub full: bool,
    pub again: bool,
}

pub fn bench(arguments: &[String]) -> Outcome {
    let rest = arguments.get(1..).unwrap_or_default();
    match arguments.first().map(String::as_str) {
        Some("cpu") => {}
        Some("server") => return server::server(rest),
        _ => return Err(USAGE.into()),
    }
    let known = ["--avx2", "--full", "--again"];
    if rest.iter().any(|argument| !known.contains(&argument.as_str())) {
        return Err(USAGE.into());
    }
    let has = |name: &str| rest.iter().any(|argument| argument == name);
    cpu(&Options { avx2: has("--avx2"), full: has("--full"), again: has("--again") })
}

fn cpu(options: &Options) -> Outcome {
    let place = place()?;
    let theirs = llama::build(&place, options.avx2, "llama-bench")?;
    let ours = build_ours()?;
    cargo(&["build", "--release", "--package", "huacaya-kernels", "--example", "bandwidth"])?;
    let bandwidth = target().join("release/examples/bandwidth");
    let side = Side::ours(ours.clone(), place.join("home"), options.avx2);
    let (plain, theirs) = (side.plain(), Side::theirs(theirs));
    let log = place.join(if options.avx2 { "cpu-avx2.jsonl" } else { "cpu.jsonl" });
    if options.again && log.exists() {
        fs::remove_file(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    }
    let mut measured = Measured::open(&log)?;
    let mut all = Vec::new();
    for (size, formats) in models(options.full) {
        for format in formats {
            let cells = Cell::of(size, format, options.full);
            all.extend(cells.iter().cloned());
            if cells.iter().all(|cell| measured.is_complete(cell, ROUNDS)) {
                continue;
            }
            let file = model(&place, &ours, size, format, Text::Circles)?;
            measured.keep_size(size, format, &file)?;
            say(&format!("{size} {format}"));
            for round in 0..ROUNDS {
                measured.ask_bandwidth(&bandwidth)?;
                for cell in &cells {
                    let other = if cell.what == What::Repetition { &plain } else { &theirs };
                    measured.round(cell, round, [&side, other], &file)?;
                }
            }
            // One model file of this size at a time: disks are small.
            fs::remove_file(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        let _ = fs::remove_file(source(&place, size, Text::Circles));
    }
    table::print(&measured, &all, options.avx2);
    println!("\nfigures: {}", log.display());
    Ok(())
}

/// Where sources, builds, models and figures are kept, outside the checkout.
fn place() -> Result<PathBuf, String> {
    let place = env::var_os("HUACAYA_BENCH").map_or_else(|| env::temp_dir().join("huacaya-bench"), PathBuf::from);
    fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    Ok(place)
}

/// The path of our command line, and beside it what makes models.
fn build_ours() -> Result<PathBuf, String> {
    say("building our command line");
    cargo(&["build", "--release", "--package", "huacaya-cli"])?;
    cargo(&["build", "--release", "--package", "huacaya-weights", "--example", "random_model"])?;
    Ok(target().join("release/huacaya-cli"))
}

/// Sizes and the formats of each.
fn models(full: bool) -> Vec<(&'static str, Vec<&'static str>)> {
    let mut list = vec![("1.3b", vec!["Q4_0", "Q4_K_M", "Q8_0"])];
    if full {
        list[0].1.extend(["Q5_K_M", "Q6_K", "F16"]);
        list.push(("7b", vec!["Q4_0", "Q4_K_M"]));
    }
    list
}

/// What a random model says.
#[derive(Clone, Copy)]
enum Text {
    /// Nothing that could be foreseen.
    Random,
    /// The same 24 tokens again and again.
    Circles,
}

impl Text {
    fn word(self) -> &'static str {
        match self {
            Text::Random => "random",
            Text::Circles => "circles",
        }
    }
}

fn source(place: &std::path::Path, size: &str, text: Text) -> PathBuf {
    place.join(format!("{size}-{}-f16.gguf", text.word()))
}

/// The model in this format, made of the F16 one by our own converter; llama.cpp reads the same file.
fn model(
    place: &std::path::Path,
    ours: &std::path::Path,
    size: &str,
    format: &str,
    text: Text,
) -> Result<PathBuf, String> {
    let source = source(place, size, text);
    let file = place.join(format!("{size}-{}-{}.gguf", text.word(), format.to_lowercase()));
    if file.exists() {
        return Ok(file);
    }
    if !source.exists() {
        say(&format!("making a random model of the {size} shape"));
        let word = matches!(text, Text::Circles).then(|| text.word().as_ref());
        let arguments: Vec<&std::ffi::OsStr> = [size.as_ref(), source.as_os_str()].into_iter().chain(word).collect();
        program(target().join("release/examples/random_model"), &arguments)?;
    }
    if format == "F16" {
        fs::rename(&source, &file).map_err(|error| format!("{}: {error}", source.display()))?;
    } else {
        let [from, to] = [source.as_os_str(), file.as_os_str()];
        program(
            ours,
            &[
                "convert".as_ref(),
                "--from".as_ref(),
                from,
                "--to".as_ref(),
                to,
                "--scheme".as_ref(),
                format.as_ref(),
                "--quiet".as_ref(),
            ],
        )?;
    }
    Ok(file)
}
