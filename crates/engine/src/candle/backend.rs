//! Inference over candle: the decoder, and the keys and values of every sequence.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::Tensor;

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

    fn forward(&self, runs: &[Run], angles: &[Angles], stop: Stop) -> Result<Logits> {
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
            x = self.decoder.layer(layer, &x, |q, k, v| {
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
        Ok(self.decoder.logits(&self.decoder.final_norm(&rows)?)?.to_vec2::<f32>()?)
    }
}

impl Backend for CandleBackend {
    fn create(&mut self) -> Result<SequenceId> {
        let cache = Cache::new(self.decoder.config(), self.decoder.device())?;
        Ok(self.keep(cache))
    }

    fn step(&mut self, batch: &Batch, stop: Stop) -> Result<Logits> {
        let angles = batch.runs.iter().map(|run| self.prepare(run)).collect::<Result<Vec<_>>>()?;
        let logits = self.forward(&batch.runs, &angles, stop)?;
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
