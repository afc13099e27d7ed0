//! The Hugging Face cache on this disk, read only: `models--owner--name/{refs,snapshots,blobs}`.
//!
//! Source: huggingface_hub's guide "Manage your cache". A file of a snapshot is a link to a blob (on Windows mostly a copy);
//! the blob of a large file is named by its SHA-256. hf-hub's own functions for these paths are private, and its
//! `resolve_cache_dir` knows no Windows home.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    names::{FileName, RepositoryId},
    repository::{RepositoryFile, sha256_of},
};

/// Repositories and snapshots that are looked through; a cache of more belongs to a cluster.
const FOLDERS_MAX: usize = 10_000;
/// A ref holds a commit of 40 digits.
const REF_BYTES_MAX: u64 = 100;

/// Where the cache is. `get` reads the environment.
pub fn cache_folder(get: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let named = |name: &str| get(name).filter(|value| !value.is_empty()).map(|value| expand(value.into(), &get));
    named("HF_HUB_CACHE")
        .or_else(|| named("HUGGINGFACE_HUB_CACHE"))
        .or_else(|| Some(hugging_face_home(&get)?.join("hub")))
}

/// The folder of everything that Hugging Face's programs keep.
pub(crate) fn hugging_face_home(get: &impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let named = |name: &str| get(name).filter(|value| !value.is_empty()).map(|value| expand(value.into(), get));
    let cache = || named("XDG_CACHE_HOME").or_else(|| Some(home(get)?.join(".cache")));
    named("HF_HOME").or_else(|| Some(cache()?.join("huggingface")))
}

fn home(get: &impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let name = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    get(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// `~` stands for the home folder in these variables.
fn expand(path: PathBuf, get: &impl Fn(&str) -> Option<OsString>) -> PathBuf {
    match (path.strip_prefix("~"), home(get)) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

/// The cache in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
}

/// A file of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// Under its own name where there is a snapshot of it, else the blob.
    pub path: PathBuf,
    /// The cache names it by the hash that is wanted. Otherwise only repository, path and size agree.
    pub by_hash: bool,
}

impl Cache {
    pub fn at(folder: impl Into<PathBuf>) -> Cache {
        Cache { folder: folder.into() }
    }

    /// The cache of this machine, where it has one.
    pub fn of_this_machine() -> Option<Cache> {
        cache_folder(|name| std::env::var_os(name)).filter(|folder| folder.is_dir()).map(Cache::at)
    }

    /// The wanted file, where it is here whole. Links that lead out of the repository's folder are not followed.
    pub fn find(&self, id: &RepositoryId, revision: &str, file: &RepositoryFile) -> Option<Cached> {
        let root = self.folder.canonicalize().ok()?;
        let repository = inside(&root, &self.folder.join(format!("models--{}", id.folder())));
        let in_snapshot = |repository: &PathBuf| {
            let commits = snapshots(repository, revision);
            commits.into_iter().find_map(|commit| in_snapshot(repository, &commit, file))
        };
        let as_blob = |repository: &PathBuf| blob(repository, file);
        let here = repository.as_ref().and_then(|repository| in_snapshot(repository).or_else(|| as_blob(repository)));
        here.or_else(|| self.elsewhere(&root, file))
    }

    /// The folder of a snapshot that holds all of these files whole.
    pub fn find_all(&self, id: &RepositoryId, revision: &str, files: &[RepositoryFile]) -> Option<PathBuf> {
        let root = self.folder.canonicalize().ok()?;
        let path = self.folder.join(format!("models--{}", id.folder()));
        let repository = inside(&root, &path)?;
        let holds = |commit: &String| files.iter().all(|file| in_snapshot(&repository, commit, file).is_some());
        let commit = snapshots(&repository, revision).into_iter().find(holds)?;
        Some(repository.join("snapshots").join(commit))
    }

    /// The same file in another repository of the cache: only its hash can tell.
    fn elsewhere(&self, root: &Path, file: &RepositoryFile) -> Option<Cached> {
        file.sha256.as_ref()?;
        let entries = fs::read_dir(&self.folder).ok()?.flatten().take(FOLDERS_MAX);
        let of_models = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("models--"));
        of_models.filter_map(|entry| inside(root, &entry.path())).find_map(|repository| blob(&repository, file))
    }
}

/// The commits whose snapshots may hold the file: the one that is asked for, else all.
fn snapshots(repository: &Path, revision: &str) -> Vec<String> {
    let is_commit = |text: &str| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_commit(revision) {
        return vec![revision.to_owned()];
    }
    let at_ref = FileName::parse(revision).ok().and_then(|name| {
        let path = inside(repository, &name.in_folder(&repository.join("refs")))?;
        let small = fs::metadata(&path).ok()?.len() <= REF_BYTES_MAX;
        let commit = small.then(|| fs::read_to_string(&path).ok()).flatten()?.trim().to_owned();
        is_commit(&commit).then_some(commit)
    });
    if let Some(commit) = at_ref {
        return vec![commit];
    }
    let Ok(entries) = fs::read_dir(repository.join("snapshots")) else { return Vec::new() };
    let names = entries.flatten().take(FOLDERS_MAX).map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| is_commit(name)).collect()
}

fn in_snapshot(repository: &Path, commit: &str, file: &RepositoryFile) -> Option<Cached> {
    let path = file.name.in_folder(&repository.join("snapshots").join(commit));
    let real = inside(repository, &path)?;
    if !is_whole(&real, file) {
        return None;
    }
    // Only large files' blobs are named by SHA-256; others by a hash of git's.
    let named = real.file_name().and_then(|name| sha256_of(name.to_str()?));
    match (&file.sha256, named) {
        (Some(wanted), Some(named)) => (*wanted == named).then_some(Cached { path, by_hash: true }),
        _ => Some(Cached { path, by_hash: false }),
    }
}

fn blob(repository: &Path, file: &RepositoryFile) -> Option<Cached> {
    let path = repository.join("blobs").join(file.sha256.as_ref()?);
    let real = inside(repository, &path)?;
    is_whole(&real, file).then_some(Cached { path, by_hash: true })
}

fn is_whole(path: &Path, file: &RepositoryFile) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == file.bytes)
}

/// The path with its links followed, where that lies in `folder`.
fn inside(folder: &Path, path: &Path) -> Option<PathBuf> {
    let (folder, real) = (folder.canonicalize().ok()?, path.canonicalize().ok()?);
    real.starts_with(&folder).then_some(real)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    struct Fixture {
        home: tempfile::TempDir,
        cache: Cache,
    }

    impl Fixture {
        fn repository(&self) -> PathBuf {
            self.home.path().join("张 庭 綱/　hub/models--team--model")
        }

        fn find(&self, file: &RepositoryFile) -> Option<Cached> {
            self.cache.find(&RepositoryId::parse("team/model").expect("an id"), "main", file)
        }
    }

    fn file(name: &str, bytes: u64, sha256: Option<&str>) -> RepositoryFile {
        RepositoryFile { name: FileName::parse(name).expect("a name"), bytes, sha256: sha256.map(str::to_owned) }
    }

    fn hash(letter: &str) -> String {
        letter.repeat(64)
    }

    /// A blob of five bytes named by its hash, in a snapshot as `sub/model.gguf` where the system has links.
    fn fixture() -> Fixture {
        let home = tempfile::tempdir().expect("a folder");
        let fixture = Fixture { cache: Cache::at(home.path().join("张 庭 綱/　hub")), home };
        let repository = fixture.repository();
        for folder in ["refs", "blobs", &format!("snapshots/{COMMIT}/sub")] {
            fs::create_dir_all(repository.join(folder)).expect("made");
        }
        fs::write(repository.join("refs/main"), COMMIT).expect("written");
        fs::write(repository.join("blobs").join(hash("a")), "model").expect("written");
        fs::write(repository.join(format!("snapshots/{COMMIT}/config.json")), "{}").expect("written");
        #[cfg(unix)]
        std::os::unix::fs::symlink(
            format!("../../../blobs/{}", hash("a")),
            repository.join(format!("snapshots/{COMMIT}/sub/model.gguf")),
        )
        .expect("linked");
        fixture
    }

    #[test]
    fn the_folder_is_the_one_that_hugging_faces_programs_use() {
        let of = |pairs: &'static [(&'static str, &'static str)]| {
            let get = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
            cache_folder(get)
        };
        assert_eq!(of(&[("HF_HUB_CACHE", "/a"), ("HF_HOME", "/b")]), Some("/a".into()));
        assert_eq!(of(&[("HF_HOME", "/b"), ("XDG_CACHE_HOME", "/c")]), Some("/b/hub".into()));
        assert_eq!(of(&[("HF_HOME", ""), ("XDG_CACHE_HOME", "/c")]), Some("/c/huggingface/hub".into()));
        assert_eq!(of(&[]), None);
        #[cfg(unix)]
        {
            assert_eq!(of(&[("HOME", "/h")]), Some("/h/.cache/huggingface/hub".into()));
            assert_eq!(of(&[("HOME", "/h"), ("HF_HOME", "~/x")]), Some("/h/x/hub".into()));
        }
    }

    #[test]
    fn a_file_is_found_by_its_hash_and_size() {
        let fixture = fixture();
        let found = fixture.find(&file("sub/model.gguf", 5, Some(&hash("a")))).expect("found");
        assert!(found.by_hash && fs::read(&found.path).expect("read") == b"model");
        #[cfg(unix)]
        assert!(found.path.ends_with("sub/model.gguf"), "{}", found.path.display());
        // Another name and another repository hold the same bytes.
        assert!(fixture.find(&file("other.gguf", 5, Some(&hash("a")))).expect("found").by_hash);
        let other = RepositoryId::parse("team/other").expect("an id");
        assert!(fixture.cache.find(&other, "main", &file("x.gguf", 5, Some(&hash("a")))).expect("found").by_hash);
        assert!(!fixture.find(&file("config.json", 2, None)).expect("found").by_hash);
    }

    #[test]
    fn a_folder_is_found_only_whole() {
        let fixture = fixture();
        let id = RepositoryId::parse("team/model").expect("an id");
        let config = file("config.json", 2, None);
        let found = fixture.cache.find_all(&id, COMMIT, std::slice::from_ref(&config)).expect("found");
        assert!(found.join("config.json").is_file());
        assert_eq!(fixture.cache.find_all(&id, "main", &[config, file("model.safetensors", 5, None)]), None);
    }

    #[test]
    fn what_differs_is_not_found() {
        let fixture = fixture();
        for wrong in [
            file("sub/model.gguf", 6, Some(&hash("a"))),
            file("sub/model.gguf", 5, Some(&hash("b"))),
            file("missing.gguf", 5, None),
            file("sub", 5, None),
            file("config.json", 3, None),
        ] {
            assert_eq!(fixture.find(&wrong), None, "{wrong:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_out_of_the_cache_are_not_followed() {
        let fixture = fixture();
        let (outside, repository) = (fixture.home.path().join("secret"), fixture.repository());
        fs::write(&outside, "outer").expect("written");
        let link = |target: &Path, name: PathBuf| std::os::unix::fs::symlink(target, name).expect("linked");
        link(&outside, repository.join(format!("snapshots/{COMMIT}/x.gguf")));
        link(&outside, repository.join("blobs").join(hash("c")));
        assert_eq!(fixture.find(&file("x.gguf", 5, None)), None);
        assert_eq!(fixture.find(&file("y.gguf", 5, Some(&hash("c")))), None);
        // A whole repository that is a link to elsewhere.
        let elsewhere = fixture.home.path().join("elsewhere");
        fs::create_dir_all(elsewhere.join("blobs")).expect("made");
        fs::write(elsewhere.join("blobs").join(hash("d")), "outer").expect("written");
        link(&elsewhere, repository.with_file_name("models--team--linked"));
        let id = RepositoryId::parse("team/linked").expect("an id");
        assert_eq!(fixture.cache.find(&id, "main", &file("z.gguf", 5, Some(&hash("d")))), None);
    }
}
