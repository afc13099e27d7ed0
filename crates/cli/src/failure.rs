//! How a command fails: what was attempted, on what, what to do, and the exit status.

use std::{fmt, io, path::Path, process::ExitCode};

use huacaya_app::{Code, Error, engine, weights};

/// Why a command did not do its work.
#[derive(Debug)]
pub enum Failure {
    /// In words for a person.
    Said(String),
    /// Ctrl-C.
    Interrupted,
}

impl Failure {
    pub fn status(&self) -> ExitCode {
        match self {
            Failure::Said(_) => ExitCode::from(1),
            Failure::Interrupted => ExitCode::from(130),
        }
    }

    /// A file that could not be read or written.
    pub fn file(attempt: &str, path: &Path, error: &io::Error) -> Failure {
        Failure::Said(format!("cannot {attempt} {}: {error}", path.display()))
    }

    /// What the engine said about a model.
    pub fn of_model(path: &Path, error: engine::Error) -> Failure {
        Error::of_model(&path.display().to_string(), error).into()
    }

    /// What kept a model from being measured.
    pub fn of_measurement(path: &Path, error: engine::measure::Error) -> Failure {
        match error {
            engine::measure::Error::Engine(error) => Failure::of_model(path, error),
            error => Failure::Said(error.to_string()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Said(words) => write!(out, "error: {words}"),
            Failure::Interrupted => out.write_str("interrupted"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let mend = match error.code {
            Code::Stopped => return Failure::Interrupted,
            Code::ModelIsBase => "\nhelp: add --raw to continue the text as it stands",
            Code::PromptTooLong => "\nhelp: shorten the prompt, or give a longer --context",
            Code::DatabaseNewer | Code::PlaceUnusable => "\nhelp: give --model a path, or set HUACAYA_HOME",
            _ => "",
        };
        Failure::Said(format!("{}{mend}", error.detail))
    }
}

impl From<weights::Error> for Failure {
    fn from(error: weights::Error) -> Failure {
        match error.kind() {
            weights::Kind::Stopped => Failure::Interrupted,
            // Its text says on what, and what to do.
            _ => Failure::Said(error.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            // The reader of our output has what it wanted.
            io::ErrorKind::BrokenPipe => Failure::Interrupted,
            _ => Failure::Said(format!("standard input or output: {error}")),
        }
    }
}
