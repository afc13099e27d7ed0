//! Makes the golden data anew: Python programs that no one here wrote, in a virtual environment outside the checkout.

use std::{env, ffi::OsString, fs, path::PathBuf};

use crate::shell::{Outcome, program, root, say};

/// Runs `tests/golden/<name>.py` for the names given, or all of them.
pub fn golden(names: &[String]) -> Outcome {
    let folder = root().join("tests/golden");
    let place = env::var_os("HUACAYA_GOLDEN").map_or_else(|| env::temp_dir().join("huacaya-golden"), PathBuf::from);
    let python = place.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if !python.exists() {
        say(&format!("making a virtual environment in {}", place.display()));
        program("python3", &[OsString::from("-m"), "venv".into(), place.clone().into()])?;
    }
    let requirements = folder.join("requirements.txt");
    program(
        &python,
        &["-m".into(), "pip".into(), "install".into(), "--quiet".into(), "-r".into(), OsString::from(requirements)],
    )?;
    let mut scripts: Vec<PathBuf> = fs::read_dir(&folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "py"))
        .filter(|path| {
            names.is_empty() || path.file_stem().is_some_and(|stem| names.iter().any(|name| stem == name.as_str()))
        })
        .collect();
    scripts.sort();
    if scripts.is_empty() {
        return Err(format!("no such golden script in {}", folder.display()));
    }
    for script in scripts {
        say(&format!("{}", script.display()));
        program(&python, &[&script])?;
    }
    Ok(())
}
