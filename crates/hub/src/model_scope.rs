//! The dialect of modelscope.cn: answers in an envelope that says by itself whether it is a success.
//!
//! Source: modelscope's `hub/api.py`, its OpenAPI page (`/openapi/v1/models`), and answers seen on the real one.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

use crate::{
    card,
    client::Hub,
    connections::Purpose,
    error::{Error, Result, host_of},
    names::RepositoryId,
    network::{Dialect, Endpoint},
    repository::{FILES_MAX, Hit, Repository, checked, weights_of, words},
};

/// The hub's code of a record that is not there.
const NOT_FOUND: u64 = 10_010_205_001;
/// The most that the OpenAPI lists at a time.
const PAGE_MAX: usize = 50;
/// `ProtectedMode` of a model whose files are given on request only.
const ON_REQUEST: u64 = 1;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    success: bool,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Files {
    files: Vec<File>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct File {
    path: String,
    #[serde(rename = "Type")]
    kind: String,
    #[serde(default)]
    size: u64,
    sha256: Option<String>,
}

#[derive(Deserialize)]
struct Open {
    data: Models,
}

#[derive(Deserialize)]
struct Models {
    models: Vec<Value>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    #[serde(default)]
    downloads: u64,
    #[serde(default)]
    likes: u64,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    gated: bool,
    #[serde(default)]
    last_modified: Option<Value>,
}

pub(crate) async fn repository(
    hub: &Hub,
    endpoint: &Endpoint,
    id: &RepositoryId,
    revision: Option<&str>,
) -> Result<Repository> {
    let id = id.on(Dialect::ModelScope);
    // The other dialect's branch is this one's.
    let revision = revision.filter(|revision| *revision != Dialect::HuggingFace.branch());
    let revision = revision.unwrap_or(Dialect::ModelScope.branch());
    let parts = ["api", "v1", "models", id.owner(), id.name()];
    let mut url = endpoint.at(&[&parts[..], &["repo", "files"]].concat());
    url.query_pairs_mut().append_pair("Revision", revision).append_pair("Recursive", "true");
    let listed: Files = data(hub, &url, &id).await?;
    if listed.files.len() > FILES_MAX {
        return Err(Error::protocol(&url, format!("it lists more than {FILES_MAX} files")));
    }
    let files = listed.files.into_iter().filter(|file| file.kind == "blob");
    let (files, unsafe_names) = checked(files.map(|file| (file.path, file.size, file.sha256)));
    let about: Value = data(hub, &endpoint.at(&parts), &id).await?;
    let text = |key: &str| about.get(key).and_then(Value::as_str);
    let matter = text("ReadMeContent").map(|card| card::split(card).0).unwrap_or_default();
    Ok(Repository {
        gated: about.get("ProtectedMode").and_then(Value::as_u64) == Some(ON_REQUEST),
        licence: text("License").and_then(words).or_else(|| card::field(matter, "license")),
        base_model: card::field(matter, "base_model"),
        endpoint: endpoint.clone(),
        revision: revision.to_owned(),
        id,
        files,
        unsafe_names,
    })
}

async fn data<T: DeserializeOwned>(hub: &Hub, url: &Url, id: &RepositoryId) -> Result<T> {
    let (body, _) = hub.listing(url, Purpose::Repository, &id.to_string()).await?;
    let unreadable = |error: serde_json::Error| Error::protocol(url, format!("its listing cannot be read: {error}"));
    let envelope: Envelope = serde_json::from_slice(&body).map_err(unreadable)?;
    match envelope.code {
        _ if envelope.success => serde_json::from_value(envelope.data).map_err(unreadable),
        NOT_FOUND | 404 => Err(Error::NotFound { what: id.to_string() }),
        401 | 403 => Err(Error::Unauthorized { host: host_of(url) }),
        _ => Err(Error::protocol(url, words(&envelope.message).unwrap_or_else(|| "it failed".to_owned()))),
    }
}

pub(crate) async fn search(hub: &Hub, endpoint: &Endpoint, text: &str, limit: usize) -> Result<Vec<Hit>> {
    let mut url = endpoint.at(&["openapi", "v1", "models"]);
    url.query_pairs_mut()
        .append_pair("search", text)
        .append_pair("sort", "downloads")
        .append_pair("page_number", "1")
        .append_pair("page_size", &limit.min(PAGE_MAX).to_string());
    let (body, _) = hub.listing(&url, Purpose::Search, text).await?;
    let found: Open = serde_json::from_slice(&body)
        .map_err(|error| Error::protocol(&url, format!("its answer cannot be read: {error}")))?;
    let found = found.data.models.into_iter().filter_map(|one| serde_json::from_value::<Model>(one).ok());
    Ok(found.filter_map(|one| hit(endpoint, one)).take(limit).collect())
}

fn hit(endpoint: &Endpoint, found: Model) -> Option<Hit> {
    let name = found.id.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    // Not every GGUF repository is labelled as one; nearly all are named so.
    let named = (name.ends_with("-gguf") || name.ends_with("_gguf")).then_some("gguf");
    let formats = weights_of(std::iter::empty(), found.tags.iter().map(String::as_str).chain(named));
    let updated = match &found.last_modified {
        Some(Value::String(text)) => words(text).unwrap_or_default(),
        _ => String::new(),
    };
    let hit = Hit {
        id: RepositoryId::parse(&found.id)?,
        endpoint: endpoint.clone(),
        downloads: found.downloads,
        likes: found.likes,
        updated,
        gated: found.gated,
        formats,
    };
    (!hit.formats.is_empty()).then_some(hit)
}
