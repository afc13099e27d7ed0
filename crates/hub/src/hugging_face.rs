//! The dialect of huggingface.co and its mirrors: information, tree and search as JSON.
//!
//! Source: the hub's API documentation, huggingface_hub's `hf_api.py`, and hf-hub 1.0, whose `ModelInfo` reads the answers.

use hf_hub::repository::ModelInfo;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::{
    client::Hub,
    connections::Purpose,
    error::{Error, Result},
    names::RepositoryId,
    network::{Dialect, Endpoint},
    repository::{FILES_MAX, Hit, Repository, checked, weights_of, words},
};

/// The hub lists 1,000 entries a page; this many pages hold `FILES_MAX`, with folders.
const PAGES_MAX: usize = 40;

/// An entry of a tree.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: Option<String>,
    size: Option<u64>,
}

pub(crate) async fn repository(
    hub: &Hub,
    endpoint: &Endpoint,
    id: &RepositoryId,
    revision: Option<&str>,
) -> Result<Repository> {
    let id = id.on(Dialect::HuggingFace);
    let what = id.to_string();
    let revision = revision.unwrap_or(Dialect::HuggingFace.branch());
    let url = endpoint.at(&["api", "models", id.owner(), id.name(), "revision", revision]);
    let (body, _) = hub.listing(&url, Purpose::Repository, &what).await?;
    let found: ModelInfo = read(&url, &body)?;
    // A repository that was renamed answers under its new name.
    let id = RepositoryId::parse(&found.id).unwrap_or(id);
    let commit = found.sha.as_deref().filter(|sha| sha.len() == 40 && sha.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let revision = commit.unwrap_or(revision).to_owned();
    let (files, unsafe_names) = checked(files(hub, endpoint, &id, &revision).await?);
    let card = found.card_data.as_ref();
    let tagged = |prefix: &str| found.tags.iter().flatten().find_map(|tag| words(tag.strip_prefix(prefix)?));
    Ok(Repository {
        gated: is_gated(found.gated.as_ref()),
        licence: text_in(card, "license_name").or_else(|| text_in(card, "license")).or_else(|| tagged("license:")),
        base_model: text_in(card, "base_model").or_else(|| tagged("base_model:")),
        endpoint: endpoint.clone(),
        id,
        revision,
        files,
        unsafe_names,
    })
}

/// Path, size and LFS hash of every file.
async fn files(
    hub: &Hub,
    endpoint: &Endpoint,
    id: &RepositoryId,
    revision: &str,
) -> Result<Vec<(String, u64, Option<String>)>> {
    let tree = endpoint.at(&["api", "models", id.owner(), id.name(), "tree", revision]);
    let mut url = tree.clone();
    url.query_pairs_mut().append_pair("recursive", "true");
    let mut files = Vec::new();
    for _ in 0..PAGES_MAX {
        let (body, link) = hub.listing(&url, Purpose::Repository, &id.to_string()).await?;
        for entry in read::<Vec<Entry>>(&url, &body)? {
            if entry.kind == "file" {
                let bytes = entry.lfs.as_ref().and_then(|lfs| lfs.size).unwrap_or(entry.size);
                files.push((entry.path, bytes, entry.lfs.and_then(|lfs| lfs.oid)));
            }
        }
        if files.len() > FILES_MAX {
            break;
        }
        match link.as_deref().and_then(next_of) {
            // Only the place in the list is taken from it: a mirror hands on links to the host that it mirrors.
            Some(query) => url.set_query(Some(&query)),
            None => return Ok(files),
        }
    }
    Err(Error::protocol(&url, format!("it lists more than {FILES_MAX} files, or does not come to an end")))
}

/// The query of the next page in a `Link` header.
fn next_of(link: &str) -> Option<String> {
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let address = next.split_once('<')?.1.split_once('>')?.0;
    Some(address.split_once('?')?.1.to_owned())
}

pub(crate) async fn search(hub: &Hub, endpoint: &Endpoint, text: &str, limit: usize) -> Result<Vec<Hit>> {
    let mut url = endpoint.at(&["api", "models"]);
    url.query_pairs_mut()
        .append_pair("search", text)
        .append_pair("limit", &limit.to_string())
        .append_pair("sort", "downloads")
        .append_pair("direction", "-1")
        .append_pair("full", "true");
    let (body, _) = hub.listing(&url, Purpose::Search, text).await?;
    // One that cannot be read does not hide the others.
    let found: Vec<Value> = read(&url, &body)?;
    let found = found.into_iter().filter_map(|one| serde_json::from_value::<ModelInfo>(one).ok());
    Ok(found.filter_map(|one| hit(endpoint, one)).take(limit).collect())
}

fn hit(endpoint: &Endpoint, found: ModelInfo) -> Option<Hit> {
    let files = found.siblings.iter().flatten().map(|file| file.rfilename.as_str());
    let formats = weights_of(files, found.tags.iter().flatten().map(String::as_str));
    let hit = Hit {
        id: RepositoryId::parse(&found.id)?,
        endpoint: endpoint.clone(),
        downloads: found.downloads.unwrap_or(0),
        likes: found.likes.unwrap_or(0),
        updated: found.last_modified.or(found.created_at).as_deref().and_then(words).unwrap_or_default(),
        gated: is_gated(found.gated.as_ref()),
        formats,
    };
    (!hit.formats.is_empty()).then_some(hit)
}

/// `false`, or how requests are approved.
fn is_gated(gated: Option<&Value>) -> bool {
    match gated {
        Some(Value::Bool(gated)) => *gated,
        Some(Value::String(how)) => how != "false",
        _ => false,
    }
}

/// A text of the front matter, or the first of a list.
fn text_in(card: Option<&Value>, key: &str) -> Option<String> {
    let value = card?.get(key)?;
    let first = value.as_array().and_then(|list| list.first()).unwrap_or(value);
    words(first.as_str()?)
}

fn read<T: for<'a> Deserialize<'a>>(url: &Url, body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| Error::protocol(url, format!("its listing cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_named_by_its_query() {
        let link = r#"<https://huggingface.co/api/models/a/b/tree/main?recursive=true&cursor=ZX>; rel="next""#;
        assert_eq!(next_of(link).as_deref(), Some("recursive=true&cursor=ZX"));
        for none in ["", "<x>; rel=\"prev\"", "<no query>; rel=\"next\"", "rel=\"next\""] {
            assert_eq!(next_of(none), None, "{none}");
        }
    }
}
