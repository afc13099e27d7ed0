//! `doctor`: what this computer offers, where things lie, what would be recommended.

use std::io::{Write, stdout};

use clap::Args;
use serde_json::{Value, json};

use crate::{failure::Failure, library::Library};

#[derive(Args)]
pub struct Options {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Say nothing on standard error but errors
    #[arg(long)]
    quiet: bool,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    Library::with(options.quiet, async |library| {
        let mut found: Value = library.call("diagnostics", json!({})).await?;
        let catalogue: Value = library.call("catalogue", json!({})).await?;
        found["recommended"] = catalogue["recommended"].clone();
        if options.json {
            writeln!(stdout(), "{found}")?;
            return Ok(());
        }
        let text = found["text"].as_str().unwrap_or_default();
        // The log's end follows an empty line: it is for reports, not for this page.
        let head = text.split("\n\n").next().unwrap_or_default();
        writeln!(stdout(), "{head}")?;
        match catalogue["recommended"]["reason"]["en"].as_str() {
            Some(reason) => writeln!(stdout(), "recommended: {reason}")?,
            None => writeln!(stdout(), "recommended: no model of the catalogue would run well here")?,
        }
        Ok(())
    })
}
