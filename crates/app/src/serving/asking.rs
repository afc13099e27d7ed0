//! A request for answers, and the answers as they come.

use std::{collections::VecDeque, sync::Arc};

use huacaya_engine::{Event, Model, Request, Stopper, TokenStream};
use huacaya_store::{Parameters, Request as Row, RequestState};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};

use super::{
    Format, Piece, Reason, TokenProbability, ToolChoice, Usage,
    calls::{Found, Reader, new_id},
    line::Turn,
    log::Log,
    models::{check_tokens, text_of},
    talk::{Beside, prompt_of, words_of},
    tools::Offer,
};
use crate::{
    App, blocking,
    error::{Code, Error, Result},
    loading::Lease,
    parameters,
};

/// Answers to one request: more would keep everybody else waiting.
pub const COUNT_MAX: u32 = 8;
/// Alternatives that are told with a token.
pub const LOGPROBS_MAX: u32 = 20;
/// Pieces between the engine and a slow client.
const QUEUE: usize = 256;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Asking {
    /// A name of the list; none: the one that answers in new chats.
    pub model: Option<String>,
    pub prompt: Asked,
    /// The layer above the model's and the person's. Without a limit of tokens: as many as the context holds.
    pub parameters: Parameters,
    /// Answers to the one prompt, each with a seed of its own.
    pub count: u32,
    /// Alternatives to tell with each token; absent: no probabilities at all.
    pub logprobs: Option<u32>,
    /// Whether to tell the prompt's own tokens and how likely each was, before the first answer. Then a limit of 0 new tokens
    /// only reads the prompt.
    pub echo: bool,
    /// What each answer keeps to; a thought before it is free.
    pub format: Option<Format>,
    /// Tools that the answers may call: OpenAI's tool objects.
    pub tools: Vec<Value>,
    pub tool_choice: ToolChoice,
    /// Whether an answer may call more than once.
    pub several_calls: bool,
    /// Further values for the model's template; one that it does not know changes nothing.
    pub template: Map<String, Value>,
    pub source: Source,
}

impl Default for Asking {
    /// One answer by the usual model to nothing: the prompt is still to be said.
    fn default() -> Asking {
        Asking {
            model: None,
            prompt: Asked::Text(String::new()),
            parameters: Parameters::default(),
            count: 1,
            logprobs: None,
            echo: false,
            format: None,
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            several_calls: true,
            template: Map::new(),
            source: Source::default(),
        }
    }
}

/// Where a request came from: for the log, and for its place in the line.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// "POST".
    pub method: String,
    pub path: String,
    /// Who asks, as far as that can be told: clients take turns.
    pub client: String,
}

/// A prompt.
#[derive(Clone, Debug)]
pub enum Asked {
    Chat(Vec<Said>),
    /// To be continued.
    Text(String),
    /// To be continued, exactly these.
    Tokens(Vec<u32>),
}

impl Asked {
    pub fn is_empty(&self) -> bool {
        match self {
            Asked::Chat(talk) => talk.is_empty(),
            Asked::Text(text) => text.is_empty(),
            Asked::Tokens(tokens) => tokens.is_empty(),
        }
    }
}

/// A message of a talk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// "system", "developer", "user", "assistant" or "tool".
    pub role: String,
    pub text: String,
    /// The thought span of an earlier reply.
    pub thought: String,
    /// What an earlier reply called: OpenAI's tool calls.
    pub calls: Vec<Value>,
    /// The call that a tool answers.
    pub call_id: Option<String>,
    /// The tool that answers; else it is known by its call.
    pub name: Option<String>,
}

/// Answers as they come. Dropping it stops the work within one token, and the request's row says so.
pub struct Answers {
    begun: Begun,
    /// Not taken yet.
    ready: VecDeque<Piece>,
    /// Answers that have not ended.
    open: u32,
    log: Log,
    closing: watch::Receiver<bool>,
}

/// What the engine was asked.
struct Begun {
    pieces: mpsc::Receiver<(u32, Result<Event, huacaya_engine::Error>)>,
    stoppers: Vec<Stopper>,
    model: Arc<Model>,
    wants_tokens: Option<usize>,
    /// One for each answer, where tools can be called.
    readers: Vec<Reader>,
    /// Whether the person takes the model out of the memory.
    cut: watch::Receiver<bool>,
    /// The prompt as a text, where it is still to be told.
    told: Option<String>,
    _lease: Lease,
    /// Until all answers have ended.
    turn: Option<Turn>,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.stoppers.iter().for_each(Stopper::stop);
    }
}

impl App {
    /// Begins to answer. A prompt that does not fit is an error, never cut; an answer ends where the context does.
    pub async fn ask(&self, asking: Asking) -> Result<Answers> {
        let mut log = self.log_request(&asking.source, asking.model.as_deref(), || words_of(&asking.prompt)).await?;
        let closing = self.inner.serving.closing.subscribe();
        let count = asking.count;
        match self.begin(asking, &mut log.row).await {
            Ok(begun) => Ok(Answers { begun, ready: VecDeque::new(), open: count, log, closing }),
            Err(error) => Err(log.failed(error)),
        }
    }

    async fn begin(&self, asking: Asking, row: &mut Row) -> Result<Begun> {
        let offer = Offer::of(&asking)?;
        let Asking { model, prompt, parameters, count, logprobs, echo, format, template, source, .. } = asking;
        check_counts(count, logprobs)?;
        let reads_only = echo && parameters.tokens_max == Some(0);
        let limit = parameters.tokens_max.filter(|_| !reads_only);
        parameters::check(&Parameters { tokens_max: limit, ..parameters.clone() })?;
        let turn = Some(self.turn(&source.client, count).await?);
        let (found, lease) = self.api_lease(model.as_deref()).await?;
        row.model = found.name.clone();
        let settled = self.settle(None, Some(found.id), &parameters).await?;
        check_bias(&lease.model, &settled.parameters)?;
        if let Asked::Tokens(tokens) = &prompt {
            check_tokens(&found.name, &lease.model, tokens)?;
        }
        let told = echo.then(|| text_of(&prompt, &lease.model));
        let prompt = prompt_of(&prompt, &settled, Beside { tools: offer.tools.clone(), values: template })?;
        let (engine, name) = (lease.model.clone(), found.name.clone());
        let grammar = format.map(Format::grammar).or_else(|| offer.grammar(&engine));
        // Rendered here so that a prompt that cannot be answered is refused before anything streams.
        let tokens = blocking({
            let (prompt, grammar) = (prompt.clone(), grammar.clone());
            move || {
                let failed = |error| Error::of_model(&name, error);
                let tokens = engine.render(&prompt).map_err(failed)?.tokens.len();
                grammar.as_ref().map_or(Ok(()), |grammar| engine.compile(grammar)).map_err(failed)?;
                Ok(tokens)
            }
        });
        let (tokens, context) = (tokens.await?, lease.model.context());
        check_length(tokens, context)?;
        row.prompt_tokens = tokens as u32;
        let tokens_max = parameters.tokens_max.map_or(usize::MAX, |most| most as usize).min(context - tokens);
        let (sender, pieces) = mpsc::channel(QUEUE);
        let mut drawn = settled.parameters.clone();
        parameters::draw_seed(&mut drawn);
        let mut stoppers = Vec::new();
        for index in 0..count {
            let mut sampling = parameters::sampling(&drawn);
            sampling.guidance = 1.0;
            sampling.seed += u64::from(index);
            let request = Request {
                model: lease.model.clone(),
                adapters: Vec::new(),
                prompt: prompt.clone(),
                negative: None,
                sampling,
                grammar: grammar.clone(),
                stop: drawn.stop.clone().unwrap_or_default(),
                logprobs: logprobs.map_or(0, |most| most.max(1) as usize),
                echo: echo && index == 0,
                tokens_max,
                speculate: true,
                draft: lease.draft.as_ref().map(|draft| draft.model.clone()),
            };
            let stream = self.inner.engine.generate(request);
            stoppers.push(stream.stopper());
            read(stream, index, sender.clone())?;
        }
        let (wants_tokens, model, cut) = (logprobs.map(|most| most as usize), lease.model.clone(), lease.cut());
        let readers = (0..count).filter_map(|_| offer.reader(&model)).collect();
        Ok(Begun { pieces, stoppers, model, wants_tokens, readers, cut, told, _lease: lease, turn })
    }
}

fn check_length(tokens: usize, context: usize) -> Result<()> {
    if tokens == 0 {
        return Err(Error::new(Code::MessageEmpty, "the prompt is empty"));
    }
    if tokens < context {
        return Ok(());
    }
    // A place for the answer's first token.
    let over = tokens + 1 - context;
    let detail = format!(
        "the prompt has {tokens} tokens and the model's context {context}: it is {over} too long for an answer"
    );
    Err(Error::new(Code::PromptTooLong, detail).with("over", over).with("context", context))
}

fn check_bias(model: &Model, parameters: &Parameters) -> Result<()> {
    let vocabulary = model.tokenizer().vocabulary_size();
    let Some((id, _)) = parameters.logit_bias.iter().flatten().find(|(id, _)| *id as usize >= vocabulary) else {
        return Ok(());
    };
    let detail = format!("logit_bias is for token {id}, but the model knows only {vocabulary}");
    let error = Error::new(Code::ParameterInvalid, detail).with("parameter", "logit_bias").with("value", id);
    Err(error.with("least", 0).with("most", vocabulary - 1))
}

fn check_counts(count: u32, logprobs: Option<u32>) -> Result<()> {
    for (name, value, least, most) in
        [("n", count, 1, COUNT_MAX), ("top_logprobs", logprobs.unwrap_or_default(), 0, LOGPROBS_MAX)]
    {
        if !(least..=most).contains(&value) {
            let detail = format!("{name} is {value}; {least} to {most} is allowed");
            let error = Error::new(Code::ParameterInvalid, detail).with("parameter", name).with("value", value);
            return Err(error.with("least", least).with("most", most));
        }
    }
    Ok(())
}

/// Reads the blocking stream on a thread of its own. When the receiver goes, so does the stream, and the work stops.
fn read(
    stream: TokenStream,
    index: u32,
    sender: mpsc::Sender<(u32, Result<Event, huacaya_engine::Error>)>,
) -> Result<()> {
    let work = move || {
        for event in stream {
            if sender.blocking_send((index, event)).is_err() {
                break;
            }
        }
    };
    std::thread::Builder::new().name("serving".into()).spawn(work).map_err(Error::internal)?;
    Ok(())
}

impl Answers {
    /// The name of the model that answers.
    pub fn model(&self) -> &str {
        &self.log.row.model
    }

    /// Tokens of the prompt.
    pub fn prompt_tokens(&self) -> u32 {
        self.log.row.prompt_tokens
    }

    /// The next piece of any of the answers; `None` when all have ended. An error ends all of them.
    pub async fn next(&mut self) -> Option<Result<Piece>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Some(Ok(piece));
            }
            if self.open == 0 {
                return None;
            }
            let event = tokio::select! {
                biased;
                () = raised(&mut self.begun.cut) => Err(Error::stopped()),
                () = raised(&mut self.closing) => Err(Error::closing()),
                event = self.begun.pieces.recv() => match event {
                    Some((index, Ok(event))) => Ok((index, event)),
                    Some((_, Err(error))) => Err(Error::of_model(&self.log.row.model, error)),
                    None => Err(Error::internal("the engine ended an answer without a word")),
                },
            };
            if let Err(error) = event.and_then(|(index, event)| self.take(index, event)) {
                self.open = 0;
                self.ready.clear();
                self.begun.stoppers.iter().for_each(Stopper::stop);
                return Some(Err(self.log.failed(error)));
            }
        }
    }

    /// Makes pieces of an event.
    fn take(&mut self, index: u32, event: Event) -> Result<()> {
        match event {
            Event::Reading { done, total } => {
                self.ready.push_back(Piece::Reading { index, done: done as u32, total: total as u32 });
            }
            Event::Prompt { tokens } => {
                let most = self.begun.wants_tokens.unwrap_or_default();
                let tokens = tokens.iter().map(|(id, logprobs)| self.token(*id, logprobs, most)).collect();
                let text = self.begun.told.take().unwrap_or_default();
                self.ready.push_back(Piece::Prompt { index, text, tokens });
            }
            Event::Token { id, text, thought, logprobs } => {
                self.log.row.tokens += 1;
                let token = self.begun.wants_tokens.map(|most| self.token(id, &logprobs, most));
                self.text(index, text, thought, token)?;
            }
            Event::Text { text, thought } => self.text(index, text, thought, None)?,
            Event::Finished { why, stats } => {
                let mut found = Vec::new();
                let reader = self.begun.readers.get_mut(index as usize);
                let called = reader.is_some_and(|reader| {
                    reader.finish(&mut found);
                    reader.calls > 0
                });
                self.tell(index, found, None)?;
                self.open -= 1;
                if self.open == 0 {
                    // However long the client takes to hear it.
                    self.begun.turn = None;
                    if self.log.row.error.is_none() {
                        self.log.row.state = RequestState::Done;
                    }
                }
                let usage = Usage {
                    prompt: stats.prompt_tokens as u32,
                    completion: stats.tokens as u32,
                    cached: stats.reused as u32,
                    thought: stats.thought_tokens as u32,
                    drafted: stats.drafted as u32,
                    accepted: stats.accepted as u32,
                    first_token_ms: stats.first_token_ms,
                };
                let reason = match reason_of(why) {
                    Reason::End | Reason::StopText if called => Reason::ToolCalls,
                    reason => reason,
                };
                self.ready.push_back(Piece::Finished { index, reason, usage });
            }
        }
        Ok(())
    }

    fn text(&mut self, index: u32, text: String, thought: bool, token: Option<TokenProbability>) -> Result<()> {
        self.log.said(index, &text);
        if thought {
            let tells = !text.is_empty() || token.is_some();
            self.ready.extend(tells.then_some(Piece::Thought { index, text, token }));
            return Ok(());
        }
        let mut found = Vec::new();
        match self.begun.readers.get_mut(index as usize) {
            Some(reader) => reader.push(&text, &mut found),
            None if text.is_empty() => {}
            None => found.push(Found::Text(text)),
        }
        self.tell(index, found, token)
    }

    /// The token goes with the first text, or alone.
    fn tell(&mut self, index: u32, found: Vec<Found>, mut token: Option<TokenProbability>) -> Result<()> {
        if token.is_some() && !matches!(found.first(), Some(Found::Text(_))) {
            self.ready.push_back(Piece::Text { index, text: String::new(), token: token.take() });
        }
        for found in found {
            self.ready.push_back(match found {
                Found::Text(text) => Piece::Text { index, text, token: token.take() },
                Found::Call { name, arguments } => Piece::Call { index, id: new_id()?, name, arguments },
            });
        }
        Ok(())
    }

    fn token(&self, id: u32, logprobs: &[(u32, f32)], most: usize) -> TokenProbability {
        let bytes = |id: u32| self.begun.model.tokenizer().bytes(id).to_vec();
        let (own, others) = logprobs.split_first().map_or((f32::NAN, &[][..]), |(own, others)| (own.1, others));
        let top = others.iter().take(most).map(|&(id, logprob)| (bytes(id), logprob)).collect();
        TokenProbability { id, bytes: bytes(id), logprob: own, top }
    }
}

/// Comes when the flag is raised; never, where nobody can raise it any more.
async fn raised(flag: &mut watch::Receiver<bool>) {
    if flag.wait_for(|raised| *raised).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn reason_of(why: huacaya_engine::Finish) -> Reason {
    match why {
        huacaya_engine::Finish::End => Reason::End,
        huacaya_engine::Finish::StopText => Reason::StopText,
        huacaya_engine::Finish::Length | huacaya_engine::Finish::Context => Reason::Length,
    }
}
