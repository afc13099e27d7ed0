//! `logits`: what the model thinks of every token of a text, for comparison with other programs.

use std::{
    fs::File,
    io::{BufWriter, Write, stdout},
    ops::ControlFlow,
    path::PathBuf,
    sync::Arc,
};

use clap::Args;
use huacaya_app::{
    engine::{Engine, Score, template::Prompt},
    progress::Progress,
};
use serde_json::json;

use crate::{
    failure::Failure,
    model::{Meter, ModelOptions},
    text::read_file,
};

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    model: ModelOptions,
    /// The text, read as it stands, with the model's start token before it; - for standard input
    #[arg(long, value_name = "FILE|-")]
    file: PathBuf,
    /// Where the logits go
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What is told is JSON in any case; taken so that every command takes it
    #[arg(long)]
    json: bool,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let Options { file, out, .. } = options;
    let text = read_file(file)?;
    let loaded = options.model.load()?;
    let failed = |error| Failure::of_model(&loaded.path, error);
    let tokens = loaded.model.render(&Prompt::Raw(text)).map_err(failed)?.tokens;
    let score =
        Score { model: Arc::clone(&loaded.model), adapters: Vec::new(), rows: 0..tokens.len(), tokens: tokens.clone() };
    let mut meter = Meter::new("computing", options.model.quiet);
    let mut watch = |progress: Progress| {
        meter.show(progress);
        if loaded.stop.asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let engine = Engine::start().map_err(failed)?;
    let scores = engine.score(score, &mut watch).map_err(failed)?;
    meter.clear();
    write(out, &scores.logits).map_err(|error| Failure::file("write", out, &error))?;
    let vocabulary = scores.logits.first().map_or(0, Vec::len);
    writeln!(stdout(), "{}", json!({"tokens": tokens.len(), "vocabulary": vocabulary, "ids": tokens}))?;
    Ok(())
}

fn write(path: &PathBuf, logits: &[Vec<f32>]) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for value in logits.iter().flatten() {
        file.write_all(&value.to_le_bytes())?;
    }
    file.into_inner()?.sync_all()
}
