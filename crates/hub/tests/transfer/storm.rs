//! Faults in any combination, pauses among them: never a wrong file in its place, and a whole one once the hub is well.

use huacaya_hub::Error;
use huacaya_loopback::{Fault, Trouble};

use crate::setting::{Dice, FILE, PART, Setting, assert_is, of_size};

const BYTES: u64 = 2 * PART + 777_777;
const STORMS: u64 = 16;
const FAULTS_MAX: u64 = 6;
/// As often as a person presses "again".
const TRIES: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn no_combination_of_faults_leaves_a_wrong_file() {
    for seed in 0..STORMS {
        let mut dice = Dice(seed);
        let setting = of_size(BYTES);
        let mut faults = Vec::new();
        for _ in 0..1 + dice.below(FAULTS_MAX) {
            let trouble = trouble(&mut dice, &setting);
            faults.push(format!("{trouble:?}"));
            setting.loopback.fault(FILE, trouble);
        }
        for _ in 0..TRIES {
            let stop = dice.below(3 * BYTES);
            let mut watch = |progress: huacaya_progress::Progress| match progress.done > stop {
                true => std::ops::ControlFlow::Break(()),
                false => std::ops::ControlFlow::Continue(()),
            };
            let outcome = setting.fetch_watched(&setting.wanted(), &mut watch).await;
            let unclear = matches!(&outcome, Err(Error::Io { .. } | Error::DiskFull { .. } | Error::Offline { .. }));
            assert!(!unclear, "storm {seed}: {outcome:?} after {faults:?}");
            if setting.place().exists() {
                assert_is(&setting.place(), &setting.content);
            }
            assert!(outcome.is_err() || setting.place().exists(), "storm {seed}: fetched, and not there");
        }
        setting.loopback.mend();
        let fetched = setting.fetch().await;
        let fetched = fetched.unwrap_or_else(|error| panic!("storm {seed}: {error} after {faults:?}"));
        setting.assert_whole(&fetched);
    }
}

fn trouble(dice: &mut Dice, setting: &Setting) -> Trouble {
    let byte = dice.below(BYTES);
    let fault = match dice.below(18) {
        0 => Fault::CutAt(byte),
        1 => Fault::CutAfter(1 + dice.below(PART)),
        2 => Fault::StallAt(byte),
        3 => Fault::Refuse,
        4 => Fault::WholeFile,
        5 => Fault::OkWithContentRange,
        6 => Fault::WrongOffset(dice.below(9000) as i64 - 4500),
        7 => Fault::LyingOffset(1 + dice.below(9000)),
        8 => Fault::ShortRange(1 + dice.below(PART)),
        9 => Fault::OtherEtag("other".to_owned()),
        10 => Fault::NoEtag,
        11 => Fault::Chunked,
        12 => Fault::UntilClose,
        13 => Fault::Html,
        14 => Fault::WrongBytes { at: byte, bytes: 1 + dice.below(5000) },
        15 => Fault::Redirect { status: 308, to: setting.loopback.modelscope_url() },
        16 => Fault::Status([403, 404, 416, 500, 503][dice.below(5) as usize]),
        _ => Fault::Garbage,
    };
    let mut trouble = fault.times(1 + dice.below(4) as usize).after(dice.below(3) as usize);
    if dice.below(2) == 0 {
        trouble = trouble.covering(dice.below(BYTES));
    }
    if dice.below(5) == 0 {
        trouble = trouble.at_hub();
    }
    trouble
}
