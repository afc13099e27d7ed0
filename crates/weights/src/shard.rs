//! One file of a folder's tensors: safetensors, or what PyTorch saved.

use std::borrow::Cow;
use std::path::Path;

use huacaya_kernels::dequantize;

use crate::safetensors::Dtype;
use crate::{Error, pytorch, safetensors};

/// A file with tensors, mapped.
#[derive(Debug)]
pub enum Shard {
    Safetensors(safetensors::File),
    PyTorch(pytorch::File),
}

/// A tensor as it is stored, of any type.
#[derive(Clone, Debug)]
pub struct Raw<'a> {
    pub name: &'a str,
    pub dtype: Dtype,
    /// Row-major, slowest dimension first.
    pub shape: &'a [usize],
    /// Bytes it takes.
    pub bytes: u64,
}

impl Shard {
    /// Opens a file that is one of the two, whatever its name says.
    pub fn open(path: &Path) -> Result<Shard, Error> {
        // What is neither is told by the safetensors reader, as such files have no first bytes of their own.
        match crate::magic::of(path)? {
            crate::magic::Magic::PyTorch => pytorch::File::open(path).map(Shard::PyTorch),
            _ => safetensors::File::open(path).map(Shard::Safetensors),
        }
    }

    pub fn path(&self) -> &Path {
        match self {
            Shard::Safetensors(file) => file.path(),
            Shard::PyTorch(file) => file.path(),
        }
    }

    /// Bytes of the whole file.
    pub fn size(&self) -> u64 {
        match self {
            Shard::Safetensors(file) => file.size(),
            Shard::PyTorch(file) => file.size(),
        }
    }

    /// The tensors in the order of the file.
    pub fn tensors(&self) -> impl Iterator<Item = Raw<'_>> {
        (0..self.count()).map(|place| self.tensor(place))
    }

    pub(crate) fn count(&self) -> usize {
        match self {
            Shard::Safetensors(file) => file.tensors().len(),
            Shard::PyTorch(file) => file.tensors().len(),
        }
    }

    pub(crate) fn tensor(&self, place: usize) -> Raw<'_> {
        match self {
            Shard::Safetensors(file) => {
                let tensor = &file.tensors()[place];
                Raw { name: &tensor.name, dtype: tensor.dtype, shape: &tensor.shape, bytes: tensor.bytes }
            }
            Shard::PyTorch(file) => {
                let tensor = &file.tensors()[place];
                Raw { name: &tensor.name, dtype: tensor.dtype, shape: &tensor.shape, bytes: tensor.bytes }
            }
        }
    }

    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        match self {
            Shard::Safetensors(file) => file.header().place(name),
            Shard::PyTorch(file) => file.place(name),
        }
    }

    /// Little-endian, row-major.
    pub(crate) fn bytes(&self, place: usize) -> Cow<'_, [u8]> {
        match self {
            Shard::Safetensors(file) => Cow::Borrowed(file.bytes(&file.tensors()[place])),
            Shard::PyTorch(file) => file.bytes(&file.tensors()[place]),
        }
    }

    /// The tensor's values in f32. One of a type that cannot be computed with is an error.
    pub(crate) fn values(&self, place: usize) -> Result<Vec<f32>, Error> {
        let unsupported = || self.unsupported(place);
        let format = self.tensor(place).dtype.format().ok_or_else(unsupported)?;
        let bytes = self.bytes(place);
        let mut values = vec![0.0; bytes.len() / format.block_bytes()];
        dequantize(format, &bytes, &mut values).map_err(|_| unsupported())?;
        Ok(values)
    }

    pub(crate) fn will_need(&self, place: usize) {
        match self {
            Shard::Safetensors(file) => file.will_need(&file.tensors()[place]),
            Shard::PyTorch(file) => file.will_need(&file.tensors()[place]),
        }
    }

    /// Tells the system that the tensor's bytes will not be read again soon.
    pub(crate) fn release(&self, place: usize) {
        match self {
            Shard::Safetensors(file) => file.release(&file.tensors()[place]),
            Shard::PyTorch(file) => file.release(&file.tensors()[place]),
        }
    }

    /// The fault of a tensor whose values cannot be computed with.
    pub(crate) fn unsupported(&self, place: usize) -> Error {
        let Raw { name, dtype, .. } = self.tensor(place);
        let tensor = name.to_owned();
        match self {
            Shard::Safetensors(file) => Error::new(file.path(), safetensors::Fault::UnsupportedType { tensor, dtype }),
            Shard::PyTorch(file) => Error::new(file.path(), pytorch::Fault::UnsupportedType { tensor, dtype }),
        }
    }
}
