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
                    outlet.push(Err(error));
                    answer.end(sessions, false);
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
