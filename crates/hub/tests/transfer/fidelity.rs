//! The loopback hub is the real thing as far as the hub's own makers can tell: their client, hf-hub, works with it.

use futures_util::TryStreamExt;
use hf_hub::{HFClient, HFError, repository::RepoTreeEntry};
use huacaya_loopback::{Content, Loopback, RepositorySpec};

use crate::setting::assert_is;

fn client(loopback: &Loopback, token: Option<&str>, cache: &tempfile::TempDir) -> HFClient {
    let builder = HFClient::builder().endpoint(loopback.url()).cache_dir(cache.path()).retry_max_attempts(0);
    // Without a token of its own it would take one from the environment.
    builder.token(token.unwrap_or("none")).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn hf_hub_lists_and_fetches_what_the_loopback_holds() {
    let (loopback, cache) = (Loopback::start(), tempfile::tempdir().unwrap());
    let (model, card) = (Content::seeded(5, 1_000_000), Content::bytes("# A model\n"));
    loopback.accept_token("none", false);
    loopback
        .add(RepositorySpec::new("team/model").file("deep/model.gguf", model.clone()).file("README.md", card.clone()));
    loopback.set_tree_page(2);
    let repository = client(&loopback, None, &cache).model("team", "model");
    let information = repository.info().send().await.unwrap();
    assert_eq!(information.sha, Some(loopback.repository("team/model").unwrap().commit()));
    assert_eq!(information.siblings.unwrap().len(), 2);
    let entries: Vec<RepoTreeEntry> =
        repository.list_tree().recursive(true).send().unwrap().try_collect().await.unwrap();
    assert_eq!(entries.len(), 3, "over two pages: a folder, its file, the card");
    let hash = entries.iter().find_map(|entry| match entry {
        RepoTreeEntry::File { path, size, lfs: Some(_), .. } if path == "deep/model.gguf" => Some(*size),
        _ => None,
    });
    assert_eq!(hash, Some(1_000_000));
    for (name, content) in [("deep/model.gguf", model), ("README.md", card)] {
        let place = repository.download_file().filename(name).send().await.unwrap();
        assert_is(&place, &content);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hf_hub_understands_the_loopbacks_refusals() {
    let (loopback, cache) = (Loopback::start(), tempfile::tempdir().unwrap());
    loopback.accept_token("known", false);
    loopback.add(RepositorySpec::new("team/gated").file("model.gguf", Content::seeded(5, 1000)).gated());
    let fetch = async |owner: &str, name: &str, file: &str| {
        let repository = client(&loopback, Some("known"), &cache).model(owner, name);
        repository.download_file().filename(file).send().await.unwrap_err()
    };
    let gated = fetch("team", "gated", "model.gguf").await;
    assert!(gated.to_string().contains("restricted"), "{gated}");
    assert!(matches!(
        fetch("no", "such", "model.gguf").await,
        HFError::RepoNotFound { .. } | HFError::EntryNotFound { .. }
    ));
    loopback.accept_token("known", true);
    assert!(matches!(fetch("team", "gated", "absent.gguf").await, HFError::EntryNotFound { .. }));
}
