//! Fits of a scale (and a minimum) to a group of values, so that the weighted squared error of the rounded values is small.
//!
//! Each tries a list of scales around the plain one and keeps the best. Source: `make_qx_quants`, `make_q3_quants`,
//! `make_qkx2_quants`, `make_qkx3_quants`, `make_qp_quants` of ggml; the order of every operation is theirs.
//!
//! `L` groups are fitted side by side: value `i` of group `l` stands at `[i][l]`. No sum runs across groups, so the result
//! does not depend on `L`, and the compiler can give each group a lane of a vector register.

use super::lanes::Lanes;

/// A group whose largest magnitude is below this counts as zero (`GROUP_MAX_EPS`).
pub(super) const ZERO: f32 = 1e-15;
/// How often single codes are moved at most.
const ROUNDS: usize = 5;

/// To the nearest whole number, ties to even, as adding 1.5 * 2^23 does it: right up to 2^22, and beyond it what ggml gets.
#[inline(always)]
pub(super) fn nearest(value: f32) -> i32 {
    ((value + 12_582_912.0).to_bits() & 0x007f_ffff) as i32 - 0x0040_0000
}

/// The value of the largest magnitude, with its sign; the first of equals.
#[inline(always)]
pub(super) fn peak(values: &[f32]) -> f32 {
    // Magnitudes are in the order of their bits, and whole numbers have no order of operations to keep.
    let most = values.iter().fold(0, |most, value| most.max(value.abs().to_bits()));
    values.iter().copied().find(|value| value.abs().to_bits() == most && most != 0).unwrap_or(0.0)
}

/// [`peak`] of each group.
#[inline(always)]
pub(super) fn peaks<const L: usize>(values: &[Lanes<L>]) -> Lanes<L> {
    values.iter().fold(Lanes::all(0.0), |peaks, value| value.abs().above(peaks.abs()).choose(*value, peaks))
}

/// value ~ scale * (code - limit), codes from 0 to 2 * limit - 1. Returns the scales and the codes.
#[inline(always)]
pub(super) fn signed<const L: usize, const N: usize>(
    values: &[Lanes<L>; N],
    weights: &[Lanes<L>; N],
    limit: f32,
) -> (Lanes<L>, [Lanes<L>; N]) {
    let peaks = peaks(values);
    let mut chosen = -limit / peaks;
    let (products, squares) = signed_sums(values, weights, limit, chosen);
    let mut scales = squares.equals(Lanes::all(0.0)).choose(Lanes::all(0.0), products / squares);
    let mut best = scales * products;
    for step in (-9i32..=9).filter(|&step| step != 0) {
        let inverse = -(limit + 0.1 * step as f32) / peaks;
        let (products, squares) = signed_sums(values, weights, limit, inverse);
        let better = squares.above(Lanes::all(0.0)).and((products * products).above(best * squares));
        let scale = products / squares;
        scales = better.choose(scale, scales);
        best = better.choose(scale * products, best);
        chosen = better.choose(inverse, chosen);
    }
    let zero = peaks.abs().below(Lanes::all(ZERO));
    let code = |value: Lanes<L>| (chosen * value).round().clamp(-limit, limit - 1.0) + Lanes::all(limit);
    let codes = values.map(|value| zero.choose(Lanes::all(0.0), code(value)));
    (zero.choose(Lanes::all(0.0), scales), codes)
}

/// The sums of weight * value * code and of weight * code * code: their quotient is the best scale for these codes.
#[inline(always)]
fn signed_sums<const L: usize>(
    values: &[Lanes<L>],
    weights: &[Lanes<L>],
    limit: f32,
    inverse: Lanes<L>,
) -> (Lanes<L>, Lanes<L>) {
    let (mut products, mut squares) = (Lanes::all(0.0), Lanes::all(0.0));
    for (&value, &weight) in values.iter().zip(weights) {
        let code = (inverse * value).round().clamp(-limit, limit - 1.0);
        products = products + weight * value * code;
        squares = squares + weight * code * code;
    }
    (products, squares)
}

/// As [`signed`], weighted by the values' squares, moving one code at a time instead of trying scales.
#[inline(always)]
pub(super) fn signed_by_moves<const L: usize, const N: usize>(
    values: &[Lanes<L>; N],
    limit: f32,
) -> (Lanes<L>, [Lanes<L>; N]) {
    let peaks = peaks(values);
    let zero = peaks.abs().below(Lanes::all(ZERO));
    let inverse = -limit / peaks;
    let nothing = Lanes::all(0.0);
    let mut codes = values.map(|value| (inverse * value).round().clamp(-limit, limit - 1.0));
    let (mut products, mut squares) = (nothing, nothing);
    for (&value, &code) in values.iter().zip(&codes) {
        let weight = value * value;
        products = products + weight * value * code;
        squares = squares + weight * code * code;
    }
    // A group that a round leaves as it was is left so by every later one.
    for _ in 0..ROUNDS {
        let mut moved = zero.and(zero.not());
        for (code, &value) in codes.iter_mut().zip(values) {
            let weight = value * value;
            let others = products - weight * value * *code;
            let their_squares = squares - weight * *code * *code;
            // Far out of range ggml's rounding wraps: as it does, so do we.
            let better = (value * their_squares / others).nearest().clamp(-limit, limit - 1.0);
            let new_products = others + weight * value * better;
            let new_squares = their_squares + weight * better * better;
            let gains = (new_products * new_products * squares).above(products * products * new_squares);
            let take = others.above(nothing).and(new_squares.above(nothing)).and(better.equals(*code).not());
            let take = take.and(gains).and(zero.not());
            *code = take.choose(better, *code);
            products = take.choose(new_products, products);
            squares = take.choose(new_squares, squares);
            moved = take.not().and(moved.not()).not();
        }
        if !moved.any() {
            break;
        }
    }
    let scales = squares.above(nothing).and(zero.not()).choose(products / squares, nothing);
    (scales, codes.map(|code| zero.choose(nothing, code + Lanes::all(limit))))
}

/// The scales that [`offset`] tries: `limit + start + step * i` codes over the range, for `i` from 0 to `steps`.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub start: f32,
    pub step: f32,
    pub steps: i32,
    /// The error is the magnitude of the difference, not its square.
    pub magnitude: bool,
}

impl Grid {
    /// What every format uses with an importance matrix.
    pub const WEIGHTED: Grid = Grid { start: -0.9, step: 0.05, steps: 36, magnitude: false };
}

/// value ~ scale * code - minimum, codes from 0 to `limit`; no minimum is negative.
pub(super) struct Offset<const L: usize, const N: usize> {
    pub scales: Lanes<L>,
    pub minimums: Lanes<L>,
    pub codes: [Lanes<L>; N],
}

#[inline(always)]
pub(super) fn offset<const L: usize, const N: usize>(
    values: &[Lanes<L>; N],
    weights: &[Lanes<L>; N],
    limit: f32,
    grid: Grid,
) -> Offset<L, N> {
    let nothing = Lanes::all(0.0);
    let (mut least, mut greatest) = (values[0], values[0]);
    let (mut weight_sum, mut value_sum) = (weights[0], weights[0] * values[0]);
    for (&value, &weight) in values.iter().zip(weights).skip(1) {
        least = value.min(least);
        greatest = value.max(greatest);
        weight_sum = weight_sum + weight;
        value_sum = value_sum + weight * value;
    }
    least = least.above(nothing).choose(nothing, least);
    // A group of equal values has no range.
    let (flat, flat_least) = (greatest.above(least).not(), least);
    let code =
        |inverse: Lanes<L>, least: Lanes<L>, value: Lanes<L>| (inverse * (value - least)).round().clamp(0.0, limit);
    let inverse = limit / (greatest - least);
    let mut scales = 1.0 / inverse;
    let mut codes = [nothing; N];
    let mut best = nothing;
    for ((out, &value), &weight) in codes.iter_mut().zip(values).zip(weights) {
        *out = code(inverse, least, value);
        best = best + weight * error(scales, *out, least, value, grid.magnitude);
    }
    let mut tried = [nothing; N];
    for step in 0..=grid.steps {
        // From the best minimum so far on.
        let inverse = (grid.start + grid.step * step as f32 + limit) / (greatest - least);
        let (mut code_sum, mut square_sum, mut product_sum) = (nothing, nothing, nothing);
        for ((out, &value), &weight) in tried.iter_mut().zip(values).zip(weights) {
            let code = code(inverse, least, value);
            *out = code;
            code_sum = code_sum + weight * code;
            square_sum = square_sum + weight * code * code;
            product_sum = product_sum + weight * code * value;
        }
        let determinant = weight_sum * square_sum - code_sum * code_sum;
        // Least squares of both unknowns; of the scale alone where the minimum would have the wrong sign.
        let own = (square_sum * value_sum - code_sum * product_sum) / determinant;
        let alone = own.above(nothing);
        let this_least = alone.choose(nothing, own);
        let both = (weight_sum * product_sum - value_sum * code_sum) / determinant;
        let this_scale = alone.choose(product_sum / square_sum, both);
        let mut this = nothing;
        for ((&code, &value), &weight) in tried.iter().zip(values).zip(weights) {
            this = this + weight * error(this_scale, code, this_least, value, grid.magnitude);
        }
        let better = determinant.above(nothing).and(this.below(best));
        if better.any() {
            best = better.choose(this, best);
            scales = better.choose(this_scale, scales);
            least = better.choose(this_least, least);
            for (code, &tried) in codes.iter_mut().zip(&tried) {
                *code = better.choose(tried, *code);
            }
        }
    }
    Offset {
        scales: flat.choose(nothing, scales),
        minimums: -flat.choose(flat_least, least),
        codes: codes.map(|code| flat.choose(nothing, code)),
    }
}

#[inline(always)]
fn error<const L: usize>(
    scale: Lanes<L>,
    code: Lanes<L>,
    least: Lanes<L>,
    value: Lanes<L>,
    magnitude: bool,
) -> Lanes<L> {
    let difference = scale * code + least - value;
    if magnitude { difference.abs() } else { difference * difference }
}

/// value ~ scale * code for values that are not negative, codes from 0 to `limit`. Returns the scale.
pub(super) fn positive(values: &[f32], weights: &[f32], limit: i32, codes: &mut [u8]) -> f32 {
    let most = values.iter().fold(0.0f32, |most, &v| if most > v { most } else { v });
    if most < ZERO {
        codes.fill(0);
        return 0.0;
    }
    let error = |scale: f32, code: &dyn Fn(f32) -> f32| {
        let mut error = 0.0;
        for (&value, &weight) in values.iter().zip(weights) {
            let difference = value - scale * code(value);
            error += weight * difference * difference;
        }
        error
    };
    let mut inverse = limit as f32 / most;
    let mut best = error(1.0 / inverse, &|value| f32::from(nearest(inverse * value) as u8));
    for step in (-4i32..=4).filter(|&step| step != 0) {
        let other = (0.1 * step as f32 + limit as f32) / most;
        let this = error(1.0 / other, &|value| nearest(other * value).min(limit) as f32);
        if this < best {
            (best, inverse) = (this, other);
        }
    }
    let (mut products, mut squares) = (0.0f32, 0.0f32);
    for ((out, &value), &weight) in codes.iter_mut().zip(values).zip(weights) {
        let code = nearest(inverse * value).min(limit);
        *out = code as u8;
        products += weight * value * code as f32;
        squares += weight * code as f32 * code as f32;
    }
    for _ in 0..ROUNDS {
        let mut moved = false;
        for ((out, &value), &weight) in codes.iter_mut().zip(values).zip(weights) {
            let code = f32::from(*out);
            let mut others = products - weight * value * code;
            let mut their_squares = squares - weight * code * code;
            if others.is_nan() || others <= 0.0 || their_squares.is_nan() || their_squares <= 0.0 {
                continue;
            }
            let better = nearest(value * their_squares / others).min(limit);
            if better == i32::from(*out) {
                continue;
            }
            others += weight * value * better as f32;
            their_squares += weight * better as f32 * better as f32;
            if others * others * squares > products * products * their_squares {
                (*out, products, squares, moved) = (better as u8, others, their_squares, true);
            }
        }
        if !moved {
            break;
        }
    }
    if squares > 0.0 { products / squares } else { 0.0 }
}
