//! The engine's thread: takes commands, and gives the requests at work one step after the other, several together where their
//! rows do not change by it.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;

use crate::answer::{Answer, Next};
use crate::backend::{Backend, Batch, Logits, Run};
use crate::engine::Request;
use crate::session::Sessions;
use crate::stream::Outlet;
use crate::{Error, Model, Result};

/// What the thread is told.
pub(crate) enum Command {
    Generate {
        request: Box<Request>,
        outlet: Outlet,
        asked: Instant,
    },
    /// A listener has room again, or went away.
    Wake,
    /// A model is gone: so are its sessions.
    Forget {
        model: u64,
    },
    ShutDown,
}

/// Makes the back end of a model when it is first asked.
pub(crate) type MakeBackend = Box<dyn Fn(&Model) -> Box<dyn Backend> + Send>;

pub(crate) struct Worker {
    commands: Receiver<Command>,
    make_backend: MakeBackend,
    /// By the model's id.
    sessions: HashMap<u64, Sessions>,
    /// Who waited longest comes first.
    answers: VecDeque<Asked>,
}

/// A request at work, and where its events go.
struct Asked {
    answer: Answer,
    outlet: Outlet,
}

/// Who shares a step, and how many tokens of a prompt it may read.
struct Group {
    asked: Vec<Asked>,
    room: usize,
}

impl Worker {
    pub fn new(commands: Receiver<Command>, make_backend: MakeBackend) -> Worker {
        Worker { commands, make_backend, sessions: HashMap::new(), answers: VecDeque::new() }
    }

    /// Until told to shut down, or nobody is left to tell anything.
    pub fn run(mut self) {
        let mut idle = true;
        loop {
            // Where nothing can move, a command must come; otherwise one is taken where there is one.
            let command = match idle {
                true => self.commands.recv().map_err(|_| TryRecvError::Disconnected),
                false => self.commands.try_recv(),
            };
            match command {
                Ok(Command::Generate { request, outlet, asked }) => self.begin(*request, outlet, asked),
                Ok(Command::Wake) | Err(TryRecvError::Empty) => {}
                Ok(Command::Forget { model }) => drop(self.sessions.remove(&model)),
                Ok(Command::ShutDown) | Err(TryRecvError::Disconnected) => break,
            }
            idle = !self.turn();
        }
        for asked in self.answers {
            asked.outlet.push(Err(Error::ShutDown));
        }
    }

    fn sessions_of(&mut self, model: &Model) -> &mut Sessions {
        let make = &self.make_backend;
        self.sessions.entry(model.id()).or_insert_with(|| Sessions::new(make(model), model.positions()))
    }

    fn begin(&mut self, request: Request, outlet: Outlet, asked: Instant) {
        if outlet.stopped() {
            return;
        }
        let (model, draft) = (request.model.clone(), request.draft.clone());
        let sessions = self.sessions_of(&model);
        let mut answer = match guarded(|| Answer::begin(request, asked, sessions)) {
            Ok(answer) => answer,
            Err(error) => return outlet.push(Err(error)),
        };
        if let Some(draft) = draft.filter(|_| answer.draft_id().is_some()) {
            let drafts = self.sessions_of(&draft);
            if let Err(error) = guarded(|| answer.begin_draft(drafts)) {
                outlet.push(Err(error));
                return self.end(answer, true);
            }
        }
        outlet.push(Ok(answer.reading()));
        self.answers.push_back(Asked { answer, outlet });
    }

    /// One step for who waited longest, and for all who can share it. False where nobody can move.
    fn turn(&mut self) -> bool {
        let mut asked: Vec<Asked> = Vec::new();
        let mut moved = false;
        let all = std::mem::take(&mut self.answers);
        let may_begin: Vec<bool> = all.iter().map(|next| self.may_begin(next, &all)).collect();
        for (next, may_begin) in all.into_iter().zip(may_begin) {
            if next.outlet.stopped() {
                self.end(next.answer, true);
                moved = true;
            } else if may_begin
                && next.outlet.has_room()
                && asked.first().is_none_or(|lead| self.may_share(&lead.answer, &next.answer))
            {
                asked.push(next);
            } else {
                self.answers.push_back(next);
            }
        }
        let Some(lead) = asked.first() else { return self.take_from_the_deaf() || moved };
        let model = lead.answer.model_id();
        asked.iter_mut().for_each(|asked| self.guess_by_draft(asked));
        let group = self.fit(model, asked);
        let group = self.make_room(model, group);
        if !group.asked.is_empty() {
            self.step(model, group);
        }
        true
    }

    fn may_share(&self, lead: &Answer, other: &Answer) -> bool {
        let sessions = self.sessions.get(&lead.model_id());
        lead.goes_with(other) && sessions.is_some_and(|sessions| sessions.backend.is_row_invariant())
    }

    /// Lets the draft model guess. A fault of it costs the answer the guesses, and nothing else.
    fn guess_by_draft(&mut self, Asked { answer, outlet }: &mut Asked) {
        let Some(drafts) = answer.draft_id().and_then(|id| self.sessions.get_mut(&id)) else { return };
        match guarded(|| answer.guess_by_draft(drafts, outlet)) {
            // The step will be stopped, too.
            Ok(()) | Err(Error::Stopped) => {}
            Err(error) => {
                tracing::error!(%error, "a draft model failed: the answer goes on without it");
                answer.drop_draft(Some(drafts), false);
            }
        }
    }

    /// Shares out the rows of a step: one prompt at most is read, in what the answers leave of it, at least half; the others
    /// wait. Who leads is never left out. Guesses from the text get what is left over where no prompt is read.
    fn fit(&mut self, model: u64, asked: Vec<Asked>) -> Group {
        let Some(sessions) = self.sessions.get(&model) else { return Group { asked, room: 0 } };
        let rows_max = sessions.backend.rows_max();
        let lead_reads = asked.first().is_some_and(|lead| lead.answer.is_reading());
        let reads = asked.iter().any(|asked| asked.answer.is_reading());
        let limit = if reads { rows_max / 2 } else { rows_max };
        let mut left: usize = asked.iter().map(|asked| asked.answer.rows()).sum();
        let mut used = 0;
        let (mut reader, mut fitting) = (None, Vec::new());
        for mut next in asked {
            if next.answer.is_reading() {
                match reader {
                    None => reader = Some(next),
                    Some(_) => self.answers.push_back(next),
                }
                continue;
            }
            left -= next.answer.rows();
            if !reads {
                let room = rows_max.saturating_sub(used + left);
                next.answer.guess(&sessions.times, used + left, room);
            }
            let rows = next.answer.rows();
            if used + rows <= limit || (used == 0 && !lead_reads) {
                used += rows;
                fitting.push(next);
            } else {
                self.answers.push_back(next);
            }
        }
        let room = rows_max.saturating_sub(used);
        match reader {
            Some(mut reader) if room > 0 => {
                self.catch_up(model, &mut reader, &fitting);
                fitting.push(reader);
            }
            Some(reader) => self.answers.push_back(reader),
            None => {}
        }
        Group { asked: fitting, room }
    }

    /// Whether there is memory for an answer beside what others hold. Of those that hold nothing yet only who waits longest
    /// may begin: a long one is not overtaken for ever by short ones. `all`: itself and the others.
    fn may_begin(&self, next: &Asked, all: &VecDeque<Asked>) -> bool {
        let answer = &next.answer;
        let Some(sessions) = self.sessions.get(&answer.model_id()).filter(|_| answer.holds_nothing()) else {
            return true;
        };
        let all = all.iter().filter(|other| other.answer.model_id() == answer.model_id());
        let (waiting, holders): (Vec<&Asked>, Vec<&Asked>) = all.partition(|other| other.answer.holds_nothing());
        if waiting.iter().any(|other| other.answer.asked() < answer.asked() && other.outlet.has_room()) {
            return false;
        }
        let working = holders.iter().map(|other| other.answer.positions(sessions, None)).sum();
        holders.is_empty() || sessions.has_room_beside(working, answer.positions(sessions, None))
    }

    /// Where all who could move wait for memory, one gives its back whose listener does not listen. False where there is none.
    fn take_from_the_deaf(&mut self) -> bool {
        let waits = |asked: &&Asked| asked.answer.holds_nothing() && asked.outlet.has_room();
        let Some(model) = self.answers.iter().find(waits).map(|asked| asked.answer.model_id()) else { return false };
        let Some(sessions) = self.sessions.get_mut(&model) else { return false };
        let deaf = |asked: &&mut Asked| {
            asked.answer.model_id() == model && asked.answer.can_give_back() && !asked.outlet.has_room()
        };
        let last = self.answers.iter_mut().filter(deaf).max_by_key(|asked| asked.answer.asked());
        last.is_some_and(|asked| guarded(|| asked.answer.give_back(sessions)).is_ok())
    }

    /// Gives who reads what others have read meanwhile.
    fn catch_up(&mut self, model: u64, reader: &mut Asked, fitting: &[Asked]) {
        let Some(sessions) = self.sessions.get_mut(&model) else { return };
        let others = self.answers.iter().chain(fitting).filter(|asked| asked.answer.model_id() == model);
        let others = others.map(|asked| &asked.answer);
        if let Err(error) = guarded(|| reader.answer.catch_up(sessions, others)) {
            tracing::warn!(%error, "what another answer read is read again");
        }
    }

    /// Keeps what all hold within the budget: what nobody uses goes first, then the answers that came last give theirs back
    /// and read it again when there is room, which changes nothing where rows are the same to the bit. Who came first always
    /// goes on.
    fn make_room(&mut self, model: u64, mut group: Group) -> Group {
        loop {
            let Some(sessions) = self.sessions.get_mut(&model) else { return group };
            let stepping = group.asked.iter().map(|asked| asked.answer.positions(sessions, Some(group.room)));
            let others = self.answers.iter().filter(|asked| asked.answer.model_id() == model);
            let others = others.map(|asked| asked.answer.positions(sessions, Some(0)));
            let working: usize = stepping.chain(others).sum();
            if sessions.make_room(working) || !sessions.backend.is_row_invariant() {
                return group;
            }
            let all = self.answers.iter().chain(&group.asked).map(|asked| &asked.answer);
            let holders = all.filter(|answer| answer.model_id() == model && !answer.holds_nothing());
            let (count, last) = (holders.clone().count(), holders.filter(|answer| answer.can_give_back()));
            let Some(last) = last.map(Answer::asked).max().filter(|_| count > 1) else { return group };
            if let Some(at) = group.asked.iter().position(|asked| asked.answer.asked() == last) {
                self.answers.push_back(group.asked.remove(at));
            }
            let Some(one) = self.answers.iter_mut().find(|asked| asked.answer.asked() == last) else { return group };
            if let Err(error) = guarded(|| one.answer.give_back(sessions)) {
                tracing::error!(%error, "an answer kept its memory");
                return group;
            }
        }
    }

    /// One step for all in the group. Where it fails, each of several is tried alone: one's misfortune is no other's.
    fn step(&mut self, model: u64, Group { mut asked, room }: Group) {
        let Some(sessions) = self.sessions.get_mut(&model) else {
            return asked.iter().for_each(|asked| asked.outlet.push(Err(Error::ShutDown)));
        };
        match evaluate(sessions, &asked, room) {
            Ok(parts) => {
                for (asked, (runs, logits)) in asked.into_iter().zip(parts) {
                    self.take(model, asked, &runs, logits);
                }
            }
            Err(error) if asked.len() > 1 => {
                asked.iter().for_each(|asked| asked.answer.rewind(sessions));
                if matches!(error, Error::Stopped) && asked.iter().any(|asked| asked.outlet.stopped()) {
                    // The next turn leaves out who does not listen any more.
                    return self.answers.extend(asked);
                }
                tracing::warn!(%error, "a step of {} answers failed: each is tried alone", asked.len());
                for one in asked {
                    self.step(model, Group { asked: vec![one], room });
                }
            }
            Err(error) => {
                if let Some(Asked { answer, outlet }) = asked.pop() {
                    self.fail(answer, &outlet, error);
                }
            }
        }
    }

    fn take(&mut self, model: u64, Asked { mut answer, outlet }: Asked, runs: &[Run], logits: Logits) {
        let Some(sessions) = self.sessions.get_mut(&model) else { return outlet.push(Err(Error::ShutDown)) };
        match guarded(|| answer.take(runs, logits, sessions, &outlet)) {
            Ok(Next::Step) => self.answers.push_back(Asked { answer, outlet }),
            Ok(Next::Done) => self.end(answer, true),
            Err(error) => self.fail(answer, &outlet, error),
        }
    }

    fn fail(&mut self, answer: Answer, outlet: &Outlet, error: Error) {
        if matches!(error, Error::Stopped) {
            return self.end(answer, true);
        }
        tracing::error!(%error, "an answer failed");
        self.end(answer, false);
        outlet.push(Err(error));
    }

    /// Keeps an answer's sessions for later requests, the model's only where its state is sound.
    fn end(&mut self, mut answer: Answer, sound: bool) {
        if let Some(draft) = answer.draft_id() {
            answer.drop_draft(self.sessions.get_mut(&draft), true);
        }
        if let Some(sessions) = self.sessions.get_mut(&answer.model_id()) {
            answer.end(sessions, sound);
        }
    }
}

/// What a step of all these gives each of them, with the runs that it was asked for. Stops when one of them does not listen any
/// more.
fn evaluate(sessions: &mut Sessions, asked: &[Asked], room: usize) -> Result<Vec<(Vec<Run>, Logits)>> {
    let runs: Vec<Vec<Run>> = asked.iter().map(|asked| asked.answer.runs(room)).collect();
    let counts: Vec<usize> = runs.iter().map(Vec::len).collect();
    let adapters = asked.first().map(|lead| lead.answer.adapters().clone()).unwrap_or_default();
    let batch = Batch { runs: runs.into_iter().flatten().collect(), adapters, hidden: false };
    let outlets: Vec<&Outlet> = asked.iter().map(|asked| &asked.outlet).collect();
    let begun = Instant::now();
    let logits = guarded(|| sessions.backend.step(&batch, &|| outlets.iter().any(|outlet| outlet.stopped())))?;
    if !asked.iter().any(|asked| asked.answer.is_reading()) {
        let rows = batch.runs.iter().map(|run| run.tokens.len()).sum();
        sessions.times.note(rows, begun.elapsed().as_secs_f64());
    }
    let (mut runs, mut logits) = (batch.runs.into_iter(), logits.into_iter());
    let part = |count: usize| {
        let runs: Vec<Run> = runs.by_ref().take(count).collect();
        let wanted = runs.iter().map(|run| run.wanted.len()).sum();
        (runs, logits.by_ref().take(wanted).collect())
    };
    Ok(counts.into_iter().map(part).collect())
}

/// A panic is one request's misfortune, not the thread's.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Error::Panicked { message: message(panic) }))
}

fn message(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().unwrap_or(&"a panic without words").to_string(),
    }
}

#[cfg(test)]
#[path = "../tests/common/tiny.rs"]
mod tiny;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::sync::{Arc, Mutex};
    use std::thread;

    use huacaya_kernels::Format;
    use huacaya_progress::unwatched;

    use super::*;
    use crate::backend::{SequenceId, Stop};
    use crate::sampling::Sampling;
    use crate::stream::{Event, Finish, stream};
    use crate::template::Prompt;
    use crate::{LoadOptions, TokenStream};

    /// Says always the same token, and breaks off at the steps that it is told to.
    #[derive(Clone, Default)]
    struct Fragile(Arc<Mutex<Told>>);

    #[derive(Default)]
    struct Told {
        sequences: u64,
        released: u64,
        /// Tokens that each sequence holds.
        held: HashMap<SequenceId, usize>,
        /// The most that all together held at a time.
        held_most: usize,
        /// Tokens that were evaluated in all.
        evaluated: usize,
        steps: usize,
        panics_at: Option<usize>,
        fails_at: Option<usize>,
        /// A token that no step gets over.
        fails_with: Option<(u32, bool)>,
        /// The most sequences that a step had.
        together: usize,
        stops_seen: usize,
    }

    impl Backend for Fragile {
        fn is_row_invariant(&self) -> bool {
            true
        }

        fn create(&mut self) -> Result<SequenceId> {
            let mut told = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            told.sequences += 1;
            let id = SequenceId(told.sequences);
            told.held.insert(id, 0);
            Ok(id)
        }

        fn step(&mut self, batch: &Batch, stop: Stop) -> Result<Logits> {
            let mut told = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            told.steps += 1;
            if stop() {
                told.stops_seen += 1;
                return Err(Error::Stopped);
            }
            assert!(told.panics_at != Some(told.steps), "a kernel went astray");
            if told.fails_at == Some(told.steps) {
                return Err(Error::Config { what: "out of memory".to_string() });
            }
            told.together = told.together.max(batch.runs.len());
            if let Some((token, panics)) = told.fails_with
                && batch.runs.iter().any(|run| run.tokens.contains(&token))
            {
                assert!(!panics, "a kernel went astray");
                return Err(Error::Config { what: "out of memory".to_string() });
            }
            for run in &batch.runs {
                *told.held.get_mut(&run.sequence).unwrap() += run.tokens.len();
                told.evaluated += run.tokens.len();
            }
            told.held_most = told.held_most.max(told.held.values().sum());
            let row = |id: usize| if id == 5 { 9.0 } else { 0.0 };
            let rows = batch.runs.iter().flat_map(|run| run.wanted.clone());
            Ok(rows.map(|_| (0..tiny::VOCABULARY).map(row).collect()).collect())
        }

        fn fork(&mut self, from: SequenceId, length: usize) -> Result<SequenceId> {
            let id = self.create()?;
            let mut told = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            assert!(told.held[&from] >= length);
            told.held.insert(id, length);
            Ok(id)
        }

        fn truncate(&mut self, id: SequenceId, length: usize) {
            let mut told = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let held = told.held.get_mut(&id).unwrap();
            *held = (*held).min(length);
        }

        fn release(&mut self, id: SequenceId) {
            let mut told = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            told.held.remove(&id).unwrap();
            told.released += 1;
        }
    }

    struct Started {
        commands: Sender<Command>,
        model: Arc<Model>,
        backend: Fragile,
        thread: thread::JoinHandle<()>,
    }

    fn start() -> Started {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tiny.gguf");
        tiny::write(&path, 1, Format::F32);
        let options = LoadOptions { template: Some("none".to_string()), ..LoadOptions::default() };
        let model = Arc::new(Model::load(&path, &options, &mut unwatched()).unwrap());
        let (commands, received) = channel();
        let backend = Fragile::default();
        let made = backend.clone();
        let worker = Worker::new(received, Box::new(move |_| Box::new(made.clone())));
        Started { commands, model, backend, thread: thread::spawn(move || worker.run()) }
    }

    impl Started {
        fn ask(&self, text: &str, tokens_max: usize) -> TokenStream {
            let wake = self.commands.clone();
            let (outlet, stream) = stream(move || drop(wake.send(Command::Wake)));
            let request = Request {
                model: self.model.clone(),
                adapters: Vec::new(),
                prompt: Prompt::Raw(text.to_string()),
                negative: None,
                sampling: Sampling { temperature: 0.0, ..Sampling::default() },
                grammar: None,
                stop: Vec::new(),
                logprobs: 0,
                echo: false,
                tokens_max,
                speculate: false,
                draft: None,
            };
            self.commands
                .send(Command::Generate { request: Box::new(request), outlet, asked: Instant::now() })
                .unwrap();
            stream
        }

        fn told<T>(&self, look: impl Fn(&mut Told) -> T) -> T {
            look(&mut self.backend.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
        }
    }

    #[test]
    fn a_panic_or_an_error_costs_its_request_and_no_other() {
        let started = start();
        started.told(|told| (told.panics_at, told.fails_at) = (Some(3), Some(8)));
        let message = started.ask("a", 100).find_map(Result::err).unwrap().to_string();
        assert!(message.contains("a kernel went astray"), "{message}");
        assert_eq!(started.told(|told| told.released), 1, "its session is dropped");
        let error = started.ask("b", 100).find_map(Result::err).unwrap();
        assert!(matches!(error, Error::Config { .. }), "{error}");
        let last = started.ask("b", 4).last().unwrap().unwrap();
        assert!(matches!(last, Event::Finished { why: Finish::Length, .. }), "{last:?}");
    }

    #[test]
    fn in_a_step_that_several_share_an_error_or_a_panic_costs_the_one_that_causes_it() {
        for panics in [false, true] {
            let started = start();
            let bad = *started.model.tokenize("b").last().unwrap();
            started.told(|told| told.fails_with = Some((bad, panics)));
            let streams = ["a", "b", "你好"].map(|text| started.ask(text, 100));
            let ends = streams.map(|stream| stream.last().unwrap());
            assert!(matches!(ends[1], Err(Error::Config { .. } | Error::Panicked { .. })), "{:?}", ends[1]);
            for end in [&ends[0], &ends[2]] {
                let Ok(Event::Finished { why: Finish::Length, stats }) = end else { panic!("{end:?}") };
                assert_eq!(stats.tokens, 100);
            }
            assert_eq!(started.told(|told| told.held.len()), 2, "only its session is dropped");
            assert!(started.told(|told| told.together) > 1, "nothing was shared");
        }
    }

    #[test]
    fn after_the_stream_is_dropped_no_further_token_is_begun() {
        let started = start();
        let mut stream = started.ask("a", 400);
        while !matches!(stream.next(), Some(Ok(Event::Token { .. }))) {}
        // The queue holds 256 events: the engine waits for this listener well before the end.
        while started.told(|told| told.steps) < 200 {
            thread::yield_now();
        }
        drop(stream);
        let after = started.ask("b", 1).last().unwrap().unwrap();
        assert!(matches!(after, Event::Finished { .. }), "{after:?}");
        let steps = started.told(|told| told.steps);
        assert!(steps < 300, "{steps} steps");
    }

    #[test]
    fn a_listener_that_does_not_listen_blocks_nobody() {
        let started = start();
        let mut deaf = started.ask("a", 450);
        let last = started.ask("b", 30).last().unwrap().unwrap();
        assert!(matches!(last, Event::Finished { .. }), "{last:?}");
        // And gets all of it later.
        let tokens = deaf.by_ref().filter(|event| matches!(event, Ok(Event::Token { .. }))).count();
        assert_eq!(tokens, 450);
    }

    #[test]
    fn answers_together_never_hold_more_than_the_budget_and_all_come_to_their_end() {
        let started = start();
        let budget = started.model.positions();
        // Each may grow to the context: eight would need twice the budget.
        let texts: Vec<String> = (0..8).map(|number| format!("{number}") + &"ab你好".repeat(20)).collect();
        let streams: Vec<TokenStream> = texts.iter().map(|text| started.ask(text, 1_000)).collect();
        let readers: Vec<_> = streams
            .into_iter()
            .map(|stream| thread::spawn(move || stream.map(Result::unwrap).collect::<Vec<Event>>()))
            .collect();
        for reader in readers {
            let events = reader.join().unwrap();
            let ids =
                events.iter().filter_map(|event| if let Event::Token { id, .. } = event { Some(*id) } else { None });
            assert!(ids.clone().all(|id| id == 5));
            let Some(Event::Finished { why: Finish::Context, stats }) = events.last() else { panic!("{events:?}") };
            assert_eq!((ids.count(), stats.prompt_tokens + stats.tokens), (stats.tokens, started.model.context()));
        }
        started.told(|told| {
            assert!(told.held_most <= budget, "{} of {budget}", told.held_most);
            assert!(told.together > 1, "nothing was shared");
            // Some were read twice; none over and over.
            let once = 8 * started.model.context();
            assert!((once - 64..2 * once).contains(&told.evaluated), "{} for {once}", told.evaluated);
        });
    }

    #[test]
    fn who_does_not_listen_keeps_nobody_from_memory() {
        let started = start();
        let mut deaf: Vec<TokenStream> = (0..8).map(|number| started.ask(&format!("{number}"), 1_000)).collect();
        // All of them wait for their listeners, which fills the memory.
        while started.told(|told| told.evaluated) < 4 * started.model.context() - 256 {
            thread::yield_now();
        }
        let last = started.ask(&"你好".repeat(200), 200).last().unwrap().unwrap();
        assert!(matches!(last, Event::Finished { why: Finish::Length, .. }), "{last:?}");
        for stream in &mut deaf {
            let last = stream.last().unwrap().unwrap();
            assert!(matches!(last, Event::Finished { why: Finish::Context, .. }), "{last:?}");
        }
        assert!(started.told(|told| told.held_most) <= started.model.positions());
    }

    #[test]
    fn one_prompt_asked_many_times_at_once_is_read_once() {
        let started = start();
        let text = "ab你好".repeat(40);
        let streams: Vec<TokenStream> = (0..8).map(|_| started.ask(&text, 3)).collect();
        let stats: Vec<_> = streams
            .into_iter()
            .map(|stream| match stream.last() {
                Some(Ok(Event::Finished { stats, .. })) => stats,
                other => panic!("{other:?}"),
            })
            .collect();
        let prompt = stats[0].prompt_tokens;
        let evaluated = started.told(|told| told.evaluated);
        // Each evaluates the prompt's last token itself, and two that it drew.
        assert!(evaluated <= prompt + 8 * 3, "{evaluated} for a prompt of {prompt}");
        assert_eq!(stats.iter().map(|stats| stats.prompt_tokens - stats.reused).sum::<usize>(), prompt + 7);
    }

    #[test]
    fn shutting_down_ends_every_stream_with_an_error() {
        let started = start();
        let stream = started.ask("a", 450);
        started.commands.send(Command::ShutDown).unwrap();
        assert!(matches!(stream.last(), Some(Err(Error::ShutDown))));
        started.thread.join().unwrap();
    }
}
