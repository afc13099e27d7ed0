//! Perplexity: how surprised a model is by a text.
//!
//! Source: `perplexity` of llama.cpp's `tools/perplexity/perplexity.cpp`. The text is cut into windows, each begins with BOS
//! (in the place of its first token) and is read alone; the tokens of its second half are judged.

use huacaya_progress::Watch;

use super::windows::{Cut, Mean, Softmax, Windows};
use super::{Error, Result};
use crate::Model;
use crate::reader::Reader;

/// A perplexity and what it was measured over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Perplexity {
    pub value: f64,
    /// The standard error of `value`.
    pub error: f64,
    /// Tokens that were judged.
    pub tokens: usize,
    pub windows: usize,
    /// Tokens of a window.
    pub context: usize,
}

impl Perplexity {
    /// From the mean surprise of a token, in natural logarithms.
    pub(super) fn from_mean(mean: &Mean, windows: &Windows) -> Result<Perplexity> {
        let value = mean.value().exp();
        if !value.is_finite() {
            return Err(Error::NotFinite { tensor: "output.weight".to_string() });
        }
        let (windows, context) = (windows.count(), windows.context());
        Ok(Perplexity { value, error: mean.error() * value, tokens: mean.count, windows, context })
    }
}

/// Reads the text with the model. The watch counts tokens.
pub fn perplexity(model: &Model, text: &str, cut: Cut, mut watch: Watch<'_>) -> Result<Perplexity> {
    let windows = Windows::new(model, text, cut)?;
    let mut reader = Reader::new(model)?;
    let mut mean = Mean::default();
    for number in 0..windows.count() {
        let judge = |position: usize, logits: &[f32]| -> Result<()> {
            mean.add(Softmax::of(logits).surprise(logits[windows.after(number, position)]));
            Ok(())
        };
        reader.read(&windows.window(number), windows.judged(), judge, &mut windows.part(number, &mut watch))?;
    }
    Perplexity::from_mean(&mean, &windows)
}
