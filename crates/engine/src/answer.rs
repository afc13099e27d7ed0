//! One request on its way: the prompt read in chunks, then token after token.

use std::time::Instant;

use crate::adapter::{effective, mark};
use crate::backend::{Batch, Run};
use crate::candle::READ_CHUNK;
use crate::engine::Request;
use crate::sampling::{Sampler, dry_breakers, guide, log_probabilities};
use crate::session::{Session, Sessions};
use crate::stream::{Event, Finish, Outlet, Stats};
use crate::template::Rendered;
use crate::text::{Piece, Reply};
use crate::{Error, Result};

/// A request at work.
pub(crate) struct Answer {
    request: Request,
    rendered: Rendered,
    /// The prompt's, and with guidance the negative prompt's.
    branches: Vec<Branch>,
    sampler: Sampler,
    reply: Reply,
    /// The last text came from a thought.
    in_thought: bool,
    asked: Instant,
    first_token: Option<Instant>,
    last_token: Instant,
    stats: Stats,
}

/// One sequence that is evaluated.
struct Branch {
    session: Session,
    /// The prompt, and every drawn token.
    tokens: Vec<u32>,
    prompt_tokens: usize,
    /// What the session store was told.
    length: usize,
    /// Those of the token after the last one evaluated.
    logits: Option<Vec<f32>>,
}

/// What is to be done with an answer after a step.
pub(crate) enum Next {
    Step,
    Done,
}

impl Answer {
    /// Renders the prompt and takes sessions for it. Nothing is evaluated yet.
    pub fn begin(mut request: Request, asked: Instant, sessions: &mut Sessions) -> Result<Answer> {
        request.adapters = effective(request.adapters, &request.model)?;
        let (rendered, branches, sampler) = Answer::prepare(&request, sessions)?;
        let reply = Reply::new(&rendered, &request.stop);
        let stats = Stats {
            prompt_tokens: branches[0].prompt_tokens,
            reused: branches[0].session.tokens.len(),
            ..Stats::default()
        };
        let in_thought = rendered.in_thought;
        Ok(Answer {
            request,
            rendered,
            branches,
            sampler,
            reply,
            in_thought,
            asked,
            first_token: None,
            last_token: asked,
            stats,
        })
    }

    fn prepare(request: &Request, sessions: &mut Sessions) -> Result<(Rendered, Vec<Branch>, Sampler)> {
        let model = &request.model;
        let rendered = model.render(&request.prompt)?;
        let negative = match &request.negative {
            Some(prompt) if request.sampling.guidance > 1.0 => Some(model.render(prompt)?.tokens),
            _ => None,
        };
        let breakers = match request.sampling.dry_multiplier > 0.0 {
            true => dry_breakers(model.tokenizer()),
            false => Vec::new(),
        };
        let mut sampler = Sampler::new(&request.sampling, model.config().vocabulary, &breakers)?;
        rendered.tokens.iter().for_each(|&id| sampler.accept(id));
        let prompts: Vec<Vec<u32>> = std::iter::once(rendered.tokens.clone()).chain(negative).collect();
        for prompt in &prompts {
            if prompt.is_empty() {
                return Err(Error::PromptEmpty);
            }
            if prompt.len() >= model.context() {
                return Err(Error::PromptTooLong {
                    over: prompt.len() + 1 - model.context(),
                    context: model.context(),
                });
            }
        }
        let mut branches: Vec<Branch> = Vec::new();
        let mark = mark(&request.adapters);
        for tokens in prompts {
            let length = tokens.len().saturating_add(request.tokens_max).min(model.context());
            match sessions.take(&tokens, length, &mark) {
                Ok(session) => {
                    let prompt_tokens = tokens.len();
                    branches.push(Branch { session, tokens, prompt_tokens, length, logits: None });
                }
                Err(error) => {
                    branches.into_iter().for_each(|branch| sessions.put_back(branch.session, branch.length));
                    return Err(error);
                }
            }
        }
        Ok((rendered, branches, sampler))
    }

    /// One chunk of the prompt, or one token.
    pub fn step(&mut self, sessions: &mut Sessions, outlet: &Outlet) -> Result<Next> {
        if let Some(unread) = self.branches.iter().position(|branch| branch.logits.is_none()) {
            self.read_chunk(unread, sessions, outlet)?;
            outlet.push(Ok(self.reading()));
            return Ok(Next::Step);
        }
        if self.stats.tokens >= self.request.tokens_max {
            return Ok(self.finish(Finish::Length, outlet));
        }
        let (id, logprobs) = self.draw()?;
        if self.rendered.ends.contains(&id) {
            return Ok(self.finish(Finish::End, outlet));
        }
        let stopped = self.write(id, logprobs, outlet);
        if stopped {
            return Ok(self.finish(Finish::StopText, outlet));
        }
        if self.stats.tokens >= self.request.tokens_max {
            return Ok(self.finish(Finish::Length, outlet));
        }
        // A token can be drawn from the logits of the last position, but not be evaluated behind it.
        if self.branches.iter().any(|branch| branch.tokens.len() >= self.request.model.context()) {
            return Ok(self.finish(Finish::Context, outlet));
        }
        self.evaluate_drawn(sessions, outlet)?;
        Ok(Next::Step)
    }

    fn read_chunk(&mut self, branch: usize, sessions: &mut Sessions, outlet: &Outlet) -> Result<()> {
        let branch = &mut self.branches[branch];
        let first = branch.session.tokens.len();
        let end = (first + READ_CHUNK).min(branch.prompt_tokens);
        let tokens = branch.tokens[first..end].to_vec();
        let is_last = end == branch.prompt_tokens;
        let wanted = if is_last { tokens.len() - 1..tokens.len() } else { 0..0 };
        let sequence = branch.session.sequence;
        let run = Run { sequence, first, tokens, wanted, span: branch.prompt_tokens };
        let batch = Batch { runs: vec![run], adapters: self.request.adapters.clone() };
        let mut logits = sessions.backend.step(&batch, &|| outlet.stopped())?;
        branch.session.tokens.extend_from_slice(&branch.tokens[first..end]);
        branch.logits = logits.pop();
        Ok(())
    }

    fn evaluate_drawn(&mut self, sessions: &mut Sessions, outlet: &Outlet) -> Result<()> {
        let runs = self.branches.iter().map(|branch| {
            let first = branch.session.tokens.len();
            let tokens = branch.tokens[first..].to_vec();
            let (sequence, wanted) = (branch.session.sequence, tokens.len() - 1..tokens.len());
            Run { sequence, first, tokens, wanted, span: branch.tokens.len() }
        });
        let batch = Batch { runs: runs.collect(), adapters: self.request.adapters.clone() };
        let logits = sessions.backend.step(&batch, &|| outlet.stopped())?;
        for (branch, logits) in self.branches.iter_mut().zip(logits) {
            branch.session.tokens.clone_from(&branch.tokens);
            branch.logits = Some(logits);
        }
        Ok(())
    }

    /// The next token, and the likeliest of what the model thought.
    fn draw(&mut self) -> Result<(u32, Vec<(u32, f32)>)> {
        let (main, negative) = self.branches.split_at_mut(1);
        let Some(logits) = main[0].logits.as_mut() else { return Err(Error::PromptEmpty) };
        if let Some(against) = negative.first_mut().and_then(|branch| branch.logits.as_mut()) {
            guide(logits, against, self.request.sampling.guidance);
        }
        let before = if self.request.logprobs > 0 { logits.clone() } else { Vec::new() };
        let id = self.sampler.sample(logits, main[0].tokens.len() as u64)?;
        let logprobs = match self.request.logprobs {
            0 => Vec::new(),
            count => log_probabilities(&before, Some(id), count),
        };
        Ok((id, logprobs))
    }

    /// Takes a token into the answer and gives out its text. True where a stop text was reached.
    fn write(&mut self, id: u32, logprobs: Vec<(u32, f32)>, outlet: &Outlet) -> bool {
        self.last_token = Instant::now();
        if self.first_token.is_none() {
            self.first_token = Some(self.last_token);
            self.stats.first_token_ms = (self.last_token - self.asked).as_millis() as u64;
        }
        self.sampler.accept(id);
        self.branches.iter_mut().for_each(|branch| branch.tokens.push(id));
        self.stats.tokens += 1;
        let mut pieces = Vec::new();
        let stopped = self.reply.push(id, self.request.model.tokenizer(), &mut pieces);
        let mut pieces = pieces.into_iter().map(told_apart);
        let (text, thought) = pieces.next().unwrap_or((String::new(), self.in_thought));
        self.in_thought = thought;
        self.stats.thought_tokens += usize::from(thought);
        outlet.push(Ok(Event::Token { id, text, thought, logprobs }));
        for (text, thought) in pieces {
            self.in_thought = thought;
            outlet.push(Ok(Event::Text { text, thought }));
        }
        stopped
    }

    fn finish(&mut self, why: Finish, outlet: &Outlet) -> Next {
        let mut pieces = Vec::new();
        self.reply.finish(&mut pieces);
        for (text, thought) in pieces.into_iter().map(told_apart) {
            outlet.push(Ok(Event::Text { text, thought }));
        }
        if let Some(first) = self.first_token {
            let seconds = (self.last_token - first).as_secs_f32();
            let after_first = self.stats.tokens.saturating_sub(1) as f32;
            self.stats.tokens_per_second = if seconds > 0.0 { after_first / seconds } else { 0.0 };
        }
        outlet.push(Ok(Event::Finished { why, stats: self.stats }));
        Next::Done
    }

    /// How much of the prompt is read.
    pub fn reading(&self) -> Event {
        let done = self.branches.iter().map(|branch| branch.session.tokens.len()).sum();
        let total = self.branches.iter().map(|branch| branch.prompt_tokens).sum();
        Event::Reading { done, total }
    }

    /// The model it asks.
    pub fn model_id(&self) -> u64 {
        self.request.model.id()
    }

    /// Keeps what was evaluated for later requests, unless its state is in doubt.
    pub fn end(self, sessions: &mut Sessions, sound: bool) {
        for branch in self.branches {
            match sound {
                true => sessions.put_back(branch.session, branch.length),
                false => sessions.discard(branch.session, branch.length),
            }
        }
    }
}

fn told_apart(piece: Piece) -> (String, bool) {
    match piece {
        Piece::Answer(text) => (text, false),
        Piece::Thought(text) => (text, true),
    }
}
