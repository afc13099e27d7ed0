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

/// The instruction sets that the program has kernels for and this processor knows.
fn instruction_sets() -> Vec<&'static str> {
    let mut found = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        for (name, there) in [
            ("avx2", std::is_x86_feature_detected!("avx2")),
            ("fma", std::is_x86_feature_detected!("fma")),
            ("f16c", std::is_x86_feature_detected!("f16c")),
            ("avxvnni", std::is_x86_feature_detected!("avxvnni")),
            ("avx512f", std::is_x86_feature_detected!("avx512f")),
            ("avx512vnni", std::is_x86_feature_detected!("avx512vnni")),
        ] {
            found.extend(there.then_some(name));
        }
    }
    #[cfg(target_arch = "aarch64")]
    found.push("neon");
    found
}

pub fn run(options: &Options) -> Result<(), Failure> {
    Library::with(options.quiet, async |library| {
        let mut found: Value = library.call("diagnostics", json!({})).await?;
        let catalogue: Value = library.call("catalogue", json!({})).await?;
        found["instruction_sets"] = json!(instruction_sets());
        found["recommended"] = catalogue["recommended"].clone();
        if options.json {
            writeln!(stdout(), "{found}")?;
            return Ok(());
        }
        let text = found["text"].as_str().unwrap_or_default();
        // The log's end follows an empty line: it is for reports, not for this page.
        let head = text.split("\n\n").next().unwrap_or_default();
        writeln!(stdout(), "{head}\ninstruction sets: {}", instruction_sets().join(" "))?;
        match catalogue["recommended"]["reason"]["en"].as_str() {
            Some(reason) => writeln!(stdout(), "recommended: {reason}")?,
            None => writeln!(stdout(), "recommended: no model of the catalogue would run well here")?,
        }
        Ok(())
    })
}
