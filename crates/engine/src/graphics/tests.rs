//! The decoder on a graphics card against the processor's, on this machine's first adapter: mostly Mesa's software device.

use std::path::Path;

use huacaya_kernels::Format;

use super::*;
use crate::native::tests::{
    GOLDEN, OTHER_KV, Rounded, SAME_KV, batch, golden, reference, run, settings, tokens, typical, worst, write,
};

/// The first adapter, opened anew; `None` where this machine has none.
fn gpu() -> Option<Arc<Gpu>> {
    let adapter = huacaya_gpu::adapters().into_iter().find(|adapter| adapter.lacks.is_none());
    match &adapter {
        Some(adapter) => println!("on {adapter}"),
        None => println!("not run: no adapter"),
    }
    adapter.map(|adapter| Arc::new(Gpu::open(adapter.index).unwrap()))
}

fn load(gpu: &Arc<Gpu>, path: &Path, kv: KvFormat) -> Arc<Graphics> {
    let source = Source::open(path).unwrap();
    let config = source.config.clone();
    let open = || Ok(gpu.clone());
    Arc::new(Graphics::on(open, &source, &config, settings(kv), &mut unwatched()).unwrap().unwrap())
}

fn on_card(gpu: &Arc<Gpu>, path: &Path) -> GraphicsBackend {
    GraphicsBackend::new(load(gpu, path, KvFormat::F16), 1024)
}

fn on_processor(model: &Graphics) -> NativeBackend {
    NativeBackend::new(model.spare().unwrap(), 1024, None)
}

fn append(backend: &mut dyn Backend, id: SequenceId, first: usize, tokens: &[u32]) -> Logits {
    backend.step(&batch(vec![run(id, first, tokens, 0)]), &|| false).unwrap()
}

fn whole(backend: &mut dyn Backend, tokens: &[u32]) -> Logits {
    let id = backend.create().unwrap();
    let logits = append(backend, id, 0, tokens);
    backend.release(id);
    logits
}

fn near(what: &str, found: &[Vec<f32>], expected: &[Vec<f32>], bound: f32) {
    let error = worst(found, expected);
    assert!(error < bound, "{what}: off by {error:.1e}");
}

#[test]
fn logits_equal_those_of_the_processor_for_every_kind_of_model() {
    let Some(gpu) = gpu() else { return };
    let tokens = tokens(100);
    for name in GOLDEN.into_iter().filter(|name| *name != "dynamic") {
        let model = load(&gpu, &golden(name), KvFormat::F16);
        let expected = whole(&mut on_processor(&model), &tokens);
        let mut backend = GraphicsBackend::new(model, 512);
        near(name, &whole(&mut backend, &tokens), &expected, SAME_KV);
        // The first in one step, the rest token by token.
        let id = backend.create().unwrap();
        let mut found = append(&mut backend, id, 0, &tokens[..70]);
        (70..100).for_each(|i| found.extend(append(&mut backend, id, i, &tokens[i..=i])));
        near(name, &found, &expected, SAME_KV);
    }
}

#[test]
fn a_model_that_only_the_processor_computes_says_why() {
    let Some(gpu) = gpu() else { return };
    let source = Source::open(&golden("dynamic")).unwrap();
    let config = source.config.clone();
    let settings = settings(KvFormat::F16);
    let refused = Graphics::on(|| Ok(gpu), &source, &config, settings, &mut unwatched()).unwrap();
    assert!(refused.err().unwrap().contains("length of the text"));
    let missing = Graphics::on(
        || Err("gone".to_owned()),
        &Source::open(&golden("plain")).unwrap(),
        &Source::open(&golden("plain")).unwrap().config,
        settings,
        &mut unwatched(),
    );
    assert_eq!(missing.unwrap().err().unwrap(), "gone");
}

/// Activations are not rounded here: nothing but the order of sums tells the two apart.
#[test]
fn every_format_agrees_with_its_values_in_f32() {
    let Some(gpu) = gpu() else { return };
    let (home, tokens) = (tempfile::tempdir().unwrap(), tokens(70));
    for format in Format::ALL.into_iter().filter(|format| huacaya_gpu::supports(*format)) {
        let path = write(home.path(), format);
        let expected = reference(&path, |_| {}, Arc::new(Rounded), &tokens);
        let error = typical(&whole(&mut on_card(&gpu, &path), &tokens), &expected);
        assert!(error < SAME_KV, "{format}: off by {error:.1e}");
    }
}

/// Over many blocks, in steps of one token and of a chunk, beside another text.
#[test]
fn sequences_fork_grow_and_shrink_without_touching_each_other() {
    let Some(gpu) = gpu() else { return };
    let (a, b) = (tokens(600), tokens(700)[50..].to_vec());
    let mut backend = on_card(&gpu, &golden("grouped_tied"));
    let alone = [&a, &b].map(|text| whole(&mut on_processor(&backend.model), text));
    let (first, second) = (backend.create().unwrap(), backend.create().unwrap());
    let both = vec![run(first, 0, &a[..580], 0), run(second, 0, &b, 0)];
    let both = backend.step(&batch(both), &|| false).unwrap();
    near("first", &both[..580], &alone[0][..580], SAME_KV);
    near("second", &both[580..], &alone[1], SAME_KV);
    // The fork lies in the middle of a block that both go on to write.
    let forked = backend.fork(first, 300).unwrap();
    let mixed = [&a[..300], &b[..40]].concat();
    let expected = whole(&mut on_processor(&backend.model), &mixed);
    near("forked", &append(&mut backend, forked, 300, &b[..20]), &expected[300..320], SAME_KV);
    backend.truncate(first, 305);
    near("behind the fork", &append(&mut backend, first, 305, &a[305..]), &alone[0][305..], SAME_KV);
    backend.release(first);
    near("forked, later", &append(&mut backend, forked, 320, &b[20..40]), &expected[320..], SAME_KV);
    // Two that go on side by side, a token each, one of them over a long past.
    let side = backend.create().unwrap();
    append(&mut backend, side, 0, &b[..649]);
    let third = backend.create().unwrap();
    append(&mut backend, third, 0, &a[..10]);
    let steps = vec![run(side, 649, &b[649..], 0), run(third, 10, &a[10..11], 0)];
    let found = backend.step(&batch(steps), &|| false).unwrap();
    near("side by side", &found, &[alone[1][649].clone(), alone[0][10].clone()], SAME_KV);
}

#[test]
fn smaller_caches_stay_near() {
    let Some(gpu) = gpu() else { return };
    let (home, tokens) = (tempfile::tempdir().unwrap(), tokens(200));
    let path = write(home.path(), Format::F32);
    let model = load(&gpu, &path, KvFormat::Q8_0);
    let expected = whole(&mut on_processor(&model), &tokens);
    near("q8_0", &whole(&mut GraphicsBackend::new(model, 512), &tokens), &expected, OTHER_KV);
}

#[test]
fn an_answer_goes_on_where_the_card_is_lost() {
    let Some(gpu) = gpu() else { return };
    let tokens = tokens(120);
    let model = load(&gpu, &golden("qwen3"), KvFormat::F16);
    let expected = whole(&mut on_processor(&model), &tokens);
    let mut backend = GraphicsBackend::new(model.clone(), 512);
    let (id, other) = (backend.create().unwrap(), backend.create().unwrap());
    append(&mut backend, id, 0, &tokens[..80]);
    append(&mut backend, other, 0, &tokens[..5]);
    assert_eq!(model.gave_up(), None);
    model.gpu().lose();
    near("the step that failed", &append(&mut backend, id, 80, &tokens[80..81]), &expected[80..81], SAME_KV);
    assert!(model.gave_up().unwrap().contains("lost"));
    near("those after it", &append(&mut backend, id, 81, &tokens[81..]), &expected[81..], SAME_KV);
    near("the other text", &append(&mut backend, other, 5, &tokens[5..9]), &expected[5..9], SAME_KV);
    let forked = backend.fork(id, 50).unwrap();
    near("a copy", &append(&mut backend, forked, 50, &tokens[50..60]), &expected[50..60], SAME_KV);
    // What comes after it begins there.
    let mut later = GraphicsBackend::new(model, 512);
    near("a new one", &whole(&mut later, &tokens), &expected, SAME_KV);
}

/// Whatever there is no room for, the processor does: the model as a whole, the sequences, or the next block of one.
#[test]
fn where_the_cards_memory_ends_the_processor_goes_on() {
    let Some(gpu) = gpu() else { return };
    let (path, tokens) = (golden("grouped_tied"), tokens(1_200));
    let source = Source::open(&path).unwrap();
    let before = gpu.bytes();
    gpu.limit(before + 1_000);
    let config = source.config.clone();
    let refused =
        Graphics::on(|| Ok(gpu.clone()), &source, &config, settings(KvFormat::F16), &mut unwatched()).unwrap();
    assert!(refused.err().unwrap().contains("memory"));
    gpu.limit(u64::MAX);
    let model = load(&gpu, &path, KvFormat::F16);
    let expected = whole(&mut on_processor(&model), &tokens);
    gpu.limit(gpu.bytes());
    near("no room for sequences", &whole(&mut GraphicsBackend::new(model, 1_200), &tokens), &expected, SAME_KV);
    gpu.limit(u64::MAX);
    let model = load(&gpu, &path, KvFormat::F16);
    let mut backend = GraphicsBackend::new(model.clone(), 1_200);
    let id = backend.create().unwrap();
    append(&mut backend, id, 0, &tokens[..900]);
    gpu.limit(gpu.bytes());
    let found = append(&mut backend, id, 900, &tokens[900..]);
    assert!(model.gave_up().unwrap().contains("keys"), "{:?}", model.gave_up());
    near("no room for more", &found, &expected[900..], SAME_KV);
    gpu.limit(u64::MAX);
}

#[test]
fn what_was_on_the_card_is_given_back() {
    let Some(gpu) = gpu() else { return };
    let before = gpu.bytes();
    let mut backend = on_card(&gpu, &golden("plain"));
    whole(&mut backend, &tokens(100));
    let full = gpu.bytes();
    assert!(full > before);
    // Another model is at work meanwhile.
    let other = on_card(&gpu, &golden("qwen3"));
    let both = gpu.bytes() - full;
    drop(backend);
    assert_eq!(gpu.bytes(), before + both);
    drop(other);
    assert_eq!(gpu.bytes(), before);
}

#[test]
fn a_model_that_the_card_computes_otherwise_is_found_out() {
    let Some(gpu) = gpu() else { return };
    let home = tempfile::tempdir().unwrap();
    let path = write(home.path(), Format::Q4_0);
    let source = Source::open(&path).unwrap();
    let (config, watch) = (source.config.clone(), &mut unwatched());
    let load = || Graphics::on(|| Ok(gpu.clone()), &source, &config, settings(KvFormat::F16), &mut unwatched());
    let sound = load().unwrap().unwrap();
    assert!(sound.check(&source, watch).unwrap().is_none());
    // The card has other weights than the processor will read.
    let spoiled = home.path().join("spoiled.gguf");
    let mut bytes = std::fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].iter_mut().for_each(|byte| *byte = byte.rotate_left(1) & 0x3b);
    std::fs::write(&spoiled, bytes).unwrap();
    let wrong = Graphics { path: spoiled, ..load().unwrap().unwrap() };
    assert!(matches!(wrong.check(&source, watch).unwrap(), Some(Fault::Wrong(_))));
}

#[test]
fn many_rows_are_several_submissions_and_few_are_one() {
    let Some(gpu) = gpu() else { return };
    let mut backend = on_card(&gpu, &golden("plain"));
    let layers = backend.model.config.layers as u64;
    assert!(layers > 1);
    let id = backend.create().unwrap();
    append(&mut backend, id, 0, &tokens(64));
    assert_eq!(backend.counts().unwrap().0.submissions, layers);
    append(&mut backend, id, 64, &tokens(72)[64..]);
    assert_eq!(backend.counts().unwrap().0.submissions, layers + 1);
}

#[test]
fn tokens_beyond_the_vocabulary_gaps_and_stops_leave_the_text_as_it_was() {
    let Some(gpu) = gpu() else { return };
    let mut backend = on_card(&gpu, &golden("plain"));
    let tokens = tokens(30);
    let expected = whole(&mut on_processor(&backend.model), &tokens);
    let id = backend.create().unwrap();
    append(&mut backend, id, 0, &tokens[..10]);
    let mut step =
        |first: usize, tokens: &[u32], stop: bool| backend.step(&batch(vec![run(id, first, tokens, 0)]), &|| stop);
    assert!(matches!(step(10, &[3, 64], false), Err(Error::TokenUnknown { id: 64, vocabulary: 64 })));
    assert!(step(11, &[3], false).is_err() && step(10, &[], false).is_err());
    assert!(matches!(step(10, &tokens[10..], true), Err(Error::Stopped)));
    near("after all that", &step(10, &tokens[10..], false).unwrap(), &expected[10..], SAME_KV);
    assert!(backend.fork(SequenceId(99), 1).is_err());
}

/// Greedy, on the model that comes with the program, whose weights are Q8_0. One submission a token, and little on the bus.
#[test]
fn the_built_in_model_says_the_same_on_both_and_a_token_is_one_submission() {
    const TOKENS: usize = 60;
    let Some(gpu) = gpu() else { return };
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo/huacaya-demo.gguf");
    let model = load(&gpu, &demo, KvFormat::F16);
    let prompt: Vec<u32> = Source::open(&demo).unwrap().tokenizer().unwrap().encode("羊驼住在");
    let greedy = |backend: &mut dyn Backend| {
        let id = backend.create().unwrap();
        let mut logits = append(backend, id, 0, &prompt);
        let mut said: Vec<u32> = Vec::new();
        for i in 0..TOKENS {
            let last = logits.last().unwrap();
            let best = (0..last.len()).max_by(|a, b| last[*a].total_cmp(&last[*b])).unwrap();
            said.push(best as u32);
            logits = append(backend, id, prompt.len() + i, &said[i..]);
        }
        said
    };
    let expected = greedy(&mut on_processor(&model));
    let mut backend = GraphicsBackend::new(model.clone(), 512);
    // What it says after the end of its text is no text of it.
    let end = Source::open(&demo).unwrap().tokenizer().unwrap().eos();
    let text = |said: Vec<u32>| said.into_iter().take_while(|token| Some(*token) != end).collect::<Vec<_>>();
    assert_eq!(text(greedy(&mut backend)), text(expected));
    let (counts, steps) = backend.counts().unwrap();
    assert_eq!((steps, counts.submissions), (TOKENS as u64 + 1, TOKENS as u64 + 1));
    let each = counts.dispatches / steps;
    println!(
        "{each} dispatches, 1 submission, {} KB of weights read, {} KB back and {} bytes there for each token",
        counts.bytes_of_weights / steps / 1000,
        counts.bytes_back / steps / 1000,
        counts.bytes_sent / steps,
    );
    // Ten a layer, embedding, norm and output layer.
    assert!(each <= 10 * model.config.layers as u64 + 3, "{each} dispatches");
    let file: u64 = std::fs::metadata(&demo).unwrap().len();
    assert!(counts.bytes_of_weights / steps <= file, "more is read than there is");
    assert!(counts.bytes_back / steps <= 4 * (prompt.len() * model.config.vocabulary) as u64);
}
