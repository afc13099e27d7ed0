//! Products against arithmetic of another kind: counted by hand, and in f64 from the dequantized weights.

#![allow(clippy::unwrap_used)] // a test may panic

use huacaya_kernels::{Activations, Format, Input, InstructionSet, Kernels, Rows, Strip, dequantize};

fn all_kernels() -> impl Iterator<Item = &'static Kernels> {
    InstructionSet::ALL.into_iter().filter_map(Kernels::of)
}

/// The product of one row of weights with one of activations.
fn dot(kernels: &Kernels, format: Format, weights: &[u8], values: &[f32]) -> f32 {
    let columns = values.len();
    let mut out = [f32::NAN];
    let mut quantized = None;
    let input = match format.grouping() {
        None => Input::Plain { values, columns },
        Some(grouping) => {
            let activations = quantized.insert(Activations::new(grouping, 1, columns));
            activations.reset(1, columns);
            activations.quantize_row(kernels, 0, values);
            Input::Quantized(activations)
        }
    };
    kernels.product(Rows { format, columns, bytes: weights }, input, &mut Strip::whole(&mut out, 1)).unwrap();
    out[0]
}

/// 2.0, 0.5 and -3.0 as f16.
const TWO: [u8; 2] = [0x00, 0x40];
const HALF: [u8; 2] = [0x00, 0x38];
const MINUS_THREE: [u8; 2] = [0x00, 0xc2];

/// (format, its block, the product with activations that are all 127.0, whose scale is then 1)
fn counted() -> Vec<(Format, Vec<u8>, f32)> {
    let block = |parts: &[&[u8]]| parts.concat();
    vec![
        // Codes 1 and 15, sixteen of each, less 8: 2 * (16 * -7 + 16 * 7) = 0; and codes 1 and 9: 2 * (16 * -7 + 16 * 1).
        (Format::Q4_0, block(&[&TWO, &[0xf1; 16]]), 0.0),
        (Format::Q4_0, block(&[&TWO, &[0x91; 16]]), -192.0 * 127.0),
        // 2 * 16 * (1 + 15) + 0.5 * 32
        (Format::Q4_1, block(&[&TWO, &HALF, &[0xf1; 16]]), 528.0 * 127.0),
        // All fifth bits: codes 17 and 31 less 16: 2 * 16 * (1 + 15)
        (Format::Q5_0, block(&[&TWO, &[0xff; 4], &[0xf1; 16]]), 512.0 * 127.0),
        // Fifth bits of the second half only: codes 1 and 31: 0.5 * 16 * 32 - 3 * 32
        (Format::Q5_1, block(&[&HALF, &MINUS_THREE, &[0, 0, 0xff, 0xff], &[0xf1; 16]]), 160.0 * 127.0),
        // 2 * 32 * -128
        (Format::Q8_0, block(&[&TWO, &[0x80; 32]]), -8192.0 * 127.0),
        // Codes 0 and 15: -127 and 113: 0.5 * 16 * -14
        (Format::IQ4_NL, block(&[&HALF, &[0xf0; 16]]), -112.0 * 127.0),
        // Exponent 128 is 2; codes 2 and 15: 1 and -6: 2 * 16 * -5
        (Format::MXFP4, block(&[&[128], &[0xf2; 16]]), -160.0 * 127.0),
        // Own scale 3, own minimum 1; codes 0, 1, 2 and 3 in the four pairs of bits: 2 * 3 * 64 * 6 - 0.5 * 256
        (Format::Q2_K, block(&[&[0x13; 16], &[0b1110_0100; 64], &TWO, &HALF]), 2176.0 * 127.0),
        // No third bits: codes 0 to 3 less 4; own scales 33 - 32 = 1 (low 1, high 2): 2 * 64 * (-4 - 3 - 2 - 1)
        (Format::Q3_K, block(&[&[0; 32], &[0b1110_0100; 64], &[0x11; 8], &[0xaa; 4], &TWO]), -1280.0 * 127.0),
        // Six-bit scales 1 and minimums 2 of the first four groups, 3 and 4 of the others (low four bits | high four), codes 5
        // and 6, 32 of each in turn: 2 * 32 * (5 + 6 + 5 + 6) * (1 + 3) - 0.5 * 32 * 4 * (2 + 4)
        (Format::Q4_K, block(&[&TWO, &HALF, &[1; 4], &[2; 4], &[0x43; 4], &[0x65; 128]]), 5248.0 * 127.0),
        // The same with every fifth bit: codes 21 and 22: 2 * 32 * 86 * 4 - 384
        (Format::Q5_K, block(&[&TWO, &HALF, &[1; 4], &[2; 4], &[0x43; 4], &[0xff; 32], &[0x65; 128]]), 21632.0 * 127.0),
        // Low codes 1 and 2, high bits 2 for all: 33 and 34 less 32: own scale -2: 0.5 * -2 * 128 * (1 + 2)
        (Format::Q6_K, block(&[&[0x21; 128], &[0xaa; 64], &[0xfe; 16], &HALF]), -384.0 * 127.0),
        // Own scale 33 - 32 (low 1, high 2), codes 7 and 8: -10 and 1: 2 * 8 * 16 * -9
        (Format::IQ4_XS, block(&[&TWO, &[0xaa; 2], &[0x11; 4], &[0x87; 128]]), -2304.0 * 127.0),
    ]
}

#[test]
fn products_are_what_one_counts_by_hand() {
    for kernels in all_kernels() {
        for (format, block, wanted) in counted() {
            let values = vec![127.0; format.block_length()];
            assert_eq!(dot(kernels, format, &block, &values), wanted, "{kernels:?} {format}");
            // Three blocks, the second one's activations zero, the third one's with the other sign and a scale of 1/4.
            let mut three = values.clone();
            three.extend(vec![0.0; values.len()]);
            three.extend(vec![-127.0 / 4.0; values.len()]);
            assert_eq!(dot(kernels, format, &block.repeat(3), &three), wanted * 0.75, "{kernels:?} {format}");
        }
        let values: Vec<f32> = (0..19).map(|i| i as f32).collect();
        let plain: [(Format, &[u8]); 3] =
            [(Format::F32, &[0, 0, 0, 0x40]), (Format::F16, &TWO), (Format::BF16, &[0x00, 0x40])];
        for (format, two) in plain {
            assert_eq!(dot(kernels, format, &two.repeat(19), &values), 342.0, "{kernels:?} {format}");
        }
    }
}

/// Bytes from a seed.
fn bytes(count: usize, mut seed: u32) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// Where the f16 scales stand; see ggml-common.h.
fn scales(format: Format) -> &'static [usize] {
    match format {
        Format::Q4_1 | Format::Q5_1 | Format::Q4_K | Format::Q5_K => &[0, 2],
        Format::Q2_K => &[80, 82],
        Format::Q3_K => &[108],
        Format::Q6_K => &[208],
        Format::MXFP4 | Format::F32 | Format::BF16 => &[],
        _ => &[0],
    }
}

/// The largest of (own scale x code) and of own minimums, by which the scale and the minimum are multiplied in a value.
fn largest(format: Format) -> (f64, f64) {
    match format {
        Format::Q4_0 => (8.0, 0.0),
        Format::Q4_1 => (15.0, 1.0),
        Format::Q5_0 => (16.0, 0.0),
        Format::Q5_1 => (31.0, 1.0),
        Format::Q8_0 => (128.0, 0.0),
        Format::Q2_K => (15.0 * 3.0, 15.0),
        Format::Q3_K => (32.0 * 4.0, 0.0),
        Format::Q4_K => (63.0 * 15.0, 63.0),
        Format::Q5_K => (63.0 * 31.0, 63.0),
        Format::Q6_K => (128.0 * 32.0, 0.0),
        Format::IQ4_NL => (127.0, 0.0),
        Format::IQ4_XS => (32.0 * 127.0, 0.0),
        Format::MXFP4 => (12.0, 0.0),
        Format::F32 | Format::F16 | Format::BF16 => (1.0, 0.0),
    }
}

/// Scales are 0.25 to 0.5, activations up to 1. In a product over n values in b blocks: each dequantized value is off by at
/// most 2 roundings of its largest, each block by 5 more, and each of the b steps by one of the sum so far. Plain products
/// round once a value and lane, and four times in the fold. Roundings are 2^-24 of what is rounded.
#[test]
fn products_are_those_of_the_dequantized_weights_in_f64_within_the_rounding_of_the_steps() {
    for format in Format::ALL {
        let columns = if format.is_plain() { 1003 } else { 2048 };
        let blocks = columns / format.block_length();
        for seed in 0..8 {
            let mut weights = bytes(blocks * format.block_bytes(), seed);
            for block in weights.chunks_exact_mut(format.block_bytes()) {
                match format {
                    Format::F32 => block[3] = block[3] & 0x80 | 0x3e,
                    Format::BF16 => block[1] = block[1] & 0x80 | 0x3e,
                    Format::MXFP4 => block[0] = 126,
                    _ => {}
                }
                for &place in scales(format) {
                    block[place + 1] = block[place + 1] & 0x83 | 0x34;
                }
            }
            let values: Vec<f32> = bytes(columns, seed + 100).iter().map(|&b| f32::from(b) / 127.5 - 1.0).collect();
            let mut dequantized = vec![0.0; columns];
            dequantize(format, &weights, &mut dequantized).unwrap();
            let activations: Vec<f64> = match format.grouping() {
                None => values.iter().map(|&value| f64::from(value)).collect(),
                Some(grouping) => {
                    let mut row = Activations::new(grouping, 1, columns);
                    row.reset(1, columns);
                    row.quantize_row(Kernels::of(InstructionSet::Portable).unwrap(), 0, &values);
                    let scale = |i: usize| f64::from(row.scales(0)[i / grouping.length()]);
                    row.values(0).iter().enumerate().map(|(i, &q)| f64::from(q) * scale(i)).collect()
                }
            };
            let wanted: f64 = dequantized.iter().zip(&activations).map(|(w, a)| f64::from(*w) * a).sum();
            let (code, minimum) = largest(format);
            let most: f64 = activations.iter().map(|a| a.abs() * 0.5 * (code + minimum)).sum();
            let steps = if format.is_plain() { columns / 16 + 6 } else { blocks + 7 };
            let bound = most * steps as f64 / f64::from(1 << 24);
            for kernels in all_kernels() {
                let found = f64::from(dot(kernels, format, &weights, &values));
                assert!((found - wanted).abs() <= bound, "{kernels:?} {format}: {found} {wanted} +- {bound}");
            }
        }
    }
}
