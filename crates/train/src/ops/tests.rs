//! Each operation against plain candle ops, forward and gradients, and against finite differences.

use candle_core::{D, Device, Tensor, Var};
use huacaya_engine::candle::{Ops, Plain};
use huacaya_engine::rope::Pairs;

use super::{Training, cross_entropy};
use crate::random::Random;

fn variable(purpose: u64, shape: &[usize]) -> Var {
    let mut random = Random::new(7, purpose);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.normal(1.0)).collect();
    Var::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn close(found: &Tensor, expected: &Tensor, what: &str) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    for (found, expected) in numbers(found).iter().zip(numbers(expected)) {
        assert!((found - expected).abs() < 2e-5 * (1.0 + expected.abs()), "{what}: {found}, not {expected}");
    }
}

/// A weighted sum, so that every output matters differently.
fn weighed(out: &Tensor) -> Tensor {
    let weights = variable(99, out.dims());
    (out * weights.as_tensor()).unwrap().sum_all().unwrap()
}

/// Runs both, compares outputs and every gradient, and one derivative of each input with a finite difference.
fn compare(inputs: &[Var], ours: impl Fn(&[Var]) -> Tensor, plain: impl Fn(&[Var]) -> Tensor) {
    let (found, expected) = (ours(inputs), plain(inputs));
    close(&found, &expected, "forward");
    let (found, expected) = (weighed(&found).backward().unwrap(), weighed(&expected).backward().unwrap());
    for (number, input) in inputs.iter().enumerate() {
        let (found, expected) = (found.get(input).unwrap(), expected.get(input).unwrap());
        close(found, expected, &format!("gradient of input {number}"));
        let (before, at) = (numbers(input), numbers(input).len() / 2);
        let shifted = |by: f32| {
            let mut values = before.clone();
            values[at] += by;
            input.set(&Tensor::from_vec(values, input.shape(), input.device()).unwrap()).unwrap();
            weighed(&ours(inputs)).to_scalar::<f32>().unwrap()
        };
        let slope = (shifted(1e-2) - shifted(-1e-2)) / 2e-2;
        shifted(0.0);
        let gradient = numbers(found)[at];
        assert!(
            (slope - gradient).abs() < 1e-2 * (1.0 + gradient.abs()),
            "input {number}: {gradient}, by difference {slope}"
        );
    }
}

#[test]
fn norm_is_the_plain_norm() {
    compare(
        &[variable(1, &[5, 40]), variable(2, &[40])],
        |x| Training.norm(&x[0], &x[1], 1e-5).unwrap(),
        |x| Plain.norm(&x[0], &x[1], 1e-5).unwrap(),
    );
}

#[test]
fn gated_is_the_plain_gate() {
    compare(
        &[variable(1, &[7, 19]), variable(2, &[7, 19])],
        |x| Training.gated(&x[0], &x[1]).unwrap(),
        |x| Plain.gated(&x[0], &x[1]).unwrap(),
    );
}

#[test]
fn rotate_is_the_plain_rotation_for_both_kinds_of_pairs() {
    let angles = variable(3, &[6, 4]);
    let (cos, sin) = (angles.cos().unwrap(), angles.sin().unwrap());
    for pairs in [Pairs::Halves, Pairs::Adjacent] {
        compare(
            &[variable(1, &[2, 3, 6, 8])],
            |x| Training.rotate(&x[0], &cos, &sin, pairs).unwrap(),
            |x| Plain.rotate(&x[0], &cos, &sin, pairs).unwrap(),
        );
    }
}

#[test]
fn attention_is_the_plain_attention_with_shared_keys_and_a_past() {
    for (heads, kv_heads, length, total) in [(4, 4, 7, 7), (4, 2, 7, 7), (2, 1, 3, 8)] {
        compare(
            &[
                variable(1, &[2, heads, length, 8]),
                variable(2, &[2, kv_heads, total, 8]),
                variable(3, &[2, kv_heads, total, 8]),
            ],
            |x| Training.attention(&x[0], &x[1], &x[2]).unwrap(),
            |x| Plain.attention(&x[0], &x[1], &x[2]).unwrap(),
        );
    }
}

#[test]
fn cross_entropy_is_the_plain_one() {
    let targets = vec![3u32, 0, 28, 3];
    compare(
        &[variable(1, &[4, 29])],
        |x| cross_entropy(&x[0], targets.clone(), 0.25).unwrap(),
        |x| {
            let shifted = x[0].broadcast_sub(&x[0].max_keepdim(D::Minus1).unwrap().detach()).unwrap();
            let log_sum = shifted.exp().unwrap().sum_keepdim(D::Minus1).unwrap().log().unwrap();
            let chosen = Tensor::new(&targets[..], &Device::Cpu).unwrap().unsqueeze(1).unwrap();
            let chosen = shifted.gather(&chosen, 1).unwrap();
            ((log_sum - chosen).unwrap().sum_all().unwrap() * 0.25).unwrap()
        },
    );
}
