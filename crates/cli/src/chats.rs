//! `chats`: the chats of the library, out of it and into it.

use std::{
    fs,
    io::{Write, stdout},
    path::PathBuf,
};

use base64::Engine as _;
use clap::{Args, Subcommand, ValueEnum};
use huacaya_app::{Purpose, rows::Chat};
use serde_json::{Value, json};

use crate::{failure::Failure, library::Library};

/// Hits that a search shows where nothing else is asked.
const HITS: u32 = 20;

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

#[derive(Clone, Copy, ValueEnum)]
enum Form {
    Json,
    Markdown,
}

#[derive(Subcommand)]
enum Command {
    /// Number and title of every chat, the newest first.
    #[command(visible_alias = "ls")]
    List,
    /// Writes chats (none given: all) into a file, or one chat to standard output.
    Export {
        /// Numbers of chats, as `chats list` shows them
        chats: Vec<i64>,
        /// The file to write; nothing may be there
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        #[arg(long, value_enum, default_value = "markdown")]
        format: Form,
    },
    /// Takes chats in: this program's JSON, or ChatGPT's conversations.json.
    Import { file: PathBuf },
    /// Finds chats and messages by their words.
    Search {
        text: String,
        #[arg(long, default_value_t = HITS)]
        limit: u32,
    },
}

pub fn run(options: &Options) -> Result<(), Failure> {
    Library::with(options.quiet, async |library| match &options.command {
        Command::List => list(library, options.json).await,
        Command::Export { chats, to, format } => export(library, chats, to.as_ref(), *format).await,
        Command::Import { file } => {
            let bytes = fs::read(file).map_err(|error| Failure::file("read", file, &error))?;
            let base64 = base64::engine::general_purpose::STANDARD.encode(bytes);
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let came: Value = library.call("import_chats", json!({"name": name, "base64": base64})).await?;
            if options.json {
                writeln!(stdout(), "{came}")?;
            } else {
                writeln!(stdout(), "{} chats, {} messages", came["chats"], came["messages"])?;
            }
            for skipped in came["skipped"].as_array().into_iter().flatten().filter(|_| !options.quiet) {
                eprintln!("warning: left out: {}", skipped["detail"].as_str().unwrap_or_default());
            }
            if came["chats"] == 0 {
                return Err(Failure::Unusable(format!("{}: no chat came in", file.display())));
            }
            Ok(())
        }
        Command::Search { text, limit } => {
            let found: Vec<Value> = library.call("search", json!({"text": text, "limit": limit})).await?;
            if options.json {
                writeln!(stdout(), "{}", json!(found))?;
                return Ok(());
            }
            for hit in found {
                let parts = hit["snippet"].as_array().into_iter().flatten();
                let snippet: String = parts.filter_map(|part| part["text"].as_str()).collect();
                let title = hit["title"].as_str().unwrap_or_default();
                writeln!(stdout(), "{}  {title}  {}", hit["chat"], snippet.replace('\n', " "))?;
            }
            Ok(())
        }
    })
}

async fn list(library: &Library, as_json: bool) -> Result<(), Failure> {
    let mut chats = library.rows().await?.chats;
    chats.sort_by_key(|chat| std::cmp::Reverse(chat.changed_ms));
    if as_json {
        writeln!(stdout(), "{}", json!(chats))?;
        return Ok(());
    }
    for Chat { id, title, heading, .. } in &chats {
        writeln!(stdout(), "{}  {}", id.0, if title.is_empty() { heading } else { title })?;
    }
    Ok(())
}

async fn export(library: &Library, chats: &[i64], to: Option<&PathBuf>, form: Form) -> Result<(), Failure> {
    let known = library.rows().await?.chats;
    if let Some(unknown) = chats.iter().find(|id| !known.iter().any(|chat| chat.id.0 == **id)) {
        return Err(Failure::NotThere(format!(
            "there is no chat {unknown}\nhelp: `huacaya-cli chats list` shows the numbers"
        )));
    }
    let format = match form {
        Form::Json => "json",
        Form::Markdown => "markdown",
    };
    match (to, chats) {
        (Some(to), _) => {
            crate::convert::is_free(to)?;
            let chosen = library.app.offer(to, Purpose::Write)?.id;
            let chats = (!chats.is_empty()).then_some(chats);
            library.call("export_chats", json!({"chats": chats, "format": format, "chosen": chosen})).await
        }
        (None, [one]) => {
            let text: String = library.call("export_text", json!({"chat": one, "format": format})).await?;
            Ok(stdout().write_all(text.as_bytes())?)
        }
        (None, _) => Err(Failure::Usage("several chats go into a file\nhelp: add --to FILE".to_string())),
    }
}
