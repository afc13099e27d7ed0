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
        FolderWriter::in_shards(out, cut(tensors, SHARD_BYTES))
    }

    fn in_shards(out: &Path, shards: Vec<Vec<TensorPlan>>) -> Result<FolderWriter, Error> {
        // Not `exists`: a link to nowhere stands there, too.
        if fs::symlink_metadata(out).is_ok() {
            return Err(Error::new(out, Fault::Exists));
        }
        let size = sizes(&shards)?;
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
    sizes(&cut(tensors.to_vec(), SHARD_BYTES))
}

fn sizes(shards: &[Vec<TensorPlan>]) -> Result<u64, Error> {
    let sizes = shards.iter().map(|shard| file_size(shard).map_err(|fault| Error::new(Path::new(""), fault)));
    sizes.sum()
}

/// The tensors in shards of at most so many bytes, or of one larger tensor.
fn cut(tensors: Vec<TensorPlan>, limit: u64) -> Vec<Vec<TensorPlan>> {
    let mut shards: Vec<Vec<TensorPlan>> = vec![Vec::new()];
    let mut size = 0u64;
    for tensor in tensors {
        let bytes = tensor.bytes().unwrap_or(u64::MAX);
        if size.saturating_add(bytes) > limit && size > 0 {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Checkpoint;
    use crate::safetensors::Dtype;

    fn plan(name: &str, rows: usize) -> TensorPlan {
        TensorPlan { name: name.to_owned(), dtype: Dtype::F16, shape: vec![rows, 4] }
    }

    fn names(shards: &[Vec<TensorPlan>]) -> Vec<Vec<&str>> {
        shards.iter().map(|shard| shard.iter().map(|tensor| tensor.name.as_str()).collect()).collect()
    }

    #[test]
    fn a_7b_in_halves_comes_in_four_files_of_at_most_4_5_gb() {
        // (55,296 * 2 + 32 * 50,577) * 4,096 values in all, of 2 bytes: 13.86 GB.
        let layers = (0..32).map(|i| TensorPlan { name: i.to_string(), dtype: Dtype::F16, shape: vec![49_408, 4096] });
        let table = |name: &str| TensorPlan { name: name.to_owned(), dtype: Dtype::F16, shape: vec![55_296, 4096] };
        let shards = cut([table("embeddings")].into_iter().chain(layers).chain([table("head")]).collect(), SHARD_BYTES);
        let bytes = |shard: &Vec<TensorPlan>| shard.iter().filter_map(TensorPlan::bytes).sum::<u64>();
        assert_eq!(shards.len(), 4);
        assert!(shards.iter().all(|shard| bytes(shard) <= 4_500_000_000));
        assert!(shards[..3].iter().all(|shard| bytes(shard) > 4_000_000_000));
    }

    #[test]
    fn shards_with_their_index_read_back_as_one_model() {
        let place = tempfile::tempdir().expect("a place");
        let out = place.path().join("out");
        // 8, 16, 0, 40, 8 and 0 bytes into shards of 24.
        let tensors = [plan("a", 1), plan("b", 2), plan("none", 0), plan("large", 5), plan("c", 1), plan("last", 0)];
        let shards = cut(tensors.to_vec(), 24);
        assert_eq!(names(&shards), [vec!["a", "b", "none"], vec!["large"], vec!["c", "last"]]);
        let mut writer = FolderWriter::in_shards(&out, shards).expect("a folder");
        for (value, tensor) in tensors.iter().enumerate() {
            let bytes = vec![value as u8; tensor.bytes().unwrap_or(0) as usize];
            bytes.chunks(3).for_each(|piece| writer.bytes(&tensor.name, piece).expect("in the plan's order"));
        }
        writer.small_file("config.json", b"{}").expect("a file");
        writer.finish().expect("all is written");
        let checkpoint = Checkpoint::open(&out).expect("a model");
        assert_eq!(checkpoint.names(), tensors.iter().map(|tensor| tensor.name.as_str()).collect::<Vec<_>>());
        for (value, tensor) in tensors.iter().enumerate() {
            let view = checkpoint.tensor(&tensor.name).expect("it was written");
            assert_eq!((view.shape(), view.bytes.len() as u64), (tensor.shape.clone(), tensor.bytes().unwrap_or(0)));
            assert!(view.bytes.iter().all(|&byte| usize::from(byte) == value));
        }
        let mut files: Vec<_> =
            fs::read_dir(&out).expect("it is there").flatten().map(|entry| entry.file_name()).collect();
        files.sort();
        let wanted = [
            "model-00001-of-00003.safetensors",
            "model-00002-of-00003.safetensors",
            "model-00003-of-00003.safetensors",
            INDEX_NAME,
        ];
        assert_eq!(files, ["config.json"].iter().chain(&wanted).map(OsString::from).collect::<Vec<_>>());
    }
}
