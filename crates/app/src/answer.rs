//! An answer being written: from the model in memory, piece by piece, into its row and onto the screen.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use huacaya_engine::{Event, Request, TokenStream};
use huacaya_store::{ChatId, Ending, Finish, Made, MadeDraft, MessageId, MessageState, ModelId, Stats};
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    App, VERSION, blocking,
    error::{Code, Error, Result},
    loading::{Beside, Lease},
    parameters,
    prompt::{Asked, Cut, Settled},
};

/// A frame of the screen: pieces that come faster are joined.
const FRAME: Duration = Duration::from_millis(16);
/// What may be lost when the process is killed.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// Events between the engine and the rows; more than a frame brings.
const QUEUE: usize = 256;

/// What an answer is made of.
pub(crate) struct Plan {
    pub(crate) chat: ChatId,
    pub(crate) settled: Settled,
    pub(crate) asked: Asked,
    /// What the row says of how it was made before, where it is to be made again.
    pub(crate) again: Option<Made>,
    /// The stats of what is being continued.
    pub(crate) before: Option<(Stats, u32, u32)>,
}

/// Why an answer should end early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wish {
    #[default]
    GoOn,
    Stop,
    /// The program is being closed.
    Close,
}

struct Writing {
    chat: ChatId,
    model: ModelId,
    wish: watch::Sender<Wish>,
}

/// The answers that this process writes.
#[derive(Default)]
pub(crate) struct Answers(Mutex<HashMap<MessageId, Writing>>);

impl Answers {
    fn lock(&self) -> MutexGuard<'_, HashMap<MessageId, Writing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn busy(&self) -> bool {
        !self.lock().is_empty()
    }

    /// The answers of a chat.
    pub(crate) fn of(&self, chat: ChatId) -> Vec<MessageId> {
        self.lock().iter().filter(|(_, writing)| writing.chat == chat).map(|(message, _)| *message).collect()
    }

    /// The answers that a model gives.
    fn with(&self, model: ModelId) -> Vec<MessageId> {
        self.lock().iter().filter(|(_, writing)| writing.model == model).map(|(message, _)| *message).collect()
    }

    /// Whether it was there to be stopped.
    fn stop(&self, message: MessageId) -> bool {
        self.lock().get(&message).map(|writing| writing.wish.send_replace(Wish::Stop)).is_some()
    }

    fn is_writing(&self, message: MessageId) -> bool {
        self.lock().contains_key(&message)
    }

    pub(crate) fn close(&self) {
        for writing in self.lock().values() {
            writing.wish.send_replace(Wish::Close);
        }
    }
}

/// Takes an answer off the list however its writing ends. Not the next writing of the same answer: it may be continued
/// as soon as its row says that it is over.
struct Listed {
    app: App,
    message: MessageId,
    wishes: watch::Receiver<Wish>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut list = self.app.inner.answers.lock();
        let ours = |writing: &mut Writing| writing.wish.subscribe().same_channel(&self.wishes);
        if list.get_mut(&self.message).is_some_and(ours) {
            list.remove(&self.message);
        }
    }
}

/// How far an answer is.
struct Progress {
    begun: Instant,
    first: Option<Instant>,
    last: Instant,
    prompt_tokens: u32,
    reused_tokens: Option<u32>,
    tokens: u32,
    thought_tokens: u32,
    thought_begun: Option<Instant>,
    thought_ms: u32,
    /// Milliseconds to the first token and tokens a second, as the engine measured them.
    measured: Option<(u32, f32)>,
    /// Tokens guessed ahead, and how many of them were right, once the engine has said so.
    guessed: (u32, u32),
    /// Why the processor went on in the card's place.
    moved: Option<String>,
}

impl App {
    /// Starts to write the answer whose row is there.
    pub(crate) fn write_answer(&self, message: MessageId, plan: Plan) {
        let (wish, wishes) = watch::channel(Wish::GoOn);
        self.inner.answers.lock().insert(message, Writing { chat: plan.chat, model: plan.settled.model, wish });
        if self.inner.closing() {
            self.inner.answers.close();
        }
        let listed = Listed { app: self.clone(), message, wishes: wishes.clone() };
        self.inner.runtime.spawn(async move {
            let app = &listed.app;
            let ending = app.write(message, plan, wishes).await;
            let code = ending.error.as_ref().map(|error| error.code.as_str());
            tracing::info!(message = message.0, state = ?ending.state, code, "an answer ended");
            if let Err(error) = app.inner.store.finish_answer(message, ending).await {
                tracing::error!(%error, message = message.0, "the end of an answer was not saved");
            }
        });
    }

    /// Stops an answer and waits until its row says so.
    pub(crate) async fn stop_answer(&self, message: MessageId) -> bool {
        let stopped = self.inner.answers.stop(message);
        while self.inner.answers.is_writing(message) {
            sleep(Duration::from_millis(5)).await;
        }
        stopped
    }

    pub(crate) async fn stop_answers_of(&self, chat: ChatId) {
        for message in self.inner.answers.of(chat) {
            self.stop_answer(message).await;
        }
    }

    pub(crate) async fn stop_answers_with(&self, model: ModelId) {
        for message in self.inner.answers.with(model) {
            self.stop_answer(message).await;
        }
    }

    async fn write(&self, message: MessageId, plan: Plan, wishes: watch::Receiver<Wish>) -> Ending {
        let mut progress = Progress::new();
        let mut dropped = (0, None);
        let before = plan.before.clone();
        let outcome = self.generate(message, plan, wishes, &mut progress, &mut dropped).await;
        let (state, error, finish) = match outcome {
            Ok(finish) => (MessageState::Done, None, Some(finish)),
            Err(error) => match error.code {
                Code::Stopped => (MessageState::Stopped, None, Some(Finish::Stopped)),
                Code::Closing => (MessageState::Interrupted, None, Some(Finish::Stopped)),
                _ => (MessageState::Failed, Some(error.problem()), None),
            },
        };
        let body = self.inner.store.written(message).filter(|_| finish == Some(Finish::End)).and_then(|mut body| {
            // A model's last line end is not part of what it said.
            let kept = body.text.trim_end().len();
            (kept < body.text.len()).then(|| {
                body.text.truncate(kept);
                body
            })
        });
        let stats = finish.map(|finish| progress.stats(finish, dropped));
        let (mut thought_tokens, mut thought_ms) = (progress.thought_tokens, progress.thought_ms());
        let stats = match (stats, before) {
            (Some(mut stats), Some((before, tokens, ms))) => {
                stats.tokens += before.tokens;
                thought_tokens += tokens;
                thought_ms += ms;
                Some(stats)
            }
            (stats, _) => stats,
        };
        Ending { state, error, stats, body, thought_tokens, thought_ms }
    }

    async fn generate(
        &self,
        message: MessageId,
        plan: Plan,
        mut wishes: watch::Receiver<Wish>,
        progress: &mut Progress,
        dropped: &mut (u32, Option<MessageId>),
    ) -> Result<Finish> {
        let mut leaving = wishes.clone();
        let Plan { settled, asked, again, .. } = plan;
        let prepare = async {
            let lease = self.lease(settled.model, settled.parameters.context).await?;
            let beside = self.adapters(&lease, &settled.adapters).await?;
            check_again(&settled, &lease, &beside, again.as_ref())?;
            let (model, settled) = (lease.model.clone(), settled);
            let (cut, settled, asked) = blocking(move || Ok((settled.cut(&model, &asked)?, settled, asked))).await?;
            Ok::<_, Error>((lease, beside, cut, settled, asked))
        };
        let (lease, beside, cut, settled, asked) = tokio::select! {
            prepared = prepare => prepared?,
            wish = wished(&mut leaving) => return Err(wish),
        };
        *dropped = (cut.turns_dropped, cut.memory_starts_at);
        progress.prompt_tokens = cut.tokens;
        self.inner.store.set_made(message, &made(&settled, &lease, &beside, &asked)).await?;
        progress.begun = Instant::now();
        let events = events(self.inner.engine.generate(request(&settled, &lease, beside, cut)?))?;
        let before = lease.model.fell_back().map(str::to_string);
        let finish = self.follow(message, events, &mut wishes, progress, &settled.model_name).await;
        let after = lease.model.fell_back().map(str::to_string);
        if after != before {
            self.inner.store.set_loaded(settled.model, Some((lease.model.device(), after.as_deref()))).await?;
            progress.moved = after;
        }
        drop(lease);
        finish
    }

    /// Brings the events into the row and onto the screen.
    async fn follow(
        &self,
        message: MessageId,
        mut events: mpsc::Receiver<Result<Event, huacaya_engine::Error>>,
        wishes: &mut watch::Receiver<Wish>,
        progress: &mut Progress,
        model: &str,
    ) -> Result<Finish> {
        let store = &self.inner.store;
        let mut waiting = Waiting::default();
        let mut frames = interval(FRAME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut saved = Instant::now();
        let finish = loop {
            tokio::select! {
                biased;
                wish = wished(wishes) => break Err(wish),
                _ = frames.tick() => {
                    waiting.publish(store, message);
                    if saved.elapsed() >= SAVE_EVERY {
                        saved = Instant::now();
                        store.save_answer(message, progress.thought_tokens, progress.thought_ms()).await?;
                    }
                }
                event = events.recv() => match event {
                    Some(Ok(Event::Finished { why, stats })) => {
                        progress.finished(&stats);
                        break Ok(finish_of(why));
                    }
                    Some(Ok(event)) => progress.note(&event, &mut waiting),
                    Some(Err(error)) => break Err(Error::of_model(model, error)),
                    None => break Err(Error::internal("the engine ended an answer without a word")),
                },
            }
        };
        waiting.publish(store, message);
        finish
    }
}

/// Comes when the answer should end early.
async fn wished(wishes: &mut watch::Receiver<Wish>) -> Error {
    match wishes.wait_for(|wish| *wish != Wish::GoOn).await.map(|wish| *wish) {
        Ok(Wish::Close) => Error::closing(),
        _ => Error::stopped(),
    }
}

/// Reads the blocking stream on a thread of its own. When the receiver goes, so does the stream, and the work stops.
fn events(stream: TokenStream) -> Result<mpsc::Receiver<Result<Event, huacaya_engine::Error>>> {
    let (sender, events) = mpsc::channel(QUEUE);
    let read = move || {
        for event in stream {
            if sender.blocking_send(event).is_err() {
                break;
            }
        }
    };
    thread::Builder::new().name("answer".into()).spawn(read).map_err(Error::internal)?;
    Ok(events)
}

fn request(settled: &Settled, lease: &Lease, beside: Vec<Beside>, cut: Cut) -> Result<Request> {
    let mut sampling = parameters::sampling(&settled.parameters);
    if cut.negative.is_none() {
        sampling.guidance = 1.0;
    }
    Ok(Request {
        model: Arc::clone(&lease.model),
        adapters: beside.into_iter().map(|one| (one.adapter, one.strength)).collect(),
        prompt: cut.prompt,
        negative: cut.negative,
        sampling,
        grammar: settled.parameters.format.as_ref().map_or(Ok(None), parameters::grammar)?,
        stop: settled.parameters.stop.clone().unwrap_or_default(),
        logprobs: 0,
        echo: false,
        tokens_max: settled.parameters.tokens_max.unwrap_or(1) as usize,
        speculate: true,
        draft: lease.draft.as_ref().map(|draft| draft.model.clone()),
    })
}

/// What an exact repetition would need, as it is now.
fn made(settled: &Settled, lease: &Lease, beside: &[Beside], asked: &Asked) -> Made {
    let mut parameters = settled.parameters.clone();
    parameters.context = Some(lease.model.context() as u32);
    let (template, begin) = match asked {
        Asked::Chat { begin, .. } => (lease.model.template().name().to_string(), begin.clone()),
        Asked::Page(_) => (String::new(), String::new()),
    };
    Made {
        model: settled.model,
        model_name: settled.model_name.clone(),
        model_sha256: settled.model_sha256.clone(),
        template,
        system: settled.system.clone(),
        parameters,
        adapters: named(beside),
        begin,
        backend: lease.model.device().to_string(),
        draft: draft_of(lease),
        version: VERSION.to_string(),
    }
}

/// The model that guesses ahead.
fn draft_of(lease: &Lease) -> Option<MadeDraft> {
    let draft = lease.draft.as_ref()?;
    Some(MadeDraft { model_name: draft.name.clone(), model_sha256: draft.sha256.clone() })
}

/// Name and strength of each.
fn named(beside: &[Beside]) -> Vec<(String, f32)> {
    beside.iter().map(|one| (one.name.clone(), one.strength)).collect()
}

/// Refuses to call something the same that would not be.
fn check_again(settled: &Settled, lease: &Lease, beside: &[Beside], again: Option<&Made>) -> Result<()> {
    let Some(made) = again else { return Ok(()) };
    let refuse = |reason: &str| {
        Err(Error::new(Code::CannotRunAgain, format!("cannot run again exactly: {reason}")).with("reason", reason))
    };
    if made.model_sha256.is_some() && made.model_sha256 != settled.model_sha256 {
        return refuse("the model's file is another one now");
    }
    if !made.template.is_empty() && made.template != lease.model.template().name() {
        return refuse("the model's template was changed");
    }
    let same_draft = match (&made.draft, draft_of(lease)) {
        (Some(made), Some(now)) => match (&made.model_sha256, now.model_sha256) {
            (Some(made), Some(now)) => *made == now,
            _ => made.model_name == now.model_name,
        },
        (made, now) => made.is_none() && now.is_none(),
    };
    if !same_draft {
        return refuse("another model guesses ahead now, or none does any more: the same seed gives another draw");
    }
    if made.adapters != named(beside) {
        return refuse("the chat's adapters are others now");
    }
    Ok(())
}

fn finish_of(why: huacaya_engine::Finish) -> Finish {
    match why {
        huacaya_engine::Finish::End => Finish::End,
        huacaya_engine::Finish::StopText => Finish::StopText,
        huacaya_engine::Finish::Length => Finish::Length,
        huacaya_engine::Finish::Context => Finish::Context,
    }
}

/// What the next frame will show.
#[derive(Default)]
struct Waiting {
    reading: Option<(u32, u32)>,
    /// In order; a run of thought or of answer each.
    pieces: Vec<(bool, String)>,
}

impl Waiting {
    fn push(&mut self, thought: bool, text: &str) {
        match self.pieces.last_mut() {
            _ if text.is_empty() => {}
            Some((last, piece)) if *last == thought => piece.push_str(text),
            _ => self.pieces.push((thought, text.to_string())),
        }
    }

    fn publish(&mut self, store: &huacaya_store::Store, message: MessageId) {
        if let Some((done, total)) = self.reading.take() {
            store.publish_reading(message, done, total);
        }
        for (thought, piece) in self.pieces.drain(..) {
            store.publish_text(message, thought, &piece);
        }
    }
}

impl Progress {
    fn new() -> Progress {
        let now = Instant::now();
        Progress {
            begun: now,
            first: None,
            last: now,
            prompt_tokens: 0,
            reused_tokens: None,
            tokens: 0,
            thought_tokens: 0,
            thought_begun: None,
            thought_ms: 0,
            measured: None,
            guessed: (0, 0),
            moved: None,
        }
    }

    fn note(&mut self, event: &Event, waiting: &mut Waiting) {
        match event {
            Event::Reading { done, total } => {
                self.prompt_tokens = *total as u32;
                self.reused_tokens.get_or_insert(*done as u32);
                waiting.reading = Some((*done as u32, *total as u32));
            }
            Event::Token { text, thought, .. } => {
                self.last = Instant::now();
                self.first.get_or_insert(self.last);
                self.tokens += 1;
                self.thought_tokens += u32::from(*thought);
                self.mind(*thought);
                waiting.push(*thought, text);
            }
            Event::Text { text, thought } => waiting.push(*thought, text),
            Event::Prompt { .. } | Event::Finished { .. } => {}
        }
    }

    /// Measures the time spent on thoughts.
    fn mind(&mut self, thought: bool) {
        match (thought, self.thought_begun) {
            (true, None) => self.thought_begun = Some(self.last),
            (false, Some(begun)) => {
                self.thought_ms += self.last.duration_since(begun).as_millis() as u32;
                self.thought_begun = None;
            }
            _ => {}
        }
    }

    fn thought_ms(&self) -> u32 {
        self.thought_ms + self.thought_begun.map_or(0, |begun| self.last.duration_since(begun).as_millis() as u32)
    }

    /// The engine's own figures are the better ones.
    fn finished(&mut self, stats: &huacaya_engine::Stats) {
        self.prompt_tokens = stats.prompt_tokens as u32;
        self.reused_tokens = Some(stats.reused as u32);
        self.tokens = stats.tokens as u32;
        self.thought_tokens = stats.thought_tokens as u32;
        self.measured = Some((stats.first_token_ms as u32, stats.tokens_per_second));
        self.guessed = (stats.drafted as u32, stats.accepted as u32);
    }

    fn stats(&self, finish: Finish, (turns_dropped, memory_starts_at): (u32, Option<MessageId>)) -> Stats {
        let first = self.first.unwrap_or(self.last);
        let seconds = self.last.duration_since(first).as_secs_f32();
        let speed = if seconds > 0.0 { self.tokens.saturating_sub(1) as f32 / seconds } else { 0.0 };
        let own = (first.duration_since(self.begun).as_millis() as u32, speed);
        let (first_token_ms, tokens_per_second) = self.measured.unwrap_or(own);
        Stats {
            prompt_tokens: self.prompt_tokens,
            reused_tokens: self.reused_tokens.unwrap_or_default(),
            tokens: self.tokens,
            first_token_ms,
            tokens_per_second,
            drafted_tokens: self.guessed.0,
            accepted_tokens: self.guessed.1,
            moved: self.moved.clone(),
            finish,
            turns_dropped,
            memory_starts_at,
        }
    }
}
