//! `perplexity` and `importance`: what a text says about a model.

use std::{
    io::{Write, stdout},
    ops::ControlFlow,
    path::PathBuf,
};

use clap::Args;
use huacaya_app::{
    engine::measure::{self, CALIBRATION, Cut},
    progress::Progress,
};
use serde_json::json;

use crate::{
    failure::Failure,
    model::{Loaded, Meter, ModelOptions},
    text::read_file,
};

/// As in most published tables.
const CONTEXT: usize = 512;
const BUNDLED: &str = "calibration.txt";

#[derive(Args)]
pub struct PerplexityOptions {
    #[command(flatten)]
    read: ReadOptions,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct ImportanceOptions {
    #[command(flatten)]
    read: ReadOptions,
    /// Where the matrix goes, as GGUF
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A model and the text that it reads, in windows of --context tokens (512 where none is given).
#[derive(Args)]
struct ReadOptions {
    #[command(flatten)]
    model: ModelOptions,
    /// The text, instead of the bundled one; - for standard input
    #[arg(long, value_name = "FILE|-")]
    file: Option<PathBuf>,
    /// Windows to read at most
    #[arg(long, value_name = "NUMBER")]
    windows: Option<usize>,
}

pub fn perplexity(options: PerplexityOptions) -> Result<(), Failure> {
    let found = read(options.read, "reading", |loaded, text, _, cut, watch| {
        measure::perplexity(&loaded.model, text, cut, watch)
    })?;
    let measure::Perplexity { value, error, tokens, windows, context } = found;
    if options.json {
        let found =
            json!({"perplexity": value, "error": error, "tokens": tokens, "windows": windows, "context": context});
        writeln!(stdout(), "{found}")?;
    } else {
        writeln!(stdout(), "{value:.4} ± {error:.4} ({windows} windows of {context} tokens)")?;
    }
    Ok(())
}

pub fn importance(options: ImportanceOptions) -> Result<(), Failure> {
    let matrix = read(options.read, "reading", |loaded, text, name, cut, watch| {
        measure::importance(&loaded.model, text, name, cut, watch)
    })?;
    matrix.save(&options.out).map_err(Failure::from)?;
    if options.json {
        writeln!(stdout(), "{}", json!({"path": options.out.display().to_string()}))?;
    }
    Ok(())
}

/// Loads the model and the text, and does `work` with them and the text's name.
fn read<T>(
    mut options: ReadOptions,
    what: &'static str,
    work: impl FnOnce(&Loaded, &str, &str, Cut, &mut (dyn FnMut(Progress) -> ControlFlow<()> + Send)) -> measure::Result<T>,
) -> Result<T, Failure> {
    let context = *options.model.context.get_or_insert(CONTEXT);
    let (text, name) = match &options.file {
        None => (CALIBRATION.to_string(), BUNDLED.to_string()),
        Some(path) => (read_file(path)?, path.file_name().unwrap_or_default().to_string_lossy().into_owned()),
    };
    let loaded = options.model.load()?;
    let made_for = loaded.model.description().context_tokens;
    if context > made_for {
        return Err(Failure::Usage(format!("the model was made for {made_for} tokens, not for windows of {context}")));
    }
    let mut meter = Meter::new(what, options.model.quiet);
    let stop = loaded.stop.clone();
    let cut = Cut { context, windows_max: options.windows };
    let done = work(&loaded, &text, &name, cut, &mut |progress| {
        meter.show(progress);
        if stop.asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    meter.clear();
    done.map_err(|error| Failure::of_measurement(&loaded.path, error))
}
