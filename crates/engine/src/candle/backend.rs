//! Inference over candle: the decoder, and the keys and values of every sequence.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::Tensor;
use candle_core::utils::with_threadpool;

use super::cache::{Angles, Cache};
use super::decoder::Decoder;
use crate::backend::{Backend, Batch, Logits, Run, SequenceId, Stop};
use crate::config::unusable;
use crate::rope;
use crate::{Error, Result};

/// Tokens of a prompt that are read in one step: enough to use each weight many times, few enough that a request beside it
/// waits little, and that attention's table (heads * this * length) stays small.
pub(crate) const READ_CHUNK: usize = 64;

pub(crate) struct CandleBackend {
    decoder: Arc<Decoder>,
    /// Positions that a sequence may have.
    limit: usize,
    caches: HashMap<SequenceId, Cache>,
    next: u64,
}

impl CandleBackend {
    pub fn new(decoder: Arc<Decoder>, limit: usize) -> CandleBackend {
        CandleBackend { decoder, limit, caches: HashMap::new(), next: 0 }
    }

    fn keep(&mut self, cache: Cache) -> SequenceId {
        let id = SequenceId(self.next);
        self.next += 1;
        self.caches.insert(id, cache);
        id
    }

    /// Checks a run against its sequence, makes room, and gives the angles of its positions.
    fn prepare(&mut self, run: &Run) -> Result<Angles> {
        let (config, device) = (self.decoder.config(), self.decoder.device());
        let Some(cache) = self.caches.get_mut(&run.sequence) else { return unusable("no such sequence".to_string()) };
        let end = run.first + run.tokens.len();
        if run.first != cache.length || run.tokens.is_empty() || run.wanted.end > run.tokens.len() {
            return unusable(format!("a run from {} to {end} does not follow {} positions", run.first, cache.length));
        }
        if let Some(&id) = run.tokens.iter().find(|&&id| id as usize >= config.vocabulary) {
            return Err(Error::TokenUnknown { id, vocabulary: config.vocabulary });
        }
        cache.reserve(config, device, end, self.limit)?;
        let span = rope::span(&config.rope, run.span.max(end));
        cache.turn_for(span, self.decoder.ops(), config.rope.pairs, |length| self.decoder.angles(0, length, span))?;
        self.decoder.angles(run.first, run.tokens.len(), span)
    }

    /// One run's part of a layer. `q`, `k`, `v`: (new, heads, head_size) -> (new, heads * head_size)
    fn attend(&self, layer: usize, run: &Run, angles: &Angles, [q, k, v]: [Tensor; 3]) -> Result<Tensor> {
        let (ops, pairs) = (self.decoder.ops(), self.decoder.config().rope.pairs);
        let heads_first = |x: Tensor| -> Result<Tensor> { Ok(x.transpose(0, 1)?.unsqueeze(0)?.contiguous()?) };
        let (q, unturned, v) = (heads_first(q)?, heads_first(k)?, heads_first(v)?); // (1, heads, new, head_size)
        let q = ops.rotate(&q, &angles.cos, &angles.sin, pairs)?;
        let k = ops.rotate(&unturned, &angles.cos, &angles.sin, pairs)?;
        let Some(cache) = self.caches.get(&run.sequence) else { return unusable("no such sequence".to_string()) };
        let (keys, values) = cache.append(layer, &unturned, &k, &v)?;
        let mixed = ops.attention(&q, &keys, &values)?;
        Ok(mixed.squeeze(0)?.transpose(0, 1)?.reshape((run.tokens.len(), ()))?)
    }

    fn forward(&self, batch: &Batch, angles: &[Angles], stop: Stop) -> Result<Logits> {
        let Batch { runs, adapters, hidden } = batch;
        let tokens: Vec<u32> = runs.iter().flat_map(|run| run.tokens.iter().copied()).collect();
        let starts: Vec<usize> = runs
            .iter()
            .scan(0, |at, run| {
                *at += run.tokens.len();
                Some(*at - run.tokens.len())
            })
            .collect();
        let tokens = Tensor::new(tokens, self.decoder.device())?;
        let mut x = self.decoder.embed(&tokens)?; // (rows, hidden)
        for layer in 0..self.decoder.config().layers {
            if stop() {
                return Err(Error::Stopped);
            }
            x = self.decoder.layer(layer, &x, adapters, |q, k, v| {
                let mixed = runs.iter().zip(angles).zip(&starts).map(|((run, angles), &start)| {
                    let part = |x: &Tensor| x.narrow(0, start, run.tokens.len());
                    self.attend(layer, run, angles, [part(q)?, part(k)?, part(v)?])
                });
                let mixed = mixed.collect::<Result<Vec<_>>>()?;
                Ok(if mixed.len() == 1 { mixed[0].clone() } else { Tensor::cat(&mixed, 0)? })
            })?;
        }
        let wanted = |(run, &start): (&Run, &usize)| run.wanted.clone().map(move |row| (start + row) as u32);
        let wanted: Vec<u32> = runs.iter().zip(&starts).flat_map(wanted).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let rows = x.index_select(&Tensor::new(wanted, self.decoder.device())?, 0)?;
        let normed = self.decoder.final_norm(&rows)?;
        Ok(if *hidden { normed } else { self.decoder.logits(&normed)? }.to_vec2::<f32>()?)
    }
}

impl Backend for CandleBackend {
    fn create(&mut self) -> Result<SequenceId> {
        let cache = Cache::new(self.decoder.config(), self.decoder.device())?;
        Ok(self.keep(cache))
    }

    fn step(&mut self, batch: &Batch, stop: Stop) -> Result<Logits> {
        let angles = batch.runs.iter().map(|run| self.prepare(run)).collect::<Result<Vec<_>>>()?;
        let logits = match self.decoder.device().is_cpu() {
            // Inside the pool that candle's operations spread over: outside, each of them would hand its work over and wait.
            true => with_threadpool(|| self.forward(batch, &angles, stop))?,
            false => self.forward(batch, &angles, stop)?,
        };
        for run in &batch.runs {
            if let Some(cache) = self.caches.get_mut(&run.sequence) {
                cache.length += run.tokens.len();
            }
        }
        Ok(logits)
    }

    fn fork(&mut self, from: SequenceId, length: usize) -> Result<SequenceId> {
        let Some(cache) = self.caches.get(&from) else { return unusable("no such sequence".to_string()) };
        let cache = cache.fork(self.decoder.config(), self.decoder.device(), length)?;
        Ok(self.keep(cache))
    }

    fn truncate(&mut self, id: SequenceId, length: usize) {
        if let Some(cache) = self.caches.get_mut(&id) {
            cache.length = cache.length.min(length);
        }
    }

    fn release(&mut self, id: SequenceId) {
        self.caches.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use candle_core::Device;
    use huacaya_progress::unwatched;

    use super::super::load::load;
    use super::super::ops::Fused;
    use super::*;
    use crate::config::Config;
    use crate::rope::Scaling;
    use crate::source::Source;

    const NAMES: [&str; 7] = ["plain", "grouped_tied", "linear", "yarn", "llama3", "qwen2", "qwen3"];

    fn decoder(name: &str) -> Arc<Decoder> {
        Arc::new(Decoder::open(&golden(name), Arc::new(Fused), &mut unwatched()).unwrap())
    }

    fn golden(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/logits").join(name)
    }

    fn tokens(length: usize) -> Vec<u32> {
        (0..length as u32).map(|i| (i * i * 5 + 11 * i + 1) % 64).collect()
    }

    fn run(sequence: SequenceId, first: usize, tokens: &[u32], span: usize) -> Run {
        Run { sequence, first, tokens: tokens.to_vec(), wanted: 0..tokens.len(), span }
    }

    fn alone(run: Run) -> Batch {
        Batch { runs: vec![run], adapters: Vec::new(), hidden: false }
    }

    fn append(backend: &mut CandleBackend, id: SequenceId, first: usize, tokens: &[u32], span: usize) -> Logits {
        backend.step(&alone(run(id, first, tokens, span)), &|| false).unwrap()
    }

    fn whole(decoder: &Decoder, tokens: &[u32]) -> Logits {
        let tokens = Tensor::new(tokens, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        decoder.forward(&tokens).unwrap().squeeze(0).unwrap().to_vec2().unwrap()
    }

    fn assert_same(name: &str, found: &Logits, expected: &[Vec<f32>]) {
        assert_eq!(found.len(), expected.len());
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            for (f, e) in found.iter().zip(expected) {
                assert!((f - e).abs() < 1e-4, "{name}, row {i}: {f} instead of {e}");
            }
        }
    }

    /// Chunks of uneven sizes over several growths of the cache, then token by token.
    #[test]
    fn reading_in_chunks_and_token_by_token_equals_reading_at_once() {
        let tokens = tokens(300);
        for name in NAMES {
            let decoder = decoder(name);
            let mut backend = CandleBackend::new(decoder.clone(), 512);
            let id = backend.create().unwrap();
            let mut found = Vec::new();
            for (start, end) in [(0, 1), (1, 65), (65, 100), (100, 260), (260, 290)] {
                found.extend(append(&mut backend, id, start, &tokens[start..end], 0));
            }
            (290..300).for_each(|i| found.extend(append(&mut backend, id, i, &tokens[i..=i], 0)));
            assert_same(name, &found, &whole(&decoder, &tokens));
        }
    }

    #[test]
    fn sequences_share_a_step_fork_and_shrink_without_touching_each_other() {
        let decoder = decoder("grouped_tied");
        let (a, b) = (tokens(40), tokens(90)[50..].to_vec());
        let mut backend = CandleBackend::new(decoder.clone(), 512);
        let (first, second) = (backend.create().unwrap(), backend.create().unwrap());
        let runs = vec![run(first, 0, &a[..30], 0), run(second, 0, &b, 0)];
        let both = backend.step(&Batch { runs, adapters: Vec::new(), hidden: false }, &|| false).unwrap();
        assert_same("first", &both[..30].to_vec(), &whole(&decoder, &a[..30]));
        assert_same("second", &both[30..].to_vec(), &whole(&decoder, &b));
        let forked = backend.fork(first, 20).unwrap();
        append(&mut backend, forked, 20, &b[..10], 0);
        backend.truncate(first, 25);
        let again = append(&mut backend, first, 25, &a[25..], 0);
        assert_same("after the fork", &again, &whole(&decoder, &a)[25..]);
        backend.release(first);
        let mixed = [&a[..20], &b[..15]].concat();
        let last = append(&mut backend, forked, 30, &b[10..15], 0);
        assert_same("forked", &last, &whole(&decoder, &mixed)[30..]);
    }

    #[test]
    fn a_step_that_was_stopped_leaves_the_sequence_as_it_was() {
        let decoder = decoder("plain");
        let tokens = tokens(40);
        let mut backend = CandleBackend::new(decoder.clone(), 512);
        let id = backend.create().unwrap();
        append(&mut backend, id, 0, &tokens[..10], 0);
        let layers = AtomicUsize::new(0);
        let stop = || layers.fetch_add(1, Ordering::Relaxed) == 1;
        let stopped = backend.step(&alone(run(id, 10, &tokens[20..], 0)), &stop);
        assert!(matches!(stopped, Err(Error::Stopped)));
        let rest = append(&mut backend, id, 10, &tokens[10..], 0);
        assert_same("after the stop", &rest, &whole(&decoder, &tokens)[10..]);
    }

    /// The angles of the whole text are used from its first chunk on, as transformers does.
    #[test]
    fn adaptive_angles_of_a_prompt_do_not_depend_on_its_chunks() {
        let decoder = decoder("dynamic");
        let tokens = tokens(100);
        let mut backend = CandleBackend::new(decoder.clone(), 512);
        let id = backend.create().unwrap();
        let mut found = append(&mut backend, id, 0, &tokens[..30], 100);
        found.extend(append(&mut backend, id, 30, &tokens[30..], 100));
        assert_same("dynamic", &found, &whole(&decoder, &tokens));
    }

    /// With one layer, keys and values hang on nothing but their own tokens: growing must equal starting anew, exactly as far
    /// as keys that were turned for the shorter text are turned again.
    #[test]
    fn adaptive_angles_after_growth_equal_starting_anew() {
        let source = Source::open(&golden("dynamic")).unwrap();
        let config = Config { layers: 1, ..source.config.clone() };
        assert!(matches!(config.rope.scaling, Scaling::NtkAdaptive { original: 32, .. }));
        let one = load(&source, &config, &Device::Cpu, true, Arc::new(Fused), &mut unwatched()).unwrap();
        let one = Arc::new(one);
        let tokens = tokens(120);
        let mut backend = CandleBackend::new(one.clone(), 512);
        let id = backend.create().unwrap();
        append(&mut backend, id, 0, &tokens[..20], 20);
        for end in 21..=120 {
            let found = append(&mut backend, id, end - 1, &tokens[end - 1..end], end);
            assert_same(&format!("{end}"), &found, &whole(&one, &tokens[..end])[end - 1..]);
        }
        // And back: a shorter text has the smaller base again.
        backend.truncate(id, 10);
        let found = append(&mut backend, id, 10, &tokens[10..25], 25);
        assert_same("shorter", &found, &whole(&one, &tokens[..25])[10..]);
    }

    #[test]
    fn tokens_beyond_the_vocabulary_and_gaps_are_errors() {
        let mut backend = CandleBackend::new(decoder("plain"), 512);
        let id = backend.create().unwrap();
        let step = |backend: &mut CandleBackend, first: usize, tokens: &[u32]| {
            backend.step(&alone(run(id, first, tokens, 0)), &|| false)
        };
        assert!(matches!(step(&mut backend, 0, &[3, 64]), Err(Error::TokenUnknown { id: 64, vocabulary: 64 })));
        assert!(step(&mut backend, 1, &[3]).is_err());
        assert!(step(&mut backend, 0, &[]).is_err());
        assert!(step(&mut backend, 0, &[3]).is_ok());
    }
}
