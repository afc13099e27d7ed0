//! Where the person's data lives: one folder, which `HUACAYA_HOME` moves.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::error::{Code, Error, Result};

/// The environment variable that moves the data folder.
const HOME: &str = "HUACAYA_HOME";
/// Beside the numbers of other programs, eight bytes of a hash are enough to tell data folders apart.
const NAME_BYTES: usize = 8;

/// The data folder and what lies in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    home: PathBuf,
    /// Another folder than the usual one.
    own: bool,
}

impl Places {
    /// The folder in `HUACAYA_HOME`, or the system's usual place for a program's data.
    pub fn find() -> Result<Places> {
        if let Some(home) = env::var_os(HOME).filter(|home| !home.is_empty()) {
            return Ok(Places { home: absolute(Path::new(&home))?, own: true });
        }
        let usual = directories::ProjectDirs::from("org", "huacaya", "huacaya").ok_or_else(|| {
            Error::new(Code::PlaceUnusable, format!("this system names no folder for data; set {HOME} to one"))
                .with("path", HOME)
                .with("reason", "no home folder")
        })?;
        Ok(Places { home: usual.data_dir().to_path_buf(), own: false })
    }

    /// A data folder of the caller's choice.
    pub fn at(home: &Path) -> Result<Places> {
        Ok(Places { home: absolute(home)?, own: true })
    }

    /// Holds the database, its backups and everything below.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Where models are kept, unless the person chose another folder.
    pub fn models(&self) -> PathBuf {
        self.home.join("models")
    }

    pub fn logs(&self) -> PathBuf {
        self.home.join("logs")
    }

    /// A short name for a data folder that is not the usual one, so that programs on different folders are told apart.
    pub fn own_name(&self) -> Option<String> {
        let digest = Sha256::digest(self.home.as_os_str().as_encoded_bytes());
        let hex: String = digest.iter().take(NAME_BYTES).map(|byte| format!("{byte:02x}")).collect();
        self.own.then(|| format!("h{hex}"))
    }

    /// Makes the folders that are missing.
    pub(crate) fn prepare(&self) -> Result<()> {
        for folder in [self.home.clone(), self.logs()] {
            fs::create_dir_all(&folder).map_err(|error| unusable(&folder, error))?;
        }
        Ok(())
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| unusable(path, error))
}

fn unusable(path: &Path, error: std::io::Error) -> Error {
    let path = path.display();
    Error::new(Code::PlaceUnusable, format!("{path}: cannot be used for data: {error}. Set {HOME} to another folder"))
        .with("path", path)
        .with("reason", error)
}
