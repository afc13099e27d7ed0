//! What a model that is not here yet would need in memory: its shape from the catalogue, from its `config.json`, or from
//! the header of one of its files.

use std::{
    env, fs, process,
    sync::atomic::{AtomicU64, Ordering},
};

use huacaya_engine::{Memory, config::Config};
use huacaya_hub::FileSource;
use huacaya_weights::{Format, gguf};
use serde_json::Value;

use crate::{
    App, blocking,
    catalogue::{self, Catalogue},
    choices::Choice,
    downloads::Pick,
    error::{Error, Result},
    finding::{ChoiceKind, Found},
    network,
};

/// A `config.json` has some kilobytes.
const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// How much of a file is read for its header: enough for a small vocabulary, then enough for a large one.
const START_BYTES: [u64; 2] = [2 << 20, 24 << 20];
/// The context that needs are told for, as in the catalogue.
const CONTEXT_TOLD: usize = 4096;

/// The shape of the models of a repository: all of its choices have the same. `None` where it cannot be known, or is not
/// one that runs here.
pub(crate) async fn of(app: &App, found: &Found, offers: &[(Choice, Pick)]) -> Option<Config> {
    if let Found::Repository(repository) = found {
        let catalogue = Catalogue::bundled();
        let entry = catalogue.entry_of(&repository.id.to_string());
        if let Some(config) = entry.and_then(|entry| catalogue.config(entry)) {
            return Some(config.clone());
        }
        if let Some(file) = repository.files.iter().find(|file| file.name.as_str() == "config.json") {
            let text = app.hub().start_of(&repository.source(&file.name), CONFIG_BYTES_MAX).await.ok()?;
            let config = serde_json::from_slice::<Value>(&text).ok()?;
            if let Ok(config) = Config::from_json(&config) {
                return Some(config);
            }
        }
    }
    let ggufs = offers.iter().filter(|(choice, _)| choice.kind == ChoiceKind::Gguf && choice.files.len() == 1);
    let (choice, pick) = ggufs.min_by_key(|(choice, _)| choice.bytes())?;
    let source = match (found, &pick.url) {
        (_, Some(url)) => FileSource { url: network::address(url).ok()?, etag: None },
        (Found::Repository(repository), None) => repository.source(&repository.file(&choice.id)?.name),
        (Found::File(_), None) => return None,
    };
    of_header(app, &source, choice.bytes()).await
}

async fn of_header(app: &App, source: &FileSource, bytes: u64) -> Option<Config> {
    for most in START_BYTES {
        let start = app.hub().start_of(source, most).await.ok()?;
        match blocking(move || from_start(&start, bytes)).await {
            Ok(config) => return Some(config),
            Err(error) => tracing::debug!(%error, most, "the header of a model on the hub was not read"),
        }
        if most >= bytes {
            return None;
        }
    }
    None
}

/// The engine reads a file's header from the file: one that has only the header, and a hole for the rest.
fn from_start(start: &[u8], bytes: u64) -> Result<Config> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = env::temp_dir().join(format!("huacaya-{}-{number}.gguf", process::id()));
    let read = || {
        fs::write(&path, start).map_err(|error| Error::unwritable(&path, &error))?;
        let file = fs::File::options().write(true).open(&path).map_err(|error| Error::unwritable(&path, &error))?;
        file.set_len(bytes.max(start.len() as u64)).map_err(|error| Error::unwritable(&path, &error))?;
        let file = gguf::File::open(&path).map_err(|error| Error::of_model("header", error.into()))?;
        Config::from_gguf(&file).map_err(|error| Error::of_model("header", error))
    };
    let config = read();
    // It is in the folder for what may go at any time.
    let _ = fs::remove_file(&path);
    config
}

/// Bytes that a choice of this shape needs; where its quantization is not known by its name, from its size.
pub(crate) fn memory(config: &Config, kind: ChoiceKind, quantization: &str, bytes: u64) -> Option<u64> {
    // A folder's weights are held as 16-bit ones are.
    let name = if kind == ChoiceKind::Folder { "F16" } else { quantization };
    let by_size = || {
        let context = config.context.min(CONTEXT_TOLD);
        let memory = Memory::expected(config, context, |_| Format::F16).ok()?;
        Some(bytes + memory.kv() + memory.scratch)
    };
    catalogue::memory_of(config, name).or_else(by_size)
}
