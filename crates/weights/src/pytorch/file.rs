//! A PyTorch file, mapped.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::archive::Archive;
use super::tensor::list;
use super::{Fault, Tensor};
use crate::Error;
use crate::map::Map;

/// Which shard of a model has which tensor.
pub const INDEX_NAME: &str = "pytorch_model.bin.index.json";
/// Some 130 bytes a tensor, of which no shard has more than some thousand.
const PICKLE_BYTES_MAX: usize = 8 << 20;
/// Names of Meta's own first and last layers: their matrices are split and turned in other ways.
const META_NAMES: [&str; 2] = ["tok_embeddings.weight", "layers.0.attention.wq.weight"];
/// What PyTorch wrote before 1.6: pickles one after another, the first of a magic number. Others began as a tar archive.
const LEGACY: [&[u8]; 2] = [b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", b"\x80\x02"];

/// An open PyTorch file: its tensors' places, and their bytes from the page cache.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    map: Map,
    tensors: Vec<Tensor>,
    places: HashMap<String, usize>,
}

impl File {
    /// Maps the file and reads what tensors it has. Their bytes are not touched, and nothing in the file is executed.
    pub fn open(path: &Path) -> Result<File, Error> {
        File::open_as(path, File::parse)
    }

    /// As [`File::open`], of a file in Meta's layout: one rank's part of every tensor, under Meta's names.
    pub(crate) fn open_meta(path: &Path) -> Result<File, Error> {
        File::open_as(path, File::parse_any)
    }

    fn open_as(path: &Path, parse: fn(&[u8]) -> Result<Vec<Tensor>, Fault>) -> Result<File, Error> {
        let map = Map::open(path)?;
        let tensors = parse(&map).map_err(|fault| Error::new(path, fault))?;
        let places = tensors.iter().enumerate().map(|(place, tensor)| (tensor.name.clone(), place)).collect();
        Ok(File { path: path.to_path_buf(), map, tensors, places })
    }

    /// What tensors a file with these bytes has. One in Meta's layout is refused: its names and matrices mean other things.
    pub fn parse(file: &[u8]) -> Result<Vec<Tensor>, Fault> {
        let tensors = File::parse_any(file)?;
        if tensors.iter().any(|tensor| META_NAMES.contains(&tensor.name.as_str())) {
            return Err(Fault::Meta);
        }
        Ok(tensors)
    }

    fn parse_any(file: &[u8]) -> Result<Vec<Tensor>, Fault> {
        if LEGACY.iter().any(|start| file.starts_with(start)) {
            return Err(Fault::Legacy);
        }
        let archive = Archive::read(file)?;
        let folder = archive.folder()?;
        if let Some(order) = archive.find(&format!("{folder}/byteorder"))
            && &file[order.clone()] != b"little"
        {
            let order = file[order].iter().take(16).map(|&byte| byte as char).collect();
            return Err(Fault::ByteOrder { order });
        }
        let pickle = archive.find(&format!("{folder}/data.pkl")).ok_or(Fault::NoPickle)?;
        if pickle.len() > PICKLE_BYTES_MAX {
            return Err(Fault::PickleTooLarge { bytes: pickle.len() as u64, limit: PICKLE_BYTES_MAX as u64 });
        }
        // A copy: text must not change between being checked and being used, as bytes of a mapped file may.
        let pickle = file[pickle].to_vec();
        list(&pickle, folder, &archive, file.len() as u64)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the whole file.
    pub fn size(&self) -> u64 {
        self.map.len() as u64
    }

    /// The tensors in the order of the dictionary.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The tensor with this name, where there is one.
    pub fn find(&self, name: &str) -> Option<&Tensor> {
        self.place(name).map(|place| &self.tensors[place])
    }

    /// Where in `tensors` the tensor with this name stands.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// The tensor's bytes, little-endian, row-major: from the map, or gathered where they lie in steps.
    ///
    /// # Panics
    /// If `tensor` is not one of this file.
    pub fn bytes(&self, tensor: &Tensor) -> Cow<'_, [u8]> {
        tensor.read(&self.map)
    }

    /// Asks the system to start reading the tensor in.
    pub fn will_need(&self, tensor: &Tensor) {
        self.map.will_need(tensor.start, tensor.bytes as usize);
    }

    /// Tells the system that the tensor will not be read again soon.
    pub(crate) fn release(&self, tensor: &Tensor) {
        self.map.release(tensor.start, tensor.bytes as usize);
    }
}
