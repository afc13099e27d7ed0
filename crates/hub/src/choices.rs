//! What of a repository a person can choose: each GGUF (a split one as one), the checkpoint of a folder, an adapter.

use std::collections::{BTreeMap, BTreeSet};

use crate::{names::FileName, repository::RepositoryFile};

/// More parts than any model is split into; a name may claim any number.
const PARTS_MAX: u32 = 2000;
/// What a checkpoint or an adapter needs beside its weights, where it is there.
const BESIDE: [&str; 12] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "tokenizer.tiktoken",
];
/// Parts of names of GGUF files that are no language models.
const NO_MODELS: [&str; 3] = ["mmproj", "imatrix", "ggml-vocab"];
/// Quantizations as files are named by them; where one begins with another the longer comes first.
const QUANTIZATIONS: [&str; 49] = [
    "Q4_0_4_4", "Q4_0_4_8", "Q4_0_8_8", "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "IQ3_XS",
    "IQ3_S", "IQ3_M", "IQ4_XS", "IQ4_NL", "TQ1_0", "TQ2_0", "MXFP4", "NVFP4", "Q2_K_XL", "Q2_K_S", "Q2_K_L", "Q2_K",
    "Q3_K_XL", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q3_K", "Q4_K_XL", "Q4_K_S", "Q4_K_M", "Q4_K_L", "Q4_K", "Q5_K_XL",
    "Q5_K_S", "Q5_K_M", "Q5_K_L", "Q5_K", "Q6_K_XL", "Q6_K_L", "Q6_K", "Q8_K_XL", "Q4_0", "Q4_1", "Q5_0", "Q5_1",
    "Q8_0", "BF16", "F16",
];
/// The same, of plain numbers, by the names that Python gives them.
const PLAIN: [(&str, &str); 5] =
    [("F32", "F32"), ("FP32", "F32"), ("FP16", "F16"), ("FLOAT16", "F16"), ("BFLOAT16", "BF16")];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChoiceKind {
    Gguf,
    /// A checkpoint in the layout of Hugging Face: `config.json`, weights, tokenizer.
    Folder,
    Lora,
}

/// Something to choose, with every file that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Path of the file that stands for it: the (first) GGUF, `config.json`, `adapter_config.json`.
    pub id: String,
    /// The file's name without its ending and part; of a folder its path, "" at the top of the repository.
    pub name: String,
    pub kind: ChoiceKind,
    /// "Q4_K_M", "Q4_K_M-im", "" where the name does not tell.
    pub quantization: String,
    /// What says the most comes first: `config.json`, then what stands beside the weights, then the weights in order.
    pub files: Vec<RepositoryFile>,
}

impl Choice {
    /// The folder of the repository that it is, or lies in; "" at the top.
    pub fn folder(&self) -> &str {
        self.id.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// The hash of a single file.
    pub fn sha256(&self) -> Option<&str> {
        match self.files.as_slice() {
            [file] => file.sha256.as_deref(),
            _ => None,
        }
    }
}

/// A model whose files are not all there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incomplete {
    pub name: String,
    pub missing: Vec<FileName>,
}

/// What can be chosen and what cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// GGUF files first, the smallest first.
    pub choices: Vec<Choice>,
    pub incomplete: Vec<Incomplete>,
    /// How many files belong to no choice.
    pub other_files: usize,
}

impl Choices {
    /// Sorts the files of a repository into what can be chosen.
    pub fn of(files: &[RepositoryFile]) -> Choices {
        let mut found = Choices::default();
        ggufs(files, &mut found);
        let folders: BTreeSet<&str> = files.iter().map(|file| file.name.folder()).collect();
        for folder in folders {
            let here: Vec<&RepositoryFile> = files.iter().filter(|file| file.name.folder() == folder).collect();
            checkpoint(folder, &here, &mut found);
            adapter(folder, &here, &mut found);
        }
        found.choices.sort_by_cached_key(|choice| (choice.kind, choice.bytes(), choice.id.clone()));
        let taken: BTreeSet<&FileName> =
            found.choices.iter().flat_map(|choice| &choice.files).map(|file| &file.name).collect();
        found.other_files = files.iter().filter(|file| !taken.contains(&file.name)).count();
        found
    }

    pub fn find(&self, id: &str) -> Option<&Choice> {
        self.choices.iter().find(|choice| choice.id == id)
    }
}

fn ggufs(files: &[RepositoryFile], found: &mut Choices) {
    let is_model = |file: &&RepositoryFile| {
        let name = file.name.last().to_ascii_lowercase();
        file.name.ending() == "gguf" && !NO_MODELS.iter().any(|part| name.contains(part))
    };
    let whole = files.iter().filter(is_model).filter(|file| part_of(file.name.as_str()).is_none());
    found.choices.extend(whole.map(|file| gguf(vec![file.clone()])));
    for set in sets(files.iter().filter(is_model)) {
        match set.missing() {
            missing if missing.is_empty() => found.choices.push(gguf(set.files)),
            missing => found.incomplete.push(Incomplete { name: set.stem, missing }),
        }
    }
}

/// One or more files in the order of their parts.
fn gguf(files: Vec<RepositoryFile>) -> Choice {
    let first = files.first().map(|file| file.name.clone());
    let (id, name) = first.map_or_else(Default::default, |name| {
        let stem = part_of(name.as_str()).map_or(name.as_str(), |part| part.stem);
        let last = stem.rsplit('/').next().unwrap_or(stem);
        let plain =
            if last.to_ascii_lowercase().ends_with(".gguf") { &last[..last.len() - ".gguf".len()] } else { last };
        (name.as_str().to_owned(), plain.to_owned())
    });
    Choice { quantization: quantization(&id), id, name, kind: ChoiceKind::Gguf, files }
}

/// The weights of a folder with a `config.json`: safetensors where they are whole, else `.bin`.
fn checkpoint(folder: &str, here: &[&RepositoryFile], found: &mut Choices) {
    let Some(config) = here.iter().find(|file| file.name.last() == "config.json") else { return };
    let mut incomplete = None;
    for (stem, ending) in [("model", "safetensors"), ("pytorch_model", "bin")] {
        let (single, index) = (format!("{stem}.{ending}"), format!("{stem}.{ending}.index.json"));
        let one = here.iter().find(|file| file.name.last() == single);
        let parts = here.iter().filter(|file| file.name.ending() == ending).copied();
        let own = |set: &Set| set.stem.rsplit('/').next() == Some(stem);
        let weights: Vec<RepositoryFile> = match (one, sets(parts).into_iter().find(own)) {
            (Some(one), _) => vec![(*one).clone()],
            (None, Some(set)) if set.missing().is_empty() => set.files,
            (None, Some(set)) => {
                incomplete = incomplete.or(Some(Incomplete { missing: set.missing(), name: set.stem }));
                continue;
            }
            (None, None) => continue,
        };
        let choice = Choice {
            id: config.name.as_str().to_owned(),
            name: folder.to_owned(),
            kind: ChoiceKind::Folder,
            quantization: quantization(folder),
            files: in_order(config, Some(&index), here, weights),
        };
        found.choices.push(choice);
        return;
    }
    found.incomplete.extend(incomplete);
}

/// A LoRA: `adapter_config.json` with `adapter_model.safetensors`, else `.bin`.
fn adapter(folder: &str, here: &[&RepositoryFile], found: &mut Choices) {
    let named = |name: &str| here.iter().copied().find(|file| file.name.last() == name);
    let Some(config) = named("adapter_config.json") else { return };
    let Some(weights) = named("adapter_model.safetensors").or_else(|| named("adapter_model.bin")) else { return };
    found.choices.push(Choice {
        id: config.name.as_str().to_owned(),
        name: folder.to_owned(),
        kind: ChoiceKind::Lora,
        quantization: String::new(),
        files: in_order(config, None, here, vec![weights.clone()]),
    });
}

/// The configuration, what stands beside the weights (their index with it), the weights.
fn in_order(
    config: &RepositoryFile,
    index: Option<&str>,
    here: &[&RepositoryFile],
    weights: Vec<RepositoryFile>,
) -> Vec<RepositoryFile> {
    let is_beside = |name: &str| BESIDE.contains(&name) || index == Some(name);
    let beside = here.iter().filter(|file| is_beside(file.name.last()) && file.name != config.name);
    [config].into_iter().chain(beside.copied()).cloned().chain(weights).collect()
}

/// A name with `-00002-of-00005` before its ending.
struct Part<'a> {
    /// Folder and name before the number.
    stem: &'a str,
    number: u32,
    of: u32,
    ending: &'a str,
}

fn part_of(name: &str) -> Option<Part<'_>> {
    let (rest, ending) = name.rsplit_once('.')?;
    let (rest, of) = rest.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| (text.len() == 5).then(|| text.parse::<u32>().ok()).flatten();
    let (number, of) = (digits(number)?, digits(of)?);
    let sound = (1..=PARTS_MAX).contains(&of) && (1..=of).contains(&number);
    sound.then_some(Part { stem, number, of, ending })
}

/// A model in parts, those that there are.
struct Set {
    stem: String,
    of: u32,
    ending: String,
    numbers: BTreeSet<u32>,
    files: Vec<RepositoryFile>,
}

impl Set {
    fn missing(&self) -> Vec<FileName> {
        let missing = (1..=self.of).filter(|number| !self.numbers.contains(number));
        let name = |number: u32| format!("{}-{number:05}-of-{:05}.{}", self.stem, self.of, self.ending);
        missing.filter_map(|number| FileName::parse(&name(number)).ok()).collect()
    }
}

/// Files in parts, each set with its files in order.
fn sets<'a>(files: impl Iterator<Item = &'a RepositoryFile>) -> Vec<Set> {
    let mut sets: BTreeMap<(&str, u32, &str), BTreeMap<u32, &RepositoryFile>> = BTreeMap::new();
    for file in files {
        if let Some(part) = part_of(file.name.as_str()) {
            sets.entry((part.stem, part.of, part.ending)).or_default().insert(part.number, file);
        }
    }
    let set = |((stem, of, ending), parts): ((&str, u32, &str), BTreeMap<u32, &RepositoryFile>)| Set {
        stem: stem.to_owned(),
        of,
        ending: ending.to_owned(),
        numbers: parts.keys().copied().collect(),
        files: parts.into_values().cloned().collect(),
    };
    sets.into_iter().map(set).collect()
}

/// The quantization that a file's path names, "" where it names none. The file's own name tells more than its folder's.
///
/// `Q4_K` alone is what llama.cpp calls `Q4_K_M`, with `Q3_K` and `Q5_K` likewise; `-im` marks an importance matrix.
pub fn quantization(path: &str) -> String {
    let mut parts = path.rsplit('/');
    parts.find_map(|part| in_name(&part.to_ascii_uppercase())).unwrap_or_default()
}

fn in_name(name: &str) -> Option<String> {
    let known = QUANTIZATIONS.iter().map(|name| (*name, *name)).chain(PLAIN);
    let mut best: Option<(usize, usize, &str)> = None;
    for (word, meaning) in known {
        for (at, _) in name.match_indices(word) {
            let alone = |letter: Option<char>| !letter.is_some_and(char::is_alphanumeric);
            let whole = alone(name[..at].chars().next_back()) && alone(name[at + word.len()..].chars().next());
            if whole && best.is_none_or(|(start, length, _)| (at, word.len()) > (start, length)) {
                best = Some((at, word.len(), meaning));
            }
        }
    }
    let (at, length, meaning) = best?;
    let meaning = match meaning {
        "Q3_K" | "Q4_K" | "Q5_K" => format!("{meaning}_M"),
        other => other.to_owned(),
    };
    let rest = &name[at + length..];
    let matrix = rest == "-IM" || rest.starts_with("-IM.") || rest.starts_with("-IM-");
    Some(if matrix { format!("{meaning}-im") } else { meaning })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> Vec<RepositoryFile> {
        let file = |name: &&str| RepositoryFile {
            name: FileName::parse(name).expect("a name"),
            bytes: 10,
            sha256: Some("a".repeat(64)),
        };
        names.iter().map(file).collect()
    }

    fn told(names: &[&str]) -> Vec<(String, String, usize)> {
        let found = Choices::of(&files(names));
        found.choices.into_iter().map(|choice| (choice.id, choice.quantization, choice.files.len())).collect()
    }

    fn row(id: &str, quantization: &str, files: usize) -> (String, String, usize) {
        (id.to_owned(), quantization.to_owned(), files)
    }

    #[test]
    fn quantizations_are_read_from_names() {
        for (name, expected) in [
            ("ggml-model-q4_k.gguf", "Q4_K_M"),
            ("ggml-model-q3_k-im.gguf", "Q3_K_M-im"),
            ("ggml-model-q6_k-im.gguf", "Q6_K-im"),
            ("ggml-model-f16.gguf", "F16"),
            ("Qwen3-8B-Q4_K_M.gguf", "Q4_K_M"),
            ("model.Q5_K_S.gguf", "Q5_K_S"),
            ("model-Q3_K_XL.gguf", "Q3_K_XL"),
            ("Qwen3-8B-UD-Q4_K_XL.gguf", "Q4_K_XL"),
            ("llama-IQ4_XS.gguf", "IQ4_XS"),
            ("llama_q8_0.gguf", "Q8_0"),
            ("x-Q4_0_4_8.gguf", "Q4_0_4_8"),
            ("x-bf16.gguf", "BF16"),
            ("x-fp16.gguf", "F16"),
            ("x-fp32.gguf", "F32"),
            ("BF16/model-00001-of-00002.gguf", "BF16"),
            ("Q8_0/model-F16.gguf", "F16"),
            ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
            ("model.gguf", ""),
            ("SF16x.gguf", ""),
            ("IQ4_XSY.gguf", ""),
        ] {
            assert_eq!(quantization(name), expected, "{name}");
        }
    }

    #[test]
    fn each_gguf_is_a_choice_and_a_split_one_is_one() {
        let names = [
            "README.md",
            "m-Q4_K_M.gguf",
            "mmproj-F16.gguf",
            "Q8_0/m-Q8_0-00001-of-00002.gguf",
            "Q8_0/m-Q8_0-00002-of-00002.gguf",
            "m-F16-00001-of-00003.gguf",
            "m-F16-00003-of-00003.gguf",
            "imatrix.gguf",
        ];
        let found = Choices::of(&files(&names));
        let told = told(&names);
        assert_eq!(told, [row("m-Q4_K_M.gguf", "Q4_K_M", 1), row("Q8_0/m-Q8_0-00001-of-00002.gguf", "Q8_0", 2)]);
        assert_eq!((found.choices[1].name.as_str(), found.choices[1].bytes()), ("m-Q8_0", 20));
        assert_eq!((found.choices[0].sha256().is_some(), found.choices[1].sha256()), (true, None));
        let missing = vec![FileName::parse("m-F16-00002-of-00003.gguf").expect("a name")];
        assert_eq!(found.incomplete, [Incomplete { name: "m-F16".into(), missing }]);
        assert_eq!(found.other_files, 5);
    }

    #[test]
    fn a_checkpoint_is_one_choice_of_its_better_weights() {
        let beside = ["config.json", "tokenizer.model", "tokenizer_config.json"];
        let of = |weights: &[&str]| told(&[weights, &beside[..]].concat());
        let bins =
            ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin", "pytorch_model.bin.index.json"];
        let tensors =
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"];
        assert_eq!(of(&bins), [row("config.json", "", 6)]);
        let both = Choices::of(&files(&[&bins[..], &tensors, &beside].concat()));
        assert_eq!((both.choices.len(), both.other_files), (1, 3));
        assert!(both.choices[0].files.iter().all(|file| !file.name.as_str().contains("bin")));
        // Whole `.bin` files are better than half of the safetensors.
        let half = Choices::of(&files(&[&bins[..], &tensors[..1], &beside].concat()));
        assert!(half.choices[0].files.iter().any(|file| file.name.as_str() == "pytorch_model-00002-of-00002.bin"));
        assert_eq!(of(&["consolidated.00.pth", "consolidated.safetensors"]), []);
        let half = Choices::of(&files(&[&tensors[..1], &beside].concat()));
        assert_eq!((half.choices.len(), half.incomplete[0].missing.len()), (0, 1));
        assert_eq!(of(&["pytorch_model.bin"]), [row("config.json", "", 4)]);
        assert_eq!(told(&["model.safetensors"]), [], "no config.json");
        assert_eq!(told(&["fp16/model.safetensors", "fp16/config.json"]), [row("fp16/config.json", "F16", 2)]);
    }

    #[test]
    fn an_adapter_is_a_choice_with_its_tokenizer() {
        let names = ["adapter_config.json", "adapter_model.bin", "tokenizer.model", "README.md"];
        let found = Choices::of(&files(&names));
        assert_eq!((found.choices[0].kind, found.choices[0].files.len(), found.other_files), (ChoiceKind::Lora, 3, 1));
        assert!(Choices::of(&files(&["adapter_config.json"])).choices.is_empty());
    }

    #[test]
    fn names_that_claim_absurd_parts_are_single_files() {
        for name in [
            "m-00000-of-00002.gguf",
            "m-00003-of-00002.gguf",
            "m-00001-of-99999.gguf",
            "m-1-of-2.gguf",
            "m-00001-of-00000.gguf",
        ] {
            assert_eq!(told(&[name]), [row(name, "", 1)], "{name}");
        }
    }
}
