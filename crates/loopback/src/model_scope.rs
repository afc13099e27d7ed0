//! How modelscope.cn answers: its listing, its search, its two addresses of a file.
//!
//! Facts: modelscope's `hub/api.py` and `hub/file_download.py`, and answers seen on the real one: a refusal may come with
//! status 200 and `Success: false`; `/repo?FilePath=` answers a range with its bytes and `Content-Range` but status 200;
//! `/resolve/` redirects to an object store; each file has a `Sha256`, LFS or not; `Revision` of a file is not the
//! branch's head.

use serde_json::{Value, json};

use crate::{
    Shared,
    delivery::{Delivery, Send},
    http::{Answer, Request},
    hugging_face::cdn_address,
    lock,
    repository::{Face, FileSpec, RepositorySpec},
    serve::Routed,
};

/// The code of a record that is not there.
const NOT_FOUND: u64 = 10_010_205_001;
/// 2 May 2024, 08:00 UTC.
const CHANGED_SECONDS: u64 = 1_714_636_800;
/// `Visibility` of what everybody may see; 1 is private.
const PUBLIC: u64 = 5;

pub(crate) fn route(shared: &Shared, request: &Request) -> Routed {
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    let whole = |answer: Answer| Routed { subject: request.path(), send: Send::Answer(answer) };
    match (request.method.as_str(), segments.as_slice()) {
        ("PUT", ["api", "v1", "models"] | ["api", "v1", "dolphin", "models"]) => whole(search(shared, request)),
        (_, ["api", "v1", "dolphin", "models"]) => whole(Answer::text(404, "404 page not found")),
        (_, ["openapi", "v1", "models"]) => whole(open_search(shared, request)),
        (_, ["api", "v1", "models", owner, name]) => whole(information(shared, request, owner, name)),
        (_, ["api", "v1", "models", owner, name, "revisions"]) => whole(revisions(shared, request, owner, name)),
        (_, ["api", "v1", "models", owner, name, "repo", "files"]) => whole(files(shared, request, owner, name)),
        (_, ["api", "v1", "models", owner, name, "repo"]) => {
            let path = request.parameter("FilePath").unwrap_or_default();
            file(shared, request, owner, name, path, request.parameter("Revision").unwrap_or("master"), false)
        }
        (_, ["models", owner, name, "resolve", revision, path @ ..]) => {
            file(shared, request, owner, name, &path.join("/"), revision, true)
        }
        _ => whole(Answer::html("<!DOCTYPE html><html><title>Loopback ModelScope</title></html>")),
    }
}

fn envelope(data: Value) -> Answer {
    let body = json!({ "Code": 200, "Data": data, "Message": "success", "RequestId": "loopback", "Success": true });
    Answer::json(200, &body)
}

fn failure(status: u16, code: u64, message: &str) -> Answer {
    Answer::json(status, &json!({ "Code": code, "Message": message, "RequestId": "loopback", "Success": false }))
}

/// The repository, where this request may see it.
fn find(shared: &Shared, request: &Request, owner: &str, name: &str) -> Option<RepositorySpec> {
    let known = request.token().is_some_and(|token| shared.token(token).is_some());
    shared.find(Face::ModelScope, owner, name).filter(|repository| !repository.private || known)
}

fn is_revision(repository: &RepositorySpec, revision: &str) -> bool {
    revision == "master" || revision == repository.commit()
}

fn files(shared: &Shared, request: &Request, owner: &str, name: &str) -> Answer {
    let missing = || failure(200, NOT_FOUND, "获取模型目录树失败，信息：record not found");
    let Some(repository) = find(shared, request, owner, name) else { return missing() };
    if !is_revision(&repository, request.parameter("Revision").unwrap_or("master")) {
        return missing();
    }
    let root = request.parameter("Root").unwrap_or_default().trim_matches('/');
    let prefix = if root.is_empty() { String::new() } else { format!("{root}/") };
    let mut entries: Vec<Value> = Vec::new();
    let mut folders = Vec::new();
    for file in repository.all_files() {
        let Some(rest) = file.path.strip_prefix(&prefix) else { continue };
        for (at, _) in rest.match_indices('/') {
            let folder = format!("{prefix}{}", &rest[..at]);
            if !folders.contains(&folder) && (request.flag("Recursive") || !rest[..at].contains('/')) {
                entries.push(entry(&folder, "tree", None));
                folders.push(folder);
            }
        }
        if request.flag("Recursive") || !rest.contains('/') {
            entries.push(entry(&file.path, "blob", Some(&file)));
        }
    }
    envelope(json!({ "Files": entries, "IsVisual": 0, "LatestCommitter": { "Id": repository.commit() } }))
}

fn entry(path: &str, kind: &str, file: Option<&FileSpec>) -> Value {
    json!({
        "CommitMessage": "upload",
        "CommittedDate": CHANGED_SECONDS,
        "CommitterName": "loopback",
        "InCheck": false,
        "IsLFS": file.is_some_and(FileSpec::is_lfs),
        "Mode": if file.is_some() { "33188" } else { "16384" },
        "Name": path.rsplit('/').next(),
        "Path": path,
        "Revision": file.map(FileSpec::blob).unwrap_or_default(),
        "Sha256": file.map(FileSpec::sha256).unwrap_or_default(),
        "Size": file.map_or(0, FileSpec::bytes),
        "Type": kind,
    })
}

fn revisions(shared: &Shared, request: &Request, owner: &str, name: &str) -> Answer {
    if find(shared, request, owner, name).is_none() {
        return failure(404, NOT_FOUND, "获取模型版本列表失败，信息：record not found");
    }
    envelope(json!({ "RevisionMap": { "Branches": [{ "Revision": "master" }], "Tags": [] } }))
}

fn information(shared: &Shared, request: &Request, owner: &str, name: &str) -> Answer {
    let Some(repository) = find(shared, request, owner, name) else {
        return failure(404, NOT_FOUND, "获取模型信息失败，信息：record not found");
    };
    let mut data = hit(&repository);
    data["ReadMeContent"] = json!(repository.card.clone().unwrap_or_default());
    data["Revision"] = json!("master");
    envelope(data)
}

/// A repository in listings: `Path` is the owner.
fn hit(repository: &RepositorySpec) -> Value {
    let licence = repository.tags.iter().find_map(|tag| tag.strip_prefix("license:")).unwrap_or_default();
    json!({
        "Id": 1,
        "Path": repository.owner(),
        "Name": repository.name(),
        "ChineseName": repository.name(),
        "Downloads": repository.downloads,
        "Stars": repository.likes,
        "License": licence,
        "Libraries": repository.library.iter().collect::<Vec<_>>(),
        "Tags": repository.tags,
        "Tasks": [{ "Name": "text-generation", "ChineseName": "文本生成" }],
        "LastUpdatedTime": CHANGED_SECONDS,
        "Visibility": if repository.private { 1 } else { PUBLIC },
        "ProtectedMode": if repository.gated { 1 } else { 2 },
    })
}

fn matching(shared: &Shared, words: &str) -> Vec<RepositorySpec> {
    let words = words.to_lowercase();
    let all = lock(&shared.repositories);
    let seen = |there: &&RepositorySpec| {
        there.only.is_none_or(|only| only == Face::ModelScope)
            && !there.private
            && words.split_whitespace().all(|word| there.id.to_lowercase().contains(word))
    };
    all.iter().filter(seen).cloned().collect()
}

/// One page of a list; pages count from 1.
fn page(found: &[RepositorySpec], number: usize, size: usize) -> &[RepositorySpec] {
    let from = (number.max(1) - 1).saturating_mul(size).min(found.len());
    &found[from..found.len().min(from.saturating_add(size))]
}

fn search(shared: &Shared, request: &Request) -> Answer {
    let Ok(asked) = serde_json::from_slice::<Value>(&request.body) else {
        return failure(400, 400, "the body is not JSON");
    };
    let number = asked["PageNumber"].as_u64().unwrap_or(1) as usize;
    let size = asked["PageSize"].as_u64().unwrap_or(10) as usize;
    let mut found = matching(shared, asked["Name"].as_str().unwrap_or_default());
    if request.path() == "/api/v1/models" {
        // The list of one owner: `Path` names it, and the models are one level higher.
        let owner = asked["Path"].as_str().unwrap_or_default();
        found.retain(|there| there.owner() == owner);
        let shown: Vec<Value> = page(&found, number, size).iter().map(hit).collect();
        return envelope(json!({ "Models": shown, "TotalCount": found.len() }));
    }
    let shown: Vec<Value> = page(&found, number, size).iter().map(hit).collect();
    envelope(json!({ "Model": { "Models": shown, "TotalCount": found.len() }, "FiledAgg": {} }))
}

fn open_search(shared: &Shared, request: &Request) -> Answer {
    let parameter = |name: &str, or: usize| request.parameter(name).and_then(|value| value.parse().ok()).unwrap_or(or);
    let (number, size) = (parameter("page_number", 1), parameter("page_size", 10));
    let found = matching(shared, request.parameter("search").unwrap_or_default());
    let models: Vec<Value> = page(&found, number, size)
        .iter()
        .map(|there| {
            let mut tags = there.tags.clone();
            tags.extend(there.library.iter().map(|library| format!("library:{library}")));
            json!({
                "id": there.id,
                "display_name": there.name(),
                "downloads": there.downloads,
                "likes": there.likes,
                "tags": tags,
                "private": false,
                "gated": there.gated,
                "last_modified": there.changed,
            })
        })
        .collect();
    let data = json!({ "models": models, "total_count": found.len(), "page_number": number, "page_size": size });
    Answer::json(200, &json!({ "success": true, "request_id": "loopback", "data": data }))
}

fn file(
    shared: &Shared,
    request: &Request,
    owner: &str,
    name: &str,
    path: &str,
    revision: &str,
    redirect: bool,
) -> Routed {
    let subject = format!("{owner}/{name}/{path}");
    let plain = |answer: Answer| Routed { subject: subject.clone(), send: Send::Answer(answer) };
    let missing = || failure(404, NOT_FOUND, "获取模型文件失败，信息：record not found");
    let Some(repository) = find(shared, request, owner, name) else { return plain(missing()) };
    let granted = request.token().and_then(|token| shared.token(token));
    if repository.gated && granted != Some(true) {
        return plain(failure(403, 403, "denied: the model is restricted, apply for access on its page"));
    }
    let Some(file) = repository.find(path).filter(|_| is_revision(&repository, revision)) else {
        return plain(missing());
    };
    if redirect && file.is_lfs() {
        return plain(Answer::redirect(302, &cdn_address(shared, &repository, &file)));
    }
    let headers = vec![
        ("Content-Type".to_owned(), "application/octet-stream".to_owned()),
        ("X-Linked-ETag".to_owned(), format!("\"{}\"", file.sha256())),
    ];
    let range_status = if redirect { 206 } else { 200 };
    let delivery = Delivery { etag: file.sha256(), content: file.content.clone(), headers, range_status };
    Routed { subject, send: Send::File(delivery) }
}
