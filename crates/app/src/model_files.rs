//! Which files a model consists of: one, the parts of a split GGUF, or what belongs to it in its folder.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use huacaya_store::{Adapter, ModelFile, Time};
use huacaya_weights::{Shard, split_parts};
use serde_json::Value;

use crate::error::{Code, Error, Result};

/// What stands in an adapter's folder in place of `config.json`.
pub(crate) const ADAPTER_CONFIG: &str = "adapter_config.json";
const CONFIG: &str = "config.json";
/// An adapter's weights, in the order in which they are preferred.
const ADAPTER_WEIGHTS: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];
/// What of a model folder belongs to the model beside its weights; the rest is not read.
const BESIDE: [&str; 4] = ["json", "model", "txt", "jinja"];
const SAFETENSORS: &str = "safetensors";
/// What PyTorch users call their weights. They are left out where there are safetensors.
const PYTORCH: [&str; 3] = ["bin", "pth", "pt"];
/// States of a training run, which PyTorch saves beside the weights under names of the same kind.
const TRAINING: [&str; 4] = ["training_args", "optimizer", "scheduler", "rng_state"];
/// An adapter's configuration has some hundreds of bytes.
const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// A name that an author wrote is one line.
const BASE_CHARACTERS_MAX: usize = 200;

/// What is listed where a person points at this path: of a split GGUF its first part; of a file that is part of a folder's
/// model the folder; of a folder that only holds a GGUF that file.
pub(crate) fn whole_of(path: &Path) -> PathBuf {
    if path.is_dir() {
        if is_model_folder(path) {
            return path.to_path_buf();
        }
        return if let [only] = ggufs(path).as_slice() { only.clone() } else { path.to_path_buf() };
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return path.to_path_buf() };
    let name = name.to_string_lossy();
    let of_folder = name == CONFIG
        || name == ADAPTER_CONFIG
        || name.ends_with(".index.json")
        || ["model", "pytorch_model", "adapter_model"].iter().any(|stem| name.starts_with(stem))
            && is_saved_weights(path);
    if of_folder && is_model_folder(folder) { folder.to_path_buf() } else { first_part(path) }
}

/// A folder as Hugging Face lays models and adapters out. One with GGUF files may have a `config.json` too.
pub(crate) fn is_model_folder(folder: &Path) -> bool {
    let has_weights = || entries(folder).iter().any(|file| is_saved_weights(file));
    is_adapter(folder) || folder.join(CONFIG).is_file() && has_weights()
}

/// A folder with a LoRA adapter, and no model beside it.
pub(crate) fn is_adapter(folder: &Path) -> bool {
    folder.join(ADAPTER_CONFIG).is_file() && !folder.join(CONFIG).is_file()
}

pub(crate) fn is_gguf(path: &Path) -> bool {
    ending(path) == "gguf" && path.is_file()
}

fn is_saved_weights(path: &Path) -> bool {
    let (name, ending) = (file_name(path), ending(path));
    let saved = PYTORCH.contains(&ending.as_str()) && !TRAINING.iter().any(|state| name.starts_with(state));
    (saved || ending == SAFETENSORS) && path.is_file()
}

/// What is right in a folder, by name; nothing where it cannot be read.
pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    found.sort();
    found
}

fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// The GGUF models right in a folder, by name; of a split one its first part.
pub(crate) fn ggufs(folder: &Path) -> Vec<PathBuf> {
    let files = entries(folder).into_iter().filter(|path| is_gguf(path));
    let mut models: Vec<PathBuf> = files.map(|file| first_part(&file)).collect();
    models.dedup();
    models
}

/// Of a split GGUF the first of its parts, else the file itself.
pub(crate) fn first_part(path: &Path) -> PathBuf {
    split_parts(path).first().map_or_else(|| path.to_path_buf(), |first| path.with_file_name(first))
}

/// The files that a model at this path would consist of, whether or not they are there; of a folder those that are.
pub(crate) fn paths_of(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        let parts = split_parts(path);
        let parts = parts.iter().map(|part| path.with_file_name(part));
        return Ok(if parts.len() == 0 { vec![path.to_path_buf()] } else { parts.collect() });
    }
    let entries = fs::read_dir(path).map_err(|error| Error::unreadable(path, &error))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|file| file.is_file()).collect();
    let safetensors = files.iter().any(|file| ending(file) == SAFETENSORS);
    files.retain(|file| {
        let ending = ending(file);
        let weights = if safetensors { ending == SAFETENSORS } else { is_saved_weights(file) };
        weights || BESIDE.contains(&ending.as_str())
    });
    files.sort();
    Ok(files)
}

/// The files of a model with their sizes. All of them must be there.
pub(crate) fn files_of(path: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut missing = Vec::new();
    let mut files = Vec::new();
    for file in paths_of(path)? {
        match fs::metadata(&file) {
            Ok(metadata) => files.push((file, metadata.len())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => missing.push(file_name(&file)),
            Err(error) => return Err(Error::unreadable(&file, &error)),
        }
    }
    if missing.is_empty() {
        return Ok(files);
    }
    let missing = missing.join(", ");
    let detail = format!("{}: not there: {missing}", path.display());
    Err(Error::new(Code::ModelMissing, detail).with("model", file_name(path)).with("path", missing))
}

/// The size and time by which a changed model is known; of several files the sum and the latest.
pub(crate) fn file_now(path: &Path) -> Result<ModelFile> {
    let mut now = ModelFile { path: path.to_path_buf(), bytes: 0, modified_ms: 0 };
    for (file, bytes) in files_of(path)? {
        let modified = fs::metadata(&file).and_then(|metadata| metadata.modified());
        let modified = modified.map_err(|error| Error::unreadable(&file, &error))?;
        let modified_ms = modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Time);
        now.bytes += bytes;
        now.modified_ms = now.modified_ms.max(modified_ms);
    }
    Ok(now)
}

pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// A LoRA adapter, from its configuration and the headers of its weights.
pub(crate) struct AdapterFacts {
    pub adapter: Adapter,
    pub parameter_count: u64,
    /// The type of its matrices.
    pub kind: String,
}

pub(crate) fn describe_adapter(folder: &Path) -> Result<AdapterFacts> {
    let name = file_name(folder);
    let broken = |reason: String| {
        let detail = format!("{}: {reason}", folder.display());
        Error::new(Code::ModelBroken, detail).with("model", &name).with("reason", reason)
    };
    let path = folder.join(ADAPTER_CONFIG);
    let text = small_text(&path).map_err(|error| Error::unreadable(&path, &error))?;
    let config: Value = serde_json::from_str(&text).map_err(|error| broken(format!("{ADAPTER_CONFIG}: {error}")))?;
    let kind = config.get("peft_type").and_then(Value::as_str).unwrap_or("LORA");
    if !kind.eq_ignore_ascii_case("LORA") {
        return Err(broken(format!("it is an adapter of the kind {kind:.40}; LoRA adapters can be used")));
    }
    let rank = config.get("r").and_then(Value::as_u64).filter(|rank| (1..=1 << 16).contains(rank));
    let rank = rank.ok_or_else(|| broken(format!("{ADAPTER_CONFIG} names no rank `r`")))? as u32;
    let base = config.get("base_model_name_or_path").and_then(Value::as_str).unwrap_or_default();
    let base = base.chars().filter(|letter| !letter.is_control()).take(BASE_CHARACTERS_MAX).collect();
    let shard = Shard::open(&adapter_weights(folder)?)
        .map_err(|error| incomplete(&error).unwrap_or_else(|| broken(error.to_string())))?;
    let tensors = shard.tensors().map(|raw| raw.shape.iter().map(|&n| n as u64).product::<u64>());
    let parameter_count = tensors.fold(0u64, u64::saturating_add);
    let kind = shard.tensors().next().map(|raw| raw.dtype.name().to_string()).unwrap_or_default();
    Ok(AdapterFacts { adapter: Adapter { base, rank }, parameter_count, kind })
}

/// The file with an adapter's matrices.
pub(crate) fn adapter_weights(folder: &Path) -> Result<PathBuf> {
    let weights = ADAPTER_WEIGHTS.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    weights.ok_or_else(|| {
        let missing = folder.join(ADAPTER_WEIGHTS[0]);
        let detail = format!("{}: there are no weights beside its configuration", folder.display());
        Error::new(Code::ModelMissing, detail).with("model", file_name(folder)).with("path", missing.display())
    })
}

/// A file that ends before its model does, where its header says how long it should be.
pub(crate) fn incomplete(error: &huacaya_weights::Error) -> Option<Error> {
    use huacaya_weights::{Fault, gguf, safetensors};
    let bytes = fs::metadata(&error.path).ok()?.len();
    let needed = match error.fault {
        Fault::Gguf(gguf::Fault::PastEnd { end, .. }) => end,
        Fault::Safetensors(safetensors::Fault::PastEnd { end, .. }) => safetensors_end(&error.path).unwrap_or(end),
        _ => return None,
    };
    let detail = format!("{}: it has {bytes} of {needed} bytes", error.path.display());
    let error = Error::new(Code::ModelIncomplete, detail).with("model", file_name(&error.path));
    Some(error.with("bytes", bytes).with("needed", needed))
}

/// Where the last tensor ends, as the header says.
fn safetensors_end(path: &Path) -> Option<u64> {
    /// The format's own limit.
    const HEADER_BYTES_MAX: u64 = 100_000_000;
    let mut file = File::open(path).ok()?;
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let length = u64::from_le_bytes(length);
    if length > HEADER_BYTES_MAX {
        return None;
    }
    let mut text = Vec::new();
    file.take(length).read_to_end(&mut text).ok()?;
    let header: serde_json::Map<String, Value> = serde_json::from_slice(&text).ok()?;
    let ends = header.values().filter_map(|tensor| tensor.get("data_offsets")?.get(1)?.as_u64());
    ends.max()?.checked_add(8 + length)
}

/// A small text file, whole.
pub(crate) fn small_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(CONFIG_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}
