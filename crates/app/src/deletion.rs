//! Deleting a model with its files: they wait beside the others for the undo, until the next start.
//!
//! The row goes first, then the files, one rename each into `<storage>/.deleted/<id>/`; the undo brings the files back
//! first, then the row. So whatever a crash left, either all files of a hidden model wait in `.deleted`, and it was
//! deleted, or some of them lie where they were, and then neither the deletion nor the undo came to its end: the model
//! comes back whole.

use std::{
    fs,
    path::{Path, PathBuf},
};

use huacaya_store::{DeletedModel, ModelFile, ModelId};
use serde::Serialize;
use ts_rs::TS;

use crate::{
    App, blocking,
    error::{Code, Error, Result},
    import::rename,
    model_files::{entries, file_name, file_now, files_of, paths_of},
    storage::{DELETED, Found, files_below, sync_folder},
};

/// What deleting a model would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, TS)]
pub struct Deletion {
    pub files: Vec<String>,
    pub bytes: u64,
    /// The files are the program's: they go. Else the model is only taken off the list.
    pub frees: bool,
    pub used_by_chats: u32,
}

impl App {
    pub(crate) async fn deletion(&self, model: ModelId) -> Result<Deletion> {
        self.refresh_storage().await?;
        let used_by_chats = self.inner.store.chats_of_model(model).await?;
        let row = self.inner.store.model(model).await?;
        let path = self.inner.store.model_file(model).await?.path;
        let frees = row.in_storage && path.exists();
        let others = self.others(model).await?;
        blocking(move || {
            let files = if frees { sizes(belongings(&path, &others)?) } else { files_of(&path).unwrap_or_default() };
            let bytes = files.iter().map(|(_, bytes)| bytes).sum();
            let files = files.iter().map(|(file, _)| file.display().to_string()).collect();
            Ok(Deletion { files, bytes, frees, used_by_chats })
        })
        .await
    }

    pub(crate) async fn delete_model(&self, model: ModelId) -> Result<()> {
        self.refresh_storage().await?;
        let row = self.inner.store.model(model).await?;
        let path = self.inner.store.model_file(model).await?.path;
        if !row.in_storage || !path.exists() {
            return self.remove_model(model).await;
        }
        self.refuse_while_moving()?;
        let (others, storage) = (self.others(model).await?, self.storage());
        self.unload_model(model).await?;
        self.stop_jobs_of(model).await?;
        self.inner.store.delete_model(model).await?;
        let (place, waiting) = (path.clone(), waiting(&storage, model));
        let moved = blocking(move || put_aside(&place, &others, &storage, &waiting)).await;
        if moved.is_err() {
            // What went aside already comes back, and with it the row.
            self.bring_back(model).await?;
            self.inner.store.restore_model(model).await?;
        }
        moved
    }

    /// Brings the files of a deleted model back to where they were.
    pub(crate) async fn bring_back(&self, model: ModelId) -> Result<()> {
        self.refresh_storage().await?;
        let deleted = self.inner.store.deleted_models().await?;
        let Some(deleted) = deleted.into_iter().find(|deleted| deleted.id == model) else { return Ok(()) };
        self.refuse_while_moving()?;
        let (file, waiting) = (deleted.file.clone(), waiting(&self.storage(), model));
        let now = blocking(move || take_back(&file, &waiting)).await?;
        if now != deleted.file {
            self.inner.store.rebase_model(model, &now).await?;
        }
        Ok(())
    }

    pub(crate) async fn purge_deleted(&self) -> Result<()> {
        for deleted in self.inner.store.deleted_models().await? {
            self.purge(&deleted).await?;
        }
        self.sweep_deleted(self.storage()).await
    }

    /// What earlier runs left: deleted models go for good, what was cut off in the middle comes back. What cannot be
    /// removed or brought back now waits for the next start.
    pub(crate) async fn tidy_deleted(&self) -> Result<()> {
        let storage = self.storage();
        if !storage.is_dir() {
            // The disk is not there now; it will be at another start.
            return Ok(());
        }
        let deleted = self.inner.store.deleted_models().await?;
        for deleted in deleted.iter().filter(|deleted| !deleted.kept) {
            if let Err(error) = self.finish_deletion(deleted).await {
                tracing::error!(%error, model = deleted.id.0, "what is left of a deleted model stays for now");
            }
        }
        if let Err(error) = self.sweep_deleted(storage).await {
            tracing::error!(%error, "files of deleted models stay for now");
        }
        Ok(())
    }

    async fn finish_deletion(&self, deleted: &DeletedModel) -> Result<()> {
        let path = deleted.file.path.clone();
        if !blocking(move || Ok(is_cut_off(&path))).await? {
            return self.purge(deleted).await;
        }
        tracing::warn!(model = deleted.id.0, "a deletion was cut off; the model comes back");
        self.bring_back(deleted.id).await?;
        self.inner.store.restore_model(deleted.id).await?;
        Ok(())
    }

    /// Removes what no hidden model waits for (its model was fetched anew).
    async fn sweep_deleted(&self, storage: PathBuf) -> Result<()> {
        // The folders first: whoever deletes a model now has written its row before its folder.
        let place = storage.join(DELETED);
        let there = blocking(move || Ok(entries(&place))).await?;
        let deleted = self.inner.store.deleted_models().await?;
        let known: Vec<PathBuf> = deleted.iter().map(|deleted| waiting(&storage, deleted.id)).collect();
        let ours = |folder: &PathBuf| file_name(folder).bytes().all(|byte| byte.is_ascii_digit());
        let left: Vec<PathBuf> = there.into_iter().filter(|folder| ours(folder) && !known.contains(folder)).collect();
        blocking(move || left.iter().try_for_each(|folder| remove(folder))).await
    }

    /// Files that are on their way elsewhere are left alone.
    fn refuse_while_moving(&self) -> Result<()> {
        let reason = "the storage folder is being moved";
        if self.inner.storage.is_moving() {
            Err(Error::new(Code::Unfit, reason).with("reason", reason))
        } else {
            Ok(())
        }
    }

    async fn purge(&self, deleted: &DeletedModel) -> Result<()> {
        let storage = self.storage();
        let waiting = waiting(&storage, deleted.id);
        blocking(move || remove(&waiting)).await?;
        Ok(self.inner.store.forget_model(deleted.id).await?)
    }

    /// The files of all other models of the list: none of them may go with this one.
    async fn others(&self, model: ModelId) -> Result<Vec<PathBuf>> {
        let mut others = Vec::new();
        for row in self.inner.store.models().await?.into_iter().filter(|row| row.id != model) {
            others.push(self.inner.store.model_file(row.id).await?.path);
        }
        Ok(others)
    }
}

/// Where the files of a deleted model wait.
fn waiting(storage: &Path, model: ModelId) -> PathBuf {
    storage.join(DELETED).join(model.0.to_string())
}

/// What goes with a model: its files, or its whole folder where no other model lies in it.
fn belongings(path: &Path, others: &[PathBuf]) -> Result<Vec<PathBuf>> {
    if path.is_dir() && !others.iter().any(|other| other.starts_with(path)) {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = paths_of(path)?;
    files.retain(|file| file.exists() && !others.contains(file));
    Ok(files)
}

/// The files behind belongings, with their sizes.
fn sizes(belongings: Vec<PathBuf>) -> Vec<(PathBuf, u64)> {
    let of_folder = |folder: &Path| files_below(folder).unwrap_or_default();
    let sizes = belongings.into_iter().flat_map(|path| match fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => of_folder(&path),
        Ok(metadata) => vec![Found { bytes: metadata.len(), path }],
        Err(_) => Vec::new(),
    });
    sizes.map(|Found { path, bytes }| (path, bytes)).collect()
}

fn put_aside(path: &Path, others: &[PathBuf], storage: &Path, waiting: &Path) -> Result<()> {
    let above = path.parent().unwrap_or(storage);
    for file in belongings(path, others)? {
        let place = waiting.join(file.strip_prefix(above).unwrap_or(&file));
        let folder = place.parent().unwrap_or(waiting);
        fs::create_dir_all(folder).map_err(|error| Error::unwritable(folder, &error))?;
        rename(&file, &place)?;
    }
    sync_folder(waiting);
    // `<owner>--<name>/` of a download, once nothing is left in it.
    let mut folder = path.parent();
    while let Some(empty) = folder.filter(|folder| *folder != storage && folder.starts_with(storage)) {
        if fs::remove_dir(empty).is_err() {
            break;
        }
        folder = empty.parent();
    }
    Ok(())
}

fn take_back(file: &ModelFile, waiting: &Path) -> Result<ModelFile> {
    let above = file.path.parent().unwrap_or(&file.path);
    fs::create_dir_all(above).map_err(|error| Error::unwritable(above, &error))?;
    take_out(waiting, above)?;
    sync_folder(above);
    remove(waiting)?;
    let now = file_now(&file.path)?;
    Ok(if now.bytes == file.bytes { now } else { file.clone() })
}

/// Moves what is in one folder into another. A file that lies at its place already is left there.
fn take_out(from: &Path, to: &Path) -> Result<()> {
    for entry in entries(from) {
        let place = to.join(entry.file_name().unwrap_or_default());
        if !place.exists() {
            rename(&entry, &place)?;
        } else if place.is_dir() && entry.is_dir() {
            take_out(&entry, &place)?;
        }
    }
    Ok(())
}

/// Whether a part of a hidden model lies where it was.
fn is_cut_off(path: &Path) -> bool {
    paths_of(path).unwrap_or_default().iter().any(|file| file.exists())
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::unwritable(folder, &error)),
        _ => Ok(()),
    }
}
