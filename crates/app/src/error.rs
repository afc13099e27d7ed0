//! An error that a person can see: a code, the values that its sentence is filled with, and a detail in English.
//!
//! The faces hold a sentence and a mend for every code in both languages. What `app` calls speaks in errors of its own;
//! the mappings stand here, in one place.

use std::{collections::BTreeMap, fmt};

use huacaya_store::Problem;

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
    /// There is no model to answer with.
    NoModel = "no_model" {}
    /// The model's file is not where it was.
    ModelMissing = "model_missing" { model, path }
    /// The file is not a sound model file.
    ModelBroken = "model_broken" { model, reason }
    /// The architecture is not one that this version runs.
    ModelUnsupported = "model_unsupported" { model, architecture }
    /// The model does not fit into the free memory. Sizes in bytes.
    MemoryShort = "memory_short" { model, needed, free }
    /// The model could not be brought into memory.
    LoadFailed = "load_failed" { model, reason }
    /// The device in the settings cannot be used.
    DeviceUnavailable = "device_unavailable" { device, reason }
    /// The template failed on this conversation.
    TemplateFailed = "template_failed" { template, reason }
    /// There is no template of this name.
    TemplateUnknown = "template_unknown" { template }
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
    /// The path cannot be written as Unicode, so it cannot be kept.
    PathNotUnicode = "path_not_unicode" { path }
    /// A file could not be read.
    FileUnreadable = "file_unreadable" { path, reason }
    /// A file could not be written.
    FileUnwritable = "file_unwritable" { path, reason }
    /// The disk has no room for it. In bytes.
    DiskFull = "disk_full" { path, needed, free }
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
