//! Killed at twenty random points of a transfer: it resumes, and no finished part is fetched again.

use std::{thread, time::Duration};

use huacaya_hub::partial;
use huacaya_loopback::Fault;

use crate::{
    child::Child,
    setting::{Dice, FILE, PART, of_size},
};

const KILLS: u64 = 20;
/// Twelve parts: three times as many as are in flight at once.
const BYTES: u64 = 11 * PART + 4_321;
/// So that the kill hits where it is meant to, not after the end.
const BYTES_PER_SECOND: u64 = 40 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_twenty_random_points_it_resumes_and_fetches_no_finished_part_again() {
    let mut dice = Dice(2026);
    let mut kept_any = 0;
    for kill in 0..KILLS {
        let setting = of_size(BYTES);
        setting.loopback.fault(FILE, Fault::Slow { bytes_per_second: BYTES_PER_SECOND });
        // The last four hit what comes after the last byte: the hash, the rename, the journal's end.
        let (bytes, then) = match kill {
            0..16 => (dice.below(BYTES), 0),
            _ => (BYTES, dice.below(120)),
        };
        let mut child = Child::start(&setting.wanted());
        while setting.sent() < bytes && child.runs() {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(then));
        child.kill();
        let before = setting.sent();
        let whole = setting.place().exists();
        let kept = if whole { BYTES } else { partial(&setting.place()).map_or(0, |progress| progress.done) };
        kept_any += u64::from(kept > 0);
        setting.loopback.mend();
        setting.loopback.forget_requests();
        let fetched = setting.fetch().await.unwrap();
        setting.assert_whole(&fetched);
        let sent = setting.sent();
        println!("kill {kill}: at byte {before}, kept {kept}, then fetched {sent}");
        assert!(sent <= BYTES - kept, "kill {kill}: {kept} bytes were finished, {sent} fetched after");
        assert!(!whole || sent == 0, "a file in its place is whole");
    }
    assert!(kept_any >= KILLS / 2, "most kills left something to go on from");
}
