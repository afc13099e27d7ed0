//! The specification of every product: what the other sets must give bit for bit.
//!
//! A block's codes are unpacked once, then multiplied with the same block of several input rows.

use super::{Table, fold};
use crate::dequantize::{
    IQ4_VALUES, MXFP4_VALUES, fifth, half_at, half_power_of_two, scale_and_minimum, two_bit_place,
};
use crate::format::{BLOCK, SUPER_BLOCK};
use crate::{Activations, Strip};

pub(crate) const TABLE: Table = Table {
    f32: plain::<4, F32>,
    f16: plain::<2, F16>,
    bf16: plain::<2, BF16>,
    q4_0: quantized::<18, Q4_0>,
    q4_1: quantized::<20, Q4_1>,
    q5_0: quantized::<22, Q5_0>,
    q5_1: quantized::<24, Q5_1>,
    q8_0: quantized::<34, Q8_0>,
    q2_k: quantized::<84, Q2_K>,
    q3_k: quantized::<110, Q3_K>,
    q4_k: quantized::<144, Q4_K>,
    q5_k: quantized::<176, Q5_K>,
    q6_k: quantized::<210, Q6_K>,
    iq4_nl: quantized::<18, Iq4Nl>,
    iq4_xs: quantized::<136, Iq4Xs>,
    mxfp4: quantized::<17, Mxfp4>,
};

/// Input rows that a block is multiplied with before the next one is unpacked: their running sums fit in registers.
const TILE: usize = 16;

/// A format whose blocks take `N` bytes.
trait Format<const N: usize> {
    type Block: Block;
    fn unpack(bytes: &[u8; N]) -> Self::Block;
}

/// An unpacked block of weights.
trait Block {
    const LENGTH: usize;
    /// `acc` with the product of this block and one of activations added: their values, scale, and sums of each 16.
    fn add_to(&self, acc: f32, values: &[i8], scale: f32, sums: &[i16]) -> f32;
}

/// See [`super::Quantized`].
#[inline(always)]
fn quantized<const N: usize, F: Format<N>>(rows: &[u8], columns: usize, input: &Activations, out: &mut Strip<'_>) {
    let (length, row_bytes) = (F::Block::LENGTH, columns / F::Block::LENGTH * N);
    let sums_in_block = length / crate::activation::SUM_LENGTH;
    for (r, row) in rows.chunks_exact(row_bytes).enumerate() {
        for first in (0..input.rows()).step_by(TILE) {
            let mut accs = [0.0f32; TILE];
            let accs = &mut accs[..TILE.min(input.rows() - first)];
            for (b, block) in row.as_chunks::<N>().0.iter().enumerate() {
                let block = F::unpack(block);
                for (i, acc) in accs.iter_mut().enumerate() {
                    let values = &input.values(first + i)[b * length..][..length];
                    let sums = &input.sums(first + i)[b * sums_in_block..][..sums_in_block];
                    *acc = block.add_to(*acc, values, input.scales(first + i)[b], sums);
                }
            }
            accs.iter().enumerate().for_each(|(i, acc)| out.row(first + i)[r] = *acc);
        }
    }
}

/// The exact sum of the products of codes and activations.
#[inline(always)]
fn dot(codes: &[i8], values: &[i8]) -> i32 {
    codes.iter().zip(values).map(|(&code, &value)| i32::from(code) * i32::from(value)).sum()
}

/// 32 codes with one scale.
struct Scaled {
    scale: f32,
    codes: [i8; BLOCK],
}

impl Block for Scaled {
    const LENGTH: usize = BLOCK;
    #[inline(always)]
    fn add_to(&self, acc: f32, values: &[i8], scale: f32, _sums: &[i16]) -> f32 {
        acc + (self.scale * scale) * dot(&self.codes, values) as f32
    }
}

/// 32 codes with one scale and one minimum, which is added.
struct Shifted {
    scale: f32,
    minimum: f32,
    codes: [i8; BLOCK],
}

impl Block for Shifted {
    const LENGTH: usize = BLOCK;
    #[inline(always)]
    fn add_to(&self, acc: f32, values: &[i8], scale: f32, sums: &[i16]) -> f32 {
        let sum: i32 = sums.iter().map(|&sum| i32::from(sum)).sum();
        let product = (self.scale * scale) * dot(&self.codes, values) as f32;
        acc + (product + (self.minimum * scale) * sum as f32)
    }
}

/// Groups of 16 that share what a format says of a group; formats with groups of 32 have each twice.
const GROUP: usize = 16;
const GROUPS: usize = SUPER_BLOCK / GROUP;

/// 256 codes with a scale, and a whole-number scale of its own for each group.
struct Grouped {
    scale: f32,
    own_scales: [i32; GROUPS],
    codes: [i8; SUPER_BLOCK],
}

impl Grouped {
    #[inline(always)]
    fn dot(&self, values: &[i8]) -> i32 {
        let groups = self.codes.as_chunks::<GROUP>().0.iter().zip(values.as_chunks::<GROUP>().0);
        groups.zip(self.own_scales).map(|((codes, values), scale)| scale * dot(codes, values)).sum()
    }
}

impl Block for Grouped {
    const LENGTH: usize = SUPER_BLOCK;
    #[inline(always)]
    fn add_to(&self, acc: f32, values: &[i8], scale: f32, _sums: &[i16]) -> f32 {
        acc + (self.scale * scale) * self.dot(values) as f32
    }
}

/// [`Grouped`], and a minimum, which is taken away, with a whole-number factor of its own for each group.
struct GroupedShifted {
    grouped: Grouped,
    minimum: f32,
    own_minimums: [i32; GROUPS],
}

impl Block for GroupedShifted {
    const LENGTH: usize = SUPER_BLOCK;
    #[inline(always)]
    fn add_to(&self, acc: f32, values: &[i8], scale: f32, sums: &[i16]) -> f32 {
        let minimums: i32 = self.own_minimums.iter().zip(sums).map(|(minimum, &sum)| minimum * i32::from(sum)).sum();
        let product = (self.grouped.scale * scale) * self.grouped.dot(values) as f32;
        acc + (product - (self.minimum * scale) * minimums as f32)
    }
}

/// Low four bits of each byte first, then the high ones; `value` makes the code of (place in the block, four bits).
#[inline(always)]
fn nibbles(bytes: &[u8], codes: &mut [i8], value: impl Fn(usize, u8) -> i8) {
    let (low, high) = codes.split_at_mut(bytes.len());
    for (i, ((low, high), &byte)) in low.iter_mut().zip(high).zip(bytes).enumerate() {
        *low = value(i, byte & 0x0f);
        *high = value(i + bytes.len(), byte >> 4);
    }
}

fn of_nibbles(bytes: &[u8], value: impl Fn(usize, u8) -> i8) -> [i8; BLOCK] {
    let mut codes = [0; BLOCK];
    nibbles(bytes, &mut codes, value);
    codes
}

fn high_bits(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

struct Q4_0;
impl Format<18> for Q4_0 {
    type Block = Scaled;
    #[inline(always)]
    fn unpack(block: &[u8; 18]) -> Scaled {
        Scaled { scale: half_at(block, 0), codes: of_nibbles(&block[2..], |_, code| code as i8 - 8) }
    }
}

struct Q4_1;
impl Format<20> for Q4_1 {
    type Block = Shifted;
    #[inline(always)]
    fn unpack(block: &[u8; 20]) -> Shifted {
        let codes = of_nibbles(&block[4..], |_, code| code as i8);
        Shifted { scale: half_at(block, 0), minimum: half_at(block, 2), codes }
    }
}

struct Q5_0;
impl Format<22> for Q5_0 {
    type Block = Scaled;
    #[inline(always)]
    fn unpack(block: &[u8; 22]) -> Scaled {
        let high = high_bits(&block[2..]);
        let codes = of_nibbles(&block[6..], |i, code| (code | fifth(high, i)) as i8 - 16);
        Scaled { scale: half_at(block, 0), codes }
    }
}

struct Q5_1;
impl Format<24> for Q5_1 {
    type Block = Shifted;
    #[inline(always)]
    fn unpack(block: &[u8; 24]) -> Shifted {
        let high = high_bits(&block[4..]);
        let codes = of_nibbles(&block[8..], |i, code| (code | fifth(high, i)) as i8);
        Shifted { scale: half_at(block, 0), minimum: half_at(block, 2), codes }
    }
}

struct Q8_0;
impl Format<34> for Q8_0 {
    type Block = Scaled;
    #[inline(always)]
    fn unpack(block: &[u8; 34]) -> Scaled {
        let mut codes = [0; BLOCK];
        codes.iter_mut().zip(&block[2..]).for_each(|(code, &byte)| *code = byte as i8);
        Scaled { scale: half_at(block, 0), codes }
    }
}

struct Iq4Nl;
impl Format<18> for Iq4Nl {
    type Block = Scaled;
    #[inline(always)]
    fn unpack(block: &[u8; 18]) -> Scaled {
        let codes = of_nibbles(&block[2..], |_, code| IQ4_VALUES[usize::from(code)]);
        Scaled { scale: half_at(block, 0), codes }
    }
}

struct Mxfp4;
impl Format<17> for Mxfp4 {
    type Block = Scaled;
    #[inline(always)]
    fn unpack(block: &[u8; 17]) -> Scaled {
        let codes = of_nibbles(&block[1..], |_, code| MXFP4_VALUES[usize::from(code)]);
        Scaled { scale: half_power_of_two(block[0]), codes }
    }
}

#[allow(non_camel_case_types)]
struct Q2_K;
impl Format<84> for Q2_K {
    type Block = GroupedShifted;
    #[inline(always)]
    fn unpack(block: &[u8; 84]) -> GroupedShifted {
        let mut codes = [0; SUPER_BLOCK];
        for (group, out) in codes.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
            let (start, shift) = two_bit_place(group);
            let bytes = &block[16 + start..][..GROUP];
            out.iter_mut().zip(bytes).for_each(|(code, &byte)| *code = ((byte >> shift) & 3) as i8);
        }
        let own_scales = std::array::from_fn(|group| i32::from(block[group] & 0x0f));
        let own_minimums = std::array::from_fn(|group| i32::from(block[group] >> 4));
        let grouped = Grouped { scale: half_at(block, 80), own_scales, codes };
        GroupedShifted { grouped, minimum: half_at(block, 82), own_minimums }
    }
}

#[allow(non_camel_case_types)]
struct Q3_K;
impl Format<110> for Q3_K {
    type Block = Grouped;
    #[inline(always)]
    fn unpack(block: &[u8; 110]) -> Grouped {
        let (high, bytes) = (&block[..32], &block[32..96]);
        let mut codes = [0; SUPER_BLOCK];
        for (group, out) in codes.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
            let (start, shift) = two_bit_place(group);
            let (bytes, high) = (&bytes[start..][..GROUP], &high[group % 2 * GROUP..][..GROUP]);
            for ((code, &byte), &high) in out.iter_mut().zip(bytes).zip(high) {
                *code = ((byte >> shift) & 3 | ((high >> (group / 2)) & 1) << 2) as i8 - 4;
            }
        }
        let own_scales = std::array::from_fn(|group| crate::dequantize::q3_k_scale(&block[96..108], group).into());
        Grouped { scale: half_at(block, 108), own_scales, codes }
    }
}

/// Scale, minimum and the groups' own ones of Q4_K and Q5_K, with the codes.
#[inline(always)]
fn k_block(block: &[u8], codes: [i8; SUPER_BLOCK]) -> GroupedShifted {
    let own: [(u8, u8); GROUPS] = std::array::from_fn(|group| scale_and_minimum(&block[4..16], group / 2));
    let grouped = Grouped { scale: half_at(block, 0), own_scales: own.map(|own| own.0.into()), codes };
    GroupedShifted { grouped, minimum: half_at(block, 2), own_minimums: own.map(|own| own.1.into()) }
}

#[allow(non_camel_case_types)]
struct Q4_K;
impl Format<144> for Q4_K {
    type Block = GroupedShifted;
    #[inline(always)]
    fn unpack(block: &[u8; 144]) -> GroupedShifted {
        let mut codes = [0; SUPER_BLOCK];
        for (codes, bytes) in codes.chunks_exact_mut(64).zip(block[16..].chunks_exact(32)) {
            nibbles(bytes, codes, |_, code| code as i8);
        }
        k_block(block, codes)
    }
}

#[allow(non_camel_case_types)]
struct Q5_K;
impl Format<176> for Q5_K {
    type Block = GroupedShifted;
    #[inline(always)]
    fn unpack(block: &[u8; 176]) -> GroupedShifted {
        let high = &block[16..48];
        let mut codes = [0; SUPER_BLOCK];
        for (pair, (codes, bytes)) in codes.chunks_exact_mut(64).zip(block[48..].chunks_exact(32)).enumerate() {
            // Bit `group` of high byte i % 32 is the fifth of code i: of the low four bits' group, then the high ones'.
            nibbles(bytes, codes, |i, code| (code | ((high[i % 32] >> (pair * 2 + i / 32)) & 1) << 4) as i8);
        }
        k_block(block, codes)
    }
}

#[allow(non_camel_case_types)]
struct Q6_K;
impl Format<210> for Q6_K {
    type Block = Grouped;
    #[inline(always)]
    fn unpack(block: &[u8; 210]) -> Grouped {
        let (low, high) = (&block[..128], &block[128..192]);
        let mut codes = [0; SUPER_BLOCK];
        // 128 values share 64 bytes of low codes and 32 of high bits: quarters of 32 values.
        for (i, codes) in codes.chunks_exact_mut(32).enumerate() {
            let (half, quarter) = (i / 4, i % 4);
            let low = &low[half * 64 + quarter % 2 * 32..][..32];
            for ((code, &low), &high) in codes.iter_mut().zip(low).zip(&high[half * 32..][..32]) {
                *code = ((low >> (quarter / 2 * 4)) & 0x0f | ((high >> (quarter * 2)) & 3) << 4) as i8 - 32;
            }
        }
        let own_scales = std::array::from_fn(|group| i32::from(block[192 + group] as i8));
        Grouped { scale: half_at(block, 208), own_scales, codes }
    }
}

struct Iq4Xs;
impl Format<136> for Iq4Xs {
    type Block = Grouped;
    #[inline(always)]
    fn unpack(block: &[u8; 136]) -> Grouped {
        let mut codes = [0; SUPER_BLOCK];
        for (codes, bytes) in codes.chunks_exact_mut(32).zip(block[8..].chunks_exact(16)) {
            nibbles(bytes, codes, |_, code| IQ4_VALUES[usize::from(code)]);
        }
        let own_scales = std::array::from_fn(|group| crate::dequantize::iq4_xs_scale(block, group / 2).into());
        Grouped { scale: half_at(block, 0), own_scales, codes }
    }
}

/// A format whose values take `N` bytes each.
trait Value<const N: usize> {
    fn read(bytes: [u8; N]) -> f32;
}

struct F32;
impl Value<4> for F32 {
    #[inline(always)]
    fn read(bytes: [u8; 4]) -> f32 {
        f32::from_le_bytes(bytes)
    }
}

struct F16;
impl Value<2> for F16 {
    #[inline(always)]
    fn read(bytes: [u8; 2]) -> f32 {
        half::f16::from_le_bytes(bytes).to_f32()
    }
}

struct BF16;
impl Value<2> for BF16 {
    #[inline(always)]
    fn read(bytes: [u8; 2]) -> f32 {
        f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)
    }
}

/// See [`super::Plain`].
#[inline(always)]
fn plain<const N: usize, V: Value<N>>(rows: &[u8], columns: usize, values: &[f32], out: &mut Strip<'_>) {
    for (r, row) in rows.chunks_exact(columns * N).enumerate() {
        for (i, values) in values.chunks_exact(columns).enumerate() {
            let mut lanes = [0.0f32; 16];
            for (weights, values) in row.as_chunks::<N>().0.chunks(16).zip(values.chunks(16)) {
                for ((lane, &weight), &value) in lanes.iter_mut().zip(weights).zip(values) {
                    *lane = V::read(weight).mul_add(value, *lane);
                }
            }
            out.row(i)[r] = fold(lanes);
        }
    }
}
