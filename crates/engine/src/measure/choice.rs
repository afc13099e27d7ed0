//! Exams of multiple choice: which of the letters A to D the model holds for the likeliest next token.
//!
//! Source: the evaluation scripts of ymcui/Chinese-LLaMA-Alpaca-2 (`scripts/ceval`, `scripts/cmmlu`) with constrained decoding.
//! A letter's score is the sum of the logits of its two pieces, the one that begins a word and the one that goes on. A chat
//! model gets examples as earlier turns of its own template; the scripts repeat the system prompt before the question.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use huacaya_progress::{Progress, Watch};

use super::exam::{Exam, LETTERS, Question, Subject};
use super::{Error, Result};
use crate::reader::Reader;
use crate::template::{Chat, Prompt, Role, Turn};
use crate::{Kind, Model};

/// How an exam is put.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExamOptions {
    /// Answered examples before each question. Published: 0 and 5.
    pub shots: usize,
    /// A chat model's system prompt; a base model gets none.
    pub system: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accuracy {
    pub correct: usize,
    pub total: usize,
}

impl Accuracy {
    fn add(&mut self, correct: bool) {
        self.correct += usize::from(correct);
        self.total += 1;
    }
}

/// The marks of an exam.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evaluation {
    pub total: Accuracy,
    pub groups: Vec<(String, Accuracy)>,
    /// By the subject's name, in the exam's order.
    pub subjects: Vec<(String, Accuracy)>,
    /// Questions that got fewer examples than were asked for, because the context or the subject has no more.
    pub fewer_shots: usize,
    /// Questions that do not fit the context even alone; they are not in the total.
    pub left_out: usize,
}

/// Puts every question to the model: a chat model through its template, a base model as text. The watch counts questions.
pub fn evaluate(model: &Model, exam: &Exam, options: &ExamOptions, watch: Watch<'_>) -> Result<Evaluation> {
    let letters = letters(model)?;
    let mut reader = Reader::new(model)?;
    let mut evaluation = Evaluation::default();
    let mut groups: BTreeMap<&str, Accuracy> = BTreeMap::new();
    let mut progress = Progress { done: 0, total: exam.questions() as u64 };
    for subject in exam.subjects() {
        if options.shots > 0 && subject.examples.is_empty() {
            return Err(Error::ShotsMissing { subject: subject.name.clone() });
        }
        let mut accuracy = Accuracy::default();
        for question in &subject.questions {
            match tokens(model, subject, question, options)? {
                None => evaluation.left_out += 1,
                Some((tokens, shots)) => {
                    evaluation.fewer_shots += usize::from(shots < options.shots);
                    let mut within = |_: Progress| watch(progress);
                    let chosen = choose(&mut reader, &tokens, &letters, &mut within)?;
                    accuracy.add(chosen == question.answer);
                    groups.entry(&subject.group).or_default().add(chosen == question.answer);
                    evaluation.total.add(chosen == question.answer);
                }
            }
            progress.done += 1;
            if watch(progress) == ControlFlow::Break(()) {
                return Err(Error::Engine(crate::Error::Stopped));
            }
        }
        evaluation.subjects.push((subject.name.clone(), accuracy));
    }
    evaluation.groups = groups.into_iter().map(|(group, accuracy)| (group.to_string(), accuracy)).collect();
    Ok(evaluation)
}

/// The letter with the highest score after the prompt, the first of several.
fn choose(reader: &mut Reader, tokens: &[u32], letters: &[Vec<u32>; 4], watch: Watch<'_>) -> Result<usize> {
    let mut scores = [f32::NEG_INFINITY; 4];
    let score = |_, logits: &[f32]| -> Result<()> {
        scores = letters.each_ref().map(|pieces| pieces.iter().map(|&id| logits[id as usize]).sum());
        Ok(())
    };
    reader.read_changed(tokens, tokens.len() - 1..tokens.len(), score, watch)?;
    Ok((1..4).fold(0, |best, letter| if scores[letter] > scores[best] { letter } else { best }))
}

/// The pieces of each letter, in either form that all four have as one piece.
fn letters(model: &Model) -> Result<[Vec<u32>; 4]> {
    let tokenizer = model.tokenizer();
    let beginning = |letter: char| match tokenizer.is_sentencepiece() {
        true => tokenizer.find(&format!("▁{letter}")),
        false => tokenizer.find(&format!("Ġ{letter}")),
    };
    let inner = |letter: char| tokenizer.find(&letter.to_string());
    let mut letters: [Vec<u32>; 4] = Default::default();
    for form in [LETTERS.map(beginning), LETTERS.map(inner)] {
        if let [Some(a), Some(b), Some(c), Some(d)] = form {
            letters.iter_mut().zip([a, b, c, d]).for_each(|(pieces, id)| pieces.push(id));
        }
    }
    if letters[0].is_empty() { Err(Error::NoLetters) } else { Ok(letters) }
}

/// The question's prompt with as many of the examples as fit, and how many these are. `None` where it does not fit alone.
fn tokens(
    model: &Model,
    subject: &Subject,
    question: &Question,
    options: &ExamOptions,
) -> Result<Option<(Vec<u32>, usize)>> {
    for shots in (0..=options.shots.min(subject.examples.len())).rev() {
        let tokens = model.render(&prompt(model, subject, question, &options.system, shots))?.tokens;
        if !tokens.is_empty() && tokens.len() <= model.context() {
            return Ok(Some((tokens, shots)));
        }
    }
    Ok(None)
}

fn prompt(model: &Model, subject: &Subject, question: &Question, system: &str, shots: usize) -> Prompt {
    let header = format!("以下是中国关于{}考试的单项选择题，请选出其中的正确答案。\n\n", subject.name);
    let examples = &subject.examples[..shots];
    if model.description().kind == Kind::Base {
        let mut text = if shots > 0 { header } else { String::new() };
        for example in examples {
            text.push_str(&format!("{}{}\n\n", block(example), LETTERS[example.answer]));
        }
        return Prompt::Raw(text + &block(question));
    }
    let mut turns = Vec::new();
    let mut say = |role: Role, text: String| turns.push(Turn { role, text, ..Turn::default() });
    if shots > 0 {
        say(Role::User, header);
        say(Role::Assistant, format!("好的，我会结合{}相关知识回答", subject.name));
    }
    for example in examples {
        say(Role::User, block(example));
        say(Role::Assistant, LETTERS[example.answer].to_string());
    }
    say(Role::User, block(question));
    Prompt::Chat(Chat { system: system.to_string(), turns, thinking: Some(false), ..Chat::default() })
}

/// A question as the exams print it, up to where its answer would stand.
fn block(question: &Question) -> String {
    let choices = LETTERS.iter().zip(&question.choices).map(|(letter, choice)| format!("\n{letter}. {choice}"));
    format!("{}{}\n答案：", question.text, choices.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_printed_as_the_published_exams_print_it() {
        let choices = ["中国", "法国", "美国", "日本"].map(String::from);
        let question = Question { text: "长城在哪个国家？".to_string(), choices, answer: 0 };
        assert_eq!(block(&question), "长城在哪个国家？\nA. 中国\nB. 法国\nC. 美国\nD. 日本\n答案：");
    }
}
