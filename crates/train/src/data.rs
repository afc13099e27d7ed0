//! Dialogues from a file to batches of tokens.

use std::path::Path;

use huacaya_engine::template::{Chat, Prompt, Rendered, Role, Turn};
use huacaya_engine::tokenizer::Tokenizer;
use huacaya_engine::{Kind, Model};
use serde::Deserialize;

use crate::random::Random;
use crate::recipe::{Batch as BatchSize, LossOn};
use crate::{Error, Result};

/// Dialogues of so many batches are sorted by length together: long enough for little padding, short enough to mix.
const BATCHES_SORTED_TOGETHER: usize = 32;
/// Purpose of a random stream: the order of the data in an epoch.
const ORDER: u64 = 1 << 32;

/// One line of a data file.
#[derive(Clone, Debug, Deserialize)]
pub struct Dialogue {
    /// An empty one is left out, with its marks.
    pub system: String,
    /// Question and answer.
    pub turns: Vec<(String, String)>,
}

/// A dialogue as the model sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    pub tokens: Vec<u32>,
    /// Whether the token belongs to a reply (its end included).
    pub reply: Vec<bool>,
}

/// Texts of about one length, side by side; shorter ones are filled up at their end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub texts: usize,
    pub length: usize,
    /// (texts, length): what is read.
    pub inputs: Vec<u32>,
    /// Places in `inputs` after which a token is learned, and that token.
    pub places: Vec<u32>,
    pub targets: Vec<u32>,
}

/// A turn in the Alpaca-2 template, up to where the reply begins. `system` stands in the first turn only.
pub fn prompt(system: Option<&str>, question: &str) -> String {
    match system {
        Some(system) if !system.is_empty() => format!("[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{question} [/INST]"),
        _ => format!("[INST] {question} [/INST]"),
    }
}

impl Example {
    /// Tokens of a whole dialogue: each turn between `bos` and `eos`, prompt and reply encoded as one text.
    pub fn new(dialogue: &Dialogue, tokenizer: &Tokenizer, context: usize) -> Example {
        let mut example = Example { tokens: Vec::new(), reply: Vec::new() };
        for (number, (question, answer)) in dialogue.turns.iter().enumerate() {
            let prompt = prompt((number == 0).then_some(dialogue.system.as_str()), question);
            let read = tokenizer.encode(&prompt).len() + usize::from(tokenizer.bos().is_some());
            let start = example.tokens.len();
            example.tokens.extend(tokenizer.bos());
            example.tokens.extend(tokenizer.encode(&format!("{prompt} {answer}")));
            example.tokens.extend(tokenizer.eos());
            let written = example.tokens.len() - start;
            example.reply.extend((0..written).map(|place| place >= read));
        }
        example.shorten(context)
    }

    /// Tokens of a whole dialogue as the model's own template has them when it is asked for the last reply. Earlier replies
    /// are learned where they stand there as they were given. A model without a template reads the question as raw text,
    /// and the answer as its continuation.
    pub fn of(dialogue: &Dialogue, model: &Model) -> Result<Example> {
        let mut example = Example { tokens: Vec::new(), reply: Vec::new() };
        let mut replies: Vec<(usize, Vec<u32>)> = Vec::new();
        let mut turns = Vec::new();
        for (question, answer) in &dialogue.turns {
            let turn = |role, text: &str| Turn { role, text: text.to_owned(), ..Turn::default() };
            turns.push(turn(Role::User, question));
            let chat =
                |turns: &[Turn]| Chat { system: dialogue.system.clone(), turns: turns.to_vec(), ..Chat::default() };
            let rendered = |turns: &[Turn]| -> Result<Rendered> {
                Ok(match model.description().kind {
                    Kind::Chat => model.render(&Prompt::Chat(chat(turns)))?,
                    Kind::Base => {
                        let text: String = turns.iter().map(|turn| turn.text.as_str()).collect();
                        model.render(&Prompt::Raw(text))?
                    }
                })
            };
            let asked = rendered(&turns)?;
            turns.push(turn(Role::Assistant, answer));
            let answered = rendered(&turns)?.tokens;
            let start = asked.tokens.iter().zip(&answered).take_while(|(a, b)| a == b).count();
            let after = rendered(&[turns.as_slice(), &[turn(Role::User, question)]].concat())?.tokens;
            let follows =
                after.get(answered.len()).filter(|id| asked.ends.contains(id) && after.starts_with(&answered));
            let end = follows.copied().or(model.tokenizer().eos());
            example.tokens = answered;
            example.tokens.extend(end);
            replies.push((start, example.tokens[start..].to_vec()));
        }
        example.reply = vec![false; example.tokens.len()];
        for (start, reply) in replies {
            if example.tokens[start.min(example.tokens.len())..].starts_with(&reply) {
                example.reply[start..start + reply.len()].fill(true);
            }
        }
        Ok(example.shorten(model.context()))
    }

    fn shorten(mut self, context: usize) -> Example {
        self.tokens.truncate(context);
        self.reply.truncate(context);
        self
    }
}

/// Reads every dialogue of a file, rendered as the model's own template has it.
pub fn read_for(path: &Path, model: &Model) -> Result<Vec<Example>> {
    let lines: Vec<Dialogue> = read_lines(path)?;
    lines.iter().map(|dialogue| Example::of(dialogue, model)).collect()
}

/// Reads every dialogue of a file.
pub fn read(path: &Path, tokenizer: &Tokenizer, context: usize) -> Result<Vec<Example>> {
    let lines: Vec<Dialogue> = read_lines(path)?;
    Ok(lines.iter().map(|dialogue| Example::new(dialogue, tokenizer, context)).collect())
}

/// Reads a file of one JSON object a line.
pub fn read_lines<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
    let parsed = lines.map(|(number, line)| {
        serde_json::from_str(line).map_err(|source| Error::Json { path: path.to_path_buf(), line: number + 1, source })
    });
    parsed.collect()
}

/// The batches of an epoch, as indices into the examples: a function of seed and epoch alone.
pub fn epoch(examples: &[Example], size: &BatchSize, seed: u64, epoch: usize) -> Vec<Vec<usize>> {
    let mut random = Random::new(seed, ORDER + epoch as u64);
    let mut order: Vec<usize> = (0..examples.len()).collect();
    random.shuffle(&mut order);
    let mean = examples.iter().map(|example| example.tokens.len()).sum::<usize>() / examples.len().max(1);
    let together = (BATCHES_SORTED_TOGETHER * size.tokens / mean.max(1)).max(1);
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for group in order.chunks_mut(together) {
        group.sort_by_key(|&index| examples[index].tokens.len());
        let mut batch: Vec<usize> = Vec::new();
        for &mut index in group {
            let length = examples[index].tokens.len() - 1;
            if !batch.is_empty() && (batch.len() + 1) * length > size.tokens {
                batches.push(std::mem::take(&mut batch));
            }
            batch.push(index);
        }
        batches.push(batch);
    }
    random.shuffle(&mut batches);
    batches
}

/// Puts examples side by side.
pub fn batch(examples: &[Example], chosen: &[usize], loss: LossOn) -> Batch {
    let length = chosen.iter().map(|&index| examples[index].tokens.len() - 1).max().unwrap_or(0);
    let mut batch = Batch { texts: chosen.len(), length, inputs: Vec::new(), places: Vec::new(), targets: Vec::new() };
    for &index in chosen {
        let Example { tokens, reply } = &examples[index];
        let start = batch.inputs.len();
        batch.inputs.extend(&tokens[..tokens.len() - 1]);
        batch.inputs.resize(start + length, 0);
        for place in 1..tokens.len() {
            if loss == LossOn::All || reply[place] {
                batch.places.push((start + place - 1) as u32);
                batch.targets.push(tokens[place]);
            }
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples(count: usize) -> Vec<Example> {
        let example = |index: usize| {
            let length = 3 + index * 7 % 11;
            Example { tokens: (0..length as u32).collect(), reply: (0..length).map(|place| place > 1).collect() }
        };
        (0..count).map(example).collect()
    }

    #[test]
    fn an_epoch_holds_every_example_once_within_the_batch_size() {
        let (examples, size) = (examples(200), BatchSize { tokens: 40, shards: 1 });
        let batches = epoch(&examples, &size, 5, 0);
        let mut all: Vec<usize> = batches.iter().flatten().copied().collect();
        all.sort();
        assert_eq!(all, (0..200).collect::<Vec<_>>());
        for chosen in &batches {
            let batch = batch(&examples, chosen, LossOn::All);
            assert!(batch.texts * batch.length <= 40 && batch.inputs.len() == batch.texts * batch.length);
        }
        assert_eq!(batches, epoch(&examples, &size, 5, 0));
        assert_ne!(batches, epoch(&examples, &size, 5, 1));
    }

    #[test]
    fn only_replies_are_learned_in_instruction_tuning() {
        let examples = vec![
            Example { tokens: vec![1, 10, 11, 12, 2], reply: vec![false, false, false, true, true] },
            Example { tokens: vec![1, 20, 2], reply: vec![false, true, true] },
        ];
        let batch = batch(&examples, &[0, 1], LossOn::Reply);
        assert_eq!(batch.inputs, [1, 10, 11, 12, 1, 20, 0, 0]);
        assert_eq!(batch.places, [2, 3, 4, 5]);
        assert_eq!(batch.targets, [12, 2, 20, 2]);
    }
}
