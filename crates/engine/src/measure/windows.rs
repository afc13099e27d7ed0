//! A text cut into windows of equal length, and the averages over what is read in them.

use std::ops::{ControlFlow, Range};

use huacaya_progress::{Progress, Watch};

use super::{Error, Result};
use crate::template::Prompt;
use crate::{Extension, LoadOptions, Model};

/// How a text is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Tokens of a window. Published tables use 512 or 4,096.
    pub context: usize,
    /// Windows that are read at most; `None`: all.
    pub windows_max: Option<usize>,
}

impl Default for Cut {
    fn default() -> Cut {
        Cut { context: 512, windows_max: None }
    }
}

/// How a model is to be loaded for windows of `context` tokens: angles are never stretched, as in llama.cpp.
pub fn load_options(context: usize) -> LoadOptions {
    LoadOptions { context: Some(context), extension: Extension::Off, ..LoadOptions::default() }
}

/// The windows of a text; what remains at its end is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Windows {
    tokens: Vec<u32>,
    context: usize,
    /// Put in the place of each window's first token, where the model begins texts with one.
    bos: Option<u32>,
}

impl Windows {
    /// As llama.cpp's tools: the text without one newline at its end, two windows at least.
    pub fn new(model: &Model, text: &str, cut: Cut) -> Result<Windows> {
        let context = cut.context.max(2);
        if context > model.context() {
            return Err(Error::ContextTooShort { wanted: context, context: model.context() });
        }
        let text = text.strip_suffix('\n').unwrap_or(text);
        let mut tokens = model.render(&Prompt::Raw(text.to_string()))?.tokens;
        if tokens.len() < 2 * context {
            return Err(Error::TextTooShort { tokens: tokens.len(), needed: 2 * context });
        }
        let count = (tokens.len() / context).min(cut.windows_max.unwrap_or(usize::MAX).max(1));
        tokens.truncate(count * context);
        let bos = model.tokenizer().bos().filter(|_| model.tokenizer().adds_bos());
        Ok(Windows { tokens, context, bos })
    }

    pub fn count(&self) -> usize {
        self.tokens.len() / self.context
    }

    pub fn context(&self) -> usize {
        self.context
    }

    /// The positions whose next token is judged: the second half of a window but for its last.
    pub fn judged(&self) -> Range<usize> {
        self.context / 2..self.context - 1
    }

    /// What the model is given of a window.
    pub fn window(&self, number: usize) -> Vec<u32> {
        let mut window = self.tokens[number * self.context..][..self.context].to_vec();
        if let Some(bos) = self.bos {
            window[0] = bos;
        }
        window
    }

    /// The token that stands after a position of a window.
    pub fn after(&self, number: usize, position: usize) -> usize {
        self.tokens[number * self.context + position + 1] as usize
    }

    /// A window's progress as a part of the whole text's, in tokens.
    pub fn part(&self, number: usize, watch: &mut Watch<'_>) -> impl FnMut(Progress) -> ControlFlow<()> + Send {
        let (before, total) = ((number * self.context) as u64, self.tokens.len() as u64);
        move |progress: Progress| watch(Progress { done: before + progress.done, total })
    }
}

/// The mean of many values, and how sure it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Mean {
    sum: f64,
    squares: f64,
    pub count: usize,
}

impl Mean {
    pub fn add(&mut self, value: f64) {
        self.sum += value;
        self.squares += value * value;
        self.count += 1;
    }

    pub fn value(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }

    /// The mean's standard error.
    pub fn error(&self) -> f64 {
        if self.count < 2 {
            return 0.0;
        }
        let variance = self.squares / self.count as f64 - self.value() * self.value();
        (variance.max(0.0) / (self.count - 1) as f64).sqrt()
    }
}

/// What turns a row of logits into log-probabilities.
#[derive(Clone, Copy, Debug)]
pub(super) struct Softmax {
    pub largest: f32,
    /// Logarithm of the sum of `exp(logit - largest)`.
    pub log_sum: f64,
    /// The likeliest token, the first of several.
    pub top: usize,
}

impl Softmax {
    pub fn of(logits: &[f32]) -> Softmax {
        let (mut top, mut largest) = (0, f32::NEG_INFINITY);
        for (i, &logit) in logits.iter().enumerate() {
            if logit > largest {
                (top, largest) = (i, logit);
            }
        }
        let sum: f64 = logits.iter().map(|logit| f64::from((logit - largest).exp())).sum();
        Softmax { largest, log_sum: sum.ln(), top }
    }

    /// The negative logarithm of a token's probability.
    pub fn surprise(&self, logit: f32) -> f64 {
        f64::from(self.largest) + self.log_sum - f64::from(logit)
    }
}
