//! What a step asks of the system's memory: nothing, but for a page of the cache each 256 positions.

use allocation_counter::measure;

use super::super::kv::PAGE;
use super::*;

/// How often a step asks. What it answers goes back, as answers do with theirs.
fn allocations(backend: &mut NativeBackend, batch: &Batch) -> u64 {
    let step = || {
        let logits = backend.step(batch, &|| false).unwrap();
        assert!(!logits.is_empty());
        backend.recycle(logits);
    };
    measure(step).count_total
}

/// The caller's thread is watched: with one thread it computes everything, with two it also hands out regions and waits.
#[test]
fn a_step_between_two_borders_of_pages_asks_for_no_memory() {
    let home = tempfile::tempdir().unwrap();
    let mut paths = ["biases", "qwen3", "yarn", "dynamic"].map(golden).to_vec();
    paths.extend([Format::Q4_0, Format::Q4_K, Format::F16].map(|format| write(home.path(), format)));
    // As adaptive models have it: the angles move with the pages.
    let change = |config: &mut Config| {
        if let Scaling::NtkAdaptive { original, .. } = &mut config.rope.scaling {
            *original = 16 * PAGE;
        }
    };
    for (path, threads) in paths.iter().flat_map(|path| [(path, 1), (path, 2)]) {
        let settings = Settings { threads: Some(threads), ..settings(KvFormat::F16) };
        let mut backend = NativeBackend::new(open(path, change, settings), 1024, None);
        let text = tokens(300);
        let (a, b) = (backend.create().unwrap(), backend.create().unwrap());
        append(&mut backend, a, 0, &text[..100], 0);
        append(&mut backend, b, 0, &text[..20], 0);
        let mut end = 100;
        // A token; a token and eight guesses beside three rows of another text. The first of a kind finds how much it needs.
        for (kind, others) in [("alone", 0), ("shared", 3)] {
            for step in 0..10 {
                let rows = if others > 0 { 9 } else { 1 };
                let mut runs = vec![run(a, end, &text[end..end + rows], 0)];
                if others > 0 {
                    runs.push(run(b, 20 + others * step, &text[..others], 0));
                }
                end += rows;
                let found = allocations(&mut backend, &batch(runs));
                assert!(found == 0 || step == 0, "{path:?}, {threads} threads, {kind}, step {step}: {found}");
            }
        }
        // The border, so that it is seen that the counter counts.
        let rest = batch(vec![run(a, end, &text[end..PAGE], 0)]);
        allocations(&mut backend, &rest);
        assert!(allocations(&mut backend, &batch(vec![run(a, PAGE, &text[PAGE..=PAGE], 0)])) > 0, "{path:?}");
    }
}
