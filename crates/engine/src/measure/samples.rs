//! The same questions to every model, at the same seed, to be laid side by side.

use std::ops::ControlFlow;
use std::sync::Arc;

use huacaya_progress::{Progress, Watch};

use super::{Error, Result};
use crate::sampling::Sampling;
use crate::template::{Chat, Prompt, Role, Turn};
use crate::{Engine, Event, Kind, Model, Request};

/// Any will do, as long as it is always the same.
const SEED: u64 = 2023;

/// What shows at a glance whether a model still speaks both languages, reasons, and writes in a form.
const QUESTIONS: [&str; 6] = [
    "你好！请用两三句话介绍一下你自己。",
    "为什么天空是蓝色的？请讲给一个八岁的孩子听。",
    "小明有十二个苹果，送给小红四个，又买了七个。他现在有几个苹果？请写出步骤。",
    "Explain in two sentences what happens when water boils.",
    "Translate into English: 山重水复疑无路，柳暗花明又一村。",
    "Write a short list of three things to check before a long journey.",
];

/// How the questions are asked.
#[derive(Clone, Debug, Default)]
pub struct SampleOptions {
    /// A chat model's system prompt; a base model gets none.
    pub system: String,
    /// The model's own; the seed is set here.
    pub sampling: Sampling,
    /// Tokens of an answer at most.
    pub tokens_max: usize,
}

/// Three in Chinese, three in English.
pub fn questions() -> &'static [&'static str] {
    &QUESTIONS
}

/// An answer for each question. A chat model is asked through its template; a base model goes on with the question's text.
/// The watch counts tokens of answers.
pub fn answers(
    engine: &Engine,
    model: &Arc<Model>,
    questions: &[&str],
    options: &SampleOptions,
    watch: Watch<'_>,
) -> Result<Vec<String>> {
    let total = (questions.len() * options.tokens_max) as u64;
    let ask = |(number, question): (usize, &&str)| -> Result<String> {
        let mut answer = String::new();
        let mut done = (number * options.tokens_max) as u64;
        for event in engine.generate(request(model, question, options)) {
            match event? {
                Event::Token { text, thought: false, .. } | Event::Text { text, thought: false } => {
                    answer.push_str(&text);
                    done += 1;
                }
                _ => {}
            }
            if watch(Progress { done: done.min(total), total }) == ControlFlow::Break(()) {
                return Err(Error::Engine(crate::Error::Stopped));
            }
        }
        Ok(answer.trim().to_string())
    };
    questions.iter().enumerate().map(ask).collect()
}

fn request(model: &Arc<Model>, question: &str, options: &SampleOptions) -> Request {
    let turn = Turn { role: Role::User, text: question.to_string(), ..Turn::default() };
    let prompt = match model.description().kind {
        Kind::Base => Prompt::Raw(question.to_string()),
        Kind::Chat => Prompt::Chat(Chat { system: options.system.clone(), turns: vec![turn], ..Chat::default() }),
    };
    Request {
        model: model.clone(),
        adapters: Vec::new(),
        prompt,
        negative: None,
        sampling: Sampling { seed: SEED, ..options.sampling.clone() },
        grammar: None,
        stop: Vec::new(),
        logprobs: 0,
        echo: false,
        tokens_max: options.tokens_max,
        speculate: true,
        draft: None,
    }
}
