//! One view on any model: a GGUF file (or the several it was split into), or a folder with `config.json` and safetensors or
//! PyTorch files. Tensors by name.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use huacaya_kernels::Format;

use crate::folder::{self, CONFIG_NAME, Folder, Found, folder_of};
use crate::magic::{self, Magic};
use crate::shard::{Raw, Shard};
use crate::{Error, Fault, gguf, pytorch, safetensors, split};

/// A model on the disk, its headers read and its tensors mapped.
#[derive(Debug)]
pub enum Checkpoint {
    Gguf(gguf::File),
    Folder(Folder),
}

/// A tensor as it is stored.
#[derive(Clone, Debug)]
pub struct View<'a> {
    pub name: &'a str,
    pub format: Format,
    /// Rows of the last dimension of the shape, one after another: from the map; gathered where a PyTorch file has them in
    /// steps.
    pub bytes: Cow<'a, [u8]>,
    dimensions: Dimensions<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Dimensions<'a> {
    Ggml(&'a [u64]),
    RowMajor(&'a [usize]),
}

/// Where a tensor of a checkpoint is, to be asked for its bytes often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Of a folder's files; 0 in a GGUF.
    shard: usize,
    tensor: usize,
}

/// A tensor in a list of them: what it is, not its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    /// Row-major, slowest dimension first.
    pub shape: Vec<usize>,
    /// The type's name in the field: `Q4_K`, `F16`, `I64`.
    pub kind: &'static str,
    pub bytes: u64,
}

impl From<&Raw<'_>> for Listed {
    fn from(raw: &Raw<'_>) -> Listed {
        let (name, shape) = (raw.name.to_owned(), raw.shape.to_vec());
        Listed { name, shape, kind: raw.dtype.name(), bytes: raw.bytes }
    }
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
    /// Opens a `.gguf` file (any one of a split model's), a `.safetensors` or PyTorch file (with what stands beside it), or
    /// a folder that has one of them; of a folder with both of the latter, the safetensors. What a file is shows in its
    /// bytes, not its name.
    pub fn open(path: &Path) -> Result<Checkpoint, Error> {
        if fs::metadata(path).map_err(|error| Error::new(path, error))?.is_dir() {
            return open_folder(path);
        }
        if let Some(CONFIG_NAME | safetensors::INDEX_NAME | pytorch::INDEX_NAME) =
            path.file_name().and_then(|name| name.to_str())
        {
            return open_folder(folder_of(path));
        }
        match magic::of(path)? {
            Magic::Gguf => split::open(path).map(Checkpoint::Gguf),
            Magic::PyTorch | Magic::Other => folder::open_file(path).map(Checkpoint::Folder),
        }
    }

    /// The file or folder that was opened.
    pub fn path(&self) -> &Path {
        match self {
            Checkpoint::Gguf(file) => file.path(),
            Checkpoint::Folder(folder) => folder.path(),
        }
    }

    /// The tensor with this name, where there is one. One of a type that cannot be computed with is an error.
    pub fn find(&self, name: &str) -> Result<Option<View<'_>>, Error> {
        match self {
            Checkpoint::Gguf(file) => Ok(file.find(name).map(|tensor| View {
                name: &tensor.name,
                format: tensor.format,
                bytes: Cow::Borrowed(file.bytes(tensor)),
                dimensions: Dimensions::Ggml(&tensor.dimensions),
            })),
            Checkpoint::Folder(folder) => folder.place(name).map(|(shard, place)| view(shard, place)).transpose(),
        }
    }

    /// The tensor with this name, which must be there.
    pub fn tensor(&self, name: &str) -> Result<View<'_>, Error> {
        self.find(name)?.ok_or_else(|| {
            let tensor = name.to_owned();
            let fault = match self {
                Checkpoint::Gguf(_) => Fault::Gguf(gguf::Fault::TensorMissing { tensor }),
                Checkpoint::Folder(folder) => match folder.shards().first() {
                    Some(Shard::PyTorch(_)) => Fault::PyTorch(pytorch::Fault::TensorMissing { tensor }),
                    _ => Fault::Safetensors(safetensors::Fault::TensorMissing { tensor }),
                },
            };
            Error::new(self.path(), fault)
        })
    }

    /// Where the tensor with this name is, where there is one.
    pub fn place(&self, name: &str) -> Option<Place> {
        match self {
            Checkpoint::Gguf(file) => {
                let tensor = file.tensors().iter().position(|tensor| tensor.name == name)?;
                Some(Place { shard: 0, tensor })
            }
            Checkpoint::Folder(folder) => {
                let (shard, tensor) = folder.numbers(name)?;
                Some(Place { shard, tensor })
            }
        }
    }

    /// The bytes of the tensor at a place that [`Checkpoint::place`] gave: from the map, but for what a PyTorch file has in
    /// steps.
    ///
    /// # Panics
    /// If the place is not one of this checkpoint.
    pub fn bytes(&self, place: Place) -> Cow<'_, [u8]> {
        match self {
            Checkpoint::Gguf(file) => Cow::Borrowed(file.bytes(&file.tensors()[place.tensor])),
            Checkpoint::Folder(folder) => folder.shards()[place.shard].bytes(place.tensor),
        }
    }

    pub fn contains(&self, name: &str) -> bool {
        match self {
            Checkpoint::Gguf(file) => file.find(name).is_some(),
            Checkpoint::Folder(folder) => folder.place(name).is_some(),
        }
    }

    /// The tensors' names in the order of the file or index.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Checkpoint::Gguf(file) => file.tensors().iter().map(|tensor| tensor.name.as_str()).collect(),
            Checkpoint::Folder(folder) => folder.names().iter().map(String::as_str).collect(),
        }
    }

    /// Every tensor, those of types that cannot be computed with among them, in the order of the file or index.
    pub fn list(&self) -> Vec<Listed> {
        match self {
            Checkpoint::Gguf(file) => {
                let listed = file.tensors().iter().map(|tensor| Listed {
                    name: tensor.name.clone(),
                    shape: tensor.shape(),
                    kind: tensor.format.name(),
                    bytes: tensor.bytes,
                });
                listed.collect()
            }
            Checkpoint::Folder(folder) => {
                let raws = folder.names().iter().filter_map(|name| folder.raw(name));
                raws.map(|raw| Listed::from(&raw)).collect()
            }
        }
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        match self {
            Checkpoint::Gguf(file) => file.size(),
            Checkpoint::Folder(folder) => folder.shards().iter().map(Shard::size).sum(),
        }
    }

    /// Asks the system to start reading a tensor in. One that is not there is no matter.
    pub fn will_need(&self, name: &str) {
        match self {
            Checkpoint::Gguf(file) => file.find(name).into_iter().for_each(|tensor| file.will_need(tensor)),
            Checkpoint::Folder(folder) => {
                if let Some((shard, place)) = folder.place(name) {
                    shard.will_need(place);
                }
            }
        }
    }
}

fn open_folder(path: &Path) -> Result<Checkpoint, Error> {
    match folder::find(path)? {
        Found::Folder(folder) => Ok(Checkpoint::Folder(folder)),
        Found::Gguf(file) => split::open(&file).map(Checkpoint::Gguf),
    }
}

fn view(shard: &Shard, place: usize) -> Result<View<'_>, Error> {
    let raw = shard.tensor(place);
    let format = raw.dtype.format().ok_or_else(|| shard.unsupported(place))?;
    Ok(View { name: raw.name, format, bytes: shard.bytes(place), dimensions: Dimensions::RowMajor(raw.shape) })
}
