//! Attention over a cache in blocks, against sums in f64 over what the cache holds.

use half::f16;
use huacaya_gpu::{ATTENTION_BLOCK, AttendCall, FlashCall, Gpu, Kv, QUERY_TILE, Recorder};

use crate::gpus;
use crate::material::Noise;

/// A cache of `blocks` blocks in f16 or Q8_0: its words, and the values that they stand for.
fn cache(noise: &mut Noise, kv: Kv, rows: usize, head_size: usize) -> (Vec<u32>, Vec<f32>) {
    let (mut words, mut values) = (Vec::new(), Vec::new());
    for _ in 0..rows {
        match kv {
            Kv::F16 => {
                for _ in 0..head_size / 2 {
                    let pair = [f16::from_f32(noise.value() * 2.0), f16::from_f32(noise.value() * 2.0)];
                    words.push(u32::from(pair[0].to_bits()) | u32::from(pair[1].to_bits()) << 16);
                    values.extend(pair.map(f16::to_f32));
                }
            }
            Kv::Q8_0 => {
                let codes: Vec<u32> = (0..head_size / 4).map(|_| noise.word()).collect();
                let scales: Vec<f32> = (0..head_size / 32).map(|_| (noise.value().abs() + 0.1) / 64.0).collect();
                values.extend(
                    (0..head_size).map(|i| f32::from((codes[i / 4] >> (i % 4 * 8)) as u8 as i8) * scales[i / 32]),
                );
                words.extend(codes);
                words.extend(scales.iter().map(|scale| scale.to_bits()));
            }
        }
    }
    (words, values)
}

struct Shape {
    heads: usize,
    kv_heads: usize,
    head_size: usize,
    kv: Kv,
}

/// Rows of two sequences whose blocks lie mixed: (sequence, position), in order.
fn check(gpu: &Gpu, shape: &Shape, rows: &[(usize, usize)], splits: Option<(usize, usize)>) {
    let &Shape { heads, kv_heads, head_size, kv } = shape;
    let longest = rows.iter().map(|row| row.1).max().unwrap() + 1;
    let per = longest.div_ceil(ATTENTION_BLOCK);
    let mut noise = Noise::new((heads * head_size + longest) as u64);
    let cached = 2 * per * ATTENTION_BLOCK;
    let [(key_words, keys), (value_words, values)] =
        [0, 1].map(|_| cache(&mut noise, kv, cached * kv_heads, head_size));
    // Sequence 0 has the odd blocks from the back, sequence 1 the even ones.
    let table = |sequence: usize, block: usize| {
        if sequence == 0 { 2 * (per - 1 - block) + 1 } else { 2 * block }
    };
    let tables: Vec<u32> = (0..2 * per).map(|i| table(i / per, i % per) as u32).collect();
    let meta: Vec<u32> = rows.iter().flat_map(|&(s, position)| [position as u32, (s * per) as u32, 0, 0]).collect();
    let stride = heads * head_size + 8;
    let x = noise.values(rows.len() * stride);
    let [keys_there, values_there, tables_there, rows_there] =
        [&key_words, &value_words, &tables, &meta].map(|words| gpu.upload_words("words", words).unwrap());
    let x_there = gpu.upload_values("x", &x).unwrap();
    let width = heads * head_size;
    let out = gpu.buffer("out", (rows.len() * width * 4) as u64).unwrap();
    let call = AttendCall {
        heads,
        kv_heads,
        head_size,
        kv,
        x: &x_there,
        stride,
        keys: &keys_there,
        values: &values_there,
        rows: &rows_there,
        tables: &tables_there,
        out: &out,
        count: rows.len(),
    };
    let mut recorder = Recorder::new(gpu);
    match splits {
        Some((splits, blocks)) => {
            let parts = gpu.buffer("parts", (rows.len() * heads * splits * (head_size + 2) * 4) as u64).unwrap();
            call.start_split(&mut recorder, &parts, splits, blocks).unwrap();
        }
        None => {
            let mut tiles = Vec::new();
            let mut at = 0;
            while at < rows.len() {
                let own = rows[at..].iter().take_while(|row| row.0 == rows[at].0).count().min(QUERY_TILE);
                tiles.extend([at as u32, own as u32]);
                at += own;
            }
            let there = gpu.upload_words("tiles", &tiles).unwrap();
            call.start_tiled(&mut recorder, &FlashCall { tiles: &there, count: tiles.len() / 2 }).unwrap();
        }
    }
    let found = recorder.finish(Some((&out, rows.len() * width))).unwrap();
    for (row, &(sequence, position)) in rows.iter().enumerate() {
        for head in 0..heads {
            let kv_head = head / (heads / kv_heads);
            let q = &x[row * stride + head * head_size..][..head_size];
            let at = |p: usize| {
                let place = table(sequence, p / ATTENTION_BLOCK) * ATTENTION_BLOCK + p % ATTENTION_BLOCK;
                (place * kv_heads + kv_head) * head_size
            };
            let scores: Vec<f64> = (0..=position)
                .map(|p| {
                    let key = &keys[at(p)..][..head_size];
                    q.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>()
                        / (head_size as f64).sqrt()
                })
                .collect();
            let most = scores.iter().fold(f64::MIN, |most, score| most.max(*score));
            let weights: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
            let total: f64 = weights.iter().sum();
            for i in 0..head_size {
                let mean: f64 =
                    weights.iter().enumerate().map(|(p, w)| w * f64::from(values[at(p) + i])).sum::<f64>() / total;
                let found = f64::from(f32::from_bits(found[row * width + head * head_size + i]));
                assert!(
                    (found - mean).abs() < 2e-5,
                    "{heads}/{kv_heads} x {head_size} {kv:?} row {row} head {head}: {found} instead of {mean}"
                );
            }
        }
    }
}

const SHAPES: [Shape; 8] = [
    Shape { heads: 4, kv_heads: 4, head_size: 64, kv: Kv::F16 },
    Shape { heads: 14, kv_heads: 2, head_size: 64, kv: Kv::Q8_0 },
    Shape { heads: 8, kv_heads: 2, head_size: 128, kv: Kv::F16 },
    Shape { heads: 3, kv_heads: 1, head_size: 128, kv: Kv::Q8_0 },
    Shape { heads: 5, kv_heads: 5, head_size: 12, kv: Kv::F16 },
    Shape { heads: 2, kv_heads: 1, head_size: 32, kv: Kv::Q8_0 },
    Shape { heads: 4, kv_heads: 2, head_size: 80, kv: Kv::F16 },
    Shape { heads: 3, kv_heads: 3, head_size: 96, kv: Kv::F16 },
];

#[test]
fn a_few_rows_over_parts_of_their_past_are_the_mean_by_softmax() {
    for gpu in gpus() {
        for shape in &SHAPES {
            check(gpu, shape, &[(0, 0), (1, 0)], Some((1, 1)));
            check(gpu, shape, &[(0, 200), (1, 63), (0, 64), (1, 130)], Some((4, 1)));
            check(gpu, shape, &[(1, 300)], Some((3, 2)));
        }
        check(gpu, &SHAPES[0], &[(0, 4_095)], Some((16, 4)));
    }
}

#[test]
fn many_rows_see_what_stands_before_them_and_nothing_behind() {
    for gpu in gpus() {
        for shape in &SHAPES {
            let rows: Vec<_> = (0..37).map(|p| (0, p)).chain((90..107).map(|p| (1, p))).collect();
            check(gpu, shape, &rows, None);
        }
    }
}
