//! `completions` and `man`: what shells and manuals know of the commands.

use std::{io::stdout, path::PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{Arguments, failure::Failure};

#[derive(Args)]
pub struct CompletionsOptions {
    shell: Shell,
}

#[derive(Args)]
pub struct ManOptions {
    /// The folder that gets one page for each command
    #[arg(value_name = "FOLDER")]
    to: PathBuf,
}

pub fn completions(options: &CompletionsOptions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Arguments::command(), "huacaya-cli", &mut script);
    Ok(std::io::Write::write_all(&mut stdout(), &script)?)
}

pub fn man(options: &ManOptions) -> Result<(), Failure> {
    let failed = |error| Failure::file("write manual pages into", &options.to, &error);
    std::fs::create_dir_all(&options.to).map_err(failed)?;
    clap_mangen::generate_to(Arguments::command(), &options.to).map_err(failed)
}
