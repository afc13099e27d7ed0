//! `model.safetensors.index.json`, or PyTorch's of the same form: which shard has which tensor. Its file names are untrusted.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::Fault;
use super::pairs::Pairs;
use crate::Error;
use crate::json::read_bounded;

/// Where the index of a sharded model stands, beside its shards.
pub const INDEX_NAME: &str = "model.safetensors.index.json";
/// Some hundred bytes a tensor: the largest, with 91,000 tensors, has 9 MB.
const INDEX_BYTES_MAX: u64 = 64 << 20;
/// The largest models come in under 200 shards; each is an open file.
const SHARDS_MAX: usize = 1 << 10;
/// What file systems allow in one name.
const NAME_BYTES_MAX: usize = 255;

/// Which shard has which tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Plain file names, in the order of their first mention.
    pub shards: Vec<String>,
    /// (tensor, place in `shards`), in the order of the file.
    pub tensors: Vec<(String, usize)>,
}

#[derive(Deserialize)]
struct Written {
    weight_map: Pairs<String>,
}

impl Index {
    /// Reads the index at `path`.
    pub fn open(path: &Path) -> Result<Index, Error> {
        Index::parse(path, &read_bounded(path, INDEX_BYTES_MAX)?)
    }

    /// Reads an index from its text; `path` is only named in errors.
    pub fn parse(path: &Path, json: &[u8]) -> Result<Index, Error> {
        read(json, ".safetensors").map_err(|fault| Error::new(path, fault))
    }

    /// As [`Index::open`], of shards that PyTorch saved.
    pub(crate) fn open_pytorch(path: &Path) -> Result<Index, Error> {
        let json = read_bounded(path, INDEX_BYTES_MAX)?;
        read(&json, ".bin").map_err(|fault| Error::new(path, fault))
    }
}

fn read(json: &[u8], extension: &'static str) -> Result<Index, Fault> {
    let written: Written = serde_json::from_slice(json).map_err(|error| Fault::Index { detail: error.to_string() })?;
    let mut index = Index { shards: Vec::new(), tensors: Vec::new() };
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut seen = HashMap::new();
    for (tensor, shard) in written.weight_map.0 {
        let place = match places.get(&shard) {
            Some(&place) => place,
            None => {
                if !shard.ends_with(extension) || !is_plain_name(&shard) {
                    let name = shard.chars().take(NAME_BYTES_MAX).collect();
                    return Err(Fault::ShardName { name, extension });
                }
                places.insert(shard.clone(), index.shards.len());
                index.shards.push(shard);
                index.shards.len() - 1
            }
        };
        if seen.insert(tensor.clone(), ()).is_some() {
            return Err(Fault::ListedTwice { tensor });
        }
        index.tensors.push((tensor, place));
    }
    if index.shards.len() > SHARDS_MAX {
        return Err(Fault::TooManyShards { count: index.shards.len(), limit: SHARDS_MAX });
    }
    Ok(index)
}

/// Whether this is the name of a file beside the index on every system: no folder, no drive, no stream, no device.
fn is_plain_name(name: &str) -> bool {
    const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];
    let plain = |c: char| !c.is_control() && !"/\\:*?\"<>|".contains(c);
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let numbered = |device: &str| {
        stem.strip_prefix(device).is_some_and(|rest| {
            let mut digits = rest.chars();
            digits.next().is_some_and(|c| c.is_ascii_digit() || "¹²³".contains(c)) && digits.next().is_none()
        })
    };
    !stem.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.chars().all(plain)
        && !DEVICES.contains(&stem.as_str())
        && !numbered("com")
        && !numbered("lpt")
}
