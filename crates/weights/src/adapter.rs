//! A LoRA adapter as PEFT lays it out: `adapter_config.json`, and pairs of narrow matrices whose products are added to a
//! base model's; some tensors may replace the base's whole.
//!
//! Source: PEFT, `tuners/lora/config.py`, `utils/save_and_load.py`. W becomes W + scale * (B A).

mod config;
mod fault;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::checkpoint::Listed;
use crate::folder::{ADAPTER_CONFIG_NAME, folder_of};
use crate::json::read_config;
use crate::shard::Shard;
use crate::{Error, Fault as AnyFault};

pub use config::Config;
pub use fault::Fault;

/// What PEFT calls the tensors' file, the one to be preferred first.
const FILE_NAMES: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];
/// What PEFT puts before the base model's own names.
const PREFIX: &str = "base_model.model.";
/// Matrices with a row for each piece of the vocabulary.
const VOCABULARY_MODULES: [&str; 2] = ["embed_tokens", "lm_head"];

/// An adapter on the disk: its configuration and tensors checked against each other, nothing but headers read.
#[derive(Debug)]
pub struct Adapter {
    path: PathBuf,
    config: Config,
    shard: Shard,
    /// By the base tensor's name, in the order of names.
    pairs: BTreeMap<String, Pair>,
    /// The base tensor's name, and the place of what replaces it.
    replaced: BTreeMap<String, usize>,
}

/// Two matrices whose product is added to a tensor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pair {
    /// Where A is, (rank, in).
    pub a: usize,
    /// Where B is, (out, rank).
    pub b: usize,
    pub rank: usize,
    pub scale: f64,
    /// The tensor is stored (in, out), so the product is added turned.
    pub turned: bool,
}

/// Two narrow matrices in f32, ready to be multiplied: a tensor (rows, columns) becomes itself + scale * (left * right).
#[derive(Clone, Debug, PartialEq)]
pub struct Factors {
    pub rows: usize,
    pub rank: usize,
    pub columns: usize,
    /// (rows, rank)
    pub left: Vec<f32>,
    /// (rank, columns)
    pub right: Vec<f32>,
    /// By rank and alpha, without any strength.
    pub scale: f64,
}

/// A tensor that takes the place of the base's.
#[derive(Clone, Debug, PartialEq)]
pub struct Replacement {
    /// Row-major, slowest dimension first.
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// Whether this folder, or the folder of this file, says that it is an adapter. Nothing of it is read.
pub fn is_adapter(path: &Path) -> bool {
    let folder = if path.is_dir() { path } else { folder_of(path) };
    folder.join(ADAPTER_CONFIG_NAME).is_file()
}

impl Adapter {
    /// Opens the adapter in a folder, given the folder or one of its files.
    pub fn open(path: &Path) -> Result<Adapter, Error> {
        let folder = if path.is_dir() { path } else { folder_of(path) };
        let config_path = folder.join(ADAPTER_CONFIG_NAME);
        let config = Config::read(&read_config(&config_path)?).map_err(|fault| Error::new(&config_path, fault))?;
        let file = FILE_NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file());
        let file = file.ok_or_else(|| Error::new(folder, Fault::NoFile))?;
        let shard = Shard::open(&file)?;
        let (pairs, replaced) = match sort(&shard, &config) {
            Ok(sorted) => sorted,
            Err(Unusable::Fault(fault)) => return Err(Error::new(&file, *fault)),
            Err(Unusable::Type(place)) => return Err(shard.unsupported(place)),
        };
        Ok(Adapter { path: folder.to_path_buf(), config, shard, pairs, replaced })
    }

    /// The adapter's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The file with the tensors.
    pub fn file(&self) -> &Path {
        self.shard.path()
    }

    /// Bytes of the file with the tensors.
    pub fn size(&self) -> u64 {
        self.shard.size()
    }

    /// Every tensor, in the order of the file.
    pub fn list(&self) -> Vec<Listed> {
        self.shard.tensors().map(|raw| Listed::from(&raw)).collect()
    }

    /// Pieces of the vocabulary that it was made for, where it brings its own embeddings.
    pub fn vocabulary(&self) -> Option<usize> {
        let rows = |(name, place): (&String, &usize)| {
            if is_vocabulary(name) { self.shard.tensor(*place).shape.first().copied() } else { None }
        };
        self.replaced.iter().find_map(rows)
    }

    /// The base's tensors that something is added to, by their names in Hugging Face's folders.
    pub fn changed(&self) -> impl Iterator<Item = &str> {
        self.pairs.keys().map(String::as_str)
    }

    /// The base's tensors that are replaced whole.
    pub fn replacing(&self) -> impl Iterator<Item = &str> {
        self.replaced.keys().map(String::as_str)
    }

    /// What is added to the base's tensor of this name; `None` where nothing is.
    pub fn factors(&self, tensor: &str) -> Result<Option<Factors>, Error> {
        let Some(pair) = self.pairs.get(tensor) else { return Ok(None) };
        let (a, b) = (self.shard.values(pair.a)?, self.shard.values(pair.b)?);
        let (columns, rows) = (self.shard.tensor(pair.a).shape[1], self.shard.tensor(pair.b).shape[0]);
        let (rank, scale) = (pair.rank, pair.scale);
        Ok(Some(if pair.turned {
            let (left, right) = (turned(&a, rank, columns), turned(&b, rows, rank));
            Factors { rows: columns, rank, columns: rows, left, right, scale }
        } else {
            Factors { rows, rank, columns, left: b, right: a, scale }
        }))
    }

    /// What replaces the base's tensor of this name; `None` where nothing does.
    pub fn replacement(&self, tensor: &str) -> Result<Option<Replacement>, Error> {
        let Some(&place) = self.replaced.get(tensor) else { return Ok(None) };
        let shape = self.shard.tensor(place).shape.to_vec();
        Ok(Some(Replacement { shape, values: self.shard.values(place)? }))
    }

    pub(crate) fn pairs(&self) -> &BTreeMap<String, Pair> {
        &self.pairs
    }

    pub(crate) fn replaced(&self) -> &BTreeMap<String, usize> {
        &self.replaced
    }

    pub(crate) fn shard(&self) -> &Shard {
        &self.shard
    }
}

/// The matrix with rows and columns exchanged.
fn turned(matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| matrix[row * columns + column])).collect()
}

/// Whether a tensor of this name has a row for each piece of the vocabulary.
pub(crate) fn is_vocabulary(name: &str) -> bool {
    let module = name.strip_suffix(".weight").and_then(|module| module.rsplit('.').next());
    module.is_some_and(|module| VOCABULARY_MODULES.contains(&module))
}

/// What a key of the file is about.
enum Key<'a> {
    A(&'a str),
    B(&'a str),
    /// As A and B, of a table of embeddings, whose rows are what others' columns are.
    EmbeddingA(&'a str),
    EmbeddingB(&'a str),
    Whole(String),
}

/// Takes a key of PEFT's apart; newer files leave out the adapter's name (`default`).
fn key<'a>(name: &'a str, config: &Config) -> Option<Key<'a>> {
    let name = name.strip_prefix(PREFIX)?;
    let matrix = |mark: &str| {
        let (module, rest) = name.rsplit_once(mark)?;
        let sound = rest == ".weight" || rest.strip_suffix(".weight").is_some_and(is_adapter_name);
        sound.then_some(module)
    };
    let table = |mark: &str| {
        let (module, rest) = name.rsplit_once(mark)?;
        (rest.is_empty() || is_adapter_name(rest)).then_some(module)
    };
    if let Some(module) = matrix(".lora_A") {
        return Some(Key::A(module));
    }
    if let Some(module) = matrix(".lora_B") {
        return Some(Key::B(module));
    }
    if let Some(module) = table(".lora_embedding_A") {
        return Some(Key::EmbeddingA(module));
    }
    if let Some(module) = table(".lora_embedding_B") {
        return Some(Key::EmbeddingB(module));
    }
    let (module, kind) = name.rsplit_once('.')?;
    let module = module.strip_suffix(".base_layer").unwrap_or(module);
    let module = match module.rsplit_once(".modules_to_save") {
        Some((module, rest)) if rest.is_empty() || is_adapter_name(rest) => module,
        _ => module,
    };
    let last = module.rsplit('.').next().unwrap_or(module);
    let saved =
        config.modules_to_save.iter().any(|saved| saved == module || last == saved.rsplit('.').next().unwrap_or(saved));
    let sound = matches!(kind, "weight" | "bias") && (saved || VOCABULARY_MODULES.contains(&last));
    sound.then(|| Key::Whole(format!("{module}.{kind}")))
}

/// `.default`: one more part.
fn is_adapter_name(rest: &str) -> bool {
    rest.strip_prefix('.').is_some_and(|name| !name.is_empty() && !name.contains('.'))
}

enum Unusable {
    Fault(Box<Fault>),
    Type(usize),
}

impl From<Fault> for Unusable {
    fn from(fault: Fault) -> Unusable {
        Unusable::Fault(Box::new(fault))
    }
}

type Sorted = (BTreeMap<String, Pair>, BTreeMap<String, usize>);

/// Every tensor of the file as part of a pair or as a replacement: none is left over.
fn sort(shard: &Shard, config: &Config) -> Result<Sorted, Unusable> {
    let mut halves: BTreeMap<String, (Option<usize>, Option<usize>, bool)> = BTreeMap::new();
    let mut replaced = BTreeMap::new();
    for (place, raw) in shard.tensors().enumerate() {
        let tensor = || raw.name.to_owned();
        let key = key(raw.name, config).ok_or_else(|| Fault::UnknownTensor { tensor: tensor() })?;
        if raw.dtype.format().is_none() {
            return Err(Unusable::Type(place));
        }
        let (module, is_a, embedding) = match key {
            Key::A(module) => (module, true, false),
            Key::B(module) => (module, false, false),
            Key::EmbeddingA(module) => (module, true, true),
            Key::EmbeddingB(module) => (module, false, true),
            Key::Whole(name) => {
                if replaced.insert(name, place).is_some() {
                    return Err(Fault::TensorRepeated { tensor: tensor() }.into());
                }
                continue;
            }
        };
        if raw.shape.len() != 2 {
            return Err(Fault::Dimensions { tensor: tensor(), shape: raw.shape.to_vec() }.into());
        }
        let half = halves.entry(module.to_owned()).or_insert((None, None, embedding));
        let slot = if is_a { &mut half.0 } else { &mut half.1 };
        if half.2 != embedding || slot.replace(place).is_some() {
            return Err(Fault::TensorRepeated { tensor: tensor() }.into());
        }
    }
    let mut pairs = BTreeMap::new();
    for (module, half) in halves {
        let (Some(a), Some(b), embedding) = half else {
            return Err(Fault::HalfPair { module, missing: if half.0.is_none() { "lora_A" } else { "lora_B" } }.into());
        };
        pairs.insert(format!("{module}.weight"), pair(&module, shard, config, (a, b, embedding))?);
    }
    if pairs.is_empty() && replaced.is_empty() {
        return Err(Fault::NoTensors.into());
    }
    Ok((pairs, replaced))
}

fn pair(module: &str, shard: &Shard, config: &Config, (a, b, embedding): (usize, usize, bool)) -> Result<Pair, Fault> {
    let (rank, scale) = config.of(module);
    let found = (shard.tensor(a).shape[0], shard.tensor(b).shape[1]);
    if found != (rank, rank) {
        return Err(Fault::Rank { module: module.to_owned(), rank, found: [found.0, found.1] });
    }
    Ok(Pair { a, b, rank, scale, turned: embedding || config.fan_in_fan_out })
}

impl From<Fault> for AnyFault {
    fn from(fault: Fault) -> AnyFault {
        AnyFault::Adapter(fault)
    }
}
