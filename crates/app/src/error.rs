//! An error that a person can see: a code, the values that its sentence is filled with, and a detail in English.
//!
//! The faces hold a sentence and a mend for every code in both languages. What `app` calls speaks in errors of its own;
//! the mappings stand here, in one place.

use std::{collections::BTreeMap, fmt, path::Path};

use huacaya_store::{Key, Problem};
use serde::{Serialize, Serializer};

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal { $($value:ident),* })+) => {
        /// What went wrong, as the faces know it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[doc = $doc])+ $name,)+ }

        impl Code {
            /// Every code, in the order of this file.
            pub const ALL: &[Code] = &[$(Code::$name),+];

            /// The name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text),+ }
            }

            /// The values that its sentence may use.
            pub fn values(self) -> &'static [&'static str] {
                match self { $(Code::$name => &[$(stringify!($value)),*]),+ }
            }

            /// What it means, in English.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$name => concat!($($doc),+)),+ }
            }
        }
    };
}

codes! {
    /// A face asked for a command that there is not. A fault of the program.
    UnknownCommand = "unknown_command" { command }
    /// A face sent arguments that the command does not take. A fault of the program.
    WrongArguments = "wrong_arguments" { command, reason }
    /// The row is gone: deleted, or never there.
    Gone = "gone" { table, id }
    /// The row cannot be used in this way.
    Unfit = "unfit" { reason }
    /// There is no model to answer with.
    NoModel = "no_model" {}
    /// The model's file is not where it was.
    ModelMissing = "model_missing" { model, path }
    /// The file is not a sound model file.
    ModelBroken = "model_broken" { model, reason }
    /// The file ends before its model does. In bytes.
    ModelIncomplete = "model_incomplete" { model, bytes, needed }
    /// A LoRA adapter is no model by itself: it is merged into its base.
    AdapterAlone = "adapter_alone" { model }
    /// The folder cannot hold the models.
    StorageUnusable = "storage_unusable" { path, reason }
    /// There is no model of this name in the list.
    ModelUnknown = "model_unknown" { model }
    /// Too many requests wait already; a later try may work. In seconds.
    Busy = "busy" { seconds }
    /// The architecture is not one that this version runs.
    ModelUnsupported = "model_unsupported" { model, architecture }
    /// The model does not fit into the free memory. Sizes in bytes.
    MemoryShort = "memory_short" { model, needed, free }
    /// A model cannot guess ahead for another: its tokens are others.
    DraftUnfit = "draft_unfit" { model, draft, reason }
    /// The template failed on this conversation.
    TemplateFailed = "template_failed" { model, reason }
    /// There is no template of this name.
    TemplateUnknown = "template_unknown" { template }
    /// The form that an answer was to keep to (a schema, a grammar, an expression) is not understood, or asks too much.
    FormatInvalid = "format_invalid" { reason }
    /// The form that an answer is to keep to has a fault at this place. Line and column from 1.
    FormatFault = "format_fault" { line, column, reason }
    /// The model's template does not take tools, so it cannot call any.
    ToolsUnsupported = "tools_unsupported" { model }
    /// The tools that a program offers, or the calls that it tells of, are not in order.
    ToolsInvalid = "tools_invalid" { reason }
    /// A base model continues text and has no template: it cannot chat.
    ModelIsBase = "model_is_base" { model }
    /// The prompt does not fit into the context, by so many tokens.
    PromptTooLong = "prompt_too_long" { over, context }
    /// The answer broke off: the engine could not go on.
    EngineFailed = "engine_failed" { reason }
    /// An answer is being written at this place of the chat.
    AlreadyWriting = "already_writing" {}
    /// The message is of the wrong kind for what was asked (only answers can be regenerated, continued, run again).
    NotAnAnswer = "not_an_answer" {}
    /// The message holds nothing and nothing is attached.
    MessageEmpty = "message_empty" {}
    /// The answer cannot be made again exactly: what made it is not known or no longer there.
    CannotRunAgain = "cannot_run_again" { reason }
    /// A parameter is out of its range.
    ParameterInvalid = "parameter_invalid" { parameter, value, least, most }
    /// The text is longer than this program takes. In characters.
    TextTooLong = "text_too_long" { length, most }
    /// The file is larger than can be attached. In bytes.
    AttachmentTooLarge = "attachment_too_large" { name, bytes, most }
    /// The file holds no text.
    AttachmentBinary = "attachment_binary" { name }
    /// The attached files and the message do not fit into the model's context, by so many tokens.
    AttachmentOver = "attachment_over" { name, over, context }
    /// The file that was chosen is no longer known; choose it again.
    ChosenGone = "chosen_gone" {}
    /// The file is not in a folder that is listed to choose files in.
    FolderNotListed = "folder_not_listed" {}
    /// The path cannot be written as Unicode, so it cannot be kept.
    PathNotUnicode = "path_not_unicode" { path }
    /// A file could not be read.
    FileUnreadable = "file_unreadable" { path, reason }
    /// A file could not be written.
    FileUnwritable = "file_unwritable" { path, reason }
    /// The disk has no room for it.
    DiskFull = "disk_full" { path }
    /// There is a model of this name in the models folder already.
    FileExists = "file_exists" { path }
    /// The file that was to be imported is not of a kind that is known, or is damaged.
    ImportBroken = "import_broken" { name, reason }
    /// The file holds no character card.
    CharacterBroken = "character_broken" { name, reason }
    /// The job is not one that can be run again.
    CannotRetry = "cannot_retry" {}
    /// The process that ran it ended.
    Interrupted = "interrupted" {}
    /// The person stopped it.
    Stopped = "stopped" {}
    /// The program is being closed.
    Closing = "closing" {}
    /// The database was damaged; it was set aside and the newest sound backup was opened.
    DatabaseDamaged = "database_damaged" { aside, backup }
    /// The database was written by a newer version of the program.
    DatabaseNewer = "database_newer" { path }
    /// The database could not be read or written.
    DatabaseFailed = "database_failed" { reason }
    /// The data folder cannot be used.
    PlaceUnusable = "place_unusable" { path, reason }
    /// The program is offline, because the person switched it off.
    Offline = "offline" {}
    /// A host was not reached.
    HostUnreachable = "host_unreachable" { host, reason }
    /// The repository is given only to people who asked for it: its page says how.
    Gated = "gated" { repository, url }
    /// The host does not take the token.
    TokenWrong = "token_wrong" { host }
    /// The hub has no such repository or file (or does not show it to us).
    NotFound = "not_found" { what }
    /// The host wants fewer requests; it says for how long. In seconds.
    RateLimited = "rate_limited" { host, seconds }
    /// The host failed.
    ServerFailed = "server_failed" { host, status }
    /// The address leads to a web page, not to a file.
    NotAFile = "not_a_file" { url }
    /// The host's answer is not one that a hub gives.
    HubAnswer = "hub_answer" { host, reason }
    /// What came does not have the hash that the hub gives, and fetching its parts again did not help.
    HashWrong = "hash_wrong" { name }
    /// What came is not as long as the hub says. In bytes.
    SizeWrong = "size_wrong" { name, expected, found }
    /// The file changed on the host while it was fetched, more than once.
    ChangedThere = "changed_there" { name }
    /// The disk has no room for it. In bytes.
    SpaceShort = "space_short" { needed, free, path }
    /// This is no repository, no address of a hub and no direct address of a model file.
    AddressUnknown = "address_unknown" { address }
    /// A file of the repository has a name that could leave its folder.
    NameUnsafe = "name_unsafe" { name }
    /// The token could not be kept.
    TokenNotKept = "token_not_kept" { reason }
    /// The base and the adapter do not go together.
    MergeRefused = "merge_refused" { reason }
    /// There is no quantization, format or group of tensors of this name.
    SchemeUnknown = "scheme_unknown" { scheme }
    /// The file is no importance matrix, or one of another model.
    ImportanceBroken = "importance_broken" { name, reason }
    /// The model cannot be quantized or converted as asked.
    NotQuantizable = "not_quantizable" { model, reason }
    /// What was to be measured could not be.
    MeasureFailed = "measure_failed" { reason }
    /// The text is too short to be measured on. In tokens.
    TextTooShort = "text_too_short" { tokens, needed }
    /// Only addresses of the web are opened.
    LinkRefused = "link_refused" { address }
    /// A browser did not reach the server that its page came from. Said by the page itself.
    ServerUnreached = "server_unreached" {}
    /// The system could not do something for us (open the file manager, a dialog).
    SystemFailed = "system_failed" { attempt, reason }
    /// A fault of the program.
    Internal = "internal" { reason }
}

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// What was attempted, on which thing, and why it did not work.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Error {
    pub code: Code,
    pub values: BTreeMap<&'static str, String>,
    /// In English, for the log, the command line and the API: what was attempted, on what, what to do.
    pub detail: String,
}

/// What this crate answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error without values.
    pub fn new(code: Code, detail: impl Into<String>) -> Error {
        Error { code, values: BTreeMap::new(), detail: detail.into() }
    }

    /// One more value for the sentence.
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Error {
        debug_assert!(self.code.values().contains(&name), "{} has no value {name}", self.code);
        self.values.insert(name, value.to_string());
        self
    }

    /// The form that is kept in rows and sent to faces.
    pub fn problem(&self) -> Problem {
        let values = self.values.iter().map(|(name, value)| ((*name).to_string(), value.clone())).collect();
        Problem { code: self.code.as_str().to_string(), values, detail: self.detail.clone() }
    }
}

impl Error {
    /// The person stopped it.
    pub fn stopped() -> Error {
        Error::new(Code::Stopped, "stopped")
    }

    /// The program is being closed.
    pub fn closing() -> Error {
        Error::new(Code::Closing, "the program is being closed")
    }

    /// A fault of the program.
    pub fn internal(reason: impl fmt::Display) -> Error {
        Error::new(Code::Internal, format!("a fault of the program: {reason}")).with("reason", reason)
    }

    /// An address that is not one of the web.
    pub fn link_refused(address: &str) -> Error {
        Error::new(Code::LinkRefused, format!("{address}: only http and https addresses are opened"))
            .with("address", address)
    }

    /// The system could not do something for us.
    pub fn system(attempt: &str, reason: &dyn fmt::Display) -> Error {
        Error::new(Code::SystemFailed, format!("the system could not {attempt}: {reason}"))
            .with("attempt", attempt)
            .with("reason", reason)
    }

    pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Error {
        let path = path.display();
        Error::new(Code::FileUnreadable, format!("{path}: cannot be read: {error}"))
            .with("path", path)
            .with("reason", error)
    }

    pub(crate) fn unwritable(path: &Path, error: &std::io::Error) -> Error {
        let path = path.display();
        if error.kind() == std::io::ErrorKind::StorageFull {
            return Error::new(Code::DiskFull, format!("{path}: the disk is full")).with("path", path);
        }
        Error::new(Code::FileUnwritable, format!("{path}: cannot be written: {error}"))
            .with("path", path)
            .with("reason", error)
    }

    /// What the engine could not do with this model.
    pub fn of_model(model: &str, error: huacaya_engine::Error) -> Error {
        use huacaya_engine::{Error as Engine, template};
        let detail = format!("{model}: {error}");
        let reason = error.to_string();
        match error {
            Engine::Architecture { architecture } => {
                Error::new(Code::ModelUnsupported, detail).with("model", model).with("architecture", architecture)
            }
            Engine::Weights(_)
            | Engine::Config { .. }
            | Engine::TensorMissing { .. }
            | Engine::TensorShape { .. }
            | Engine::Tokenizer(_) => Error::new(Code::ModelBroken, detail).with("model", model).with("reason", reason),
            Engine::Adapter { .. } => Error::new(Code::MergeRefused, detail).with("reason", reason),
            Engine::Io { ref path, ref source } => Error::unreadable(path, source),
            Engine::Template(template::Error::NoTemplate) => Error::new(Code::ModelIsBase, detail).with("model", model),
            Engine::Template(template::Error::Unknown(template)) => {
                Error::new(Code::TemplateUnknown, detail).with("template", template)
            }
            Engine::Template(template::Error::NoTools) => {
                Error::new(Code::ToolsUnsupported, detail).with("model", model)
            }
            Engine::Template(_) => Error::new(Code::TemplateFailed, detail).with("model", model).with("reason", reason),
            Engine::Grammar { .. } | Engine::Sampling(huacaya_engine::sampling::Error::Format(_)) => {
                Error::new(Code::FormatInvalid, detail).with("reason", reason)
            }
            Engine::PromptTooLong { over, context } => {
                Error::new(Code::PromptTooLong, detail).with("over", over).with("context", context)
            }
            Engine::PromptEmpty => Error::new(Code::MessageEmpty, detail),
            Engine::Stopped => Error::stopped(),
            Engine::ShutDown => Error::closing(),
            Engine::Sampling(_)
            | Engine::Draft { .. }
            | Engine::TokenUnknown { .. }
            | Engine::Compute(_)
            | Engine::Kernels(_)
            | Engine::Graphics(_)
            | Engine::Panicked { .. } => Error::new(Code::EngineFailed, detail).with("reason", reason),
        }
    }
}

impl From<huacaya_store::Error> for Error {
    fn from(error: huacaya_store::Error) -> Error {
        use huacaya_store::Error as Store;
        let detail = error.to_string();
        let full = error.is_full();
        match error {
            Store::Io { path, source, .. } if !full => {
                Error::new(Code::PlaceUnusable, detail).with("path", path.display()).with("reason", source)
            }
            Store::Io { path, .. } => Error::new(Code::DiskFull, detail).with("path", path.display()),
            Store::Sql { .. } if full => Error::new(Code::DiskFull, detail).with("path", "the data folder"),
            Store::Sql { source, .. } => Error::new(Code::DatabaseFailed, detail).with("reason", source),
            Store::Newer { path, .. } => Error::new(Code::DatabaseNewer, detail).with("path", path.display()),
            Store::Foreign { .. } | Store::DamagedInUse { .. } => {
                Error::new(Code::DatabaseFailed, detail.clone()).with("reason", detail)
            }
            Store::Missing(key) => {
                let (table, id) = table_and_id(&key);
                Error::new(Code::Gone, detail).with("table", table).with("id", id)
            }
            Store::Unfit { why, .. } => Error::new(Code::Unfit, detail).with("reason", why),
        }
    }
}

impl From<huacaya_hub::Error> for Error {
    fn from(error: huacaya_hub::Error) -> Error {
        use huacaya_hub::Error as Hub;
        let detail = error.to_string();
        let new = |code| Error::new(code, detail.clone());
        match error {
            Hub::Offline { .. } => new(Code::Offline),
            Hub::Stopped => Error::stopped(),
            Hub::Unreachable { host, reason } => new(Code::HostUnreachable).with("host", host).with("reason", reason),
            Hub::Gated { repository, url } => new(Code::Gated).with("repository", repository).with("url", url),
            Hub::Unauthorized { host } => new(Code::TokenWrong).with("host", host),
            Hub::NotFound { what } => new(Code::NotFound).with("what", what),
            Hub::RateLimited { host, seconds } => new(Code::RateLimited).with("host", host).with("seconds", seconds),
            Hub::Server { host, status } => new(Code::ServerFailed).with("host", host).with("status", status),
            Hub::NotAFile { url } => new(Code::NotAFile).with("url", url),
            Hub::SizeMismatch { name, expected, found } => {
                new(Code::SizeWrong).with("name", name).with("expected", expected).with("found", found)
            }
            Hub::HashMismatch { name, .. } => new(Code::HashWrong).with("name", name),
            Hub::Changed { url } => new(Code::ChangedThere).with("name", url),
            Hub::DiskFull { needed, free, path } => {
                new(Code::SpaceShort).with("needed", needed).with("free", free).with("path", path.display())
            }
            Hub::Io { path, source } => Error::unwritable(&path, &source),
            Hub::Address { text, .. } => new(Code::AddressUnknown).with("address", text),
            Hub::UnsafeName { name } => new(Code::NameUnsafe).with("name", name),
            Hub::Protocol { host, reason } => new(Code::HubAnswer).with("host", host).with("reason", reason),
            Hub::Keyring { reason } => new(Code::TokenNotKept).with("reason", reason),
        }
    }
}

fn table_and_id(key: &Key) -> (&'static str, i64) {
    match key {
        Key::Chat(id) => ("chat", id.0),
        Key::Folder(id) => ("folder", id.0),
        Key::Persona(id) => ("persona", id.0),
        Key::Model(id) => ("model", id.0),
        Key::Job(id) => ("job", id.0),
        Key::Report(id) => ("report", id.0),
        Key::Request(id) => ("request", id.0),
        Key::Message(id) => ("message", id.0),
        Key::Draft(chat) => ("draft", chat.map_or(0, |id| id.0)),
    }
}

impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.problem().serialize(serializer)
    }
}
