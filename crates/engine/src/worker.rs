//! The engine's thread: takes commands, and gives every request at work one step after the other.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;

use crate::answer::{Answer, Next};
use crate::backend::Backend;
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
    answers: VecDeque<(Answer, Outlet)>,
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
        for (_, outlet) in self.answers {
            outlet.push(Err(Error::ShutDown));
        }
    }

    fn begin(&mut self, request: Request, outlet: Outlet, asked: Instant) {
        if outlet.stopped() {
            return;
        }
        let model = request.model.clone();
        let make = &self.make_backend;
        let sessions = self.sessions.entry(model.id()).or_insert_with(|| Sessions::new(make(&model), model.context()));
        match guarded(|| Answer::begin(request, asked, sessions)) {
            Ok(answer) => {
                outlet.push(Ok(answer.reading()));
                self.answers.push_back((answer, outlet));
            }
            Err(error) => outlet.push(Err(error)),
        }
    }

    /// One step for the request whose turn it is. False where none can move.
    fn turn(&mut self) -> bool {
        for _ in 0..self.answers.len() {
            let Some((mut answer, outlet)) = self.answers.pop_front() else { return false };
            let Some(sessions) = self.sessions.get_mut(&answer.model_id()) else {
                outlet.push(Err(Error::ShutDown));
                continue;
            };
            if outlet.stopped() {
                answer.end(sessions, true);
                return true;
            }
            if !outlet.has_room() {
                self.answers.push_back((answer, outlet));
                continue;
            }
            match guarded(|| answer.step(sessions, &outlet)) {
                Ok(Next::Step) => self.answers.push_back((answer, outlet)),
                Ok(Next::Done) | Err(Error::Stopped) => answer.end(sessions, true),
                Err(error) => {
                    tracing::error!(%error, "an answer failed");
                    answer.end(sessions, false);
                    outlet.push(Err(error));
                }
            }
            return true;
        }
        false
    }
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
    use crate::backend::{Batch, Logits, SequenceId, Stop};
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
        steps: usize,
        panics_at: Option<usize>,
        fails_at: Option<usize>,
        stops_seen: usize,
    }

    impl Backend for Fragile {
        fn create(&mut self) -> Result<SequenceId> {
            let mut told = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            told.sequences += 1;
            Ok(SequenceId(told.sequences))
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
            let row = |id: usize| if id == 5 { 9.0 } else { 0.0 };
            let rows = batch.runs.iter().flat_map(|run| run.wanted.clone());
            Ok(rows.map(|_| (0..tiny::VOCABULARY).map(row).collect()).collect())
        }

        fn fork(&mut self, _: SequenceId, _: usize) -> Result<SequenceId> {
            self.create()
        }

        fn truncate(&mut self, _: SequenceId, _: usize) {}

        fn release(&mut self, _: SequenceId) {
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).released += 1;
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
                stop: Vec::new(),
                logprobs: 0,
                tokens_max,
                speculate: true,
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
    fn shutting_down_ends_every_stream_with_an_error() {
        let started = start();
        let stream = started.ask("a", 450);
        started.commands.send(Command::ShutDown).unwrap();
        assert!(matches!(stream.last(), Some(Err(Error::ShutDown))));
        started.thread.join().unwrap();
    }
}
