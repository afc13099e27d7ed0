//! The native decoder against the reference one, and against itself: the same bits however a text is cut and shared out.

mod allocations;
mod llama;
pub(crate) mod random;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{DType, Device, Tensor};
use huacaya_kernels::{Format, Kernels};
use huacaya_progress::unwatched;

pub(crate) use self::random::write;
use super::*;
use crate::backend::{Backend, Batch, Logits, Run, SequenceId};
use crate::candle::{Fused, Ops, load as load_candle};
use crate::config::Config;
use crate::rope::{Pairs, Scaling};
use crate::source::Source;
use crate::{Error, Result};

pub(crate) const GOLDEN: [&str; 10] =
    ["biases", "dynamic", "grouped_tied", "linear", "llama3", "mistral", "plain", "qwen2", "qwen3", "yarn"];
/// Of the largest logit, where keys and values are rounded to f16 on both sides: f32 in another order of operations. A
/// value that lies between two halves may be rounded to the other one, which is as much as all else.
pub(crate) const SAME_KV: f32 = 5e-4;
/// Where only ours are rounded, by up to 2^-11 of each: keys with biases are large, and so are their scores' errors.
pub(crate) const OTHER_KV: f32 = 5e-3;
/// The root mean square of the errors as a part of that of the logits, where activations are rounded to 8 bits: a step is
/// 1/127 of the largest of a group, so a product is off by about 0.6 % of a typical value; some products follow each other.
const EIGHT_BITS: f32 = 0.03;

pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/logits").join(name)
}

pub(crate) fn settings(kv: KvFormat) -> Settings {
    Settings { kernels: Kernels::chosen(), threads: None, chunk: CHUNK, kv }
}

fn open(path: &Path, change: impl Fn(&mut Config), settings: Settings) -> Arc<Decoder> {
    let source = Source::open(path).unwrap();
    let mut config = source.config.clone();
    change(&mut config);
    Arc::new(Decoder::open(source, &config, settings, &mut unwatched()).unwrap())
}

fn backend(name: &str) -> NativeBackend {
    NativeBackend::new(open(&golden(name), |_| {}, settings(KvFormat::F16)), 512, None)
}

pub(crate) fn tokens(length: usize) -> Vec<u32> {
    (0..length as u32).map(|i| (i * i * 5 + 11 * i + 1) % 64).collect()
}

pub(crate) fn run(sequence: SequenceId, first: usize, tokens: &[u32], span: usize) -> Run {
    Run { sequence, first, tokens: tokens.to_vec(), wanted: 0..tokens.len(), span }
}

pub(crate) fn batch(runs: Vec<Run>) -> Batch {
    Batch { runs, adapters: Vec::new(), hidden: false }
}

fn append(backend: &mut NativeBackend, id: SequenceId, first: usize, tokens: &[u32], span: usize) -> Logits {
    backend.step(&batch(vec![run(id, first, tokens, span)]), &|| false).unwrap()
}

/// A text read at once.
fn whole(backend: &mut NativeBackend, tokens: &[u32]) -> Logits {
    let id = backend.create().unwrap();
    let logits = append(backend, id, 0, tokens, tokens.len());
    backend.release(id);
    logits
}

fn bits(logits: &[Vec<f32>]) -> Vec<Vec<u32>> {
    logits.iter().map(|row| row.iter().map(|value| value.to_bits()).collect()).collect()
}

fn assert_bits(what: &str, found: &[Vec<f32>], expected: &[Vec<f32>]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in bits(found).iter().zip(bits(expected)).enumerate() {
        assert!(*found == expected, "{what}: row {i} has other bits");
    }
}

/// The reference's operations, with keys and values as the cache keeps them.
pub(crate) struct Rounded;

impl Ops for Rounded {
    fn norm(&self, x: &Tensor, weight: &Tensor, eps: f32) -> Result<Tensor> {
        Fused.norm(x, weight, eps)
    }

    fn rotate(&self, x: &Tensor, cos: &Tensor, sin: &Tensor, pairs: Pairs) -> Result<Tensor> {
        Fused.rotate(x, cos, sin, pairs)
    }

    fn attention(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        let round = |x: &Tensor| x.to_dtype(DType::F16)?.to_dtype(DType::F32);
        Fused.attention(q, &round(k)?, &round(v)?)
    }
}

pub(crate) fn reference(path: &Path, change: impl Fn(&mut Config), ops: Arc<dyn Ops>, tokens: &[u32]) -> Logits {
    let source = Source::open(path).unwrap();
    let mut config = source.config.clone();
    change(&mut config);
    let decoder = load_candle(&source, &config, &Device::Cpu, false, ops, &mut unwatched()).unwrap();
    let tokens = Tensor::new(tokens, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    decoder.forward(&tokens).unwrap().squeeze(0).unwrap().to_vec2().unwrap()
}

/// The largest difference, as a part of the largest expected value.
pub(crate) fn worst(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let both = || found.iter().flatten().zip(expected.iter().flatten());
    let largest = both().fold(0.0f32, |most, (_, e)| most.max(e.abs()));
    assert!(both().all(|(f, _)| f.is_finite()));
    both().fold(0.0f32, |most, (f, e)| most.max((f - e).abs())) / largest
}

/// The root mean square of the differences, as a part of that of the expected values.
pub(crate) fn typical(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    let both = || found.iter().flatten().zip(expected.iter().flatten());
    let differences: f32 = both().map(|(f, e)| (f - e) * (f - e)).sum();
    (differences / both().map(|(_, e)| e * e).sum::<f32>()).sqrt()
}

#[test]
fn logits_equal_those_of_the_reference_decoder() {
    let tokens = tokens(100);
    for name in GOLDEN {
        let found = whole(&mut backend(name), &tokens);
        let exact = worst(&found, &reference(&golden(name), |_| {}, Arc::new(Fused), &tokens));
        let rounded = worst(&found, &reference(&golden(name), |_| {}, Arc::new(Rounded), &tokens));
        println!("{name}: {rounded:.1e} with the same rounding of keys and values, {exact:.1e} without");
        assert!(exact < OTHER_KV, "{name}: off by {exact:.1e}");
        // Adaptive models round keys before they are turned, too.
        assert!(rounded < if name == "dynamic" { OTHER_KV } else { SAME_KV }, "{name}: off by {rounded:.1e}");
    }
}

/// Scalings that no file of `transformers` names: a base stretched once for all lengths, and a factor for each pair.
#[test]
fn fixed_ntk_and_factors_equal_the_reference_decoder() {
    let factors = Scaling::Factors((0..4).map(|i| 1.0 + 3.0 * i as f32).collect());
    let tokens = tokens(100);
    let plain = reference(&golden("plain"), |_| {}, Arc::new(Rounded), &tokens);
    for scaling in [Scaling::Ntk { alpha: 4.0, linear: 1.0 }, Scaling::Ntk { alpha: 3.0, linear: 2.0 }, factors] {
        let change = |config: &mut Config| config.rope.scaling = scaling.clone();
        let mut backend = NativeBackend::new(open(&golden("plain"), change, settings(KvFormat::F16)), 512, None);
        let found = whole(&mut backend, &tokens);
        let error = worst(&found, &reference(&golden("plain"), change, Arc::new(Rounded), &tokens));
        assert!(error < SAME_KV, "{scaling:?}: off by {error:.1e}");
        assert!(worst(&found, &plain) > 0.05, "{scaling:?} changes nothing");
    }
}

/// What `transformers` computes (tests/golden/logits.py), for the 48 tokens that it was given.
#[test]
fn logits_equal_those_of_transformers() {
    let tokens: Vec<u32> = (0..48).map(|i| (7 * i * i + 3 * i + 5) % 64).collect();
    for name in GOLDEN {
        let bytes = std::fs::read(golden(name).join("logits.f32")).unwrap();
        let values: Vec<f32> = bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        let expected: Vec<Vec<f32>> = values.chunks(64).map(<[f32]>::to_vec).collect();
        let error = worst(&whole(&mut backend(name), &tokens), &expected);
        assert!(error < OTHER_KV, "{name}: off by {error:.1e}");
    }
}

/// Chunks of uneven sizes over several pages and steps, then token by token.
#[test]
fn a_text_has_the_same_bits_wherever_it_is_cut() {
    let tokens = tokens(300);
    for name in GOLDEN {
        let mut backend = backend(name);
        let expected = whole(&mut backend, &tokens);
        let id = backend.create().unwrap();
        let mut found = Vec::new();
        for (start, end) in [(0, 1), (1, 65), (65, 100), (100, 260), (260, 290)] {
            found.extend(append(&mut backend, id, start, &tokens[start..end], 300));
        }
        (290..300).for_each(|i| found.extend(append(&mut backend, id, i, &tokens[i..=i], 300)));
        assert_bits(name, &found, &expected);
    }
}

/// Other rows of the step belong to other texts; only some logits are wanted.
#[test]
fn a_row_has_the_same_bits_however_many_share_its_step() {
    let home = tempfile::tempdir().unwrap();
    for format in [Format::F32, Format::F16, Format::Q4_0, Format::Q4_K, Format::Q8_0, Format::Q6_K, Format::IQ4_NL] {
        let path = write(home.path(), format);
        let mut backend = NativeBackend::new(open(&path, |_| {}, settings(KvFormat::F16)), 512, None);
        let texts: Vec<Vec<u32>> = (0..16).map(|i| tokens(30 + 5 * i)[3 * i..].to_vec()).collect();
        let alone: Vec<Logits> = texts.iter().map(|text| whole(&mut backend, text)).collect();
        for count in 1..=16 {
            let ids: Vec<_> = texts[..count].iter().map(|_| backend.create().unwrap()).collect();
            let read = ids
                .iter()
                .zip(&texts)
                .map(|(&id, text)| Run { wanted: 0..0, ..run(id, 0, &text[..text.len() - 1], 0) });
            assert!(backend.step(&batch(read.collect()), &|| false).unwrap().is_empty());
            let last = ids.iter().zip(&texts).map(|(&id, text)| run(id, text.len() - 1, &text[text.len() - 1..], 0));
            let found = backend.step(&batch(last.collect()), &|| false).unwrap();
            let expected: Vec<_> = alone[..count].iter().map(|logits| logits[logits.len() - 1].clone()).collect();
            assert_bits(&format!("{format}, {count} texts"), &found, &expected);
            ids.into_iter().for_each(|id| backend.release(id));
            // And as many tokens of one text, of which some are wanted.
            let (id, text) = (backend.create().unwrap(), &texts[3]);
            append(&mut backend, id, 0, &text[..text.len() - count], 0);
            let some = Run { wanted: count / 2..count, ..run(id, text.len() - count, &text[text.len() - count..], 0) };
            let found = backend.step(&batch(vec![some]), &|| false).unwrap();
            assert_bits(&format!("{format}, {count} rows"), &found, &alone[3][text.len() - (count - count / 2)..]);
            backend.release(id);
        }
    }
}

#[test]
fn every_format_agrees_with_its_values_in_f32() {
    let home = tempfile::tempdir().unwrap();
    let tokens = tokens(70);
    for format in Format::ALL {
        let path = write(home.path(), format);
        let expected = reference(&path, |_| {}, Arc::new(Rounded), &tokens);
        let mut backend = NativeBackend::new(open(&path, |_| {}, settings(KvFormat::F16)), 512, None);
        let error = typical(&whole(&mut backend, &tokens), &expected);
        println!("{format}: {error:.1e}");
        assert!(error < if format.is_plain() { SAME_KV } else { EIGHT_BITS }, "{format}: off by {error:.1e}");
    }
}

#[test]
fn sequences_fork_and_shrink_without_touching_each_other() {
    let (a, b) = (tokens(600), tokens(700)[50..].to_vec());
    for name in ["grouped_tied", "qwen3"] {
        let mut backend = NativeBackend::new(open(&golden(name), |_| {}, settings(KvFormat::F16)), 1024, None);
        let alone = [whole(&mut backend, &a), whole(&mut backend, &b)];
        let (first, second) = (backend.create().unwrap(), backend.create().unwrap());
        let both = backend.step(&batch(vec![run(first, 0, &a[..580], 0), run(second, 0, &b, 0)]), &|| false).unwrap();
        assert_bits("first", &both[..580], &alone[0][..580]);
        assert_bits("second", &both[580..], &alone[1]);
        // The fork lies in the middle of a page that both go on to write.
        let forked = backend.fork(first, 300).unwrap();
        let mixed = [&a[..300], &b[..40]].concat();
        let expected = whole(&mut backend, &mixed);
        assert_bits("forked", &append(&mut backend, forked, 300, &b[..20], 0), &expected[300..320]);
        backend.truncate(first, 305);
        assert_bits("behind the fork", &append(&mut backend, first, 305, &a[305..], 0), &alone[0][305..]);
        backend.release(first);
        assert_bits("forked, later", &append(&mut backend, forked, 320, &b[20..40], 0), &expected[320..]);
    }
}

#[test]
fn a_step_that_was_stopped_leaves_the_sequence_as_it_was() {
    let mut backend = backend("plain");
    let tokens = tokens(40);
    let expected = whole(&mut backend, &tokens);
    let id = backend.create().unwrap();
    append(&mut backend, id, 0, &tokens[..10], 0);
    let layers = AtomicUsize::new(0);
    let stop = || layers.fetch_add(1, Ordering::Relaxed) == 1;
    let stopped = backend.step(&batch(vec![run(id, 10, &tokens[20..], 0)]), &stop);
    assert!(matches!(stopped, Err(Error::Stopped)));
    assert_bits("after the stop", &append(&mut backend, id, 10, &tokens[10..], 0), &expected[10..]);
}

/// With one layer, keys and values hang on nothing but their own tokens: growing must equal starting anew.
#[test]
fn adaptive_angles_after_growth_have_the_bits_of_starting_anew() {
    let one = open(&golden("dynamic"), |config| config.layers = 1, settings(KvFormat::F16));
    assert!(matches!(one.config.rope.scaling, Scaling::NtkAdaptive { original: 32, .. }));
    let tokens = tokens(120);
    let mut backend = NativeBackend::new(one, 512, None);
    let id = backend.create().unwrap();
    append(&mut backend, id, 0, &tokens[..20], 20);
    for end in 21..=120 {
        let found = append(&mut backend, id, end - 1, &tokens[end - 1..end], end);
        let anew = whole(&mut backend, &tokens[..end]);
        assert_bits(&format!("{end}"), &found, &anew[end - 1..]);
    }
    // A copy for a longer text leaves the original's keys as they were turned.
    let longer = backend.fork(id, 100).unwrap();
    append(&mut backend, longer, 100, &tokens[..20], 400);
    // And back: a shorter text has the smaller base again.
    backend.truncate(id, 10);
    let found = append(&mut backend, id, 10, &tokens[10..25], 25);
    assert_bits("shorter", &found, &whole(&mut backend, &tokens[..25])[10..]);
}

#[test]
fn a_text_of_8192_positions_has_the_reference_logits_at_its_end() {
    const LENGTH: usize = 8192;
    let tokens = tokens(LENGTH);
    for name in ["linear", "yarn", "llama3", "dynamic"] {
        let mut backend = NativeBackend::new(open(&golden(name), |_| {}, settings(KvFormat::F16)), LENGTH, None);
        let id = backend.create().unwrap();
        let read = Run { wanted: LENGTH - 42..LENGTH, ..run(id, 0, &tokens, LENGTH) };
        let found = backend.step(&batch(vec![read]), &|| false).unwrap();
        let source = Source::open(&golden(name)).unwrap();
        let decoder = load_candle(&source, &source.config, &Device::Cpu, false, Arc::new(Fused), &mut unwatched());
        let mut candle = crate::candle::CandleBackend::new(Arc::new(decoder.unwrap()), LENGTH);
        let id = candle.create().unwrap();
        let mut expected = Vec::new();
        for start in (0..LENGTH).step_by(512) {
            let part = run(id, start, &tokens[start..start + 512], LENGTH);
            expected = candle.step(&batch(vec![part]), &|| false).unwrap();
        }
        let error = worst(&found, &expected[512 - 42..]);
        println!("{name}: {error:.1e}");
        assert!(error < OTHER_KV, "{name}: off by {error:.1e}");
    }
}

#[test]
fn smaller_caches_stay_near_and_give_the_same_bits_however_cut() {
    let home = tempfile::tempdir().unwrap();
    let path = write(home.path(), Format::F32);
    let tokens = tokens(300);
    let expected = reference(&path, |_| {}, Arc::new(Fused), &tokens);
    for (kv, bound) in [(KvFormat::F16, 1e-3), (KvFormat::Q8_0, 0.05), (KvFormat::Q4_0, 0.5)] {
        let mut backend = NativeBackend::new(open(&path, |_| {}, settings(kv)), 512, None);
        let found = whole(&mut backend, &tokens);
        let error = typical(&found, &expected);
        println!("{}: {error:.1e}", kv.name());
        assert!(error < bound, "{}: off by {error:.1e}", kv.name());
        let id = backend.create().unwrap();
        let mut cut = append(&mut backend, id, 0, &tokens[..77], 0);
        (77..300).for_each(|i| cut.extend(append(&mut backend, id, i, &tokens[i..=i], 0)));
        assert_bits(kv.name(), &cut, &found);
    }
}

#[test]
fn tokens_beyond_the_vocabulary_and_gaps_are_errors() {
    let mut backend = backend("plain");
    let id = backend.create().unwrap();
    let step = |backend: &mut NativeBackend, first: usize, tokens: &[u32]| {
        backend.step(&batch(vec![run(id, first, tokens, 0)]), &|| false)
    };
    assert!(matches!(step(&mut backend, 0, &[3, 64]), Err(Error::TokenUnknown { id: 64, vocabulary: 64 })));
    assert!(step(&mut backend, 1, &[3]).is_err());
    assert!(step(&mut backend, 0, &[]).is_err());
    assert!(step(&mut backend, 0, &[3]).is_ok());
    assert!(backend.fork(SequenceId(99), 1).is_err());
}
