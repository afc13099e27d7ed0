//! The exponential, in steps that have the same bits everywhere.

/// Beyond these e^x is infinite and 0 in f32 (its logarithms are 88.72 and -103.97).
const GREATEST: f32 = 90.0;
const LEAST: f32 = -105.0;
/// ln 2 in two parts; the first has so few bits that its product with a whole number up to 152 is exact.
const LN2_HIGH: f32 = 0.693_145_75;
const LN2_LOW: f32 = 1.428_606_8e-6;
/// 1.5 * 2^23: above it f32 has no fractions, so adding it rounds to the nearest whole number, ties to even.
const ROUNDING: f32 = 12_582_912.0;
/// (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2: minimax in the relative error of e^r, 2^-29.8 with these rounded coefficients.
const COEFFICIENTS: [f32; 6] = [0.5, 0.166_666_66, 0.041_666_295, 0.008_333_498, 0.001_394_470_3, 0.000_197_902_98];

/// e^x, within 1 ulp of the exact value, subnormal results too; exactly 1 at 0. NaN for NaN.
///
/// x = n ln 2 + r; e^r by the polynomial, each step fused; then two products with powers of two, of which only the second can
/// round (where the result is subnormal).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Written so that NaN stays.
    let x = if x < LEAST { LEAST } else { x };
    let x = if x > GREATEST { GREATEST } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUNDING);
    let n = shifted - ROUNDING;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, x));
    let [c2, c3, c4, c5, c6, c7] = COEFFICIENTS;
    let tail = c7.mul_add(r, c6).mul_add(r, c5).mul_add(r, c4).mul_add(r, c3).mul_add(r, c2);
    let power = tail.mul_add(r, 1.0).mul_add(r, 1.0);
    // The low bits of `shifted` are n. For NaN they are anything, and what comes of it is NaN again.
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUNDING.to_bits() as i32);
    let half = n >> 1;
    power * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// 2^n for n in [-126, 127].
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}
