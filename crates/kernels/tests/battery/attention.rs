//! Attention over a KV cache.

use huacaya_kernels::{ATTENTION_TILE, Format, Kernels, Page, Pairs, Past, Queries, Strip, Turn};

use crate::guarded::{Guarded, Place};
use crate::material::{self, Random, STRANGE_VALUES};
use crate::{others, portable, same};

/// A cache of one kv head and rows that ask it.
struct Case {
    formats: [Format; 2],
    head_size: usize,
    heads: usize,
    positions: Vec<usize>,
    page_length: usize,
    /// Bytes of each page: keys, values.
    pages: Vec<[Vec<u8>; 2]>,
    queries: Vec<f32>,
    stride: usize,
    /// Where keys are turned as they are read: cosines and sines within a tile and of the starts.
    turn: Option<(Pairs, [Vec<f32>; 4])>,
}

impl Case {
    /// Moderate keys, values and queries. Pages hold what is seen and not one position more.
    fn new(
        formats: [Format; 2],
        head_size: usize,
        heads: usize,
        positions: &[usize],
        page_length: usize,
        random: &mut Random,
    ) -> Case {
        let seen = positions.iter().max().map_or(0, |last| last + 1);
        let mut page = |first: usize| {
            let positions = page_length.min(seen - first);
            formats.map(|format| material::blocks(format, positions * head_size / format.block_length(), random))
        };
        let pages = (0..seen).step_by(page_length).map(&mut page).collect();
        let stride = heads * head_size + 3;
        let queries = (0..positions.len() * stride).map(|_| random.unit() * 4.0).collect();
        Case {
            formats,
            head_size,
            heads,
            positions: positions.to_vec(),
            page_length,
            pages,
            queries,
            stride,
            turn: None,
        }
    }

    /// The same with `half` angles of each position; any numbers will do.
    fn turned(mut self, pairs: Pairs, half: usize, random: &mut Random) -> Case {
        let tiles = self.positions.iter().max().map_or(0, |last| last / ATTENTION_TILE + 1);
        let angles = [ATTENTION_TILE, ATTENTION_TILE, tiles, tiles];
        self.turn = Some((pairs, angles.map(|count| (0..count * half).map(|_| random.unit()).collect())));
        self
    }

    /// Strange numbers in queries and cache.
    fn spoil(&mut self, random: &mut Random) {
        for [keys, values] in &mut self.pages {
            for (format, bytes) in self.formats.into_iter().zip([keys, values]) {
                for block in bytes.chunks_exact_mut(format.block_bytes()) {
                    if random.below(150) == 0 {
                        material::strange(format, block, random);
                    }
                }
            }
        }
        for query in &mut self.queries {
            if random.below(100) == 0 {
                *query = random.pick(&STRANGE_VALUES);
            }
        }
    }

    /// All rows at once.
    fn all(&self, kernels: &Kernels) -> Vec<f32> {
        self.some(kernels, 0, self.positions.len())
    }

    /// The rows `first..end`, everything in guarded memory.
    fn some(&self, kernels: &Kernels, first: usize, end: usize) -> Vec<f32> {
        let pages: Vec<_> =
            self.pages.iter().map(|page| page.each_ref().map(|bytes| Guarded::copy(bytes, Place::End))).collect();
        let width = self.heads * self.head_size;
        let ours = &self.queries[first * self.stride..(end - 1) * self.stride + width];
        let queries = Guarded::copy(ours, Place::End);
        let queries = Queries {
            values: queries.values(),
            stride: self.stride,
            positions: &self.positions[first..end],
            heads: self.heads,
            head_size: self.head_size,
            scale: 1.0 / (self.head_size as f32).sqrt(),
        };
        let page = |i: usize| Page { keys: pages[i][0].values(), values: pages[i][1].values() };
        let [keys, values] = self.formats;
        let angles = self.turn.as_ref().map(|(_, angles)| angles.each_ref().map(|a| Guarded::copy(a, Place::End)));
        let turn = self.turn.as_ref().zip(angles.as_ref()).map(|((pairs, _), angles)| {
            let [cos, sin, start_cos, start_sin] = angles.each_ref().map(Guarded::values);
            Turn { pairs: *pairs, within: [cos, sin], starts: [start_cos, start_sin] }
        });
        let past = Past { keys, values, page_length: self.page_length, page: &page, turn };
        let mut out = Guarded::copy(&vec![7.5f32; (end - first) * width], Place::End);
        kernels.attend(&queries, &past, &mut Strip::whole(out.values_mut(), width)).unwrap();
        out.values().to_vec()
    }

    #[track_caller]
    fn assert_same(&self, kernels: &Kernels, found: &[f32], wanted: &[f32]) {
        assert_eq!(found.len(), wanted.len());
        for (i, (&found, &wanted)) in found.iter().zip(wanted).enumerate() {
            let Case { formats, head_size, heads, positions, page_length, .. } = self;
            assert!(
                same(found, wanted),
                "{} {formats:?} {heads} x {head_size}, pages of {page_length}, {positions:?}, at {i}: {found} {wanted}",
                kernels.set()
            );
        }
    }
}

const HALVES: [Format; 2] = [Format::F16; 2];
const FORMATS: [[Format; 2]; 5] =
    [HALVES, [Format::Q8_0; 2], [Format::Q4_0; 2], [Format::Q8_0, Format::Q4_0], [Format::F16, Format::Q8_0]];

/// (heads, positions of the rows): one, few and many; at the edges of tiles and pages, in any order.
fn shapes() -> Vec<(usize, Vec<usize>)> {
    vec![
        (1, vec![0]),
        (1, vec![ATTENTION_TILE - 1]),
        (1, vec![ATTENTION_TILE]),
        (1, vec![300]),
        (2, vec![200]),
        (3, vec![65]),
        (7, vec![130]),
        (1, (60..67).collect()),
        (4, vec![5, 3]),
        (12, vec![140]),
        (1, (0..140).collect()),
        (3, (100..150).rev().collect()),
        (1, vec![1, 200, 3, 64, 63, 127, 128, 199, 0, 70, 255]),
    ]
}

#[test]
fn attention_has_the_same_bits_everywhere() {
    let mut random = Random(5);
    let mut cases = Vec::new();
    for formats in FORMATS {
        for (heads, positions) in shapes() {
            cases.push(Case::new(formats, 64, heads, &positions, 128, &mut random));
            let case = Case::new(formats, 64, heads, &positions, 128, &mut random);
            cases.push(case.turned(Pairs::Adjacent, 32, &mut random));
        }
        for head_size in [32, 96, 128, 160, 256] {
            cases.push(Case::new(formats, head_size, 3, &[70, 71], 64, &mut random));
            cases.push(Case::new(formats, head_size, 3, &[70, 71, 2, 128], 256, &mut random));
            let case = Case::new(formats, head_size, 3, &[70, 71, 2, 128], 256, &mut random);
            cases.push(case.turned(Pairs::Halves, head_size / 4, &mut random));
        }
    }
    for head_size in [2, 14, 16, 18, 30, 34, 48, 70, 80, 100, 254] {
        for positions in [&[90][..], &[66, 67, 0], &(50..70).collect::<Vec<_>>()] {
            cases.push(Case::new(HALVES, head_size, 2, positions, 64, &mut random));
            let case = Case::new(HALVES, head_size, 2, positions, 64, &mut random);
            cases.push(case.turned(Pairs::Halves, head_size / 2, &mut random));
        }
    }
    for mut case in cases {
        for spoiled in [false, true] {
            if spoiled {
                case.spoil(&mut random);
            }
            let wanted = case.all(portable());
            others().for_each(|kernels| case.assert_same(kernels, &case.all(kernels), &wanted));
        }
    }
}

#[test]
fn a_row_of_attention_has_the_same_bits_however_many_share_the_call() {
    let mut random = Random(6);
    for (formats, head_size) in [(HALVES, 64), (HALVES, 50), ([Format::Q8_0; 2], 96), ([Format::Q4_0; 2], 128)] {
        for (heads, mut positions) in shapes() {
            positions.extend(150..170);
            let mut case = Case::new(formats, head_size, heads, &positions, 64, &mut random);
            if head_size != 64 {
                case.spoil(&mut random);
            }
            if heads == 1 || head_size == 128 {
                case = case.turned(Pairs::Halves, head_size / 2, &mut random);
            }
            for kernels in others().chain([portable()]) {
                let all = case.all(kernels);
                for size in [1, 2, 9] {
                    let mut parts = Vec::new();
                    for first in (0..positions.len()).step_by(size) {
                        parts.extend(case.some(kernels, first, positions.len().min(first + size)));
                    }
                    case.assert_same(kernels, &parts, &all);
                }
            }
        }
    }
}

#[test]
fn what_stands_behind_a_position_does_not_matter() {
    let mut random = Random(7);
    for positions in [vec![70], (60..90).collect()] {
        let mut case = Case::new(HALVES, 64, 1, &positions, 256, &mut random);
        let before: Vec<_> = others().chain([portable()]).map(|kernels| case.all(kernels)).collect();
        // Positions that no row sees: NaN, and as long as the page.
        for bytes in &mut case.pages[0] {
            bytes.resize(256 * 64 * 2, 0xff);
        }
        for (kernels, before) in others().chain([portable()]).zip(&before) {
            case.assert_same(kernels, &case.all(kernels), before);
        }
        // What only the last row sees changes nothing for the rows before it.
        let last = positions.len() - 1;
        let place = positions[last] * 128;
        case.pages[0].iter_mut().for_each(|bytes| bytes[place..place + 128].fill(0x7c));
        for (kernels, before) in others().chain([portable()]).zip(&before).filter(|_| last > 0) {
            let after = case.all(kernels);
            case.assert_same(kernels, &after[..last * 64], &before[..last * 64]);
            assert!(after[last * 64..].iter().all(|value| value.is_nan()));
        }
    }
}

#[test]
fn attention_over_what_does_not_fit_is_refused() {
    let (bytes, queries) = (vec![0u8; 64 * 64 * 2], vec![0.0; 128]);
    let page = |_| Page { keys: &bytes, values: &bytes };
    let past = Past { keys: Format::F16, values: Format::F16, page_length: 64, page: &page, turn: None };
    let asked = Queries { values: &queries, stride: 64, positions: &[63, 3], heads: 1, head_size: 64, scale: 1.0 };
    let refused = |asked: Queries<'_>, past: Past<'_>, rows: usize, width: usize| {
        portable().attend(&asked, &past, &mut Strip::whole(&mut vec![0.0; rows * width], width)).is_err()
    };
    assert!(!refused(asked, past, 2, 64));
    assert!(refused(asked, past, 2, 63), "a strip too narrow");
    assert!(refused(asked, past, 3, 64), "a row too much");
    assert!(refused(Queries { stride: 65, ..asked }, past, 2, 64), "queries too short");
    assert!(
        refused(Queries { positions: &[64, 3], ..asked }, Past { page_length: 128, ..past }, 2, 64),
        "a short page"
    );
    assert!(refused(asked, Past { page_length: 96, ..past }, 2, 64), "pages that cut tiles");
    assert!(refused(asked, Past { page_length: 0, ..past }, 2, 64), "no pages");
    assert!(refused(asked, Past { keys: Format::Q4_K, ..past }, 2, 64), "a format that no cache is in");
    assert!(refused(asked, Past { values: Format::F32, ..past }, 2, 64), "a format that no cache is in");
    let odd = Queries { head_size: 63, stride: 63, ..asked };
    assert!(refused(odd, past, 2, 63), "an odd head");
    let huge = Queries { head_size: 258, positions: &[0], ..asked };
    assert!(refused(huge, past, 1, 258), "a head too large");
    let part = Queries { head_size: 48, ..asked };
    assert!(refused(part, Past { keys: Format::Q8_0, ..past }, 2, 48), "half a block");
    assert!(!refused(Queries { positions: &[], ..asked }, past, 0, 64), "nothing is asked for, and that fits");
    let angles = vec![0.5; 64 * 33];
    let turn = |within: usize, sines: usize, starts: usize| {
        let within = [&angles[..within], &angles[..sines]];
        Past { turn: Some(Turn { pairs: Pairs::Halves, within, starts: [&angles[..starts]; 2] }), ..past }
    };
    assert!(!refused(asked, turn(64 * 32, 64 * 32, 32), 2, 64));
    assert!(refused(asked, turn(0, 0, 32), 2, 64), "no angles");
    assert!(refused(asked, turn(64 * 33, 64 * 33, 33), 2, 64), "more angles than pairs");
    assert!(refused(asked, turn(64 * 32, 64 * 31, 32), 2, 64), "too few sines");
    assert!(refused(asked, turn(64 * 32 + 1, 64 * 32, 32), 2, 64), "angles of a part of a position");
    assert!(refused(asked, turn(64 * 32, 64 * 32, 31), 2, 64), "a tile without a start");
}
