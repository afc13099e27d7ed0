#![no_main]
//! Any bytes as an importance matrix in either form: read or refused, and every number of what is read can be a mean square.

use std::{env, fs, path::PathBuf, process, sync::LazyLock};

use huacaya_weights::quantize::Importance;
use libfuzzer_sys::fuzz_target;

/// The reader takes files.
static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| env::temp_dir().join(format!("huacaya-importance-{}", process::id())));

fuzz_target!(|bytes: &[u8]| {
    fs::write(&*FILE, bytes).expect("the scratch file is written");
    match Importance::open(&FILE) {
        Err(error) => drop(error.to_string()),
        Ok(importance) => {
            let tensors: Vec<&str> = importance.tensors().collect();
            assert!(!tensors.is_empty());
            let columns = tensors.iter().map(|name| importance.of(name).expect("what is listed is there").len());
            assert!(columns.sum::<usize>() <= bytes.len(), "no number comes from nowhere");
            for name in &tensors {
                assert!(
                    importance.of(name).is_some_and(|all| all.iter().all(|value| value.is_finite() && *value >= 0.0))
                );
            }
        }
    }
});
