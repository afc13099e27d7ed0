//! Keys and values into the cache, and the angles of keys that are turned as they are read.

use huacaya_kernels::{ATTENTION_TILE, Pairs, Turn};

use super::kv::{PAGE, Sequence, parts};
use super::step::Step;
use crate::rope::{Rope, RopeConfig};

/// Up to this many positions, they are written on the spot: waking threads would take longer.
const FEW: usize = 4;
impl Step<'_> {
    /// Writes keys and values, each (positions, kv_heads * head_size), to the positions from `first` on.
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
                kept.chunks_mut(layout.head()).enumerate().for_each(|(number, head)| write(number, head));
            } else {
                self.decoder.pool.chunks(kept, layout.head(), &|number, heads| write(number, heads));
            }
            row += inside.len();
        }
    }
}

/// Angles for texts of one span.
pub(super) struct Angles {
    pub span: usize,
    pub rope: Rope,
    /// Cosines and sines of the positions in a tile of attention; nothing where keys are turned before they are kept.
    within: [Vec<f32>; 2],
    /// Cosines and negative sines of the tiles' starts, of whole pages.
    starts: [Vec<f32>; 2],
}

impl Angles {
    fn new(config: &RopeConfig, span: usize) -> Angles {
        Angles { span, rope: Rope::new(config, span), within: Default::default(), starts: Default::default() }
    }

    /// Those for a span, which are made when it is first asked for.
    pub fn of<'a>(known: &'a mut Vec<Angles>, config: &RopeConfig, span: usize) -> &'a mut Angles {
        let at = known.iter().position(|angles| angles.span == span).unwrap_or_else(|| {
            known.push(Angles::new(config, span));
            known.len() - 1
        });
        &mut known[at]
    }

    /// Gets ready to turn keys of this many positions as they are read.
    pub fn reach(&mut self, positions: usize) {
        let half = self.rope.pairs();
        if self.within[0].is_empty() {
            let (cos, sin) = self.rope.angles(0, ATTENTION_TILE);
            self.within = [cos, sin];
        }
        let tiles = positions.div_ceil(PAGE) * (PAGE / ATTENTION_TILE);
        for tile in self.starts[0].len() / half..tiles {
            let (cos, sin) = self.rope.angles(tile * ATTENTION_TILE, 1);
            self.starts[0].extend(cos);
            self.starts[1].extend(sin.iter().map(|sin| -sin));
        }
    }

    pub fn turn(&self, pairs: Pairs) -> Turn<'_> {
        let [within, starts] = [&self.within, &self.starts].map(|both| both.each_ref().map(Vec::as_slice));
        Turn { pairs, within, starts }
    }
}
