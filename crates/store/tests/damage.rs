//! Damage: whatever the database file has become, the program starts, nothing is thrown away, and the person is told.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use common::{Folder, new_chat, turn};
use huacaya_store::{Error, Opened, Repair, Store};

/// A history with enough pages to damage, and a backup of its first half.
async fn history(folder: &Folder) {
    let store = folder.open().await;
    let chat = new_chat(&store).await.id;
    let first = turn(&store, chat, None, "备份里有", &"甲乙丙丁".repeat(5_000)).await;
    store.back_up().await.unwrap();
    turn(&store, chat, Some(first.answer), "备份里没有", &"子丑寅卯".repeat(5_000)).await;
    store.close().await;
}

async fn expect_repair(folder: &Folder) -> (Store, Repair) {
    let Opened { store, repaired } = Store::open(&folder.path).await.unwrap();
    (store, repaired.expect("the damage was not noticed"))
}

async fn expect_backup(folder: &Folder, damaged: &[u8]) {
    let (store, repair) = expect_repair(folder).await;
    assert!(repair.backup_ms.is_some(), "{repair:?}");
    let aside = repair.set_aside.unwrap();
    assert!(fs::read(&aside).unwrap() == damaged, "the damaged file was changed");
    assert_eq!(store.search("备份里有", 9).await.unwrap().len(), 2);
    assert!(store.search("备份里没有", 9).await.unwrap().is_empty());
    let chat = store.snapshot().await.unwrap().chats[0].clone();
    turn(&store, chat.id, chat.leaf, "继续", "好").await;
    store.close().await;
    assert_eq!(Store::open(&folder.path).await.unwrap().repaired, None);
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

#[tokio::test]
async fn garbage_in_place_of_the_database() {
    let folder = Folder::new();
    history(&folder).await;
    let garbage = b"this is not a database. ".repeat(999);
    fs::write(folder.database(), &garbage).unwrap();
    expect_backup(&folder, &garbage).await;
}

#[tokio::test]
async fn a_database_that_was_cut_off() {
    let folder = Folder::new();
    history(&folder).await;
    let whole = fs::read(folder.database()).unwrap();
    let cut = &whole[..whole.len() / 2 + 100];
    fs::write(folder.database(), cut).unwrap();
    expect_backup(&folder, cut).await;
}

#[tokio::test]
async fn an_empty_or_a_missing_database_beside_a_backup() {
    let folder = Folder::new();
    history(&folder).await;
    fs::write(folder.database(), b"").unwrap();
    expect_backup(&folder, b"").await;
    fs::remove_file(folder.database()).unwrap();
    let (_, repair) = expect_repair(&folder).await;
    assert!(repair.set_aside.is_none() && repair.backup_ms.is_some());
}

#[tokio::test]
async fn pages_overwritten_in_the_middle() {
    let folder = Folder::new();
    history(&folder).await;
    let pages = fs::metadata(folder.database()).unwrap().len() / 4096;
    for page in 2..pages {
        overwrite(&folder.database(), page * 4096, &[0xa5; 512]);
    }
    let damaged = fs::read(folder.database()).unwrap();
    expect_backup(&folder, &damaged).await;
}

#[tokio::test]
async fn the_newest_backup_that_is_sound_is_taken() {
    let folder = Folder::new();
    history(&folder).await;
    let store = folder.open().await;
    let newer = store.back_up().await.unwrap();
    store.close().await;
    overwrite(&newer, 4096, &[0; 8192]);
    fs::write(folder.database(), b"garbage").unwrap();
    expect_backup(&folder, b"garbage").await;
}

#[tokio::test]
async fn without_a_sound_backup_the_history_starts_empty_and_the_damaged_file_is_kept() {
    let folder = Folder::new();
    folder.open().await.close().await;
    fs::write(folder.database(), b"garbage").unwrap();
    let (store, repair) = expect_repair(&folder).await;
    assert_eq!(repair.backup_ms, None);
    assert_eq!(fs::read(repair.set_aside.unwrap()).unwrap(), b"garbage");
    new_chat(&store).await;
}

#[tokio::test]
async fn a_damaged_database_that_another_process_has_open_is_left_alone() {
    let folder = Folder::new();
    let other = folder.open().await;
    new_chat(&other).await;
    // What the other has in its log would mend it.
    fs::remove_file(folder.path.join("huacaya.db-wal")).unwrap();
    fs::remove_file(folder.path.join("huacaya.db-shm")).unwrap();
    fs::write(folder.database(), b"garbage").unwrap();
    let refused = Store::open(&folder.path).await.map(|opened| opened.repaired);
    assert!(matches!(refused, Err(Error::DamagedInUse { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_newer_database_is_refused_with_a_message_and_not_touched() {
    let folder = Folder::new();
    history(&folder).await;
    // Bytes 60 to 63 of the header are the user version.
    overwrite(&folder.database(), 60, &[0, 0, 3, 0xe7]);
    let before = fs::read(folder.database()).unwrap();
    let refused = Store::open(&folder.path).await.map(|opened| opened.repaired).unwrap_err();
    assert!(matches!(refused, Error::Newer { found: 999, .. }), "{refused:?}");
    assert!(refused.to_string().contains("newer"), "{refused}");
    assert!(fs::read(folder.database()).unwrap() == before);
}

#[tokio::test]
async fn a_damaged_search_index_is_made_again() {
    use sqlx::Connection;
    let folder = Folder::new();
    history(&folder).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.database());
    let mut conn = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("UPDATE search_data SET block = x'00ff' WHERE id > 10").execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let store = folder.open().await;
    assert_eq!(store.search("备份里没有", 9).await.unwrap().len(), 1);
    let chat = store.snapshot().await.unwrap().chats[0].clone();
    turn(&store, chat.id, chat.leaf, "新的问题", "好").await;
    assert_eq!(store.search("新的问题", 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn backups_are_made_when_due_and_are_few() {
    let folder = Folder::new();
    let store = folder.open().await;
    assert_eq!(store.back_up_if_due().await.unwrap(), None, "there is nothing to keep yet");
    new_chat(&store).await;
    assert!(store.back_up_if_due().await.unwrap().is_some());
    new_chat(&store).await;
    assert_eq!(store.back_up_if_due().await.unwrap(), None);
    for _ in 0..7 {
        store.back_up().await.unwrap();
    }
    assert_eq!(fs::read_dir(folder.path.join("backups")).unwrap().count(), 5);
}
