//! Activations to int8.

use huacaya_kernels::{Activations, Grouping, InstructionSet, Kernels, SUM_LENGTH};

use crate::material::{Random, STRANGE_VALUES, activations};
use crate::same;

/// What the definition says, one value at a time: (values, scale).
fn defined(group: &[f32]) -> (Vec<i8>, f32) {
    if group.iter().any(|value| !value.is_finite()) {
        return (vec![0; group.len()], f32::NAN);
    }
    let amax = group.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let inverse = 127.0 / amax;
    if amax == 0.0 || inverse.is_infinite() {
        return (vec![0; group.len()], 0.0);
    }
    (group.iter().map(|value| (value * inverse).round_ties_even() as i8).collect(), amax / 127.0)
}

fn check(values: &[f32]) {
    for kernels in InstructionSet::ALL.into_iter().filter_map(Kernels::of) {
        for grouping in [Grouping::Block, Grouping::Super] {
            let columns = values.len() / grouping.length() * grouping.length();
            let mut found = Activations::new(grouping, 2, columns);
            found.reset(2, columns);
            found.quantize_row(kernels, 1, &values[..columns]);
            found.quantize_row(kernels, 0, &vec![1.0; columns]);
            let (q, scales, sums) = (found.values(1), found.scales(1), found.sums(1));
            for (g, group) in values[..columns].chunks(grouping.length()).enumerate() {
                let (wanted, scale) = defined(group);
                let start = g * grouping.length();
                let q = &q[start..][..group.len()];
                assert_eq!(q, wanted, "{kernels:?} {grouping:?} group {g}: {group:?}");
                assert!(same(scales[g], scale), "{kernels:?} {grouping:?} group {g}: {} {scale}", scales[g]);
                for (sum, q) in sums[start / SUM_LENGTH..].iter().zip(q.chunks(SUM_LENGTH)) {
                    assert_eq!(*sum, q.iter().map(|&q| i16::from(q)).sum::<i16>());
                }
            }
            assert!(found.values(0).iter().all(|&q| q == 127), "a row was written to its neighbour");
        }
    }
}

#[test]
fn activations_are_quantized_as_defined_by_every_set() {
    let mut random = Random(1);
    for columns in [32, 64, 96, 256, 288, 512, 4096] {
        for _ in 0..8 {
            check(&activations(columns, &mut random));
        }
    }
    // Halves: with 127 as the largest, every other one is a tie.
    let ties: Vec<f32> = (0..256).map(|i| i as f32 / 2.0 - 63.5).chain([127.0; 32]).chain([-127.0; 224]).collect();
    check(&ties);
    check(&ties.iter().map(|value| value * 3.0e36 / 127.0).collect::<Vec<_>>());
}

#[test]
fn zeros_subnormals_infinities_and_nan_are_quantized_as_defined_by_every_set() {
    let mut random = Random(2);
    for strange in STRANGE_VALUES {
        check(&vec![strange; 512]);
        for _ in 0..8 {
            let mut values = activations(1024, &mut random);
            (0..4).for_each(|_| values[random.below(1024)] = strange);
            check(&values);
            check(&values.iter().map(|value| value * 1e-38).collect::<Vec<_>>());
        }
    }
}

#[test]
fn rows_are_reset_without_what_was_there_before() {
    let kernels = Kernels::chosen();
    let mut activations = Activations::new(Grouping::Block, 3, 96);
    for (rows, columns) in [(3, 96), (0, 0), (2, 32), (1, 64), (3, 0)] {
        activations.reset(rows, columns);
        assert_eq!((activations.rows(), activations.columns()), (rows, columns));
        assert_eq!(activations.split_rows().count(), if columns == 0 { 0 } else { rows });
        for row in 0..rows {
            activations.quantize_row(kernels, row, &vec![row as f32; columns]);
        }
        for row in 0..rows {
            let q = if row == 0 { 0 } else { 127 };
            assert_eq!(activations.values(row), vec![q; columns]);
            assert_eq!(activations.sums(row), vec![i16::from(q) * 16; columns / 16]);
            assert_eq!(activations.scales(row), vec![row as f32 / 127.0; columns / 32]);
        }
    }
    for (rows, columns) in [(4, 32), (1, 128), (1, 33)] {
        let refused = std::panic::catch_unwind(|| Activations::new(Grouping::Block, 3, 96).reset(rows, columns));
        assert!(refused.is_err(), "{rows} {columns}");
    }
}

/// So that the products need not know -128 on this side: with every mantissa of a group's greatest number, at both ends of its
/// range and in the middle, that number comes to 127 without sign, and so every other one to no more.
#[test]
fn no_activation_is_quantized_to_minus_128() {
    const COLUMNS: usize = 8192;
    const GROUP: usize = Grouping::Block.length();
    for kernels in InstructionSet::ALL.into_iter().filter_map(Kernels::of) {
        // The portable code is the source of all: every mantissa for it, every 64th for the others.
        let step = if kernels.set() == InstructionSet::Portable { 1 } else { 64 };
        for exponent in [6, 127, 254] {
            let mut quantized = Activations::new(Grouping::Block, 1, COLUMNS);
            quantized.reset(1, COLUMNS);
            let mut row = vec![0.0f32; COLUMNS];
            for first in (0..1u32 << 23).step_by(COLUMNS / GROUP * step) {
                for (i, group) in row.chunks_exact_mut(GROUP).enumerate() {
                    group[0] = -f32::from_bits(exponent << 23 | (first + (i * step) as u32));
                }
                quantized.quantize_row(kernels, 0, &row);
                let greatest = quantized.values(0).iter().step_by(GROUP);
                assert!(greatest.into_iter().all(|&value| value == -127), "{kernels:?}, from {exponent} {first}");
            }
        }
    }
}
