//! The held-out questions: asked at temperature 0, right if the answer holds what it must.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use candle_core::{Device, Tensor};
use huacaya_engine::candle::Decoder;
use huacaya_engine::tokenizer::Tokenizer;
use serde::Deserialize;

use crate::data::{self, Dialogue, Example};
use crate::{Result, recipe::Files};

/// The system prompt that the questions are asked under: the Alpaca-2 default.
pub const SYSTEM: &str = "You are a helpful assistant. 你是一个乐于助人的助手。";

/// One line of the held-out set.
#[derive(Clone, Debug, Deserialize)]
pub struct Question {
    pub category: String,
    pub language: String,
    /// Earlier turns, question and answer.
    pub before: Vec<(String, String)>,
    pub question: String,
    /// What the answer must hold, all of them; `|` parts alternatives.
    pub need: Vec<String>,
}

impl Question {
    pub fn right(&self, answer: &str) -> bool {
        self.need.iter().all(|need| need.split('|').any(|way| answer.contains(way)))
    }
}

/// Reads the held-out set.
pub fn questions(files: &Files) -> Result<Vec<Question>> {
    read(&files.held_out)
}

/// Reads a file of questions.
pub fn read(path: &Path) -> Result<Vec<Question>> {
    data::read_lines(path)
}

/// Right answers and questions of each category and language.
#[derive(Clone, Debug, Default)]
pub struct Report {
    cells: BTreeMap<(String, String), (usize, usize)>,
}

impl Report {
    pub fn add(&mut self, question: &Question, right: bool) {
        let cell = self.cells.entry((question.category.clone(), question.language.clone())).or_default();
        cell.0 += usize::from(right);
        cell.1 += 1;
    }

    /// Share of right answers over all questions.
    pub fn overall(&self) -> f64 {
        share(self.cells.values())
    }

    /// Share of right answers in each category.
    pub fn categories(&self) -> BTreeMap<&str, f64> {
        let names = self.cells.keys().map(|(category, _)| category.as_str());
        names.map(|name| (name, share(self.cells.iter().filter(|((c, _), _)| c == name).map(|(_, cell)| cell)))).collect()
    }
}

fn share<'a>(cells: impl Iterator<Item = &'a (usize, usize)>) -> f64 {
    let (right, all) = cells.fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
    right as f64 / all.max(1) as f64
}

/// A Markdown table.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| category | language | right | questions | share |\n|---|---|---|---|---|")?;
        for ((category, language), (right, all)) in &self.cells {
            writeln!(f, "| {category} | {language} | {right} | {all} | {:.1} % |", 100.0 * share([&(*right, *all)].into_iter()))?;
        }
        for (category, share) in self.categories() {
            writeln!(f, "| {category} | both | | | {:.1} % |", 100.0 * share)?;
        }
        let (right, all) = self.cells.values().fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
        write!(f, "| **all** | both | {right} | {all} | **{:.1} %** |", 100.0 * self.overall())
    }
}

/// The likeliest answer of a decoder in training, without a cache: for weights that are no model file yet.
pub fn answer(decoder: &Decoder, tokenizer: &Tokenizer, question: &Question, tokens_max: usize) -> Result<String> {
    let before = Dialogue { system: SYSTEM.to_owned(), turns: question.before.clone() };
    let mut tokens = Example::new(&before, tokenizer, decoder.config().context).tokens;
    let system = question.before.is_empty().then_some(SYSTEM);
    tokens.extend(tokenizer.bos());
    tokens.extend(tokenizer.encode(&data::prompt(system, &question.question)));
    let mut bytes = Vec::new();
    for _ in 0..tokens_max {
        let inputs = Tensor::from_slice(&tokens, (1, tokens.len()), &Device::Cpu)?;
        let last = decoder.hidden(&inputs)?.narrow(1, tokens.len() - 1, 1)?.flatten_to(1)?;
        let next = decoder.logits(&last)?.squeeze(0)?.argmax(0)?.to_scalar::<u32>()?;
        if Some(next) == tokenizer.eos() || tokens.len() + 1 >= decoder.config().context {
            break;
        }
        bytes.extend_from_slice(tokenizer.bytes(next));
        tokens.push(next);
    }
    Ok(String::from_utf8_lossy(&bytes).trim_start().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_must_hold_every_need_in_one_of_its_ways() {
        let question = Question {
            category: "c".into(),
            language: "en".into(),
            before: Vec::new(),
            question: String::new(),
            need: vec!["a|b".into(), "c".into()],
        };
        assert!(question.right("b and c"));
        assert!(!question.right("a and b"));
        let mut report = Report::default();
        report.add(&question, true);
        report.add(&question, false);
        assert_eq!(report.overall(), 0.5);
    }
}
