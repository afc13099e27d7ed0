//! The log of requests: a row for each, live while it runs.

use huacaya_store::{Request as Row, RequestState};

use super::{Open, Source};
use crate::{
    App,
    error::{Code, Error, Result},
};

/// A log is to be read; what is longer is cut.
const TEXT_KEPT_MAX: usize = 64 << 10;

/// A request's row. What became of it is written down when this goes.
pub(super) struct Log {
    app: App,
    pub(super) row: Row,
    /// The answers so far, where the person wants texts kept.
    answers: Option<Vec<String>>,
    open: Option<Open>,
}

impl App {
    /// Writes a new request down. `words` is what was asked; kept only where the person wants that.
    pub(super) async fn log_request(
        &self,
        source: &Source,
        model: Option<&str>,
        words: impl FnOnce() -> String,
    ) -> Result<Log> {
        if self.inner.closing() {
            return Err(Error::closing());
        }
        let keeps_text = self.setting("server_log_text").await?.unwrap_or(false);
        let row = Row {
            method: source.method.clone(),
            path: source.path.clone(),
            model: self.known_name(model).await,
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
        row.map_or_else(|| model.unwrap_or_default().to_string(), |row| row.name)
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
