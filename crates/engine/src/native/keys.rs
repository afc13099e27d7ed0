//! Keys and values into the cache, and kept keys turned again where a longer text changes their angles.

use huacaya_kernels::HEAD_SIZE_MAX;

use super::kv::{Sequence, parts};
use super::step::Step;
use crate::Result;
use crate::rope::Rope;

/// Up to this many positions, they are written on the spot: waking threads would take longer.
const FEW: usize = 4;

impl Step<'_> {
    /// Writes turned keys and values, each (positions, kv_heads * head_size), to the positions from `first` on.
    pub(super) fn store(&self, sequence: &mut Sequence, layer: usize, first: usize, keys: &[f32], values: &[f32]) {
        let (config, layout) = (&self.decoder.config, &self.decoder.layout);
        let (width, size) = (config.kv_width(), config.head_size);
        let mut row = 0;
        for (page, inside) in parts(first, first + keys.len() / width) {
            let Some(kept) = sequence.layer_mut(layout, page, layer) else { continue };
            let write = |number: usize, head: &mut [u8]| {
                let from = if number < layout.heads { keys } else { values };
                let from = &from[row * width + number % layout.heads * size..];
                for (i, at) in inside.clone().enumerate() {
                    self.encode(layout.format, &from[i * width..][..size], &mut head[at * layout.row..][..layout.row]);
                }
            };
            if inside.len() <= FEW {
                kept.keys_values.chunks_mut(layout.head()).enumerate().for_each(|(number, head)| write(number, head));
            } else {
                self.decoder.pool.chunks(kept.keys_values, layout.head(), &|number, heads| write(number, heads));
            }
            row += inside.len();
        }
    }

    /// Writes keys before they are turned, and leaves in `keys` what was kept of them.
    pub(super) fn keep_unturned(&self, sequence: &mut Sequence, layer: usize, first: usize, keys: &mut [f32]) {
        let (config, layout) = (&self.decoder.config, &self.decoder.layout);
        let (width, size) = (config.kv_width(), config.head_size);
        let mut rows = keys.chunks_mut(width);
        for (page, inside) in parts(first, first + rows.len()) {
            let Some(kept) = sequence.layer_mut(layout, page, layer) else { continue };
            for (at, row) in inside.zip(rows.by_ref()) {
                for (head, values) in kept.unturned.chunks_mut(layout.head()).zip(row.chunks_mut(size)) {
                    let bytes = &mut head[at * layout.row..][..layout.row];
                    self.encode(layout.format, values, bytes);
                    self.decode(layout.format, bytes, values);
                }
            }
        }
    }

    /// Turns the kept keys anew where their angles are those of another span. The sequence has pages of its own.
    pub(super) fn turn_for(&self, sequence: &mut Sequence, span: usize) -> Result<()> {
        if span == sequence.span {
            return Ok(());
        }
        let (config, layout) = (&self.decoder.config, &self.decoder.layout);
        // Marked unknown meanwhile: a panic on the way leaves layers of both kinds.
        sequence.span = usize::MAX;
        if layout.unturned && sequence.length > 0 {
            let half = config.rope.rotated / 2;
            let (cos, sin) = Rope::new(&config.rope, span).angles(0, sequence.length);
            let all = (0..layout.layers).flat_map(|layer| parts(0, sequence.length).map(move |part| (layer, part)));
            for (layer, (page, inside)) in all.collect::<Vec<_>>() {
                let first = page * super::kv::PAGE;
                let Some(kept) = sequence.layer_mut(layout, page, layer) else { continue };
                let (keys, _) = kept.keys_values.split_at_mut(kept.unturned.len());
                let unturned = &*kept.unturned;
                self.decoder.pool.chunks(keys, layout.head(), &|number, head| {
                    let from = &unturned[number * layout.head()..][..layout.head()];
                    let mut values = [0.0; HEAD_SIZE_MAX];
                    let values = &mut values[..config.head_size];
                    for at in inside.clone() {
                        let (bytes, angle) = (at * layout.row..(at + 1) * layout.row, (first + at) * half);
                        self.decode(layout.format, &from[bytes.clone()], values);
                        self.rotate(values, &cos[angle..angle + half], &sin[angle..angle + half]);
                        self.encode(layout.format, values, &mut head[bytes]);
                    }
                });
            }
        }
        sequence.span = span;
        self.check()
    }
}
