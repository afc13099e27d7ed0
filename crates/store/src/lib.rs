//! The rows that the person's history is made of, in SQLite, and the stream of their changes. The only crate with SQL.
//!
//! Rows are the domain's nouns and the wire types: what a face shows is one of these, as JSON. One table is one file.

pub mod answer;
mod backup;
pub mod bulk;
pub mod change;
pub mod chat;
pub mod connection;
pub mod draft;
pub mod error;
pub mod feed;
pub mod folder;
mod grams;
pub mod ids;
pub mod job;
pub mod message;
mod migrate;
pub mod model;
mod owner;
pub mod parameters;
pub mod persona;
pub mod problem;
mod recovery;
pub mod report;
pub mod request;
pub mod search;
pub mod setting;
mod sql;
pub mod store;
pub mod tree;

pub use answer::{Begun, Ending, NewAnswer};
pub use bulk::WholeChat;
pub use change::{Change, Key, Snapshot};
pub use chat::{Chat, ChatKind, NewChat, Strength, heading_of};
pub use connection::Connection;
pub use draft::Draft;
pub use error::{Error, Result};
pub use feed::Subscription;
pub use folder::Folder;
pub use ids::{ChatId, FolderId, JobId, MessageId, ModelId, PersonaId, ReportId, RequestId};
pub use job::{Job, JobState};
pub use message::{Attachment, Body, Finish, Made, MadeDraft, Message, MessageState, Role, Stats};
pub use model::{Adapter, DeletedModel, HashState, Model, ModelFile, ModelKind, ModelState, Source};
pub use parameters::{AnswerFormat, Parameters};
pub use persona::{Example, Persona};
pub use problem::Problem;
pub use report::{
    Accuracy, Divergence, Evaluation, MeasureOptions, Perplexity, Report, ReportRow, Sample, SampleAnswer,
};
pub use request::{Request, RequestState};
pub use search::{Found, SnippetPart};
pub use setting::Setting;
pub use sql::ROW_DAMAGED;
pub use store::{Opened, Repair, Store};

/// Milliseconds since 1970-01-01 UTC.
pub type Time = i64;
