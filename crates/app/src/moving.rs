//! Moving the storage folder: model by model, each renamed or copied whole before its row is switched; then the setting,
//! and only then are the old copies removed.
//!
//! At every moment each row names files that are there, so a move that was cut off leaves two folders with models that
//! work; it goes on where it was at the next start.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use huacaya_progress::{Progress, Watch};
use huacaya_store::{JobId, ModelFile, ModelId};
use serde_json::Value;

use crate::{
    App,
    chosen::Purpose,
    error::{Error, Result},
    import::{copy_file, part_of, rename, room},
    jobs::{Outcome, Task},
    model_files::{entries, file_name, file_now},
    storage::{FILES_MAX, Found, STORAGE, files_below, sync_folder, unusable},
};

/// Lies in the new folder until the move is done: what is there already was brought by it.
const MARK: &str = ".huacaya-moving";
/// Made and removed at once, to see whether the two folders are on one file system.
const PROBE: &str = ".huacaya-probe";

impl App {
    pub(crate) async fn move_storage(&self, chosen: u32) -> Result<JobId> {
        let to = self.chosen(chosen, Purpose::Read)?;
        self.refresh_storage().await?;
        let task = Task::MoveStorage { name: file_name(&to), from: self.storage(), to };
        Ok(self.start_job(task).await?.id)
    }

    /// Whether this path is one that a move of the storage folder has brought elsewhere already.
    pub(crate) async fn was_moved(&self, path: &Path) -> Result<bool> {
        for job in self.inner.store.jobs().await? {
            let Some(Task::MoveStorage { from, to, .. }) = Task::of(&job) else { continue };
            let Ok(inside) = path.strip_prefix(&from) else { continue };
            if self.inner.store.model_at(&to.join(inside)).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The work of `Task::MoveStorage`.
pub(crate) fn move_storage(app: &App, from: &Path, to: &Path, watch: Watch<'_>) -> Result<Outcome> {
    let _moving = app.inner.storage.moving();
    let storage = app.storage();
    if storage != to && storage != from {
        return Err(unusable(to, "the storage folder was moved elsewhere meanwhile"));
    }
    if storage == from && from != to {
        check(app, from, to)?;
        Move { app, from, to, progress: begin(from, to)? }.run(watch)?;
        let runtime = &app.inner.runtime;
        let folder = to.to_str().ok_or_else(|| unusable(to, "its name is not Unicode"))?;
        runtime.block_on(app.inner.store.set_setting(STORAGE, Value::from(folder)))?;
        app.inner.storage.set(to.to_path_buf());
        runtime.block_on(app.look_after_models())?;
    }
    if from != to {
        remove_old(from, to)?;
        let mark = to.join(MARK);
        if mark.exists() {
            fs::remove_file(&mark).map_err(|error| Error::unwritable(&mark, &error))?;
        }
    }
    Ok(Outcome::Moved { to: to.to_path_buf() })
}

/// Refuses a folder that cannot take the models, before anything is touched.
fn check(app: &App, from: &Path, to: &Path) -> Result<()> {
    let jobs = app.inner.runtime.block_on(app.inner.store.jobs())?;
    let fetches = |task: Task| !task.picks().is_empty();
    if jobs.iter().any(|job| app.inner.jobs.runs(job.id) && Task::of(job).is_some_and(fetches)) {
        return Err(unusable(to, "downloads are under way; pause them first"));
    }
    let real = |path: &Path| path.canonicalize().map_err(|error| unusable(path, error));
    fs::create_dir_all(to).map_err(|error| unusable(to, error))?;
    let (real_from, real_to) = (real(from)?, real(to)?);
    if real_to.starts_with(&real_from) || real_from.starts_with(&real_to) {
        return Err(unusable(to, "one of the two folders lies in the other"));
    }
    if real_to == real(app.inner.places.home())? {
        return Err(unusable(to, "it holds the program's own data"));
    }
    let mark = to.join(MARK);
    if !mark.exists() {
        let taken = entries(from).into_iter().filter_map(|entry| Some(to.join(entry.file_name()?)));
        if let Some(taken) = taken.into_iter().find(|place| place.exists()) {
            return Err(unusable(to, format!("there is a {} in it already", file_name(&taken))));
        }
        File::create(&mark).map_err(|error| unusable(to, error))?;
    }
    Ok(())
}

/// How much there is to move and how much is there already. Whether it has room is known before the first byte.
fn begin(from: &Path, to: &Path) -> Result<Progress> {
    let files = files_below(from)?;
    if files.len() >= FILES_MAX {
        return Err(unusable(from, format!("there are more than {FILES_MAX} files in it")));
    }
    let total: u64 = files.iter().map(|file| file.bytes).sum();
    let done: u64 = files.iter().filter(|file| is_there(file, from, to)).map(|file| file.bytes).sum();
    if !renames(from, to) {
        room(to, total - done).inspect_err(|_| {
            if done == 0 {
                // Nothing was brought: the folder is as it was.
                let _ = fs::remove_file(to.join(MARK));
            }
        })?;
    }
    Ok(Progress { done: 0, total })
}

/// Whether files can be brought over by a rename: the folders are on one file system.
fn renames(from: &Path, to: &Path) -> bool {
    let (probe, there) = (to.join(PROBE), from.join(PROBE));
    let renamed = File::create(&probe).is_ok() && fs::rename(&probe, &there).is_ok();
    [probe, there].iter().for_each(|left| drop(fs::remove_file(left)));
    renamed
}

fn is_there(file: &Found, from: &Path, to: &Path) -> bool {
    let place = file.path.strip_prefix(from).map(|inside| to.join(inside));
    place.is_ok_and(|place| fs::metadata(&place).is_ok_and(|there| there.is_file() && there.len() == file.bytes))
}

struct Move<'a> {
    app: &'a App,
    from: &'a Path,
    to: &'a Path,
    progress: Progress,
}

impl Move<'_> {
    fn run(mut self, watch: Watch<'_>) -> Result<()> {
        let rows = self.app.inner.runtime.block_on(self.app.inner.store.model_files())?;
        for (model, file) in rows {
            let Ok(inside) = file.path.strip_prefix(self.from) else { continue };
            let place = self.to.join(inside);
            let before = file_now(&file.path);
            self.bring_model(&file.path, watch)?;
            self.switch(model, &file, before.as_ref().ok(), &place)?;
        }
        // Cards, unfinished downloads, what waits for an undo.
        for file in files_below(self.from)? {
            self.bring(&file, watch)?;
        }
        Ok(())
    }

    /// All that belongs to a model, its first file last: without that one the model is not there.
    fn bring_model(&mut self, path: &Path, watch: Watch<'_>) -> Result<()> {
        if path.is_dir() {
            return files_below(path)?.iter().try_for_each(|file| self.bring(file, watch));
        }
        let mut files = crate::model_files::paths_of(path)?;
        files.reverse();
        for path in files {
            if let Ok(metadata) = fs::metadata(&path) {
                self.bring(&Found { path, bytes: metadata.len() }, watch)?;
            }
        }
        Ok(())
    }

    fn bring(&mut self, file: &Found, watch: Watch<'_>) -> Result<()> {
        if watch(self.progress).is_break() {
            return Err(Error::stopped());
        }
        let Ok(inside) = file.path.strip_prefix(self.from) else { return Ok(()) };
        let place = self.to.join(inside);
        if is_there(file, self.from, self.to) {
            self.progress.done += file.bytes;
            return Ok(());
        }
        let folder = place.parent().unwrap_or(self.to);
        fs::create_dir_all(folder).map_err(|error| Error::unwritable(folder, &error))?;
        if fs::rename(&file.path, &place).is_ok() {
            self.progress.done += file.bytes;
            return Ok(());
        }
        let part = part_of(&place);
        let copied = self.copy(file, &part, watch).and_then(|()| rename(&part, &place));
        // What is left of an attempt is of no use; that it cannot be removed changes nothing.
        copied.inspect_err(|_| drop(fs::remove_file(&part)))
    }

    fn copy(&mut self, file: &Found, part: &Path, watch: Watch<'_>) -> Result<()> {
        copy_file(&file.path, part, &mut self.progress, watch)?;
        let copied = fs::metadata(part).map_err(|error| Error::unreadable(part, &error))?.len();
        if copied != file.bytes {
            let reason = format!("{} has {copied} bytes after the copy, not {}", part.display(), file.bytes);
            return Err(unusable(self.to, reason));
        }
        Ok(())
    }

    /// The row stands for the new place from now on. A file that was missing or changed before is so there too.
    fn switch(&self, model: ModelId, file: &ModelFile, before: Option<&ModelFile>, place: &Path) -> Result<()> {
        let mut moved = ModelFile { path: place.to_path_buf(), ..file.clone() };
        sync_folder(if place.is_dir() { place } else { place.parent().unwrap_or(place) });
        match file_now(place) {
            // A copy is newer than what was copied, and no change of it.
            Ok(now) if now.bytes == file.bytes && before == Some(file) => moved.modified_ms = now.modified_ms,
            Err(_) if before.is_some() => {
                return Err(unusable(self.to, format!("{} did not arrive", place.display())));
            }
            _ => {}
        }
        Ok(self.app.inner.runtime.block_on(self.app.inner.store.rebase_model(model, &moved))?)
    }
}

/// Removes the copies that are in the new folder too, and the folders that are empty then.
fn remove_old(from: &Path, to: &Path) -> Result<()> {
    for file in files_below(from)? {
        if is_there(&file, from, to) {
            fs::remove_file(&file.path).map_err(|error| Error::unwritable(&file.path, &error))?;
        }
    }
    remove_empty(from);
    Ok(())
}

fn remove_empty(folder: &Path) {
    let folders: Vec<PathBuf> = entries(folder);
    for inside in folders.iter().filter(|path| path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())) {
        remove_empty(inside);
    }
    // One that is not empty stays.
    let _ = fs::remove_dir(folder);
}
