//! What a hub says of a repository: its files with sizes and hashes, its card, who may read it; and the search for one.
//!
//! Endpoints are asked in order until one answers. Everything that is read is bounded, and every name is checked: a file
//! with an unsafe name is left out and counted.
//!
//! hf-hub's own client is not used for this: where it has no token of its own it takes `HF_TOKEN` for any endpoint, it
//! reads answers of any length, and its retries would be in no list of connections. Its `ModelInfo` reads the answers.

use std::pin::Pin;

use reqwest::header;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use url::Url;

use crate::{
    card,
    client::{Answer, Ask, Hub},
    connections::Purpose,
    error::{Error, Result, shown},
    hugging_face, model_scope,
    names::{FileName, RepositoryId},
    network::{Dialect, Endpoint},
    transfer::FileSource,
};

/// One answer of a listing or a search; the largest repositories have some thousand files of 200 bytes each.
pub(crate) const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Files of one repository. A model has some hundred at most.
pub(crate) const FILES_MAX: usize = 20_000;
/// Cards are some ten kilobytes; what is longer is cut, not refused.
const CARD_BYTES_MAX: u64 = 512 << 10;
/// A header with a large vocabulary has some ten megabytes.
const START_BYTES_MAX: u64 = 64 << 20;
/// Words of a listing that are shown: a licence, a date, a base model.
const WORDS_MAX: usize = 200;
/// How often all endpoints are asked when each fails in a way that passes.
const ROUNDS: u32 = 2;
/// What a hub's answer to a search is cut at, whatever was asked for.
const HITS_MAX: usize = 100;
const NAME_OF_CARD: &str = "README.md";

/// A repository as an endpoint lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct Repository {
    /// Its name at the endpoint that answered.
    pub id: RepositoryId,
    pub endpoint: Endpoint,
    /// The commit, where the hub tells one; else the branch. Files are asked for by it.
    pub revision: String,
    /// Its files are given only to whom its owner lets in.
    pub gated: bool,
    pub licence: Option<String>,
    pub base_model: Option<String>,
    pub files: Vec<RepositoryFile>,
    /// Files that were left out because no safe path can be made of their names.
    pub unsafe_names: usize,
}

/// A file as a hub lists it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RepositoryFile {
    pub name: FileName,
    pub bytes: u64,
    /// In lower-case hexadecimal; a hub knows it for large files.
    pub sha256: Option<String>,
}

/// A repository that a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    pub id: RepositoryId,
    pub endpoint: Endpoint,
    pub downloads: u64,
    pub likes: u64,
    /// As the hub writes it: `2024-05-02T08:00:00.000Z`.
    pub updated: String,
    pub gated: bool,
    /// Never empty: what holds no weights that can be read is no hit.
    pub formats: Vec<Weights>,
}

/// How a repository holds its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    Gguf,
    Safetensors,
    Pytorch,
    Lora,
}

/// An endpoint's answer that is waited for; of a named type, because the compiler cannot see that a closure's own may move
/// between threads.
type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// A file at an address of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// The last part of its address.
    pub name: FileName,
    pub bytes: Option<u64>,
    pub etag: Option<String>,
    /// The host answers ranges: the transfer can be resumed.
    pub ranges: bool,
}

impl Repository {
    /// Its page, for people.
    pub fn page(&self) -> Url {
        match self.endpoint.dialect {
            Dialect::HuggingFace => self.endpoint.at(&[self.id.owner(), self.id.name()]),
            Dialect::ModelScope => self.endpoint.at(&["models", self.id.owner(), self.id.name()]),
        }
    }

    pub fn file(&self, name: &str) -> Option<&RepositoryFile> {
        self.files.iter().find(|file| file.name.as_str() == name)
    }

    /// Where one of its files is, at the endpoint that listed it.
    pub fn source(&self, name: &FileName) -> FileSource {
        FileSource { url: self.endpoint.file_url(&self.id, &self.revision, name), etag: None }
    }
}

impl Endpoint {
    /// An address on this endpoint, from whole parts of a path.
    pub(crate) fn at(&self, parts: &[&str]) -> Url {
        let mut url = self.url.clone();
        url.set_query(None);
        url.set_fragment(None);
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        url
    }

    /// Where a file of a repository is.
    pub fn file_url(&self, id: &RepositoryId, revision: &str, file: &FileName) -> Url {
        let mut parts = match self.dialect {
            Dialect::HuggingFace => vec![id.owner(), id.name()],
            Dialect::ModelScope => vec!["models", id.owner(), id.name()],
        };
        parts.extend(["resolve", revision]);
        parts.extend(file.as_str().split('/'));
        self.at(&parts)
    }
}

impl Dialect {
    /// The branch that a repository begins with.
    pub fn branch(self) -> &'static str {
        match self {
            Dialect::HuggingFace => "main",
            Dialect::ModelScope => "master",
        }
    }
}

impl Hub {
    /// What the first endpoint that has this repository says of it, all its files included. Without a revision: its branch.
    pub async fn repository(&self, id: &RepositoryId, revision: Option<&str>) -> Result<Repository> {
        let endpoints = self.network().endpoints;
        self.repository_at(&endpoints, id, revision).await
    }

    /// The same, of these endpoints.
    pub async fn repository_at(
        &self,
        endpoints: &[Endpoint],
        id: &RepositoryId,
        revision: Option<&str>,
    ) -> Result<Repository> {
        let what = || id.to_string();
        self.first(endpoints, what, |endpoint| match endpoint.dialect {
            Dialect::HuggingFace => Box::pin(hugging_face::repository(self, endpoint, id, revision)),
            Dialect::ModelScope => Box::pin(model_scope::repository(self, endpoint, id, revision)),
        })
        .await
    }

    /// Repositories with these words in their names, the most fetched first.
    pub async fn search(&self, text: &str, limit: usize) -> Result<Vec<Hit>> {
        let limit = limit.clamp(1, HITS_MAX);
        let endpoints = self.network().endpoints;
        let what = || text.to_owned();
        self.first(&endpoints, what, |endpoint| match endpoint.dialect {
            Dialect::HuggingFace => Box::pin(hugging_face::search(self, endpoint, text, limit)),
            Dialect::ModelScope => Box::pin(model_scope::search(self, endpoint, text, limit)),
        })
        .await
    }

    /// The model card without its front matter; "" where there is none.
    pub async fn card(&self, repository: &Repository) -> Result<String> {
        let Some(file) = repository.file(NAME_OF_CARD) else { return Ok(String::new()) };
        let source = repository.source(&file.name);
        let text = self.text(&source.url, Purpose::Card, CARD_BYTES_MAX).await?;
        Ok(card::split(&text).1.to_owned())
    }

    /// The first bytes of a file, fewer where it is shorter. At most 64 MiB.
    pub async fn start_of(&self, source: &FileSource, bytes: u64) -> Result<Vec<u8>> {
        self.start(&source.url, Purpose::Header, bytes.min(START_BYTES_MAX)).await
    }

    /// What a host says of a file at an address of its own.
    pub async fn probe(&self, url: &Url) -> Result<RemoteFile> {
        let answer = self.ask(Ask::new(url, Purpose::Header).range(0, Some(0))).await?.accepted()?;
        refuse_page(&answer)?;
        let range =
            answer.header(header::CONTENT_RANGE).and_then(|range| range.rsplit('/').next()?.trim().parse().ok());
        let path = percent_encoding::percent_decode_str(url.path()).decode_utf8_lossy().into_owned();
        Ok(RemoteFile {
            name: FileName::parse(path.rsplit('/').next().unwrap_or_default())?,
            bytes: range
                .or_else(|| answer.length().filter(|_| answer.status() != reqwest::StatusCode::PARTIAL_CONTENT)),
            etag: answer.header(header::ETAG).map(str::to_owned),
            ranges: range.is_some(),
        })
    }

    /// Where a file can be had: at the endpoint that listed it, then at the others.
    ///
    /// Another endpoint holds the same file for certain only where the file's hash is known, or where it speaks of the same
    /// commit; no other is named.
    pub fn sources(
        &self,
        id: &RepositoryId,
        revision: &str,
        endpoint: &str,
        file: &FileName,
        hash_known: bool,
    ) -> Vec<FileSource> {
        let endpoints = self.network().endpoints;
        let listed = |other: &&Endpoint| other.url.as_str().trim_end_matches('/') == endpoint.trim_end_matches('/');
        let lister = endpoints.iter().find(listed);
        let dialect = lister.map_or(Dialect::HuggingFace, |lister| lister.dialect);
        let same_commit = |other: &Endpoint| other.dialect == dialect && is_commit(revision);
        let others = endpoints.iter().filter(|other| !listed(other) && (hash_known || same_commit(other)));
        let source = |other: &Endpoint| {
            let revision = if other.dialect == dialect { revision } else { other.dialect.branch() };
            FileSource { url: other.file_url(&id.on(other.dialect), revision, file), etag: None }
        };
        lister.into_iter().chain(others).map(source).collect()
    }

    /// What the first endpoint that succeeds gives, else the error that tells most.
    async fn first<'a, T>(
        &self,
        endpoints: &'a [Endpoint],
        what: impl Fn() -> String,
        ask: impl Fn(&'a Endpoint) -> Asked<'a, T>,
    ) -> Result<T> {
        let mut worst: Option<Error> = None;
        for round in 1..=ROUNDS {
            for endpoint in endpoints {
                match ask(endpoint).await {
                    Ok(found) => return Ok(found),
                    Err(error @ Error::Offline { .. }) => return Err(error),
                    Err(error) if worst.as_ref().is_none_or(|worst| weight(&error) > weight(worst)) => {
                        worst = Some(error)
                    }
                    Err(_) => {}
                }
            }
            if round == ROUNDS || !worst.as_ref().is_some_and(Error::passes) {
                break;
            }
            sleep(self.patience().first_wait).await;
        }
        Err(worst.unwrap_or_else(|| Error::NotFound { what: what() }))
    }

    /// The body of an answer to a listing or a search, with its `Link` header.
    pub(crate) async fn listing(&self, url: &Url, purpose: Purpose, what: &str) -> Result<(Vec<u8>, Option<String>)> {
        let answer = self.ask(Ask::new(url, purpose)).await?;
        // Hugging Face hides from strangers whether a repository is private or not there at all.
        let hidden = answer.status().as_u16() == 401 && answer.header("x-error-code").is_none();
        if hidden && self.network().token_for(&answer.url).is_none() {
            return Err(Error::NotFound { what: what.to_owned() });
        }
        let answer = answer.accepted().map_err(|error| match error {
            Error::NotFound { .. } => Error::NotFound { what: what.to_owned() },
            other => other,
        })?;
        refuse_page(&answer)?;
        let next = answer.header(header::LINK).map(str::to_owned);
        Ok((answer.body(ANSWER_BYTES_MAX).await?, next))
    }

    /// A text file, cut at `bytes`.
    pub(crate) async fn text(&self, url: &Url, purpose: Purpose, bytes: u64) -> Result<String> {
        let body = self.start(url, purpose, bytes).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    async fn start(&self, url: &Url, purpose: Purpose, bytes: u64) -> Result<Vec<u8>> {
        let Some(last) = bytes.checked_sub(1) else { return Ok(Vec::new()) };
        let answer = self.ask(Ask::new(url, purpose).range(0, Some(last))).await?;
        if answer.status() == reqwest::StatusCode::RANGE_NOT_SATISFIABLE {
            // An empty file.
            return Ok(Vec::new());
        }
        let mut answer = answer.accepted()?;
        refuse_page(&answer)?;
        let from_start = |range: &str| range.trim_start_matches("bytes").trim_start().starts_with("0-");
        if !answer.header(header::CONTENT_RANGE).is_none_or(from_start) {
            return Err(Error::protocol(&answer.url, "it answers with another part of the file than was asked for"));
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await? {
            let room = (bytes as usize).saturating_sub(body.len());
            body.extend_from_slice(&piece[..piece.len().min(room)]);
            // A host that knows no ranges would send the whole file.
            if body.len() as u64 >= bytes {
                break;
            }
        }
        Ok(body)
    }
}

/// A page for people in the place of data: a login in between, a mirror's excuse.
fn refuse_page(answer: &Answer) -> Result<()> {
    let page = answer.header(header::CONTENT_TYPE).is_some_and(|kind| kind.trim_start().starts_with("text/html"));
    if page { Err(Error::NotAFile { url: shown(&answer.url) }) } else { Ok(()) }
}

/// Which of several refusals tells a person most.
fn weight(error: &Error) -> u8 {
    match error {
        Error::Gated { .. } => 6,
        Error::Unauthorized { .. } => 5,
        Error::NotFound { .. } => 4,
        Error::RateLimited { .. } => 3,
        Error::Server { .. } => 2,
        Error::Unreachable { .. } => 0,
        _ => 1,
    }
}

fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A hash as a hub writes it, where it is one.
pub(crate) fn sha256_of(text: &str) -> Option<String> {
    let text = text.strip_prefix("sha256:").unwrap_or(text);
    let sound = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    sound.then(|| text.to_ascii_lowercase())
}

/// A few words of a hub, on one line and not long.
pub(crate) fn words(text: &str) -> Option<String> {
    let plain: String = text.chars().filter(|letter| !letter.is_control()).take(WORDS_MAX).collect();
    let plain = plain.trim();
    (!plain.is_empty()).then(|| plain.to_owned())
}

/// Files by their safe names, each once, and how many had no safe one.
pub(crate) fn checked(files: impl IntoIterator<Item = (String, u64, Option<String>)>) -> (Vec<RepositoryFile>, usize) {
    let mut unsafe_names = 0;
    let mut checked: Vec<RepositoryFile> = Vec::new();
    for (name, bytes, sha256) in files {
        match FileName::parse(&name) {
            Ok(name) => checked.push(RepositoryFile { name, bytes, sha256: sha256.as_deref().and_then(sha256_of) }),
            Err(error) => {
                tracing::warn!(%error, "a file of a repository is left out");
                unsafe_names += 1;
            }
        }
    }
    checked.sort();
    checked.dedup_by(|next, first| next.name == first.name);
    (checked, unsafe_names)
}

/// What the names of files and the labels of a repository say of its weights.
pub(crate) fn weights_of<'a>(
    files: impl Iterator<Item = &'a str>,
    tags: impl Iterator<Item = &'a str>,
) -> Vec<Weights> {
    let mut found = Vec::new();
    for name in files {
        let name = name.to_ascii_lowercase();
        let weights = match name.rsplit_once('.').map(|(_, ending)| ending) {
            _ if name.ends_with("adapter_config.json") => Weights::Lora,
            Some("gguf") => Weights::Gguf,
            Some("safetensors") if !name.contains("adapter_model") => Weights::Safetensors,
            Some("bin") if name.contains("pytorch_model") => Weights::Pytorch,
            _ => continue,
        };
        found.push(weights);
    }
    for tag in tags {
        match tag.strip_prefix("library:").unwrap_or(tag).to_ascii_lowercase().as_str() {
            "gguf" => found.push(Weights::Gguf),
            "safetensors" => found.push(Weights::Safetensors),
            "pytorch" => found.push(Weights::Pytorch),
            "lora" | "peft" => found.push(Weights::Lora),
            _ => {}
        }
    }
    found.sort();
    found.dedup();
    found
}
