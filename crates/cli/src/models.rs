//! `models`: the models of the library, and where more come from.

use std::{
    io::{Write, stdout},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use huacaya_app::rows::{JobId, Model};
use serde_json::{Value, json};

use crate::{convert::size, failure::Failure, library::Library};

#[derive(Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
    /// Print one JSON value
    #[arg(long, global = true)]
    json: bool,
    /// Say nothing on standard error but errors
    #[arg(long, global = true)]
    quiet: bool,
}

#[derive(Subcommand)]
enum Command {
    /// The models of the library.
    #[command(visible_alias = "ls")]
    List,
    /// Finds repositories on the hub by their names.
    Search { text: String },
    /// Downloads a model: a repository (owner/name), an address of the hub, or of a model file.
    #[command(visible_alias = "download")]
    Pull {
        address: String,
        /// Which of its models: a file's name or a quantization such as Q4_K_M
        choice: Option<String>,
    },
    /// Takes a GGUF file, a folder or a LoRA adapter into the library.
    Import {
        path: PathBuf,
        /// Copy it into the storage folder instead of using it in its place
        #[arg(long)]
        copy: bool,
    },
    /// Takes a model off the list; its files stay.
    Rm {
        model: String,
        /// Delete its files, too, where they lie in the storage folder
        #[arg(long)]
        files: bool,
    },
    /// What a model's files say: keys and tensors.
    #[command(visible_alias = "show")]
    Inspect { model: String },
    /// Computes a model's hash again and compares it with the one that is known.
    Verify { model: String },
}

pub fn run(options: &Options) -> Result<(), Failure> {
    Library::with(options.quiet, async |library| match &options.command {
        Command::List => list(library, options.json).await,
        Command::Search { text } => search(library, text, options.json).await,
        Command::Pull { address, choice } => pull(library, address, choice.as_deref(), options.json).await,
        Command::Import { path, copy } => {
            let model = library.take_in(path, *copy).await?;
            say_model(&model, options.json)
        }
        Command::Rm { model, files } => {
            let row = library.model(model).await?;
            let command = if *files { "delete_model" } else { "remove_model" };
            library.call::<Value>(command, json!({"model": row.id})).await?;
            if options.json {
                writeln!(stdout(), "{}", json!({"removed": row.name, "files": *files && row.in_storage}))?;
            } else if !options.quiet {
                let kept = if *files && row.in_storage { "" } else { "; its files stay" };
                eprintln!("{}: off the list{kept}", row.name);
            }
            Ok(())
        }
        Command::Inspect { model } => inspect(library, model, options.json).await,
        Command::Verify { model } => {
            let row = library.model(model).await?;
            let job: JobId = library.call("verify_model", json!({"model": row.id})).await?;
            let outcome = library.wait(job, "verifying", "stop_job").await?.unwrap_or_default();
            if options.json {
                writeln!(stdout(), "{outcome}")?;
            } else {
                writeln!(
                    stdout(),
                    "{}: whole, SHA-256 {}",
                    row.name,
                    outcome["sha256"].as_str().unwrap_or("not told")
                )?;
            }
            Ok(())
        }
    })
}

async fn list(library: &Library, as_json: bool) -> Result<(), Failure> {
    let models = library.rows().await?.models;
    let mut out = stdout().lock();
    if as_json {
        writeln!(out, "{}", json!(models))?;
        return Ok(());
    }
    let wide = models.iter().map(|model| model.name.chars().count()).max().unwrap_or_default();
    for Model { name, quantization, file_bytes, context_tokens, path, state, .. } in &models {
        let context = if *context_tokens == 0 { String::new() } else { format!("{context_tokens} tokens") };
        let state = format!("{state:?}").to_lowercase();
        writeln!(out, "{name:<wide$}  {quantization:<8} {:>9}  {context:<13}  {state:<7}  {path}", size(*file_bytes))?;
    }
    Ok(())
}

async fn search(library: &Library, text: &str, as_json: bool) -> Result<(), Failure> {
    let hits: Vec<Value> = library.call("search_hub", json!({"text": text})).await?;
    let mut out = stdout().lock();
    if as_json {
        writeln!(out, "{}", json!(hits))?;
        return Ok(());
    }
    for hit in hits {
        let formats: Vec<&str> = hit["formats"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let repository = hit["repository"].as_str().unwrap_or_default();
        let gated = if hit["gated"] == true { "  gated" } else { "" };
        writeln!(out, "{repository}  {} downloads  {}{gated}", hit["downloads"], formats.join(" "))?;
    }
    Ok(())
}

/// Downloads the one choice that is meant; where it is not clear which, an error lists them.
async fn pull(library: &Library, address: &str, wanted: Option<&str>, as_json: bool) -> Result<(), Failure> {
    let page: Value = library.call("read_repository", json!({"address": address})).await?;
    let all: Vec<&Value> = page["choices"].as_array().into_iter().flatten().collect();
    let means = |choice: &&&Value| {
        let is =
            |key: &str| choice[key].as_str().is_some_and(|text| wanted.is_none_or(|w| w.eq_ignore_ascii_case(text)));
        is("id") || is("name") || is("quantization")
    };
    let meant: Vec<&&Value> = all.iter().filter(means).collect();
    let [choice] = meant.as_slice() else {
        let line = |choice: &&Value| {
            let text = |key: &str| choice[key].as_str().unwrap_or_default();
            format!(
                "\n  {}  {}  {}",
                text("id"),
                text("quantization"),
                size(choice["bytes"].as_u64().unwrap_or_default())
            )
        };
        let lines: String = all.iter().map(line).collect();
        let why = if meant.is_empty() { "no model that is meant" } else { "several models" };
        return Err(Failure::Usage(format!("{address}: {why}\nhelp: say which after the address:{lines}")));
    };
    let asked = json!({"address": address, "choice": choice["id"]});
    let job: JobId = library.call("download", asked).await?;
    let paused = |row: &huacaya_app::rows::Job| row.id == job && row.state == huacaya_app::rows::JobState::Paused;
    if library.rows().await?.jobs.iter().any(paused) {
        library.call::<Value>("resume_job", json!({"job": job})).await?;
    }
    let outcome = library.wait(job, "downloading", "pause_job").await?;
    match library.brought(outcome).await? {
        Some(model) => say_model(&model, as_json),
        None => Ok(()),
    }
}

fn say_model(model: &Model, as_json: bool) -> Result<(), Failure> {
    match as_json {
        true => writeln!(stdout(), "{}", json!(model))?,
        false => writeln!(stdout(), "{}", model.name)?,
    }
    Ok(())
}

async fn inspect(library: &Library, model: &str, as_json: bool) -> Result<(), Failure> {
    let row = library.model(model).await?;
    let inside: Value = library.call("read_metadata", json!({"model": row.id})).await?;
    let mut out = stdout().lock();
    if as_json {
        writeln!(out, "{}", json!({"model": row, "inside": inside}))?;
        return Ok(());
    }
    writeln!(out, "{}  {}  {}", row.name, row.quantization, row.path)?;
    for key in inside["metadata"].as_array().into_iter().flatten() {
        writeln!(out, "{} = {}", key["key"].as_str().unwrap_or_default(), key["value"].as_str().unwrap_or_default())?;
    }
    for tensor in inside["tensors"].as_array().into_iter().flatten() {
        let text = |key: &str| tensor[key].as_str().unwrap_or_default();
        writeln!(out, "{}  {}  {}", text("name"), text("kind"), tensor["shape"])?;
    }
    Ok(())
}
