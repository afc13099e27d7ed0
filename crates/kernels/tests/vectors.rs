//! Operations on rows and attention against the same in f64, each within the bound that it states.

#![allow(clippy::unwrap_used)] // a test may panic

use huacaya_kernels::{
    ATTENTION_TILE, Format, InstructionSet, Kernels, Page, Pairs, Past, Queries, Strip, Turn, dequantize, quantize,
};

/// Every set is held to the portable one by the battery; the best and the portable are enough here.
fn kernels() -> [&'static Kernels; 2] {
    [Kernels::of(InstructionSet::Portable).unwrap(), Kernels::of(InstructionSet::best()).unwrap()]
}

/// Numbers from -1 to 1, from a seed.
fn numbers(count: usize, mut seed: u32) -> Vec<f32> {
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// How far `found` is from `exact`, in the distance of f32 there.
fn ulps(found: f32, exact: f64) -> f64 {
    let exponent = (exact.abs().log2().floor() as i32).clamp(-126, 127);
    (f64::from(found) - exact).abs() / 2f64.powi(exponent - 23)
}

#[test]
fn the_exponential_is_within_one_ulp_over_its_whole_range() {
    // A softmax of (0, x) is (1, e^x) over 1 + e^x: for x < -20 the sum rounds to 1, so e^x itself is to be seen.
    let mut worst = 0.0f64;
    let mut x = -20.0f32;
    while x > -110.0 {
        let mut row = [0.0, x, x * 1.000_001, x - 0.37];
        let asked = row;
        kernels()[1].softmax(&mut row);
        for (found, x) in row.into_iter().zip(asked) {
            worst = worst.max(ulps(found, f64::from(x).exp()));
        }
        x *= 1.000_03;
    }
    assert!(worst < 1.0, "{worst} ulp");
}

#[test]
fn a_gated_value_is_within_four_ulp() {
    let mut gates: Vec<f32> = numbers(4096, 1).into_iter().map(|x| x * 20.0).collect();
    gates.extend((0..20_000).map(|i| -85.0 + i as f32 * 0.01));
    gates.extend((0..200).flat_map(|i| [1.0, -1.0].map(|sign| sign * (-i as f32 / 2.0).exp2())));
    let up = numbers(gates.len(), 2);
    for kernels in kernels() {
        let mut found = gates.clone();
        kernels.swiglu(&mut found, &up).unwrap();
        for ((found, gate), up) in found.into_iter().zip(&gates).zip(&up) {
            let gate = f64::from(*gate);
            let exact = gate / (1.0 + (-gate).exp()) * f64::from(*up);
            assert!(
                exact.abs() < 1e-36 || ulps(found, exact) < 4.0,
                "{} at {gate}: {found:e} {exact:e}",
                kernels.set()
            );
        }
        let mut ends = [f32::MAX, f32::INFINITY, -200.0, 0.0, f32::NAN, f32::NEG_INFINITY];
        kernels.swiglu(&mut ends, &[1.0; 6]).unwrap();
        assert_eq!(ends[..4], [f32::MAX, f32::INFINITY, 0.0, 0.0]);
        assert!(ends[4].is_nan() && ends[5].is_nan(), "{ends:?}");
    }
}

#[test]
fn a_norm_is_that_of_its_formula() {
    for (length, size) in [(1, 1.0), (3, 1e-3), (64, 1e3), (4096, 1.0), (5003, 1e12)] {
        let x: Vec<f32> = numbers(length, 3).into_iter().map(|x| x * size).collect();
        let weight = numbers(length, 4);
        let mean = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / length as f64;
        for kernels in kernels() {
            let mut out = vec![0.0; length];
            kernels.rms_norm(&x, &weight, 1e-5, &mut out).unwrap();
            for ((out, x), weight) in out.into_iter().zip(&x).zip(&weight) {
                let exact = f64::from(*x) * f64::from(*weight) / (mean + 1e-5).sqrt();
                // Sums of up to 313 squares a lane, all of one sign, then five more roundings.
                assert!(ulps(out, exact) < 40.0, "{length}: {out:e} {exact:e}");
            }
        }
    }
}

#[test]
fn pairs_turn_by_their_angles() {
    let (head, heads, angles) = (12, 2, [0.5f64, 1.0, 3.0, -2.0, 0.1]);
    let (cos, sin) = (angles.map(|a| a.cos() as f32), angles.map(|a| a.sin() as f32));
    let row = numbers(head * heads, 5);
    for (kernels, pairs) in
        kernels().into_iter().flat_map(|kernels| [(kernels, Pairs::Halves), (kernels, Pairs::Adjacent)])
    {
        let mut found = row.clone();
        kernels.rotate(&mut found, head, &cos, &sin, pairs).unwrap();
        for (found, row) in found.chunks_exact(head).zip(row.chunks_exact(head)) {
            assert_eq!(found[10..], row[10..], "what is not rotated stays");
            for (i, angle) in angles.iter().enumerate() {
                let (a, b) = if pairs == Pairs::Halves { (i, i + 5) } else { (2 * i, 2 * i + 1) };
                let (x, y) = (f64::from(row[a]), f64::from(row[b]));
                assert!((f64::from(found[a]) - (x * angle.cos() - y * angle.sin())).abs() < 3e-7);
                assert!((f64::from(found[b]) - (y * angle.cos() + x * angle.sin())).abs() < 3e-7);
            }
        }
    }
}

#[test]
fn sums_products_and_softmax_are_those_of_their_formulas() {
    let (x, y) = (numbers(1000, 6), numbers(1000, 7));
    let pairs = || x.iter().zip(&y).map(|(&x, &y)| (f64::from(x), f64::from(y)));
    for kernels in kernels() {
        let dot = f64::from(kernels.dot(&x, &y).unwrap());
        let (exact, size) = pairs().fold((0.0, 0.0), |(sum, size), (x, y)| (sum + x * y, size + (x * y).abs()));
        // Up to 63 roundings in a lane and 4 of the fold, each of at most half an ulp of what is there.
        assert!((dot - exact).abs() < 67.0 * 2f64.powi(-24) * size, "{dot} {exact}");
        let (mut sum, mut scaled, mut soft) = (x.clone(), x.clone(), x.clone());
        kernels.add(&mut sum, &y).unwrap();
        kernels.scale_add(&mut scaled, 0.25, &y).unwrap();
        kernels.softmax(&mut soft);
        let whole: f64 = x.iter().map(|&x| f64::from(x).exp()).sum();
        for (i, (x, y)) in pairs().enumerate() {
            assert_eq!(sum[i], (x + y) as f32);
            assert_eq!(scaled[i], (x + 0.25 * y) as f32);
            assert!((f64::from(soft[i]) / (x.exp() / whole) - 1.0).abs() < 2e-6);
        }
    }
}

/// Attention of one head in f64, from the values that the formats hold.
fn exact(query: &[f32], keys: &[f32], values: &[f32], scale: f64, position: usize) -> Vec<f64> {
    let size = query.len();
    let seen = || keys.chunks_exact(size).zip(values.chunks_exact(size)).take(position + 1);
    let dot = |key: &[f32]| key.iter().zip(query).map(|(&k, &q)| f64::from(k) * f64::from(q)).sum::<f64>() * scale;
    let greatest = seen().map(|(key, _)| dot(key)).fold(f64::NEG_INFINITY, f64::max);
    let (mut sum, mut mean) = (0.0, vec![0.0; size]);
    for (key, value) in seen() {
        let weight = (dot(key) - greatest).exp();
        sum += weight;
        mean.iter_mut().zip(value).for_each(|(mean, &value)| *mean += weight * f64::from(value));
    }
    mean.into_iter().map(|mean| mean / sum).collect()
}

/// The angle of pair `i` of `half` at a position.
fn angle(i: usize, half: usize, position: usize) -> f64 {
    position as f64 * 100f64.powf(-(i as f64) / half as f64)
}

/// Cosines and sines of the positions in a tile; cosines and negative sines of the tiles' starts.
fn angles(half: usize, depth: usize) -> [Vec<f32>; 4] {
    let table = |positions: &mut dyn Iterator<Item = usize>, of: fn(f64) -> f64| -> Vec<f32> {
        positions.flat_map(|position| (0..half).map(move |i| of(angle(i, half, position)) as f32)).collect()
    };
    let starts = || (0..depth).step_by(ATTENTION_TILE);
    [
        table(&mut (0..ATTENTION_TILE), f64::cos),
        table(&mut (0..ATTENTION_TILE), f64::sin),
        table(&mut starts(), f64::cos),
        table(&mut starts(), |angle| -angle.sin()),
    ]
}

/// Keys turned to their positions, in f64.
fn turned(keys: &[f32], size: usize) -> Vec<f32> {
    let mut turned = keys.to_vec();
    for (position, key) in turned.chunks_exact_mut(size).enumerate() {
        for i in 0..size / 2 {
            let (a, b) = (f64::from(key[i]), f64::from(key[i + size / 2]));
            let (sin, cos) = angle(i, size / 2, position).sin_cos();
            (key[i], key[i + size / 2]) = ((a * cos - b * sin) as f32, (b * cos + a * sin) as f32);
        }
    }
    turned
}

#[test]
fn attention_is_that_of_its_formula() {
    for (format, size, sharpness) in [
        (Format::F16, 64, 1.0),
        (Format::F16, 50, 8.0),
        (Format::Q8_0, 96, 4.0),
        (Format::Q4_0, 128, 4.0),
        (Format::F16, 128, 60.0),
    ] {
        let (depth, heads, page_length) = (700, 2, 256);
        let stored = |seed: u32| {
            let numbers: Vec<f32> = numbers(depth * size, seed).into_iter().map(|x| x * 2.0).collect();
            let mut bytes = vec![0; numbers.len() / format.block_length() * format.block_bytes()];
            quantize(format, &numbers, &mut bytes).unwrap();
            let mut values = vec![0.0; numbers.len()];
            dequantize(format, &bytes, &mut values).unwrap();
            (bytes, values)
        };
        let ((keys, key_values), (values, value_values)) = (stored(8), stored(9));
        let positions: Vec<usize> = (0..12).map(|i| [699, 0, 63, 64, 255, 256][i % 6]).collect();
        let asked: Vec<f32> = numbers(positions.len() * heads * size, 10).into_iter().map(|q| q * sharpness).collect();
        let scale = 1.0 / (size as f32).sqrt();
        let page_bytes = keys.len() / depth * page_length;
        let page = |i: usize| {
            let part = i * page_bytes..keys.len().min((i + 1) * page_bytes);
            Page { keys: &keys[part.clone()], values: &values[part] }
        };
        let past = Past { keys: format, values: format, page_length, page: &page, turn: None };
        let tables = angles(size / 2, depth);
        let [cos, sin, start_cos, start_sin] = tables.each_ref().map(Vec::as_slice);
        let turn = Turn { pairs: Pairs::Halves, within: [cos, sin], starts: [start_cos, start_sin] };
        let turned_keys = turned(&key_values, size);
        let pasts = [(past, &key_values, 1.0), (Past { turn: Some(turn), ..past }, &turned_keys, 2.0)];
        // Twelve rows together, then three alone; keys as they are, then turned as they are read.
        let each = kernels().into_iter().flat_map(|kernels| [(kernels, 12), (kernels, 3)]);
        for ((kernels, rows), (past, key_values, more)) in each.flat_map(|one| pasts.map(|past| (one, past))) {
            let width = heads * size;
            let mut out = vec![0.0; rows * width];
            let (values, positions) = (&asked[..rows * width], &positions[..rows]);
            let queries = Queries { values, stride: width, positions, heads, head_size: size, scale };
            kernels.attend(&queries, &past, &mut Strip::whole(&mut out, width)).unwrap();
            for (i, (out, asked)) in out.chunks_exact(size).zip(asked.chunks_exact(size)).enumerate() {
                let exact = exact(asked, key_values, &value_values, f64::from(scale), positions[i / heads]);
                // A score is off by less than 2^-23 of its greatest sum, about 1.2 * sharpness * sqrt(size) * 20, a weight
                // by as much of itself; the sums of weights add less than that. Turning rounds queries and keys as often
                // again.
                let bound = more * 4.0 * 2f64.powi(-23) * (sharpness as f64 * (size as f64).sqrt() + 20.0);
                for (out, exact) in out.iter().zip(&exact) {
                    let off = (f64::from(*out) - exact).abs();
                    assert!(off < bound, "{} {format} {size}, {rows} rows, {i}: {out} {exact}", kernels.set());
                }
            }
        }
    }
}

/// Counted by hand: one position is its own mean; equal scores weigh the same; a score of infinity tells nothing.
#[test]
fn attention_of_one_or_of_equal_positions_is_their_mean() {
    let halves =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect() };
    let keys = halves(&[1.0, 2.0, 1.0, 2.0, 2.0, 1.5, 0.0, f32::INFINITY]);
    let values = halves(&[3.0, -1.0, 5.0, 7.0, 10.0, 12.0, 0.0, 0.0]);
    let page = |_| Page { keys: &keys, values: &values };
    let past = Past { keys: Format::F16, values: Format::F16, page_length: 64, page: &page, turn: None };
    // 1 * 1 + 2 * 2 = 2 * 1 + 1.5 * 2 = 5
    let positions = [0, 1, 2, 3];
    let queries =
        Queries { values: &[1.0, 2.0].repeat(4), stride: 2, positions: &positions, heads: 1, head_size: 2, scale: 0.7 };
    for kernels in kernels() {
        let mut out = [0.0; 8];
        kernels.attend(&queries, &past, &mut Strip::whole(&mut out, 2)).unwrap();
        assert_eq!(out[..6], [3.0, -1.0, 4.0, 3.0, 6.0, 6.0]);
        assert!(out[6].is_nan() && out[7].is_nan(), "{out:?}");
    }
}
