//! What a repository offers, as a download takes it: each choice is the files of one model, under a name to list it by.

use huacaya_hub::{Choices, Repository};

use crate::{downloads::PickFile, finding::ChoiceKind};

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

/// All choices of a repository, the GGUF ones first, each kind from small to large.
pub(crate) fn choices(repository: &Repository) -> Vec<Choice> {
    let choice = |choice: huacaya_hub::Choice| Choice {
        name: name(repository.id.name(), &choice),
        kind: match choice.kind {
            huacaya_hub::ChoiceKind::Gguf => ChoiceKind::Gguf,
            huacaya_hub::ChoiceKind::Folder => ChoiceKind::Folder,
            huacaya_hub::ChoiceKind::Lora => ChoiceKind::Lora,
        },
        folder: choice.folder().to_string(),
        files: choice.files.iter().map(file).collect(),
        id: choice.id,
        quantization: choice.quantization,
    };
    Choices::of(&repository.files).choices.into_iter().map(choice).collect()
}

fn file(file: &huacaya_hub::RepositoryFile) -> PickFile {
    PickFile { path: file.name.as_str().to_string(), bytes: file.bytes, sha256: file.sha256.clone() }
}

/// A GGUF has a name of its own; a folder has the repository's, and says which folder it is.
fn name(repository: &str, choice: &huacaya_hub::Choice) -> String {
    match choice.name.rsplit('/').next() {
        Some("") | None => repository.to_string(),
        Some(own) if choice.kind == huacaya_hub::ChoiceKind::Gguf => own.to_string(),
        Some(folder) => format!("{repository} {folder}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_own_name_and_a_folder_the_repositorys() {
        let file = |name: &str| huacaya_hub::RepositoryFile {
            name: huacaya_hub::FileName::parse(name).unwrap(),
            bytes: 1,
            sha256: None,
        };
        let names =
            ["x-q4_k.gguf", "config.json", "pytorch_model.bin", "tuned/adapter_config.json", "tuned/adapter_model.bin"];
        let repository = Repository {
            id: huacaya_hub::RepositoryId::parse("hfl/model").unwrap(),
            endpoint: huacaya_hub::default_endpoints(|_| None).remove(0),
            revision: "main".to_string(),
            gated: false,
            licence: None,
            base_model: None,
            files: names.map(file).to_vec(),
            unsafe_names: 0,
        };
        let found = choices(&repository);
        let told: Vec<_> = found.iter().map(|one| (&*one.name, &*one.folder, &*one.quantization, one.kind)).collect();
        let expected = [
            ("x-q4_k", "", "Q4_K_M", ChoiceKind::Gguf),
            ("model", "", "", ChoiceKind::Folder),
            ("model tuned", "tuned", "", ChoiceKind::Lora),
        ];
        assert_eq!(told, expected);
        let paths: Vec<&str> = found[1].files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["config.json", "pytorch_model.bin"]);
    }
}
