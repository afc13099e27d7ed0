//! Sampling against numbers worked out by hand.

use super::*;

fn sampler(sampling: Sampling) -> Sampler {
    Sampler::new(&sampling, 8, &[]).unwrap()
}

/// The tokens that a thousand positions give, each once, in order of id.
fn drawn(sampling: Sampling, logits: &[f32]) -> Vec<u32> {
    let mut sampler = sampler(sampling);
    let mut all: Vec<u32> = (0..1000).map(|position| sampler.sample(&mut logits.to_vec(), position).unwrap()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Logits whose softmax is these probabilities.
fn of(probabilities: &[f32]) -> Vec<f32> {
    probabilities.iter().map(|p| p.ln()).collect()
}

const FIVE: [f32; 5] = [0.4, 0.3, 0.15, 0.1, 0.05];

#[test]
fn temperature_0_takes_the_best_and_the_first_of_equals() {
    let mut sampler = sampler(Sampling { temperature: 0.0, ..Sampling::default() });
    assert_eq!(sampler.sample(&mut [1.0, 3.0, 2.0, 3.0], 0), Ok(1));
    assert_eq!(sampler.sample(&mut [f32::NAN, -5.0, f32::NEG_INFINITY], 1), Ok(1));
    assert_eq!(sampler.sample(&mut [f32::NAN, f32::NEG_INFINITY], 2), Err(Error::NoScores));
    assert_eq!(sampler.sample(&mut [0.0, f32::INFINITY, 1.0], 3), Ok(1));
}

#[test]
fn each_filter_keeps_what_its_definition_says() {
    let logits = of(&FIVE);
    let base = Sampling::default();
    assert_eq!(drawn(base.clone(), &logits), [0, 1, 2, 3, 4]);
    assert_eq!(drawn(Sampling { top_k: 2, ..base.clone() }, &logits), [0, 1]);
    // 0.4 + 0.3 < 0.75 <= 0.4 + 0.3 + 0.15
    assert_eq!(drawn(Sampling { top_p: 0.75, ..base.clone() }, &logits), [0, 1, 2]);
    assert_eq!(drawn(Sampling { top_p: 0.0, ..base.clone() }, &logits), [0]);
    // 0.3 * 0.4 = 0.12
    assert_eq!(drawn(Sampling { min_p: 0.3, ..base.clone() }, &logits), [0, 1, 2]);
    assert_eq!(drawn(Sampling { min_p: 1.0, ..base.clone() }, &logits), [0]);
    // After top-k 2 the two hold 4/7 and 3/7: 0.5 is reached by the first.
    assert_eq!(drawn(Sampling { top_k: 2, top_p: 0.5, ..base.clone() }, &logits), [0]);
    // 0.4 and 0.3 and 0.15 are at or above 0.12; of these only 0.15 stays.
    let xtc = Sampling { xtc_probability: 1.0, xtc_threshold: 0.12, ..base.clone() };
    assert_eq!(drawn(xtc.clone(), &logits), [2, 3, 4]);
    assert_eq!(drawn(Sampling { xtc_threshold: 0.35, ..xtc.clone() }, &logits), [0, 1, 2, 3, 4]);
    assert_eq!(drawn(Sampling { xtc_probability: 0.5, ..xtc }, &logits), [0, 1, 2, 3, 4]);
}

#[test]
fn draws_follow_the_probabilities() {
    let count = |temperature: f32| {
        let mut sampler = sampler(Sampling { temperature, seed: 7, ..Sampling::default() });
        let draws = (0..20_000).map(|position| sampler.sample(&mut of(&FIVE), position).unwrap());
        draws.filter(|&id| id == 0).count() as f32 / 20_000.0
    };
    assert!((count(1.0) - 0.4).abs() < 0.015);
    // Temperature 0.5 squares: 0.16 / (0.16 + 0.09 + 0.0225 + 0.01 + 0.0025)
    assert!((count(0.5) - 0.561).abs() < 0.015);
}

#[test]
fn a_draw_depends_on_seed_and_position_alone() {
    let draw_at = |seed: u64, position: u64| {
        let mut sampler = sampler(Sampling { seed, ..Sampling::default() });
        sampler.sample(&mut of(&[0.125; 8]), position).unwrap()
    };
    let forwards: Vec<u32> = (0..64).map(|position| draw_at(3, position)).collect();
    let backwards: Vec<u32> = (0..64).rev().map(|position| draw_at(3, position)).collect();
    assert!(forwards.iter().eq(backwards.iter().rev()));
    assert_ne!(forwards, (0..64).map(|position| draw_at(4, position)).collect::<Vec<_>>());
}

/// Logits after the penalties, for a history.
fn penalized(sampling: Sampling, breakers: &[u32], history: &[u32], logits: &[f32]) -> Vec<f32> {
    let mut seen = History::new(sampling.penalty_window as usize, breakers);
    history.iter().for_each(|&id| seen.push(id));
    let mut logits = logits.to_vec();
    seen.penalize(&sampling, &mut logits);
    logits
}

#[test]
fn penalties_are_those_of_their_formulas() {
    let logits = [2.0, -2.0, 1.0, 0.5];
    let base = Sampling::default();
    let repetition = Sampling { repetition_penalty: 2.0, ..base.clone() };
    assert_eq!(penalized(repetition.clone(), &[], &[0, 1, 1], &logits), [1.0, -4.0, 1.0, 0.5]);
    let counted = Sampling { frequency_penalty: 0.5, presence_penalty: 0.25, ..base.clone() };
    assert_eq!(penalized(counted.clone(), &[], &[0, 1, 1], &logits), [1.25, -3.25, 1.0, 0.5]);
    let short = Sampling { penalty_window: 2, ..repetition.clone() };
    assert_eq!(penalized(short, &[], &[0, 2, 1, 1], &logits), [2.0, -4.0, 1.0, 0.5]);
    let none = Sampling { penalty_window: 0, ..repetition };
    assert_eq!(penalized(none, &[], &[0, 1], &logits), logits);
    assert_eq!(penalized(base, &[], &[0, 1], &logits), logits);
}

#[test]
fn dry_punishes_the_token_that_would_lengthen_a_repetition() {
    let dry = Sampling { dry_multiplier: 0.8, dry_base: 2.0, dry_allowed_length: 2, ..Sampling::default() };
    let zero = [0.0; 6];
    // "1 2 3 ... 1 2": 3 would make a repetition of length 2: 0.8 * 2^0.
    assert_eq!(penalized(dry.clone(), &[], &[1, 2, 3, 4, 1, 2], &zero), [0.0, 0.0, 0.0, -0.8, 0.0, 0.0]);
    // "5 1 2 3 ... 5 1 2": length 3: 0.8 * 2^1.
    assert_eq!(penalized(dry.clone(), &[], &[5, 1, 2, 3, 4, 5, 1, 2], &zero)[3], -1.6);
    assert_eq!(penalized(dry.clone(), &[], &[2, 3, 4, 2], &zero), zero, "length 1 is allowed");
    assert_eq!(penalized(dry.clone(), &[1], &[5, 1, 2, 3, 4, 5, 1, 2], &zero), zero, "a breaker ends the match");
    assert_eq!(penalized(dry.clone(), &[3], &[1, 2, 3, 4, 1, 2], &zero), zero, "a breaker is never punished");
    let loops = penalized(Sampling { dry_base: 10.0, ..dry }, &[], &[1; 10_000], &zero);
    assert!(loops[1] < -1e30 && loops[1].is_finite());
}

#[test]
fn a_bias_moves_its_token_only() {
    let biased = Sampling { temperature: 0.0, logit_bias: vec![(2, 5.0), (0, -1000.0)], ..Sampling::default() };
    assert_eq!(sampler(biased).sample(&mut [3.0, 1.0, 0.0], 0), Ok(2));
}

#[test]
fn guidance_moves_away_from_the_negative_prompt() {
    // ln 0.5 + 2 (ln 0.5 - ln 0.5) and so on; the second: 2 ln 0.25 - ln 0.4
    let (mut logits, mut negative) = (of(&[0.5, 0.25, 0.25]), of(&[0.5, 0.4, 0.1]));
    guide(&mut logits, &mut negative, 2.0);
    let expected = [0.5f32.ln(), (0.0625f32 / 0.4).ln(), (0.0625f32 / 0.1).ln()];
    assert!(logits.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{logits:?}");
    let mut untouched = [1.0, 2.0];
    guide(&mut untouched, &mut [5.0, 5.0], 1.0);
    assert_eq!(untouched, [1.0, 2.0]);
    let (mut broken, mut negative) = ([f32::NEG_INFINITY, 0.0, f32::NAN], [0.0, f32::NEG_INFINITY, f32::NAN]);
    guide(&mut broken, &mut negative, 3.0);
    assert_eq!(sampler(Sampling::default()).sample(&mut broken, 0), Ok(1));
}

#[test]
fn log_probabilities_are_those_of_the_softmax() {
    let list = log_probabilities(&of(&FIVE), Some(3), 2);
    let expected = [(3, 0.1f32.ln()), (0, 0.4f32.ln()), (1, 0.3f32.ln())];
    assert!(list.iter().zip(expected).all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 1e-5), "{list:?}");
    assert_eq!(list.len(), 3);
    assert!(log_probabilities(&[f32::NAN], None, 5).is_empty());
}

#[test]
fn values_out_of_range_are_named() {
    type Change = fn(&mut Sampling, f32);
    let fields: [(&str, Change); 12] = [
        ("temperature", |s, v| s.temperature = v),
        ("top_p", |s, v| s.top_p = v),
        ("min_p", |s, v| s.min_p = v),
        ("repetition_penalty", |s, v| s.repetition_penalty = v),
        ("frequency_penalty", |s, v| s.frequency_penalty = v),
        ("presence_penalty", |s, v| s.presence_penalty = v),
        ("dry_multiplier", |s, v| s.dry_multiplier = v),
        ("dry_base", |s, v| s.dry_base = v),
        ("xtc_probability", |s, v| s.xtc_probability = v),
        ("xtc_threshold", |s, v| s.xtc_threshold = v),
        ("guidance", |s, v| s.guidance = v),
        ("logit_bias", |s, v| s.logit_bias = vec![(0, v)]),
    ];
    for (name, change) in fields {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1e9, 1e9] {
            let mut sampling = Sampling::default();
            change(&mut sampling, value);
            let error = Sampler::new(&sampling, 8, &[]).err().unwrap().to_string();
            assert!(error.starts_with(name), "{error}");
        }
    }
    let beyond = Sampling { logit_bias: vec![(8, 1.0)], ..Sampling::default() };
    assert!(Sampler::new(&beyond, 8, &[]).is_err());
}

#[test]
fn extremes_within_range_still_give_a_token() {
    let extremes = [
        Sampling { temperature: 1e-30, ..Sampling::default() },
        Sampling { temperature: 100.0, top_k: u32::MAX, ..Sampling::default() },
        Sampling {
            penalty_window: u32::MAX,
            repetition_penalty: 100.0,
            frequency_penalty: 100.0,
            ..Sampling::default()
        },
        Sampling {
            top_p: f32::MIN_POSITIVE,
            min_p: 1.0,
            xtc_probability: 1.0,
            xtc_threshold: 0.0,
            ..Sampling::default()
        },
    ];
    for sampling in extremes {
        let mut sampler = sampler(sampling);
        sampler.accept(0);
        for logits in
            [[0.0f32; 8], [f32::MAX; 8], [f32::MIN; 8], [-1e30, 1e30, 0.0, f32::NAN, 1.0, 2.0, 3.0, f32::INFINITY]]
        {
            assert!(sampler.sample(&mut logits.to_vec(), 1).unwrap() < 8);
        }
    }
}

#[test]
fn a_token_of_the_large_vocabulary_is_drawn_in_a_small_part_of_a_step() {
    let logits: Vec<f32> = (0..55_296).map(|id| 12.0 * draw::draw(1, id, 5) as f32).collect();
    let family = Sampling { temperature: 0.2, top_k: 40, top_p: 0.9, repetition_penalty: 1.1, ..Sampling::default() };
    let flat = Sampling { top_p: 0.95, min_p: 0.01, dry_multiplier: 0.8, ..Sampling::default() };
    for sampling in [family, flat] {
        let mut sampler = Sampler::new(&sampling, logits.len(), &[]).unwrap();
        (0..2000).for_each(|id| sampler.accept(id % 90));
        let mut buffer = logits.clone();
        // The fastest of many: other work on the machine must not fail this.
        let fastest = (0..50).map(|position| {
            buffer.copy_from_slice(&logits);
            let start = std::time::Instant::now();
            sampler.sample(&mut buffer, position).unwrap();
            start.elapsed()
        });
        let fastest = fastest.min().unwrap();
        println!("{fastest:?} a token");
        assert!(fastest.as_millis() < 10, "{fastest:?}");
    }
}
