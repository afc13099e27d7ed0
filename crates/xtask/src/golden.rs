//! Makes the golden data anew with Python programs.

use std::{fs, path::PathBuf};

use crate::{
    python,
    shell::{Outcome, program, root, say},
};

/// Runs `tests/golden/<name>.py` for the names given, or all of them.
pub fn golden(names: &[String]) -> Outcome {
    let folder = root().join("tests/golden");
    let python = python::environment("HUACAYA_GOLDEN", "huacaya-golden", &folder.join("requirements.txt"))?;
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
