//! What made models are called: files that no other model has, below `made/` in the storage folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

use huacaya_hub::FileName;

use super::{Output, Target};
use crate::{
    App,
    error::{Code, Error, Result},
    import::part_of,
};

/// The folder in the storage folder.
const MADE: &str = "made";
/// Files of one name are numbered; nobody makes the same more often.
const NUMBERS_MAX: u32 = 1_000;
/// A name that a file cannot have.
const NAMELESS: &str = "model";
/// The merged weights that targets are quantized from, while they are.
const MERGED: &str = ".merged";

/// Where they lie.
pub(crate) fn folder(storage: &Path) -> PathBuf {
    storage.join(MADE)
}

/// Where a file of a task is, below the storage folder.
pub(crate) fn place(storage: &Path, file: &str) -> PathBuf {
    folder(storage).join(file)
}

/// Where the merged weights of a task lie while it works: no model of the list, for its name ends as unfinished ones do.
pub(crate) fn merged_place(place: &Path) -> PathBuf {
    let mut merged = place.as_os_str().to_os_string();
    merged.push(MERGED);
    part_of(Path::new(&merged))
}

/// Removes what was not finished of the model that was to be here; `whole`: the model itself, too.
fn clear_away(place: &Path, whole: bool) {
    let merged = merged_place(place);
    for left in [part_of(place), part_of(&merged), merged].into_iter().chain(whole.then(|| place.to_path_buf())) {
        let removed = if left.is_dir() { fs::remove_dir_all(&left) } else { fs::remove_file(&left) };
        if let Err(error) = removed
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %left.display(), %error, "what a job left could not be removed");
        }
    }
}

impl App {
    /// Removes what a task left of a model that was to be here: its parts, and the whole where it never came into the list.
    pub(crate) async fn sweep_made(&self, place: &Path) -> Result<()> {
        let whole = self.inner.store.model_at(place).await?.is_none();
        clear_away(place, whole);
        Ok(())
    }

    /// A name for each target's file that nothing has, and no job that is not done will have. A name that is taken gets a
    /// number.
    pub(crate) async fn free_names(&self, name: &str, targets: &[Target], output: Output) -> Result<Vec<String>> {
        let taken = self.unfinished().await?;
        let storage = self.storage();
        let plain = plain(name);
        let mut names: Vec<String> = Vec::new();
        for target in targets {
            let stem = format!("{plain}-{}", target.label());
            let is_free = |file: &String| {
                let path = place(&storage, file);
                !names.contains(file) && !path.exists() && !part_of(&path).exists() && !taken.contains(&path)
            };
            let numbered = (2..NUMBERS_MAX).map(|number| format!("{stem}-{number}"));
            let stems = [stem.clone()].into_iter().chain(numbered);
            let free = stems.map(|stem| with_ending(&stem, output)).find(is_free);
            let none = || Error::new(Code::FileExists, format!("{stem}: taken")).with("path", &stem);
            let free = free.ok_or_else(none)?;
            names.push(free);
        }
        Ok(names)
    }
}

fn with_ending(stem: &str, output: Output) -> String {
    match output {
        Output::Gguf => format!("{stem}.gguf"),
        Output::Folder => stem.to_string(),
    }
}

/// A name as a file can have it.
fn plain(name: &str) -> String {
    let refused = |letter: char| r#"/\:*?"<>|"#.contains(letter) || letter.is_control();
    let plain: String = name.chars().map(|letter| if refused(letter) { '-' } else { letter }).collect();
    let plain = plain.trim_matches([' ', '.']);
    if FileName::parse(plain).is_ok() { plain.to_string() } else { NAMELESS.to_string() }
}

/// The name of a made model in the list: as the person named it, its format, and the number that its file had to get.
pub(crate) fn shown(name: &str, target: &Target, file: &str) -> String {
    let usual = format!("{}-{}", plain(name), target.label());
    let stem = file.strip_suffix(".gguf").unwrap_or(file);
    let number = stem.strip_prefix(&usual).unwrap_or_default();
    format!("{name} {}{number}", target.label())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(scheme: &str) -> Target {
        Target { scheme: scheme.to_string(), by_hand: Vec::new() }
    }

    #[test]
    fn a_name_becomes_one_that_a_file_can_have() {
        assert_eq!(plain("羊驼 7B"), "羊驼 7B");
        assert_eq!(plain("a/b: c?"), "a-b- c-");
        assert_eq!(plain(" .. "), "model");
        assert_eq!(plain("CON"), "model");
    }

    #[test]
    fn a_made_model_is_called_by_its_format_and_number() {
        assert_eq!(shown("a/b", &target("Q4_K_M"), "a-b-Q4_K_M.gguf"), "a/b Q4_K_M");
        assert_eq!(shown("a/b", &target("Q4_K_M"), "a-b-Q4_K_M-2.gguf"), "a/b Q4_K_M-2");
    }
}
