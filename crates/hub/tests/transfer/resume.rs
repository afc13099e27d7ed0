//! Pause, resume, cancel; what `If-Range` is for.

use huacaya_hub::{Error, Wanted, discard, partial};
use huacaya_loopback::{Content, Fault};

use crate::setting::{BYTES, FILE, REPOSITORY, assert_is, names, setting};

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_transfer_goes_on_where_it_was() {
    let setting = setting();
    // Slow enough that the watch is asked before all of it is there.
    setting.loopback.fault(FILE, Fault::Slow { bytes_per_second: 12 << 20 });
    let mut kept = 0;
    for third in 1..3 {
        let stopped = setting.fetch_until(&setting.wanted(), third * BYTES / 3).await;
        assert!(matches!(stopped, Err(Error::Stopped)), "{stopped:?}");
        let now = partial(&setting.place()).unwrap();
        assert_eq!(now.total, BYTES);
        assert!(now.done >= kept, "nothing is lost");
        kept = now.done;
    }
    setting.loopback.mend();
    setting.loopback.forget_requests();
    let fetched = setting.fetch().await.unwrap();
    setting.assert_whole(&fetched);
    assert_eq!(setting.sent(), BYTES - kept, "what was kept is not fetched again");
    assert_eq!(fetched.received, BYTES - kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_keeps_nearly_all_that_came() {
    let setting = setting();
    let stopped = setting.fetch_until(&setting.wanted(), BYTES / 2).await;
    assert!(matches!(stopped, Err(Error::Stopped)));
    let kept = partial(&setting.place()).unwrap().done;
    assert!(kept > BYTES / 4, "{kept} of {} bytes are kept", BYTES / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_transfer_asks_only_for_the_file_it_began() {
    let setting = setting();
    setting.fetch_until(&setting.wanted(), BYTES / 2).await.unwrap_err();
    setting.loopback.forget_requests();
    setting.fetch().await.unwrap();
    let etag = format!("\"{}\"", setting.loopback.repository(REPOSITORY).unwrap().files[0].cdn_etag());
    for transfer in setting.loopback.transfers(FILE) {
        assert_eq!(transfer.if_range.as_deref(), Some(etag.as_str()), "{transfer:?}");
        assert_eq!(transfer.status, 206);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_while_paused_is_begun_anew() {
    for known in [true, false] {
        let setting = setting();
        let mut wanted = Wanted { sha256: None, ..setting.wanted() };
        setting.fetch_until(&wanted, BYTES / 2).await.unwrap_err();
        let new = Content::seeded(99, BYTES - 1000);
        setting.loopback.change(REPOSITORY, FILE, new.clone());
        wanted.bytes = None;
        if known {
            (wanted.bytes, wanted.sha256) = (Some(new.len()), Some(new.sha256()));
        }
        let fetched = setting.fetch_it(&wanted).await.unwrap();
        assert_eq!(fetched.sha256, new.sha256());
        assert_is(&setting.place(), &new);
        assert_eq!(names(&setting.folder()), [FILE]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_transfer_leaves_nothing() {
    let setting = setting();
    setting.fetch_until(&setting.wanted(), BYTES / 2).await.unwrap_err();
    assert!(partial(&setting.place()).is_some());
    discard(&setting.place()).unwrap();
    assert!(partial(&setting.place()).is_none());
    assert!(names(&setting.folder()).is_empty(), "{:?}", names(&setting.folder()));
    discard(&setting.place()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_journal_costs_time_and_never_the_file() {
    for text in ["", "{", "{\"parts\": 7}", "[]"] {
        let setting = setting();
        setting.fetch_until(&setting.wanted(), BYTES / 2).await.unwrap_err();
        let journal = setting.folder().join(format!("{FILE}.part.json"));
        assert!(journal.exists());
        std::fs::write(&journal, text).unwrap();
        let fetched = setting.fetch().await.unwrap();
        setting.assert_whole(&fetched);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_rot_while_paused_are_found_and_mended() {
    let setting = setting();
    setting.fetch_until(&setting.wanted(), BYTES * 2 / 3).await.unwrap_err();
    let part = setting.folder().join(format!("{FILE}.part"));
    let mut bytes = std::fs::read(&part).unwrap();
    for byte in bytes.iter_mut().skip(100_000).take(4) {
        *byte = !*byte;
    }
    std::fs::write(&part, bytes).unwrap();
    let fetched = setting.fetch().await.unwrap();
    setting.assert_whole_for(&fetched, BYTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_part_file_is_fetched_anew() {
    let setting = setting();
    setting.fetch_until(&setting.wanted(), BYTES / 2).await.unwrap_err();
    std::fs::remove_file(setting.folder().join(format!("{FILE}.part"))).unwrap();
    let fetched = setting.fetch().await.unwrap();
    setting.assert_whole(&fetched);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_already_there_and_right_is_not_fetched() {
    let setting = setting();
    setting.fetch().await.unwrap();
    setting.loopback.forget_requests();
    let again = setting.fetch().await.unwrap();
    setting.assert_whole(&again);
    assert_eq!((again.received, setting.sent()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_kill_left_beside_a_whole_file_is_swept_away() {
    for (litter, whole) in [(".part.json", true), (".part.json.new", true), (".part.json.new", false)] {
        let setting = setting();
        if whole {
            setting.fetch().await.unwrap();
        } else {
            setting.fetch_until(&setting.wanted(), BYTES / 2).await.unwrap_err();
        }
        std::fs::write(setting.folder().join(format!("{FILE}{litter}")), "{").unwrap();
        let fetched = setting.fetch().await.unwrap();
        setting.assert_whole(&fetched);
    }
}
