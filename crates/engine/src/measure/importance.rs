//! Which columns of a model's matrices a text makes most use of, for quantizing them with care.
//!
//! Source: llama.cpp's `tools/imatrix/imatrix.cpp`: the windows of perplexity, every token of them, and for each matrix of the
//! layers the sum of the squares of what it is multiplied by.

use std::sync::Arc;

use huacaya_progress::Watch;
use huacaya_weights::quantize::Importance;

use super::windows::{Cut, Windows};
use super::{Error, Result};
use crate::Model;
use crate::candle::Tap;
use crate::reader::Reader;

/// Reads the text with the model; `source` is the text's name. The watch counts tokens.
pub fn importance(model: &Model, text: &str, source: &str, cut: Cut, mut watch: Watch<'_>) -> Result<Importance> {
    let windows = Windows::new(model, text, cut)?;
    let tap = Arc::new(Tap::default());
    let mut reader = Reader::over(model.tapped_backend(tap.clone())?, model.context())?;
    for number in 0..windows.count() {
        let nothing = |_, _: &[f32]| -> Result<()> { Ok(()) };
        reader.read(&windows.window(number), 0..0, nothing, &mut windows.part(number, &mut watch))?;
    }
    let mut importance = Importance::default();
    importance.chunks = windows.count() as u32;
    importance.source = source.to_string();
    for (tensor, sums) in tap.sums() {
        let columns: Vec<f32> = sums.columns.iter().map(|sum| *sum as f32).collect();
        if !columns.iter().all(|sum| sum.is_finite()) {
            return Err(Error::NotFinite { tensor });
        }
        importance.add(&tensor, &columns, sums.rows as f32);
    }
    Ok(importance)
}
