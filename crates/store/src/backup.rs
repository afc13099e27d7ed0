//! Backups: whole, verified copies of the database, few and old enough to be of use; and the repair that they are for.

use std::fs;
use std::path::{Path, PathBuf};

use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};

use crate::error::{Attempt, is_damage};
use crate::migrate::{self, VERSIONS};
use crate::owner::{self, io_error};
use crate::sql::{now_ms, options};
use crate::store::Repair;
use crate::{Error, Result, Time};

pub(crate) const DATABASE: &str = "huacaya.db";
const FOLDER: &str = "backups";
const DAY_MS: Time = 24 * 60 * 60 * 1000;

/// The disk holds so many databases beside the one in use.
const KEPT_MAX: usize = 5;
/// What is older is of no use beside younger ones.
const AGE_KEPT_MS: Time = 30 * DAY_MS;

/// A day of talk is the most that damage may cost…
pub(crate) const AGE_MAX_MS: Time = DAY_MS;
/// …and this many changes, if they come faster; but not more than a backup an hour.
pub(crate) const CHANGES_MAX: i64 = 2_000;
pub(crate) const AGE_MIN_MS: Time = DAY_MS / 24;

/// Backups that are there, newest first.
pub(crate) fn list(folder: &Path) -> Vec<(Time, PathBuf)> {
    let Ok(entries) = fs::read_dir(folder.join(FOLDER)) else { return Vec::new() };
    let mut backups: Vec<(Time, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let made_ms = name.to_str()?.strip_prefix("huacaya-")?.strip_suffix(".db")?.parse().ok()?;
            Some((made_ms, entry.path()))
        })
        .collect();
    backups.sort_unstable_by_key(|backup| std::cmp::Reverse(backup.0));
    backups
}

/// Copies the database as this connection sees it, verifies the copy, and only then gives it its name.
pub(crate) async fn make(conn: &mut SqliteConnection, folder: &Path) -> Result<PathBuf> {
    let backups = folder.join(FOLDER);
    fs::create_dir_all(&backups).map_err(|source| io_error("make the folder", &backups, source))?;
    let made_ms = now_ms();
    let part = backups.join(format!("part-{made_ms}-{}", std::process::id()));
    let result = copy_checked(conn, &part).await;
    let path = backups.join(format!("huacaya-{made_ms}.db"));
    let result = result.and_then(|()| fs::rename(&part, &path).map_err(|source| io_error("name", &path, source)));
    if let Err(error) = result {
        fs::remove_file(&part).ok();
        return Err(error);
    }
    prune(folder, made_ms);
    tracing::info!(path = %path.display(), "made a backup");
    Ok(path)
}

async fn copy_checked(conn: &mut SqliteConnection, part: &Path) -> Result<()> {
    let name =
        part.to_str().ok_or_else(|| io_error("write (not Unicode)", part, std::io::ErrorKind::InvalidInput.into()))?;
    sqlx::query("VACUUM INTO ?").bind(name).execute(conn).await.attempt("be copied")?;
    let file = fs::File::options().write(true).open(part).map_err(|source| io_error("open", part, source))?;
    file.sync_all().map_err(|source| io_error("write", part, source))?;
    match fault(part).await? {
        None => Ok(()),
        Some(detail) => Err(io_error("verify", part, std::io::Error::other(detail))),
    }
}

/// Removes what `kept` leaves out, and parts of backups that never got their name.
fn prune(folder: &Path, now_ms: Time) {
    let backups = list(folder);
    let times: Vec<Time> = backups.iter().map(|backup| backup.0).collect();
    let kept = kept(&times, now_ms);
    for (made_ms, path) in &backups {
        if !kept.contains(made_ms) {
            fs::remove_file(path).ok();
        }
    }
    let Ok(entries) = fs::read_dir(folder.join(FOLDER)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let begun_ms =
            name.to_str().and_then(|name| name.strip_prefix("part-")?.split('-').next()?.parse::<Time>().ok());
        // A younger one may be another process's, still growing.
        if begun_ms.is_some_and(|begun_ms| now_ms - begun_ms > DAY_MS) {
            fs::remove_file(entry.path()).ok();
        }
    }
}

/// Which of these times (newest first) stay: spread so that each is some times older than the one before it. A mistake
/// that is noticed after a week can then still be undone.
fn kept(times: &[Time], now_ms: Time) -> Vec<Time> {
    let age = |time: Time| (now_ms - time).max(0) as f64 + AGE_MIN_MS as f64;
    let mut kept = times.to_vec();
    while kept.len() > 1 && kept.last().is_some_and(|oldest| now_ms - oldest > AGE_KEPT_MS) {
        kept.pop();
    }
    while kept.len() > KEPT_MAX {
        // Without the one whose neighbours are nearest to each other.
        let gap = |at: &usize| age(kept[at + 1]) / age(kept[at - 1]);
        let Some(crowded) = (1..kept.len() - 1).min_by(|a, b| gap(a).total_cmp(&gap(b))) else { break };
        kept.remove(crowded);
    }
    kept
}

/// Makes sure that a sound database lies at its place. Call it inside the gate.
pub(crate) async fn ensure_sound(folder: &Path) -> Result<Option<Repair>> {
    let path = folder.join(DATABASE);
    let size = fs::metadata(&path).map(|data| data.len());
    let detail = match size {
        Ok(0) if !list(folder).is_empty() => "the file is empty".to_string(),
        Ok(0) => return Ok(None),
        Ok(_) => match fault(&path).await? {
            None => return Ok(None),
            Some(detail) => detail,
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if list(folder).is_empty() {
                return Ok(None);
            }
            "the file is missing".to_string()
        }
        Err(source) => return Err(io_error("open", &path, source)),
    };
    tracing::error!(detail, "the database is damaged");
    if owner::sweep(folder, None) > 0 {
        return Err(Error::DamagedInUse { path, detail });
    }
    let sound = newest_sound(folder).await;
    let set_aside = set_aside(&path)?;
    let mut backup_ms = None;
    if let Some((made_ms, part)) = sound {
        fs::rename(&part, &path).map_err(|source| io_error("put the backup at", &path, source))?;
        backup_ms = Some(made_ms);
    }
    Ok(Some(Repair { set_aside, backup_ms, detail }))
}

/// What is wrong with a database file: `None` when every table passes `quick_check`. An error is not damage: the file
/// could not be looked at.
async fn fault(path: &Path) -> Result<Option<String>> {
    match look(path).await {
        Ok(fault) => Ok(fault),
        Err(error) if is_damage(&error) => Ok(Some(error.to_string())),
        Err(source) => Err(Error::Sql { attempt: "be checked", source }),
    }
}

/// Table by table: `quick_check` of the whole would also walk the search index word by word, which takes seconds and
/// which can be made again from the rows; its tables' pages are looked at like all others.
async fn look(path: &Path) -> sqlx::Result<Option<String>> {
    let mut conn = options(path).connect().await?;
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'")
            .fetch_all(&mut conn)
            .await?;
    for table in tables {
        let check = format!("PRAGMA quick_check('{}')", table.replace('\'', "''"));
        let row = sqlx::query(sqlx::AssertSqlSafe(check)).fetch_one(&mut conn).await?;
        let verdict: String = row.try_get_unchecked(0)?;
        if verdict != "ok" {
            conn.close().await.ok();
            return Ok(Some(format!("{table}: {}", verdict.lines().take(3).collect::<Vec<_>>().join("; "))));
        }
    }
    conn.close().await?;
    Ok(None)
}

/// A copy, ready to be renamed, of the newest backup that is sound and not too new for this program.
async fn newest_sound(folder: &Path) -> Option<(Time, PathBuf)> {
    for (made_ms, backup) in list(folder) {
        let part = folder.join(format!("{DATABASE}.part"));
        if let Err(error) = fs::copy(&backup, &part).and_then(|_| fs::File::open(&part)?.sync_all()) {
            tracing::warn!(%error, backup = %backup.display(), "a backup could not be copied");
            continue;
        }
        if matches!(fault(&part).await, Ok(None)) && is_ours(&part).await {
            for tail in ["-wal", "-shm"] {
                fs::remove_file(with_tail(&part, tail)).ok();
            }
            return Some((made_ms, part));
        }
        tracing::warn!(backup = %backup.display(), "a backup is not sound");
        fs::remove_file(&part).ok();
    }
    None
}

async fn is_ours(path: &Path) -> bool {
    let Ok(mut conn) = options(path).connect().await else { return false };
    let sound = migrate::check(&mut conn, path, VERSIONS.len()).await.is_ok_and(|version| version > 0);
    conn.close().await.ok();
    sound
}

/// Gives the damaged database, with its log, another name. `None`: there was no file.
fn set_aside(path: &Path) -> Result<Option<PathBuf>> {
    let aside = path.with_file_name(format!("{DATABASE}.damaged-{}", now_ms()));
    let mut moved = None;
    for tail in ["", "-wal", "-shm"] {
        let from = with_tail(path, tail);
        match fs::rename(&from, with_tail(&aside, tail)) {
            Ok(()) if tail.is_empty() => moved = Some(aside.clone()),
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(io_error("set aside", &from, source)),
        }
    }
    Ok(moved)
}

fn with_tail(path: &Path, tail: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(tail);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_backups_at_most_stay_and_old_ones_among_them() {
        const HOUR_MS: Time = DAY_MS / 24;
        // A backup an hour, and one a day, for three months, pruned each time, as the program does it.
        for step in [HOUR_MS, DAY_MS] {
            let mut times: Vec<Time> = Vec::new();
            for now in (0..90 * DAY_MS).step_by(step as usize) {
                times.insert(0, now);
                times = kept(&times, now);
                assert!(times.len() <= 5 && times[0] == now, "{times:?}");
                let ages: Vec<Time> = times.iter().map(|time| (now - time) / HOUR_MS).collect();
                if now > 20 * DAY_MS {
                    assert!(ages.iter().any(|hours| (6..120).contains(hours)), "{ages:?}");
                    assert!(ages.iter().any(|hours| (72..=720).contains(hours)), "{ages:?}");
                }
            }
        }
    }
}
