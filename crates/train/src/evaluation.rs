//! The held-out questions: asked at temperature 0, right if the answer holds what it must.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use huacaya_engine::sampling::Sampling;
use huacaya_engine::template::{Chat, Prompt, Role, Turn};
use huacaya_engine::{Adapter, Engine, Event, Model, Request};
use serde::Deserialize;

use crate::{Result, data};

/// The system prompt that the questions are asked under: the Alpaca-2 default.
pub const SYSTEM: &str = "You are a helpful assistant. 你是一个乐于助人的助手。";
/// Longer than the longest answer of the held-out set.
const ANSWER_TOKENS_MAX: usize = 450;

/// One line of the held-out set.
#[derive(Clone, Debug, Default, Deserialize)]
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
        names
            .map(|name| (name, share(self.cells.iter().filter(|((c, _), _)| c == name).map(|(_, cell)| cell))))
            .collect()
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
            writeln!(
                f,
                "| {category} | {language} | {right} | {all} | {:.1} % |",
                100.0 * share([&(*right, *all)].into_iter())
            )?;
        }
        for (category, share) in self.categories() {
            writeln!(f, "| {category} | both | | | {:.1} % |", 100.0 * share)?;
        }
        let (right, all) = self.cells.values().fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
        write!(f, "| **all** | both | {right} | {all} | **{:.1} %** |", 100.0 * self.overall())
    }
}

/// The likeliest answer, through the same engine, template and context as in the window.
pub fn ask(engine: &Engine, model: &Arc<Model>, question: &Question) -> Result<String> {
    ask_beside(engine, model, &[], question)
}

/// As [`ask`], with adapters of full strength beside the model.
pub fn ask_beside(
    engine: &Engine,
    model: &Arc<Model>,
    adapters: &[Arc<Adapter>],
    question: &Question,
) -> Result<String> {
    let turn = |role, text: &str| Turn { role, text: text.to_owned(), ..Turn::default() };
    let before = question.before.iter();
    let mut turns: Vec<Turn> =
        before.flat_map(|(asked, answer)| [turn(Role::User, asked), turn(Role::Assistant, answer)]).collect();
    turns.push(turn(Role::User, &question.question));
    let request = Request {
        model: Arc::clone(model),
        adapters: adapters.iter().map(|adapter| (Arc::clone(adapter), 1.0)).collect(),
        prompt: Prompt::Chat(Chat { system: SYSTEM.to_owned(), turns, ..Chat::default() }),
        negative: None,
        sampling: Sampling { temperature: 0.0, ..Sampling::default() },
        grammar: None,
        stop: Vec::new(),
        logprobs: 0,
        echo: false,
        tokens_max: ANSWER_TOKENS_MAX,
        speculate: true,
        draft: None,
    };
    let mut answer = String::new();
    for event in engine.generate(request) {
        if let Event::Token { text, .. } | Event::Text { text, .. } = event? {
            answer.push_str(&text);
        }
    }
    Ok(answer)
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
