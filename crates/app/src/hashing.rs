//! A model's SHA-256: computed when it arrives, compared with what is known, and computed again when the person asks.

use std::ops::ControlFlow;
use std::{fs::File, io::Read, path::Path};

use huacaya_progress::{Progress, Watch};
use huacaya_store::{HashState, JobId, Model, ModelId, Source};
use sha2::{Digest, Sha256};

use crate::{
    App,
    catalogue::Catalogue,
    error::{Code, Error, Result},
    jobs::{Outcome, Task},
    model_files::files_of,
    now_ms,
};

/// A step of copying and hashing: large enough for a fast disk, small enough to stop at once.
const CHUNK_BYTES: usize = 1 << 20;

/// The work of `Task::Hash`: what the hash of a model that arrived is.
pub(crate) fn hash(app: &App, model: ModelId, watch: Watch<'_>) -> Result<Outcome> {
    judge(app, model, false, watch)
}

/// The work of `Task::Verify`: whether it is still what it was, or what the catalogue says.
pub(crate) fn verify(app: &App, model: ModelId, watch: Watch<'_>) -> Result<Outcome> {
    judge(app, model, true, watch)
}

fn judge(app: &App, model: ModelId, asked: bool, watch: Watch<'_>) -> Result<Outcome> {
    let (runtime, store) = (&app.inner.runtime, &app.inner.store);
    let file =
        if asked { runtime.block_on(app.ready_model(model))?.1 } else { runtime.block_on(store.model_file(model))? };
    let found = sha256(&file.path, watch)?;
    let change = |row: &mut Model| {
        row.hash = state(row, &found);
        if row.hash != HashState::Wrong {
            row.sha256 = Some(found.clone());
        }
        row.checked_ms = Some(now_ms());
    };
    let row = runtime.block_on(store.update_model(model, change))?;
    if row.hash == HashState::Wrong {
        let detail = format!("{}: its bytes are not what they should be: their SHA-256 is {found}", row.name);
        return Err(Error::new(Code::HashWrong, detail).with("name", row.name));
    }
    Ok(Outcome::Hashed { model, sha256: found })
}

/// What a computed hash says: the row's own is the one that the hub gave, or that was found when the model arrived.
fn state(row: &Model, found: &str) -> HashState {
    if row.sha256.as_deref().is_some_and(|known| !known.eq_ignore_ascii_case(found)) {
        return HashState::Wrong;
    }
    let given = row.sha256.is_some() && matches!(row.source, Source::BuiltIn | Source::Hub { .. });
    if row.hash == HashState::Verified || given || Catalogue::bundled().by_sha256(found).is_some() {
        HashState::Verified
    } else {
        HashState::Computed
    }
}

/// SHA-256 of a file; of several that of all their bytes, in the order of their names.
pub(crate) fn sha256(path: &Path, watch: Watch<'_>) -> Result<String> {
    let files = files_of(path)?;
    let mut progress = Progress { done: 0, total: files.iter().map(|(_, bytes)| bytes).sum() };
    let mut digest = Sha256::new();
    for (path, _) in &files {
        each_chunk(path, &mut progress, watch, |chunk| {
            digest.update(chunk);
            Ok(())
        })?;
    }
    Ok(hex(&digest.finalize()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a file piece by piece; the watch may stop it between two of them.
pub(crate) fn each_chunk(
    path: &Path,
    progress: &mut Progress,
    watch: Watch<'_>,
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut file = File::open(path).map_err(|error| Error::unreadable(path, &error))?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        if let ControlFlow::Break(()) = watch(*progress) {
            return Err(Error::stopped());
        }
        match file.read(&mut chunk).map_err(|error| Error::unreadable(path, &error))? {
            0 => return Ok(()),
            count => {
                take(&chunk[..count])?;
                progress.done += count as u64;
            }
        }
    }
}

impl App {
    /// Starts the job that computes a model's hash.
    pub(crate) async fn start_hash(&self, model: &Model) -> Result<()> {
        self.start_job(Task::Hash { model: model.id, name: model.name.clone() }).await?;
        Ok(())
    }

    pub(crate) async fn verify_model(&self, model: ModelId) -> Result<JobId> {
        let (row, _) = self.ready_model(model).await?;
        Ok(self.start_job(Task::Verify { model, name: row.name }).await?.id)
    }
}
