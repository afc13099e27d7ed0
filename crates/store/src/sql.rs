//! What every table shares: how a connection is opened, and how a column is read so that a damaged one hides nothing.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions, Row, SqliteConnection};

use crate::Time;

/// Another process's transaction is short; only a bulk import takes seconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// After a bulk import the write-ahead log is cut back to this.
const WAL_BYTES_MAX: &str = "67108864";

pub(crate) fn now_ms() -> Time {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Time)
}

/// `synchronous = FULL`: in WAL mode every commit reaches the disk before the call returns, so neither `kill -9` nor a
/// power cut takes back a message that the window has shown as sent (as far as the disk itself tells the truth).
pub(crate) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("temp_store", "memory")
        .pragma("journal_size_limit", WAL_BYTES_MAX)
        .disable_statement_logging()
}

pub(crate) async fn connect(path: &Path) -> sqlx::Result<SqliteConnection> {
    options(path).create_if_missing(true).connect().await
}

/// As it is: the journal and the file are left as they are found.
pub(crate) async fn connect_to_read(path: &Path) -> sqlx::Result<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT);
    options.disable_statement_logging().connect().await
}

/// Text, whatever the column holds: bytes that are not UTF-8 are replaced, a NULL is empty.
pub(crate) fn text(row: &SqliteRow, column: &str) -> String {
    optional_text(row, column).unwrap_or_default()
}

pub(crate) fn optional_text(row: &SqliteRow, column: &str) -> Option<String> {
    match row.try_get::<Option<String>, _>(column) {
        Ok(text) => text,
        Err(_) => {
            let bytes = row.try_get_unchecked::<Option<Vec<u8>>, _>(column).ok().flatten()?;
            tracing::warn!(column, "a damaged text was read as far as it goes");
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
    }
}

pub(crate) fn integer(row: &SqliteRow, column: &str) -> i64 {
    optional_integer(row, column).unwrap_or_default()
}

pub(crate) fn optional_integer(row: &SqliteRow, column: &str) -> Option<i64> {
    row.try_get_unchecked::<Option<i64>, _>(column).ok().flatten()
}

pub(crate) fn flag(row: &SqliteRow, column: &str) -> bool {
    integer(row, column) != 0
}

/// A JSON column. NULL is `None`; what cannot be read is `None` too, and `damaged` says which column it was.
pub(crate) fn json<T: DeserializeOwned>(row: &SqliteRow, column: &'static str, damaged: &mut Damaged) -> Option<T> {
    let text = optional_text(row, column)?;
    match serde_json::from_str(&text) {
        Ok(value) => Some(value),
        Err(error) => {
            damaged.note(column, &error);
            None
        }
    }
}

/// Rows are made of strings, numbers and finite floats; a value that JSON cannot hold becomes null.
pub(crate) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".into())
}

/// Which columns of a row could not be read.
#[derive(Default)]
pub(crate) struct Damaged {
    columns: Vec<&'static str>,
    detail: String,
}

impl Damaged {
    pub fn note(&mut self, column: &'static str, error: &serde_json::Error) {
        self.columns.push(column);
        if self.detail.is_empty() {
            self.detail = format!("`{column}`: {error}");
        }
    }

    /// What the person is shown in place of the damaged part.
    pub fn problem(&self, table: &'static str, id: i64) -> Option<crate::Problem> {
        if self.columns.is_empty() {
            return None;
        }
        tracing::warn!(table, id, detail = self.detail, "a damaged row");
        let values = [("table", table.to_string()), ("id", id.to_string()), ("columns", self.columns.join(", "))];
        Some(crate::Problem {
            code: ROW_DAMAGED.into(),
            values: values.into_iter().map(|(name, value)| (name.to_string(), value)).collect(),
            detail: format!("row {id} of {table} is damaged: {}", self.detail),
        })
    }
}

/// The code of the `Problem` that a row with unreadable parts carries.
pub const ROW_DAMAGED: &str = "row_damaged";

/// An enum kept as text. Unknown text (a damaged or newer row) reads as the last name given.
macro_rules! as_text {
    ($type:ident { $($name:ident = $text:literal),+ } else $other:ident) => {
        impl $type {
            pub(crate) fn as_text(self) -> &'static str {
                match self { $($type::$name => $text),+ }
            }

            pub(crate) fn from_text(text: &str) -> $type {
                match text { $($text => $type::$name,)+ _ => $type::$other }
            }
        }
    };
}
pub(crate) use as_text;
