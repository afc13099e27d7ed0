//! Many queries: a tile is unpacked once for all of them. The same steps as in `few`, sixteen positions side by side.

use super::few::{Rows, add_all, turn_key, unpack};
use super::{ATTENTION_TILE, HEAD_SIZE_MAX, Scores, Tile, Turn, width};
use crate::Format;
use crate::format::BLOCK;
use crate::stored::{Half, Q4, Q8, Stored, Wide};
use crate::vector::lanes::{LANES, Lanes};

#[inline(always)]
pub(super) fn unpack_keys<L: Lanes>(keys: Tile<'_>, out: &mut [Scores]) {
    unpack_keys_with::<L>(keys, None, out);
}

/// As `unpack_keys`, turned from the tile's start on.
#[inline(always)]
pub(super) fn turn_keys<L: Lanes>(keys: Tile<'_>, turn: &Turn<'_>, out: &mut [Scores]) {
    unpack_keys_with::<L>(keys, Some(turn), out);
}

#[inline(always)]
fn unpack_keys_with<L: Lanes>(keys: Tile<'_>, turn: Option<&Turn<'_>>, out: &mut [Scores]) {
    match keys.format {
        Format::F16 => unpack_keys_of::<L, Half>(keys, turn, out),
        Format::Q8_0 => unpack_keys_of::<L, Q8>(keys, turn, out),
        _ => unpack_keys_of::<L, Q4>(keys, turn, out),
    }
}

/// Position `j` goes to column `j`.
#[inline(always)]
fn unpack_keys_of<L: Lanes, S: Stored<Unit = u8>>(keys: Tile<'_>, turn: Option<&Turn<'_>>, out: &mut [Scores]) {
    let mut turned = [0.0; HEAD_SIZE_MAX];
    for (j, row) in keys.rows.chunks_exact(keys.row_bytes()).take(keys.count.min(ATTENTION_TILE)).enumerate() {
        if let Some(turn) = turn {
            turn_key::<L, S>(row, keys.head_size, turn, j, &mut turned);
            out.iter_mut().zip(turned).for_each(|(out, value)| out[j] = value);
            continue;
        }
        let (out, _) = out.as_chunks_mut::<BLOCK>();
        for (out, row) in out.iter_mut().zip(row.chunks(S::LENGTH)) {
            let values = unpack::<L, S>(row);
            out.iter_mut().zip(values).for_each(|(out, value)| out[j] = value);
        }
    }
}

#[inline(always)]
pub(super) fn unpack_values<L: Lanes>(values: Tile<'_>, out: &mut [f32]) {
    match values.format {
        Format::F16 => unpack_values_of::<L, Half>(values, out),
        Format::Q8_0 => unpack_values_of::<L, Q8>(values, out),
        _ => unpack_values_of::<L, Q4>(values, out),
    }
}

#[inline(always)]
fn unpack_values_of<L: Lanes, S: Stored<Unit = u8>>(values: Tile<'_>, out: &mut [f32]) {
    let rows = values.rows.chunks_exact(values.row_bytes());
    for (row, out) in rows.zip(out.chunks_exact_mut(width(values.head_size))) {
        let (out, _) = out.as_chunks_mut::<BLOCK>();
        for (out, row) in out.iter_mut().zip(row.chunks(S::LENGTH)) {
            *out = unpack::<L, S>(row);
        }
    }
}

/// `values`: rows of the padded head size.
#[inline(always)]
pub(super) fn values<L: Lanes>(values: &[f32], weights: &[Scores], seen: &[usize], factors: &[f32], sums: &mut [f32]) {
    let width = sums.len() / seen.len().max(1);
    let rows = Rows { units: values, length: width, head_size: width, stored: &[], next: &[] };
    add_all::<L, Wide>(rows, weights, seen, factors, sums);
}

/// `keys`: a row of positions for each value of the padded head.
#[inline(always)]
pub(super) fn scores<L: Lanes>(keys: &[Scores], queries: &[f32], out: &mut [Scores]) {
    let width = keys.len();
    let mut done = 0;
    while done < out.len() {
        let (queries, out) = (&queries[done * width..], &mut out[done..]);
        done += match out.len() {
            4.. if L::WIDE => group::<L, 4, 4>(keys, queries, out),
            4.. => group::<L, 4, 1>(keys, queries, out),
            _ => group::<L, 1, 4>(keys, queries, out),
        };
    }
}

/// `Q` queries with the tile, `16 P` positions at a time.
#[inline(always)]
fn group<L: Lanes, const Q: usize, const P: usize>(keys: &[Scores], queries: &[f32], out: &mut [Scores]) -> usize {
    for at in (0..ATTENTION_TILE / LANES).step_by(P) {
        products::<L, Q, P>(keys, at, queries, &mut out[..Q]);
    }
    Q
}

/// One lane of `few` after the other, each a chain over the head; added up as a fold adds lanes up.
#[inline(always)]
fn products<L: Lanes, const Q: usize, const P: usize>(keys: &[Scores], at: usize, queries: &[f32], out: &mut [Scores]) {
    let mut sums = [[[L::zero(); P]; Q]; LANES / 2];
    for (lane, sum) in sums.iter_mut().enumerate() {
        let low = chain::<L, Q, P>(keys, at, queries, lane);
        let high = chain::<L, Q, P>(keys, at, queries, lane + LANES / 2);
        *sum = plus(low, high);
    }
    for half in [4, 2, 1] {
        for lane in 0..half {
            sums[lane] = plus(sums[lane], sums[lane + half]);
        }
    }
    for (out, sums) in out.iter_mut().zip(&sums[0]) {
        let (out, _) = out.as_chunks_mut::<LANES>();
        out[at..at + P].iter_mut().zip(sums).for_each(|(out, sum)| sum.store(out));
    }
}

#[inline(always)]
fn plus<L: Lanes, const Q: usize, const P: usize>(a: [[L; P]; Q], b: [[L; P]; Q]) -> [[L; P]; Q] {
    let mut out = a;
    for q in 0..Q {
        for p in 0..P {
            out[q][p] = a[q][p].plus(b[q][p]);
        }
    }
    out
}

/// The products of every sixteenth value from `lane` on.
#[inline(always)]
fn chain<L: Lanes, const Q: usize, const P: usize>(
    keys: &[Scores],
    at: usize,
    queries: &[f32],
    lane: usize,
) -> [[L; P]; Q] {
    let (width, queries) = (keys.len(), &queries[..Q * keys.len()]);
    let mut sums = [[L::zero(); P]; Q];
    for value in (lane..width).step_by(LANES) {
        let (row, _) = keys[value].as_chunks::<LANES>();
        let row = &row[at..at + P];
        for q in 0..Q {
            let ours = L::all(queries[q * width + value]);
            for p in 0..P {
                sums[q][p] = L::load(&row[p]).fused(ours, sums[q][p]);
            }
        }
    }
    sums
}
