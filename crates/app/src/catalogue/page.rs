//! The catalogue as a face shows it: with what each file needs on this machine, and which are here already.

use huacaya_engine::{Memory, config::Config};
use huacaya_store::{Model, ModelId, Source};
use serde::Serialize;
use ts_rs::TS;

use super::{
    Catalogue, EntryKind, Licence, Listed, ListedFile, Mix, Recommendation, Words, is_same_repository, recommend,
};
use crate::{App, blocking, error::Result, loading, models::Verdict};

/// The context that needs are told for: enough for a talk. A model made for less is told with its own.
const CONTEXT_TOLD: u32 = 4096;

/// On the wire it is the catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
#[ts(rename = "Catalogue")]
pub struct CataloguePage {
    pub entries: Vec<Entry>,
    /// What to begin with on this machine; absent where nothing would run well.
    pub recommended: Option<Recommendation>,
}

#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Entry {
    pub id: String,
    pub family: String,
    pub name: String,
    pub size: String,
    pub kind: EntryKind,
    /// "", "16K", "64K", "RLHF", "v3".
    pub variant: String,
    pub purpose: Words,
    pub context_tokens: u32,
    /// "" for a base model, "jinja" for the file's own.
    pub template: String,
    pub licence: Licence,
    /// The original weights.
    pub repository: Option<String>,
    /// The entry that a LoRA is merged into.
    pub base: Option<String>,
    /// The hub gives the files only to who has agreed to the model's terms.
    pub needs_token: bool,
    pub files: Vec<EntryFile>,
}

/// A file to choose; `config.json` and `adapter_config.json` stand for their whole folder.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct EntryFile {
    pub repository: String,
    pub path: String,
    /// "Q4_K_M", "Q4_K_M-im" (made with an importance matrix), "F16".
    pub quantization: String,
    pub bytes: u64,
    /// Whether the size is the hub's own; else it is published or derived.
    pub bytes_exact: bool,
    pub sha256: Option<String>,
    /// With a context of 4,096 tokens; of a LoRA, the merged model.
    pub memory_bytes: u64,
    pub verdict: Verdict,
    /// The model of the list that is this file.
    pub here: Option<ModelId>,
}

impl App {
    /// The whole catalogue.
    pub(crate) async fn catalogue(&self) -> Result<CataloguePage> {
        let models = self.inner.store.models().await?;
        let held = self.held_bytes();
        blocking(move || {
            let catalogue = Catalogue::bundled();
            let machine = recommend::Machine::this(held);
            let entry = |listed: &Listed| entry(catalogue, listed, machine.memory_free, &models);
            let entries: Vec<Entry> = catalogue.entries().iter().map(entry).collect();
            let recommended = recommend::recommend(catalogue, &entries, &machine);
            Ok(CataloguePage { entries, recommended })
        })
        .await
    }
}

/// Bytes that a model of this shape needs with the quantization of this name; `None` where it is not one that runs here.
pub(crate) fn memory_of(config: &Config, quantization: &str) -> Option<u64> {
    let mix = Mix::from_name(quantization)?;
    let context = (config.context as u32).min(CONTEXT_TOLD) as usize;
    let memory = Memory::expected(config, context, |tensor| mix.format_of(tensor, config)).ok()?;
    Some(memory.total())
}

pub(super) fn entry(catalogue: &Catalogue, listed: &Listed, free: u64, models: &[Model]) -> Entry {
    let config = catalogue.config(listed);
    let file = |file: &ListedFile| {
        // A quantization that the engine cannot run is none of the catalogue's (a test sees to it); its size is a floor.
        let memory = config.and_then(|config| memory_of(config, &file.quantization)).unwrap_or(file.bytes);
        EntryFile {
            repository: file.repository.clone(),
            path: file.path.clone(),
            quantization: file.quantization.clone(),
            bytes: file.bytes,
            bytes_exact: file.bytes_exact,
            sha256: file.sha256.clone(),
            memory_bytes: memory,
            verdict: loading::verdict(memory, free),
            here: models.iter().find(|model| is_here(file, model)).map(|model| model.id),
        }
    };
    Entry {
        id: listed.id.clone(),
        family: listed.family.clone(),
        name: listed.name.clone(),
        size: listed.size.clone(),
        kind: listed.kind,
        variant: listed.variant.clone(),
        purpose: listed.purpose.clone(),
        context_tokens: listed.context_tokens,
        template: listed.template.clone(),
        licence: catalogue.licences.get(&listed.licence).cloned().unwrap_or_else(unknown_licence),
        repository: Some(listed.repository.clone()),
        base: listed.base.clone(),
        needs_token: listed.needs_token,
        files: listed.files.iter().map(file).collect(),
    }
}

/// By its hash, else by where it was fetched from.
fn is_here(file: &ListedFile, model: &Model) -> bool {
    if let (Some(known), Some(found)) = (&file.sha256, &model.sha256) {
        return known.eq_ignore_ascii_case(found);
    }
    match &model.source {
        Source::Hub { repository, file: path, .. } => {
            is_same_repository(&file.repository, repository) && *path == file.path
        }
        _ => false,
    }
}

/// Reading the catalogue refuses an entry without a licence; this stands where the type cannot say so.
fn unknown_licence() -> Licence {
    let words = || Words { zh: String::new(), en: String::new() };
    Licence { name: String::new(), url: String::new(), note: words() }
}
