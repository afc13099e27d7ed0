//! Downloads: what was picked becomes a job, its files come to the storage folder, and what passes every check is listed.

use std::path::PathBuf;

use huacaya_progress::Watch;
use huacaya_store::{JobId, JobState};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{
    App,
    catalogue::{Catalogue, Mark, MergePlan, same_as_original},
    error::{Code, Error, Result},
    fetching::{self, discard, is_folder, remove_empty, within},
    finding::ChoiceKind,
    jobs::{Outcome, Task, Tell},
    merging,
};

/// As much of a commit as tells two apart.
const REVISION_SHOWN: usize = 8;

/// What is to be downloaded, whole: the files of one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Pick {
    /// `owner/name`; empty for a direct address.
    pub repository: String,
    /// A commit, where the hub tells one.
    pub revision: String,
    /// The endpoint that told of it, by address.
    pub endpoint: String,
    pub kind: ChoiceKind,
    pub files: Vec<PickFile>,
    /// A direct address, of a single file.
    pub url: Option<String>,
    /// Where the files go, below the storage folder, with `/` between its parts.
    pub folder: String,
    /// What is listed at the end, below `folder`: the first file, or a folder ("": `folder` itself).
    pub model: String,
}

/// A file of it, by its path in the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct PickFile {
    pub path: String,
    pub bytes: u64,
    /// Absent where the hub keeps the file itself (small files) or does not say.
    pub sha256: Option<String>,
}

impl Pick {
    /// Whether both become the same files in the same place, or are the same single file.
    pub(crate) fn is_same(&self, other: &Pick) -> bool {
        let paths = |pick: &Pick| pick.files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
        let place = self.repository == other.repository && self.url == other.url && paths(self) == paths(other);
        let file = match (&self.files[..], &other.files[..]) {
            ([one], [another]) => one.sha256.is_some() && one.sha256 == another.sha256,
            _ => false,
        };
        place || file
    }
}

fn marks(pick: &Pick) -> Vec<Mark<'_>> {
    fn mark(file: &PickFile) -> Mark<'_> {
        Mark { path: &file.path, bytes: file.bytes, sha256: file.sha256.as_deref() }
    }
    pick.files.iter().map(mark).collect()
}

/// The work of `Task::Download`, on a worker thread.
pub(crate) fn download(app: &App, pick: &Pick, tell: Tell<'_>, watch: Watch<'_>) -> Result<Outcome> {
    Ok(Outcome::Downloaded { model: fetching::fetch_model(app, pick, tell, watch)? })
}

impl App {
    pub(crate) async fn download(&self, address: String, choice: String) -> Result<JobId> {
        let (name, address) = self.picked(&address, &choice).await?;
        let address = self.placed(address).await?;
        self.start_download(Task::Download { name, address }).await
    }

    pub(crate) async fn download_merged(&self, entry: String) -> Result<JobId> {
        let unknown = || Error::new(Code::NotFound, format!("{entry}: no LoRA of the catalogue")).with("what", &entry);
        let plan = Catalogue::bundled().merge_plan(&entry).ok_or_else(unknown)?;
        let adapter = self.placed(self.whole(&plan.adapter.repository).await?).await?;
        let base = self.placed(self.base_of(&plan).await?).await?;
        let name = plan.adapter.name.clone();
        let folder = self.free_folder(&name).await?;
        self.start_download(Task::DownloadAndMerge { name, base, adapter, folder }).await
    }

    /// The original weights of a base, or an ungated copy of them that is the same byte for byte.
    async fn base_of(&self, plan: &MergePlan<'_>) -> Result<Pick> {
        let base = plan.base;
        let original = self.whole(&base.repository).await;
        let open = |error: &Error| !matches!(error.code, Code::Gated | Code::TokenWrong | Code::NotFound);
        match &original {
            Ok(pick) if !base.needs_token || self.has_token_for(&pick.endpoint) => return original,
            Err(error) if open(error) => return original,
            _ => {}
        }
        let listed = original.as_ref().ok().map(marks);
        for copy in &base.copies {
            let Ok(pick) = self.whole(copy).await else { continue };
            match same_as_original(&base.weights, listed.as_deref(), &marks(&pick)) {
                Ok(()) => return Ok(pick),
                Err(error) => tracing::warn!(copy, %error, "a copy of a base is not taken"),
            }
        }
        original
    }

    /// A repository's model as a folder, or its adapter.
    async fn whole(&self, repository: &str) -> Result<Pick> {
        let config = self.picked(repository, "adapter_config.json").await;
        let found = if config.is_ok() { config } else { self.picked(repository, "config.json").await };
        found.map(|(_, pick)| pick)
    }

    /// The same pick, in a folder where nothing else has its files' names: another revision's keep theirs.
    async fn placed(&self, pick: Pick) -> Result<Pick> {
        let storage = self.storage();
        let taken = |file: &PickFile| {
            let place = within(within(storage.clone(), &pick.folder), &file.path);
            place.metadata().is_ok_and(|there| there.len() != file.bytes)
        };
        let revision: String = pick.revision.chars().filter(char::is_ascii_alphanumeric).take(REVISION_SHOWN).collect();
        if pick.files.iter().any(taken) && !revision.is_empty() {
            let folder = format!("{}--{revision}", pick.folder);
            return Ok(Pick { folder, ..pick });
        }
        Ok(pick)
    }

    /// The download that is under way for this pick.
    pub(crate) async fn download_for(&self, pick: &Pick) -> Result<Option<JobId>> {
        let task = Task::Download { name: String::new(), address: pick.clone() };
        Ok(self.download_of(&task).await?.map(|(job, _)| job))
    }

    /// Starts a download, or goes on with the one that is for the same files already.
    pub(crate) async fn start_download(&self, task: Task) -> Result<JobId> {
        let turn = self.inner.jobs.starting.lock().await;
        if let Some((job, state)) = self.download_of(&task).await? {
            drop(turn);
            if !matches!(state, JobState::Waiting | JobState::Running) {
                self.revive_job(job).await?;
            }
            return Ok(job);
        }
        Ok(self.start_job(task).await?.id)
    }

    /// The job that is not done yet and fetches the same.
    async fn download_of(&self, task: &Task) -> Result<Option<(JobId, JobState)>> {
        let same = |other: &Task| match (task, other) {
            (Task::Download { address: one, .. }, Task::Download { address: other, .. }) => one.is_same(other),
            (
                Task::DownloadAndMerge { base, adapter, .. },
                Task::DownloadAndMerge { base: other_base, adapter: other_adapter, .. },
            ) => base.is_same(other_base) && adapter.is_same(other_adapter),
            _ => false,
        };
        let jobs = self.inner.store.jobs().await?;
        let under_way = jobs.iter().filter(|job| !matches!(job.state, JobState::Done | JobState::Stopped));
        let mut found = under_way.filter(|job| Task::of(job).as_ref().is_some_and(same));
        Ok(found.next().map(|job| (job.id, job.state)))
    }

    /// The files and folders that unfinished downloads fill: nothing in them is a model yet.
    pub(crate) async fn unfinished(&self) -> Result<Vec<PathBuf>> {
        let mut places = Vec::new();
        for job in self.inner.store.jobs().await?.iter().filter(|job| job.state != JobState::Done) {
            let task = Task::of(job);
            places.extend(task.iter().flat_map(|task| merging::made_by(task, &self.storage())));
            for pick in task.iter().flat_map(Task::picks) {
                let root = fetching::root(self, pick);
                if is_folder(pick.kind) {
                    places.push(within(root.clone(), &pick.model));
                }
                places.extend(pick.files.iter().map(|file| within(root.clone(), &file.path)));
            }
        }
        Ok(places)
    }

    /// Removes what a download that nobody goes on with left behind: its parts, and the finished files of a model that
    /// is not whole.
    pub(crate) async fn clear_away(&self, task: &Task) -> Result<()> {
        let storage = self.storage();
        for place in merging::made_by(task, &storage) {
            self.sweep_made(&place).await?;
        }
        for pick in task.picks() {
            let root = fetching::root(self, pick);
            for file in &pick.files {
                let place = within(root.clone(), &file.path);
                discard(&place);
                if pick.files.len() > 1 && place.is_file() && !self.belongs_to_a_model(&place).await? {
                    std::fs::remove_file(&place).map_err(|error| Error::unwritable(&place, &error))?;
                }
                remove_empty(&place, &storage);
            }
        }
        Ok(())
    }
}
