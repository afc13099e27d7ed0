//! Tokens, the offline switch, the proxy, the list of connections, the limit.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use huacaya_hub::{Error, FileSource, Hub, Network, Proxy, Wanted};
use huacaya_loopback::{Content, Face, Fault, RepositorySpec};
use huacaya_progress::Progress;

use crate::setting::{BYTES, FILE, REPOSITORY, Setting, direct, names, of_size, patience, setting};

const TOKEN: &str = "hf_only_for_the_hub";

fn host(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}

/// The client has a token for the hub's own host; the model wants one.
fn gated() -> Setting {
    let mut setting = setting();
    setting.loopback.add(RepositorySpec::new(REPOSITORY).file(FILE, setting.content.clone()).gated());
    setting.loopback.accept_token(TOKEN, true);
    let tokens = [(host(&setting.loopback.url()), TOKEN.to_owned())].into_iter().collect();
    setting.hub = Hub::with_patience(Network { tokens, ..direct() }, patience()).unwrap();
    setting
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_never_sent_to_the_host_a_redirect_points_to() {
    let setting = gated();
    let fetched = setting.fetch().await.unwrap();
    setting.assert_whole_for(&fetched, 0);
    let saw = setting.loopback.hosts_that_saw(TOKEN);
    assert_eq!(saw.into_iter().collect::<Vec<_>>(), [host(&setting.loopback.url())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_never_sent_to_another_hub_whatever_the_status_of_the_redirect() {
    for status in [301, 302, 303, 307, 308] {
        let (setting, other) = (gated(), setting());
        other.loopback.accept_token(TOKEN, true);
        let to = other.loopback.url();
        setting.loopback.fault(FILE, Fault::Redirect { status, to }.at_hub());
        let fetched = setting.fetch().await.unwrap();
        setting.assert_whole(&fetched);
        assert!(other.loopback.hosts_that_saw(TOKEN).is_empty(), "status {status}");
        assert!(other.sent() > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_goes_along_within_its_own_host() {
    let setting = gated();
    let card = Content::bytes("{}");
    setting.loopback.add(RepositorySpec::new("team/private").file("config.json", card).private());
    let wanted = Wanted {
        sources: vec![FileSource {
            url: setting.loopback.file_url("team/private", "config.json").parse().unwrap(),
            etag: None,
        }],
        place: setting.folder().join("config.json"),
        bytes: Some(2),
        sha256: None,
    };
    setting.fetch_it(&wanted).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gated_model_says_where_to_ask() {
    let setting = gated();
    setting.hub.set(direct()).unwrap();
    let error = setting.fetch().await.unwrap_err();
    let Error::Gated { repository, url } = error else { panic!("{error}") };
    assert_eq!(repository, REPOSITORY);
    assert_eq!(url, format!("{}/{REPOSITORY}", setting.loopback.url()));
    setting.loopback.accept_token("waiting", false);
    let tokens = [(host(&setting.loopback.url()), "waiting".to_owned())].into_iter().collect();
    setting.hub.set(Network { tokens, ..direct() }).unwrap();
    assert!(matches!(setting.fetch().await.unwrap_err(), Error::Gated { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_there_is_not_tried_again() {
    let setting = gated();
    let mut wanted = setting.wanted();
    wanted.sources[0].url = setting.loopback.file_url(REPOSITORY, "absent.gguf").parse().unwrap();
    let error = setting.fetch_it(&wanted).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    assert!(setting.loopback.requests().len() <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_no_packet_leaves() {
    let setting = setting();
    setting.hub.set(Network { offline: true, ..direct() }).unwrap();
    let error = setting.fetch().await.unwrap_err();
    assert!(matches!(error, Error::Offline { .. }), "{error}");
    assert!(setting.loopback.requests().is_empty());
    assert!(names(&setting.folder()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn going_offline_ends_a_running_transfer_and_coming_back_resumes_it() {
    let setting = setting();
    setting.loopback.fault(FILE, Fault::Slow { bytes_per_second: 8 << 20 });
    let hub = setting.hub.clone();
    let mut watch = |progress: Progress| {
        if progress.done > BYTES / 3 {
            hub.set(Network { offline: true, ..direct() }).unwrap();
        }
        ControlFlow::Continue(())
    };
    let error = setting.fetch_watched(&setting.wanted(), &mut watch).await.unwrap_err();
    assert!(matches!(error, Error::Offline { .. }), "{error}");
    let before = setting.loopback.requests().len();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(setting.loopback.requests().len(), before, "nothing is asked any more");
    let kept = huacaya_hub::partial(&setting.place()).unwrap().done;
    setting.loopback.mend();
    setting.loopback.forget_requests();
    setting.hub.set(direct()).unwrap();
    let fetched = setting.fetch().await.unwrap();
    setting.assert_whole(&fetched);
    assert!(setting.sent() <= BYTES - kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_was_set_is_used_for_everything() {
    let setting = of_size(3_000_000);
    let proxy = Proxy::Url(setting.loopback.proxy_url());
    setting.hub.set(Network { proxy, ..Network::default() }).unwrap();
    let fetched = setting.fetch().await.unwrap();
    setting.assert_whole(&fetched);
    let of = |face: Face| setting.loopback.requests().iter().filter(|request| request.face == face).count();
    assert_eq!(of(Face::Proxy), of(Face::Hub) + of(Face::Cdn), "each request came by the proxy");
    assert!(of(Face::Proxy) > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_host_that_was_asked_is_told_of() {
    let setting = gated();
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let list = told.clone();
    setting.hub.on_connection(move |connection| list.lock().unwrap().push(format!("{connection:?}")));
    setting.fetch().await.unwrap();
    let told = told.lock().unwrap();
    for url in [setting.loopback.url(), setting.loopback.cdn_url()] {
        assert!(told.iter().any(|line| line.contains(&host(&url))), "{url} is missing in {told:?}");
    }
    assert_eq!(told.len(), setting.loopback.requests().len(), "one line a request");
    assert!(!told.iter().any(|line| line.contains(TOKEN)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_for_all_connections_together() {
    let bytes = 12_000_000;
    let setting = of_size(bytes);
    setting.hub.set(Network { limit_bytes_per_second: Some(6_000_000), ..direct() }).unwrap();
    let began = Instant::now();
    setting.fetch().await.unwrap();
    let seconds = began.elapsed().as_secs_f64();
    assert!((1.5..8.0).contains(&seconds), "2 s are due, it took {seconds:.1}");
}
