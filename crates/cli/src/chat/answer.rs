//! An answer as it comes: its row followed to the end, its words on the screen.

use std::io::{Write, stderr, stdout};

use huacaya_app::{
    Change, Changes, Error,
    progress::Progress,
    rows::{ChatId, Job, JobState, Message, MessageId, MessageState, Role},
};
use serde_json::{Value, json};

use crate::{failure::Failure, library::Library, model::Meter, screen};

/// Which answer is meant: itself, or the one to a question.
#[derive(Clone, Copy, Debug)]
pub enum Awaited {
    Answer(MessageId),
    To(MessageId),
}

impl Awaited {
    fn is(self, message: &Message) -> bool {
        match self {
            Awaited::Answer(id) => message.id == id,
            Awaited::To(question) => message.parent == Some(question) && message.role == Role::Assistant,
        }
    }
}

/// The words of an answer on standard output.
pub struct Shown {
    /// Words are shown as they come; else only the end counts.
    streams: bool,
    /// Thoughts are shown too, as what they are.
    thoughts: bool,
    said: String,
    thinks: bool,
}

impl Shown {
    pub fn new(streams: bool, thoughts: bool) -> Shown {
        Shown { streams, thoughts, said: String::new(), thinks: false }
    }

    /// Words that stand there already are not shown again.
    pub fn after(mut self, text: &str) -> Shown {
        self.said = text.to_string();
        self
    }

    fn piece(&mut self, thought: bool, text: &str) -> Result<(), Failure> {
        if thought && !self.thoughts {
            return Ok(());
        }
        if !thought {
            self.said.push_str(text);
        }
        if !self.streams {
            return Ok(());
        }
        let mut out = stdout().lock();
        if self.thinks != thought {
            let mark = if thought { screen::faint() } else { screen::plain() };
            write!(out, "{mark}{}", if thought { "" } else { "\n\n" })?;
            self.thinks = thought;
        }
        out.write_all(screen::clean(text).as_bytes())?;
        Ok(out.flush()?)
    }

    /// Shows what a row says beyond what came by pieces.
    fn row(&mut self, text: &str) -> Result<(), Failure> {
        let rest = text.strip_prefix(self.said.as_str()).unwrap_or_default().to_string();
        if rest.is_empty() { Ok(()) } else { self.piece(false, &rest) }
    }

    fn end(&mut self) -> Result<(), Failure> {
        if self.streams {
            let mark = if self.thinks { screen::plain() } else { "" };
            writeln!(stdout(), "{mark}")?;
        }
        Ok(())
    }
}

/// Follows an answer to its end. Ctrl-C stops it, and the row says so.
pub async fn follow(
    library: &Library,
    changes: &mut Changes,
    chat: ChatId,
    awaited: Awaited,
    shown: &mut Shown,
) -> Result<Message, Failure> {
    // Its rows come as changes from now on.
    library.call::<Value>("open_chat", json!({"chat": chat})).await?;
    let mut waiting = Waiting::new(library.quiet);
    let mut answer = match awaited {
        Awaited::Answer(id) => Some(id),
        Awaited::To(_) => None,
    };
    let mut stopped = false;
    let ended = loop {
        if let Some(message) = answer.filter(|_| library.stop.asked() && !stopped) {
            stopped = true;
            library.call::<Value>("stop_message", json!({"message": message})).await?;
        }
        let Some(batch) = library.glance(changes).await? else { continue };
        let mut ended = None;
        for change in batch {
            match change {
                Change::Text { message, thought, piece } if Some(message) == answer => {
                    waiting.over();
                    shown.piece(thought, &piece)?;
                }
                Change::Reading { message, done, total } if Some(message) == answer => {
                    waiting.reading(u64::from(done), u64::from(total));
                }
                Change::Job(job) => waiting.loading(&job),
                Change::Opened { messages, .. } => ended = messages.into_iter().find(|row| awaited.is(row)).or(ended),
                Change::Message(row) if awaited.is(&row) => ended = Some(row),
                _ => {}
            }
            if let Some(row) = &ended {
                answer = Some(row.id);
                if let Some(body) = row.body.as_ref().filter(|body| !body.text.is_empty()) {
                    waiting.over();
                    shown.row(&body.text)?;
                }
            }
        }
        match ended {
            Some(row) if row.state != MessageState::Writing => break row,
            _ => {}
        }
    };
    waiting.over();
    shown.end()?;
    library.stop.done();
    library.call::<Value>("close_chat", json!({"chat": chat})).await?;
    Ok(ended)
}

/// What goes before the first word: the model is loaded, the prompt read.
struct Waiting {
    quiet: bool,
    meter: Option<Meter>,
    reads: bool,
}

impl Waiting {
    fn new(quiet: bool) -> Waiting {
        Waiting { quiet, meter: None, reads: false }
    }

    fn loading(&mut self, job: &Job) {
        if job.state == JobState::Running && job.task["kind"] == "load" && !self.reads {
            let meter = self.meter.get_or_insert_with(|| Meter::new("loading", self.quiet));
            meter.show(Progress { done: job.done, total: job.total });
        }
    }

    fn reading(&mut self, done: u64, total: u64) {
        if !self.reads {
            self.over();
            self.meter = Some(Meter::new("reading", self.quiet));
            self.reads = true;
        }
        if let Some(meter) = &mut self.meter {
            meter.show(Progress { done, total });
        }
    }

    fn over(&mut self) {
        if let Some(meter) = self.meter.take() {
            meter.clear();
        }
    }
}

/// One line of what an answer took, or why there is none.
pub fn tell(message: &Message, quiet: bool) -> Result<(), Failure> {
    if let (MessageState::Failed, Some(problem)) = (message.state, &message.error) {
        return Err(Failure::of_problem(problem));
    }
    let Some(stats) = message.stats.as_ref().filter(|_| !quiet) else { return Ok(()) };
    let dropped = match stats.turns_dropped {
        0 => String::new(),
        count => format!(", {count} of the oldest turns no longer fit"),
    };
    // Where nobody can see it, nothing is lost.
    let _ = writeln!(
        stderr(),
        "{}{} + {} tokens, {:.1} tokens/s{dropped}{}",
        screen::faint(),
        stats.prompt_tokens,
        stats.tokens,
        stats.tokens_per_second,
        screen::plain()
    );
    Ok(())
}

/// An answer as one JSON object.
pub fn as_json(message: &Message) -> Result<Value, Failure> {
    let body = message.body.clone().unwrap_or_default();
    let error = message.error.as_ref().map(|problem| problem.detail.clone());
    Ok(json!({
        "chat": message.chat,
        "message": message.id,
        "text": body.text,
        "thought": body.thought,
        "state": serde_json::to_value(message.state).map_err(Error::internal)?,
        "error": error,
        "stats": message.stats,
    }))
}
