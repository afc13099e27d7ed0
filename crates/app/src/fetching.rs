//! The work of a download, on a job's thread: every file found or fetched, checked as a model, and only then listed.

use std::{
    fs,
    future::Future,
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use huacaya_hub::{Cache, FileName, FileSource, RepositoryFile, RepositoryId, Stage, Wanted};
use huacaya_progress::{Progress, Watch};
use huacaya_store::{HashState, Model, ModelId, Source};
use sha2::{Digest, Sha256};

use crate::{
    App, blocking,
    downloads::{Pick, PickFile},
    error::{Code, Error, Result},
    finding::ChoiceKind,
    hashing,
    jobs::Tell,
    model_files::{file_name, file_now},
    network, now_ms,
};

/// How often a job looks how far its transfer is.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Room on the disk beside the files: journals, the database, what else goes on.
const SPARE_BYTES: u64 = 64 << 20;

/// Where the files of a pick lie, or will.
pub(crate) fn root(app: &App, pick: &Pick) -> PathBuf {
    within(app.storage(), &pick.folder)
}

/// Below `folder`, with the system's own separators.
pub(crate) fn within(folder: PathBuf, path: &str) -> PathBuf {
    path.split('/').filter(|name| !name.is_empty()).fold(folder, |folder, name| folder.join(name))
}

/// Brings a picked model here, into the list, and says which it is.
pub(crate) fn fetch_model(app: &App, pick: &Pick, tell: Tell<'_>, watch: Watch<'_>) -> Result<ModelId> {
    let runtime = &app.inner.runtime;
    if let Some(model) = runtime.block_on(app.model_of(pick))? {
        return Ok(model);
    }
    if let Some(path) = in_cache(pick) {
        match verified(pick, &path, tell, watch) {
            Ok(true) => return listed(app, pick, &path, None),
            Ok(false) => tracing::warn!(path = %path.display(), "another program's file is not what it should be"),
            Err(error) if error.code == Code::Stopped => return Err(error),
            Err(error) => tracing::warn!(%error, "another program's file cannot be used"),
        }
    }
    app.usable_storage()?;
    let root = root(app, pick);
    require_space(app, &root, pick)?;
    let total = pick.files.iter().map(|file| file.bytes).sum();
    let (mut done, mut hash) = (0, None);
    for file in &pick.files {
        let mut whole = |progress: Progress| watch(Progress { done: done + progress.done, total });
        hash = fetch_file(app, pick, file, &within(root.clone(), &file.path), tell, &mut whole)?;
        done += file.bytes;
    }
    listed(app, pick, &within(root, &pick.model), hash.filter(|_| pick.files.len() == 1))
}

/// Refuses what the disk has no room for, before the first byte.
fn require_space(app: &App, root: &Path, pick: &Pick) -> Result<()> {
    let missing = |file: &PickFile| file.bytes.saturating_sub(here(&app.storage(), pick, file));
    let needed: u64 = pick.files.iter().map(missing).sum();
    let free = huacaya_hub::free_space(root)?;
    if needed == 0 || needed.saturating_add(SPARE_BYTES) <= free {
        return Ok(());
    }
    let detail = format!("{}: {needed} bytes are to come, {free} are free", root.display());
    let error = Error::new(Code::SpaceShort, detail).with("needed", needed + SPARE_BYTES);
    Err(error.with("free", free).with("path", root.display()))
}

/// Bytes of this file that are here, unfinished or not.
pub(crate) fn here(storage: &Path, pick: &Pick, file: &PickFile) -> u64 {
    let place = within(within(storage.to_path_buf(), &pick.folder), &file.path);
    if place.is_file() { file.bytes } else { partial(&place) }
}

/// Bytes of this file that an earlier transfer left.
pub(crate) fn partial(place: &Path) -> u64 {
    huacaya_hub::partial(place).map_or(0, |progress| progress.done)
}

/// Fetches a file, unless it is there, and gives the hash of what came.
fn fetch_file(
    app: &App,
    pick: &Pick,
    file: &PickFile,
    place: &Path,
    tell: Tell<'_>,
    watch: Watch<'_>,
) -> Result<Option<String>> {
    if place.is_file() {
        if is_whole(file, place, tell, watch)? {
            return Ok(file.sha256.clone());
        }
        if app.inner.runtime.block_on(app.belongs_to_a_model(place))? {
            let detail = format!("{}: another file of this name is there, and a model of the list", place.display());
            return Err(Error::new(Code::FileExists, detail).with("path", place.display()));
        }
        fs::remove_file(place).map_err(|error| Error::unwritable(place, &error))?;
    }
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder).map_err(|error| Error::unwritable(folder, &error))?;
    }
    let wanted = Wanted {
        sources: sources(app, pick, file)?,
        place: place.to_path_buf(),
        bytes: (file.bytes > 0).then_some(file.bytes),
        sha256: file.sha256.clone(),
    };
    let hub = app.hub().clone();
    let fetched = follow(app, tell, watch, move |follower| async move {
        let mut watch = |progress| follower.report(progress);
        let stage = |stage: Stage| follower.tell(word(&stage));
        Ok(hub.fetch_with(&wanted, &stage, &mut watch).await?)
    })?;
    Ok(Some(fetched.sha256))
}

/// Whether a file that is there is the one that is wanted.
fn is_whole(file: &PickFile, place: &Path, tell: Tell<'_>, watch: Watch<'_>) -> Result<bool> {
    let metadata = fs::metadata(place).map_err(|error| Error::unreadable(place, &error))?;
    if metadata.len() != file.bytes {
        return Ok(false);
    }
    match &file.sha256 {
        Some(expected) => {
            tell("verifying");
            let mut progress = Progress { done: 0, total: metadata.len() };
            let mut digest = Sha256::new();
            hashing::each_chunk(place, &mut progress, watch, |chunk| {
                digest.update(chunk);
                Ok(())
            })?;
            Ok(hashing::hex(&digest.finalize()).eq_ignore_ascii_case(expected))
        }
        None => Ok(true),
    }
}

/// Where this file can be had: where it was found, then from the other endpoints that hold the same.
fn sources(app: &App, pick: &Pick, file: &PickFile) -> Result<Vec<FileSource>> {
    if let Some(url) = &pick.url {
        return Ok(vec![FileSource { url: network::address(url)?, etag: None }]);
    }
    let what =
        || Error::new(Code::NotFound, format!("{}: no repository", pick.repository)).with("what", &pick.repository);
    let id = RepositoryId::parse(&pick.repository).ok_or_else(what)?;
    let name = FileName::parse(&file.path)?;
    Ok(app.hub().sources(&id, &pick.revision, &pick.endpoint, &name, file.sha256.is_some()))
}

/// As the job's row holds it; a wait with its seconds and its reason: "waiting:8:connection reset".
fn word(stage: &Stage) -> String {
    match stage {
        Stage::Connecting => "connecting".to_string(),
        Stage::Fetching => "fetching".to_string(),
        Stage::Waiting { seconds, reason } => format!("waiting:{seconds}:{reason}"),
        Stage::Verifying => "verifying".to_string(),
        Stage::Mending => "mending".to_string(),
    }
}

/// The model as another program's download left it in the Hugging Face cache.
pub(crate) fn in_cache(pick: &Pick) -> Option<PathBuf> {
    let (id, cache) = (RepositoryId::parse(&pick.repository)?, Cache::of_this_machine()?);
    let listed = |file: &PickFile| {
        let name = FileName::parse(&file.path).ok()?;
        Some(RepositoryFile { name, bytes: file.bytes, sha256: file.sha256.clone() })
    };
    let files: Vec<RepositoryFile> = pick.files.iter().map(listed).collect::<Option<_>>()?;
    match &files[..] {
        // A file whose hash is not known may be any other of its name.
        [file] => file.sha256.as_ref().and_then(|_| Some(cache.find(&id, &pick.revision, file)?.path)),
        _ => Some(within(cache.find_all(&id, &pick.revision, &files)?, &pick.model)),
    }
}

/// Whether the files of a pick that lie elsewhere are what the hub says.
fn verified(pick: &Pick, path: &Path, tell: Tell<'_>, watch: Watch<'_>) -> Result<bool> {
    let single = path.is_file() && pick.files.len() == 1;
    let folder = if single { PathBuf::new() } else { path.to_path_buf() };
    for file in &pick.files {
        let place = if single { path.to_path_buf() } else { within(folder.clone(), below_model(pick, &file.path)) };
        if !is_whole(file, &place, tell, watch)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A file's path seen from the model's folder.
fn below_model<'a>(pick: &Pick, path: &'a str) -> &'a str {
    path.strip_prefix(pick.model.as_str()).unwrap_or(path).trim_start_matches('/')
}

/// Checks what came as a model and puts it into the list; `hash` is that of its only file, where it was computed. What is
/// no sound model is removed: its bytes are what the hub has, so keeping or fetching them again would not help.
fn listed(app: &App, pick: &Pick, path: &Path, hash: Option<String>) -> Result<ModelId> {
    let runtime = &app.inner.runtime;
    let model = match runtime.block_on(app.register(path, source(pick))) {
        Ok(model) => model,
        Err(error) => {
            let unsound = matches!(error.code, Code::ModelBroken | Code::ModelUnsupported | Code::ModelIncomplete);
            if unsound && path.starts_with(app.storage()) {
                remove(app, pick);
            }
            return Err(error);
        }
    };
    let change = |row: &mut Model| {
        (row.hash, row.sha256) = match &pick.files[..] {
            [PickFile { sha256: Some(known), .. }] => (HashState::Verified, Some(known.clone())),
            [_] => (hash.as_ref().map_or(HashState::Unknown, |_| HashState::Computed), hash),
            // Each of the large ones was held to its own hash.
            _ => (HashState::Verified, None),
        };
        row.checked_ms = Some(now_ms());
        if is_folder(pick.kind) && row.name == file_name(path) {
            // A folder is called as its repository, not as its place here.
            row.name = name_of(pick);
        }
    };
    let row = runtime.block_on(app.inner.store.update_model(model.id, change))?;
    if row.sha256.is_none() {
        // A hash of all its files, to compare with later.
        runtime.block_on(app.start_hash(&row))?;
    }
    Ok(row.id)
}

fn name_of(pick: &Pick) -> String {
    let last = |path: &str| path.rsplit('/').next().unwrap_or(path).to_string();
    let name = last(&pick.repository);
    if pick.model.is_empty() { name } else { format!("{name} {}", last(&pick.model)) }
}

fn source(pick: &Pick) -> Source {
    match &pick.url {
        Some(url) => Source::Url { url: url.clone() },
        None => Source::Hub {
            endpoint: pick.endpoint.clone(),
            repository: pick.repository.clone(),
            revision: pick.revision.clone(),
            file: pick.files.first().map(|file| file.path.clone()).unwrap_or_default(),
        },
    }
}

/// Removes the files of a pick, finished or not, and the folders that are empty then.
fn remove(app: &App, pick: &Pick) {
    let root = root(app, pick);
    for file in &pick.files {
        let place = within(root.clone(), &file.path);
        discard(&place);
        let others = app.inner.runtime.block_on(app.belongs_to_a_model(&place)).unwrap_or(true);
        if !others
            && let Err(error) = fs::remove_file(&place)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %place.display(), %error, "a file could not be removed");
        }
        remove_empty(&place, &app.storage());
    }
}

/// Removes what an unfinished transfer left.
pub(crate) fn discard(place: &Path) {
    if let Err(error) = huacaya_hub::discard(place) {
        tracing::debug!(path = %place.display(), %error, "nothing of a transfer was removed");
    }
}

/// Removes the folders above a file, up to the storage folder, as long as they are empty.
pub(crate) fn remove_empty(place: &Path, storage: &Path) {
    for folder in place.ancestors().skip(1).take_while(|folder| *folder != storage && folder.starts_with(storage)) {
        if fs::remove_dir(folder).is_err() {
            return;
        }
    }
}

/// What a transfer on the runtime and the job's thread tell each other.
#[derive(Clone, Default)]
struct Follower {
    now: Arc<Mutex<(Progress, Option<String>)>>,
    stop: Arc<AtomicBool>,
}

impl Follower {
    fn report(&self, progress: Progress) -> ControlFlow<()> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).0 = progress;
        if self.stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn tell(&self, stage: String) {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(stage);
    }
}

/// Runs async work on the runtime while this thread, which may write rows, passes on how far it is.
fn follow<T, F>(app: &App, tell: Tell<'_>, watch: Watch<'_>, work: impl FnOnce(Follower) -> F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let follower = Follower::default();
    let (send, result) = mpsc::sync_channel(1);
    let running = work(follower.clone());
    app.inner.runtime.spawn(async move {
        // The thread below waits for it, or is gone.
        let _ = send.send(running.await);
    });
    let mut told = None;
    loop {
        let ended = match result.recv_timeout(LOOK_EVERY) {
            Ok(ended) => Some(ended),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
            Err(mpsc::RecvTimeoutError::Disconnected) => Some(Err(Error::internal("a transfer broke off"))),
        };
        let (progress, stage) = follower.now.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if stage != told {
            if let Some(stage) = &stage {
                tell(stage);
            }
            told = stage;
        }
        if watch(progress).is_break() {
            follower.stop.store(true, Ordering::Relaxed);
        }
        if let Some(ended) = ended {
            return ended;
        }
    }
}

impl App {
    /// The model of the list that a pick of one file is: by its hash, whatever it is called and wherever it came from.
    pub(crate) async fn model_of(&self, pick: &Pick) -> Result<Option<ModelId>> {
        let [PickFile { sha256: Some(sha256), .. }] = &pick.files[..] else {
            return self.model_at_place(pick).await;
        };
        for model in self.inner.store.models().await? {
            let same = model.sha256.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(sha256));
            if same && model.hash != HashState::Wrong && self.is_as_checked(&model).await? {
                return Ok(Some(model.id));
            }
        }
        Ok(None)
    }

    /// The model of several files that an earlier download of the same revision made.
    async fn model_at_place(&self, pick: &Pick) -> Result<Option<ModelId>> {
        let path = within(root(self, pick), &pick.model);
        let known = self.inner.store.model_at(&path).await?;
        let models = self.inner.store.models().await?;
        let Some(model) = models.into_iter().find(|model| Some(model.id) == known) else { return Ok(None) };
        let same = model.source == source(pick) && model.hash != HashState::Wrong;
        Ok((same && self.is_as_checked(&model).await?).then_some(model.id))
    }

    async fn is_as_checked(&self, model: &Model) -> Result<bool> {
        let checked = self.inner.store.model_file(model.id).await?;
        blocking(move || Ok(file_now(&checked.path).is_ok_and(|now| now == checked))).await
    }

    /// Whether a file is a model's of the list, or lies in one's folder.
    pub(crate) async fn belongs_to_a_model(&self, place: &Path) -> Result<bool> {
        for model in self.inner.store.models().await? {
            if place.starts_with(self.inner.store.model_file(model.id).await?.path) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What is downloaded as a folder is a model as a folder.
pub(crate) fn is_folder(kind: ChoiceKind) -> bool {
    matches!(kind, ChoiceKind::Folder | ChoiceKind::Lora)
}
