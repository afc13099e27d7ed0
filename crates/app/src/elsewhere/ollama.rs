//! Ollama's store: `manifests/<registry>/<namespace>/<model>/<tag>`, a JSON that names blobs, and `blobs/sha256-<hash>`.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::Kept;
use crate::model_files::{entries, file_name};

/// The layer with the weights.
const MODEL_LAYER: &str = "application/vnd.ollama.image.model";
/// A manifest has some kilobytes.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// Far more than anyone pulls.
const MANIFESTS_MAX: usize = 2_000;
/// `<registry>/<namespace>/<model>/<tag>`.
const DEPTH: usize = 4;
const HASH_DIGITS: usize = 64;

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
struct Layer {
    #[serde(rename = "mediaType")]
    media_type: String,
    digest: String,
    #[serde(default)]
    size: u64,
}

/// The models whose blobs are there whole. `root` has no links in it any more.
pub(super) fn models(root: &Path) -> Vec<Kept> {
    let mut manifests = vec![root.join("manifests")];
    for _ in 0..DEPTH {
        manifests = manifests.iter().flat_map(|folder| entries(folder)).take(MANIFESTS_MAX).collect();
    }
    manifests.iter().filter_map(|manifest| model(root, manifest)).collect()
}

fn model(root: &Path, path: &Path) -> Option<Kept> {
    // A link could lead anywhere.
    if !path.symlink_metadata().ok()?.is_file() {
        return None;
    }
    let mut text = Vec::new();
    File::open(path).ok()?.take(MANIFEST_BYTES_MAX).read_to_end(&mut text).ok()?;
    let manifest: Manifest = serde_json::from_slice(&text).ok()?;
    let mut weights = manifest.layers.iter().filter(|layer| layer.media_type == MODEL_LAYER);
    let (layer, None) = (weights.next()?, weights.next()) else { return None };
    let hash = hash_of(&layer.digest)?;
    let blob = blob(root, hash)?;
    if layer.size != 0 && fs::metadata(&blob).ok()?.len() != layer.size {
        return None;
    }
    let (name, tag) = name_of(path)?;
    Some(Kept { name, path: blob, tag, sha256: Some(hash.to_string()) })
}

/// `sha256:` and 64 hexadecimal digits; nothing else becomes a part of a path.
fn hash_of(digest: &str) -> Option<&str> {
    let hash = digest.strip_prefix("sha256:").or_else(|| digest.strip_prefix("sha256-"))?;
    let plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (hash.len() == HASH_DIGITS && hash.bytes().all(plain)).then_some(hash)
}

/// The blob, where it lies in the store and not behind a link that leads out.
fn blob(root: &Path, hash: &str) -> Option<PathBuf> {
    let blobs = root.join("blobs");
    let path = blobs.join(format!("sha256-{hash}"));
    let inside = path.canonicalize().ok()?.starts_with(blobs.canonicalize().ok()?);
    (inside && path.is_file()).then_some(path)
}

/// As Ollama itself writes it: the usual registry and namespace are left out.
fn name_of(manifest: &Path) -> Option<(String, String)> {
    let mut parts = manifest.ancestors().take(DEPTH).map(file_name);
    let (tag, model, namespace, registry) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let before = match (registry.as_str(), namespace.as_str()) {
        ("registry.ollama.ai", "library") => String::new(),
        ("registry.ollama.ai", namespace) => format!("{namespace}/"),
        (registry, namespace) => format!("{registry}/{namespace}/"),
    };
    Some((format!("{before}{model}:{tag}"), tag))
}
