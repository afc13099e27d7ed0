//! Finding models: listings, searches and cards of a hub on loopback, in both dialects, with all that a stranger may put there.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use huacaya_hub::{
    Connection, Dialect, Endpoint, Error, FileName, Hub, Network, Patience, Proxy, Purpose, RepositoryId, Weights,
};
use huacaya_loopback::{Content, Face, Fault, Loopback, RepositorySpec};
use url::Url;

const CARD: &str = "---\nlicense: apache-2.0\nbase_model: team/base\n---\n# 模型\n\nText.";

fn endpoint(url: &str, dialect: Dialect) -> Endpoint {
    Endpoint { name: url.to_string(), url: Url::parse(url).unwrap(), dialect }
}

fn hub_of(endpoints: Vec<Endpoint>, tokens: &[(&str, &str)]) -> Hub {
    let host = |url: &str| url.trim_start_matches("http://").to_string();
    let tokens = tokens.iter().map(|(url, token)| (host(url), (*token).to_string())).collect();
    let network = Network { endpoints, tokens, proxy: Proxy::None, ..Network::default() };
    let patience = Patience { first_wait: Duration::from_millis(5), ..Patience::default() };
    Hub::with_patience(network, patience).unwrap()
}

fn hub(loopback: &Loopback) -> Hub {
    hub_of(vec![endpoint(&loopback.url(), Dialect::HuggingFace)], &[])
}

fn scope(loopback: &Loopback) -> Hub {
    hub_of(vec![endpoint(&loopback.modelscope_url(), Dialect::ModelScope)], &[])
}

fn id(text: &str) -> RepositoryId {
    RepositoryId::parse(text).unwrap()
}

fn model() -> RepositorySpec {
    let mut model = RepositorySpec::new("team/model-GGUF")
        .file("model-Q4_K_M.gguf", Content::seeded(1, 300_000))
        .file("sub/model-F16.gguf", Content::seeded(2, 500_000))
        .file("config.json", "{}")
        .card(CARD)
        .tag("gguf")
        .tag("license:apache-2.0");
    model.card_data = serde_json::json!({ "license": "apache-2.0", "base_model": ["team/base"] });
    model.library = Some("gguf".to_string());
    model
}

#[tokio::test]
async fn both_dialects_list_the_same_files_with_their_hashes() {
    let loopback = Loopback::start();
    loopback.add(model());
    loopback.set_tree_page(2);
    let hash = Content::seeded(1, 300_000).sha256();
    for hub in [hub(&loopback), scope(&loopback)] {
        let found = hub.repository(&id("team/model-GGUF"), None).await.unwrap();
        let names: Vec<&str> = found.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["README.md", "config.json", "model-Q4_K_M.gguf", "sub/model-F16.gguf"]);
        let file = found.file("model-Q4_K_M.gguf").unwrap();
        assert_eq!((file.bytes, file.sha256.as_deref()), (300_000, Some(&*hash)));
        assert_eq!((found.licence.as_deref(), found.base_model.as_deref()), (Some("apache-2.0"), Some("team/base")));
        assert!(!found.gated && found.unsafe_names == 0);
        assert_eq!(hub.card(&found).await.unwrap(), "# 模型\n\nText.");
        let start = hub.start_of(&found.source(&file.name), 1000).await.unwrap();
        assert_eq!(start, &Content::seeded(1, 300_000).to_vec()[..1000]);
        let inner = found.file("sub/model-F16.gguf").unwrap();
        assert_eq!(hub.start_of(&found.source(&inner.name), 1 << 30).await.unwrap().len(), 500_000);
    }
    let found = hub(&loopback).repository(&id("team/model-GGUF"), Some("main")).await.unwrap();
    assert_eq!(found.revision, loopback.repository("team/model-GGUF").unwrap().commit());
    assert_eq!(found.page().as_str(), format!("{}/team/model-GGUF", loopback.url()));
}

#[tokio::test]
async fn a_search_tells_what_each_repository_holds() {
    let loopback = Loopback::start();
    loopback.add(model());
    loopback.add(RepositorySpec {
        downloads: 9,
        ..RepositorySpec::new("team/weights-model").file("model.safetensors", "x").tag("safetensors")
    });
    loopback.add(RepositorySpec::new("team/model-data").file("data.csv", "x"));
    loopback.add(
        RepositorySpec::new("team/model-lora")
            .file("adapter_config.json", "{}")
            .file("adapter_model.bin", "x")
            .tag("peft")
            .gated(),
    );
    for hub in [hub(&loopback), scope(&loopback)] {
        let hits = hub.search("model", 30).await.unwrap();
        let told = |name: &str| hits.iter().find(|hit| hit.id.to_string() == name).unwrap();
        assert_eq!(told("team/model-GGUF").formats, [Weights::Gguf]);
        assert_eq!((told("team/model-GGUF").downloads, told("team/model-GGUF").likes), (100, 10));
        assert_eq!(told("team/weights-model").formats, [Weights::Safetensors]);
        assert_eq!(told("team/model-lora").formats, [Weights::Lora]);
        assert!(told("team/model-lora").gated && !told("team/model-GGUF").gated);
        assert_eq!(hits.len(), 3, "a repository without weights is no hit");
        assert!(told("team/model-GGUF").updated.starts_with("2024-05-02"));
        assert_eq!(hub.search("model", 1).await.unwrap().len(), 1);
        assert!(hub.search("nothing of this name", 30).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn hostile_names_are_left_out_and_counted() {
    let loopback = Loopback::start();
    let hostile = ["../../etc/passwd.gguf", "/abs.gguf", "C:x.gguf", "CON.gguf", "a:b.gguf", "dot.gguf.", "nul\0.gguf"];
    let long = format!("{}.gguf", "x".repeat(300));
    let mut model = RepositorySpec::new("team/hostile").file("good.gguf", "x");
    for name in hostile.into_iter().chain([&*long]) {
        model = model.file(name, "x");
    }
    loopback.add(model);
    for hub in [hub(&loopback), scope(&loopback)] {
        let found = hub.repository(&id("team/hostile"), None).await.unwrap();
        let names: Vec<&str> = found.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!((names, found.unsafe_names), (vec!["good.gguf"], 8));
    }
}

#[tokio::test]
async fn gated_private_missing_and_wrong_token_are_told_apart() {
    let loopback = Loopback::start();
    loopback.add(RepositorySpec::new("team/gated").file("model.gguf", Content::seeded(3, 5000)).gated());
    loopback.add(RepositorySpec::new("team/private").file("model.gguf", "x").private());
    loopback.accept_token("granted", true);
    loopback.accept_token("stranger", false);
    let with = |token: &str| {
        let endpoints = vec![endpoint(&loopback.url(), Dialect::HuggingFace)];
        hub_of(endpoints, &[(&loopback.url(), token)])
    };
    for missing in ["team/nothing", "team/private"] {
        let error = hub(&loopback).repository(&id(missing), None).await.unwrap_err();
        assert!(matches!(&error, Error::NotFound { what } if what == missing), "{missing}: {error:?}");
    }
    assert!(with("stranger").repository(&id("team/private"), None).await.is_ok());
    let wrong = with("wrong").repository(&id("team/private"), None).await.unwrap_err();
    assert!(matches!(wrong, Error::Unauthorized { .. }), "{wrong:?}");

    let listed = hub(&loopback).repository(&id("team/gated"), None).await.unwrap();
    assert!(listed.gated);
    let source = listed.source(&FileName::parse("model.gguf").unwrap());
    for hub in [hub(&loopback), with("stranger"), with("wrong")] {
        let error = hub.start_of(&source, 100).await.unwrap_err();
        assert!(matches!(&error, Error::Gated { repository, .. } if repository == "team/gated"), "{error:?}");
    }
    assert_eq!(with("granted").start_of(&source, 100).await.unwrap().len(), 100);
    assert_eq!(loopback.hosts_that_saw("granted").len(), 1, "the CDN saw the token");

    let error = scope(&loopback).repository(&id("team/nothing"), None).await.unwrap_err();
    assert!(matches!(&error, Error::NotFound { what } if what == "team/nothing"), "{error:?}");
}

#[tokio::test]
async fn a_dead_endpoint_is_passed_over_and_the_most_telling_refusal_is_kept() {
    let (loopback, dead) = (Loopback::start(), Loopback::start());
    loopback.add(model());
    loopback.add(RepositorySpec::new("ChineseAlpacaGroup/there").file("x.gguf", "x").only_on(Face::ModelScope));
    let gone = endpoint(&dead.url(), Dialect::HuggingFace);
    drop(dead);
    let hub = hub_of(
        vec![
            gone,
            endpoint(&loopback.url(), Dialect::HuggingFace),
            endpoint(&loopback.modelscope_url(), Dialect::ModelScope),
        ],
        &[],
    );
    let found = hub.repository(&id("team/model-GGUF"), None).await.unwrap();
    assert_eq!(found.endpoint.url.as_str().trim_end_matches('/'), loopback.url());
    // The makers' other name on ModelScope is known.
    let there = hub.repository(&id("hfl/there"), None).await.unwrap();
    assert_eq!(
        (there.endpoint.dialect, there.id.to_string()),
        (Dialect::ModelScope, "ChineseAlpacaGroup/there".to_string())
    );
    let error = hub.repository(&id("team/nothing"), None).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
}

#[tokio::test]
async fn sources_go_on_to_other_endpoints_only_for_certainly_the_same_file() {
    let hugging = endpoint("https://one.example", Dialect::HuggingFace);
    let mirror = endpoint("https://two.example/hf/", Dialect::HuggingFace);
    let scope = endpoint("https://three.example", Dialect::ModelScope);
    let hub = hub_of(vec![mirror, hugging, scope], &[]);
    let file = FileName::parse("a b/x.gguf").unwrap();
    let commit = "a".repeat(40);
    let urls = |revision: &str, known: bool| -> Vec<String> {
        let sources = hub.sources(&id("hfl/m"), revision, "https://one.example/", &file, known);
        sources.into_iter().map(|source| source.url.to_string()).collect()
    };
    let first = |revision: &str| format!("https://one.example/hfl/m/resolve/{revision}/a%20b/x.gguf");
    let second = |revision: &str| format!("https://two.example/hf/hfl/m/resolve/{revision}/a%20b/x.gguf");
    let third = "https://three.example/models/ChineseAlpacaGroup/m/resolve/master/a%20b/x.gguf".to_string();
    assert_eq!(urls("main", false), [first("main")]);
    assert_eq!(urls(&commit, false), [first(&commit), second(&commit)]);
    assert_eq!(urls(&commit, true), [first(&commit), second(&commit), third]);
}

#[tokio::test]
async fn a_file_elsewhere_is_probed_by_one_byte() {
    let loopback = Loopback::start();
    loopback.add(model());
    let hub = hub(&loopback);
    let url = Url::parse(&loopback.file_url("team/model-GGUF", "sub/model-F16.gguf")).unwrap();
    let found = hub.probe(&url).await.unwrap();
    assert_eq!((found.name.as_str(), found.bytes, found.ranges), ("model-F16.gguf", Some(500_000), true));
    assert!(found.etag.is_some());
    assert!(loopback.bytes_sent("model-F16.gguf") <= 1);
    let page = Url::parse(&format!("{}/somewhere.gguf", loopback.url())).unwrap();
    assert!(matches!(hub.probe(&page).await.unwrap_err(), Error::NotAFile { .. }));
}

#[tokio::test]
async fn every_request_is_told_and_none_is_made_offline() {
    let loopback = Loopback::start();
    loopback.add(model());
    let hub = hub(&loopback);
    let told: Arc<Mutex<Vec<Connection>>> = Arc::default();
    let teller = told.clone();
    hub.on_connection(move |connection| teller.lock().unwrap().push(connection));
    let found = hub.repository(&id("team/model-GGUF"), None).await.unwrap();
    hub.card(&found).await.unwrap();
    hub.search("model", 5).await.unwrap();
    hub.start_of(&found.source(&FileName::parse("model-Q4_K_M.gguf").unwrap()), 10).await.unwrap();
    let purposes: Vec<Purpose> = told.lock().unwrap().iter().map(|connection| connection.purpose).collect();
    assert_eq!(purposes.len(), loopback.requests().len());
    for purpose in [Purpose::Repository, Purpose::Card, Purpose::Search, Purpose::Header] {
        assert!(purposes.contains(&purpose), "{purpose:?}");
    }
    hub.set(Network { offline: true, ..hub.network() }).unwrap();
    loopback.forget_requests();
    assert!(matches!(hub.search("model", 5).await.unwrap_err(), Error::Offline { .. }));
    assert!(matches!(hub.repository(&id("team/model-GGUF"), None).await.unwrap_err(), Error::Offline { .. }));
    assert!(loopback.requests().is_empty());
}

#[tokio::test]
async fn a_listing_that_fails_for_a_moment_is_asked_again_and_one_that_is_a_page_is_refused() {
    let loopback = Loopback::start();
    loopback.add(model());
    loopback.fault("/api/models", Fault::Status(503).at_hub().times(1));
    assert!(hub(&loopback).repository(&id("team/model-GGUF"), None).await.is_ok());
    loopback.fault("/api/models", Fault::Html.at_hub());
    let error = hub(&loopback).repository(&id("team/model-GGUF"), None).await.unwrap_err();
    assert!(matches!(error, Error::NotAFile { .. }), "{error:?}");
    for endless in [Fault::Endless, Fault::Garbage] {
        loopback.mend();
        loopback.fault("/api/models", endless.at_hub());
        let error = hub(&loopback).repository(&id("team/model-GGUF"), None).await.unwrap_err();
        assert!(matches!(error, Error::Protocol { .. } | Error::Unreachable { .. }), "{error:?}");
    }
}
