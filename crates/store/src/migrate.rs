//! Numbered migrations: version n is reached by the statements of entry n - 1, once and in order.
//!
//! A released entry is never edited: a change of the tables is a new entry, and each table's file holds its own
//! statements (`V1`, `V2`, …).

use std::path::Path;

use sqlx::{Connection, Row, SqliteConnection};

use crate::error::Attempt;
use crate::{Error, Result};

/// "Huac": other programs' databases are not ours to migrate.
pub(crate) const APPLICATION_ID: i64 = 0x4875_6163;

pub(crate) const VERSIONS: &[&[&str]] = &[
    &[
        crate::change::V1,
        crate::folder::V1,
        crate::persona::V1,
        crate::model::V1,
        crate::chat::V1,
        crate::message::V1,
        crate::job::V1,
        crate::setting::V1,
        crate::draft::V1,
        crate::search::V1,
    ],
    &[crate::model::V2, crate::job::V2, crate::connection::V2, crate::report::V2, crate::chat::V2],
    &[crate::request::V3],
    &[crate::model::V4],
    &[crate::model::V5],
];

/// The version and application id that a database says it has. Both are 0 in a new one.
pub(crate) async fn stamps(conn: &mut SqliteConnection) -> sqlx::Result<(i64, i64)> {
    let version = sqlx::query("PRAGMA user_version").fetch_one(&mut *conn).await?.try_get_unchecked(0)?;
    let application = sqlx::query("PRAGMA application_id").fetch_one(&mut *conn).await?.try_get_unchecked(0)?;
    Ok((version, application))
}

/// Refuses a database that is not ours or is newer than this program. Returns its version.
pub(crate) async fn check(conn: &mut SqliteConnection, path: &Path, known: usize) -> Result<i64> {
    let (version, application) = stamps(conn).await.attempt("read its version")?;
    if application != 0 && application != APPLICATION_ID {
        return Err(Error::Foreign { path: path.to_path_buf(), found: application });
    }
    let known = known as i64;
    if version > known {
        return Err(Error::Newer { path: path.to_path_buf(), found: version, known });
    }
    Ok(version)
}

/// Brings the database to the newest version. Each step is one transaction: a crash leaves a whole version behind.
pub(crate) async fn migrate(conn: &mut SqliteConnection, path: &Path, versions: &[&[&'static str]]) -> Result<()> {
    let mut version = check(conn, path, versions.len()).await?;
    while let Some(statements) = versions.get(version.max(0) as usize) {
        let attempt = "migrate";
        let mut tx = conn.begin_with("BEGIN IMMEDIATE").await.attempt(attempt)?;
        for statement in *statements {
            sqlx::raw_sql(*statement).execute(&mut *tx).await.attempt(attempt)?;
        }
        version += 1;
        let stamp = format!("PRAGMA user_version = {version}; PRAGMA application_id = {APPLICATION_ID}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(stamp)).execute(&mut *tx).await.attempt(attempt)?;
        tx.commit().await.attempt(attempt)?;
        tracing::info!(version, "the database was brought to a new version");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::connect;
    use crate::{HashState, Source};

    const FIRST: &[&str] = &["CREATE TABLE notes (id INTEGER PRIMARY KEY, words TEXT NOT NULL)"];
    const SECOND: &[&str] = &["ALTER TABLE notes ADD COLUMN stars INTEGER NOT NULL DEFAULT 3"];
    const BROKEN: &[&str] = &["CREATE TABLE half (id INTEGER)", "ALTER TABLE nowhere ADD COLUMN x"];

    #[tokio::test]
    async fn an_old_database_is_brought_up_and_keeps_its_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.db");
        let mut conn = connect(&path).await.unwrap();
        migrate(&mut conn, &path, &[FIRST]).await.unwrap();
        sqlx::query("INSERT INTO notes (words) VALUES ('旧的')").execute(&mut conn).await.unwrap();
        migrate(&mut conn, &path, &[FIRST, SECOND]).await.unwrap();
        let row = sqlx::query("SELECT words, stars FROM notes").fetch_one(&mut conn).await.unwrap();
        assert_eq!((row.get::<String, _>(0), row.get::<i64, _>(1)), ("旧的".to_string(), 3));
        assert_eq!(stamps(&mut conn).await.unwrap(), (2, APPLICATION_ID));
    }

    #[tokio::test]
    async fn a_database_of_the_first_version_keeps_its_models_and_jobs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("huacaya.db");
        let mut conn = connect(&path).await.unwrap();
        migrate(&mut conn, &path, &VERSIONS[..1]).await.unwrap();
        sqlx::raw_sql(
            "INSERT INTO models (name, path, place, modified_ms, bundled, kind, state, architecture, quantization,
                file_bytes, parameter_count, context_tokens, sha256, added_ms)
             VALUES ('七B', '/模型/a.gguf', X'2F61', 5, 0, 'chat', 'ready', 'llama', 'Q8_0', 7, 8, 4096, 'ab', 9),
                    ('demo', '/d.gguf', X'2F64', 5, 1, 'chat', 'ready', 'llama', 'F16', 7, 8, 512, NULL, 9);
             INSERT INTO jobs (task, state, position, created_ms) VALUES ('{\"kind\":\"hash\"}', 'done', 1, 2);",
        )
        .execute(&mut conn)
        .await
        .unwrap();
        migrate(&mut conn, &path, VERSIONS).await.unwrap();
        let models = crate::model::load_all(&mut conn).await.unwrap();
        let [demo, old] = &models[..] else { panic!("{models:?}") };
        assert_eq!((demo.name.as_str(), &demo.source, demo.hash), ("demo", &Source::BuiltIn, HashState::Verified));
        assert_eq!((old.name.as_str(), &old.source, old.hash), ("七B", &Source::File, HashState::Computed));
        assert_eq!((old.persona, old.checked_ms, old.in_storage, &old.adapter), (None, None, false, &None));
        let jobs = crate::job::load_all(&mut conn).await.unwrap();
        assert_eq!((jobs.len(), jobs[0].created_ms), (1, 2));
    }

    #[tokio::test]
    async fn a_step_that_fails_leaves_the_version_before_it_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.db");
        let mut conn = connect(&path).await.unwrap();
        migrate(&mut conn, &path, &[FIRST]).await.unwrap();
        assert!(migrate(&mut conn, &path, &[FIRST, BROKEN]).await.is_err());
        assert_eq!(stamps(&mut conn).await.unwrap().0, 1);
        let half =
            sqlx::query("SELECT 1 FROM sqlite_schema WHERE name = 'half'").fetch_optional(&mut conn).await.unwrap();
        assert!(half.is_none());
    }

    #[tokio::test]
    async fn a_newer_database_and_another_programs_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("newer.db");
        let mut conn = connect(&path).await.unwrap();
        migrate(&mut conn, &path, &[FIRST, SECOND]).await.unwrap();
        let refused = migrate(&mut conn, &path, &[FIRST]).await;
        assert!(matches!(refused, Err(Error::Newer { found: 2, known: 1, .. })), "{refused:?}");
        sqlx::raw_sql("PRAGMA application_id = 77").execute(&mut conn).await.unwrap();
        let refused = migrate(&mut conn, &path, &[FIRST, SECOND]).await;
        assert!(matches!(refused, Err(Error::Foreign { found: 77, .. })), "{refused:?}");
    }
}
