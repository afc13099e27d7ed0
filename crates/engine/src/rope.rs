//! Rotary position embedding: turns each pair of a head's values by an angle that grows with the position.
//!
//! Source: Su et al., RoFormer (arXiv 2104.09864). Scalings: linear (arXiv 2306.15595), NTK-aware, YaRN (arXiv 2309.00071),
//! llama3 (transformers, `_compute_llama3_parameters`).

use std::f64::consts::PI;

use crate::Result;
use crate::config::unusable;

/// Adaptive bases move in steps of this part of the original length (4096: 256 positions), so that not every new token
/// turns all keys again.
const SPAN_STEPS: usize = 16;

/// Which two values of a head form a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// `i` with `i + rotated / 2`: Hugging Face folders, qwen.
    Halves,
    /// `2 i` with `2 i + 1`: llama GGUF.
    Adjacent,
}

/// How positions beyond those of the training are brought within reach.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaling {
    Plain,
    /// Positions are divided by `factor`.
    Linear {
        factor: f32,
    },
    /// `base * alpha^(d / (d - 2))`, and positions divided by `linear`.
    Ntk {
        alpha: f32,
        linear: f32,
    },
    /// Above `original` positions `alpha = factor * length / original - (factor - 1)`. Factor 2 is the rule of
    /// Chinese-LLaMA-2: `length / (original / 2) - 1`.
    NtkAdaptive {
        factor: f32,
        original: usize,
        linear: f32,
    },
    Yarn {
        factor: f32,
        original: usize,
        beta_fast: f32,
        beta_slow: f32,
        /// Factor on cosine and sine; `None` is `0.1 ln(factor) + 1`.
        attention: Option<f32>,
    },
    Llama3 {
        factor: f32,
        low: f32,
        high: f32,
        original: usize,
    },
    /// Each frequency is divided by its own factor (`rope_freqs.weight` of a GGUF).
    Factors(Vec<f32>),
}

/// What is needed to know every angle.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeConfig {
    pub base: f32,
    /// How many values of a head turn; the rest stay. Even.
    pub rotated: usize,
    pub pairs: Pairs,
    pub scaling: Scaling,
}

impl RopeConfig {
    /// The unscaled embedding over whole heads.
    pub fn plain(base: f32, head_size: usize, pairs: Pairs) -> RopeConfig {
        RopeConfig { base, rotated: head_size, pairs, scaling: Scaling::Plain }
    }

    pub(crate) fn validate(&self, head_size: usize) -> Result<()> {
        if !(self.base.is_finite() && self.base >= 1.0) {
            return unusable(format!("the rope's base is {}", self.base));
        }
        if self.rotated < 4 || !self.rotated.is_multiple_of(2) || self.rotated > head_size {
            return unusable(format!("the rope turns {} values of a head of {head_size}", self.rotated));
        }
        let sound = |factor: f32| factor.is_finite() && factor > 0.0;
        let fine = match &self.scaling {
            Scaling::Plain => true,
            Scaling::Linear { factor } => sound(*factor),
            Scaling::Ntk { alpha, linear } => sound(*alpha) && sound(*linear),
            Scaling::NtkAdaptive { factor, original, linear } => {
                *factor >= 1.0 && sound(*factor) && *original > 0 && sound(*linear)
            }
            Scaling::Yarn { factor, original, beta_fast, beta_slow, attention } => {
                sound(*factor) && *original > 0 && sound(*beta_fast) && sound(*beta_slow) && attention.is_none_or(sound)
            }
            Scaling::Llama3 { factor, low, high, original } => {
                sound(*factor) && sound(*low) && sound(*high) && high != low && *original > 0
            }
            Scaling::Factors(factors) => {
                if factors.len() != self.rotated / 2 {
                    return unusable(format!("{} rope factors for {} pairs", factors.len(), self.rotated / 2));
                }
                factors.iter().all(|&factor| sound(factor))
            }
        };
        if fine { Ok(()) } else { unusable(format!("the rope's scaling is {:?}", self.scaling)) }
    }
}

/// Angles per position step for one head, for texts of a given length.
#[derive(Clone, Debug)]
pub struct Rope {
    /// In radians; `rotated / 2` of them.
    frequencies: Vec<f32>,
    /// Factor on the rotated values (YaRN's attention temperature); 1.0 elsewhere.
    magnitude: f32,
}

impl Rope {
    /// `span` is the length of the text that the angles are for: only adaptive scaling looks at it.
    pub fn new(config: &RopeConfig, span: usize) -> Rope {
        let dims = config.rotated as f64;
        let stretched = |alpha: f64| f64::from(config.base) * alpha.powf(dims / (dims - 2.0));
        let plain = |base: f64| (0..config.rotated / 2).map(move |i| base.powf(-2.0 * i as f64 / dims));
        let divided = |base: f64, by: f32| plain(base).map(|frequency| frequency / f64::from(by)).collect::<Vec<_>>();
        let base = f64::from(config.base);
        let mut magnitude = 1.0;
        let frequencies = match &config.scaling {
            Scaling::Plain => divided(base, 1.0),
            Scaling::Linear { factor } => divided(base, *factor),
            Scaling::Ntk { alpha, linear } => divided(stretched(f64::from(*alpha)), *linear),
            Scaling::NtkAdaptive { factor, original, linear } => {
                divided(stretched(adaptive_alpha(*factor, *original, span)), *linear)
            }
            Scaling::Yarn { factor, original, beta_fast, beta_slow, attention } => {
                magnitude = attention.unwrap_or(0.1 * factor.ln() + 1.0);
                let (low, high) = yarn_range(dims, base, *original, *beta_fast, *beta_slow);
                let ramp = |i: usize| ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                let mixed = |(i, f): (usize, f64)| f / f64::from(*factor) * ramp(i) + f * (1.0 - ramp(i));
                plain(base).enumerate().map(mixed).collect()
            }
            Scaling::Llama3 { factor, low, high, original } => {
                plain(base).map(|f| llama3(f, *factor, *low, *high, *original)).collect()
            }
            Scaling::Factors(factors) => plain(base).zip(factors).map(|(f, &by)| f / f64::from(by)).collect(),
        };
        Rope { frequencies: frequencies.iter().map(|&f| f as f32).collect(), magnitude }
    }

    /// How many pairs turn.
    pub fn pairs(&self) -> usize {
        self.frequencies.len()
    }

    /// Cosines and sines of one position: as in `angles`.
    pub fn turn(&self, position: usize, cos: &mut [f32], sin: &mut [f32]) {
        for ((frequency, cos), sin) in self.frequencies.iter().zip(cos).zip(sin) {
            let angle = position as f32 * frequency;
            (*cos, *sin) = (angle.cos() * self.magnitude, angle.sin() * self.magnitude);
        }
    }

    /// Cosines and sines of `length` positions from `first` on. Each has the shape (length, rotated / 2).
    pub fn angles(&self, first: usize, length: usize) -> (Vec<f32>, Vec<f32>) {
        let angles = (first..first + length).flat_map(|p| self.frequencies.iter().map(move |f| p as f32 * f));
        angles.map(|angle| (angle.cos() * self.magnitude, angle.sin() * self.magnitude)).unzip()
    }
}

/// The span for which angles are made when a text will grow to `length`: adaptive scaling moves in steps.
pub fn span(config: &RopeConfig, length: usize) -> usize {
    match config.scaling {
        Scaling::NtkAdaptive { original, .. } if length > original => {
            length.next_multiple_of((original / SPAN_STEPS).max(1))
        }
        Scaling::NtkAdaptive { original, .. } => original,
        _ => 0,
    }
}

fn adaptive_alpha(factor: f32, original: usize, span: usize) -> f64 {
    let factor = f64::from(factor);
    if span <= original { 1.0 } else { factor * span as f64 / original as f64 - (factor - 1.0) }
}

/// Between which frequencies YaRN goes over from keeping (low) to interpolating (high).
fn yarn_range(dims: f64, base: f64, original: usize, beta_fast: f32, beta_slow: f32) -> (f64, f64) {
    let at = |turns: f32| dims * (original as f64 / (f64::from(turns) * 2.0 * PI)).ln() / (2.0 * base.ln());
    let low = at(beta_fast).floor().max(0.0);
    let high = at(beta_slow).ceil().min(dims - 1.0);
    (low, if high == low { high + 0.001 } else { high })
}

fn llama3(frequency: f64, factor: f32, low: f32, high: f32, original: usize) -> f64 {
    let (factor, low, high, original) = (f64::from(factor), f64::from(low), f64::from(high), original as f64);
    let wavelength = 2.0 * PI / frequency;
    if wavelength < original / high {
        frequency
    } else if wavelength > original / low {
        frequency / factor
    } else {
        let smooth = (original / wavelength - low) / (high - low);
        (1.0 - smooth) * frequency / factor + smooth * frequency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(scaling: Scaling) -> RopeConfig {
        RopeConfig { scaling, ..RopeConfig::plain(10000.0, 128, Pairs::Halves) }
    }

    /// Bases from the figures of Chinese-LLaMA-2: the second frequency is `base^(-2/128)`.
    #[test]
    fn adaptive_bases_equal_the_published_ones() {
        let scaling = Scaling::NtkAdaptive { factor: 2.0, original: 4096, linear: 1.0 };
        for (length, base) in [(4096, 10000.0), (6144, 20221.0), (8192, 30528.0), (12288, 51294.0), (18000, 80470.0)] {
            let found = f64::from(Rope::new(&config(scaling.clone()), length).frequencies[1]).powf(-64.0);
            assert!((found / base - 1.0).abs() < 1e-4, "{length}: {found} instead of {base}");
        }
    }

    #[test]
    fn yarn_keeps_interpolates_and_scales_as_published() {
        let scaling = Scaling::Yarn { factor: 16.0, original: 4096, beta_fast: 32.0, beta_slow: 1.0, attention: None };
        let rope = Rope::new(&config(scaling), 0);
        assert!((rope.magnitude - 1.277_259).abs() < 1e-5);
        assert_eq!(yarn_range(128.0, 10000.0, 4096, 32.0, 1.0), (20.0, 46.0));
        let plain = Rope::new(&config(Scaling::Plain), 0);
        assert_eq!(rope.frequencies[..=20], plain.frequencies[..=20]);
        for i in 46..64 {
            assert!((rope.frequencies[i] * 16.0 / plain.frequencies[i] - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn hostile_scalings_are_refused() {
        for scaling in [
            Scaling::Linear { factor: 0.0 },
            Scaling::Linear { factor: f32::NAN },
            Scaling::Ntk { alpha: -1.0, linear: 1.0 },
            Scaling::NtkAdaptive { factor: 0.5, original: 4096, linear: 1.0 },
            Scaling::Factors(vec![1.0; 3]),
            Scaling::Llama3 { factor: 8.0, low: 1.0, high: 1.0, original: 8192 },
        ] {
            assert!(config(scaling).validate(128).is_err());
        }
        assert!(RopeConfig::plain(0.0, 128, Pairs::Halves).validate(128).is_err());
        assert!(RopeConfig::plain(10000.0, 7, Pairs::Halves).validate(8).is_err());
        assert!(RopeConfig::plain(10000.0, 128, Pairs::Adjacent).validate(64).is_err());
    }
}
