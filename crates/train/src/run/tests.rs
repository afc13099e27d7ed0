//! A whole run in miniature: it learns, resumes exactly, stops when told, and gives a file that loads.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use huacaya_engine::candle::Plain;
use huacaya_progress::unwatched;

use super::*;
use crate::recipe::{Batch as BatchSize, Files, LossOn, Optimizer, Shape};

const VOCABULARY: usize = 40;

fn recipe(work: &Path, steps: [usize; 2]) -> Recipe {
    let stage = |name: &str, loss, steps| Stage {
        name: name.into(),
        data: "".into(),
        loss,
        steps,
        cosine_steps: None,
        warmup: 3,
        rate: 1e-2,
        rate_end: 1e-3,
    };
    Recipe {
        name: "tiny".into(),
        seed: 3,
        model: Shape {
            hidden: 32,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            ffn: 64,
            context: 64,
            rope_base: 10000.0,
            norm_eps: 1e-5,
        },
        files: Files {
            tokenizer: "".into(),
            held_out: "".into(),
            work: work.to_path_buf(),
            model: work.join("model.gguf"),
        },
        batch: BatchSize { tokens: 64, shards: 2 },
        optimizer: Optimizer { beta1: 0.9, beta2: 0.95, eps: 1e-8, decay: 0.1, clip: 1.0 },
        stages: vec![stage("all", LossOn::All, steps[0]), stage("reply", LossOn::Reply, steps[1])],
        checkpoint_minutes: 60,
    }
}

/// Each text counts up from its first token.
fn examples() -> Vec<Example> {
    let example = |start: u32| {
        let length = 6 + start % 5;
        Example { tokens: (start..start + length).collect(), reply: (0..length).map(|place| place > 1).collect() }
    };
    (1..30).map(example).collect()
}

/// The second stage has other data than the first.
fn run_with(work: &Path, steps: [usize; 2], ops: Arc<dyn Ops>) -> Run {
    let examples = vec![Arc::new(examples()), Arc::new(examples())];
    Run::new(recipe(work, steps), VOCABULARY, examples, ops).unwrap()
}

fn open(work: &Path, steps: [usize; 2]) -> Run {
    run_with(work, steps, Arc::new(Training))
}

fn numbers(run: &Run) -> Vec<Vec<f32>> {
    run.weights().iter().map(|(_, tensor)| tensor.flatten_all().unwrap().to_vec1().unwrap()).collect()
}

fn loss_of(run: &Run) -> f32 {
    let all: Vec<usize> = (0..29).collect();
    let batch = data::batch(&run.examples[0], &all, LossOn::Reply);
    let weight = 1.0 / batch.targets.len() as f32;
    loss(&run.decoder, &batch, weight).unwrap().to_scalar().unwrap()
}

#[test]
fn a_small_run_learns_to_count() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = open(folder.path(), [30, 60]);
    let before = loss_of(&run);
    run.train(&mut unwatched()).unwrap();
    assert!(before > 3.0 && loss_of(&run) < 0.3, "{before} -> {}", loss_of(&run));
    let log = std::fs::read_to_string(folder.path().join(LOG)).unwrap();
    assert_eq!(log.lines().count(), 1 + 9);
}

#[test]
fn a_stopped_run_goes_on_to_the_same_weights() {
    let (whole, parted) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut straight = open(whole.path(), [4, 8]);
    straight.train(&mut unwatched()).unwrap();

    let mut first = open(parted.path(), [4, 8]);
    let stopped = first.train(&mut |progress| match progress.done {
        7 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(stopped, Err(Error::Stopped)));
    let mut second = open(parted.path(), [4, 8]);
    assert_eq!(second.state().step, 7);
    second.train(&mut unwatched()).unwrap();
    assert_eq!(numbers(&straight), numbers(&second));
    assert_eq!(straight.moments, second.moments);
}

#[test]
fn fused_and_plain_operations_give_the_same_gradients() {
    let folder = tempfile::tempdir().unwrap();
    let fused = open(folder.path(), [1, 1]);
    let plain = run_with(folder.path(), [1, 1], Arc::new(Plain));
    let all = &fused.examples[0];
    let shards = [data::batch(all, &[3, 4, 9], LossOn::Reply), data::batch(all, &[1], LossOn::All)];
    let (found_loss, found) = fused.gradients(&shards, 0.1).unwrap();
    let (expected_loss, expected) = plain.gradients(&shards, 0.1).unwrap();
    assert!((found_loss - expected_loss).abs() < 1e-5);
    for (name, (found, expected)) in fused.names.iter().zip(found.iter().zip(&expected)) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6 + 1e-4 * expected.abs(), "{name}: {found}, not {expected}");
        }
    }
}
