//! A file that came another way (a net disk, a friend): which model it is, whatever its name, and whether it is whole.

use std::path::Path;

use huacaya_progress::Watch;
use huacaya_store::JobId;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{
    App,
    catalogue::Catalogue,
    chosen::Purpose,
    error::{Code, Error, Result},
    hashing::sha256,
    import::facts,
    jobs::{Outcome, Task},
    model_files::{file_name, files_of, whole_of},
};

/// What a file turned out to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Recognised {
    pub state: Recognition,
    /// Of the model, where it is known; else the file's own.
    pub name: String,
    /// The catalogue's entry.
    pub entry: Option<String>,
    pub bytes: u64,
    /// How long the whole file is, where that is known.
    pub expected: Option<u64>,
    /// For `import_model`.
    pub chosen: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Recognition {
    /// Its hash is that of a model of the catalogue or of the list. Where nobody published a hash: its size is exactly
    /// that of one of the catalogue, and its header agrees.
    Complete,
    /// Its header says that there is more.
    Truncated,
    /// It may be a sound model, but not one that is known.
    Unknown,
}

impl App {
    pub(crate) async fn recognise(&self, chosen: u32) -> Result<JobId> {
        let path = self.chosen(chosen, Purpose::Read)?;
        Ok(self.start_job(Task::Recognise { name: file_name(&path), path }).await?.id)
    }
}

/// The work of `Task::Recognise`.
pub(crate) fn recognise(app: &App, path: &Path, watch: Watch<'_>) -> Result<Outcome> {
    let path = whole_of(path);
    let chosen = app.offer(&path, Purpose::Read)?.id;
    let bytes = files_of(&path)?.iter().map(|(_, bytes)| bytes).sum();
    let mut found =
        Recognised { state: Recognition::Unknown, name: file_name(&path), entry: None, bytes, expected: None, chosen };
    let sound = match facts(&path, &found.name, None) {
        Ok(facts) => {
            found.name = facts.name;
            true
        }
        Err(error) if error.code == Code::ModelIncomplete => {
            cut_off(&mut found, &error);
            return Ok(Outcome::Recognised(found));
        }
        // Weights of one shard are no model by themselves, and may be known all the same.
        Err(_) => false,
    };
    let catalogue = Catalogue::bundled();
    let sha256 = sha256(&path, watch)?;
    let models = app.inner.runtime.block_on(app.inner.store.models())?;
    if let Some((entry, _, _)) = catalogue.by_sha256(&sha256) {
        (found.name, found.entry) = (entry.name.clone(), Some(entry.id.clone()));
        found.state = Recognition::Complete;
    } else if let Some(model) = models.iter().find(|model| model.sha256.as_ref() == Some(&sha256)) {
        found.name = model.name.clone();
        found.state = Recognition::Complete;
    } else if let [(entry, _, None)] = catalogue.by_bytes(bytes).as_slice()
        && sound
    {
        (found.name, found.entry) = (entry.name.clone(), Some(entry.id.clone()));
        found.state = Recognition::Complete;
    }
    found.expected = (found.state == Recognition::Complete).then_some(bytes);
    Ok(Outcome::Recognised(found))
}

/// What the beginning of a file tells, where its end is missing.
fn cut_off(found: &mut Recognised, error: &Error) {
    found.state = Recognition::Truncated;
    found.expected = error.values.get("needed").and_then(|needed| needed.parse().ok());
    if let Some(needed) = found.expected
        && let [(entry, ..)] = Catalogue::bundled().by_bytes(needed).as_slice()
    {
        (found.name, found.entry) = (entry.name.clone(), Some(entry.id.clone()));
    }
}
