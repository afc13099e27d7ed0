//! A safetensors file, mapped.

use std::path::{Path, PathBuf};

use super::{Fault, Header, Tensor};
use crate::Error;
use crate::map::Map;

/// An open safetensors file: its header, and its tensors' bytes from the page cache.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    map: Map,
    header: Header,
}

impl File {
    /// Maps the file and reads its header. Tensors' bytes are not touched.
    pub fn open(path: &Path) -> Result<File, Error> {
        let map = Map::open(path)?;
        let header = Header::parse(path, &map)?;
        Ok(File { path: path.to_path_buf(), map, header })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the whole file.
    pub fn size(&self) -> u64 {
        self.map.len() as u64
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The tensors in the order of their bytes.
    pub fn tensors(&self) -> &[Tensor] {
        &self.header.tensors
    }

    /// The tensor with this name, where there is one.
    pub fn find(&self, name: &str) -> Option<&Tensor> {
        self.header.find(name)
    }

    /// The tensor with this name, which must be there.
    pub fn tensor(&self, name: &str) -> Result<&Tensor, Error> {
        self.find(name).ok_or_else(|| Error::new(&self.path, Fault::TensorMissing { tensor: name.to_owned() }))
    }

    /// The tensor's bytes, little-endian, row-major.
    ///
    /// # Panics
    /// If `tensor` is not one of this file.
    pub fn bytes(&self, tensor: &Tensor) -> &[u8] {
        &self.map[tensor.range()]
    }

    /// Asks the system to start reading the tensor in.
    pub fn will_need(&self, tensor: &Tensor) {
        let range = tensor.range();
        self.map.will_need(range.start, range.len());
    }

    /// Tells the system that the tensor will not be read again soon.
    pub(crate) fn release(&self, tensor: &Tensor) {
        let range = tensor.range();
        self.map.release(range.start, range.len());
    }
}
