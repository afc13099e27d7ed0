//! Attention over a KV cache: for each query the softmax of its products with the keys, and the mean of the values by it.
//!
//! One pass over the positions, in tiles that start at multiples of [`ATTENTION_TILE`], with a running maximum, sum and mean
//! (Milakov and Gimelshein, arXiv 1805.02867; Dao et al., arXiv 2205.14135). What a query gets depends on nothing but its own
//! position and the cache: not on the other queries of a call, nor on where prompts were cut. Every instruction set gives
//! the same bits:
//!
//! - the query times the scale is rounded once a value; keys and values are what [`crate::dequantize`] gives;
//! - a score is a sum in sixteen lanes (value `i` in lane `i % 16`, the head padded with zeros to a multiple of 32), fused,
//!   the lanes folded 8 + 8, 4 + 4, 2 + 2, 1 + 1;
//! - a tile: the maximum; e^(score - maximum) by [`crate::vector::exp`]; their sum in sixteen lanes; what was there before is
//!   multiplied with e^(old maximum - new maximum); then position by position a fused step of weight times value;
//! - at the end a division by the sum.
//!
//! A few queries go position by position, keys unpacked in registers (`few`). Many (a prompt) go tile by tile: a tile's keys
//! are unpacked once, lying so that sixteen positions are side by side (`many`).

mod few;
mod many;
mod step;

use std::cell::Cell;
use std::ops::Range;

use crate::stored::is_stored;
use crate::vector::fits;
use crate::{Error, Format, Kernels, Pairs, Strip};

/// Positions that share a maximum. Short enough that a tile of keys and one of values stay in the nearest caches.
pub const ATTENTION_TILE: usize = 64;
/// Values in a head, at most.
pub const HEAD_SIZE_MAX: usize = 256;

/// Up to this many queries (rows times heads) are answered position by position.
const FEW: usize = 8;
/// Where keys are turned: more than those would turn a key more than once.
const FEW_TURNED: usize = 3;
/// More than this many go over the cache again: what is kept for each (its query, its mean, its scores) should stay near.
const MANY: usize = 128;

/// What of a cache one kv head's queries ask for.
#[derive(Clone, Copy, Debug)]
pub struct Queries<'a> {
    /// Rows, of which each starts with (heads, head_size): the heads that share this kv head.
    pub values: &'a [f32],
    /// From one row to the next, in values.
    pub stride: usize,
    /// The position of each row, from 0: it sees those up to its own.
    pub positions: &'a [usize],
    pub heads: usize,
    /// A multiple of 2, at most [`HEAD_SIZE_MAX`].
    pub head_size: usize,
    /// What scores are multiplied with: mostly 1 / sqrt(head_size).
    pub scale: f32,
}

/// Keys and values of one kv head for some positions in a row, each (positions, head_size).
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    pub keys: &'a [u8],
    pub values: &'a [u8],
}

/// The cache of one kv head, as pages.
#[derive(Clone, Copy)]
pub struct Past<'a> {
    /// F16, Q8_0 or Q4_0; the latter two need a head size of whole blocks.
    pub keys: Format,
    pub values: Format,
    /// Positions in a page: a multiple of [`ATTENTION_TILE`].
    pub page_length: usize,
    /// The page of positions `i * page_length ..`, from 0. The last may be shorter than a page, but not than what is asked
    /// for. What stands behind a query's position is never looked at.
    pub page: &'a dyn Fn(usize) -> Page<'a>,
    /// Where keys are kept as they were before rope: how they are turned as they are read.
    pub turn: Option<Turn<'a>>,
}

/// Angles of keys that are kept unturned. A tile's keys are turned from the tile's start on, its queries back by the start:
/// two small tables instead of the angles of every position, which would be more to read than the keys. What
/// [`Kernels::rotate`] does, in f32.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    pub pairs: Pairs,
    /// Cosines and sines of the positions in a tile, each ([`ATTENTION_TILE`], half as many as values turn).
    pub within: [&'a [f32]; 2],
    /// Cosines and negative sines of the tiles' starts, each (tiles, as above).
    pub starts: [&'a [f32]; 2],
}

impl Turn<'_> {
    /// Angles of a position.
    fn half(&self) -> usize {
        self.within[0].len() / ATTENTION_TILE
    }

    /// Those of a tile's start.
    fn start(&self, tile: usize) -> [&[f32]; 2] {
        self.starts.map(|starts| &starts[tile * self.half()..(tile + 1) * self.half()])
    }

    /// What does not fit heads of this size and this many positions, if anything.
    fn check(&self, head_size: usize, positions: usize) -> Result<(), Error> {
        let half = self.half();
        if half == 0 || 2 * half > head_size {
            return Err(Error::Shape { what: "the angles of a tile", length: half, wanted: head_size / 2 });
        }
        fits("the sines of a tile", self.within[1].len(), half * ATTENTION_TILE)?;
        fits("the cosines of a tile", self.within[0].len(), half * ATTENTION_TILE)?;
        for starts in self.starts {
            let wanted = half * positions.div_ceil(ATTENTION_TILE);
            if starts.len() < wanted {
                return Err(Error::Shape { what: "the angles of the tiles' starts", length: starts.len(), wanted });
            }
        }
        Ok(())
    }
}

/// Scores of one query with the positions of a tile; then their weights.
type Scores = [f32; ATTENTION_TILE];

/// A tile's keys or values.
#[derive(Clone, Copy)]
struct Tile<'a> {
    format: Format,
    /// `count` rows and maybe more.
    rows: &'a [u8],
    count: usize,
    head_size: usize,
    /// What is read after it, to be asked for early; may be nothing.
    next: &'a [u8],
}

impl Tile<'_> {
    /// Bytes of one row.
    #[inline(always)]
    fn row_bytes(&self) -> usize {
        self.head_size / self.format.block_length() * self.format.block_bytes()
    }
}

/// What is known of a query's softmax so far.
#[derive(Clone, Copy)]
struct Running {
    greatest: f32,
    sum: f32,
}

/// The parts of one instruction set. Rows of f32 are the head size padded to a multiple of 32 ([`width`]).
#[derive(Clone, Copy)]
pub(crate) struct Table {
    // SAFETY of each call: the processor has the set.
    /// Scores of each query (`out.len()` of them) with the tile's keys.
    few_scores: unsafe fn(keys: Tile<'_>, queries: &[f32], out: &mut [Scores]),
    /// `sums[i] = sums[i] * factors[i] + weights[i] . values`, over the first `seen[i]` positions of the tile.
    #[allow(clippy::type_complexity)] // its names say more than a type's would
    few_values: unsafe fn(values: Tile<'_>, weights: &[Scores], seen: &[usize], factors: &[f32], sums: &mut [f32]),
    /// The tile's keys, a row for each value of the head.
    unpack_keys: unsafe fn(keys: Tile<'_>, out: &mut [Scores]),
    unpack_values: unsafe fn(values: Tile<'_>, out: &mut [f32]),
    // SAFETY: as above.
    /// `few_scores` and `unpack_keys` of keys that are turned from the tile's start on.
    turned_scores: unsafe fn(keys: Tile<'_>, turn: &Turn<'_>, queries: &[f32], out: &mut [Scores]),
    turn_keys: unsafe fn(keys: Tile<'_>, turn: &Turn<'_>, out: &mut [Scores]),
    // SAFETY: as above.
    /// The two again, for what was unpacked.
    many_scores: unsafe fn(keys: &[Scores], queries: &[f32], out: &mut [Scores]),
    #[allow(clippy::type_complexity)]
    many_values: unsafe fn(values: &[f32], weights: &[Scores], seen: &[usize], factors: &[f32], sums: &mut [f32]),
    /// The scores of the first `seen` positions into weights, 0 behind them; returns the factor of what was before.
    step: unsafe fn(scores: &mut Scores, seen: usize, running: &mut Running) -> f32,
}

/// The same source for one set: functions that may use `$features`, and their table.
macro_rules! table {
    ($name:ident, $module:ident, $lanes:ty, $(#[$feature:meta])?) => {
        mod $module {
            use super::{Running, Scores, Table, Tile, Turn, few, many, step as steps};

            $(#[$feature])?
            fn few_scores(keys: Tile<'_>, queries: &[f32], out: &mut [Scores]) {
                few::scores::<$lanes>(keys, queries, out);
            }
            $(#[$feature])?
            fn few_values(values: Tile<'_>, weights: &[Scores], seen: &[usize], factors: &[f32], sums: &mut [f32]) {
                few::values::<$lanes>(values, weights, seen, factors, sums);
            }
            $(#[$feature])?
            fn unpack_keys(keys: Tile<'_>, out: &mut [Scores]) {
                many::unpack_keys::<$lanes>(keys, out);
            }
            $(#[$feature])?
            fn unpack_values(values: Tile<'_>, out: &mut [f32]) {
                many::unpack_values::<$lanes>(values, out);
            }
            $(#[$feature])?
            fn turned_scores(keys: Tile<'_>, turn: &Turn<'_>, queries: &[f32], out: &mut [Scores]) {
                few::turned_scores::<$lanes>(keys, turn, queries, out);
            }
            $(#[$feature])?
            fn turn_keys(keys: Tile<'_>, turn: &Turn<'_>, out: &mut [Scores]) {
                many::turn_keys::<$lanes>(keys, turn, out);
            }
            $(#[$feature])?
            fn many_scores(keys: &[Scores], queries: &[f32], out: &mut [Scores]) {
                many::scores::<$lanes>(keys, queries, out);
            }
            $(#[$feature])?
            fn many_values(values: &[f32], weights: &[Scores], seen: &[usize], factors: &[f32], sums: &mut [f32]) {
                many::values::<$lanes>(values, weights, seen, factors, sums);
            }
            $(#[$feature])?
            fn step(scores: &mut Scores, seen: usize, running: &mut Running) -> f32 {
                steps::step::<$lanes>(scores, seen, running)
            }
            pub(crate) const TABLE: Table = Table {
                few_scores,
                few_values,
                unpack_keys,
                unpack_values,
                turned_scores,
                turn_keys,
                many_scores,
                many_values,
                step,
            };
        }
        pub(crate) const $name: Table = $module::TABLE;
    };
}

table!(PORTABLE, portable, crate::vector::lanes::Plain,);
#[cfg(target_arch = "x86_64")]
table!(AVX2, avx2, crate::vector::x86::Avx2, #[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2")]);
#[cfg(target_arch = "x86_64")]
table!(
    AVX512, avx512, crate::vector::x86::Avx512,
    #[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,avx512f,avx512bw,avx512vl,avx512dq")]
);

/// Values in a row of f32 that holds one head.
fn width(head_size: usize) -> usize {
    head_size.next_multiple_of(32)
}

/// Calls a function of a table.
macro_rules! call {
    ($function:expr, $($argument:expr),*) => {{
        // SAFETY: the table is that of a set which this processor has: `Kernels::of` hands out no other.
        #[allow(unsafe_code)]
        unsafe { $function($($argument),*) }
    }};
}

/// What is kept for up to `N` queries of a call while it goes over the cache.
struct Space<const N: usize> {
    /// Queries times the scale, and means so far: rows of [`width`] values, one behind the other.
    queries: [[f32; HEAD_SIZE_MAX]; N],
    /// The queries turned back by a tile's start, where keys are turned from there on.
    back: [[f32; HEAD_SIZE_MAX]; N],
    sums: [[f32; HEAD_SIZE_MAX]; N],
    scores: [Scores; N],
    running: [Running; N],
    /// Positions of the tile that the query sees.
    seen: [usize; N],
    factors: [f32; N],
}

impl<const N: usize> Space<N> {
    fn new() -> Space<N> {
        Space {
            queries: [[0.0; HEAD_SIZE_MAX]; N],
            back: [[0.0; HEAD_SIZE_MAX]; N],
            sums: [[0.0; HEAD_SIZE_MAX]; N],
            scores: [[0.0; ATTENTION_TILE]; N],
            running: [Running { greatest: f32::NEG_INFINITY, sum: 0.0 }; N],
            seen: [0; N],
            factors: [1.0; N],
        }
    }
}

/// A tile unpacked: keys (head_size, positions), values (positions, head_size).
struct Unpacked {
    keys: [Scores; HEAD_SIZE_MAX],
    values: [[f32; HEAD_SIZE_MAX]; ATTENTION_TILE],
}

/// What a thread keeps for its long calls.
struct Long {
    space: Space<MANY>,
    unpacked: Unpacked,
}

impl Default for Long {
    fn default() -> Long {
        let keys = [[0.0; ATTENTION_TILE]; HEAD_SIZE_MAX];
        Long { space: Space::new(), unpacked: Unpacked { keys, values: [[0.0; HEAD_SIZE_MAX]; ATTENTION_TILE] } }
    }
}

thread_local! {
    /// Taken out while in use.
    static LONG: Cell<Option<Box<Long>>> = const { Cell::new(None) };
}

impl Kernels {
    /// Attention of the heads that share one kv head. `out`: a row for each row of `queries`, (heads, head_size).
    ///
    /// NaN where a query, or what it sees of the cache, is not finite. Allocates once in a thread, for its first long call.
    ///
    /// # Errors
    /// Where sizes do not fit each other, or a page holds fewer positions than are seen of it.
    pub fn attend(&self, queries: &Queries<'_>, past: &Past<'_>, out: &mut Strip<'_>) -> Result<(), Error> {
        check(queries, past, out)?;
        let pairs = queries.positions.len() * queries.heads;
        let few = if past.turn.is_some() { FEW_TURNED } else { FEW };
        match pairs {
            0 => Ok(()),
            1 => self.attend_part(queries, past, 0..1, &mut Space::<1>::new(), None, out),
            _ if pairs <= few => self.attend_part(queries, past, 0..pairs, &mut Space::<FEW>::new(), None, out),
            _ => {
                let mut long = LONG.take().unwrap_or_default();
                let Long { space, unpacked } = &mut *long;
                let answered = (0..pairs).step_by(MANY).try_for_each(|first| {
                    let part = first..pairs.min(first + MANY);
                    let unpacked = (part.len() > few).then_some(&mut *unpacked);
                    self.attend_part(queries, past, part, space, unpacked, out)
                });
                LONG.set(Some(long));
                answered
            }
        }
    }

    /// Attention of some (row, head) of the call, at most `N`. With `unpacked`, tiles are unpacked there.
    fn attend_part<const N: usize>(
        &self,
        queries: &Queries<'_>,
        past: &Past<'_>,
        pairs: Range<usize>,
        space: &mut Space<N>,
        mut unpacked: Option<&mut Unpacked>,
        out: &mut Strip<'_>,
    ) -> Result<(), Error> {
        let (head_size, width, count) = (queries.head_size, width(queries.head_size), pairs.len());
        let place = |pair: usize| (pair / queries.heads, pair % queries.heads * head_size);
        let ours = &mut space.queries.as_flattened_mut()[..count * width];
        for (pair, ours) in pairs.clone().zip(ours.chunks_exact_mut(width)) {
            let (row, start) = place(pair);
            let given = &queries.values[row * queries.stride + start..][..head_size];
            ours[head_size..].fill(0.0);
            ours.iter_mut().zip(given).for_each(|(ours, given)| *ours = given * queries.scale);
        }
        let sums = &mut space.sums.as_flattened_mut()[..count * width];
        sums.fill(0.0);
        space.running[..count].fill(Running { greatest: f32::NEG_INFINITY, sum: 0.0 });

        let position = |pair: usize| queries.positions[pair / queries.heads];
        let end = pairs.clone().map(position).max().map_or(0, |last| last + 1);
        let (mut keys, mut values) = tile(queries, past, 0, end)?;
        for start in (0..end).step_by(ATTENTION_TILE) {
            let next = start + ATTENTION_TILE;
            let (next_keys, next_values) = if next < end { tile(queries, past, next, end)? } else { (keys, values) };
            (keys.next, values.next) = (values.rows, next_keys.rows);
            for (seen, pair) in space.seen.iter_mut().zip(pairs.clone()) {
                *seen = (position(pair) + 1).saturating_sub(start).min(ATTENTION_TILE);
            }
            let (seen, factors) = (&space.seen[..count], &mut space.factors[..count]);
            let (ours, scores) = (&space.queries.as_flattened()[..count * width], &mut space.scores[..count]);
            let ours = match &past.turn {
                None => ours,
                Some(turn) => {
                    let back = &mut space.back.as_flattened_mut()[..count * width];
                    back.copy_from_slice(ours);
                    let [cos, sin] = turn.start(start / ATTENTION_TILE);
                    for query in back.chunks_exact_mut(width) {
                        self.rotate(&mut query[..head_size], head_size, cos, sin, turn.pairs)?;
                    }
                    back
                }
            };
            match (&mut unpacked, &past.turn) {
                (None, None) => call!(self.attention.few_scores, keys, ours, scores),
                (None, Some(turn)) => call!(self.attention.turned_scores, keys, turn, ours, scores),
                (Some(unpacked), turn) => {
                    let columns = &mut unpacked.keys[..width];
                    match turn {
                        None => call!(self.attention.unpack_keys, keys, columns),
                        Some(turn) => call!(self.attention.turn_keys, keys, turn, columns),
                    }
                    call!(self.attention.many_scores, columns, ours, scores);
                }
            }
            for (i, (scores, running)) in scores.iter_mut().zip(&mut space.running).enumerate() {
                factors[i] = call!(self.attention.step, scores, seen[i], running);
            }
            if let Some(unpacked) = &mut unpacked {
                let unpacked = &mut unpacked.values.as_flattened_mut()[..values.count * width];
                call!(self.attention.unpack_values, values, unpacked);
                call!(self.attention.many_values, unpacked, scores, seen, factors, sums);
            } else {
                call!(self.attention.few_values, values, scores, seen, factors, sums);
            }
            (keys, values) = (next_keys, next_values);
        }
        for ((pair, sums), running) in pairs.zip(sums.chunks_exact(width)).zip(&space.running) {
            let (row, start) = place(pair);
            let out = &mut out.row(row)[start..start + head_size];
            out.iter_mut().zip(sums).for_each(|(out, value)| *out = value / running.sum);
        }
        Ok(())
    }
}

/// Keys and values of the tile at `start`, of which positions before `end` are seen.
fn tile<'a>(queries: &Queries<'_>, past: &Past<'a>, start: usize, end: usize) -> Result<(Tile<'a>, Tile<'a>), Error> {
    let page = (past.page)(start / past.page_length);
    let (first, count) = (start % past.page_length, (end - start).min(ATTENTION_TILE));
    let part = |format: Format, bytes: &'a [u8]| {
        let whole = Tile { format, rows: bytes, count, head_size: queries.head_size, next: &[] };
        let row = whole.row_bytes();
        let rows = bytes.get(first * row..(first + count) * row).ok_or(Error::Shape {
            what: "the bytes of a page",
            length: bytes.len(),
            wanted: (first + count) * row,
        })?;
        Ok(Tile { rows, ..whole })
    };
    Ok((part(past.keys, page.keys)?, part(past.values, page.values)?))
}

/// What does not fit, if anything.
fn check(queries: &Queries<'_>, past: &Past<'_>, out: &Strip<'_>) -> Result<(), Error> {
    let Queries { heads, head_size, stride, .. } = *queries;
    let rows = queries.positions.len();
    if head_size == 0 || head_size > HEAD_SIZE_MAX || !head_size.is_multiple_of(2) {
        return Err(Error::Shape { what: "an attention head", length: head_size, wanted: HEAD_SIZE_MAX });
    }
    for format in [past.keys, past.values] {
        if !is_stored(format) || !head_size.is_multiple_of(format.block_length()) {
            return Err(Error::Length { format, bytes: 0, values: head_size });
        }
    }
    let whole = past.page_length.next_multiple_of(ATTENTION_TILE);
    if past.page_length == 0 || past.page_length != whole {
        return Err(Error::Shape {
            what: "a page of the cache",
            length: past.page_length,
            wanted: whole.max(ATTENTION_TILE),
        });
    }
    fits("the rows of attention's output", out.rows(), rows)?;
    fits("the columns of attention's output", out.width(), heads * head_size)?;
    let wanted = rows.saturating_sub(1) * stride + heads * head_size;
    if rows > 0 && queries.values.len() < wanted {
        return Err(Error::Shape { what: "attention's queries", length: queries.values.len(), wanted });
    }
    if let Some(turn) = &past.turn {
        turn.check(head_size, queries.positions.iter().max().map_or(0, |last| last + 1))?;
    }
    Ok(())
}
