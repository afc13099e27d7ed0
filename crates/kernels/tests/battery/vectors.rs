//! The operations on rows.

use huacaya_kernels::{Format, Kernels, Pairs, dequantize, quantize};

use crate::guarded::{Guarded, Place};
use crate::material::{self, Random, STRANGE_VALUES};
use crate::{others, portable, same};

/// Around the number of lanes and its multiples, and as long as a model's rows.
const LENGTHS: [usize; 24] =
    [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 47, 48, 63, 64, 65, 96, 127, 255, 1000, 4099];
const PLACES: [Place; 2] = [Place::End, Place::Start];

/// Rows of a length: moderate ones, of all sizes, with strange values among them, of zeros, and of any bits.
fn rows(length: usize, random: &mut Random) -> Vec<Vec<f32>> {
    let mut strange = material::activations(length, random);
    for value in &mut strange {
        if random.below(4) == 0 {
            *value = random.pick(&STRANGE_VALUES);
        }
    }
    vec![
        material::activations(length, random),
        (0..length).map(|_| random.unit() * (random.below(240) as f32 - 120.0).exp2()).collect(),
        strange,
        vec![if random.below(2) == 0 { 0.0 } else { -0.0 }; length],
        (0..length).map(|_| f32::from_bits(random.next() as u32)).collect(),
    ]
}

#[track_caller]
fn assert_same(kernels: &Kernels, what: &str, found: &[f32], wanted: &[f32]) {
    assert_eq!(found.len(), wanted.len());
    for (i, (&found, &wanted)) in found.iter().zip(wanted).enumerate() {
        assert!(same(found, wanted), "{} {what} at {i}: {found:e} {wanted:e}", kernels.set());
    }
}

/// `work` changes its first row, given two others; every set does it as the portable one does.
fn each(what: &str, work: impl Fn(&Kernels, &mut [f32], &[f32], &[f32])) {
    let mut random = Random(1);
    for length in LENGTHS {
        let (first, second, third) = (rows(length, &mut random), rows(length, &mut random), rows(length, &mut random));
        for ((first, second), third) in first.iter().zip(&second).zip(&third) {
            let mut wanted = first.clone();
            work(portable(), &mut wanted, second, third);
            for (kernels, place) in others().flat_map(|kernels| PLACES.map(|place| (kernels, place))) {
                let [mut first, second, third] = [first, second, third].map(|row| Guarded::copy(row, place));
                work(kernels, first.values_mut(), second.values(), third.values());
                assert_same(kernels, what, first.values(), &wanted);
            }
        }
    }
}

#[test]
fn a_norm_has_the_same_bits_everywhere() {
    each("norm", |kernels, out, x, weight| kernels.rms_norm(x, weight, 1e-6, out).unwrap());
    each("norm", |kernels, out, x, _| kernels.rms_norm(x, x, 0.0, out).unwrap());
}

#[test]
fn a_gated_row_has_the_same_bits_everywhere() {
    each("swiglu", |kernels, gate, up, _| kernels.swiglu(gate, up).unwrap());
}

#[test]
fn a_softmax_has_the_same_bits_everywhere() {
    each("softmax", |kernels, row, _, _| kernels.softmax(row));
}

#[test]
fn sums_of_rows_and_dots_have_the_same_bits_everywhere() {
    each("add", |kernels, x, y, _| kernels.add(x, y).unwrap());
    each("scale_add", |kernels, x, y, _| kernels.scale_add(x, -0.3, y).unwrap());
    each("dot", |kernels, out, x, y| out.fill(kernels.dot(x, y).unwrap()));
}

#[test]
fn a_rotated_row_has_the_same_bits_everywhere() {
    let mut random = Random(2);
    for (head_size, rotated) in
        [(2, 2), (6, 4), (32, 32), (64, 48), (80, 80), (96, 96), (128, 128), (128, 34), (256, 0)]
    {
        for (heads, pairs) in [(0, Pairs::Halves), (1, Pairs::Halves), (3, Pairs::Adjacent), (5, Pairs::Halves)] {
            let angles = rows(rotated / 2, &mut random);
            for ((row, cos), sin) in rows(heads * head_size, &mut random).iter().zip(&angles).zip(angles.iter().rev()) {
                let mut wanted = row.clone();
                portable().rotate(&mut wanted, head_size, cos, sin, pairs).unwrap();
                for (kernels, place) in others().flat_map(|kernels| PLACES.map(|place| (kernels, place))) {
                    let [mut row, cos, sin] = [row, cos, sin].map(|row| Guarded::copy(row, place));
                    kernels.rotate(row.values_mut(), head_size, cos.values(), sin.values(), pairs).unwrap();
                    assert_same(kernels, "rotation", row.values(), &wanted);
                }
            }
        }
    }
}

const FORMATS: [Format; 4] = [Format::F16, Format::BF16, Format::Q8_0, Format::Q4_0];

/// Strange scales and values among any codes.
fn stored(format: Format, length: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = random.bytes(length / format.block_length() * format.block_bytes());
    for block in bytes.chunks_exact_mut(format.block_bytes()) {
        match random.below(3) {
            0 => material::strange(format, block, random),
            1 => material::moderate(format, block, random),
            _ => {}
        }
    }
    bytes
}

#[test]
fn a_row_is_read_as_the_specification_reads_it() {
    let mut random = Random(3);
    let places = [Place::End, Place::Start, Place::Odd];
    for (format, length) in FORMATS.into_iter().flat_map(|format| LENGTHS.map(|length| (format, length))) {
        let length = length.next_multiple_of(format.block_length());
        let bytes = stored(format, length, &mut random);
        let mut wanted = vec![0.0; length];
        dequantize(format, &bytes, &mut wanted).unwrap();
        for (kernels, place) in others().chain([portable()]).flat_map(|kernels| places.map(|place| (kernels, place))) {
            let bytes = Guarded::copy(&bytes, place);
            let mut values = Guarded::copy(&vec![1.0f32; length], Place::End);
            kernels.decode(format, bytes.values(), values.values_mut()).unwrap();
            assert_same(kernels, format.name(), values.values(), &wanted);
        }
    }
}

#[test]
fn a_row_is_written_as_the_specification_writes_it() {
    let mut random = Random(4);
    for (format, length) in FORMATS.into_iter().flat_map(|format| LENGTHS.map(|length| (format, length))) {
        let length = length.next_multiple_of(format.block_length());
        for row in rows(length, &mut random) {
            let mut wanted = vec![0; length / format.block_length() * format.block_bytes()];
            quantize(format, &row, &mut wanted).unwrap();
            for (kernels, place) in others().chain([portable()]).zip(PLACES.into_iter().cycle()) {
                let row = Guarded::copy(&row, place);
                let mut bytes = Guarded::copy(&vec![1u8; wanted.len()], Place::Odd);
                kernels.encode(format, row.values(), bytes.values_mut()).unwrap();
                assert!(bytes.values() == wanted, "{} {format}, {length} values", kernels.set());
            }
        }
    }
}

#[test]
fn every_f16_and_every_bf16_is_read_and_written_as_the_half_crate_does() {
    let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    for kernels in others().chain([portable()]) {
        let (mut values, mut back) = (vec![0.0; 1 << 16], vec![0; 1 << 17]);
        kernels.decode(Format::F16, &all, &mut values).unwrap();
        for (bits, value) in (0..=u16::MAX).zip(&values) {
            let wanted = half::f16::from_bits(bits).to_f32();
            assert_eq!(value.to_bits(), wanted.to_bits(), "{} {bits:x}", kernels.set());
        }
        kernels.encode(Format::F16, &values, &mut back).unwrap();
        for (bits, back) in (0..=u16::MAX).zip(back.as_chunks().0) {
            let wanted = half::f16::from_f32(half::f16::from_bits(bits).to_f32());
            assert_eq!(u16::from_le_bytes(*back), wanted.to_bits(), "{} {bits:x}", kernels.set());
        }
        kernels.decode(Format::BF16, &all, &mut values).unwrap();
        for (bits, value) in (0..=u16::MAX).zip(&values) {
            let wanted = f32::from_bits(u32::from(bits) << 16);
            assert_eq!(value.to_bits(), wanted.to_bits(), "{} {bits:x}", kernels.set());
        }
    }
}

/// The neighbours of every f16 and every bf16, and of the middles between them, in f32.
#[test]
fn numbers_next_to_a_half_and_next_to_its_middle_go_to_the_nearest_even() {
    let mut values: Vec<f32> = Vec::new();
    for bits in 0..=u16::MAX {
        let (half, bf16) = (half::f16::from_bits(bits).to_f32().to_bits(), u32::from(bits) << 16);
        for middle in [half, half.wrapping_add(1 << 12), half.wrapping_add(1 << 20), bf16, bf16 | 1 << 15] {
            values.extend([0, 1, u32::MAX].map(|next: u32| f32::from_bits(middle.wrapping_add(next))));
        }
    }
    // Between subnormal f16, whose distance is 2^-24.
    values.extend((0..=2048).flat_map(|i| [-1.0, 0.0, 1.0].map(|e| (i as f32 + e * 1e-4) * (-25f32).exp2())));
    let wanted = |to: fn(f32) -> u16| values.iter().flat_map(|&value| to(value).to_le_bytes()).collect::<Vec<u8>>();
    let halves = wanted(|value| half::f16::from_f32(value).to_bits());
    let brains = wanted(|value| half::bf16::from_f32(value).to_bits());
    for kernels in others().chain([portable()]) {
        let mut bytes = vec![0; 2 * values.len()];
        kernels.encode(Format::F16, &values, &mut bytes).unwrap();
        assert!(bytes == halves, "{} f16", kernels.set());
        kernels.encode(Format::BF16, &values, &mut bytes).unwrap();
        assert!(bytes == brains, "{} bf16", kernels.set());
    }
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    let kernels = portable();
    let (mut three, mut bytes) = ([1.0; 3], [0; 6]);
    assert!(kernels.rms_norm(&[1.0; 4], &[1.0; 3], 1e-5, &mut [0.0; 4]).is_err());
    assert!(kernels.rms_norm(&[1.0; 4], &[1.0; 4], 1e-5, &mut three).is_err());
    assert!(kernels.swiglu(&mut three, &[1.0; 4]).is_err());
    assert!(kernels.add(&mut three, &[1.0; 2]).is_err());
    assert!(kernels.scale_add(&mut three, 1.0, &[1.0; 2]).is_err());
    assert!(kernels.dot(&three, &[1.0; 2]).is_err());
    assert!(kernels.rotate(&mut [1.0; 8], 4, &[1.0; 2], &[0.0; 1], Pairs::Halves).is_err());
    assert!(kernels.rotate(&mut [1.0; 8], 4, &[1.0; 3], &[0.0; 3], Pairs::Halves).is_err());
    assert!(kernels.rotate(&mut [1.0; 6], 4, &[1.0; 2], &[0.0; 2], Pairs::Adjacent).is_err());
    assert!(kernels.rotate(&mut [1.0; 6], 0, &[], &[], Pairs::Halves).is_err());
    assert!(kernels.encode(Format::F16, &[1.0; 4], &mut bytes).is_err());
    assert!(kernels.decode(Format::Q8_0, &bytes, &mut three).is_err());
    assert_eq!(three, [1.0; 3]);
}
