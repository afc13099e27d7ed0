//! How a command fails: what was attempted, on what, what to do, and the exit status.

use std::{fmt, io, path::Path, process::ExitCode};

use huacaya_app::{Code, Error, Problem, engine, weights};

/// What the exit statuses mean, for `--help` and the manual pages.
pub const STATUSES: &str = "\
Exit status:
  0    done
  1    failed for another reason than those below
  2    wrong usage: an option, a value, a format
  3    not there: a file, a model, a chat, a repository
  4    a file that is damaged, incomplete, not supported, or refused
  5    no room: in memory or on the disk
  6    the network: offline, not reached, not allowed
  130  interrupted by Ctrl-C
  141  the reader of the output went away";

/// As a shell sees a program that Ctrl-C ended.
pub const INTERRUPTED: u8 = 130;

/// Why a command did not do its work.
#[derive(Debug)]
pub enum Failure {
    /// In words for a person; each of these has words.
    Said(String),
    /// Asked for in a way that cannot be meant.
    Usage(String),
    NotThere(String),
    /// A file that is no good for this.
    Unusable(String),
    NoRoom(String),
    Network(String),
    /// Ctrl-C.
    Interrupted,
    /// Whoever read the output has what it wanted.
    Unread,
}

impl Failure {
    pub fn status(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::Said(_) => 1,
            Failure::Usage(_) => 2,
            Failure::NotThere(_) => 3,
            Failure::Unusable(_) => 4,
            Failure::NoRoom(_) => 5,
            Failure::Network(_) => 6,
            Failure::Interrupted => INTERRUPTED,
            // As a shell sees a program that SIGPIPE ended.
            Failure::Unread => 141,
        })
    }

    /// A file that could not be read or written.
    pub fn file(attempt: &str, path: &Path, error: &io::Error) -> Failure {
        let words = format!("cannot {attempt} {}: {error}", path.display());
        match error.kind() {
            io::ErrorKind::NotFound => Failure::NotThere(words),
            io::ErrorKind::StorageFull => Failure::NoRoom(words),
            _ => Failure::Said(words),
        }
    }

    /// What the engine said about a model.
    pub fn of_model(path: &Path, error: engine::Error) -> Failure {
        if let engine::Error::Weights(error) = error {
            return error.into();
        }
        Error::of_model(&path.display().to_string(), error).into()
    }

    /// What kept a model from being measured.
    pub fn of_measurement(path: &Path, error: engine::measure::Error) -> Failure {
        match error {
            engine::measure::Error::Engine(error) => Failure::of_model(path, error),
            error => Failure::Said(error.to_string()),
        }
    }

    /// What a row says went wrong.
    pub fn of_problem(problem: &Problem) -> Failure {
        let code = Code::ALL.iter().copied().find(|code| code.as_str() == problem.code).unwrap_or(Code::Internal);
        Failure::of_code(code, problem.detail.clone())
    }

    fn of_code(code: Code, words: String) -> Failure {
        match code {
            Code::Stopped => Failure::Interrupted,
            Code::ParameterInvalid
            | Code::WrongArguments
            | Code::FormatInvalid
            | Code::FormatFault
            | Code::SchemeUnknown
            | Code::TextTooLong
            | Code::AddressUnknown
            | Code::MessageEmpty => Failure::Usage(words),
            Code::Gone
            | Code::NoModel
            | Code::ModelMissing
            | Code::ModelUnknown
            | Code::TemplateUnknown
            | Code::NotFound => Failure::NotThere(words),
            Code::ModelBroken
            | Code::ModelIncomplete
            | Code::ModelUnsupported
            | Code::ModelIsBase
            | Code::AdapterAlone
            | Code::TemplateFailed
            | Code::ImportBroken
            | Code::ImportanceBroken
            | Code::MergeRefused
            | Code::NotQuantizable
            | Code::HashWrong
            | Code::SizeWrong
            | Code::NameUnsafe => Failure::Unusable(words),
            Code::MemoryShort | Code::DiskFull | Code::SpaceShort => Failure::NoRoom(words),
            Code::Offline
            | Code::HostUnreachable
            | Code::Gated
            | Code::TokenWrong
            | Code::RateLimited
            | Code::ServerFailed
            | Code::HubAnswer => Failure::Network(words),
            _ => Failure::Said(words),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Said(words)
            | Failure::Usage(words)
            | Failure::NotThere(words)
            | Failure::Unusable(words)
            | Failure::NoRoom(words)
            | Failure::Network(words) => write!(out, "error: {words}"),
            Failure::Interrupted => out.write_str("interrupted"),
            Failure::Unread => Ok(()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let mend = match error.code {
            Code::ModelIsBase => "\nhelp: add --raw to continue the text as it stands",
            Code::PromptTooLong => "\nhelp: shorten the prompt, or give a longer --context",
            Code::DatabaseNewer | Code::PlaceUnusable => "\nhelp: give --model a path, or set HUACAYA_HOME",
            _ => "",
        };
        let missing = error.code == Code::FileUnreadable
            && error.values.get("path").is_some_and(|path| !Path::new(path).exists());
        let words = format!("{}{mend}", error.detail);
        if missing { Failure::NotThere(words) } else { Failure::of_code(error.code, words) }
    }
}

impl From<weights::Error> for Failure {
    fn from(error: weights::Error) -> Failure {
        // Its text says on what, and what to do.
        let words = error.to_string();
        match error.kind() {
            weights::Kind::Stopped => Failure::Interrupted,
            weights::Kind::Io if !error.path.exists() => Failure::NotThere(words),
            weights::Kind::Io | weights::Kind::Request => Failure::Said(words),
            _ => Failure::Unusable(words),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Unread,
            _ => Failure::Said(format!("standard input or output: {error}")),
        }
    }
}
