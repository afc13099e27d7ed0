//! Which family a model belongs to, as the catalogue names families.

use std::path::Path;

use huacaya_store::Source;

use crate::catalogue::Catalogue;

/// Folders above the file that may tell, itself among them: `models--<owner>--<name>/snapshots/<commit>/<file>`.
const FOLDERS: usize = 4;

/// The family that the model's origin, name or place tells; "" where nothing does.
pub(crate) fn family(name: &str, path: &Path, source: &Source) -> String {
    let catalogue = Catalogue::bundled();
    if let Source::Hub { repository, .. } = source
        && let Some(entry) = catalogue.entry_of(repository)
    {
        return entry.family.clone();
    }
    let places = path.ancestors().take(FOLDERS).filter_map(Path::file_name).map(|name| name.to_string_lossy());
    let names: Vec<String> = std::iter::once(plain(name)).chain(places.map(|name| plain(&name))).collect();
    let told = |family: &&str| names.iter().any(|name| name.contains(&plain(family)));
    // "Chinese-LLaMA-2" holds "Llama-2".
    let families = catalogue.entries().iter().map(|entry| entry.family.as_str()).filter(told);
    families.max_by_key(|family| family.len()).unwrap_or_default().to_string()
}

/// The letters and digits of a name, in small letters: authors differ in what stands between them.
fn plain(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_told_by_origin_name_or_place() {
        let of = |name: &str, path: &str| family(name, Path::new(path), &Source::File);
        assert_eq!(of("Chinese-Alpaca-2-7B", "/x/a.gguf"), "Chinese-Alpaca-2");
        assert_eq!(of("LLaMA v2", "/x/hfl--chinese-llama-2-7b-gguf/ggml-model-q4_k.gguf"), "Chinese-LLaMA-2");
        assert_eq!(of("llama_2 7b", "/x/a.gguf"), "Llama-2");
        assert_eq!(of("Qwen3 0.6B Instruct", "/x/a.gguf"), "Qwen3");
        assert_eq!(of("something", "/x/a.gguf"), "");
        let hub = Source::Hub {
            endpoint: String::new(),
            repository: "hfl/chinese-alpaca-2-7b-rlhf-gguf".into(),
            revision: String::new(),
            file: String::new(),
        };
        assert_eq!(family("model", Path::new("/x"), &hub), "Chinese-Alpaca-2");
    }
}
