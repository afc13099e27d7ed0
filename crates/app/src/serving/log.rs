//! The log of requests: a row for each, live while it runs.

use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

use huacaya_store::{Request as Row, RequestState};

use super::{Open, Serving, Source, models::cut_name};
use crate::{
    App,
    error::{Code, Error, Result},
};

/// A log is to be read; what is longer is cut.
const TEXT_KEPT_MAX: usize = 64 << 10;
/// Paths are a stranger's words, too.
const PATH_KEPT_MAX: usize = 200;
/// Requests of strangers that the log takes in a minute: more are an attack, and would push all others out of it.
const STRANGERS_MAX: u32 = 30;
const MINUTE: Duration = Duration::from_secs(60);

/// A request's row. What became of it is written down when this goes.
pub(super) struct Log {
    app: App,
    pub(super) row: Row,
    /// The answers so far, where the person wants texts kept.
    answers: Option<Vec<String>>,
    open: Option<Open>,
}

impl App {
    /// Writes a new request for a model down. `words` is what was asked; kept only where the person wants that.
    pub(super) async fn log_request(
        &self,
        source: &Source,
        model: Option<&str>,
        words: impl FnOnce() -> String,
    ) -> Result<Log> {
        let model = self.known_name(model).await;
        self.log_as(source, model, words).await
    }

    /// Writes a request down that was refused before any model was asked. `stranger`: it did not bring the token, or came from
    /// where nobody may ask; of these only so many a minute are written down.
    pub async fn log_refused(&self, source: &Source, code: &str, stranger: bool) -> Result<()> {
        if stranger && !self.inner.serving.has_room_for_a_stranger() {
            return Ok(());
        }
        let mut log = self.log_as(source, String::new(), String::new).await?;
        log.row.state = RequestState::Failed;
        log.row.error = Some(code.to_string());
        Ok(())
    }

    async fn log_as(&self, source: &Source, model: String, words: impl FnOnce() -> String) -> Result<Log> {
        if self.inner.closing() {
            return Err(Error::closing());
        }
        let keeps_text = self.setting("server_log_text").await?.unwrap_or(false);
        let row = Row {
            method: source.method.clone(),
            path: source.path[..source.path.floor_char_boundary(PATH_KEPT_MAX)].to_string(),
            model,
            text: keeps_text.then(words),
            ..Row::default()
        };
        let answers = keeps_text.then(Vec::new);
        let app = self.clone();
        // On a task of its own: who asks may go away while the row is written, and it must not stay as running.
        let written = self.inner.runtime.spawn(async move {
            let open = Some(Open::new(&app.inner.serving.open));
            let id = app.inner.store.add_request(&row).await?;
            Ok(Log { row: Row { id, ..row }, app, answers, open })
        });
        written.await.map_err(Error::internal)?
    }
}

impl App {
    /// The model's name in the list, where there is one that is meant; else as it was asked for.
    async fn known_name(&self, model: Option<&str>) -> String {
        let row = match self.api_model(model).await {
            Ok(id) => self.inner.store.model(id).await.ok(),
            Err(_) => None,
        };
        row.map_or_else(|| cut_name(model.unwrap_or_default()).to_string(), |row| row.name)
    }
}

impl Serving {
    fn has_room_for_a_stranger(&self) -> bool {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let minute = strangers.filter(|(began, _)| now.duration_since(*began) < MINUTE);
        let (began, count) = minute.unwrap_or((now, 0));
        *strangers = Some((began, count + 1));
        count < STRANGERS_MAX
    }
}

impl Log {
    /// More text of an answer.
    pub(super) fn said(&mut self, index: u32, text: &str) {
        let Some(answers) = &mut self.answers else { return };
        answers.resize_with(answers.len().max(index as usize + 1), String::new);
        let answer = &mut answers[index as usize];
        if answer.len() < TEXT_KEPT_MAX {
            answer.push_str(text);
        }
    }

    /// Notes the end of work that comes whole, and how many tokens were read for it.
    pub(super) fn looked<T>(mut self, done: Result<T>, tokens: impl Fn(&T) -> usize) -> Result<T> {
        match done {
            Ok(done) => {
                self.row.prompt_tokens = tokens(&done) as u32;
                self.row.state = RequestState::Done;
                Ok(done)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Notes why there is no more.
    pub(super) fn failed(&mut self, error: Error) -> Error {
        self.row.state = match error.code {
            Code::Stopped => RequestState::Stopped,
            Code::Closing => RequestState::Interrupted,
            _ => RequestState::Failed,
        };
        self.row.error = Some(error.code.as_str().to_string());
        error
    }
}

pub(super) fn cut(text: &mut String) {
    text.truncate(text.floor_char_boundary(TEXT_KEPT_MAX));
}

impl Drop for Log {
    fn drop(&mut self) {
        let (app, mut row, open) = (self.app.clone(), std::mem::take(&mut self.row), self.open.take());
        if row.state == RequestState::Running {
            row.state = RequestState::Stopped;
        }
        if let Some(text) = &mut row.text {
            for answer in self.answers.iter().flatten() {
                text.push_str("\n\n");
                text.push_str(answer);
            }
            cut(text);
        }
        self.app.inner.runtime.spawn(async move {
            if let Err(error) = app.inner.store.end_request(&row).await {
                tracing::error!(%error, request = row.id.0, "the end of a request was not written down");
            }
            drop(open);
        });
    }
}
