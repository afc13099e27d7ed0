//! The UI: npm packages and the build of `ui/dist`, each done again only when what it is made from changed.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::shell::{Outcome, program_in, root, say};

pub const NPM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };

/// `npm ci`, unless what is installed came from this very lock file.
pub fn install() -> Outcome {
    let ui = root().join("ui");
    let stamp = ui.join("node_modules/.installed-lock.json");
    let lock = fs::read(ui.join("package-lock.json")).map_err(|error| format!("ui/package-lock.json: {error}"))?;
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    say("installing the UI's packages");
    program_in(&ui, NPM, &["ci", "--no-audit", "--no-fund"])?;
    fs::write(&stamp, lock).map_err(|error| format!("{}: {error}", stamp.display()))
}

/// Builds `ui/dist` where a source is newer than it.
pub fn build() -> Outcome {
    install()?;
    let ui = root().join("ui");
    let made = fs::metadata(ui.join("dist/.built")).and_then(|data| data.modified()).ok();
    let sources = [
        "src",
        "public",
        "../assets/mark.svg",
        "index.html",
        "package-lock.json",
        "vite.config.ts",
        "tsconfig.json",
        "svelte.config.js",
    ];
    let newest = sources.iter().filter_map(|name| newest(&ui.join(name))).max();
    if made.is_some() && made >= newest {
        return Ok(());
    }
    say("building the UI");
    program_in(&ui, NPM, &["run", "build"])?;
    let stamp = ui.join("dist/.built");
    fs::write(&stamp, []).map_err(|error| format!("{}: {error}", stamp.display()))
}

/// The latest time that this file, or anything in this folder (the folders themselves too, for deletions), was changed.
fn newest(path: &Path) -> Option<SystemTime> {
    let data = fs::metadata(path).ok()?;
    let own = data.modified().ok();
    if !data.is_dir() {
        return own;
    }
    let entries: Vec<PathBuf> = fs::read_dir(path).ok()?.flatten().map(|entry| entry.path()).collect();
    entries.iter().filter_map(|entry| newest(entry)).chain(own).max()
}
