//! A model's folder in the making: shards of safetensors, their index, and the small files beside them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::Fault;
use crate::folder::folder_of;
use crate::part::PartFile;
use crate::safetensors::{INDEX_NAME, TensorPlan, Writer, size_of as file_size};
use crate::{Error, Fault as AnyFault};

/// As Hugging Face's library cuts: below what any file system or mirror takes.
const SHARD_BYTES: u64 = 4_500_000_000;

/// A folder in the making. It has its name only after [`FolderWriter::finish`]; dropped before, it is removed.
pub(super) struct FolderWriter {
    out: PathBuf,
    part: PathBuf,
    shards: Vec<Vec<TensorPlan>>,
    /// The shard that is being written.
    current: usize,
    writer: Option<Writer>,
    size: u64,
    files: Vec<String>,
    finished: bool,
}

impl FolderWriter {
    /// Begins the folder that will be at `out`.
    pub(super) fn create(out: &Path, tensors: Vec<TensorPlan>) -> Result<FolderWriter, Error> {
        // Not `exists`: a link to nowhere stands there, too.
        if fs::symlink_metadata(out).is_ok() {
            return Err(Error::new(out, Fault::Exists));
        }
        let size = size_of(&tensors)?;
        let mut name = out.file_name().map(OsString::from).unwrap_or_default();
        name.push(".part");
        let part = out.with_file_name(name);
        let at_part = |error| Error::new(&part, AnyFault::Io(error));
        match fs::symlink_metadata(&part) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&part).map_err(at_part)?,
            Ok(_) => fs::remove_file(&part).map_err(at_part)?,
            Err(_) => {}
        }
        fs::create_dir_all(&part).map_err(at_part)?;
        let shards = cut(tensors);
        let mut folder = FolderWriter {
            out: out.to_path_buf(),
            part,
            shards,
            current: 0,
            writer: None,
            size,
            files: Vec::new(),
            finished: false,
        };
        folder.begin()?;
        Ok(folder)
    }

    /// Bytes of all tensors' files.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Every file that the folder will have.
    pub(super) fn files(&self) -> Vec<String> {
        let shards = (0..self.shards.len()).map(|shard| shard_name(shard, self.shards.len()));
        let index = (self.shards.len() > 1).then(|| INDEX_NAME.to_owned());
        shards.chain(index).chain(self.files.iter().cloned()).collect()
    }

    /// Appends bytes to the tensor `name`, in the order of the plan.
    pub(super) fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        if !self.shards.get(self.current).is_some_and(|shard| shard.iter().any(|tensor| tensor.name == name)) {
            self.end()?;
            self.current += 1;
            self.begin()?;
        }
        self.writer.as_mut().map_or(Ok(()), |writer| writer.bytes(name, bytes))
    }

    /// Writes one file beside the tensors.
    pub(super) fn small_file(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.part.join(name);
        let written = PartFile::create(&path).and_then(|mut part| part.write(bytes).and_then(|()| part.finish()));
        written.map_err(|error| Error::new(&path, error))?;
        self.files.push(name.to_owned());
        Ok(())
    }

    /// Makes sure of the folder on the disk and gives it its name.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.end()?;
        // Shards whose tensors are all empty were never begun.
        while self.current + 1 < self.shards.len() {
            self.current += 1;
            self.begin()?;
            self.end()?;
        }
        if self.shards.len() > 1 {
            let index = index(&self.shards);
            self.small_file(INDEX_NAME, &index)?;
        }
        let at_out = |error| Error::new(&self.out, AnyFault::Io(error));
        sync(&self.part).map_err(at_out)?;
        // Another that was made meanwhile is not replaced: a rename onto a folder that holds something fails.
        fs::rename(&self.part, &self.out).map_err(at_out)?;
        self.finished = true;
        sync(folder_of(&self.out)).map_err(at_out)
    }

    fn begin(&mut self) -> Result<(), Error> {
        if let Some(shard) = self.shards.get(self.current) {
            let name = shard_name(self.current, self.shards.len());
            self.writer = Some(Writer::create(&self.part.join(name), shard)?);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        self.writer.take().map_or(Ok(()), Writer::finish)
    }
}

impl Drop for FolderWriter {
    fn drop(&mut self) {
        if !self.finished {
            // The open file first: Windows removes no folder with one.
            self.writer = None;
            let _ = fs::remove_dir_all(&self.part);
        }
    }
}

/// Bytes of all tensors' files.
pub(super) fn size_of(tensors: &[TensorPlan]) -> Result<u64, Error> {
    let shards = cut(tensors.to_vec());
    let sizes = shards.iter().map(|shard| file_size(shard).map_err(|fault| Error::new(Path::new(""), fault)));
    sizes.sum()
}

/// The tensors in shards of at most [`SHARD_BYTES`], or of one larger tensor.
fn cut(tensors: Vec<TensorPlan>) -> Vec<Vec<TensorPlan>> {
    let mut shards: Vec<Vec<TensorPlan>> = vec![Vec::new()];
    let mut size = 0u64;
    for tensor in tensors {
        let bytes = tensor.bytes().unwrap_or(u64::MAX);
        if size.saturating_add(bytes) > SHARD_BYTES && size > 0 {
            shards.push(Vec::new());
            size = 0;
        }
        size = size.saturating_add(bytes);
        if let Some(shard) = shards.last_mut() {
            shard.push(tensor);
        }
    }
    shards
}

fn shard_name(shard: usize, count: usize) -> String {
    if count == 1 {
        return "model.safetensors".to_owned();
    }
    format!("model-{:05}-of-{count:05}.safetensors", shard + 1)
}

fn index(shards: &[Vec<TensorPlan>]) -> Vec<u8> {
    let mut map = Map::new();
    let mut total = 0;
    for (shard, tensors) in shards.iter().enumerate() {
        for tensor in tensors {
            map.insert(tensor.name.clone(), Value::String(shard_name(shard, shards.len())));
            total += tensor.bytes().unwrap_or(0);
        }
    }
    json!({ "metadata": { "total_size": total }, "weight_map": map }).to_string().into_bytes()
}

/// Names in a folder are on the disk once the folder is. Windows has no such step.
fn sync(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}
