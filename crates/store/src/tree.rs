//! Walks over a chat's tree of messages: paths, siblings, leaves, and what is cut off and put back.

use std::collections::HashMap;

use sqlx::{Row, SqliteConnection};

use crate::change::{Note, require_chat};
use crate::error::Attempt;
use crate::message::{self, PATH};
use crate::sql::{now_ms, optional_integer};
use crate::store::Write;
use crate::{Body, Chat, ChatId, Error, Key, Message, MessageId, MessageState, Result, Role, Store, chat, search};

/// More rows than this at once, and the chat is opened again instead.
const NOTES_MAX: usize = 200;

pub(crate) async fn require(conn: &mut SqliteConnection, id: MessageId) -> Result<Message> {
    message::load(conn, id).await.attempt("read the message")?.ok_or(Error::Missing(Key::Message(id)))
}

pub(crate) async fn require_in(conn: &mut SqliteConnection, chat: ChatId, id: MessageId) -> Result<Message> {
    let message = require(conn, id).await?;
    match message.chat == chat {
        true => Ok(message),
        false => Err(Error::Unfit { key: Key::Message(id), why: "it belongs to another chat" }),
    }
}

/// Inserts a complete message and makes it findable and known.
pub(crate) async fn insert_done(
    write: &mut Write,
    chat: ChatId,
    parent: Option<MessageId>,
    role: Role,
    body: Body,
) -> Result<MessageId> {
    let attempt = write.attempt;
    let row = Message {
        id: MessageId(0),
        chat,
        parent,
        role,
        state: MessageState::Done,
        error: None,
        made: None,
        stats: None,
        created_ms: now_ms(),
        body: Some(body),
    };
    let id = message::insert(write.conn(), &row, None).await.attempt(attempt)?;
    let text = row.body.map(|body| body.text).unwrap_or_default();
    search::index_message(write.conn(), id, &text).await.attempt(attempt)?;
    write.note(Key::Message(id));
    Ok(id)
}

/// The path to `leaf` is what the chat shows from now on, and what each message on it remembers.
pub(crate) async fn set_leaf(conn: &mut SqliteConnection, chat: ChatId, leaf: Option<MessageId>) -> sqlx::Result<()> {
    sqlx::query("UPDATE chats SET leaf = ? WHERE id = ?").bind(leaf).bind(chat).execute(&mut *conn).await?;
    let sql = format!(
        "{PATH} SELECT messages.id AS id, messages.parent AS parent FROM path JOIN messages USING (id)
         LEFT JOIN messages AS up ON up.id = messages.parent
         WHERE messages.parent IS NULL OR up.chosen IS NOT messages.id"
    );
    let forks = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(leaf).fetch_all(&mut *conn).await?;
    for fork in forks {
        let id: i64 = fork.get("id");
        match optional_integer(&fork, "parent") {
            Some(parent) => sqlx::query("UPDATE messages SET chosen = ? WHERE id = ?").bind(id).bind(parent),
            None => sqlx::query("UPDATE chats SET chosen = ? WHERE id = ?").bind(id).bind(chat),
        }
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// From `top` down along what was chosen last (else the newest) to the end.
async fn leaf_below(conn: &mut SqliteConnection, top: MessageId) -> sqlx::Result<MessageId> {
    let leaf: Option<i64> = sqlx::query_scalar(
        "WITH RECURSIVE down (id) AS (
            SELECT ?
            UNION ALL
            SELECT COALESCE(
                (SELECT child.id FROM messages AS up JOIN messages AS child ON child.id = up.chosen
                 WHERE up.id = down.id AND child.parent = up.id AND child.deleted_ms IS NULL),
                (SELECT MAX(child.id) FROM messages AS child WHERE child.parent = down.id AND child.deleted_ms IS NULL)
            ) FROM down WHERE down.id IS NOT NULL
        )
        SELECT MAX(id) FROM down",
    )
    .bind(top)
    .fetch_one(conn)
    .await?;
    Ok(leaf.map_or(top, MessageId))
}

/// Where the leaf goes when `gone` is taken away: to the version shown before it, else to the parent.
async fn leaf_without(conn: &mut SqliteConnection, gone: &Message) -> sqlx::Result<Option<MessageId>> {
    let sibling: Option<MessageId> = sqlx::query_scalar(
        "SELECT id FROM messages WHERE chat = ?1 AND parent IS ?2 AND id <> ?3 AND deleted_ms IS NULL
         ORDER BY id < ?3 DESC, ABS(id - ?3) LIMIT 1",
    )
    .bind(gone.chat)
    .bind(gone.parent)
    .bind(gone.id)
    .fetch_optional(&mut *conn)
    .await?;
    match sibling {
        Some(sibling) => leaf_below(conn, sibling).await.map(Some),
        None => Ok(gone.parent),
    }
}

fn note_messages(write: &mut Write, chat: ChatId, messages: &[MessageId]) {
    if messages.len() > NOTES_MAX {
        write.note_other(Note::Tree(chat));
    } else {
        messages.iter().for_each(|message| write.note(Key::Message(*message)));
    }
}

impl Store {
    /// A message that is complete as it stands (an edit of the model's words, a greeting); it becomes the leaf.
    pub async fn add_message(
        &self,
        chat: ChatId,
        parent: Option<MessageId>,
        role: Role,
        body: Body,
    ) -> Result<MessageId> {
        let mut write = self.write("add the message").await?;
        let attempt = write.attempt;
        require_chat(write.conn(), chat).await?;
        if let Some(parent) = parent {
            require_in(write.conn(), chat, parent).await?;
        }
        let words = (role == Role::User).then(|| body.text.clone());
        let id = insert_done(&mut write, chat, parent, role, body).await?;
        set_leaf(write.conn(), chat, Some(id)).await.attempt(attempt)?;
        chat::touch(&mut write, chat, words.as_deref()).await?;
        write.commit().await?;
        Ok(id)
    }

    /// With body; words in flight included.
    pub async fn message(&self, message: MessageId) -> Result<Message> {
        let mut tx = self.read("read the message").await?;
        let mut messages = vec![require(&mut tx, message).await?];
        self.put_in_words(&mut messages);
        messages.pop().ok_or(Error::Missing(Key::Message(message)))
    }

    /// From the root down to `leaf`, with bodies.
    pub async fn path(&self, leaf: MessageId) -> Result<Vec<Message>> {
        let mut tx = self.read("read the messages").await?;
        let mut messages = message::load_path(&mut tx, leaf).await.attempt("read the messages")?;
        if messages.last().is_none_or(|last| last.id != leaf) {
            return Err(Error::Missing(Key::Message(leaf)));
        }
        self.put_in_words(&mut messages);
        Ok(messages)
    }

    /// The texts of the path, joined: what a page shows.
    pub async fn path_text(&self, leaf: MessageId) -> Result<String> {
        let path = self.path(leaf).await?;
        Ok(path.into_iter().filter_map(|message| message.body).map(|body| body.text).collect())
    }

    /// All versions at the message's place, itself too, oldest first; with bodies.
    pub async fn siblings(&self, message: MessageId) -> Result<Vec<Message>> {
        let attempt = "read the versions";
        let mut tx = self.read(attempt).await?;
        let row = require(&mut tx, message).await?;
        let ids: Vec<MessageId> = sqlx::query_scalar("SELECT id FROM messages WHERE chat = ? AND parent IS ?")
            .bind(row.chat)
            .bind(row.parent)
            .fetch_all(&mut *tx)
            .await
            .attempt(attempt)?;
        let mut messages = message::load_many(&mut tx, &ids).await.attempt(attempt)?;
        self.put_in_words(&mut messages);
        Ok(messages)
    }

    /// Shows the path through `message` down to the deepest last-chosen leaf below it; returns that leaf. The bodies
    /// that come into sight are published before the chat.
    pub async fn choose_leaf(&self, chat: ChatId, message: MessageId) -> Result<MessageId> {
        let mut write = self.write("show the version").await?;
        let attempt = write.attempt;
        let before = require_chat(write.conn(), chat).await?.leaf;
        require_in(write.conn(), chat, message).await?;
        let leaf = leaf_below(write.conn(), message).await.attempt(attempt)?;
        let old = path_ids(write.conn(), before).await.attempt(attempt)?;
        let new = path_ids(write.conn(), Some(leaf)).await.attempt(attempt)?;
        let appearing: Vec<MessageId> = new.into_iter().filter(|id| old.binary_search(id).is_err()).collect();
        set_leaf(write.conn(), chat, Some(leaf)).await.attempt(attempt)?;
        note_messages(&mut write, chat, &appearing);
        write.note(Key::Chat(chat));
        write.commit().await?;
        Ok(leaf)
    }

    /// Takes a message and all below it out of sight; the leaf moves to the nearest version, else to the parent.
    pub async fn delete_message(&self, id: MessageId) -> Result<()> {
        let mut write = self.write("delete the message").await?;
        let attempt = write.attempt;
        let message = require(write.conn(), id).await?;
        let leaf = require_chat(write.conn(), message.chat).await?.leaf;
        let gone: Vec<MessageId> = sqlx::query_scalar(
            "WITH RECURSIVE below (id) AS (
                SELECT ?1
                UNION ALL
                SELECT messages.id FROM below JOIN messages ON messages.parent = below.id
                WHERE messages.deleted_ms IS NULL
            )
            UPDATE messages SET deleted_ms = ?2, deleted_with = ?1 WHERE id IN below RETURNING id",
        )
        .bind(id)
        .bind(now_ms())
        .fetch_all(write.conn())
        .await
        .attempt(attempt)?;
        if leaf.is_some_and(|leaf| gone.contains(&leaf)) {
            sqlx::query("UPDATE messages SET leaf_before = ? WHERE id = ?")
                .bind(leaf)
                .bind(id)
                .execute(write.conn())
                .await
                .attempt(attempt)?;
            let next = leaf_without(write.conn(), &message).await.attempt(attempt)?;
            let shown = path_ids(write.conn(), next).await.attempt(attempt)?;
            let old = path_ids(write.conn(), message.parent).await.attempt(attempt)?;
            let appearing: Vec<MessageId> = shown.into_iter().filter(|id| old.binary_search(id).is_err()).collect();
            set_leaf(write.conn(), message.chat, next).await.attempt(attempt)?;
            note_messages(&mut write, message.chat, &appearing);
            write.note(Key::Chat(message.chat));
        }
        note_messages(&mut write, message.chat, &gone);
        write.commit().await
    }

    /// Undoes `delete_message`, the leaf too.
    pub async fn restore_message(&self, id: MessageId) -> Result<()> {
        let mut write = self.write("restore the message").await?;
        let attempt = write.attempt;
        let row = sqlx::query("SELECT chat, parent, leaf_before FROM messages WHERE id = ? AND deleted_with = id")
            .bind(id)
            .fetch_optional(write.conn())
            .await
            .attempt(attempt)?;
        let row = row.ok_or(Error::Missing(Key::Message(id)))?;
        let chat = ChatId(row.get("chat"));
        require_chat(write.conn(), chat).await?;
        if let Some(parent) = optional_integer(&row, "parent") {
            // What it hung on may have been deleted after it.
            require(write.conn(), MessageId(parent)).await?;
        }
        let back: Vec<MessageId> = sqlx::query_scalar(
            "UPDATE messages SET deleted_ms = NULL, deleted_with = NULL WHERE deleted_with = ? RETURNING id",
        )
        .bind(id)
        .fetch_all(write.conn())
        .await
        .attempt(attempt)?;
        note_messages(&mut write, chat, &back);
        let leaf = optional_integer(&row, "leaf_before").map(MessageId);
        if let Some(leaf) = leaf.filter(|leaf| back.contains(leaf)) {
            set_leaf(write.conn(), chat, Some(leaf)).await.attempt(attempt)?;
            sqlx::query("UPDATE messages SET leaf_before = NULL WHERE id = ?")
                .bind(id)
                .execute(write.conn())
                .await
                .attempt(attempt)?;
            write.note(Key::Chat(chat));
        }
        write.commit().await
    }

    /// A new chat with a copy of the path down to `message`.
    pub async fn copy_path(&self, message: MessageId) -> Result<Chat> {
        let words = self.written(message);
        let mut write = self.write("copy the chat").await?;
        let attempt = write.attempt;
        let source = require(write.conn(), message).await?;
        let now = now_ms();
        let mut copy = require_chat(write.conn(), source.chat).await?;
        (copy.pinned, copy.created_ms, copy.changed_ms) = (false, now, now);
        let id = chat::insert(write.conn(), &copy).await.attempt(attempt)?;
        let mut parent = None;
        let mut ids: HashMap<MessageId, MessageId> = HashMap::new();
        for mut row in message::load_path(write.conn(), message).await.attempt(attempt)? {
            if row.state == MessageState::Writing {
                row.state = MessageState::Interrupted;
                row.body = words.clone().or(row.body);
            }
            (row.chat, row.parent) = (id, parent);
            if let Some(stats) = &mut row.stats {
                stats.memory_starts_at = stats.memory_starts_at.and_then(|old| ids.get(&old).copied());
            }
            let copied = message::insert(write.conn(), &row, None).await.attempt(attempt)?;
            ids.insert(row.id, copied);
            let text = row.body.map(|body| body.text).unwrap_or_default();
            search::index_message(write.conn(), copied, &text).await.attempt(attempt)?;
            parent = Some(copied);
        }
        set_leaf(write.conn(), id, parent).await.attempt(attempt)?;
        let copy = require_chat(write.conn(), id).await?;
        write.note(Key::Chat(id));
        write.commit().await?;
        Ok(copy)
    }

    /// The whole tree with bodies (deleted ones left out), parents before children.
    pub async fn messages(&self, chat: ChatId) -> Result<Vec<Message>> {
        let mut tx = self.read("read the messages").await?;
        let mut messages = message::load_tree(&mut tx, chat, true).await.attempt("read the messages")?;
        self.put_in_words(&mut messages);
        Ok(messages)
    }

    /// Words that this process has not saved yet.
    pub(crate) fn put_in_words(&self, messages: &mut [Message]) {
        for message in messages.iter_mut().filter(|message| message.state == MessageState::Writing) {
            message.body = self.written(message.id).or(message.body.take());
        }
    }
}

/// Ascending.
async fn path_ids(conn: &mut SqliteConnection, leaf: Option<MessageId>) -> sqlx::Result<Vec<MessageId>> {
    let sql = format!("{PATH} SELECT id FROM path ORDER BY id");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(leaf).fetch_all(conn).await
}
