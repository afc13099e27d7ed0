//! Fits of a scale (and a minimum) to a group of values, so that the weighted squared error of the rounded values is small.
//!
//! Each tries a list of scales around the plain one and keeps the best. Source: `make_qx_quants`, `make_q3_quants`,
//! `make_qkx2_quants`, `make_qkx3_quants`, `make_qp_quants` of ggml; the order of every operation is theirs.

/// A group whose largest magnitude is below this counts as zero (`GROUP_MAX_EPS`).
pub(super) const ZERO: f32 = 1e-15;
/// Groups hold 16 or 32 values.
const GROUP_MAX: usize = 32;
/// How often single codes are moved at most.
const ROUNDS: usize = 5;

/// To the nearest whole number, ties to even, as adding 1.5 * 2^23 does it: right up to 2^22, and beyond it what ggml gets.
pub(super) fn nearest(value: f32) -> i32 {
    ((value + 12_582_912.0).to_bits() & 0x007f_ffff) as i32 - 0x0040_0000
}

/// The value of the largest magnitude, with its sign; the first of equals.
pub(super) fn peak(values: &[f32]) -> f32 {
    values.iter().fold((0.0f32, 0.0f32), |(most, peak), &v| if v.abs() > most { (v.abs(), v) } else { (most, peak) }).1
}

/// value ~ scale * (code - limit), codes from 0 to 2 * limit - 1. Returns the scale.
pub(super) fn signed(values: &[f32], weights: &[f32], limit: i32, codes: &mut [u8]) -> f32 {
    let peak = peak(values);
    if peak.abs() < ZERO {
        codes.fill(0);
        return 0.0;
    }
    let code = |inverse: f32, value: f32| nearest(inverse * value).clamp(-limit, limit - 1);
    // The sums of weight * value * code and of weight * code * code: their quotient is the best scale for these codes.
    let sums = |inverse: f32| {
        let (mut products, mut squares) = (0.0, 0.0);
        for (&value, &weight) in values.iter().zip(weights) {
            let code = code(inverse, value) as f32;
            products += weight * value * code;
            squares += weight * code * code;
        }
        (products, squares)
    };
    let mut chosen = -(limit as f32) / peak;
    let (products, squares) = sums(chosen);
    let mut scale = if squares == 0.0 { 0.0 } else { products / squares };
    let mut best = scale * products;
    for step in (-9i32..=9).filter(|&step| step != 0) {
        let inverse = -(limit as f32 + 0.1 * step as f32) / peak;
        let (products, squares) = sums(inverse);
        if squares > 0.0 && products * products > best * squares {
            scale = products / squares;
            best = scale * products;
            chosen = inverse;
        }
    }
    for (out, &value) in codes.iter_mut().zip(values) {
        *out = (code(chosen, value) + limit) as u8;
    }
    scale
}

/// As [`signed`], weighted by the values' squares, moving one code at a time instead of trying scales.
pub(super) fn signed_by_moves(values: &[f32], limit: i32, codes: &mut [u8]) -> f32 {
    let peak = peak(values);
    if peak.abs() < ZERO {
        codes.fill(0);
        return 0.0;
    }
    let inverse = -(limit as f32) / peak;
    let mut own = [0i32; GROUP_MAX];
    let (mut products, mut squares) = (0.0f32, 0.0f32);
    for (own, &value) in own.iter_mut().zip(values) {
        *own = nearest(inverse * value).clamp(-limit, limit - 1);
        let (weight, code) = (value * value, *own as f32);
        products += weight * value * code;
        squares += weight * code * code;
    }
    for _ in 0..ROUNDS {
        let mut moved = false;
        for (own, &value) in own.iter_mut().zip(values) {
            let (weight, code) = (value * value, *own as f32);
            let mut others = products - weight * value * code;
            if others <= 0.0 || others.is_nan() {
                continue;
            }
            let mut their_squares = squares - weight * code * code;
            let better = nearest(value * their_squares / others).clamp(-limit, limit - 1);
            if better == *own {
                continue;
            }
            others += weight * value * better as f32;
            their_squares += weight * better as f32 * better as f32;
            if their_squares > 0.0 && others * others * squares > products * products * their_squares {
                (*own, products, squares, moved) = (better, others, their_squares, true);
            }
        }
        if !moved {
            break;
        }
    }
    for (out, own) in codes.iter_mut().zip(own) {
        *out = (own + limit) as u8;
    }
    if squares > 0.0 { products / squares } else { 0.0 }
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

/// value ~ scale * code - minimum, codes from 0 to `limit`; the minimum is not negative. Returns the scale and the minimum.
pub(super) fn offset(values: &[f32], weights: &[f32], limit: i32, grid: Grid, codes: &mut [u8]) -> (f32, f32) {
    let (mut least, mut greatest) = (values[0], values[0]);
    let (mut weight_sum, mut value_sum) = (weights[0], weights[0] * values[0]);
    for (&value, &weight) in values.iter().zip(weights).skip(1) {
        least = if value < least { value } else { least };
        greatest = if value > greatest { value } else { greatest };
        weight_sum += weight;
        value_sum += weight * value;
    }
    least = if least > 0.0 { 0.0 } else { least };
    if greatest <= least {
        codes.fill(0);
        return (0.0, -least);
    }
    let code = |inverse: f32, least: f32, value: f32| nearest(inverse * (value - least)).clamp(0, limit);
    let error = |scale: f32, least: f32, codes: &[u8]| {
        let mut error = 0.0;
        for ((&value, &weight), &code) in values.iter().zip(weights).zip(codes) {
            let difference = scale * f32::from(code) + least - value;
            error += weight * if grid.magnitude { difference.abs() } else { difference * difference };
        }
        error
    };
    let inverse = limit as f32 / (greatest - least);
    let mut scale = 1.0 / inverse;
    for (out, &value) in codes.iter_mut().zip(values) {
        *out = code(inverse, least, value) as u8;
    }
    let mut best = error(scale, least, codes);
    let mut tried = [0; GROUP_MAX];
    let tried = &mut tried[..values.len()];
    for step in 0..=grid.steps {
        // From the best minimum so far on.
        let inverse = (grid.start + grid.step * step as f32 + limit as f32) / (greatest - least);
        let (mut code_sum, mut square_sum, mut product_sum) = (0.0f32, 0.0f32, 0.0f32);
        for ((out, &value), &weight) in tried.iter_mut().zip(values).zip(weights) {
            let code = code(inverse, least, value);
            *out = code as u8;
            let code = code as f32;
            code_sum += weight * code;
            square_sum += weight * code * code;
            product_sum += weight * code * value;
        }
        let determinant = weight_sum * square_sum - code_sum * code_sum;
        if determinant <= 0.0 || determinant.is_nan() {
            continue;
        }
        // Least squares of both unknowns; of the scale alone where the minimum would have the wrong sign.
        let mut this_scale = (weight_sum * product_sum - value_sum * code_sum) / determinant;
        let mut this_least = (square_sum * value_sum - code_sum * product_sum) / determinant;
        if this_least > 0.0 {
            this_least = 0.0;
            this_scale = product_sum / square_sum;
        }
        let this_error = error(this_scale, this_least, tried);
        if this_error < best {
            codes.copy_from_slice(tried);
            (best, scale, least) = (this_error, this_scale, this_least);
        }
    }
    (scale, -least)
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
