//! One fault a test: the right hash or a clear error, and no finished part fetched again.

use std::time::{Duration, Instant};

use huacaya_hub::{Error, FileSource, Stage, Wanted};
use huacaya_loopback::{Content, Fault, Loopback, RepositorySpec, Trouble};
use huacaya_progress::unwatched;

use crate::setting::{
    BYTES, CONNECTIONS, Dice, FILE, PART, REPOSITORY, Setting, assert_is, in_time, names, of_size, on, setting, source,
};

/// A fault that the transfer must get over, with at most so many bytes sent in vain.
async fn survives(trouble: impl Into<Trouble>, spare: u64) -> Setting {
    let setting = setting();
    setting.loopback.fault(FILE, trouble);
    let fetched = setting.fetch().await.unwrap();
    setting.assert_whole_for(&fetched, spare);
    setting
}

/// A fault that lasts: an error, and nothing that looks like the file.
async fn refuses(trouble: impl Into<Trouble>) -> (Setting, Error) {
    let setting = setting();
    setting.loopback.fault(FILE, trouble);
    let error = setting.fetch().await.unwrap_err();
    assert!(!setting.place().exists(), "a file stands where only a whole one may");
    (setting, error)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_hub_sends_each_byte_once() {
    let setting = setting();
    let fetched = setting.fetch().await.unwrap();
    setting.assert_whole_for(&fetched, 0);
    assert!(fetched.mended == 0 && fetched.received <= BYTES, "{fetched:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_at_any_byte_costs_no_finished_part() {
    let mut dice = Dice(1);
    let edges = [0, 1, PART - 1, PART, PART + 1, 3 * PART, BYTES - 1];
    for byte in edges.into_iter().chain((0..6).map(|_| dice.below(BYTES))) {
        survives(Fault::CutAt(byte).times(1), PART).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_again_and_again_are_resumed_where_they_broke() {
    // Each answer brings at most 5 MB: more answers than the tries in a row that bring nothing.
    survives(Fault::CutAfter(5_000_000), CONNECTIONS * PART).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_connection_is_given_up_and_its_rest_fetched() {
    survives(Fault::StallAt(PART + 70_000).times(1), PART).await;
    survives(Fault::Silent.times(1), PART).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_part_comes_in_the_end() {
    survives(Fault::Slow { bytes_per_second: 8 << 20 }.covering(PART + 5).times(1), PART).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_ranges_sends_the_file_about_once() {
    // What connections dropped at once had already in the system's buffers counts as sent.
    survives(Fault::WholeFile, (CONNECTIONS - 1) * PART).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_loses_its_ranges_midway_does_not_spoil_the_file() {
    survives(Fault::WholeFile.after(2).times(1), BYTES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_answered_by_200_with_content_range_is_a_range() {
    survives(Fault::OkWithContentRange, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_begins_elsewhere_is_not_written_here() {
    survives(Fault::WrongOffset(4096).times(1), PART).await;
    survives(Fault::WrongOffset(-4096).covering(PART + 1).times(1), PART).await;
    let (_, error) = refuses(Fault::WrongOffset(4096)).await;
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_lies_about_its_place_is_found_out_and_fetched_again() {
    let setting = survives(Fault::LyingOffset(4096).covering(PART + 1).times(1), BYTES).await;
    assert!(setting.sent() > BYTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_range_than_asked_is_continued() {
    survives(Fault::ShortRange(3_000_000), 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_length_end_where_the_file_ends() {
    survives(Fault::Chunked, 0).await;
    survives(Fault::UntilClose, 0).await;
    survives(Fault::HeadWithoutLength, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_length_that_breaks_off_is_not_taken_for_whole() {
    let setting = setting();
    setting.loopback.fault(FILE, Fault::UntilClose);
    setting.loopback.fault(FILE, Fault::CutAt(2 * PART + 99).times(1));
    let fetched = setting.fetch().await.unwrap();
    setting.assert_whole_for(&fetched, PART);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_ends_is_not_followed() {
    let setting = setting();
    setting.loopback.fault(FILE, Fault::Endless);
    match setting.fetch().await {
        Ok(fetched) => setting.assert_whole(&fetched),
        Err(error) => assert!(matches!(error, Error::Protocol { .. } | Error::SizeMismatch { .. }), "{error}"),
    }
    let sizes: u64 =
        names(&setting.folder()).iter().map(|name| setting.folder().join(name).metadata().unwrap().len()).sum();
    assert!(sizes < BYTES + PART, "{sizes} bytes lie there");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_in_one_part_cost_at_most_one_more_file() {
    let setting = survives(Fault::WrongBytes { at: PART + 1000, bytes: 3 }.times(1), BYTES).await;
    assert!(setting.sent() > BYTES, "something was fetched again");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_that_stay_wrong_end_after_one_more_file() {
    let (setting, error) = refuses(Fault::WrongBytes { at: PART + 1000, bytes: 3 }).await;
    let Error::HashMismatch { expected, found, .. } = error else { panic!("{error}") };
    assert_eq!(expected, setting.content.sha256());
    assert_ne!(found, expected);
    assert!(setting.sent() <= 2 * BYTES, "{} bytes were sent", setting.sent());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_of_one_host_are_mended_from_another() {
    let (setting, other) = (setting(), setting());
    setting.loopback.fault(FILE, Fault::WrongBytes { at: PART + 1000, bytes: 3 });
    let mut wanted = setting.wanted();
    wanted.sources.push(source(&other.loopback));
    let fetched = setting.fetch_it(&wanted).await.unwrap();
    setting.assert_whole(&fetched);
    assert!(fetched.mended >= 1);
    assert!(setting.sent() + other.sent() <= 2 * BYTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_hash_in_the_listing_is_a_clear_error() {
    let setting = setting();
    let mut wanted = setting.wanted();
    wanted.sha256 = Some("0".repeat(64));
    let error = setting.fetch_it(&wanted).await.unwrap_err();
    assert!(matches!(&error, Error::HashMismatch { found, .. } if *found == setting.content.sha256()), "{error}");
    assert!(!setting.place().exists());
    assert!(setting.sent() <= 2 * BYTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_another_size_than_listed_is_refused() {
    for bytes in [BYTES - 1, BYTES + 1] {
        let setting = setting();
        let wanted = Wanted { bytes: Some(bytes), ..setting.wanted() };
        let error = setting.fetch_it(&wanted).await.unwrap_err();
        assert!(matches!(error, Error::SizeMismatch { .. }), "{error}");
        assert!(!setting.place().exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_disagree_about_the_etag_do_not_mix_files() {
    let setting = setting();
    setting.loopback.fault(FILE, Fault::OtherEtag("another-node".into()).after(2).times(2));
    match setting.fetch().await {
        Ok(fetched) => setting.assert_whole_for(&fetched, BYTES),
        Err(error) => {
            assert!(matches!(error, Error::Changed { .. }), "{error}");
            assert!(!setting.place().exists());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_an_etag_is_fetched_all_the_same() {
    survives(Fault::NoEtag, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_midway_is_the_old_one_or_the_new_one_and_never_both() {
    for known in [true, false] {
        let setting = setting();
        setting.loopback.fault(FILE, Fault::Slow { bytes_per_second: 12 << 20 });
        let new = Content::seeded(43, BYTES);
        let mut wanted = setting.wanted();
        if !known {
            wanted.sha256 = None;
        }
        let mut changed = false;
        let mut watch = |progress: huacaya_progress::Progress| {
            if progress.done > BYTES / 4 && !changed {
                changed = true;
                setting.loopback.change(REPOSITORY, FILE, new.clone());
                setting.loopback.cut();
            }
            std::ops::ControlFlow::Continue(())
        };
        match setting.fetch_watched(&wanted, &mut watch).await {
            Ok(fetched) => {
                assert!(!known, "the old file is no longer there");
                assert_eq!(fetched.sha256, new.sha256());
                assert_is(&setting.place(), &new);
            }
            Err(error) => {
                let clear =
                    matches!(error, Error::Changed { .. } | Error::HashMismatch { .. } | Error::NotFound { .. });
                assert!(known && clear, "{error}");
                assert!(!setting.place().exists());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_is_not_a_file() {
    let (_, error) = refuses(Fault::Html).await;
    assert!(matches!(error, Error::NotAFile { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_midway_spoils_nothing() {
    let setting = setting();
    setting.loopback.fault(FILE, Fault::Html.after(2).times(1));
    match setting.fetch().await {
        Ok(fetched) => setting.assert_whole_for(&fetched, PART),
        Err(error) => {
            assert!(matches!(error, Error::NotAFile { .. }), "{error}");
            let fetched = setting.fetch().await.unwrap();
            setting.assert_whole_for(&fetched, CONNECTIONS * PART);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_hub_is_waited_for_as_long_as_it_says() {
    for (trouble, name) in [
        (Fault::RateLimited { retry_after: Some("1".into()) }.times(1), "content"),
        (Fault::RateLimited { retry_after: Some("1".into()) }.times(1).at_hub(), "hub"),
    ] {
        let setting = setting();
        setting.loopback.fault(FILE, trouble);
        let waits = std::sync::Mutex::new(Vec::new());
        let began = Instant::now();
        let told = |stage| {
            if let Stage::Waiting { seconds, .. } = stage {
                waits.lock().unwrap().push(seconds);
            }
        };
        let fetched = in_time(setting.hub.fetch_with(&setting.wanted(), &told, &mut unwatched())).await.unwrap();
        setting.assert_whole_for(&fetched, PART);
        if name == "hub" {
            assert!(began.elapsed() >= Duration::from_secs(1), "{name}: {:?}", began.elapsed());
            assert!(!waits.lock().unwrap().is_empty(), "{name}: the person is told of the wait");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_server_errors_is_ridden_out_and_an_endless_one_is_named() {
    for status in [500, 502, 503, 504] {
        survives(Fault::Status(status).times(4), PART).await;
        survives(Fault::Status(status).times(3).at_hub(), PART).await;
    }
    let (_, error) = refuses(Fault::Status(503)).await;
    assert!(matches!(error, Error::Server { status: 503, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_address_that_expires_is_asked_for_anew() {
    survives(Fault::Status(403).after(2).times(1), PART).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_hangs_up_or_talks_nonsense_is_asked_again() {
    survives(Fault::Refuse.times(3), PART).await;
    survives(Fault::Garbage.times(2), PART).await;
    let (_, error) = refuses(Fault::Refuse).await;
    assert!(matches!(error, Error::Unreachable { .. } | Error::Protocol { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_another_host_is_followed() {
    let (setting, other) = (setting(), setting());
    for status in [301, 302, 307, 308] {
        let to = other.loopback.url();
        setting.loopback.fault(FILE, Fault::Redirect { status, to }.times(1).at_hub());
        let fetched = setting.fetch().await.unwrap();
        setting.assert_whole(&fetched);
        std::fs::remove_file(setting.place()).unwrap();
    }
    assert!(other.sent() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_of_redirects_is_left() {
    let setting = setting();
    let to = setting.loopback.url();
    setting.loopback.fault(FILE, Fault::Redirect { status: 302, to }.at_hub());
    let error = setting.fetch().await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
    assert!(setting.loopback.requests().len() < 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_on_ipv6_is_a_hub() {
    let Ok(loopback) = Loopback::start_on_ipv6() else {
        println!("skipped: this machine has no IPv6 on loopback");
        return;
    };
    let setting = on(loopback, BYTES);
    let fetched = setting.fetch().await.unwrap();
    setting.assert_whole_for(&fetched, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_goes_away_for_a_while_costs_no_finished_part() {
    let setting = setting();
    setting.loopback.fault(FILE, Fault::Slow { bytes_per_second: 12 << 20 });
    let cut = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        setting.loopback.unplug();
        tokio::time::sleep(Duration::from_millis(300)).await;
        setting.loopback.plug_in();
    };
    let (fetched, ()) = tokio::join!(setting.fetch(), cut);
    setting.assert_whole_for(&fetched.unwrap(), CONNECTIONS * PART);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_down_gives_way_to_the_next() {
    let setting = setting();
    let gone = Loopback::start();
    let dead = FileSource { url: gone.file_url(REPOSITORY, FILE).parse().unwrap(), etag: None };
    drop(gone);
    let mut wanted = setting.wanted();
    wanted.sources.insert(0, dead);
    let fetched = setting.fetch_it(&wanted).await.unwrap();
    setting.assert_whole_for(&fetched, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn modelscope_serves_the_same_file_by_both_of_its_addresses() {
    let native = |loopback: &Loopback| {
        format!("{}/api/v1/models/{REPOSITORY}/repo?Revision=master&FilePath={FILE}", loopback.modelscope_url())
    };
    let resolve = |loopback: &Loopback| loopback.modelscope_file_url(REPOSITORY, FILE);
    let addresses: [&dyn Fn(&Loopback) -> String; 2] = [&native, &resolve];
    for address in addresses {
        let setting = setting();
        let mut wanted = setting.wanted();
        wanted.sources = vec![FileSource { url: address(&setting.loopback).parse().unwrap(), etag: None }];
        let fetched = setting.fetch_it(&wanted).await.unwrap();
        setting.assert_whole_for(&fetched, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_every_size_come_whole() {
    for bytes in [0, 1, PART - 1, PART, PART + 1, 4 * PART] {
        let setting = of_size(bytes);
        let fetched = setting.fetch().await.unwrap();
        setting.assert_whole_for(&fetched, 0);
        let unknown =
            Wanted { bytes: None, sha256: None, place: setting.folder().join("again.gguf"), ..setting.wanted() };
        let again = setting.fetch_it(&unknown).await.unwrap();
        assert_eq!(again.sha256, setting.content.sha256(), "{bytes} bytes, nothing known before");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_that_is_redirected_within_the_hub_comes_too() {
    let setting = setting();
    let card = Content::bytes("# A model\n");
    setting.loopback.add(RepositorySpec::new("team/card").file("docs/使用 说明.md", card.clone()));
    let wanted = Wanted {
        sources: vec![FileSource {
            url: setting.loopback.file_url("team/card", "docs/使用 说明.md").parse().unwrap(),
            etag: None,
        }],
        place: setting.folder().join("使用 说明.md"),
        bytes: Some(10),
        sha256: None,
    };
    setting.fetch_it(&wanted).await.unwrap();
    assert_is(&wanted.place, &card);
}
