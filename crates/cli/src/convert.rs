//! `convert` and `merge`: from a checkpoint, with adapters or without, to a GGUF file or a folder.

use std::{
    ffi::OsString,
    io::{Write, stdout},
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
use serde_json::json;

use crate::{
    failure::Failure,
    model::{Meter, Stop, place},
};

#[derive(Args)]
pub struct ConvertOptions {
    /// A Hugging Face folder (safetensors or .bin), Meta's folder (consolidated.0N.pth), a GGUF file, or a model of the
    /// library
    #[arg(value_name = "IN", required_unless_present = "from", conflicts_with = "from", requires = "output")]
    input: Option<PathBuf>,
    /// The GGUF file to write; nothing may be there
    #[arg(value_name = "OUT", required_unless_present = "to", conflicts_with = "to")]
    output: Option<PathBuf>,
    #[arg(long, hide = true)]
    from: Option<PathBuf>,
    #[arg(long, hide = true)]
    to: Option<PathBuf>,
    /// A LoRA adapter to merge on the way, with its strength (1 where none is given); repeat for several
    #[arg(long, value_name = "ADAPTER[=STRENGTH]")]
    lora: Vec<OsString>,
    /// F32, F16, BF16, Q8_0, Q6_K, Q5_K_M, Q4_K_M, IQ4_XS, Q3_K_M, Q2_K, …
    #[arg(long = "type", alias = "scheme", value_name = "TYPE", value_parser = scheme)]
    scheme: Scheme,
    /// An importance matrix, as GGUF or in llama.cpp's older format
    #[arg(long = "imatrix", alias = "importance", value_name = "FILE")]
    importance: Option<PathBuf>,
    #[command(flatten)]
    how: How,
}

#[derive(Args)]
pub struct MergeOptions {
    /// The base model: a Hugging Face folder, or a model of the library
    #[arg(value_name = "BASE")]
    base: PathBuf,
    /// A LoRA adapter, with its strength (1 where none is given); several are merged in order
    #[arg(value_name = "ADAPTER[=STRENGTH]", required = true)]
    adapters: Vec<OsString>,
    /// The folder to make, or with --type the GGUF file; nothing may be there
    #[arg(long, alias = "to", value_name = "OUT")]
    out: PathBuf,
    /// Write a GGUF file of this type instead of a folder: F16, Q8_0, Q4_K_M, …
    #[arg(long = "type", value_name = "TYPE", value_parser = scheme)]
    scheme: Option<Scheme>,
    #[command(flatten)]
    how: How,
}

/// How files are made.
#[derive(Args)]
struct How {
    /// Threads to compute with
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Say nothing on standard error but errors
    #[arg(long)]
    quiet: bool,
}

/// What a file is made of.
struct Made<'a> {
    from: &'a Path,
    adapters: Vec<(PathBuf, f32)>,
    scheme: Scheme,
    importance: Option<Importance>,
}

fn scheme(name: &str) -> Result<Scheme, String> {
    Scheme::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Scheme::ALL.iter().map(|scheme| scheme.name()).collect();
        format!("the schemes are {}", known.join(", "))
    })
}

/// What follows the last `=` is a strength only where it is a number: a path may have one, too.
fn adapters(given: &[OsString]) -> Result<Vec<(PathBuf, f32)>, Failure> {
    let adapter = |given: &OsString| {
        let split = given.to_str().and_then(|text| text.rsplit_once('='));
        let parsed = split.and_then(|(path, strength)| Some((PathBuf::from(path), strength.parse().ok()?)));
        let (name, strength) = parsed.unwrap_or_else(|| (PathBuf::from(given), 1.0));
        Ok((place(&name)?, strength))
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
    Err(Failure::Said(format!("{}: stands there already\nhelp: give another name", path.display())))
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
        (options.input.as_ref().or(options.from.as_ref()), options.output.as_ref().or(options.to.as_ref()))
    else {
        return Err(Failure::Usage("say what to convert and where to: IN OUT".to_string()));
    };
    is_free(to)?;
    let importance = options.importance.as_deref().map(Importance::open).transpose()?;
    let adapters = adapters(&options.lora)?;
    make(Made { from: &place(from)?, adapters, scheme: options.scheme, importance }, to, &options.how)
}

pub fn run_merge(options: &MergeOptions) -> Result<(), Failure> {
    let MergeOptions { out, how, .. } = options;
    is_free(out)?;
    let (base, adapters) = (place(&options.base)?, adapters(&options.adapters)?);
    if let Some(scheme) = options.scheme {
        return make(Made { from: &base, adapters, scheme, importance: None }, out, how);
    }
    let work = |watch: &mut (dyn FnMut(Progress) -> ControlFlow<()> + Send)| {
        merge(&base, &adapters, out, watch).map_err(Failure::from)
    };
    let (report, seconds) = watched("merging", how.quiet, work)?;
    let (changed, replaced, copied) = (report.changed, report.replaced, report.copied);
    if how.json {
        let made = json!({
            "path": out.display().to_string(), "bytes": report.bytes, "changed": changed, "replaced": replaced,
            "copied": copied, "seconds": seconds,
        });
        writeln!(stdout(), "{made}")?;
    } else if !how.quiet {
        eprintln!(
            "{}: {changed} tensors changed, {replaced} replaced, {copied} copied, {}, {seconds:.1} s",
            out.display(),
            size(report.bytes)
        );
    }
    Ok(())
}

/// Writes a GGUF file and says what came of it.
fn make(made: Made<'_>, to: &Path, how: &How) -> Result<(), Failure> {
    let Made { from, adapters, scheme, importance } = made;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = Wanted { scheme, by_hand: Vec::new(), weighted: importance.is_some() };
    let asked = convert::Options { wanted, adapters, importance, threads: how.threads.map_or(cores, usize::from) };
    let work = |watch: &mut (dyn FnMut(Progress) -> ControlFlow<()> + Send)| {
        convert(from, to, &asked, watch).map_err(Failure::from)
    };
    let (report, seconds) = watched("converting", how.quiet, work)?;
    if how.json {
        let made = json!({
            "path": to.display().to_string(), "type": scheme.name(), "bytes": report.bytes,
            "requantized": report.requantized, "unweighted": report.unweighted, "seconds": seconds,
        });
        writeln!(stdout(), "{made}")?;
    } else if !how.quiet {
        eprintln!("{}: {}, {}, {seconds:.1} s", to.display(), scheme.name(), size(report.bytes));
    }
    if how.quiet {
        return Ok(());
    }
    if report.requantized > 0 {
        eprintln!(
            "warning: {} tensors were quantized already; from the original the result would be better",
            report.requantized
        );
    }
    if report.unweighted > 0 {
        eprintln!("warning: the importance matrix says nothing of {} tensors", report.unweighted);
    }
    Ok(())
}
