//! Finding models on the hub: search, a repository's page, a direct address, the connections made.

use huacaya_app::rows::HashState;
use huacaya_loopback::{Content, Face, Loopback, RepositorySpec};
use serde_json::{Value, json};

use crate::{
    home::{Home, PATIENCE, call, refused},
    remote::{hub, small, start},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_shows_what_there_is_to_download_and_how_it_would_run() {
    let home = Home::new();
    let hub = hub("team/tiny-GGUF", "tiny-f32.gguf", small(&home));
    let app = start(&home, &hub).await;
    let found: Value = call(&app, "search_hub", json!({"text": "tiny"})).await;
    assert_eq!(found[0]["repository"], "team/tiny-GGUF", "{found}");
    assert_eq!(found[0]["formats"], json!(["gguf"]));
    for address in ["team/tiny-GGUF".to_string(), hub.file_url("team/tiny-GGUF", "tiny-f32.gguf")] {
        let page: Value = call(&app, "read_repository", json!({"address": address})).await;
        assert_eq!(page["repository"], "team/tiny-GGUF");
        assert_eq!(page["card"].as_str().map(str::trim), Some("# 一个模型"));
        let choice = &page["choices"][0];
        assert_eq!((choice["id"].as_str(), choice["quantization"].as_str()), (Some("tiny-f32.gguf"), Some("F32")));
        assert_eq!((choice["kind"].as_str(), choice["verdict"].as_str()), (Some("gguf"), Some("well")), "{choice}");
        assert_eq!((choice["here"].clone(), choice["in_cache"].clone()), (Value::Null, json!(false)));
    }
    assert_eq!(refused(&app, "read_repository", json!({"address": "no address"})).await, "address_unknown");
    assert_eq!(refused(&app, "read_repository", json!({"address": "team/nothing"})).await, "not_found");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gguf_elsewhere_is_downloaded_by_its_own_address() {
    let home = Home::new();
    // A hub that is not set up is any host.
    let (ours, other) = (Loopback::start(), hub("team/tiny", "tiny.gguf", small(&home)));
    let app = start(&home, &ours).await;
    let address = other.file_url("team/tiny", "tiny.gguf");
    let page: Value = call(&app, "read_repository", json!({"address": address})).await;
    let choice = page["choices"][0]["id"].as_str().unwrap().to_string();
    assert_eq!(choice, "tiny.gguf");
    let job = crate::remote::download(&app, &address, &choice).await;
    let model = crate::remote::model(&app, job).await;
    assert!(model.path.ends_with("tiny.gguf") && model.in_storage, "{}", model.path);
    // Nothing is known of it to compare with, but what came is.
    assert_eq!((model.hash, model.sha256), (HashState::Computed, Some(Content::bytes(small(&home)).sha256())));
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offline_no_packet_leaves_and_every_connection_made_is_listed() {
    let home = Home::new();
    let hub = hub("team/tiny", "tiny.gguf", small(&home));
    let app = start(&home, &hub).await;
    call::<()>(&app, "set_setting", json!({"key": "offline", "value": true})).await;
    let offline: Value = call(&app, "network", json!({})).await;
    assert_eq!(offline["offline"], true);
    for (command, arguments) in [
        ("search_hub", json!({"text": "tiny"})),
        ("read_repository", json!({"address": "team/tiny"})),
        ("download", json!({"address": "team/tiny", "choice": "tiny.gguf"})),
        ("test_endpoint", json!({"url": hub.url(), "dialect": "hugging_face"})),
    ] {
        assert_eq!(refused(&app, command, arguments).await, "offline", "{command}");
    }
    assert!(hub.requests().is_empty(), "{:?}", hub.requests());
    let listed: Vec<Value> = call(&app, "connections", json!({"limit": 100})).await;
    assert!(!listed.is_empty() && listed.iter().all(|one| one["made"] == false), "{listed:?}");

    call::<()>(&app, "set_setting", json!({"key": "offline", "value": null})).await;
    call::<()>(&app, "forget_connections", json!({})).await;
    let job = crate::remote::download(&app, "team/tiny", "tiny.gguf").await;
    crate::remote::model(&app, job).await;
    let listed: Vec<Value> = call(&app, "connections", json!({"limit": 100})).await;
    let made = listed.iter().filter(|one| one["made"] == true).count();
    assert_eq!(made, hub.requests().len(), "{listed:?}");
    assert!(
        listed.iter().any(|one| one["purpose"] == "file" && one["host"].as_str().unwrap().starts_with("localhost"))
    );
    let reach: Value = call(&app, "test_endpoint", json!({"url": hub.url(), "dialect": "hugging_face"})).await;
    assert!(reach["latency_ms"].is_u64());
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_could_leave_the_folder_are_no_choice() {
    let home = Home::new();
    let hub = Loopback::start();
    let mut repository = RepositorySpec::new("team/hostile").file("good.gguf", small(&home));
    for name in ["../../evil.gguf", "/abs.gguf", "C:x.gguf", "CON.gguf", "a:b.gguf", "dot.gguf."] {
        repository = repository.file(name, Content::seeded(1, 1000));
    }
    hub.add(repository);
    let app = start(&home, &hub).await;
    let page: Value = call(&app, "read_repository", json!({"address": "team/hostile"})).await;
    let ids: Vec<&str> =
        page["choices"].as_array().unwrap().iter().filter_map(|choice| choice["id"].as_str()).collect();
    assert_eq!(ids, ["good.gguf"]);
    let evil = json!({"address": "team/hostile", "choice": "../../evil.gguf"});
    assert_eq!(refused(&app, "download", evil).await, "not_found");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_proxy_set_every_request_goes_through_it() {
    let home = Home::new();
    let hub = hub("team/tiny", "tiny.gguf", small(&home));
    let app = start(&home, &hub).await;
    call::<()>(&app, "set_setting", json!({"key": "proxy", "value": hub.proxy_url()})).await;
    let network: Value = call(&app, "network", json!({})).await;
    assert_eq!(network["proxy"].as_str().map(|shown| shown.trim_end_matches('/')), Some(hub.proxy_url().as_str()));
    call::<Value>(&app, "read_repository", json!({"address": "team/tiny"})).await;
    let asked = hub.requests();
    let through = asked.iter().filter(|request| request.face == Face::Proxy).count();
    assert!(through > 0 && through >= asked.len() - through, "{asked:?}");
    assert_eq!(refused(&app, "set_setting", json!({"key": "proxy", "value": "nowhere"})).await, "wrong_arguments");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offline_holds_for_every_program_on_the_data_folder() {
    let home = Home::new();
    let hub = hub("team/tiny", "tiny.gguf", small(&home));
    let first = start(&home, &hub).await;
    let second = home.start().await;
    call::<Value>(&second, "read_repository", json!({"address": "team/tiny"})).await;
    call::<()>(&first, "set_setting", json!({"key": "offline", "value": true})).await;
    let told = async {
        while call::<Value>(&second, "network", json!({})).await["offline"] != true {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
    assert_eq!(refused(&second, "read_repository", json!({"address": "team/tiny"})).await, "offline");
    second.shut_down().await;
    first.shut_down().await;
}
