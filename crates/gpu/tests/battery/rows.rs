//! Norm, turning, SwiGLU and sums against the processor's portable kernels.

use half::f16;
use huacaya_gpu::{Kv, NormCall, Recorder, TurnCall};
use huacaya_kernels::{Format, InstructionSet, Kernels, Pairs};

use crate::gpus;
use crate::material::Noise;

fn portable() -> &'static Kernels {
    Kernels::of(InstructionSet::Portable).unwrap()
}

fn near(what: &str, found: &[f32], expected: &[f32], bound: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let most = expected.iter().fold(1e-30f32, |most, value| most.max(value.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= bound * most, "{what}: {found} instead of {expected} at {i}");
    }
}

fn floats(words: Vec<u32>) -> Vec<f32> {
    words.into_iter().map(f32::from_bits).collect()
}

#[test]
fn norms_are_those_of_the_processor() {
    for gpu in gpus() {
        for (columns, size) in [(4, 1.0f32), (64, 1e-4), (260, 1e4), (2048, 1.0), (4100, 3.0)] {
            let (mut noise, count, epsilon) = (Noise::new(columns as u64), 5, 1e-5);
            let scaled = |noise: &mut Noise| noise.values(count * columns).iter().map(|v| v * size).collect::<Vec<_>>();
            let (x, delta, weight) = (scaled(&mut noise), scaled(&mut noise), noise.values(columns));
            let places = [4usize, 0, 2];
            for (with, some) in [(true, false), (false, false), (true, true)] {
                let [there, delta_there, weight_there] =
                    [&x, &delta, &weight].map(|values| gpu.upload_values("x", values).unwrap());
                let places_there = gpu.upload_words("places", &places.map(|place| place as u32)).unwrap();
                let out = gpu.buffer("out", (count * columns * 4) as u64).unwrap();
                let rows = if some { places.to_vec() } else { (0..count).collect() };
                let mut recorder = Recorder::new(gpu);
                let call = NormCall {
                    columns,
                    epsilon,
                    x: &there,
                    delta: with.then_some(&delta_there),
                    weight: &weight_there,
                    out: &out,
                    places: some.then_some(&places_there),
                    count: rows.len(),
                };
                call.start(&mut recorder).unwrap();
                let found = floats(recorder.finish(Some((&out, rows.len() * columns))).unwrap());
                let mut expected = Vec::new();
                for row in rows {
                    let part = row * columns..(row + 1) * columns;
                    let mut sum = x[part.clone()].to_vec();
                    if with {
                        portable().add(&mut sum, &delta[part]).unwrap();
                    }
                    let mut normed = vec![0.0; columns];
                    portable().rms_norm(&sum, &weight, epsilon, &mut normed).unwrap();
                    expected.extend(normed);
                }
                near(&format!("{columns} {with} {some}"), &found, &expected, 2e-6);
            }
        }
    }
}

/// One head's row of the cache as values.
fn unpacked(kv: Kv, words: &[u32], head_size: usize) -> Vec<f32> {
    let pair = |word: &u32| [f16::from_bits(*word as u16).to_f32(), f16::from_bits((word >> 16) as u16).to_f32()];
    match kv {
        Kv::F16 => words.iter().flat_map(pair).collect(),
        Kv::Q8_0 => (0..head_size)
            .map(|i| {
                let code = (words[i / 4] >> (i % 4 * 8)) as u8 as i8;
                f32::from(code) * f32::from_bits(words[head_size / 4 + i / 32])
            })
            .collect(),
    }
}

#[test]
fn heads_are_normed_turned_and_kept_as_on_the_processor() {
    for gpu in gpus() {
        for (head_size, rotated, halves, normed, kv) in [
            (64, 64, false, false, Kv::F16),
            (128, 128, true, true, Kv::F16),
            (64, 32, true, false, Kv::Q8_0),
            (12, 8, false, true, Kv::F16),
            (128, 128, false, false, Kv::Q8_0),
        ] {
            let (heads, kv_heads, count, places) = (6, 2, 3, [5u32, 70, 2]);
            let mut noise = Noise::new(head_size as u64);
            let width = (heads + 2 * kv_heads) * head_size;
            let (x, norms) = (noise.values(count * width), noise.values(2 * head_size));
            let turns: Vec<f32> = noise.values(count * rotated / 2).iter().map(|v| v * 3.0).collect();
            let angles: Vec<f32> = turns
                .chunks(rotated / 2)
                .flat_map(|row| row.iter().map(|v| v.cos()).chain(row.iter().map(|v| v.sin())))
                .collect();
            let row_words = match kv {
                Kv::F16 => head_size / 2,
                Kv::Q8_0 => head_size / 4 + head_size / 32,
            };
            let [there, norms_there, angles_there] =
                [&x, &norms, &angles].map(|values| gpu.upload_values("x", values).unwrap());
            let cache_bytes = (80 * kv_heads * row_words * 4) as u64;
            let [keys, values] = ["keys", "values"].map(|what| gpu.buffer(what, cache_bytes).unwrap());
            let rows = gpu.upload_words("rows", &places.map(|place| [0, 0, place, 0]).concat()).unwrap();
            let mut recorder = Recorder::new(gpu);
            let call = TurnCall {
                heads,
                kv_heads,
                head_size,
                rotated,
                halves,
                kv,
                epsilon: 1e-6,
                x: &there,
                angles: &angles_there,
                norms: normed.then_some(&norms_there),
                keys: &keys,
                values: &values,
                rows: &rows,
                count,
            };
            call.start(&mut recorder).unwrap();
            let found = floats(recorder.finish(Some((&there, x.len()))).unwrap());
            let cached = [&keys, &values].map(|cache| gpu.read_words(cache, cache_bytes as usize / 4).unwrap());
            let pairs = if halves { Pairs::Halves } else { Pairs::Adjacent };
            for (row, values) in x.chunks(width).enumerate() {
                for (head, values) in values.chunks(head_size).enumerate() {
                    let mut expected = values.to_vec();
                    if head < heads + kv_heads {
                        if normed {
                            let which = usize::from(head >= heads) * head_size;
                            let weight = &norms[which..which + head_size];
                            portable().rms_norm(values, weight, 1e-6, &mut expected).unwrap();
                        }
                        let (cos, sin) = angles[row * rotated..][..rotated].split_at(rotated / 2);
                        portable().rotate(&mut expected, head_size, cos, sin, pairs).unwrap();
                    }
                    let what = format!("{head_size} {kv:?} row {row} head {head}");
                    if head < heads {
                        near(&what, &found[row * width + head * head_size..][..head_size], &expected, 2e-6);
                        continue;
                    }
                    let which = usize::from(head >= heads + kv_heads);
                    let at = (places[row] as usize * kv_heads + (head - heads) % kv_heads) * row_words;
                    let kept = unpacked(kv, &cached[which][at..at + row_words], head_size);
                    let format = if kv == Kv::F16 { Format::F16 } else { Format::Q8_0 };
                    let mut bytes = vec![0; format.bytes_of(head_size as u64).unwrap() as usize];
                    portable().encode(format, &expected, &mut bytes).unwrap();
                    portable().decode(format, &bytes, &mut expected).unwrap();
                    // What is rounded one step further: a unit of f16, a code of Q8_0.
                    near(&what, &kept, &expected, if kv == Kv::F16 { 1e-3 } else { 8.2e-3 });
                    let same = kept.iter().zip(&expected).filter(|(a, b)| (*a - *b).abs() <= 1e-6 * b.abs()).count();
                    assert!(same * 10 >= head_size * 9, "{what}: {same} of {head_size} are the same");
                }
            }
        }
    }
}

#[test]
fn swiglu_and_sums_are_those_of_the_processor() {
    for gpu in gpus() {
        for (width, count) in [(4, 1), (260, 3), (768, 9)] {
            let mut noise = Noise::new(width as u64);
            let x: Vec<f32> = noise.values(2 * width * count).iter().map(|v| v * 60.0).collect();
            let there = gpu.upload_values("x", &x).unwrap();
            let start = noise.values(width * count);
            let (out, sum) =
                (gpu.buffer("out", (width * count * 4) as u64).unwrap(), gpu.upload_values("sum", &start).unwrap());
            let mut recorder = Recorder::new(gpu);
            recorder.swiglu(&there, &out, width, count).unwrap();
            recorder.add(&out, &sum, width * count).unwrap();
            let summed = floats(recorder.finish(Some((&sum, width * count))).unwrap());
            let mut expected: Vec<f32> = Vec::new();
            for row in x.chunks(2 * width) {
                let mut gate = row[..width].to_vec();
                portable().swiglu(&mut gate, &row[width..]).unwrap();
                expected.extend(gate);
            }
            near("swiglu", &gpu.read(&out, width * count).unwrap(), &expected, 1e-6);
            portable().add(&mut expected, &start).unwrap();
            near("sum", &summed, &expected, 1e-6);
        }
    }
}
