//! `convert` and `merge`: from a checkpoint, with adapters or without, to a GGUF file or a folder.

use std::{
    ffi::OsString,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Instant,
};

use clap::Args;
use huacaya_app::{
    progress::Progress,
    weights::{
        convert::{self, convert},
        merge,
        quantize::{Importance, Scheme, Wanted},
    },
};

use crate::{
    failure::Failure,
    model::{Meter, Stop},
};

#[derive(Args)]
pub struct ConvertOptions {
    /// A Hugging Face folder (safetensors or .bin), Meta's folder (consolidated.0N.pth), or a GGUF file
    #[arg(long, value_name = "FOLDER|GGUF", required_unless_present = "input")]
    from: Option<PathBuf>,
    /// The same as --from
    #[arg(value_name = "IN", conflicts_with = "from", requires = "output")]
    input: Option<PathBuf>,
    /// The same as --to
    #[arg(value_name = "OUT", conflicts_with = "to")]
    output: Option<PathBuf>,
    /// A LoRA adapter to merge on the way, with its strength (1 where none is given); repeat for several
    #[arg(long, value_name = "FOLDER[=STRENGTH]")]
    lora: Vec<OsString>,
    /// The GGUF file to write; nothing may be there
    #[arg(long, value_name = "FILE", required_unless_present = "output")]
    to: Option<PathBuf>,
    /// F32, F16, BF16, Q8_0, Q6_K, Q5_K_M, Q4_K_M, IQ4_XS, Q3_K_M, Q2_K, …
    #[arg(long, visible_alias = "type", value_name = "SCHEME", value_parser = scheme)]
    scheme: Scheme,
    /// An importance matrix, as GGUF or in llama.cpp's older format
    #[arg(long, visible_alias = "imatrix", value_name = "FILE")]
    importance: Option<PathBuf>,
    /// Threads to compute with
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Say nothing on standard error but errors
    #[arg(long)]
    quiet: bool,
}

#[derive(Args)]
pub struct MergeOptions {
    /// The base model's Hugging Face folder
    #[arg(long, value_name = "FOLDER")]
    from: PathBuf,
    /// A LoRA adapter, with its strength (1 where none is given); repeat for several, in order
    #[arg(long, value_name = "FOLDER[=STRENGTH]", required = true)]
    lora: Vec<OsString>,
    /// The folder to make; nothing may be there
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// Say nothing on standard error but errors
    #[arg(long)]
    quiet: bool,
}

fn scheme(name: &str) -> Result<Scheme, String> {
    Scheme::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Scheme::ALL.iter().map(|scheme| scheme.name()).collect();
        format!("the schemes are {}", known.join(", "))
    })
}

/// What follows the last `=` is a strength only where it is a number: a path may have one, too.
fn adapters(given: &[OsString]) -> Vec<(PathBuf, f32)> {
    let adapter = |given: &OsString| {
        let split = given.to_str().and_then(|text| text.rsplit_once('='));
        let parsed = split.and_then(|(path, strength)| Some((PathBuf::from(path), strength.parse().ok()?)));
        parsed.unwrap_or_else(|| (PathBuf::from(given), 1.0))
    };
    given.iter().map(adapter).collect()
}

/// Runs work that can be stopped, with its progress shown; what it gave, and how long it took.
fn watched<T>(
    what: &'static str,
    quiet: bool,
    work: impl FnOnce(&mut (dyn FnMut(Progress) -> ControlFlow<()> + Send)) -> Result<T, Failure>,
) -> Result<(T, f64), Failure> {
    let stop = Stop::listen()?;
    let mut meter = Meter::new(what, quiet);
    let started = Instant::now();
    let mut watch = |progress: Progress| {
        meter.show(progress);
        if stop.asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let done = work(&mut watch);
    meter.clear();
    Ok((done?, started.elapsed().as_secs_f64()))
}

pub fn is_free(path: &Path) -> Result<(), Failure> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(Failure::Said(format!("{}: stands there already\nhelp: give --to another name", path.display())))
}

pub fn size(bytes: u64) -> String {
    if bytes < 1_000_000_000 {
        format!("{:.1} MB", bytes as f64 / 1e6)
    } else {
        format!("{:.2} GB", bytes as f64 / 1e9)
    }
}

pub fn run(options: &ConvertOptions) -> Result<(), Failure> {
    let (Some(from), Some(to)) =
        (options.from.as_ref().or(options.input.as_ref()), options.to.as_ref().or(options.output.as_ref()))
    else {
        return Err(Failure::Said("say what to convert and where to: IN OUT".to_string()));
    };
    is_free(to)?;
    let importance = options.importance.as_deref().map(Importance::open).transpose()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = Wanted { scheme: options.scheme, by_hand: Vec::new(), weighted: importance.is_some() };
    let asked = convert::Options {
        wanted,
        adapters: adapters(&options.lora),
        importance,
        threads: options.threads.map_or(cores, usize::from),
    };
    let work = |watch: &mut (dyn FnMut(Progress) -> ControlFlow<()> + Send)| {
        convert(from, to, &asked, watch).map_err(Failure::from)
    };
    let (report, seconds) = watched("converting", options.quiet, work)?;
    if !options.quiet {
        eprintln!("{}: {}, {}, {seconds:.1} s", to.display(), options.scheme.name(), size(report.bytes));
        if report.requantized > 0 {
            eprintln!(
                "warning: {} tensors were quantized already; from the original the result would be better",
                report.requantized
            );
        }
        if report.unweighted > 0 {
            eprintln!("warning: the importance matrix says nothing of {} tensors", report.unweighted);
        }
    }
    Ok(())
}

pub fn run_merge(options: &MergeOptions) -> Result<(), Failure> {
    let adapters = adapters(&options.lora);
    let work = |watch: &mut (dyn FnMut(Progress) -> ControlFlow<()> + Send)| {
        merge(&options.from, &adapters, &options.to, watch).map_err(Failure::from)
    };
    let (report, seconds) = watched("merging", options.quiet, work)?;
    if !options.quiet {
        let (changed, replaced, copied) = (report.changed, report.replaced, report.copied);
        eprintln!(
            "{}: {changed} tensors changed, {replaced} replaced, {copied} copied, {}, {seconds:.1} s",
            options.to.display(),
            size(report.bytes)
        );
    }
    Ok(())
}
