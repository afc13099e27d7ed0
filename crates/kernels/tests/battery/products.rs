//! Products of weights and activations.

use huacaya_kernels::{Activations, Error, Format, Grouping, Input, Kernels, Rows, Strip};

use crate::guarded::{Guarded, Place};
use crate::material::{Random, activations, blocks, exact, is_scale, moderate, strange};
use crate::{others, portable, same};

/// One product: `rows` weight rows of `columns` values with `inputs`, rows of as many.
struct Case {
    format: Format,
    columns: usize,
    weights: Vec<u8>,
    inputs: Vec<f32>,
}

/// What stands beside a strip and has to stay.
const CANARY: f32 = 1234.5;

impl Case {
    fn width(&self) -> usize {
        self.weights.len() / self.format.bytes_of(self.columns as u64).unwrap() as usize
    }

    fn rows(&self) -> usize {
        self.inputs.len() / self.columns
    }

    /// The product, (rows, width), with weights at `place`, and `beside` columns on both sides of what is written.
    fn product(&self, kernels: &Kernels, place: Place, beside: usize) -> Vec<f32> {
        let (width, rows) = (self.width(), self.rows());
        let whole = width + 2 * beside;
        let numbers_place = if place == Place::End { Place::End } else { Place::Start };
        let weights = Guarded::copy(&self.weights, place);
        let inputs = Guarded::copy(&self.inputs, numbers_place);
        let mut out = Guarded::copy(&vec![CANARY; rows * whole], numbers_place);
        let (_, strip) = Strip::whole(out.values_mut(), whole).split_at(beside);
        let (mut strip, _) = strip.split_at(width);
        let mut quantized = None;
        let input = match self.format.grouping() {
            None => Input::Plain { values: inputs.values(), columns: self.columns },
            Some(grouping) => {
                let row = quantized.insert(Activations::new(grouping, rows, self.columns));
                row.reset(rows, self.columns);
                for (i, values) in inputs.values().chunks_exact(self.columns).enumerate() {
                    row.quantize_row(kernels, i, values);
                }
                Input::Quantized(row)
            }
        };
        let rows = Rows { format: self.format, columns: self.columns, bytes: weights.values() };
        kernels.product(rows, input, &mut strip).unwrap();
        let out = out.values().chunks_exact(whole);
        for row in out.clone() {
            let canaries = row[..beside].iter().chain(&row[whole - beside..]);
            assert!(canaries.into_iter().all(|value| *value == CANARY), "{kernels:?} wrote beside its columns");
        }
        out.flat_map(|row| row[beside..whole - beside].to_vec()).collect()
    }

    /// Every set gives the portable one's bits, wherever its weights stand.
    fn check(&self, what: &str) {
        let wanted = self.product(portable(), Place::Start, 0);
        for kernels in others() {
            for (place, beside) in [(Place::End, 0), (Place::Start, 3), (Place::Odd, 0)] {
                let found = self.product(kernels, place, beside);
                for (at, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                    assert!(
                        same(*found, *wanted),
                        "{what}: {kernels:?}, {}, {} weight rows of {}, {} input rows, {place:?}: input row {}, weight \
                         row {}: {found:e}, portable {wanted:e}",
                        self.format,
                        self.width(),
                        self.columns,
                        self.rows(),
                        at / self.width(),
                        at % self.width()
                    );
                }
            }
        }
    }
}

/// Values in `count` blocks; plain formats get odd numbers of them.
fn columns(format: Format, count: usize) -> usize {
    if format.is_plain() { count * 13 } else { count * format.block_length() }
}

/// `rows` rows of moderate weights and activations.
fn random_case(format: Format, width: usize, columns: usize, rows: usize, random: &mut Random) -> Case {
    let weights = blocks(format, width * columns / format.block_length(), random);
    Case { format, columns, weights, inputs: activations(rows * columns, random) }
}

#[test]
fn all_values_of_every_byte_of_a_block_give_the_portable_bits() {
    let mut random = Random(3);
    for format in Format::ALL {
        for place in 0..format.block_bytes() {
            // Where a block may become infinite, it stands alone in its row.
            let columns = if is_scale(format, place) { format.block_length() } else { 4 * format.block_length() };
            for rows in [1, 17] {
                let mut case = random_case(format, 256 * format.block_length() / columns, columns, rows, &mut random);
                for (value, block) in case.weights.chunks_exact_mut(format.block_bytes()).enumerate() {
                    block[place] = value as u8;
                }
                case.check(&format!("byte {place}"));
            }
        }
    }
}

#[test]
fn every_pair_of_a_code_and_an_activation_gives_the_portable_bits() {
    let mut random = Random(4);
    for format in Format::ALL.into_iter().filter(|format| format.grouping().is_some()) {
        let length = format.block_length();
        // Each row of blocks of one byte throughout, each input row of one activation throughout: 256 x 255 pairs. The first
        // of a group is 127, so that the scale is the same for all.
        let mut weights: Vec<u8> = (0..=255u8).flat_map(|byte| vec![byte; format.block_bytes()]).collect();
        weights.chunks_exact_mut(format.block_bytes()).for_each(|block| moderate(format, block, &mut random));
        let inputs = exact((-127..=127).flat_map(|q| (0..length).map(move |i| if i == 0 { 127 } else { q })));
        Case { format, columns: length, weights, inputs }.check("pairs");
    }
}

#[test]
fn the_largest_sums_give_the_portable_bits() {
    let mut random = Random(5);
    let bytes = [0x00, 0xff, 0x80, 0x7f, 0x0f, 0xf0, 0x88, 0x77, 0x81, 0x18];
    let signs: [fn(usize) -> i8; 6] = [
        |_| 127,
        |_| -127,
        |i| if i % 2 == 0 { 127 } else { -127 },
        |i| if i % 4 < 2 { 127 } else { -127 },
        |i| if i % 32 < 16 { -127 } else { 127 },
        |i| if i % 64 < 32 { 127 } else { -127 },
    ];
    for format in Format::ALL {
        let columns = if format.is_plain() { 512 } else { 2 * format.block_length().max(256) };
        for rows in [1, 2, 3, 4, 6, 24] {
            let count = columns / format.block_length();
            let mut weights = Vec::new();
            for code in bytes {
                weights.extend(vec![code; count * format.block_bytes()]);
                // The same codes with other own scales and high bits: the block's first and second half of bytes differ.
                for half in bytes {
                    for _ in 0..count {
                        let mut block = vec![code; format.block_bytes()];
                        block[format.block_bytes() / 2..].fill(half);
                        weights.extend(block);
                    }
                }
            }
            weights.chunks_exact_mut(format.block_bytes()).for_each(|block| moderate(format, block, &mut random));
            let inputs = exact((0..rows).flat_map(|row| (0..columns).map(move |i| signs[row % signs.len()](i))));
            Case { format, columns, weights, inputs }.check("largest sums");
        }
    }
}

#[test]
fn every_number_of_rows_and_columns_gives_the_portable_bits() {
    let mut random = Random(6);
    for format in Format::ALL {
        for width in 1..=20 {
            for rows in [1, 2, 3, 1 + random.below(40)] {
                let columns = columns(format, random.pick(&[1, 2, 3, 4, 5, 7, 8, 16, 17, 33]));
                random_case(format, width, columns, rows, &mut random).check("shapes");
            }
        }
        for rows in 1..=40 {
            let columns = columns(format, random.pick(&[1, 2, 3, 4, 6, 9]));
            random_case(format, 1 + random.below(40), columns, rows, &mut random).check("shapes");
        }
        for count in (1..=40).filter(|count| format.block_length() < 256 || *count < 12) {
            random_case(format, 9, columns(format, count), 1, &mut random).check("shapes");
            random_case(format, 9, columns(format, count), 5, &mut random).check("shapes");
        }
    }
}

#[test]
fn matrices_of_many_tiles_give_the_portable_bits() {
    let mut random = Random(7);
    for format in Format::ALL {
        for (width, rows, columns) in [(131, 1, 4096), (70, 130, 768), (33, 67, 2304), (96, 64, 1024)] {
            random_case(format, width, columns, rows, &mut random).check("large");
        }
    }
}

#[test]
fn zeros_subnormals_infinities_and_nan_in_scales_give_the_portable_bits() {
    let mut random = Random(8);
    for format in Format::ALL {
        for round in 0..60 {
            let columns = columns(format, 1 + round % 5);
            let rows = random.pick(&[1, 2, 7, 20]);
            let mut case = random_case(format, 37, columns, rows, &mut random);
            for block in case.weights.chunks_exact_mut(format.block_bytes()) {
                if random.below(4) == 0 {
                    strange(format, block, &mut random);
                }
            }
            for row in case.inputs.chunks_exact_mut(columns) {
                let place = random.below(columns);
                match random.below(8) {
                    0 => row[place] = random.pick(&crate::material::STRANGE_VALUES),
                    1 => row.iter_mut().for_each(|value| *value *= 1e-36),
                    2 => row.iter_mut().for_each(|value| *value *= 1e35),
                    3 => row.fill(0.0),
                    _ => {}
                }
            }
            case.check("strange scales");
        }
    }
}

#[test]
fn a_row_has_the_same_bits_however_many_rows_share_the_step() {
    let mut random = Random(9);
    for format in Format::ALL {
        let columns = columns(format, 3);
        let all = random_case(format, 21, columns, 19, &mut random);
        for kernels in others().chain([portable()]) {
            let together = all.product(kernels, Place::End, 0);
            for (row, inputs) in all.inputs.chunks_exact(columns).enumerate() {
                let alone = Case { weights: all.weights.clone(), inputs: inputs.to_vec(), ..all };
                let alone = alone.product(kernels, Place::End, 0);
                let same = alone.iter().zip(&together[row * 21..]).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{kernels:?} {format} row {row}");
            }
        }
    }
}

#[test]
fn a_product_over_nothing_is_zero_and_of_nothing_is_nothing() {
    for kernels in others().chain([portable()]) {
        for format in Format::ALL {
            let mut activations = Activations::new(format.grouping().unwrap_or(Grouping::Block), 4, 256);
            for (rows, width, columns) in [(3, 2, 0), (0, 2, 256), (3, 0, 256), (0, 0, 0)] {
                activations.reset(rows, columns);
                let values = vec![1.0; rows * columns];
                for row in 0..rows {
                    activations.quantize_row(kernels, row, &values[..columns]);
                }
                let input = match format.grouping() {
                    Some(_) => Input::Quantized(&activations),
                    None => Input::Plain { values: &values, columns },
                };
                let mut out = vec![CANARY; rows * width];
                let bytes = vec![0; width * format.bytes_of(columns as u64).unwrap() as usize];
                let (mut strip, _) = Strip::whole(&mut out, width).split_at(width);
                let done = kernels.product(Rows { format, columns, bytes: &bytes }, input, &mut strip);
                // A strip of no columns has no rows; the input of a plain product over nothing has none to count.
                if width > 0 || rows == 0 {
                    done.unwrap();
                }
                assert!(out.iter().all(|value| *value == 0.0), "{kernels:?} {format}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let kernels = Kernels::chosen();
    let mut block = Activations::new(Grouping::Block, 4, 512);
    block.reset(2, 256);
    let mut wide = Activations::new(Grouping::Super, 4, 512);
    wide.reset(2, 256);
    let mut out = [0.0; 6];
    let mut product = |format: Format, columns: usize, bytes: usize, input: Input<'_>, width: usize| {
        let bytes = vec![0; bytes];
        kernels.product(Rows { format, columns, bytes: &bytes }, input, &mut Strip::whole(&mut out, width))
    };
    let values = [0.0; 512];
    let (q4_0, q4_k) = (8 * 18, 144);
    product(Format::Q4_0, 256, 3 * q4_0, Input::Quantized(&block), 3).unwrap();
    product(Format::Q4_K, 256, 3 * q4_k, Input::Quantized(&wide), 3).unwrap();
    product(Format::F16, 256, 3 * 512, Input::Plain { values: &values, columns: 256 }, 3).unwrap();
    for (format, columns, bytes) in
        [(Format::Q4_0, 256, 3 * q4_0 - 1), (Format::Q4_0, 250, 3 * q4_0), (Format::Q4_0, 512, 3 * q4_0)]
    {
        let refused = product(format, columns, bytes, Input::Quantized(&block), 3);
        assert!(matches!(refused, Err(Error::Length { .. })), "{columns} {bytes}: {refused:?}");
    }
    let refused = product(Format::Q4_0, 128, 3 * 4 * 18, Input::Quantized(&block), 3);
    assert_eq!(refused, Err(Error::Product { part: "columns of the input", found: 256, wanted: 128 }));
    let refused = product(Format::Q4_0, 256, 2 * q4_0, Input::Quantized(&block), 2);
    assert_eq!(refused, Err(Error::Product { part: "rows of the input", found: 2, wanted: 3 }));
    let refused = product(Format::F16, 256, 3 * 512, Input::Plain { values: &values[1..], columns: 256 }, 3);
    assert_eq!(refused, Err(Error::Product { part: "rows of the input", found: 1, wanted: 2 }));
    let refused = product(Format::Q4_0, 256, 3 * q4_0, Input::Quantized(&wide), 3);
    assert_eq!(refused, Err(Error::Input { format: Format::Q4_0 }));
    let refused = product(Format::Q4_K, 256, 3 * q4_k, Input::Plain { values: &values, columns: 256 }, 3);
    assert_eq!(refused, Err(Error::Input { format: Format::Q4_K }));
    let refused = product(Format::F32, 256, 3 * 1024, Input::Quantized(&block), 3);
    assert_eq!(refused, Err(Error::Input { format: Format::F32 }));
}
