//! A GGUF file, mapped; or the several that one model was split into, as if they were one.

use std::path::{Path, PathBuf};

use super::{Fault, Header, Metadata, Tensor};
use crate::Error;
use crate::map::Map;

/// An open GGUF file: its header, and its tensors' bytes from the page cache.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    /// One, or one for each part of a split model.
    maps: Vec<Map>,
    header: Header,
}

impl File {
    /// Maps the file and reads its header. Tensors' bytes are not touched.
    pub fn open(path: &Path) -> Result<File, Error> {
        let map = Map::open(path)?;
        let header = Header::parse(path, &map)?;
        Ok(File { path: path.to_path_buf(), maps: vec![map], header })
    }

    /// The parts of one model, in their order, as one: the first one's keys, everyone's tensors.
    pub(crate) fn join(path: &Path, parts: Vec<File>) -> Result<File, Error> {
        let (maps, headers) = parts.into_iter().map(|part| (part.maps, part.header)).unzip::<_, _, Vec<_>, Vec<_>>();
        let header = Header::join(headers).map_err(|fault| Error::new(path, fault))?;
        Ok(File { path: path.to_path_buf(), maps: maps.into_iter().flatten().collect(), header })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the whole file, or of all of a split model's.
    pub fn size(&self) -> u64 {
        self.maps.iter().map(|map| map.len() as u64).sum()
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    pub fn metadata(&self) -> &Metadata {
        &self.header.metadata
    }

    /// The tensors in the order of the file.
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

    /// The tensor's bytes, as `tensor.format` lays them out: rows of `dimensions[0]` values, one after another.
    ///
    /// # Panics
    /// If `tensor` is not one of this file.
    pub fn bytes(&self, tensor: &Tensor) -> &[u8] {
        &self.maps[tensor.part][tensor.range()]
    }

    /// Asks the system to start reading the tensor in.
    pub fn will_need(&self, tensor: &Tensor) {
        let range = tensor.range();
        self.maps[tensor.part].will_need(range.start, range.len());
    }

    /// Tells the system that the tensor's bytes will not be read again soon.
    pub fn release(&self, tensor: &Tensor) {
        let range = tensor.range();
        self.maps[tensor.part].release(range.start, range.len());
    }
}
