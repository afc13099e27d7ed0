//! A folder as Hugging Face lays it out: `config.json`, and safetensors or PyTorch files, whole or in shards.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::json::read_config;
use crate::magic::{self, Magic};
use crate::pytorch;
use crate::safetensors::{self, Index};
use crate::shard::{Raw, Shard};
use crate::{Error, Fault};

/// The configuration beside the tensors.
pub(crate) const CONFIG_NAME: &str = "config.json";
/// What a LoRA adapter has in its place.
pub(crate) const ADAPTER_CONFIG_NAME: &str = "adapter_config.json";
/// The hyperparameters of Meta's own layout.
const META_CONFIG_NAME: &str = "params.json";
/// What PyTorch users call their files.
const PYTORCH_EXTENSIONS: [&str; 3] = ["bin", "pth", "pt"];

/// A model's folder, its headers read and its tensors mapped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    config: serde_json::Value,
    shards: Vec<Shard>,
    /// Tensor -> its shard, and its place there.
    places: HashMap<String, (usize, usize)>,
    /// In the order of the index, or of the one file.
    names: Vec<String>,
}

impl Folder {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.json`. Untrusted, like everything here.
    pub fn config(&self) -> &serde_json::Value {
        &self.config
    }

    /// The files with the tensors.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    pub(crate) fn place(&self, name: &str) -> Option<(&Shard, usize)> {
        let &(shard, place) = self.places.get(name)?;
        Some((&self.shards[shard], place))
    }

    /// The number of the tensor's shard, and of its place there.
    pub(crate) fn numbers(&self, name: &str) -> Option<(usize, usize)> {
        self.places.get(name).copied()
    }

    pub(crate) fn raw(&self, name: &str) -> Option<Raw<'_>> {
        self.place(name).map(|(shard, place)| shard.tensor(place))
    }
}

/// One file of a folder: the model in shards that it belongs to, or itself alone.
pub(crate) fn open_file(path: &Path) -> Result<Folder, Error> {
    let folder = folder_of(path);
    let pytorch = matches!(magic::of(path)?, Magic::PyTorch);
    let index = if pytorch { pytorch_index(folder)? } else { safetensors_index(folder)? };
    match index {
        Some(index) if index.shards.iter().any(|shard| path.file_name().is_some_and(|name| name == shard.as_str())) => {
            sharded(folder, index, pytorch)
        }
        _ => whole(folder, path),
    }
}

/// The folder's one model.
pub(crate) fn find(folder: &Path) -> Result<Found, Error> {
    if let Some(index) = safetensors_index(folder)? {
        return sharded(folder, index, false).map(Found::Folder);
    }
    let single = folder.join("model.safetensors");
    if single.is_file() {
        return whole(folder, &single).map(Found::Folder);
    }
    let files = files(folder)?;
    let with = |extension: &str| -> Vec<&PathBuf> {
        files.iter().filter(|path| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension))).collect()
    };
    // What an adapter has is no model of its own, whatever its file is called.
    if folder.join(ADAPTER_CONFIG_NAME).is_file() && !folder.join(CONFIG_NAME).is_file() {
        return Err(Error::new(folder, Fault::AdapterAlone));
    }
    match (with("safetensors").as_slice(), with("gguf").as_slice()) {
        ([], []) => pytorch(folder, &files).map(Found::Folder),
        ([file], []) => whole(folder, file).map(Found::Folder),
        ([], [file]) => Ok(Found::Gguf((*file).clone())),
        ([], ggufs) if crate::split::are_one_model(ggufs) => Ok(Found::Gguf(ggufs[0].clone())),
        (safetensors, ggufs) => {
            Err(Error::new(folder, Fault::SeveralModels { count: safetensors.len() + ggufs.len() }))
        }
    }
}

/// What a folder holds.
pub(crate) enum Found {
    Folder(Folder),
    Gguf(PathBuf),
}

/// The model that PyTorch saved in this folder.
fn pytorch(folder: &Path, files: &[PathBuf]) -> Result<Folder, Error> {
    if let Some(index) = pytorch_index(folder)? {
        return sharded(folder, index, true);
    }
    let single = folder.join("pytorch_model.bin");
    if single.is_file() {
        return whole(folder, &single);
    }
    let is_meta =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("consolidated."));
    if folder.join(META_CONFIG_NAME).is_file() && files.iter().any(is_meta) {
        return Err(Error::new(folder, pytorch::Fault::Meta));
    }
    // Optimizers' and trainers' states stand beside models under their own names, which nobody can list: of several
    // files, the person chooses.
    let is_pytorch = |path: &&PathBuf| {
        path.extension().and_then(|e| e.to_str()).is_some_and(|e| PYTORCH_EXTENSIONS.contains(&e))
            && matches!(magic::of(path), Ok(Magic::PyTorch))
    };
    match files.iter().filter(is_pytorch).collect::<Vec<_>>().as_slice() {
        [] => Err(Error::new(folder, Fault::NoModel)),
        [file] => whole(folder, file),
        several => Err(Error::new(folder, Fault::SeveralModels { count: several.len() })),
    }
}

/// The regular files in the folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(folder).map_err(|error| Error::new(folder, error))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

fn safetensors_index(folder: &Path) -> Result<Option<Index>, Error> {
    let path = folder.join(safetensors::INDEX_NAME);
    if path.is_file() { Index::open(&path).map(Some) } else { Ok(None) }
}

fn pytorch_index(folder: &Path) -> Result<Option<Index>, Error> {
    let path = folder.join(pytorch::INDEX_NAME);
    if path.is_file() { Index::open_pytorch(&path).map(Some) } else { Ok(None) }
}

/// The folder that a file lies in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn whole(folder: &Path, path: &Path) -> Result<Folder, Error> {
    // The file first: of something else than a model, that is what to say, not that config.json is missing.
    let shard = Shard::open(path)?;
    let config = read_config(&folder.join(CONFIG_NAME))?;
    let names: Vec<String> = shard.tensors().map(|tensor| tensor.name.to_owned()).collect();
    let places = names.iter().enumerate().map(|(place, name)| (name.clone(), (0, place))).collect();
    Ok(Folder { path: folder.to_path_buf(), config, shards: vec![shard], places, names })
}

fn sharded(folder: &Path, index: Index, pytorch: bool) -> Result<Folder, Error> {
    let config = read_config(&folder.join(CONFIG_NAME))?;
    let mut shards = Vec::with_capacity(index.shards.len());
    for shard in &index.shards {
        let path = folder.join(shard);
        shards.push(if pytorch {
            Shard::PyTorch(pytorch::File::open(&path)?)
        } else {
            Shard::Safetensors(safetensors::File::open(&path)?)
        });
    }
    let mut places = HashMap::with_capacity(index.tensors.len());
    let mut names = Vec::with_capacity(index.tensors.len());
    for (tensor, shard) in index.tensors {
        let Some(place) = shards[shard].place(&tensor) else {
            let fault = safetensors::Fault::NotInShard { tensor, shard: index.shards[shard].clone() };
            let name = if pytorch { pytorch::INDEX_NAME } else { safetensors::INDEX_NAME };
            return Err(Error::new(&folder.join(name), fault));
        };
        places.insert(tensor.clone(), (shard, place));
        names.push(tensor);
    }
    Ok(Folder { path: folder.to_path_buf(), config, shards, places, names })
}
