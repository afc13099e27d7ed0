//! One view on any model: a GGUF file, or a folder with `config.json` and safetensors. Tensors by name.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use huacaya_kernels::Format;

use crate::json::read_config;
use crate::safetensors::{INDEX_NAME, Index};
use crate::{Error, Fault, gguf, safetensors};

/// The configuration beside safetensors.
const CONFIG_NAME: &str = "config.json";

/// A model on the disk, its headers read and its tensors mapped.
#[derive(Debug)]
pub enum Checkpoint {
    Gguf(gguf::File),
    Folder(Folder),
}

/// A folder as Hugging Face lays it out: `config.json`, and safetensors whole or in shards.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    config: serde_json::Value,
    shards: Vec<safetensors::File>,
    /// Tensor -> its shard, and its place there.
    places: HashMap<String, (usize, usize)>,
    /// In the order of the index, or of the one file.
    names: Vec<String>,
}

/// A tensor as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub name: &'a str,
    pub format: Format,
    /// Rows of the last dimension of the shape, one after another.
    pub bytes: &'a [u8],
    dimensions: Dimensions<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Dimensions<'a> {
    Ggml(&'a [u64]),
    RowMajor(&'a [usize]),
}

impl View<'_> {
    /// Row-major, slowest dimension first, as PyTorch and candle have it.
    pub fn shape(&self) -> Vec<usize> {
        match self.dimensions {
            Dimensions::Ggml(dimensions) => dimensions.iter().rev().map(|&dimension| dimension as usize).collect(),
            Dimensions::RowMajor(shape) => shape.to_vec(),
        }
    }
}

impl Checkpoint {
    /// Opens a `.gguf` file, a `.safetensors` file (with what stands beside it), or a folder that has one of them. What a
    /// file is shows in its bytes, not its name.
    pub fn open(path: &Path) -> Result<Checkpoint, Error> {
        if fs::metadata(path).map_err(|error| Error::new(path, error))?.is_dir() {
            return open_folder(path);
        }
        if let Some(CONFIG_NAME | INDEX_NAME) = path.file_name().and_then(|name| name.to_str()) {
            return open_folder(folder_of(path));
        }
        match magic(path)? {
            Magic::Gguf => open_gguf(path),
            Magic::Zip => Err(Error::new(path, Fault::PyTorch)),
            Magic::Other => open_safetensors(path),
        }
    }

    /// The file or folder that was opened.
    pub fn path(&self) -> &Path {
        match self {
            Checkpoint::Gguf(file) => file.path(),
            Checkpoint::Folder(folder) => &folder.path,
        }
    }

    /// The tensor with this name, where there is one. One of a type that cannot be computed with is an error.
    pub fn find(&self, name: &str) -> Result<Option<View<'_>>, Error> {
        match self {
            Checkpoint::Gguf(file) => Ok(file.find(name).map(|tensor| View {
                name: &tensor.name,
                format: tensor.format,
                bytes: file.bytes(tensor),
                dimensions: Dimensions::Ggml(&tensor.dimensions),
            })),
            Checkpoint::Folder(folder) => folder.find(name),
        }
    }

    /// The tensor with this name, which must be there.
    pub fn tensor(&self, name: &str) -> Result<View<'_>, Error> {
        self.find(name)?.ok_or_else(|| {
            let tensor = name.to_owned();
            Error::new(
                self.path(),
                match self {
                    Checkpoint::Gguf(_) => Fault::Gguf(gguf::Fault::TensorMissing { tensor }),
                    Checkpoint::Folder(_) => Fault::Safetensors(safetensors::Fault::TensorMissing { tensor }),
                },
            )
        })
    }

    pub fn contains(&self, name: &str) -> bool {
        match self {
            Checkpoint::Gguf(file) => file.find(name).is_some(),
            Checkpoint::Folder(folder) => folder.places.contains_key(name),
        }
    }

    /// The tensors' names in the order of the file or index.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Checkpoint::Gguf(file) => file.tensors().iter().map(|tensor| tensor.name.as_str()).collect(),
            Checkpoint::Folder(folder) => folder.names.iter().map(String::as_str).collect(),
        }
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        match self {
            Checkpoint::Gguf(file) => file.size(),
            Checkpoint::Folder(folder) => folder.shards.iter().map(safetensors::File::size).sum(),
        }
    }

    /// Asks the system to start reading a tensor in. One that is not there is no matter.
    pub fn will_need(&self, name: &str) {
        match self {
            Checkpoint::Gguf(file) => file.find(name).into_iter().for_each(|tensor| file.will_need(tensor)),
            Checkpoint::Folder(folder) => {
                if let Some((file, tensor)) = folder.place(name) {
                    file.will_need(tensor);
                }
            }
        }
    }
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
    pub fn shards(&self) -> &[safetensors::File] {
        &self.shards
    }

    fn place(&self, name: &str) -> Option<(&safetensors::File, &safetensors::Tensor)> {
        let &(shard, place) = self.places.get(name)?;
        let file = &self.shards[shard];
        Some((file, &file.tensors()[place]))
    }

    fn find(&self, name: &str) -> Result<Option<View<'_>>, Error> {
        let Some((file, tensor)) = self.place(name) else { return Ok(None) };
        let Some(format) = tensor.dtype.format() else {
            let fault = safetensors::Fault::UnsupportedType { tensor: tensor.name.clone(), dtype: tensor.dtype };
            return Err(Error::new(file.path(), fault));
        };
        let dimensions = Dimensions::RowMajor(&tensor.shape);
        Ok(Some(View { name: &tensor.name, format, bytes: file.bytes(tensor), dimensions }))
    }
}

enum Magic {
    Gguf,
    /// What PyTorch saves is a zip archive.
    Zip,
    Other,
}

fn magic(path: &Path) -> Result<Magic, Error> {
    let map = crate::map::Map::open(path)?;
    Ok(match map.get(..4) {
        Some(b"GGUF") => Magic::Gguf,
        Some(b"PK\x03\x04") => Magic::Zip,
        _ => Magic::Other,
    })
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A part of a model that was split into several GGUF files has the others' tensors missing.
fn open_gguf(path: &Path) -> Result<Checkpoint, Error> {
    let file = gguf::File::open(path)?;
    match file.metadata().find::<u64>("split.count")? {
        Some(count) if count > 1 => Err(Error::new(path, Fault::Split { count })),
        _ => Ok(Checkpoint::Gguf(file)),
    }
}

/// One file of a folder: the model in shards that it belongs to, or itself alone.
fn open_safetensors(path: &Path) -> Result<Checkpoint, Error> {
    let folder = folder_of(path);
    let index = folder.join(INDEX_NAME);
    if index.is_file() {
        let index = Index::open(&index)?;
        if index.shards.iter().any(|shard| path.file_name().is_some_and(|name| name == shard.as_str())) {
            return sharded(folder, index);
        }
    }
    whole(folder, path)
}

fn open_folder(folder: &Path) -> Result<Checkpoint, Error> {
    let index = folder.join(INDEX_NAME);
    if index.is_file() {
        return sharded(folder, Index::open(&index)?);
    }
    let single = folder.join("model.safetensors");
    if single.is_file() {
        return whole(folder, &single);
    }
    let with = |extension: &str| -> Result<Vec<PathBuf>, Error> {
        let entries = fs::read_dir(folder).map_err(|error| Error::new(folder, error))?;
        let paths = entries.flatten().map(|entry| entry.path());
        Ok(paths
            .filter(|path| {
                path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension)) && path.is_file()
            })
            .collect())
    };
    match (with("safetensors")?.as_slice(), with("gguf")?.as_slice()) {
        ([], []) => Err(Error::new(folder, Fault::NoModel)),
        ([file], []) => whole(folder, file),
        ([], [file]) => open_gguf(file),
        (safetensors, ggufs) => {
            Err(Error::new(folder, Fault::SeveralModels { count: safetensors.len() + ggufs.len() }))
        }
    }
}

fn whole(folder: &Path, path: &Path) -> Result<Checkpoint, Error> {
    // The file first: of something else than safetensors, that is what to say, not that config.json is missing.
    let file = safetensors::File::open(path)?;
    let config = read_config(&folder.join(CONFIG_NAME))?;
    let names: Vec<String> = file.tensors().iter().map(|tensor| tensor.name.clone()).collect();
    let places = names.iter().enumerate().map(|(place, name)| (name.clone(), (0, place))).collect();
    Ok(Checkpoint::Folder(Folder { path: folder.to_path_buf(), config, shards: vec![file], places, names }))
}

fn sharded(folder: &Path, index: Index) -> Result<Checkpoint, Error> {
    let config = read_config(&folder.join(CONFIG_NAME))?;
    let mut shards = Vec::with_capacity(index.shards.len());
    for shard in &index.shards {
        shards.push(safetensors::File::open(&folder.join(shard))?);
    }
    let mut places = HashMap::with_capacity(index.tensors.len());
    let mut names = Vec::with_capacity(index.tensors.len());
    for (tensor, shard) in index.tensors {
        let Some(place) = shards[shard].header().place(&tensor) else {
            let fault = safetensors::Fault::NotInShard { tensor, shard: index.shards[shard].clone() };
            return Err(Error::new(&folder.join(INDEX_NAME), fault));
        };
        places.insert(tensor.clone(), (shard, place));
        names.push(tensor);
    }
    Ok(Checkpoint::Folder(Folder { path: folder.to_path_buf(), config, shards, places, names }))
}
