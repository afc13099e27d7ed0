//! How huggingface.co answers: listings, pages, redirects, refusals; and its CDN.
//!
//! Facts: huggingface_hub's `errors.py` and `file_download.py`, hf-hub 1.0, and answers seen on the real hub: large files
//! go by 302 to another host with `X-Linked-*`, small ones by 307 to `/api/resolve-cache` on the same one.

use std::{collections::BTreeSet, sync::atomic::Ordering};

use serde_json::{Value, json};

use crate::{
    Shared,
    delivery::{Delivery, Send},
    http::{Answer, Request, encode},
    lock,
    repository::{Face, FileSpec, RepositorySpec},
    serve::Routed,
};

/// Where a search says nothing of how many.
const SEARCH_LIMIT: usize = 30;

pub(crate) fn route(shared: &Shared, request: &Request) -> Routed {
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    let known = |owner: &str, name: &str| shared.find(Face::Hub, owner, name);
    match segments.as_slice() {
        ["api", "models"] => whole(request, search(shared, request)),
        ["api", "whoami-v2"] => whole(request, whoami(shared, request)),
        ["api", "resolve-cache", "models", owner, name, revision, path @ ..] => match known(owner, name) {
            Some(repository) => file(shared, request, &repository, revision, &path.join("/"), Want::Bytes),
            None => whole(request, missing(request)),
        },
        ["api", "models", owner, name, rest @ ..] => whole(request, api(shared, request, owner, name, rest)),
        [owner, name, "resolve", revision, path @ ..] => match known(owner, name) {
            Some(repository) => file(shared, request, &repository, revision, &path.join("/"), Want::Redirect),
            None => whole(request, moved(shared, request, owner, name)),
        },
        [owner, name, "raw", revision, path @ ..] => match known(owner, name) {
            Some(repository) => file(shared, request, &repository, revision, &path.join("/"), Want::Raw),
            None => whole(request, missing(request)),
        },
        _ => whole(request, Answer::html("<!DOCTYPE html><html><title>Loopback hub</title></html>")),
    }
}

/// The CDN: files by their hash, with signed addresses, and no patience for an `Authorization` of somebody else.
pub(crate) fn route_cdn(shared: &Shared, request: &Request) -> Routed {
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    let ["repos", _, _, digest, sha256, ..] = segments.as_slice() else {
        return whole(request, Answer::text(404, "NoSuchKey"));
    };
    let all = lock(&shared.repositories).clone();
    let found = all.iter().filter(|repository| repository.digest() == *digest).find_map(|repository| {
        let file = repository.all_files().into_iter().find(|file| file.content.sha256() == *sha256)?;
        Some((repository, file))
    });
    let Some((repository, file)) = found else { return whole(request, Answer::text(404, "NoSuchKey")) };
    if request.header("authorization").is_some() {
        return whole(request, Answer::text(400, "Only one auth mechanism allowed"));
    }
    if request.parameter("Signature").is_none() {
        return whole(request, Answer::text(403, "MissingKey"));
    }
    let headers = vec![
        ("Content-Type".to_owned(), "binary/octet-stream".to_owned()),
        ("Last-Modified".to_owned(), "Thu, 02 May 2024 08:00:00 GMT".to_owned()),
    ];
    let delivery = Delivery { etag: file.cdn_etag(), content: file.content.clone(), headers, range_status: 206 };
    Routed { subject: format!("{}/{}", repository.id, file.path), send: Send::File(delivery) }
}

fn whole(request: &Request, answer: Answer) -> Routed {
    Routed { subject: request.path(), send: Send::Answer(answer) }
}

/// The address of an LFS file's bytes.
pub(crate) fn cdn_address(shared: &Shared, repository: &RepositorySpec, file: &FileSpec) -> String {
    let digest = repository.digest();
    let name = encode(file.path.rsplit('/').next().unwrap_or_default());
    format!(
        "{}/repos/{}/{}/{digest}/{}?response-content-disposition=attachment%3B+filename%3D%22{name}%22&Expires=4102444800&Signature=loopback~&Key-Pair-Id=K1",
        shared.cdn,
        &digest[..2],
        &digest[2..4],
        file.content.sha256(),
    )
}

#[derive(PartialEq)]
enum Want {
    Redirect,
    Bytes,
    Raw,
}

fn file(
    shared: &Shared,
    request: &Request,
    repository: &RepositorySpec,
    revision: &str,
    path: &str,
    want: Want,
) -> Routed {
    let subject = format!("{}/{path}", repository.id);
    let plain = |answer: Answer| Routed { subject: subject.clone(), send: Send::Answer(answer) };
    if let Some(refusal) = refusal(shared, request, repository, true) {
        return plain(refusal);
    }
    let commit = repository.commit();
    if !is_revision(repository, revision) {
        let message = format!("Invalid rev id: {revision}");
        return plain(coded(Answer::text(404, &message), "RevisionNotFound", &message));
    }
    let Some(file) = repository.find(path) else {
        return plain(coded(Answer::text(404, "Entry not found"), "EntryNotFound", "Entry not found"));
    };
    if want == Want::Raw && file.is_lfs() {
        return plain(Answer::text(200, file.pointer()));
    }
    if want == Want::Redirect {
        let (status, to) = if file.is_lfs() {
            (302, cdn_address(shared, repository, &file))
        } else {
            let path = encode(&format!("/api/resolve-cache/models/{}/{commit}/{path}", repository.id));
            (307, format!("{path}?{}=&etag=%22{}%22", request.target.replace('/', "%2F"), file.blob()))
        };
        let mut answer = Answer::redirect(status, &to)
            .with("X-Repo-Commit", commit)
            .with("Accept-Ranges", "bytes")
            .with("X-Linked-Size", file.bytes().to_string());
        if file.is_lfs() {
            answer = answer.with("X-Linked-ETag", format!("\"{}\"", file.sha256()));
        } else {
            answer = answer.with("ETag", format!("\"{}\"", file.blob()));
        }
        return plain(answer);
    }
    let headers = vec![
        ("Content-Type".to_owned(), "text/plain; charset=utf-8".to_owned()),
        ("X-Repo-Commit".to_owned(), commit),
        ("Content-Security-Policy".to_owned(), "default-src 'none'; sandbox".to_owned()),
    ];
    let delivery = Delivery { etag: file.blob(), content: file.content.clone(), headers, range_status: 206 };
    Routed { subject, send: Send::File(delivery) }
}

fn is_revision(repository: &RepositorySpec, revision: &str) -> bool {
    let commit = repository.commit();
    revision == "main" || revision == "refs/heads/main" || (revision.len() >= 7 && commit.starts_with(revision))
}

/// Error answers of the hub carry their code and words in headers.
fn coded(answer: Answer, code: &str, message: &str) -> Answer {
    answer.with("X-Error-Code", code).with("X-Error-Message", message)
}

/// A name that the hub does not know: without a token, 401 hides whether it is private.
fn missing(request: &Request) -> Answer {
    if request.token().is_none() {
        let message = "Invalid username or password.";
        return Answer::json(401, &json!({ "error": message })).with("X-Error-Message", message);
    }
    let message = "Repository not found";
    coded(Answer::json(404, &json!({ "error": message })), "RepoNotFound", message)
}

/// Why this request may not see the repository (or, where `bytes`, its files).
fn refusal(shared: &Shared, request: &Request, repository: &RepositorySpec, bytes: bool) -> Option<Answer> {
    let id = &repository.id;
    let granted = request.token().map(|token| shared.token(token));
    if matches!(granted, Some(None)) && !(bytes && repository.gated) {
        let message = "Invalid credentials in Authorization header";
        return Some(Answer::json(401, &json!({ "error": message })).with("X-Error-Message", message));
    }
    if repository.private && !matches!(granted, Some(Some(_))) {
        return Some(missing(request));
    }
    if !bytes || !repository.gated {
        return None;
    }
    let (status, message) = match granted {
        Some(Some(true)) => return None,
        Some(Some(false)) => (
            403,
            format!(
                "Access to model {id} is restricted and you are not in the authorized list. Visit https://huggingface.co/{id} to ask for access."
            ),
        ),
        // A wrong token is answered as none is.
        _ => (
            401,
            format!(
                "Access to model {id} is restricted. You must have access to it and be authenticated to access it. Please log in."
            ),
        ),
    };
    Some(coded(Answer::text(status, &message), "GatedRepo", &message))
}

/// A repository that was renamed answers at its new name.
fn moved(shared: &Shared, request: &Request, owner: &str, name: &str) -> Answer {
    let former = format!("{owner}/{name}");
    let all = lock(&shared.repositories);
    match all.iter().find(|repository| repository.former.contains(&former)) {
        Some(repository) => Answer::redirect(307, &request.target.replacen(&former, &repository.id, 1)),
        None => missing(request),
    }
}

fn api(shared: &Shared, request: &Request, owner: &str, name: &str, rest: &[&str]) -> Answer {
    let Some(repository) = shared.find(Face::Hub, owner, name) else { return moved(shared, request, owner, name) };
    if let Some(refusal) = refusal(shared, request, &repository, false) {
        return refusal;
    }
    let revision = match rest {
        [] => "main",
        ["revision", revision] | ["tree", revision, ..] => revision,
        _ => return Answer::json(404, &json!({ "error": "Not Found" })),
    };
    if !is_revision(&repository, revision) {
        let message = format!("Invalid rev id: {revision}");
        return coded(Answer::json(404, &json!({ "error": message })), "RevisionNotFound", &message);
    }
    match rest {
        ["tree", _, folder @ ..] => tree(shared, request, &repository, &folder.join("/")),
        _ => Answer::json(200, &information(&repository, request.flag("blobs"), true)),
    }
}

fn information(repository: &RepositorySpec, blobs: bool, full: bool) -> Value {
    let mut value = json!({
        "_id": &repository.digest()[..24],
        "id": repository.id,
        "modelId": repository.id,
        "private": repository.private,
        "likes": repository.likes,
        "downloads": repository.downloads,
        "tags": repository.tags,
        "pipeline_tag": "text-generation",
        "library_name": repository.library,
        "createdAt": repository.changed,
    });
    if !full {
        return value;
    }
    value["author"] = json!(repository.owner());
    value["sha"] = json!(repository.commit());
    value["lastModified"] = json!(repository.changed);
    value["gated"] = if repository.gated { json!("manual") } else { json!(false) };
    value["disabled"] = json!(false);
    if !repository.card_data.is_null() {
        value["cardData"] = repository.card_data.clone();
    }
    if let Some(gguf) = &repository.gguf {
        value["gguf"] = gguf.clone();
    }
    let siblings: Vec<Value> = repository.all_files().iter().map(|file| sibling(file, blobs)).collect();
    value["siblings"] = json!(siblings);
    value["spaces"] = json!([]);
    value["usedStorage"] = json!(repository.files.iter().map(FileSpec::bytes).sum::<u64>());
    value
}

fn sibling(file: &FileSpec, blobs: bool) -> Value {
    let mut value = json!({ "rfilename": file.path });
    if blobs {
        value["blobId"] = json!(file.blob());
        value["size"] = json!(file.bytes());
        if file.is_lfs() {
            value["lfs"] =
                json!({ "sha256": file.sha256(), "size": file.bytes(), "pointerSize": file.pointer().len() });
        }
    }
    value
}

/// A folder's entries, in pages that a `Link` header joins.
fn tree(shared: &Shared, request: &Request, repository: &RepositorySpec, folder: &str) -> Answer {
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let recursive = request.flag("recursive");
    let mut entries = Vec::new();
    let mut folders = BTreeSet::new();
    for file in repository.all_files() {
        let Some(rest) = file.path.strip_prefix(&prefix) else { continue };
        for (at, _) in rest.match_indices('/') {
            let inner = format!("{prefix}{}", &rest[..at]);
            if (recursive || !rest[..at].contains('/')) && folders.insert(inner.clone()) {
                entries
                    .push(json!({ "type": "directory", "oid": &repository.digest()[..40], "size": 0, "path": inner }));
            }
        }
        if !recursive && rest.contains('/') {
            continue;
        }
        let mut entry = json!({ "type": "file", "oid": file.blob(), "size": file.bytes(), "path": file.path });
        if file.is_lfs() {
            entry["lfs"] = json!({ "oid": file.sha256(), "size": file.bytes(), "pointerSize": file.pointer().len() });
        }
        entries.push(entry);
    }
    if entries.is_empty() && !folder.is_empty() {
        let message = format!("{folder} does not exist on \"main\"");
        return coded(Answer::json(404, &json!({ "error": message })), "EntryNotFound", &message);
    }
    let page = shared.tree_page.load(Ordering::SeqCst);
    let page = request.parameter("limit").and_then(|limit| limit.parse().ok()).unwrap_or(page).min(page);
    let from: usize = request.parameter("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let shown: Vec<&Value> = entries.iter().skip(from).take(page).collect();
    let answer = Answer::json(200, &json!(shown));
    if from + page >= entries.len() {
        return answer;
    }
    let host = request.header("host").unwrap_or_default();
    let path = request.target.split('?').next().unwrap_or_default();
    let next = format!("<http://{host}{path}?recursive={recursive}&limit={page}&cursor={}>; rel=\"next\"", from + page);
    answer.with("Link", next)
}

fn search(shared: &Shared, request: &Request) -> Answer {
    let words = request.parameter("search").unwrap_or_default().to_lowercase();
    let limit = request.parameter("limit").and_then(|limit| limit.parse().ok()).unwrap_or(SEARCH_LIMIT);
    let filters: Vec<&str> =
        request.query.iter().filter(|(key, _)| key == "filter").map(|(_, tag)| tag.as_str()).collect();
    let author = request.parameter("author");
    let seen = |repository: &&RepositorySpec| {
        repository.only.is_none_or(|face| face == Face::Hub)
            && (!repository.private || request.token().is_some_and(|token| shared.token(token).is_some()))
            && words.split_whitespace().all(|word| repository.id.to_lowercase().contains(word))
            && filters
                .iter()
                .flat_map(|filter| filter.split(','))
                .all(|tag| repository.tags.iter().any(|own| own == tag))
            && author.is_none_or(|author| repository.owner() == author)
    };
    let all = lock(&shared.repositories).clone();
    let mut found: Vec<&RepositorySpec> = all.iter().filter(seen).collect();
    if request.parameter("sort").is_some() {
        found.sort_by_key(|repository| std::cmp::Reverse(repository.downloads));
    }
    let expanded = request.flag("full") || request.query.iter().any(|(key, _)| key.starts_with("expand"));
    let hits: Vec<Value> = found.into_iter().take(limit).map(|one| information(one, false, expanded)).collect();
    Answer::json(200, &json!(hits))
}

fn whoami(shared: &Shared, request: &Request) -> Answer {
    match request.token().map(|token| shared.token(token)) {
        Some(Some(_)) => Answer::json(
            200,
            &json!({ "type": "user", "id": "1", "name": "loopback", "fullname": "Loopback", "auth": { "type": "access_token" } }),
        ),
        Some(None) => Answer::json(401, &json!({ "error": "Invalid credentials in Authorization header" })),
        None => Answer::json(401, &json!({ "error": "Invalid username or password." })),
    }
}

impl Shared {
    pub(crate) fn find(&self, face: Face, owner: &str, name: &str) -> Option<RepositorySpec> {
        let id = format!("{owner}/{name}");
        let all = lock(&self.repositories);
        all.iter().find(|there| there.id == id && there.only.is_none_or(|only| only == face)).cloned()
    }

    /// `None`: unknown; else whether it was granted access.
    pub(crate) fn token(&self, token: &str) -> Option<bool> {
        lock(&self.tokens).get(token).copied()
    }
}
