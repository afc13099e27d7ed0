//! How far a model's opinion of the next token lies from the original's: Kullback-Leibler divergence and the top token.
//!
//! Source: `kl_divergence` of llama.cpp's `tools/perplexity/perplexity.cpp`. The original is read first and its probabilities
//! are kept in a file, so that only one of the models is ever in memory.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use huacaya_progress::Watch;

use super::perplexity::Perplexity;
use super::windows::{Cut, Mean, Softmax, Windows};
use super::{Error, Result};
use crate::Model;
use crate::reader::Reader;

/// What is kept of the original: some hundred thousand rows of a small vocabulary, ten thousand of a large one. The windows
/// behind that count for perplexity alone.
const KEPT_BYTES_MAX: u64 = 2 << 30;
/// Natural logarithms below the likeliest token that are still told apart; less is less than a ten millionth.
const DEPTH: f32 = 16.0;
/// Scale, smallest log-probability and likeliest token of a row.
const HEAD_BYTES: usize = 12;
/// Bytes that are read or written at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// The original's opinion of a text.
pub struct Base {
    text: String,
    windows: Windows,
    vocabulary: usize,
    /// Windows whose probabilities are in the file.
    kept: usize,
    /// Without a name: it goes with this value, or with the process.
    file: File,
    folder: PathBuf,
    perplexity: Perplexity,
}

/// What lies between two models.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Divergence {
    /// Mean Kullback-Leibler divergence from the original, in natural units.
    pub mean: f64,
    /// Its standard error.
    pub error: f64,
    /// The share of places where both hold the same token for the likeliest, 0 to 1.
    pub top_agreement: f64,
    pub top_agreement_error: f64,
    /// Tokens that were compared.
    pub tokens: usize,
    /// Of the model that was compared, over the whole text.
    pub perplexity: Perplexity,
}

impl Base {
    /// Reads the text with the original and keeps up to 2 GiB of what it thinks in `folder`. The watch counts tokens.
    pub fn read(model: &Model, text: &str, cut: Cut, folder: &Path, mut watch: Watch<'_>) -> Result<Base> {
        let windows = Windows::new(model, text, cut)?;
        let vocabulary = model.config().vocabulary;
        let window_bytes = (windows.judged().len() * row_bytes(vocabulary)) as u64;
        let kept = windows.count().min((KEPT_BYTES_MAX / window_bytes.max(1)).max(1) as usize);
        let failed = |source| Error::Io { path: folder.to_path_buf(), source };
        let file = tempfile::tempfile_in(folder).map_err(failed)?;
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
        let mut reader = Reader::new(model)?;
        let mut row = Vec::new();
        let mut mean = Mean::default();
        for number in 0..windows.count() {
            let keep = |position: usize, logits: &[f32]| -> Result<()> {
                let softmax = Softmax::of(logits);
                mean.add(softmax.surprise(logits[windows.after(number, position)]));
                if number < kept {
                    pack(logits, &softmax, &mut row);
                    out.write_all(&row).map_err(failed)?;
                }
                Ok(())
            };
            reader.read(&windows.window(number), windows.judged(), keep, &mut windows.part(number, &mut watch))?;
        }
        let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
        let perplexity = Perplexity::from_mean(&mean, &windows)?;
        let (text, folder) = (text.to_string(), folder.to_path_buf());
        Ok(Base { text, windows, vocabulary, kept, file, folder, perplexity })
    }

    /// The original's.
    pub fn perplexity(&self) -> &Perplexity {
        &self.perplexity
    }
}

/// Reads the original's text with another model. The watch counts tokens.
pub fn divergence(model: &Model, base: &mut Base, mut watch: Watch<'_>) -> Result<Divergence> {
    let vocabulary = model.config().vocabulary;
    if vocabulary != base.vocabulary {
        return Err(Error::VocabularyDiffers { base: base.vocabulary, other: vocabulary });
    }
    let Base { text, windows, kept, file, folder, .. } = base;
    let cut = Cut { context: windows.context(), windows_max: Some(windows.count()) };
    if Windows::new(model, text, cut)? != *windows {
        return Err(Error::TokensDiffer);
    }
    let failed = |source| Error::Io { path: folder.clone(), source };
    file.rewind().map_err(failed)?;
    let mut kept_rows = BufReader::with_capacity(BUFFER_BYTES, &*file);
    let mut reader = Reader::new(model)?;
    let mut row = vec![0; row_bytes(vocabulary)];
    let (mut surprise, mut apart, mut same_top) = (Mean::default(), Mean::default(), 0);
    for number in 0..windows.count() {
        let compare = |position: usize, logits: &[f32]| -> Result<()> {
            let softmax = Softmax::of(logits);
            surprise.add(softmax.surprise(logits[windows.after(number, position)]));
            if number < *kept {
                kept_rows.read_exact(&mut row).map_err(failed)?;
                let (distance, top) = unpack(&row, logits, &softmax);
                apart.add(distance);
                same_top += usize::from(top == softmax.top);
            }
            Ok(())
        };
        reader.read(&windows.window(number), windows.judged(), compare, &mut windows.part(number, &mut watch))?;
    }
    let share = same_top as f64 / apart.count.max(1) as f64;
    Ok(Divergence {
        mean: apart.value(),
        error: apart.error(),
        top_agreement: share,
        top_agreement_error: (share * (1.0 - share) / apart.count.saturating_sub(1).max(1) as f64).sqrt(),
        tokens: apart.count,
        perplexity: Perplexity::from_mean(&surprise, windows)?,
    })
}

fn row_bytes(vocabulary: usize) -> usize {
    HEAD_BYTES + 2 * vocabulary
}

/// Log-probabilities as sixteen-bit steps between the smallest that is told apart and the largest.
fn pack(logits: &[f32], softmax: &Softmax, row: &mut Vec<u8>) {
    let least = logits.iter().fold(f32::INFINITY, |least, &logit| least.min(logit)).max(softmax.largest - DEPTH);
    let scale = (softmax.largest - least) / f32::from(u16::MAX);
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    row.clear();
    row.extend(scale.to_le_bytes());
    row.extend((least - softmax.largest - softmax.log_sum as f32).to_le_bytes());
    row.extend((softmax.top as u32).to_le_bytes());
    // A cast keeps to the range of its type: what lies below the least becomes 0.
    row.extend(logits.iter().flat_map(|logit| (((logit - least) * inverse).round_ties_even() as u16).to_le_bytes()));
}

/// The divergence of `logits` from what is kept, and the token that the original held for the likeliest.
fn unpack(row: &[u8], logits: &[f32], softmax: &Softmax) -> (f64, usize) {
    let (head, steps) = row.split_at(HEAD_BYTES);
    let word = |i: usize| [head[4 * i], head[4 * i + 1], head[4 * i + 2], head[4 * i + 3]];
    let (scale, least) = (f32::from_le_bytes(word(0)), f32::from_le_bytes(word(1)));
    let normal = softmax.largest + softmax.log_sum as f32;
    let distance = steps.as_chunks().0.iter().zip(logits).map(|(&step, logit)| {
        let log_base = scale * f32::from(u16::from_le_bytes(step)) + least;
        if log_base > -DEPTH { f64::from(log_base.exp() * (log_base - logit + normal)) } else { 0.0 }
    });
    (distance.sum(), u32::from_le_bytes(word(2)) as usize)
}
