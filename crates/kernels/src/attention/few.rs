//! A few queries: position by position, keys and values unpacked in registers.

use super::{ATTENTION_TILE, HEAD_SIZE_MAX, Scores, Tile, Turn, width};
use crate::Format;
use crate::format::BLOCK;
use crate::stored::{Half, Q4, Q8, Stored, Wide};
use crate::vector::lanes::{LANES, Lanes};
use crate::vector::rows::rotate;

/// Bytes of a cache line.
const LINE: usize = 64;
/// How far ahead memory is asked: far enough for its answer, near enough that the first cache still holds it by then.
const AHEAD: usize = 8192;

#[inline(always)]
pub(super) fn scores<L: Lanes>(keys: Tile<'_>, queries: &[f32], out: &mut [Scores]) {
    scores_with::<L>(keys, None, queries, out);
}

/// As `scores`, of keys that are turned from the tile's start on.
#[inline(always)]
pub(super) fn turned_scores<L: Lanes>(keys: Tile<'_>, turn: &Turn<'_>, queries: &[f32], out: &mut [Scores]) {
    scores_with::<L>(keys, Some(turn), queries, out);
}

#[inline(always)]
fn scores_with<L: Lanes>(keys: Tile<'_>, turn: Option<&Turn<'_>>, queries: &[f32], out: &mut [Scores]) {
    match keys.format {
        Format::F16 => scores_of::<L, Half>(keys, turn, queries, out),
        Format::Q8_0 => scores_of::<L, Q8>(keys, turn, queries, out),
        _ => scores_of::<L, Q4>(keys, turn, queries, out),
    }
}

/// The common head sizes as constants, so that a row's work has no loop left.
#[inline(always)]
fn scores_of<L: Lanes, S: Stored<Unit = u8>>(
    keys: Tile<'_>,
    turn: Option<&Turn<'_>>,
    queries: &[f32],
    out: &mut [Scores],
) {
    match keys.head_size {
        64 => scores_in::<L, S>(Tile { head_size: 64, ..keys }, turn, queries, out),
        96 => scores_in::<L, S>(Tile { head_size: 96, ..keys }, turn, queries, out),
        128 => scores_in::<L, S>(Tile { head_size: 128, ..keys }, turn, queries, out),
        _ => scores_in::<L, S>(keys, turn, queries, out),
    }
}

#[inline(always)]
fn scores_in<L: Lanes, S: Stored<Unit = u8>>(
    keys: Tile<'_>,
    turn: Option<&Turn<'_>>,
    queries: &[f32],
    out: &mut [Scores],
) {
    let width = width(keys.head_size);
    let mut done = 0;
    while done < out.len() {
        let (queries, out) = (&queries[done * width..], &mut out[done..]);
        done += match out.len() {
            1 => group::<L, S, 1>(keys, turn, queries, out),
            2..=3 => group::<L, S, 2>(keys, turn, queries, out),
            _ => group::<L, S, 4>(keys, turn, queries, out),
        };
    }
}

/// `Q` queries at a time: a key is unpacked once for them.
#[inline(always)]
fn group<L: Lanes, S: Stored<Unit = u8>, const Q: usize>(
    keys: Tile<'_>,
    turn: Option<&Turn<'_>>,
    queries: &[f32],
    out: &mut [Scores],
) -> usize {
    let (head_size, width) = (keys.head_size, width(keys.head_size));
    let blocks = head_size / BLOCK;
    let rest = !head_size.is_multiple_of(BLOCK);
    let mut ours: [&[[f32; LANES]]; Q] = [&[]; Q];
    for (q, ours) in ours.iter_mut().enumerate() {
        *ours = queries[q * width..][..width].as_chunks().0;
    }
    let out = &mut out[..Q];
    let mut turned = [0.0; HEAD_SIZE_MAX];
    for (j, row) in keys.rows.chunks_exact(keys.row_bytes()).take(keys.count.min(ATTENTION_TILE)).enumerate() {
        fetch_row::<L>(keys.rows, keys.next, keys.row_bytes(), j);
        let mut sums = [L::zero(); Q];
        if let Some(turn) = turn {
            turn_key::<L, S>(row, head_size, turn, j, &mut turned);
            for at in 0..width / BLOCK {
                add_products(&mut sums, &ours, at, Wide::block(&turned[at * BLOCK..]));
            }
            (0..Q).for_each(|q| out[q][j] = sums[q].fold());
            continue;
        }
        for at in 0..blocks {
            add_products(&mut sums, &ours, at, S::block(&row[at * S::LENGTH..]));
        }
        if rest {
            add_products(&mut sums, &ours, blocks, S::rest(&row[blocks * S::LENGTH..]));
        }
        for (q, sum) in sums.into_iter().enumerate() {
            out[q][j] = sum.fold();
        }
    }
    Q
}

/// One key, turned by the angles of its place in the tile, with zeros up to the padded head size.
#[inline(always)]
pub(super) fn turn_key<L: Lanes, S: Stored<Unit = u8>>(
    row: &[u8],
    head_size: usize,
    turn: &Turn<'_>,
    place: usize,
    out: &mut [f32],
) {
    let (out, _) = out[..width(head_size)].as_chunks_mut::<BLOCK>();
    for (out, row) in out.iter_mut().zip(row.chunks(S::LENGTH)) {
        *out = unpack::<L, S>(row);
    }
    let half = turn.half();
    let [cos, sin] = turn.within.map(|angles| &angles[place * half..(place + 1) * half]);
    rotate(&mut out.as_flattened_mut()[..head_size], head_size, cos, sin, turn.pairs);
}

/// A block, or what there is of it.
#[inline(always)]
pub(super) fn unpack<L: Lanes, S: Stored<Unit = u8>>(row: &[u8]) -> [f32; BLOCK] {
    let [first, second] = if row.len() == S::LENGTH { S::block::<L>(row) } else { S::rest(row) };
    let mut values = [0.0; BLOCK];
    let (halves, _) = values.as_chunks_mut::<LANES>();
    first.store(&mut halves[0]);
    second.store(&mut halves[1]);
    values
}

/// Asks for as much as one row is long of what is read [`AHEAD`] bytes later: of these rows or of what comes after them.
/// Memory delivers while the processor reckons; its own foresight ends with each tile and each page of memory.
#[inline(always)]
fn fetch_row<L: Lanes>(rows: &[u8], next: &[u8], row_bytes: usize, row: usize) {
    let start = row * row_bytes + AHEAD;
    let (bytes, start) = if start < rows.len() { (rows, start) } else { (next, start - rows.len()) };
    if let Some(bytes) = bytes.get(start..) {
        bytes.iter().take(row_bytes).step_by(LINE).for_each(L::fetch);
    }
}

/// Block `at` of a key with the same of each query. A function, since a closure would not be compiled for the set.
#[inline(always)]
fn add_products<L: Lanes, const Q: usize>(sums: &mut [L; Q], queries: &[&[[f32; LANES]]; Q], at: usize, key: [L; 2]) {
    for q in 0..Q {
        sums[q] = key[0].fused(L::load(&queries[q][2 * at]), sums[q]);
        sums[q] = key[1].fused(L::load(&queries[q][2 * at + 1]), sums[q]);
    }
}

#[inline(always)]
pub(super) fn values<L: Lanes>(
    values: Tile<'_>,
    weights: &[Scores],
    seen: &[usize],
    factors: &[f32],
    sums: &mut [f32],
) {
    let Tile { rows: units, head_size, next, .. } = values;
    let rows = Rows { units, length: values.row_bytes(), head_size, stored: units, next };
    match values.format {
        Format::F16 => add_all::<L, Half>(rows, weights, seen, factors, sums),
        Format::Q8_0 => add_all::<L, Q8>(rows, weights, seen, factors, sums),
        _ => add_all::<L, Q4>(rows, weights, seen, factors, sums),
    }
}

/// Rows of values.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a, U> {
    pub units: &'a [U],
    /// Units in a row.
    pub length: usize,
    pub head_size: usize,
    /// The rows where they come from memory, and what is read after them; else nothing.
    pub stored: &'a [u8],
    pub next: &'a [u8],
}

/// The part of [`Rows`] that one pass goes over: positions, and the first of its blocks of 32 values.
#[derive(Clone, Copy)]
struct Part {
    from: usize,
    to: usize,
    block: usize,
}

/// As many queries and values at a time as registers hold.
#[inline(always)]
pub(super) fn add_all<L: Lanes, S: Stored>(
    rows: Rows<'_, S::Unit>,
    weights: &[Scores],
    seen: &[usize],
    factors: &[f32],
    sums: &mut [f32],
) {
    let width = width(rows.head_size);
    let mut done = 0;
    while done < seen.len() {
        let (weights, seen, factors) = (&weights[done..], &seen[done..], &factors[done..]);
        let sums = &mut sums[done * width..];
        done += match seen.len() {
            1 if L::WIDE => add_group::<L, S, 1, 4>(rows, weights, seen, factors, sums),
            1 => add_group::<L, S, 1, 2>(rows, weights, seen, factors, sums),
            4.. if L::WIDE => add_group::<L, S, 4, 2>(rows, weights, seen, factors, sums),
            _ if L::WIDE => add_group::<L, S, 2, 4>(rows, weights, seen, factors, sums),
            _ => add_group::<L, S, 2, 1>(rows, weights, seen, factors, sums),
        };
    }
}

/// `Q` queries: the positions that all of them see together, then for each the others that it sees.
#[inline(always)]
fn add_group<L: Lanes, S: Stored, const Q: usize, const W: usize>(
    rows: Rows<'_, S::Unit>,
    weights: &[Scores],
    seen: &[usize],
    factors: &[f32],
    sums: &mut [f32],
) -> usize {
    let width = width(rows.head_size);
    let common = seen[..Q].iter().fold(ATTENTION_TILE, |least, &seen| least.min(seen));
    add_rows::<L, S, Q, W>(rows, 0, common, weights, factors, sums);
    for q in 0..Q {
        if seen[q] > common {
            add_rows::<L, S, 1, 2>(rows, common, seen[q], &weights[q..], &[1.0], &mut sums[q * width..]);
        }
    }
    Q
}

/// All blocks of the rows `from..to`.
#[inline(always)]
fn add_rows<L: Lanes, S: Stored, const Q: usize, const W: usize>(
    rows: Rows<'_, S::Unit>,
    from: usize,
    to: usize,
    weights: &[Scores],
    factors: &[f32],
    sums: &mut [f32],
) {
    let blocks = rows.head_size / BLOCK;
    let mut block = 0;
    while block + W <= blocks {
        add::<L, S, Q, W>(rows, Part { from, to, block }, weights, factors, sums);
        block += W;
    }
    while block * BLOCK < rows.head_size {
        add::<L, S, Q, 1>(rows, Part { from, to, block }, weights, factors, sums);
        block += 1;
    }
}

/// `W` blocks of 32 values, kept in registers for `Q` queries.
#[inline(always)]
fn add<L: Lanes, S: Stored, const Q: usize, const W: usize>(
    rows: Rows<'_, S::Unit>,
    part: Part,
    weights: &[Scores],
    factors: &[f32],
    sums: &mut [f32],
) {
    let width = width(rows.head_size);
    let (weights, factors) = (&weights[..Q], &factors[..Q]);
    let mut ours = [[[L::zero(); 2]; W]; Q];
    for (q, ours) in ours.iter_mut().enumerate() {
        let (sums, _) = sums[q * width + part.block * BLOCK..][..W * BLOCK].as_chunks::<LANES>();
        for (w, ours) in ours.iter_mut().enumerate() {
            let factor = L::all(factors[q]);
            *ours = [L::load(&sums[2 * w]).times(factor), L::load(&sums[2 * w + 1]).times(factor)];
        }
    }
    let whole = (part.block + W) * BLOCK <= rows.head_size;
    for j in part.from..part.to.min(ATTENTION_TILE) {
        if part.block == 0 {
            fetch_row::<L>(rows.stored, rows.next, rows.length, j);
        }
        let row = &rows.units[j * rows.length..][..rows.length];
        let row = &row[part.block * S::LENGTH..];
        let mut values = [[L::zero(); 2]; W];
        if whole {
            let row = &row[..W * S::LENGTH];
            for (w, values) in values.iter_mut().enumerate() {
                *values = S::block(&row[w * S::LENGTH..]);
            }
        } else {
            values[0] = S::rest(row);
        }
        for (ours, weights) in ours.iter_mut().zip(weights) {
            let weight = L::all(weights[j]);
            for (ours, value) in ours.iter_mut().zip(&values) {
                *ours = [value[0].fused(weight, ours[0]), value[1].fused(weight, ours[1])];
            }
        }
    }
    for (q, ours) in ours.iter().enumerate() {
        let (sums, _) = sums[q * width + part.block * BLOCK..][..W * BLOCK].as_chunks_mut::<LANES>();
        for (w, ours) in ours.iter().enumerate() {
            ours[0].store(&mut sums[2 * w]);
            ours[1].store(&mut sums[2 * w + 1]);
        }
    }
}
