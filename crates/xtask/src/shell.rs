//! Starting programs in the root of the checkout, and saying what is started.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

/// `Err` holds what to tell the person.
pub type Outcome = Result<(), String>;

/// The root of the checkout.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Where cargo builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

pub fn say(what: &str) {
    eprintln!("\u{1b}[1m==> {what}\u{1b}[0m");
}

pub fn cargo(arguments: &[&str]) -> Outcome {
    program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), arguments)
}

/// Runs a program in the root and waits; a failure is an error that names it.
pub fn program(name: impl AsRef<OsStr>, arguments: &[impl AsRef<OsStr>]) -> Outcome {
    program_in(&root(), name, arguments)
}

pub fn program_in(folder: &Path, name: impl AsRef<OsStr>, arguments: &[impl AsRef<OsStr>]) -> Outcome {
    let shown = Path::new(name.as_ref()).display().to_string();
    let status = Command::new(name.as_ref())
        .args(arguments)
        .current_dir(folder)
        .status()
        .map_err(|error| format!("cannot start `{shown}`: {error}. Install it, then run this again."))?;
    if status.success() { Ok(()) } else { Err(format!("`{shown}` ended with {status}")) }
}

/// Whether a program can be started at all, and says so with status 0.
pub fn answers(name: &str, arguments: &[&str]) -> bool {
    Command::new(name).args(arguments).output().is_ok_and(|output| output.status.success())
}
