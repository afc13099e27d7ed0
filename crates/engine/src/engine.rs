//! The engine: one thread that owns all sessions and answers requests in turn.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Instant;

use huacaya_progress::Watch;

use crate::adapter::effective;
use crate::reader::Reader;
use crate::sampling::Sampling;
use crate::stream::stream;
use crate::template::Prompt;
use crate::worker::{Command, Worker};
use crate::{Adapter, Error, Grammar, Model, Result, TokenStream};

/// Bytes of the thread's stack: a grammar may be as deep as its limits let it be. Only what is used is taken.
const STACK: usize = 16 << 20;

/// A prompt to be answered.
#[derive(Clone)]
pub struct Request {
    pub model: Arc<Model>,
    /// Loaded for this model, each with its strength; 0 is without it.
    pub adapters: Vec<(Arc<Adapter>, f32)>,
    pub prompt: Prompt,
    /// For guidance: read beside the prompt, and its opinion taken away. Only looked at where `sampling.guidance` > 1.
    pub negative: Option<Prompt>,
    pub sampling: Sampling,
    /// What the answer keeps to; a thought before it is free. It ends where nothing more can come. See [`Model::compile`].
    pub grammar: Option<Grammar>,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// How many alternatives to report with each token; 0 reports none.
    pub logprobs: usize,
    /// Whether to report the prompt's own tokens as well: [`crate::Event::Prompt`]. Then all of it is computed anew.
    pub echo: bool,
    /// New tokens at most. 0 only reads the prompt.
    pub tokens_max: usize,
    /// Whether tokens may be guessed ahead and verified together. The text is the same; where it would not be faster, or not
    /// the same to the bit, nothing is guessed. Usually true.
    pub speculate: bool,
    /// A smaller model with the same vocabulary that guesses instead of the text's n-grams. The greedy text is the same; a
    /// drawn one has the same distribution, but other draws of it. Not looked at where `speculate` is false.
    pub draft: Option<Arc<Model>>,
}

/// Tokens whose logits are wanted.
pub struct Score {
    pub model: Arc<Model>,
    /// As in a [`Request`].
    pub adapters: Vec<(Arc<Adapter>, f32)>,
    pub tokens: Vec<u32>,
    /// The positions whose logits (of the token after each) are wanted.
    pub rows: Range<usize>,
}

pub struct Scores {
    /// A row of the vocabulary's length for each wanted position.
    pub logits: Vec<Vec<f32>>,
}

/// Cheap to clone; the thread ends with the last clone, and requests still at work with an error.
#[derive(Clone)]
pub struct Engine {
    thread: Arc<Thread>,
}

struct Thread {
    id: u64,
    commands: Sender<Command>,
}

impl Engine {
    /// Starts the thread.
    pub fn start() -> Result<Engine> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (commands, received) = channel();
        let spawned = thread::Builder::new()
            .name("engine".to_string())
            .stack_size(STACK)
            .spawn(move || Worker::new(received, Box::new(Model::backend)).run());
        spawned.map_err(|source| Error::Io { path: PathBuf::from("engine thread"), source })?;
        Ok(Engine { thread: Arc::new(Thread { id: NEXT.fetch_add(1, Ordering::Relaxed), commands }) })
    }

    /// Returns at once; errors come through the stream.
    pub fn generate(&self, request: Request) -> TokenStream {
        let wake = self.thread.commands.clone();
        let (outlet, stream) = stream(move || {
            let _ = wake.send(Command::Wake);
        });
        for model in [Some(&request.model), request.draft.as_ref()].into_iter().flatten() {
            let gone = self.thread.commands.clone();
            model.on_drop(self.thread.id, move |model| {
                let _ = gone.send(Command::Forget { model });
            });
        }
        let command = Command::Generate { request: Box::new(request), outlet, asked: Instant::now() };
        if let Err(refused) = self.thread.commands.send(command)
            && let Command::Generate { outlet, .. } = refused.0
        {
            outlet.push(Err(Error::ShutDown));
        }
        stream
    }

    /// Runs on the caller's thread, beside any session; the watch counts tokens.
    pub fn score(&self, score: Score, watch: Watch<'_>) -> Result<Scores> {
        let Score { model, adapters, tokens, rows } = score;
        let adapters = effective(adapters, &model)?;
        let mut logits = Vec::new();
        let keep = |_, row: &[f32]| -> Result<()> {
            logits.push(row.to_vec());
            Ok(())
        };
        Reader::new(&model)?.beside(adapters).read(&tokens, rows, keep, watch)?;
        Ok(Scores { logits })
    }
}

/// The mean of the last layer's output after the final norm over all positions, of length 1. (model's width)
///
/// A text that is read by a decoder alone says more in its last positions than in its first; the mean is what programs of
/// this family use where the model was not trained for embeddings.
pub fn embed(model: &Model, tokens: &[u32], watch: Watch<'_>) -> Result<Vec<f32>> {
    let mut sum = vec![0.0f64; model.config().hidden];
    let add = |_, row: &[f32]| -> Result<()> {
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        Ok(())
    };
    Reader::new(model)?.hidden().read(tokens, 0..tokens.len(), add, watch)?;
    let length = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
    Ok(sum.iter().map(|value| (value / length.max(f64::MIN_POSITIVE)) as f32).collect())
}

impl Drop for Thread {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::ShutDown);
    }
}
