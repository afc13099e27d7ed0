//! Python programs that no one here wrote, in a virtual environment outside the checkout.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::shell::{program, say};

/// The Python of the environment `name`, with the pinned `requirements`; made where there is none yet. It lies in the
/// system's folder for passing files, or where the variable says.
pub fn environment(variable: &str, name: &str, requirements: &Path) -> Result<PathBuf, String> {
    let place = env::var_os(variable).map_or_else(|| env::temp_dir().join(name), PathBuf::from);
    let python = place.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if !python.exists() {
        say(&format!("making a virtual environment in {}", place.display()));
        program("python3", &[OsString::from("-m"), "venv".into(), place.clone().into()])?;
    }
    let install = ["-m", "pip", "install", "--quiet", "-r"].map(OsString::from);
    program(&python, &[install.as_slice(), &[requirements.into()]].concat())?;
    Ok(python)
}
