//! Rows in progress whose process is gone, and rows that were deleted long ago.

use sqlx::Row;

use crate::error::Attempt;
use crate::owner;
use crate::store::Write;
use crate::{ChatId, JobId, Key, MessageId, ModelId, RequestId, Result, Store, Time, search};

/// How long the undo of a deletion is kept.
const DELETED_KEPT_MS: Time = 7 * 24 * 60 * 60 * 1000;
/// A start must not wait long for it; the rest goes with the next starts.
const PURGED_MESSAGES_MAX: i64 = 5_000;

/// Messages and jobs of dead owners become interrupted, models unloaded. Rows of living processes are left alone.
pub(crate) async fn recover(store: &Store) -> Result<()> {
    let attempt = "look for interrupted work";
    let own = store.owner();
    let owners: Vec<Option<String>> = sqlx::query_scalar(
        "SELECT owner FROM messages WHERE state = 'writing' AND owner IS NOT ?1
         UNION SELECT owner FROM jobs WHERE state IN ('waiting', 'running') AND owner IS NOT ?1
         UNION SELECT owner FROM requests WHERE state = 'running' AND owner IS NOT ?1
         UNION SELECT loaded_by FROM models WHERE loaded_by <> ?1",
    )
    .bind(own)
    .fetch_all(&store.inner.reader)
    .await
    .attempt(attempt)?;
    let is_dead = |owner: &Option<String>| !owner.as_ref().is_some_and(|id| owner::is_alive(&store.inner.folder, id));
    let dead: Vec<Option<String>> = owners.into_iter().filter(is_dead).collect();
    if dead.is_empty() {
        return Ok(());
    }
    let mut write = store.write("recover interrupted work").await?;
    for owner in dead {
        interrupt(&mut write, owner.as_deref()).await?;
    }
    write.commit().await
}

/// The same for this process, when it ends in order.
pub(crate) async fn release(store: &Store) -> Result<()> {
    let mut write = store.write("give up unfinished work").await?;
    let owner = write.owner().to_string();
    for message in interrupt(&mut write, Some(&owner)).await? {
        write.end_live(message);
    }
    write.commit().await
}

async fn interrupt(write: &mut Write, owner: Option<&str>) -> Result<Vec<MessageId>> {
    let attempt = write.attempt;
    let rows = sqlx::query(
        "UPDATE messages SET state = 'interrupted', owner = NULL WHERE state = 'writing' AND owner IS ?
         RETURNING id, chat, text",
    )
    .bind(owner)
    .fetch_all(write.conn())
    .await
    .attempt(attempt)?;
    let mut messages = Vec::new();
    for row in &rows {
        let id = MessageId(row.get("id"));
        search::index_message(write.conn(), id, &crate::sql::text(row, "text")).await.attempt(attempt)?;
        write.note(Key::Message(id));
        write.note(Key::Chat(ChatId(row.get("chat"))));
        messages.push(id);
    }
    let jobs: Vec<JobId> = sqlx::query_scalar(
        "UPDATE jobs SET state = 'interrupted', owner = NULL, finished_ms = ?
         WHERE state IN ('waiting', 'running') AND owner IS ? RETURNING id",
    )
    .bind(crate::sql::now_ms())
    .bind(owner)
    .fetch_all(write.conn())
    .await
    .attempt(attempt)?;
    jobs.into_iter().for_each(|job| write.note(Key::Job(job)));
    let models: Vec<ModelId> =
        sqlx::query_scalar("UPDATE models SET loaded_by = NULL, device = NULL WHERE loaded_by = ? RETURNING id")
            .bind(owner)
            .fetch_all(write.conn())
            .await
            .attempt(attempt)?;
    models.into_iter().for_each(|model| write.note(Key::Model(model)));
    let requests: Vec<RequestId> = sqlx::query_scalar(
        "UPDATE requests SET state = 'interrupted', owner = NULL WHERE state = 'running' AND owner IS ? RETURNING id",
    )
    .bind(owner)
    .fetch_all(write.conn())
    .await
    .attempt(attempt)?;
    requests.into_iter().for_each(|request| write.note(Key::Request(request)));
    Ok(messages)
}

/// Removes for good what was deleted long ago. Nobody sees these rows, so there is nothing to make known.
pub(crate) async fn purge(store: &Store, now_ms: Time) -> Result<()> {
    let before = now_ms - DELETED_KEPT_MS;
    let mut write = store.write("remove what was deleted long ago").await?;
    let attempt = write.attempt;
    let conn = write.conn();
    // Children have higher ids than their parents, so they go first.
    let messages: Vec<MessageId> = sqlx::query_scalar(
        "SELECT id FROM messages WHERE deleted_ms < ?1
            OR chat IN (SELECT id FROM chats WHERE deleted_ms < ?1)
         ORDER BY id DESC LIMIT ?2",
    )
    .bind(before)
    .bind(PURGED_MESSAGES_MAX)
    .fetch_all(&mut *conn)
    .await
    .attempt(attempt)?;
    for id in messages {
        search::remove_message(conn, id).await.attempt(attempt)?;
        let delete = sqlx::query("DELETE FROM messages WHERE id = ?").bind(id).execute(&mut *conn).await;
        if let Err(error) = delete {
            tracing::warn!(?id, %error, "a deleted message still has something below it and stays");
        }
    }
    let chats: Vec<ChatId> = sqlx::query_scalar(
        "DELETE FROM chats WHERE deleted_ms < ? AND NOT EXISTS (SELECT 1 FROM messages WHERE chat = chats.id) RETURNING id",
    )
    .bind(before)
    .fetch_all(&mut *conn)
    .await
    .attempt(attempt)?;
    for chat in chats {
        search::index_title(conn, chat, "").await.attempt(attempt)?;
        sqlx::query("DELETE FROM drafts WHERE chat = ?").bind(chat).execute(&mut *conn).await.attempt(attempt)?;
    }
    sqlx::query("DELETE FROM personas WHERE deleted_ms < ?").bind(before).execute(&mut *conn).await.attempt(attempt)?;
    sqlx::query("DELETE FROM reports WHERE deleted_ms < ?").bind(before).execute(&mut *conn).await.attempt(attempt)?;
    // One whose file still lies in the storage folder would be found there again, and the built-in one be written anew.
    sqlx::query("DELETE FROM models WHERE deleted_ms < ? AND trash IS NULL AND in_storage = 0 AND bundled = 0")
        .bind(before)
        .execute(&mut *conn)
        .await
        .attempt(attempt)?;
    write.commit().await
}
