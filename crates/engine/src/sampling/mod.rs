//! From logits to the next token: penalties, filters, the draw, and guidance.

/// How tokens are drawn. The default changes nothing but draws at temperature 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f32,
    /// 0 keeps all.
    pub top_k: u32,
    /// 1 keeps all.
    pub top_p: f32,
    /// 0 keeps all.
    pub min_p: f32,
    /// 1 changes nothing.
    pub repetition_penalty: f32,
    /// How many of the last tokens the three penalties look at.
    pub penalty_window: u32,
    pub frequency_penalty: f32,
    pub presence_penalty: f32,
    /// 0 switches DRY off.
    pub dry_multiplier: f32,
    pub dry_base: f32,
    pub dry_allowed_length: u32,
    /// 0 switches XTC off.
    pub xtc_probability: f32,
    pub xtc_threshold: f32,
    /// Token id and what is added to its logit.
    pub logit_bias: Vec<(u32, f32)>,
    pub seed: u64,
    /// Classifier-free guidance; active above 1.
    pub guidance: f32,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            penalty_window: 64,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            dry_multiplier: 0.0,
            dry_base: 1.75,
            dry_allowed_length: 2,
            xtc_probability: 0.0,
            xtc_threshold: 0.1,
            logit_bias: Vec::new(),
            seed: 0,
            guidance: 1.0,
        }
    }
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("{name} is {value}; it must be {allowed}")]
    OutOfRange { name: &'static str, value: String, allowed: &'static str },
    #[error("the model gave no usable scores for the next token (all are NaN or infinite)")]
    NoScores,
}

/// Draws tokens for one reply; knows the tokens so far.
pub struct Sampler {
    #[allow(dead_code)]
    sampling: Sampling,
}

impl Sampler {
    /// Checks every value. `breakers` are the tokens at which DRY starts anew (line ends, quotes, marks): `dry_breakers(tokenizer)`.
    pub fn new(_sampling: &Sampling, _vocabulary_size: usize, _breakers: &[u32]) -> Result<Sampler, Error> {
        unimplemented!()
    }

    /// Notes a token of the prompt or the reply, in order: penalties look back at them.
    pub fn accept(&mut self, _id: u32) {
        unimplemented!()
    }

    /// The token at `position` (counted from the start of the context): a function of the logits, the tokens so far, the seed and the position. `logits` is changed.
    pub fn sample(&mut self, _logits: &mut [f32], _position: u64) -> Result<u32, Error> {
        unimplemented!()
    }
}

/// Guidance: log-softmax of both, then `negative + strength * (logits - negative)`, into `logits`. `negative` is changed.
pub fn guide(_logits: &mut [f32], _negative: &mut [f32], _strength: f32) {
    unimplemented!()
}

/// The `count` likeliest tokens with their natural log-probabilities, likeliest first, `chosen` first of all where given.
pub fn log_probabilities(_logits: &[f32], _chosen: Option<u32>, _count: usize) -> Vec<(u32, f32)> {
    unimplemented!()
}
