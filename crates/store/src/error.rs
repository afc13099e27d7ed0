//! What can go wrong with the rows.

use std::path::PathBuf;

use crate::Key;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: cannot {attempt}: {source}", path = path.display())]
    Io { attempt: &'static str, path: PathBuf, source: std::io::Error },
    #[error("the database could not {attempt}: {source}")]
    Sql { attempt: &'static str, source: sqlx::Error },
    #[error("{path} was written by a newer Huacaya (database version {found}; this program knows up to {known}). Update the program, or set HUACAYA_HOME to another folder.", path = path.display())]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{path} is a database of another program (application id {found:#x})", path = path.display())]
    Foreign { path: PathBuf, found: i64 },
    #[error("{path} is damaged ({detail}), and another Huacaya has it open: close that one first", path = path.display())]
    DamagedInUse { path: PathBuf, detail: String },
    #[error("there is no such row: {0:?}")]
    Missing(Key),
    #[error("{key:?} cannot be used here: {why}")]
    Unfit { key: Key, why: &'static str },
}

impl Error {
    /// The rows themselves are unreadable (SQLITE_CORRUPT, SQLITE_NOTADB); opening again repairs it.
    pub fn is_damage(&self) -> bool {
        matches!(self, Error::Sql { source, .. } if is_damage(source))
    }

    /// The disk is full (SQLITE_FULL), or the operating system said so.
    pub fn is_full(&self) -> bool {
        match self {
            Error::Sql { source: sqlx::Error::Database(error), .. } => primary_code(&**error) == Some(13),
            Error::Io { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
            _ => false,
        }
    }
}

pub(crate) fn is_damage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => matches!(primary_code(&**error), Some(11 | 26)),
        _ => false,
    }
}

/// SQLite's primary result code: the low byte of the extended one.
fn primary_code(error: &dyn sqlx::error::DatabaseError) -> Option<i64> {
    error.code()?.parse::<i64>().ok().map(|code| code & 0xff)
}

/// Names the attempt in an error of the driver.
pub(crate) trait Attempt<T> {
    fn attempt(self, attempt: &'static str) -> Result<T>;
}

impl<T> Attempt<T> for std::result::Result<T, sqlx::Error> {
    fn attempt(self, attempt: &'static str) -> Result<T> {
        self.map_err(|source| Error::Sql { attempt, source })
    }
}
