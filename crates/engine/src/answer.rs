//! One request on its way: the prompt read in chunks, then token after token, or several where they were guessed ahead.
//!
//! An answer does not compute: it says what it wants evaluated ([`Answer::runs`]) and takes what came of it
//! ([`Answer::take`]), so that answers can share steps.

use std::time::Instant;

use crate::adapter::{Adapters, Mark, effective, mark};
use crate::backend::{Logits, Run};
use crate::config::unusable;
use crate::engine::Request;
use crate::rope;
use crate::sampling::{Sampler, dry_breakers, guide, log_probabilities};
use crate::session::{Session, Sessions};
use crate::speculation::{Draft, GUESSES_MAX, Guess, Repeats, Speculation, StepTimes};
use crate::stream::{Event, Finish, Outlet, Stats};
use crate::template::Rendered;
use crate::text::{Piece, Reply};
use crate::{Error, Result};

/// Rows of logits that are held at once where all of a prompt's are wanted: each has the vocabulary's length.
const ECHO_ROWS: usize = 64;

/// A request at work.
pub(crate) struct Answer {
    request: Request,
    /// Of its adapters: only answers of the same share steps.
    mark: Mark,
    rendered: Rendered,
    /// The prompt's, and with guidance the negative prompt's.
    branches: Vec<Branch>,
    sampler: Sampler,
    speculation: Speculation,
    /// What the next step verifies.
    guesses: Vec<Guess>,
    /// Of a step of its model.
    rows_max: usize,
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
    /// What is read before the next token is drawn: the prompt, or all tokens where the memory was given back meanwhile.
    prompt_tokens: usize,
    /// Those of the prompt's end, until all branches are read.
    logits: Option<Vec<f32>>,
}

impl Branch {
    fn is_read(&self) -> bool {
        self.session.tokens.len() >= self.prompt_tokens
    }

    /// Notes that all tokens are evaluated.
    fn hold_all(&mut self) {
        let held = self.session.tokens.len();
        self.session.tokens.extend_from_slice(&self.tokens[held..]);
    }
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
        request.draft = request.draft.filter(|_| request.speculate);
        if let Some(draft) = &request.draft {
            Draft::check(draft.tokenizer(), request.model.tokenizer())?;
        }
        let mark = mark(&request.adapters);
        let (rendered, branches, sampler) = Answer::prepare(&request, &mark, sessions)?;
        let reply = Reply::new(&rendered, &request.stop);
        let stats = Stats {
            prompt_tokens: branches[0].prompt_tokens,
            reused: branches[0].session.tokens.len(),
            ..Stats::default()
        };
        let in_thought = rendered.in_thought;
        let repeats = request.speculate && request.draft.is_none() && sessions.backend.is_row_invariant();
        Ok(Answer {
            request,
            mark,
            rendered,
            branches,
            sampler,
            speculation: if repeats { Speculation::Ngrams(Box::new(Repeats::new())) } else { Speculation::Off },
            guesses: Vec::new(),
            rows_max: sessions.backend.rows_max(),
            reply,
            in_thought,
            asked,
            first_token: None,
            last_token: asked,
            stats,
        })
    }

    /// The model that is to guess for it: its id.
    pub fn draft_id(&self) -> Option<u64> {
        self.request.draft.as_ref().map(|draft| draft.id())
    }

    /// Takes a session of the draft model.
    pub fn begin_draft(&mut self, drafts: &mut Sessions) -> Result<()> {
        if let Some(model) = self.request.draft.clone() {
            let draft = Draft::begin(model, &self.branches[0].tokens, drafts)?;
            self.speculation = Speculation::Model(Box::new(draft));
        }
        Ok(())
    }

    fn prepare(request: &Request, mark: &Mark, sessions: &mut Sessions) -> Result<(Rendered, Vec<Branch>, Sampler)> {
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
        if let Some(grammar) = &request.grammar {
            sampler.keep_to(model.course(grammar, &request.prompt, &rendered)?);
        }
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
        for tokens in prompts {
            // What is known already says nothing of the tokens' probabilities.
            let known = if request.echo { &[][..] } else { &tokens };
            match sessions.take(known, mark) {
                Ok(session) => {
                    let prompt_tokens = tokens.len();
                    branches.push(Branch { session, tokens, prompt_tokens, logits: None });
                }
                Err(error) => {
                    branches.into_iter().for_each(|branch| sessions.put_back(branch.session));
                    return Err(error);
                }
            }
        }
        Ok((rendered, branches, sampler))
    }

    /// Whether some of the prompt is still to be read.
    pub fn is_reading(&self) -> bool {
        self.branches.iter().any(|branch| !branch.is_read())
    }

    /// Guesses from the text what may come next, as far as it pays; the next step verifies it. `times`: of the model's steps.
    /// `others`: rows that the step has besides; `room`: those that there are for this.
    pub fn guess(&mut self, times: &StepTimes, others: usize, room: usize) {
        let most = self.guesses_most().min((room / self.branches.len()).saturating_sub(1));
        if let Speculation::Ngrams(repeats) = &mut self.speculation {
            self.guesses = repeats.guess(&self.branches[0].tokens, most, self.branches.len(), others, times);
        }
    }

    /// As `guess`, by the draft model, whose sessions are `drafts`.
    pub fn guess_by_draft(&mut self, drafts: &mut Sessions, outlet: &Outlet) -> Result<()> {
        let most = if self.is_reading() { 0 } else { self.guesses_most() };
        let vocabulary = self.request.model.config().vocabulary;
        if let Speculation::Model(draft) = &mut self.speculation
            && self.guesses.is_empty()
        {
            let (tokens, stop) = (&self.branches[0].tokens, || outlet.stopped());
            self.guesses = draft.guess(tokens, most, &self.sampler, vocabulary, drafts, &stop)?;
        }
        Ok(())
    }

    /// More guesses could not be used: the answer would be too long, the step too wide, or the angles others.
    fn guesses_most(&self) -> usize {
        let model = &self.request.model;
        let length = self.branches.iter().map(|branch| branch.tokens.len()).max().unwrap_or_default();
        let left = self.request.tokens_max.saturating_sub(self.stats.tokens + 1);
        let rows = (self.rows_max / self.branches.len()).saturating_sub(1);
        let most = GUESSES_MAX.min(left).min(rows).min(model.context().saturating_sub(length));
        let same_angles = |count: &usize| {
            let span = |length: usize| rope::span(&model.config().rope, length);
            self.branches.iter().all(|branch| span(branch.tokens.len() + count) == span(branch.tokens.len()))
        };
        (1..=most).take_while(same_angles).last().unwrap_or(0)
    }

    /// Rows that the next step takes; of a prompt any number may be read.
    pub fn rows(&self) -> usize {
        self.branches.len() * (1 + self.guesses.len())
    }

    /// Its sessions with the tokens that they hold, and those that they will be asked to hold.
    pub fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.branches.iter().map(|branch| &branch.session)
    }

    /// Since when it is asked for: who came last gives way.
    pub fn asked(&self) -> Instant {
        self.asked
    }

    /// Whether it holds nothing yet, or nothing any more.
    pub fn holds_nothing(&self) -> bool {
        self.sessions().all(|session| session.tokens.is_empty())
    }

    /// Positions that its sessions take when `room` more tokens of what it reads are read, or the next ones are drawn; `None`:
    /// when all is read and the next page is begun.
    pub fn positions(&self, sessions: &Sessions, room: Option<usize>) -> usize {
        let mut room = room;
        let take = |branch: &Branch| {
            let held = branch.session.tokens.len();
            let next = match room.as_mut() {
                None => branch.tokens.len() + sessions.backend.page(),
                Some(room) if !branch.is_read() => {
                    let read = (branch.prompt_tokens - held).min(*room);
                    *room -= read;
                    held + read
                }
                Some(_) => branch.tokens.len() + self.guesses.len(),
            };
            sessions.takes(next)
        };
        self.branches.iter().map(take).sum()
    }

    /// Takes over what other answers to a prompt that begins alike have read meanwhile. `others`: of the same model.
    pub fn catch_up<'a>(&mut self, sessions: &mut Sessions, others: impl Iterator<Item = &'a Answer>) -> Result<()> {
        let rope = &self.request.model.config().rope;
        // Only where all angles are those that it would be read with alone.
        let span = |branch: &Branch| rope::span(rope, branch.tokens.len());
        let others: Vec<&Branch> = others.flat_map(|other| &other.branches).collect();
        let known = !self.request.echo;
        for branch in self.branches.iter_mut().filter(|branch| known && !branch.is_read()) {
            let alike = others.iter().filter(|other| span(other) == span(branch));
            let alike: Vec<&Session> = alike.map(|other| &other.session).collect();
            let gained = sessions.catch_up(&mut branch.session, &branch.tokens, &alike)?;
            if self.stats.tokens == 0 {
                self.stats.reused = (self.stats.reused + gained).min(branch.prompt_tokens);
            }
        }
        Ok(())
    }

    /// Whether its memory can be taken back without harm but the time to read again.
    pub fn can_give_back(&self) -> bool {
        !self.request.echo && !self.holds_nothing()
    }

    /// Gives its memory back. What it held is read again before it goes on: the text stays the same.
    pub fn give_back(&mut self, sessions: &mut Sessions) -> Result<()> {
        self.guesses.clear();
        for branch in &mut self.branches {
            let fresh = sessions.fresh(&self.mark)?;
            sessions.put_back(std::mem::replace(&mut branch.session, fresh));
            branch.prompt_tokens = branch.tokens.len();
            branch.logits = None;
        }
        Ok(())
    }

    /// What the next step is to evaluate: at most `room` tokens of the prompt, or what was drawn last and the guesses.
    pub fn runs(&self, room: usize) -> Vec<Run> {
        let run = |branch: &Branch, end: usize, guesses: &[Guess], wanted: usize| {
            let first = branch.session.tokens.len();
            let mut tokens = branch.tokens[first..end].to_vec();
            tokens.extend(guesses.iter().map(|guess| guess.id));
            let wanted = tokens.len() - wanted..tokens.len();
            Run { sequence: branch.session.sequence, first, tokens, wanted, span: branch.tokens.len() }
        };
        match self.branches.iter().find(|branch| !branch.is_read()) {
            Some(branch) => {
                let first = branch.session.tokens.len();
                let room = if self.request.echo { room.min(ECHO_ROWS) } else { room };
                let end = (first + room).min(branch.prompt_tokens);
                let wanted = if self.request.echo { end - first } else { usize::from(end == branch.prompt_tokens) };
                vec![run(branch, end, &[], wanted)]
            }
            None => {
                let whole = |branch| run(branch, branch.tokens.len(), &self.guesses, 1 + self.guesses.len());
                self.branches.iter().map(whole).collect()
            }
        }
    }

    /// Takes what the step of `runs` gave: draws from it, and gives out what became certain.
    pub fn take(&mut self, runs: &[Run], logits: Logits, sessions: &mut Sessions, outlet: &Outlet) -> Result<Next> {
        let mut logits = logits.into_iter();
        let Some(at) = self.branches.iter().position(|branch| !branch.is_read()) else {
            let count = 1 + self.guesses.len();
            let rows = self.branches.iter().map(|_| logits.by_ref().take(count).collect()).collect();
            return self.draw_rows(rows, sessions, outlet);
        };
        let branch = &mut self.branches[at];
        let first = branch.session.tokens.len();
        runs.iter().for_each(|run| branch.session.tokens.extend_from_slice(&run.tokens));
        let mut rows: Logits = logits.collect();
        branch.logits = if branch.is_read() { rows.pop() } else { None };
        if self.request.echo && at == 0 {
            outlet.push(Ok(self.echo(first, &rows)));
            // Once is enough, also where the prompt is read again.
            self.request.echo = !self.branches[0].is_read();
        }
        outlet.push(Ok(self.reading()));
        if self.is_reading() {
            return Ok(Next::Step);
        }
        if self.request.tokens_max == 0 {
            return Ok(self.finish(Finish::Length, outlet));
        }
        let rows = self.branches.iter_mut().map(|branch| branch.logits.take().into_iter().collect()).collect();
        self.draw_rows(rows, sessions, outlet)
    }

    /// The tokens that follow the rows, which are the prompt's from `first` on; the first token of all has no row before it.
    fn echo(&self, first: usize, rows: &[Vec<f32>]) -> Event {
        let tokens = &self.branches[0].tokens;
        let follow = rows.iter().zip(&tokens[first + 1..]);
        let told = follow.map(|(row, &id)| (id, log_probabilities(row, Some(id), self.request.logprobs)));
        let start = (first == 0).then(|| (tokens[0], Vec::new()));
        Event::Prompt { tokens: start.into_iter().chain(told).collect() }
    }

    /// Draws from row after row, for as long as what is drawn is what was guessed. `rows`: each branch's, one for the token
    /// drawn last and one for each guess.
    fn draw_rows(&mut self, mut rows: Vec<Logits>, sessions: &mut Sessions, outlet: &Outlet) -> Result<Next> {
        let guesses = std::mem::take(&mut self.guesses);
        self.stats.drafted += guesses.len();
        let mut right = 0;
        let next = loop {
            // This row was computed from all that is in the answer, and from nothing else.
            self.branches.iter_mut().for_each(Branch::hold_all);
            let guess = guesses.get(right);
            let (id, next) = self.draw_row(&mut rows, right, guess, outlet)?;
            let is_right = guess.is_some_and(|guess| id == Some(guess.id));
            right += usize::from(is_right);
            if !is_right || matches!(next, Next::Done) {
                break next;
            }
        };
        rows.into_iter().for_each(|rows| sessions.backend.recycle(rows));
        if !guesses.is_empty() {
            for Branch { session, .. } in &self.branches {
                sessions.backend.truncate(session.sequence, session.tokens.len());
            }
            self.speculation.note(guesses.len(), right, self.branches[0].tokens.len());
        }
        Ok(next)
    }

    /// The token of one row, where one comes into the answer, and how it goes on.
    fn draw_row(
        &mut self,
        rows: &mut [Logits],
        row: usize,
        guess: Option<&Guess>,
        outlet: &Outlet,
    ) -> Result<(Option<u32>, Next)> {
        let (id, logprobs) = self.draw(rows, row, guess)?;
        if self.rendered.ends.contains(&id) {
            return Ok((None, self.finish(Finish::End, outlet)));
        }
        if let Some(guess) = guess {
            self.stats.accepted += usize::from(guess.id == id);
        }
        if self.write(id, logprobs, outlet) {
            return Ok((Some(id), self.finish(Finish::StopText, outlet)));
        }
        if self.sampler.is_complete() {
            return Ok((Some(id), self.finish(Finish::End, outlet)));
        }
        if self.stats.tokens >= self.request.tokens_max {
            return Ok((Some(id), self.finish(Finish::Length, outlet)));
        }
        // A token can be drawn from the logits of the last position, but not be evaluated behind it.
        if self.branches.iter().any(|branch| branch.tokens.len() >= self.request.model.context()) {
            return Ok((Some(id), self.finish(Finish::Context, outlet)));
        }
        Ok((Some(id), Next::Step))
    }

    /// The next token, and the likeliest of what the model thought.
    fn draw(&mut self, rows: &mut [Logits], row: usize, guess: Option<&Guess>) -> Result<(u32, Vec<(u32, f32)>)> {
        let (main, negative) = rows.split_at_mut(1);
        let Some(logits) = main[0].get_mut(row) else { return unusable("a step gave too few rows".to_string()) };
        if let Some(against) = negative.first_mut().and_then(|rows| rows.get_mut(row)) {
            guide(logits, against, self.request.sampling.guidance);
        }
        let before = if self.request.logprobs > 0 { logits.clone() } else { Vec::new() };
        let position = self.branches[0].tokens.len() as u64;
        let id = match guess.and_then(|guess| Some((guess.id, guess.odds.as_ref()?))) {
            Some((guessed, odds)) => self.sampler.verify(logits, position, guessed, odds)?,
            None => self.sampler.sample(logits, position)?,
        };
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
        if !self.reply.in_thought() {
            self.sampler.end_thought();
        }
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

    /// The model it asks: its id.
    pub fn model_id(&self) -> u64 {
        self.request.model.id()
    }

    /// Whether it may share steps with the other: a step has one model and the same adapters in all its runs.
    pub fn goes_with(&self, other: &Answer) -> bool {
        self.model_id() == other.model_id() && self.mark == other.mark
    }

    pub fn adapters(&self) -> &Adapters {
        &self.request.adapters
    }

    /// Forgets what a step that broke off may have left.
    pub fn rewind(&self, sessions: &mut Sessions) {
        for Branch { session, .. } in &self.branches {
            sessions.backend.truncate(session.sequence, session.tokens.len());
        }
    }

    /// Answers on without the draft model, whose state may be in doubt.
    pub fn drop_draft(&mut self, drafts: Option<&mut Sessions>, sound: bool) {
        self.guesses.clear();
        if let Speculation::Model(draft) = std::mem::replace(&mut self.speculation, Speculation::Off)
            && let Some(drafts) = drafts
        {
            draft.end(&self.branches[0].tokens, drafts, sound);
        }
    }

    /// Keeps what was evaluated for later requests, unless its state is in doubt.
    pub fn end(self, sessions: &mut Sessions, sound: bool) {
        for branch in self.branches {
            match sound {
                true => sessions.put_back(branch.session),
                false => sessions.discard(branch.session),
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
