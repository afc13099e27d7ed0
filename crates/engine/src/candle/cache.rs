//! Keys and values of one sequence, grown in steps.

use candle_core::{DType, Device, Tensor};

use crate::Result;
use crate::config::Config;
use crate::rope::Pairs;

use super::ops::Ops;

/// Positions that a cache grows by: a copy of the whole every so often, and little room that is never used.
pub(super) const GROWTH: usize = 256;

/// One sequence in all layers.
pub(super) struct Cache {
    layers: Vec<LayerCache>,
    pub length: usize,
    capacity: usize,
    /// The span that the kept keys were turned for.
    span: usize,
}

/// Each tensor: (1, kv_heads, capacity, head_size).
struct LayerCache {
    keys: Tensor,
    values: Tensor,
    /// Keys before they were turned, where a longer text changes the angles.
    unturned: Option<Tensor>,
}

/// Cosines and sines, each (length, rotated / 2).
pub(super) struct Angles {
    pub cos: Tensor,
    pub sin: Tensor,
}

impl Cache {
    pub fn new(config: &Config, device: &Device) -> Result<Cache> {
        let empty = || zeros(config, 0, device);
        let layer = || -> Result<LayerCache> {
            let unturned = if config.angles_depend_on_length() { Some(empty()?) } else { None };
            Ok(LayerCache { keys: empty()?, values: empty()?, unturned })
        };
        let layers = (0..config.layers).map(|_| layer()).collect::<Result<_>>()?;
        Ok(Cache { layers, length: 0, capacity: 0, span: 0 })
    }

    /// The first `length` positions again, in memory of their own.
    pub fn fork(&self, config: &Config, device: &Device, length: usize) -> Result<Cache> {
        let length = length.min(self.length);
        let capacity = length.next_multiple_of(GROWTH);
        let copy = |from: &Tensor| grown(config, from, length, capacity, device);
        let layer = |layer: &LayerCache| -> Result<LayerCache> {
            let unturned = layer.unturned.as_ref().map(copy).transpose()?;
            Ok(LayerCache { keys: copy(&layer.keys)?, values: copy(&layer.values)?, unturned })
        };
        let layers = self.layers.iter().map(layer).collect::<Result<_>>()?;
        Ok(Cache { layers, length, capacity, span: self.span })
    }

    /// Makes room for `length` positions, at most `limit` in all.
    pub fn reserve(&mut self, config: &Config, device: &Device, length: usize, limit: usize) -> Result<()> {
        if length <= self.capacity {
            return Ok(());
        }
        let capacity = length.next_multiple_of(GROWTH).min(limit.max(length));
        for layer in &mut self.layers {
            layer.keys = grown(config, &layer.keys, self.length, capacity, device)?;
            layer.values = grown(config, &layer.values, self.length, capacity, device)?;
            if let Some(unturned) = &layer.unturned {
                layer.unturned = Some(grown(config, unturned, self.length, capacity, device)?);
            }
        }
        self.capacity = capacity;
        Ok(())
    }

    /// Turns the kept keys anew where their angles are those of another span.
    pub fn turn_for(
        &mut self,
        span: usize,
        ops: &dyn Ops,
        pairs: Pairs,
        angles: impl Fn(usize) -> Result<Angles>,
    ) -> Result<()> {
        if span == self.span {
            return Ok(());
        }
        // Marked unknown meanwhile: an error on the way leaves layers of both kinds.
        self.span = usize::MAX;
        if self.length > 0 {
            let angles = angles(self.length)?;
            for layer in &self.layers {
                let Some(unturned) = &layer.unturned else { continue };
                let kept = unturned.narrow(2, 0, self.length)?.contiguous()?;
                layer.keys.slice_set(&ops.rotate(&kept, &angles.cos, &angles.sin, pairs)?.contiguous()?, 2, 0)?;
            }
        }
        self.span = span;
        Ok(())
    }

    /// Writes one layer's new positions behind `length` and answers all keys and values up to them.
    /// Each of the arguments: (1, kv_heads, new, head_size)
    pub fn append(&self, layer: usize, unturned: &Tensor, keys: &Tensor, values: &Tensor) -> Result<(Tensor, Tensor)> {
        let layer = &self.layers[layer];
        let total = self.length + keys.dim(2)?;
        layer.keys.slice_set(&keys.contiguous()?, 2, self.length)?;
        layer.values.slice_set(&values.contiguous()?, 2, self.length)?;
        if let Some(kept) = &layer.unturned {
            kept.slice_set(&unturned.contiguous()?, 2, self.length)?;
        }
        Ok((layer.keys.narrow(2, 0, total)?, layer.values.narrow(2, 0, total)?))
    }
}

fn zeros(config: &Config, capacity: usize, device: &Device) -> Result<Tensor> {
    Ok(Tensor::zeros((1, config.kv_heads, capacity, config.head_size), DType::F32, device)?)
}

/// A larger tensor with the first `length` positions of `from`.
fn grown(config: &Config, from: &Tensor, length: usize, capacity: usize, device: &Device) -> Result<Tensor> {
    let larger = zeros(config, capacity, device)?;
    if length > 0 {
        larger.slice_set(&from.narrow(2, 0, length)?.contiguous()?, 2, 0)?;
    }
    Ok(larger)
}
