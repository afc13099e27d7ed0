//! A model's SHA-256: computed when it arrives, compared with what is known, and computed again when the person asks.

use std::ops::ControlFlow;
use std::{fs::File, io::Read, path::Path};

use huacaya_progress::{Progress, Watch};
use huacaya_store::{HashState, JobId, Model, ModelId};
use sha2::{Digest, Sha256};

use crate::{
    App,
    error::{Code, Error, Result},
    import::files_of,
    jobs::{Outcome, Task},
    now_ms,
};

/// A step of copying and hashing: large enough for a fast disk, small enough to stop at once.
const CHUNK_BYTES: usize = 1 << 20;

/// The work of `Task::Hash`: what the hash is.
pub(crate) fn hash(app: &App, model: ModelId, watch: Watch<'_>) -> Result<Outcome> {
    let runtime = &app.inner.runtime;
    let file = runtime.block_on(app.inner.store.model_file(model))?;
    let sha256 = sha256(&file.path, watch)?;
    let change = |row: &mut Model| {
        let known = row.hash == HashState::Verified && row.sha256.as_deref() == Some(&sha256);
        row.hash = if known { HashState::Verified } else { HashState::Computed };
        row.sha256 = Some(sha256.clone());
        row.checked_ms = Some(now_ms());
    };
    runtime.block_on(app.inner.store.update_model(model, change))?;
    Ok(Outcome::Hashed { model, sha256 })
}

/// The work of `Task::Verify`: whether it is still what it was, or what the catalogue says.
pub(crate) fn verify(app: &App, model: ModelId, watch: Watch<'_>) -> Result<Outcome> {
    let runtime = &app.inner.runtime;
    let (row, file) = runtime.block_on(app.ready_model(model))?;
    let found = sha256(&file.path, watch)?;
    let right = row.sha256.as_deref().is_none_or(|known| known == found);
    let change = |row: &mut Model| {
        row.hash = match (right, row.hash) {
            (false, _) => HashState::Wrong,
            (true, HashState::Verified) => HashState::Verified,
            (true, _) => HashState::Computed,
        };
        row.sha256.get_or_insert_with(|| found.clone());
        row.checked_ms = Some(now_ms());
    };
    runtime.block_on(app.inner.store.update_model(model, change))?;
    if !right {
        let detail = format!("{}: its bytes are not what they were: the SHA-256 is {found}", row.name);
        return Err(Error::new(Code::HashWrong, detail).with("name", row.name));
    }
    Ok(Outcome::Hashed { model, sha256: found })
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
