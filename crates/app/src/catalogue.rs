//! The models that the program offers: names, files, sizes, what each is for, what it needs.
//!
//! The data is `assets/catalogue.json`. Its sizes are what was published or follows from the shape; where it gives a
//! SHA-256 it is the publisher's. A hub's listing, once read, is believed over both.

mod mix;
mod page;
mod recommend;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::LazyLock};

use huacaya_engine::config::Config;
use huacaya_hub::{Dialect, RepositoryId};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

pub use mix::Mix;
pub(crate) use page::memory_of;
pub use page::{CataloguePage, Entry, EntryFile};
pub use recommend::Recommendation;

/// The same words in both languages of the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Words {
    pub zh: String,
    pub en: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Licence {
    pub name: String,
    pub url: String,
    pub note: Words,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    Base,
    Chat,
    /// An adapter: becomes a model when it is merged into its base.
    Lora,
}

/// All that is offered.
#[derive(Debug, Deserialize)]
pub struct Catalogue {
    /// Shapes by name, in the words of a `config.json`.
    shapes: BTreeMap<String, serde_json::Value>,
    licences: BTreeMap<String, Licence>,
    entries: Vec<Listed>,
    /// `shapes`, read.
    #[serde(skip)]
    configs: BTreeMap<String, Config>,
}

/// A model of the catalogue, with the files that it can be had as.
#[derive(Debug, Deserialize)]
pub struct Listed {
    pub id: String,
    pub family: String,
    pub name: String,
    pub size: String,
    pub kind: EntryKind,
    /// "", "16K", "64K", "RLHF", "v3".
    pub variant: String,
    pub purpose: Words,
    pub context_tokens: u32,
    /// A template that is built in, "jinja" for the file's own, "" for a base model.
    pub template: String,
    shape: String,
    licence: String,
    /// The original weights.
    pub repository: String,
    /// The entry that a LoRA is merged into.
    pub base: Option<String>,
    /// The repository gives its files only to who has agreed to its terms.
    pub needs_token: bool,
    /// Files of `repository` that are known by size and hash.
    #[serde(default)]
    pub weights: Vec<KnownFile>,
    /// Repositories that claim to hold the same files without a gate. See [`same_as_original`].
    #[serde(default)]
    pub copies: Vec<String>,
    pub files: Vec<ListedFile>,
}

/// A file, or with `config.json` and `adapter_config.json` the whole folder that it stands for.
#[derive(Clone, Debug, Deserialize)]
pub struct ListedFile {
    pub repository: String,
    pub path: String,
    pub quantization: String,
    pub bytes: u64,
    /// Whether `bytes` is what the hub lists, not a published or derived size.
    pub bytes_exact: bool,
    pub sha256: Option<String>,
}

/// A file by its marks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct KnownFile {
    pub path: String,
    pub bytes: u64,
    pub bytes_exact: bool,
    pub sha256: Option<String>,
}

/// What a LoRA becomes a model with.
#[derive(Debug)]
pub struct MergePlan<'a> {
    pub adapter: &'a Listed,
    pub base: &'a Listed,
    /// The `config.json` of the result: its vocabulary and its rope are the adapter's, not the base's.
    pub config: &'a serde_json::Value,
}

/// A file as a hub lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark<'a> {
    pub path: &'a str,
    pub bytes: u64,
    pub sha256: Option<&'a str>,
}

/// Why a copy is not taken for the original.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTheOriginal {
    #[error("{path}: the hash of the original is not known, so a copy cannot be told from something else")]
    Unknown { path: String },
    #[error("{path}: the copy does not have it")]
    Missing { path: String },
    #[error("{path}: the copy's hash is not the original's")]
    Differs { path: String },
}

impl Catalogue {
    /// The catalogue that came with the program.
    pub fn bundled() -> &'static Catalogue {
        static BUNDLED: LazyLock<Catalogue> = LazyLock::new(|| {
            Catalogue::read(include_str!("../../../assets/catalogue.json")).unwrap_or_else(|reason| {
                // A test reads it, so this is a fault of the build; the rest of the program works without.
                tracing::error!(reason, "the catalogue cannot be read");
                Catalogue::empty()
            })
        });
        &BUNDLED
    }

    fn empty() -> Catalogue {
        let (shapes, configs) = (BTreeMap::new(), BTreeMap::new());
        Catalogue { shapes, licences: BTreeMap::new(), entries: Vec::new(), configs }
    }

    fn read(text: &str) -> Result<Catalogue, String> {
        let mut catalogue: Catalogue = serde_json::from_str(text).map_err(|error| error.to_string())?;
        for (name, shape) in &catalogue.shapes {
            let config = Config::from_json(shape).map_err(|error| format!("shape {name}: {error}"))?;
            catalogue.configs.insert(name.clone(), config);
        }
        let names_known = |entry: &Listed| {
            catalogue.shapes.contains_key(&entry.shape) && catalogue.licences.contains_key(&entry.licence)
        };
        match catalogue.entries.iter().find(|entry| !names_known(entry)) {
            Some(entry) => Err(format!("entry {}: its shape or licence is not in the file", entry.id)),
            None => Ok(catalogue),
        }
    }

    pub fn entries(&self) -> &[Listed] {
        &self.entries
    }

    pub fn entry(&self, id: &str) -> Option<&Listed> {
        self.entries.iter().find(|entry| entry.id == id)
    }

    /// The entry whose weights or files lie in this repository, under any hub's name of its owner.
    pub fn entry_of(&self, repository: &str) -> Option<&Listed> {
        let same = |ours: &str| is_same_repository(ours, repository);
        let holds = |entry: &&Listed| {
            same(&entry.repository)
                || entry.files.iter().any(|file| same(&file.repository))
                || entry.copies.iter().any(|copy| same(copy))
        };
        self.entries.iter().find(holds)
    }

    /// The file with this hash: its entry, its path and its size.
    pub fn by_sha256(&self, sha256: &str) -> Option<(&Listed, &str, u64)> {
        let is = |known: &Option<String>| known.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(sha256));
        self.known().find(|(_, _, _, _, known)| is(known)).map(|(entry, path, bytes, ..)| (entry, path, bytes))
    }

    /// Files of exactly this size, with the hash where it is known.
    pub fn by_bytes(&self, bytes: u64) -> Vec<(&Listed, &str, Option<&str>)> {
        let exactly = self.known().filter(|(_, _, known, exact, _)| *exact && *known == bytes);
        exactly.map(|(entry, path, _, _, sha256)| (entry, path, sha256.as_deref())).collect()
    }

    /// Entry, path, size, whether the size is exact, and hash of every file.
    fn known(&self) -> impl Iterator<Item = (&Listed, &str, u64, bool, &Option<String>)> {
        self.entries.iter().flat_map(|entry| {
            let weights = entry.weights.iter().map(|file| (&file.path, file.bytes, file.bytes_exact, &file.sha256));
            let files = entry.files.iter().map(|file| (&file.path, file.bytes, file.bytes_exact, &file.sha256));
            weights.chain(files).map(move |(path, bytes, exact, sha256)| (entry, path.as_str(), bytes, exact, sha256))
        })
    }

    /// What merging this LoRA takes; `None` for what is no LoRA.
    pub fn merge_plan(&self, id: &str) -> Option<MergePlan<'_>> {
        let adapter = self.entry(id).filter(|entry| entry.kind == EntryKind::Lora)?;
        let base = self.entry(adapter.base.as_deref()?)?;
        Some(MergePlan { adapter, base, config: self.shapes.get(&adapter.shape)? })
    }

    /// The shape of an entry; of a LoRA, that of the merged model.
    pub fn config(&self, entry: &Listed) -> Option<&Config> {
        self.configs.get(&entry.shape)
    }
}

/// Whether both name one repository, be it by the name that its owner has on another hub.
fn is_same_repository(ours: &str, other: &str) -> bool {
    let there = || Some(RepositoryId::parse(ours)?.on(Dialect::ModelScope).to_string());
    ours.eq_ignore_ascii_case(other) || there().is_some_and(|there| there.eq_ignore_ascii_case(other))
}

/// Whether a copy holds the weights of the original, byte for byte.
///
/// For every file of weights the hash must be known, from the catalogue (`known`) or from the original's own listing
/// (`original`, where it can be read), and be the copy's. What cannot be compared is refused.
pub fn same_as_original(
    known: &[KnownFile],
    original: Option<&[Mark<'_>]>,
    copy: &[Mark<'_>],
) -> Result<(), NotTheOriginal> {
    let of_weights = |path: &str| path.ends_with(".safetensors") && !path.contains("consolidated");
    let known = known.iter().filter(|file| of_weights(&file.path));
    let mut wanted: BTreeMap<&str, Option<&str>> = known.map(|file| (&*file.path, file.sha256.as_deref())).collect();
    for file in original.unwrap_or_default().iter().filter(|file| of_weights(file.path)) {
        let sha256 = wanted.entry(file.path).or_default();
        *sha256 = sha256.or(file.sha256);
    }
    if wanted.is_empty() {
        return Err(NotTheOriginal::Unknown { path: "*.safetensors".to_string() });
    }
    for (path, sha256) in wanted {
        let path_owned = || path.to_string();
        let sha256 = sha256.ok_or_else(|| NotTheOriginal::Unknown { path: path_owned() })?;
        let found = copy.iter().find(|file| file.path == path);
        let found = found.ok_or_else(|| NotTheOriginal::Missing { path: path_owned() })?;
        if !found.sha256.is_some_and(|found| found.eq_ignore_ascii_case(sha256)) {
            return Err(NotTheOriginal::Differs { path: path_owned() });
        }
    }
    Ok(())
}
