//! A request for answers, and the answers as they come.

use huacaya_engine::{
    Event, Request, TokenStream,
    template::{Chat, Prompt, Role, Turn},
};
use huacaya_store::{Parameters, Request as Row, RequestState};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{Format, Piece, Reason, TokenProbability, Usage, models::check_tokens};
use crate::{
    App, blocking,
    error::{Code, Error, Result},
    loading::Lease,
    parameters,
    prompt::Settled,
};

/// Answers to one request: more would keep everybody else waiting.
pub const COUNT_MAX: u32 = 8;
/// Alternatives that are told with a token.
pub const LOGPROBS_MAX: u32 = 20;
/// Pieces between the engine and a slow client.
const QUEUE: usize = 256;
/// A log is to be read; what is longer is cut.
const TEXT_KEPT_MAX: usize = 64 << 10;

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
    /// Whether to tell the prompt's own tokens and how likely each was, before the first answer.
    pub echo: bool,
    /// What each answer keeps to; a thought before it is free.
    pub format: Option<Format>,
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
            source: Source::default(),
        }
    }
}

/// Where a request came from, for the log.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// "POST".
    pub method: String,
    pub path: String,
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

/// A message of a talk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// "system", "developer", "user" or "assistant".
    pub role: String,
    pub text: String,
    /// The thought span of an earlier reply.
    pub thought: String,
}

/// Answers as they come. Dropping it stops the work within one token, and the request's row says so.
pub struct Answers {
    pieces: mpsc::Receiver<(u32, Result<Event, huacaya_engine::Error>)>,
    /// Answers that have not ended.
    open: u32,
    log: Log,
    wants_tokens: Option<usize>,
    _lease: Lease,
    _turn: OwnedSemaphorePermit,
}

/// The request's row; written when it goes.
struct Log {
    app: App,
    row: Row,
    keeps_text: bool,
    model: std::sync::Arc<huacaya_engine::Model>,
}

impl App {
    /// Begins to answer. A prompt that does not fit is an error, never cut.
    pub async fn ask(&self, asking: Asking) -> Result<Answers> {
        let mut row = Row { method: asking.source.method.clone(), path: asking.source.path.clone(), ..Row::default() };
        row.model = asking.model.clone().unwrap_or_default();
        let keeps_text = self.setting("server_log_text").await?.unwrap_or(false);
        if keeps_text {
            row.text = Some(words_of(&asking.prompt));
        }
        row.id = self.inner.store.add_request(&row).await?;
        let begun = self.begin(asking, &mut row).await;
        match begun {
            Ok((pieces, open, lease, turn, wants_tokens)) => {
                let model = lease.model.clone();
                let log = Log { app: self.clone(), row, keeps_text, model };
                Ok(Answers { pieces, open, log, wants_tokens, _lease: lease, _turn: turn })
            }
            Err(error) => {
                row.state = RequestState::Failed;
                row.error = Some(error.code.as_str().to_string());
                self.inner.store.end_request(&row).await?;
                Err(error)
            }
        }
    }

    async fn begin(&self, asking: Asking, row: &mut Row) -> Result<Begun> {
        let Asking { model, prompt, parameters, count, logprobs, echo, format, .. } = asking;
        check_counts(count, logprobs)?;
        parameters::check(&parameters)?;
        let turn = self.turn().await?;
        let (found, lease) = self.api_lease(model.as_deref()).await?;
        row.model = found.name.clone();
        let settled = self.settle(None, Some(found.id), &parameters).await?;
        if let Asked::Tokens(tokens) = &prompt {
            check_tokens(&found.name, &lease.model, tokens)?;
        }
        let prompt = prompt_of(&prompt, &settled)?;
        let (engine, name) = (lease.model.clone(), found.name.clone());
        let grammar = format.map(Format::grammar);
        // Rendered here so that a prompt that cannot be answered is refused before anything streams.
        let tokens = blocking({
            let (prompt, grammar) = (prompt.clone(), grammar.clone());
            move || {
                let failed = |error| Error::of_model(&name, error);
                grammar.as_ref().map_or(Ok(()), |grammar| engine.compile(grammar)).map_err(failed)?;
                Ok(engine.render(&prompt).map_err(failed)?.tokens.len())
            }
        });
        let (tokens, context) = (tokens.await?, lease.model.context());
        if tokens == 0 {
            return Err(Error::new(Code::MessageEmpty, "the prompt is empty"));
        }
        let wanted = parameters.tokens_max.map_or(1, |most| most as usize);
        if tokens + wanted > context {
            let over = tokens + wanted - context;
            let detail = format!(
                "the model's context has {context} tokens; the prompt has {tokens} and {wanted} are asked for: {over} too many"
            );
            return Err(Error::new(Code::PromptTooLong, detail).with("over", over).with("context", context));
        }
        row.prompt_tokens = tokens as u32;
        let tokens_max = parameters.tokens_max.map_or(context - tokens, |most| most as usize);
        let (sender, pieces) = mpsc::channel(QUEUE);
        let mut drawn = settled.parameters.clone();
        parameters::draw_seed(&mut drawn);
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
                draft: None,
            };
            read(self.inner.engine.generate(request), index, sender.clone())?;
        }
        Ok((pieces, count, lease, turn, logprobs.map(|most| most as usize)))
    }
}

type Begun =
    (mpsc::Receiver<(u32, Result<Event, huacaya_engine::Error>)>, u32, Lease, OwnedSemaphorePermit, Option<usize>);

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

/// The prompt for the engine. Without a message of the system, the one that holds in the window; an empty one: none.
pub(super) fn prompt_of(asked: &Asked, settled: &Settled) -> Result<Prompt> {
    let said = match asked {
        Asked::Text(text) => return Ok(Prompt::Raw(text.clone())),
        Asked::Tokens(tokens) => return Ok(Prompt::Tokens(tokens.clone())),
        Asked::Chat(said) => said,
    };
    settled.check_kind(huacaya_store::ChatKind::Chat)?;
    let (mut system, mut turns) = (Vec::new(), Vec::<Turn>::new());
    for message in said {
        let role = match message.role.as_str() {
            "system" | "developer" => {
                system.push(message.text.as_str());
                continue;
            }
            "user" => Role::User,
            "assistant" => Role::Assistant,
            other => {
                let detail =
                    format!("messages of the role `{other}` are not understood; use system, user or assistant");
                return Err(Error::new(Code::Unfit, detail).with("reason", format!("role {other}")));
            }
        };
        match turns.last_mut() {
            // Templates want the two to take turns.
            Some(last) if last.role == role => {
                last.text.push_str("\n\n");
                last.text.push_str(&message.text);
            }
            _ => turns.push(Turn { role, text: message.text.clone(), thought: message.thought.clone() }),
        }
    }
    if turns.is_empty() {
        return Err(Error::new(Code::MessageEmpty, "there is no message of the user to answer"));
    }
    let system = if system.is_empty() { settled.system.clone() } else { system.join("\n\n") };
    Ok(Prompt::Chat(Chat { system, turns, thinking: settled.parameters.thinking, ..Chat::default() }))
}

fn words_of(asked: &Asked) -> String {
    let mut words = match asked {
        Asked::Chat(said) => {
            said.iter().map(|said| format!("{}: {}", said.role, said.text)).collect::<Vec<_>>().join("\n")
        }
        Asked::Text(text) => text.clone(),
        Asked::Tokens(tokens) => format!("{} tokens", tokens.len()),
    };
    cut(&mut words);
    words
}

fn cut(text: &mut String) {
    text.truncate(text.floor_char_boundary(TEXT_KEPT_MAX));
}

impl Answers {
    /// The name of the model that answers.
    pub fn model(&self) -> &str {
        &self.log.row.model
    }

    /// The model itself, for its tokens.
    pub fn engine(&self) -> &huacaya_engine::Model {
        &self.log.model
    }

    /// The next piece of any of the answers; `None` when all have ended. An error ends all of them.
    pub async fn next(&mut self) -> Option<Result<Piece>> {
        while self.open > 0 {
            let Some((index, event)) = self.pieces.recv().await else {
                self.open = 0;
                return Some(Err(self.failed(Error::internal("the engine ended an answer without a word"))));
            };
            match event {
                Ok(event) => {
                    if let Some(piece) = self.piece(index, event) {
                        return Some(Ok(piece));
                    }
                }
                Err(error) => {
                    self.open = 0;
                    let error = Error::of_model(&self.log.row.model, error);
                    return Some(Err(self.failed(error)));
                }
            }
        }
        None
    }

    fn failed(&mut self, error: Error) -> Error {
        self.log.row.state = RequestState::Failed;
        self.log.row.error = Some(error.code.as_str().to_string());
        error
    }

    fn piece(&mut self, index: u32, event: Event) -> Option<Piece> {
        match event {
            Event::Reading { done, total } => Some(Piece::Reading { index, done: done as u32, total: total as u32 }),
            Event::Prompt { tokens } => {
                let most = self.wants_tokens.unwrap_or_default();
                let tokens = tokens.iter().map(|(id, logprobs)| self.token(*id, logprobs, most)).collect();
                Some(Piece::Prompt { index, tokens })
            }
            Event::Token { id, text, thought, logprobs } => {
                self.log.row.tokens += 1;
                let token = self.wants_tokens.map(|most| self.token(id, &logprobs, most));
                self.text(index, text, thought, token)
            }
            Event::Text { text, thought } => self.text(index, text, thought, None),
            Event::Finished { why, stats } => {
                self.open -= 1;
                if self.open == 0 && self.log.row.error.is_none() {
                    self.log.row.state = RequestState::Done;
                }
                let usage = Usage {
                    prompt: stats.prompt_tokens as u32,
                    completion: stats.tokens as u32,
                    cached: stats.reused as u32,
                    thought: stats.thought_tokens as u32,
                    first_token_ms: stats.first_token_ms,
                };
                Some(Piece::Finished { index, reason: reason_of(why), usage })
            }
        }
    }

    fn text(&mut self, index: u32, text: String, thought: bool, token: Option<TokenProbability>) -> Option<Piece> {
        if let Some(kept) = self.log.row.text.as_mut().filter(|kept| self.log.keeps_text && kept.len() < TEXT_KEPT_MAX)
        {
            kept.push_str(if kept.ends_with('\n') || self.log.row.tokens > 1 { "" } else { "\n" });
            kept.push_str(&text);
        }
        match thought {
            true => (!text.is_empty()).then_some(Piece::Thought { index, text }),
            false => (!text.is_empty() || token.is_some()).then_some(Piece::Text { index, text, token }),
        }
    }

    fn token(&self, id: u32, logprobs: &[(u32, f32)], most: usize) -> TokenProbability {
        let bytes = |id: u32| self.log.model.tokenizer().bytes(id).to_vec();
        let (own, others) = logprobs.split_first().map_or((f32::NAN, &[][..]), |(own, others)| (own.1, others));
        let top = others.iter().take(most).map(|&(id, logprob)| (bytes(id), logprob)).collect();
        TokenProbability { id, bytes: bytes(id), logprob: own, top }
    }
}

fn reason_of(why: huacaya_engine::Finish) -> Reason {
    match why {
        huacaya_engine::Finish::End => Reason::End,
        huacaya_engine::Finish::StopText => Reason::StopText,
        huacaya_engine::Finish::Length | huacaya_engine::Finish::Context => Reason::Length,
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let (app, mut row) = (self.app.clone(), std::mem::take(&mut self.row));
        if row.state == RequestState::Running {
            row.state = RequestState::Stopped;
        }
        if let Some(text) = &mut row.text {
            cut(text);
        }
        self.app.inner.runtime.spawn(async move {
            if let Err(error) = app.inner.store.end_request(&row).await {
                tracing::error!(%error, request = row.id.0, "the end of a request was not written down");
            }
        });
    }
}
