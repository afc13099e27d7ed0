//! Every format against gguf-py (`tests/golden/blocks.py`), and against bytes that nobody made with care.

#![allow(clippy::unwrap_used)] // a test may panic

use huacaya_kernels::{Error, Format, dequantize, ggml_type_name, quantize, quantize_weighted};
use proptest::prelude::*;

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/golden/{name}.bin", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn count(file: &[u8]) -> usize {
    u32::from_le_bytes(file[..4].try_into().unwrap()) as usize
}

#[test]
fn every_format_reads_as_gguf_py_reads_it_bit_for_bit() {
    for format in Format::ALL {
        let file = golden(&format!("dequantize_{format}"));
        let values = count(&file);
        let (blocks, wanted) = file[4..].split_at(format.bytes_of(values as u64).unwrap() as usize);
        let wanted = floats(wanted);
        assert_eq!(wanted.len(), values);
        let mut found = vec![0.0; values];
        dequantize(format, blocks, &mut found).unwrap();
        for (at, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            let same = found.to_bits() == wanted.to_bits() || found.is_nan() && wanted.is_nan();
            assert!(same, "{format}, value {at}: {found:e}, gguf-py has {wanted:e}");
        }
    }
}

#[test]
fn q8_0_f16_and_bf16_are_written_as_gguf_py_writes_them_byte_for_byte() {
    for format in [Format::Q8_0, Format::F16, Format::BF16] {
        let file = golden(&format!("quantize_{format}"));
        let values = floats(&file[4..4 + 4 * count(&file)]);
        let wanted = &file[4 + 4 * values.len()..];
        let mut found = vec![0; wanted.len()];
        quantize(format, &values, &mut found).unwrap();
        let size = format.block_bytes();
        for (at, (found, wanted)) in found.chunks(size).zip(wanted.chunks(size)).enumerate() {
            assert_eq!(found, wanted, "{format}, block {at}: {:?}", &values[at * format.block_length()]);
        }
    }
}

#[test]
fn f16_gives_back_every_one_of_its_numbers() {
    let bits: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    for format in [Format::F16, Format::BF16] {
        let mut values = vec![0.0; 1 << 16];
        dequantize(format, &bits, &mut values).unwrap();
        let mut back = vec![0; bits.len()];
        quantize(format, &values, &mut back).unwrap();
        for (at, (bits, back)) in bits.chunks(2).zip(back.chunks(2)).enumerate() {
            assert!(bits == back || values[at].is_nan(), "{format} {at:04x}");
        }
    }
}

#[test]
fn sizes_and_numbers_are_those_of_ggml() {
    // gguf-py's GGML_QUANT_SIZES and GGMLQuantizationType.
    let table = [
        ("F32", 0, 1, 4),
        ("F16", 1, 1, 2),
        ("BF16", 30, 1, 2),
        ("Q4_0", 2, 32, 18),
        ("Q4_1", 3, 32, 20),
        ("Q5_0", 6, 32, 22),
        ("Q5_1", 7, 32, 24),
        ("Q8_0", 8, 32, 34),
        ("Q2_K", 10, 256, 84),
        ("Q3_K", 11, 256, 110),
        ("Q4_K", 12, 256, 144),
        ("Q5_K", 13, 256, 176),
        ("Q6_K", 14, 256, 210),
        ("IQ4_NL", 20, 32, 18),
        ("IQ4_XS", 23, 256, 136),
        ("MXFP4", 39, 32, 17),
    ];
    assert_eq!(table.len(), Format::ALL.len());
    for (name, number, length, bytes) in table {
        let format = Format::from_name(name).unwrap();
        assert_eq!(Format::from_ggml_type(number), Some(format));
        assert_eq!((format.block_length(), format.block_bytes()), (length, bytes), "{name}");
        assert_eq!(ggml_type_name(number), Some(name));
    }
    assert_eq!(ggml_type_name(16), Some("IQ2_XXS"));
    assert_eq!((Format::from_ggml_type(16), ggml_type_name(99)), (None, None));
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let mut out = [0.0; 32];
    let error = Error::Length { format: Format::Q8_0, bytes: 33, values: 32 };
    assert_eq!(dequantize(Format::Q8_0, &[0; 33], &mut out), Err(error));
    let error = Error::Length { format: Format::Q4_K, bytes: 144, values: 32 };
    assert_eq!(dequantize(Format::Q4_K, &[0; 144], &mut out), Err(error));
    let error = Error::Length { format: Format::Q8_0, bytes: 34, values: 31 };
    assert_eq!(quantize(Format::Q8_0, &out[..31], &mut [0; 34]), Err(error));
    assert_eq!(quantize(Format::MXFP4, &out, &mut [0; 17]), Err(Error::NoQuantizer { format: Format::MXFP4 }));
    assert_eq!(Format::F32.bytes_of(u64::MAX), None, "the size overflows");
    for format in Format::ALL {
        dequantize(format, &[], &mut []).unwrap();
    }
}

fn formats() -> impl Strategy<Value = Format> {
    proptest::sample::select(Format::ALL.to_vec())
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic_and_each_block_alone_reads_the_same(
        format in formats(), seed in proptest::collection::vec(any::<u8>(), 3 * 210),
    ) {
        let (size, length) = (format.block_bytes(), format.block_length());
        let mut all = vec![0.0; 3 * length];
        dequantize(format, &seed[..3 * size], &mut all).unwrap();
        for (block, all) in seed.chunks_exact(size).zip(all.chunks(length)) {
            let mut alone = vec![0.0; length];
            dequantize(format, block, &mut alone).unwrap();
            prop_assert!(alone.iter().zip(all).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()));
        }
    }

    #[test]
    fn q8_0_is_never_further_off_than_half_a_step_and_the_rounded_scale(
        values in proptest::collection::vec(-1e4f32..1e4, 32),
    ) {
        let mut bytes = [0; 34];
        quantize(Format::Q8_0, &values, &mut bytes).unwrap();
        let mut back = [0.0; 32];
        dequantize(Format::Q8_0, &bytes, &mut back).unwrap();
        let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        // Half a step of largest / 127, and a scale of 11 significant bits.
        let bound = largest * (0.5 / 127.0 + 1.0 / 2048.0) * 1.001 + 1e-6;
        for (value, back) in values.iter().zip(&back) {
            prop_assert!((value - back).abs() <= bound, "{value} became {back}");
        }
    }
}

/// Columns, their importance, the rows.
fn ggml_rows() -> (usize, Vec<f32>, Vec<f32>) {
    let file = golden("ggml_rows");
    let columns = count(&file);
    let numbers = floats(&file[8..]);
    (columns, numbers[..columns].to_vec(), numbers[columns..].to_vec())
}

#[test]
fn every_quantizer_writes_what_ggml_writes_byte_for_byte() {
    let (columns, importance, values) = ggml_rows();
    for format in Format::ALL {
        if format.is_plain() || format == Format::MXFP4 {
            continue;
        }
        for ending in ["", "_weighted"] {
            let wanted = golden(&format!("ggml_{format}{ending}"));
            let row_bytes = format.bytes_of(columns as u64).unwrap() as usize;
            let mut found = vec![0; row_bytes];
            for (row, (values, wanted)) in values.chunks(columns).zip(wanted.chunks(row_bytes)).enumerate() {
                match ending {
                    "" => quantize(format, values, &mut found).unwrap(),
                    _ => quantize_weighted(format, values, &importance, &mut found).unwrap(),
                }
                for (block, (found, wanted)) in
                    found.chunks(format.block_bytes()).zip(wanted.chunks(format.block_bytes())).enumerate()
                {
                    assert_eq!(found, wanted, "{format}{ending}, row {row}, block {block}");
                }
            }
        }
    }
}

#[test]
fn an_importance_of_the_wrong_length_is_refused() {
    let refused = quantize_weighted(Format::Q4_K, &[0.5; 256], &[1.0; 255], &mut [0; 144]);
    assert_eq!(refused, Err(Error::Importance { columns: 256, importance: 255 }));
}
