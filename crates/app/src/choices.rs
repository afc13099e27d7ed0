//! What a repository's list of files offers: each choice is the files of one model.
//!
//! A file's name is all there is to go by before it is fetched; the header check after a download has the last word.

use std::collections::BTreeMap;

use crate::{downloads::PickFile, finding::ChoiceKind};

/// A `config.json`, a vocabulary, a template: what stands beside weights is small. Larger JSON is something else.
const SIDE_BYTES_MAX: u64 = 64 << 20;
/// Files beside the weights that belong to a model's folder.
const SIDE_ENDINGS: [&str; 4] = [".json", ".model", ".txt", ".jinja"];
/// Names that end like weights and are none: what training left, other layouts of the same weights, pictures' models.
const NO_WEIGHTS: [&str; 8] =
    ["training_args", "optimizer", "scheduler", "consolidated", "rng_state", "mmproj", "imatrix", "adapter_"];

/// A choice as the list of files gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The first file's path; of a folder that of its `config.json` or `adapter_config.json`.
    pub id: String,
    pub name: String,
    pub kind: ChoiceKind,
    /// By the name; empty where it says nothing.
    pub quantization: String,
    /// The one that says the most comes first.
    pub files: Vec<PickFile>,
    /// The folder of the repository that it is, or lies in; empty: the repository itself.
    pub folder: String,
}

impl Choice {
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// All choices of a list of files, the GGUF ones first, each kind from small to large.
pub(crate) fn choices(repository: &str, files: &[PickFile]) -> Vec<Choice> {
    let mut ggufs = ggufs(files);
    ggufs.sort_by_key(|choice| (choice.bytes(), choice.id.clone()));
    let mut folders: BTreeMap<&str, Vec<&PickFile>> = BTreeMap::new();
    for file in files {
        folders.entry(split(&file.path).0).or_default().push(file);
    }
    let folders = folders.iter().flat_map(|(folder, files)| {
        let name = folder_name(repository, folder);
        [adapter(folder, &name, files), weights(folder, &name, files)].into_iter().flatten()
    });
    ggufs.into_iter().chain(folders).collect()
}

fn ggufs(files: &[PickFile]) -> Vec<Choice> {
    let mut groups: BTreeMap<(String, u32), Vec<&PickFile>> = BTreeMap::new();
    for file in files.iter().filter(|file| is_weights(&file.path, ".gguf")) {
        let (stem, _, count) = part_of(&file.path, ".gguf").unwrap_or((file.path.as_str(), 1, 1));
        groups.entry((stem.to_string(), count)).or_default().push(file);
    }
    let whole = groups.into_iter().filter(|((_, count), files)| files.len() == *count as usize);
    let choice = |((stem, _), mut files): ((String, u32), Vec<&PickFile>)| {
        files.sort_by(|one, other| one.path.cmp(&other.path));
        let first = files.first()?;
        let name = split(&stem).1;
        let name = name.strip_suffix(".gguf").or(name.strip_suffix(".GGUF")).unwrap_or(name);
        Some(Choice {
            id: first.path.clone(),
            name: name.to_string(),
            kind: ChoiceKind::Gguf,
            quantization: quantization(&stem),
            folder: split(&first.path).0.to_string(),
            files: files.into_iter().cloned().collect(),
        })
    };
    whole.filter_map(choice).collect()
}

/// A LoRA adapter: its configuration, its weights and the vocabulary that it may come with.
fn adapter(folder: &str, name: &str, files: &[&PickFile]) -> Option<Choice> {
    let config = named(files, "adapter_config.json")?;
    let weights = named(files, "adapter_model.safetensors").or(named(files, "adapter_model.bin"))?;
    Some(Choice {
        id: config.path.clone(),
        name: name.to_string(),
        kind: ChoiceKind::Lora,
        quantization: String::new(),
        files: with_sides(config, &[weights], files),
        folder: folder.to_string(),
    })
}

/// A folder as `transformers` reads it; of one with both, the safetensors.
fn weights(folder: &str, name: &str, files: &[&PickFile]) -> Option<Choice> {
    let config = named(files, "config.json")?;
    let ending = |ending| files.iter().copied().filter(|file| is_weights(&file.path, ending)).collect::<Vec<_>>();
    let safetensors = ending(".safetensors");
    let weights = if is_whole(&safetensors, ".safetensors") { safetensors } else { ending(".bin") };
    if !is_whole(&weights, ".safetensors") && !is_whole(&weights, ".bin") {
        return None;
    }
    Some(Choice {
        id: config.path.clone(),
        name: name.to_string(),
        kind: ChoiceKind::Folder,
        quantization: String::new(),
        files: with_sides(config, &weights, files),
        folder: folder.to_string(),
    })
}

/// Whether one file is there, or all parts of one.
fn is_whole(weights: &[&PickFile], ending: &str) -> bool {
    let parts: Option<Vec<_>> = weights.iter().map(|file| part_of(&file.path, ending)).collect();
    match (weights, parts) {
        ([one], None) => one.path.ends_with(ending),
        (_, Some(parts)) => {
            let Some((stem, _, count)) = parts.first().copied() else { return false };
            parts.len() == count as usize && parts.iter().all(|part| (part.0, part.2) == (stem, count))
        }
        _ => false,
    }
}

fn with_sides(config: &PickFile, weights: &[&PickFile], files: &[&PickFile]) -> Vec<PickFile> {
    let of_others = |path: &str| {
        let name = split(path).1;
        let index = name.strip_suffix(".index.json");
        index.is_some_and(|of| weights.iter().all(|file| !file.path.ends_with(ending_of(of)))) || is_no_weights(name)
    };
    let sides = files.iter().filter(|file| {
        let side = SIDE_ENDINGS.iter().any(|ending| file.path.ends_with(ending)) && file.bytes <= SIDE_BYTES_MAX;
        side && file.path != config.path && !of_others(&file.path)
    });
    let all = [config].into_iter().chain(sides.copied()).chain(weights.iter().copied());
    all.cloned().collect()
}

fn ending_of(name: &str) -> &str {
    name.rfind('.').map_or("", |dot| &name[dot..])
}

fn named<'a>(files: &[&'a PickFile], name: &str) -> Option<&'a PickFile> {
    files.iter().copied().find(|file| split(&file.path).1 == name)
}

fn is_weights(path: &str, ending: &str) -> bool {
    path.to_ascii_lowercase().ends_with(ending) && !is_no_weights(split(path).1)
}

fn is_no_weights(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name != "adapter_config.json" && NO_WEIGHTS.iter().any(|other| name.starts_with(other))
}

/// `x-00002-of-00003.gguf`: its stem, its number and how many there are.
fn part_of<'a>(path: &'a str, ending: &str) -> Option<(&'a str, u32, u32)> {
    let cut = path.len().checked_sub(ending.len())?;
    let (stem, tail) = (path.get(..cut)?, path.get(cut..)?);
    let (stem, count) = stem.rsplit_once("-of-")?;
    let (stem, number) = stem.rsplit_once('-')?;
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !tail.eq_ignore_ascii_case(ending) || !digits(number) || !digits(count) {
        return None;
    }
    let (number, count): (u32, u32) = (number.parse().ok()?, count.parse().ok()?);
    (1..=count).contains(&number).then_some((stem, number, count))
}

/// Folder and name.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn folder_name(repository: &str, folder: &str) -> String {
    let last = |text: &str| split(text).1.to_string();
    if folder.is_empty() { last(repository) } else { format!("{} {}", last(repository), last(folder)) }
}

/// The quantization in a file's name: the last word of it that looks like one ("model.Q4_K_M.gguf", "ggml-model-q4_0").
pub(crate) fn quantization(path: &str) -> String {
    let name = split(path).1.to_ascii_uppercase();
    let name = name.strip_suffix(".GGUF").unwrap_or(&name);
    let words: Vec<&str> = name.split(['-', '.', ' ']).collect();
    let found = words.iter().rposition(|word| is_quantization(word));
    found.map_or(String::new(), |place| match words.get(place + 1) {
        Some(&"IM") => format!("{}-im", words[place]),
        _ => words[place].to_string(),
    })
}

fn is_quantization(word: &str) -> bool {
    let digits = |text: &str| text.starts_with(|letter: char| letter.is_ascii_digit());
    let numbered = ["Q", "IQ", "TQ"].iter().any(|start| word.strip_prefix(start).is_some_and(digits));
    let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    plain && (numbered && word.len() <= 12 || matches!(word, "F32" | "F16" | "BF16" | "FP16" | "MXFP4"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, u64)]) -> Vec<PickFile> {
        list.iter().map(|(path, bytes)| PickFile { path: (*path).into(), bytes: *bytes, sha256: None }).collect()
    }

    fn paths(choice: &Choice) -> Vec<&str> {
        choice.files.iter().map(|file| file.path.as_str()).collect()
    }

    #[test]
    fn each_gguf_is_a_choice_and_the_parts_of_one_are_one() {
        let list = files(&[
            ("README.md", 1),
            ("ggml-model-q4_0.gguf", 40),
            ("ggml-model-q4_k-im.gguf", 41),
            ("mmproj-model-f16.gguf", 1),
            ("Q8_0/big-Q8_0-00002-of-00002.gguf", 50),
            ("Q8_0/big-Q8_0-00001-of-00002.gguf", 50),
            ("half-Q2_K-00001-of-00003.gguf", 5),
        ]);
        let found = choices("hfl/x-gguf", &list);
        let told: Vec<_> = found.iter().map(|one| (one.id.as_str(), one.quantization.as_str(), one.bytes())).collect();
        let expected = [
            ("ggml-model-q4_0.gguf", "Q4_0", 40),
            ("ggml-model-q4_k-im.gguf", "Q4_K-im", 41),
            ("Q8_0/big-Q8_0-00001-of-00002.gguf", "Q8_0", 100),
        ];
        assert_eq!(told, expected, "a projector is no model, and one with parts missing cannot be had");
        assert_eq!(paths(&found[2])[1], "Q8_0/big-Q8_0-00002-of-00002.gguf");
    }

    #[test]
    fn a_folder_is_its_safetensors_with_what_they_need_and_nothing_else() {
        let list = files(&[
            ("config.json", 1),
            ("generation_config.json", 1),
            ("tokenizer.model", 1),
            ("model-00001-of-00002.safetensors", 9),
            ("model-00002-of-00002.safetensors", 9),
            ("model.safetensors.index.json", 1),
            ("pytorch_model-00001-of-00001.bin", 18),
            ("pytorch_model.bin.index.json", 1),
            ("training_args.bin", 1),
            ("consolidated.00.pth", 18),
            ("picture.png", 1),
        ]);
        let found = choices("hfl/chinese-alpaca-2-1.3b", &list);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].id.as_str(), found[0].name.as_str()), ("config.json", "chinese-alpaca-2-1.3b"));
        let expected = [
            "config.json",
            "generation_config.json",
            "tokenizer.model",
            "model.safetensors.index.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
        ];
        assert_eq!(paths(&found[0]), expected);
    }

    #[test]
    fn without_safetensors_a_folder_is_its_pytorch_files_and_an_adapter_is_an_adapter() {
        let list = files(&[("sub/config.json", 1), ("sub/pytorch_model.bin", 9), ("sub/training_args.bin", 1)]);
        let found = choices("o/n", &list);
        assert_eq!((found[0].name.as_str(), paths(&found[0])), ("n sub", vec!["sub/config.json", "sub/pytorch_model.bin"]));
        let list = files(&[("adapter_config.json", 1), ("adapter_model.bin", 9), ("tokenizer.model", 1)]);
        let found = choices("hfl/chinese-alpaca-2-lora-7b", &list);
        assert_eq!((found.len(), found[0].kind), (1, ChoiceKind::Lora));
        assert_eq!(paths(&found[0]), ["adapter_config.json", "tokenizer.model", "adapter_model.bin"]);
        assert!(choices("o/n", &files(&[("config.json", 1), ("model-00001-of-00002.safetensors", 1)])).is_empty());
    }

    #[test]
    fn a_quantization_is_read_from_a_name_as_people_write_it() {
        for (name, expected) in [
            ("Qwen3-8B-Q4_K_M.gguf", "Q4_K_M"),
            ("a/llama-2-7b.Q5_K_S.gguf", "Q5_K_S"),
            ("ggml-model-f16.gguf", "F16"),
            ("Q3-Instruct-IQ4_XS.gguf", "IQ4_XS"),
            ("DeepSeek-R1-Distill-Qwen-1.5B-BF16.gguf", "BF16"),
            ("huacaya-demo.gguf", ""),
        ] {
            assert_eq!(quantization(name), expected, "{name}");
        }
    }
}
