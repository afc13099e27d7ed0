//! Files that the person chose in a dialog, by a drop or on the command line. Faces of web pages get an id, never the path.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use huacaya_store::ModelId;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{
    App,
    elsewhere::Program,
    error::{Code, Error, Result},
};

/// More than anyone drops at once, and than are found of other programs at once; the oldest are forgotten.
const CHOSEN_MAX: usize = 2048;

/// A chosen file or folder.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Chosen {
    pub id: u32,
    /// The file's name, without its folder.
    pub name: String,
    /// Its size; 0 for one that is yet to be written and for a folder.
    pub bytes: u64,
}

/// What a path was chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A file (or a folder) to read.
    Read,
    /// A file to write; the dialog has asked about replacing one.
    Write,
}

/// What a face may show in the system's file manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// The file of a model.
    Model(ModelId),
    /// The data folder.
    Home,
    /// The folder of models.
    Models,
    /// The log file.
    Log,
}

/// The paths behind the ids.
#[derive(Default)]
pub(crate) struct ChosenPaths(Mutex<Paths>);

#[derive(Default)]
struct Paths {
    last: u32,
    paths: BTreeMap<u32, Known>,
}

struct Known {
    path: PathBuf,
    purpose: Purpose,
    /// Whose file it is, and what it is called there, where it was found among another program's.
    program: Option<(Program, String)>,
}

impl ChosenPaths {
    fn add(&self, known: Known) -> u32 {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.last += 1;
        let id = inner.last;
        inner.paths.insert(id, known);
        while inner.paths.len() > CHOSEN_MAX {
            inner.paths.pop_first();
        }
        id
    }

    fn find(&self, id: u32, purpose: Purpose) -> Option<(PathBuf, Option<(Program, String)>)> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner
            .paths
            .get(&id)
            .filter(|known| known.purpose == purpose)
            .map(|known| (known.path.clone(), known.program.clone()))
    }
}

impl App {
    /// Gives a path that the person chose an id, which commands take.
    pub fn offer(&self, path: &Path, purpose: Purpose) -> Result<Chosen> {
        self.offer_of(path, purpose, None)
    }

    /// The same for a path that was found among another program's.
    pub(crate) fn offer_of(&self, path: &Path, purpose: Purpose, program: Option<(Program, String)>) -> Result<Chosen> {
        let path = std::path::absolute(path).map_err(|error| Error::unreadable(path, &error))?;
        let bytes = match purpose {
            Purpose::Read => {
                let metadata = fs::metadata(&path).map_err(|error| Error::unreadable(&path, &error))?;
                if metadata.is_file() { metadata.len() } else { 0 }
            }
            Purpose::Write => 0,
        };
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Ok(Chosen { id: self.inner.chosen.add(Known { path, purpose, program }), name, bytes })
    }

    /// Where a thing is that may be shown in the file manager.
    pub async fn path_of(&self, shown: Shown) -> Result<PathBuf> {
        let places = &self.inner.places;
        Ok(match shown {
            Shown::Model(model) => self.inner.store.model_file(model).await?.path,
            Shown::Home => places.home().to_path_buf(),
            Shown::Models => self.storage(),
            Shown::Log => crate::log::path(&places.logs()),
        })
    }

    /// The path behind an id.
    pub(crate) fn chosen(&self, id: u32, purpose: Purpose) -> Result<PathBuf> {
        self.inner.chosen.find(id, purpose).map(|(path, _)| path).ok_or_else(|| gone(id))
    }

    /// The same, and whose file it is.
    pub(crate) fn chosen_of(&self, id: u32) -> Result<(PathBuf, Option<(Program, String)>)> {
        self.inner.chosen.find(id, Purpose::Read).ok_or_else(|| gone(id))
    }
}

fn gone(id: u32) -> Error {
    Error::new(Code::ChosenGone, format!("there is no chosen file {id}; choose it again"))
}
