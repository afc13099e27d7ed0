//! Models that other programs downloaded, found on request and used in their place.
//!
//! What those programs keep is theirs, and untrusted: walks are bounded, links that lead out of a program's folder are not
//! followed, and what a manifest names must lie in the program's own store.

mod folders;
mod ollama;

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use directories::BaseDirs;
use huacaya_store::ModelId;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{
    App, blocking,
    chosen::Purpose,
    error::Result,
    model_files::{file_name, files_of, small_text},
};

/// More than a person looks through; each of them gets an id.
const FOUND_MAX: usize = 500;

/// A program that keeps models on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    Ollama,
    LmStudio,
    Jan,
    ModelScope,
    HuggingFace,
}

impl Program {
    /// As rows name it.
    pub fn word(self) -> &'static str {
        match self {
            Program::Ollama => "ollama",
            Program::LmStudio => "lm_studio",
            Program::Jan => "jan",
            Program::ModelScope => "model_scope",
            Program::HuggingFace => "hugging_face",
        }
    }
}

/// A model of another program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, TS)]
pub struct Elsewhere {
    pub program: Program,
    pub name: String,
    /// Empty where the name does not say it.
    pub quantization: String,
    pub bytes: u64,
    /// For `import_model`.
    pub chosen: u32,
    /// The model in the list that it is.
    pub here: Option<ModelId>,
}

/// The folders in which programs keep models: those of a program that is not there need not exist.
#[derive(Clone, Debug, Default)]
pub struct Roots(pub Vec<(Program, PathBuf)>);

impl Roots {
    /// Where the programs keep them on this machine, by their variables and their usual places.
    pub fn of_this_machine() -> Roots {
        BaseDirs::new().map_or_else(Roots::default, |dirs| Roots::of(&dirs, |name| env::var_os(name)))
    }

    fn of(dirs: &BaseDirs, get: impl Fn(&str) -> Option<OsString>) -> Roots {
        let home = dirs.home_dir();
        let set = |name: &str| get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let mut roots = Vec::new();
        let mut add = |program: Program, folder: PathBuf| {
            if !roots.contains(&(program, folder.clone())) {
                roots.push((program, folder));
            }
        };
        add(Program::Ollama, set("OLLAMA_MODELS").unwrap_or_else(|| home.join(".ollama/models")));
        // Where its service on Linux keeps them.
        add(Program::Ollama, PathBuf::from("/usr/share/ollama/.ollama/models"));
        for folder in [".lmstudio", ".cache/lm-studio"] {
            add(Program::LmStudio, home.join(folder).join("models"));
            if let Some(moved) = named(&home.join(folder).join("settings.json"), "downloadsFolder") {
                add(Program::LmStudio, moved);
            }
        }
        for folder in [dirs.config_dir(), dirs.data_dir(), dirs.data_local_dir()] {
            add(Program::Jan, folder.join("Jan/data"));
            if let Some(moved) = named(&folder.join("Jan/settings.json"), "data_folder") {
                add(Program::Jan, moved);
            }
        }
        add(Program::Jan, home.join("jan"));
        add(Program::Jan, home.join("cortexcpp"));
        add(Program::ModelScope, home.join(".cache/modelscope"));
        if let Some(folder) = set("MODELSCOPE_CACHE") {
            add(Program::ModelScope, folder);
        }
        if let Some(folder) = huacaya_hub::cache::cache_folder(get) {
            add(Program::HuggingFace, folder);
        }
        Roots(roots)
    }
}

/// The folder that a program's own settings name: the person moved it there.
fn named(settings: &Path, key: &str) -> Option<PathBuf> {
    let settings: serde_json::Value = serde_json::from_str(&small_text(settings).ok()?).ok()?;
    let folder = PathBuf::from(settings.get(key)?.as_str()?);
    folder.is_absolute().then_some(folder)
}

/// A model of another program, and where it is.
pub(crate) struct Kept {
    pub name: String,
    pub path: PathBuf,
    /// What names the quantization, if anything does.
    pub tag: String,
    /// Where the program's own store names the file by it.
    pub sha256: Option<String>,
}

impl App {
    pub(crate) async fn find_elsewhere(&self) -> Result<Vec<Elsewhere>> {
        self.find_elsewhere_in(Roots::of_this_machine()).await
    }

    /// The models in the folders of other programs.
    pub async fn find_elsewhere_in(&self, roots: Roots) -> Result<Vec<Elsewhere>> {
        let storage = self.storage();
        let kept = blocking(move || Ok(kept(&roots, &storage))).await?;
        let models = self.inner.store.models().await?;
        let mut listed = Vec::new();
        for model in &models {
            listed.push((model, self.inner.store.model_file(model.id).await?.path));
        }
        let mut found = Vec::new();
        for (program, Kept { name, path, tag, sha256 }, bytes) in kept {
            let same = |(model, place): &&(&huacaya_store::Model, PathBuf)| {
                *place == path || sha256.is_some() && sha256 == model.sha256
            };
            let here = listed.iter().find(same).map(|(model, _)| model.id);
            let chosen = self.offer_of(&path, Purpose::Read, Some((program, name.clone())))?.id;
            found.push(Elsewhere { program, quantization: huacaya_hub::quantization(&tag), name, bytes, chosen, here });
        }
        Ok(found)
    }
}

/// Every model once, with its size, sorted by program and name.
fn kept(roots: &Roots, storage: &Path) -> Vec<(Program, Kept, u64)> {
    let mut found: Vec<(Program, Kept, u64)> = Vec::new();
    let mut seen = Vec::new();
    for (program, root) in &roots.0 {
        let Ok(real) = root.canonicalize() else { continue };
        let models = match program {
            Program::Ollama => ollama::models(&real),
            Program::HuggingFace => folders::cached(&real),
            program => folders::models(&real, *program),
        };
        for model in models {
            // The same file under several names is one model; our own folder may lie in another program's.
            let place = model.path.canonicalize().unwrap_or_else(|_| model.path.clone());
            let Ok(files) = files_of(&model.path) else { continue };
            if found.len() < FOUND_MAX && !seen.contains(&place) && !place.starts_with(storage) {
                seen.push(place);
                found.push((*program, model, files.iter().map(|(_, bytes)| bytes).sum()));
            }
        }
    }
    found.sort_by(|(one, a, _), (other, b, _)| (one, &a.name).cmp(&(other, &b.name)));
    found
}

/// A file's name without its ending.
fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| file_name(path), |stem| stem.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn variables_and_the_programs_own_settings_say_where_they_keep_models() {
        let dirs = BaseDirs::new().unwrap();
        let get = |name: &str| match name {
            "OLLAMA_MODELS" => Some(OsString::from("/模型/ollama")),
            "HF_HUB_CACHE" => Some(OsString::from("/模型/hub")),
            "MODELSCOPE_CACHE" => Some(OsString::new()),
            _ => None,
        };
        let roots = Roots::of(&dirs, get).0;
        assert!(roots.contains(&(Program::Ollama, "/模型/ollama".into())));
        assert!(!roots.contains(&(Program::Ollama, dirs.home_dir().join(".ollama/models"))));
        assert!(roots.contains(&(Program::HuggingFace, "/模型/hub".into())));
        assert!(roots.contains(&(Program::LmStudio, dirs.home_dir().join(".lmstudio/models"))));
        assert!(!roots.contains(&(Program::ModelScope, PathBuf::new())), "an empty variable is none");
        let folder = tempfile::tempdir().unwrap();
        let settings = folder.path().join("settings.json");
        for (text, wanted) in [
            (r#"{"downloadsFolder": "/别处/models"}"#, Some("/别处/models")),
            (r#"{"downloadsFolder": "../up"}"#, None),
            (r#"{"downloadsFolder": 5}"#, None),
            ("no json", None),
        ] {
            std::fs::write(&settings, text).unwrap();
            assert_eq!(named(&settings, "downloadsFolder"), wanted.map(PathBuf::from), "{text}");
        }
    }
}
