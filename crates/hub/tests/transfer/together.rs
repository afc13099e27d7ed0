//! Two starts of one download make one transfer.

use huacaya_hub::{Hub, discard};
use huacaya_loopback::Fault;
use huacaya_progress::unwatched;

use crate::{
    child::Child,
    setting::{BYTES, FILE, direct, in_time, patience, setting},
};

#[tokio::test(flavor = "multi_thread")]
async fn two_starts_in_one_process_make_one_transfer() {
    let setting = setting();
    setting.loopback.fault(FILE, Fault::Slow { bytes_per_second: 16 << 20 });
    let other = Hub::with_patience(direct(), patience()).unwrap();
    let wanted = setting.wanted();
    let mut nobody = unwatched();
    let (one, two) = tokio::join!(setting.fetch(), in_time(other.fetch(&wanted, &mut nobody)));
    let (one, two) = (one.unwrap(), two.unwrap());
    setting.assert_whole_for(&one, 0);
    assert_eq!((one.sha256, one.bytes), (two.sha256, two.bytes));
    assert_eq!(one.received + two.received, BYTES, "one of them fetched, the other waited");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_starts_in_two_processes_make_one_transfer() {
    let setting = setting();
    setting.loopback.fault(FILE, Fault::Slow { bytes_per_second: 16 << 20 });
    let wanted = setting.wanted();
    let (one, two) = (Child::start(&wanted), Child::start(&wanted));
    let (one, two) = (one.finish(), two.finish());
    assert_eq!((one.as_str(), two.as_str()), (setting.content.sha256().as_str(), setting.content.sha256().as_str()));
    let fetched = setting.fetch().await.unwrap();
    setting.assert_whole_for(&fetched, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_takes_over_when_the_first_is_paused() {
    let setting = setting();
    setting.loopback.fault(FILE, Fault::Slow { bytes_per_second: 16 << 20 });
    let wanted = setting.wanted();
    let (stopped, fetched) = tokio::join!(setting.fetch_until(&wanted, BYTES / 3), async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        setting.fetch().await
    });
    assert!(matches!(stopped, Err(huacaya_hub::Error::Stopped)));
    setting.assert_whole(&fetched.unwrap());
    discard(&setting.place()).unwrap();
    assert!(setting.place().exists(), "what is whole is not discarded");
}
