//! Choosing files where there is no system dialog: in folders that the face listed, by their number and by names in them.
//!
//! A page names no path. What it names is joined to a listed folder and looked at on the disk: hidden files, names that
//! climb, and links that lead out of the folder are not there for it.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::UNIX_EPOCH,
};

use huacaya_hub::FileName;
use huacaya_store::Time;
use serde::Serialize;
use ts_rs::TS;

use crate::{
    App, Chosen, Purpose, blocking,
    error::{Code, Error, Result},
};

/// Nobody scrolls further; a name that is typed narrows the list in the page.
const ENTRIES_MAX: usize = 2_000;
/// A folder with more files takes seconds to look through.
const SCANNED_MAX: usize = 50_000;
/// Folders within folders; a path longer than this is no person's click.
const DEPTH_MAX: usize = 64;

/// The folders that a face may show, beside the storage folder. `None`: it has dialogs of the system.
#[derive(Default)]
pub(crate) struct Listed(Mutex<Option<Vec<PathBuf>>>);

impl Listed {
    fn folders(&self) -> Option<Vec<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a listed folder holds.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Listing {
    /// Folders first, then files, each by name.
    pub entries: Vec<FolderEntry>,
    /// There is more than is listed.
    pub more: bool,
}

/// A file or a folder.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct FolderEntry {
    pub name: String,
    pub folder: bool,
    /// 0 for a folder.
    pub bytes: u64,
    /// When it was last written, in milliseconds since 1970.
    pub modified: Option<Time>,
}

impl App {
    /// Lets faces choose files in these folders and in the storage folder. None named: the person's downloads, if there.
    pub fn list_folders(&self, folders: &[PathBuf]) -> Result<()> {
        let downloads = || directories::UserDirs::new().and_then(|user| user.download_dir().map(Path::to_path_buf));
        let mut listed = Vec::new();
        for folder in folders {
            let folder = std::path::absolute(folder).map_err(|error| Error::unreadable(folder, &error))?;
            fs::read_dir(&folder).map_err(|error| Error::unreadable(&folder, &error))?;
            listed.push(folder);
        }
        if folders.is_empty() {
            listed.extend(downloads().filter(|folder| folder.is_dir()));
        }
        *self.inner.listed.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(listed);
        Ok(())
    }

    /// The folders to choose in, as they are shown. Their places in this list are their numbers.
    pub(crate) async fn listed_folders(&self) -> Result<Vec<String>> {
        Ok(self.roots()?.iter().map(|root| root.display().to_string()).collect())
    }

    /// What stands in a folder: the names lead to it from the listed folder of this number.
    pub(crate) async fn list_folder(&self, root: u32, path: Vec<String>) -> Result<Listing> {
        let root = self.root(root)?;
        blocking(move || {
            let folder = inside(&root, &path)?;
            list(&root, &folder).map_err(|error| Error::unreadable(&folder, &error))
        })
        .await
    }

    /// Chooses a file or folder to read.
    pub(crate) async fn choose_listed(&self, root: u32, path: Vec<String>) -> Result<Chosen> {
        let root = self.root(root)?;
        let path = blocking(move || inside(&root, &path)).await?;
        self.offer(&path, Purpose::Read)
    }

    /// Chooses a file to write, of this name in the folder that `path` leads to. `replace`: although there is one.
    pub(crate) async fn choose_new(&self, root: u32, path: Vec<String>, name: String, replace: bool) -> Result<Chosen> {
        let root = self.root(root)?;
        let place = blocking(move || {
            let name = FileName::parse(&name)?;
            if !is_plain(name.as_str()) {
                return Err(not_listed(name.as_str()));
            }
            let place = name.in_folder(&inside(&root, &path)?);
            // A link is followed when it is written to, so it has to stay in the folder as well.
            match fs::symlink_metadata(&place) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(place),
                Err(error) => Err(Error::unwritable(&place, &error)),
                Ok(there) if there.is_file() && replace => Ok(place),
                Ok(_) => Err(Error::unwritable(&place, &io::Error::from(io::ErrorKind::AlreadyExists))),
            }
        });
        self.offer(&place.await?, Purpose::Write)
    }

    fn roots(&self) -> Result<Vec<PathBuf>> {
        let listed = self.inner.listed.folders().ok_or_else(|| not_listed("this face"))?;
        let mut roots = vec![self.storage()];
        roots.extend(listed);
        Ok(roots)
    }

    fn root(&self, number: u32) -> Result<PathBuf> {
        self.roots()?.into_iter().nth(number as usize).ok_or_else(|| not_listed(&number.to_string()))
    }
}

fn not_listed(what: &str) -> Error {
    let shown: String = what.chars().take(120).flat_map(char::escape_debug).collect();
    Error::new(Code::FolderNotListed, format!("{shown}: not in a folder that is listed here to choose files in"))
}

/// A name of something in a folder, and nothing that leads elsewhere.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let single = matches!(parts.next(), Some(Component::Normal(only)) if only == name) && parts.next().is_none();
    single && !name.starts_with('.') && !name.contains('\0')
}

/// Where the names lead from the root. It is there, and it is inside, links followed.
fn inside(root: &Path, names: &[String]) -> Result<PathBuf> {
    if names.len() > DEPTH_MAX {
        return Err(not_listed("a path of so many folders"));
    }
    if let Some(name) = names.iter().find(|name| !is_plain(name)) {
        return Err(not_listed(name));
    }
    let mut path = root.to_path_buf();
    path.extend(names);
    let real = |path: &Path| path.canonicalize().map_err(|error| Error::unreadable(path, &error));
    let (real_root, real_path) = (real(root)?, real(&path)?);
    match stays(&real_root, &real_path) {
        true => Ok(path),
        false => Err(not_listed(&names.join("/"))),
    }
}

/// Whether a path, links followed, lies in the root and in nothing hidden there.
fn stays(root: &Path, path: &Path) -> bool {
    let hidden = |part: Component<'_>| part.as_os_str().as_encoded_bytes().starts_with(b".");
    path.strip_prefix(root).is_ok_and(|rest| !rest.components().any(hidden))
}

fn list(root: &Path, folder: &Path) -> io::Result<Listing> {
    let root = root.canonicalize()?;
    let (mut entries, mut seen) = (Vec::new(), 0);
    for found in fs::read_dir(folder)?.flatten().take(SCANNED_MAX + 1) {
        seen += 1;
        entries.extend(entry(&root, &found));
    }
    entries.sort_by_cached_key(|entry| (!entry.folder, entry.name.to_lowercase()));
    let more = entries.len() > ENTRIES_MAX || seen > SCANNED_MAX;
    entries.truncate(ENTRIES_MAX);
    Ok(Listing { entries, more })
}

/// `None`: nothing that can be chosen here.
fn entry(root: &Path, found: &fs::DirEntry) -> Option<FolderEntry> {
    let name = found.file_name().into_string().ok().filter(|name| is_plain(name))?;
    let path = found.path();
    if found.file_type().ok()?.is_symlink() && !path.canonicalize().is_ok_and(|real| stays(root, &real)) {
        return None;
    }
    let data = fs::metadata(&path).ok().filter(|data| data.is_dir() || data.is_file())?;
    let modified = data.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let bytes = if data.is_file() { data.len() } else { 0 };
    Some(FolderEntry { name, folder: data.is_dir(), bytes, modified: modified.map(|since| since.as_millis() as Time) })
}
