//! An answer's life: begun with its question in one transaction, saved while it grows, finished in one update.

use sqlx::SqliteConnection;

use crate::change::require_chat;
use crate::error::Attempt;
use crate::sql::{now_ms, to_json};
use crate::store::Write;
use crate::{
    Body, ChatId, Error, Key, Made, Message, MessageId, MessageState, Problem, Result, Role, Stats, Store, chat,
    message, search, tree,
};

/// What `begin_answer` puts down.
#[derive(Clone, Debug)]
pub struct NewAnswer {
    pub chat: ChatId,
    /// What the question (or, without one, the answer) hangs on.
    pub parent: Option<MessageId>,
    /// The person's words; `None`: another answer to `parent`.
    pub question: Option<Body>,
    /// The words that the reply is made to begin with.
    pub begin: String,
    /// As far as it is known already.
    pub made: Option<Made>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    pub question: Option<MessageId>,
    pub answer: MessageId,
}

/// How an answer ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// `Done`, `Stopped`, `Interrupted` or `Failed`.
    pub state: MessageState,
    pub error: Option<Problem>,
    pub stats: Option<Stats>,
    /// Replaces the body made of the published pieces, where given.
    pub body: Option<Body>,
    pub thought_tokens: u32,
    pub thought_ms: u32,
}

impl Store {
    /// Question and answer (`Writing`, owned by this process) in one transaction; the answer becomes the chat's leaf.
    /// When this returns, the person's words are on the disk.
    pub async fn begin_answer(&self, new: NewAnswer) -> Result<Begun> {
        let mut write = self.write("begin the answer").await?;
        let attempt = write.attempt;
        require_chat(write.conn(), new.chat).await?;
        let mut parent = match new.parent {
            Some(parent) => Some(tree::require_in(write.conn(), new.chat, parent).await?.id),
            None => None,
        };
        if parent.is_none() && new.question.is_none() {
            return Err(Error::Unfit { key: Key::Chat(new.chat), why: "an answer needs a question or a parent" });
        }
        let question = match &new.question {
            Some(body) => Some(tree::insert_done(&mut write, new.chat, parent, Role::User, body.clone()).await?),
            None => None,
        };
        parent = question.or(parent);
        let body = Body { text: new.begin, ..Body::default() };
        let row = Message {
            id: MessageId(0),
            chat: new.chat,
            parent,
            role: Role::Assistant,
            state: MessageState::Writing,
            error: None,
            made: new.made,
            stats: None,
            created_ms: now_ms(),
            body: Some(body.clone()),
        };
        let owner = write.owner().to_string();
        let answer = message::insert(write.conn(), &row, Some(&owner)).await.attempt(attempt)?;
        tree::set_leaf(write.conn(), new.chat, Some(answer)).await.attempt(attempt)?;
        write.begin_live(answer, body);
        write.note(Key::Message(answer));
        chat::touch(&mut write, new.chat, new.question.as_ref().map(|body| body.text.as_str())).await?;
        write.commit().await?;
        Ok(Begun { question, answer })
    }

    /// A finished answer is written on: `Writing` again, its stats and error cleared. Returns the body so far.
    pub async fn resume_answer(&self, id: MessageId) -> Result<Body> {
        let mut write = self.write("continue the answer").await?;
        let attempt = write.attempt;
        let row = tree::require(write.conn(), id).await?;
        if row.role != Role::Assistant || row.state == MessageState::Writing {
            return Err(Error::Unfit { key: Key::Message(id), why: "only an answer that has ended can be continued" });
        }
        let body = row.body.unwrap_or_default();
        let owner = write.owner().to_string();
        sqlx::query("UPDATE messages SET state = 'writing', owner = ?, error = NULL, stats = NULL WHERE id = ?")
            .bind(owner)
            .bind(id)
            .execute(write.conn())
            .await
            .attempt(attempt)?;
        write.begin_live(id, body.clone());
        write.note(Key::Message(id));
        chat::touch(&mut write, row.chat, None).await?;
        write.commit().await?;
        Ok(body)
    }

    /// Says what makes an answer that is being written, once it is known.
    pub async fn set_made(&self, id: MessageId, made: &Made) -> Result<()> {
        let mut write = self.write("note what makes the answer").await?;
        let attempt = write.attempt;
        let query = sqlx::query("UPDATE messages SET made = ? WHERE id = ?").bind(to_json(made)).bind(id);
        if query.execute(write.conn()).await.attempt(attempt)?.rows_affected() == 0 {
            return Err(Error::Missing(Key::Message(id)));
        }
        write.note(Key::Message(id));
        write.commit().await
    }

    /// Writes the words published so far into the row. Call it at least once a second.
    pub async fn save_answer(&self, id: MessageId, thought_tokens: u32, thought_ms: u32) -> Result<()> {
        let body = self.own_words(id, thought_tokens, thought_ms)?;
        let mut write = self.write("save the answer").await?;
        let attempt = write.attempt;
        write_body(write.conn(), id, &body).await.attempt(attempt)?;
        write.note_for_others(Key::Message(id));
        write.commit().await
    }

    /// The last word on an answer, in one update.
    pub async fn finish_answer(&self, id: MessageId, ending: Ending) -> Result<()> {
        let own = self.own_words(id, ending.thought_tokens, ending.thought_ms)?;
        let body = ending.body.unwrap_or(own);
        let mut write = self.write("finish the answer").await?;
        finish(&mut write, id, ending.state, ending.error.as_ref(), ending.stats.as_ref(), &body).await?;
        write.end_live(id);
        write.commit().await
    }

    fn own_words(&self, id: MessageId, thought_tokens: u32, thought_ms: u32) -> Result<Body> {
        let mut feed = self.inner.feed();
        let live = feed.live.get_mut(&id).filter(|live| live.until.is_none());
        let live = live.ok_or(Error::Unfit { key: Key::Message(id), why: "this process is not writing it" })?;
        live.body.thought_tokens = thought_tokens;
        live.body.thought_ms = thought_ms;
        Ok(live.body.clone())
    }
}

async fn write_body(conn: &mut SqliteConnection, id: MessageId, body: &Body) -> sqlx::Result<()> {
    sqlx::query("UPDATE messages SET text = ?, thought = ?, thought_tokens = ?, thought_ms = ? WHERE id = ?")
        .bind(&body.text)
        .bind(&body.thought)
        .bind(body.thought_tokens)
        .bind(body.thought_ms)
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

async fn finish(
    write: &mut Write,
    id: MessageId,
    state: MessageState,
    error: Option<&Problem>,
    stats: Option<&Stats>,
    body: &Body,
) -> Result<()> {
    let attempt = write.attempt;
    let conn = write.conn();
    write_body(conn, id, body).await.attempt(attempt)?;
    let chat = sqlx::query_scalar(
        "UPDATE messages SET state = ?, error = ?, stats = ?, owner = NULL WHERE id = ? RETURNING chat",
    )
    .bind(state.as_text())
    .bind(error.map(to_json))
    .bind(stats.map(to_json))
    .bind(id)
    .fetch_optional(&mut *conn)
    .await
    .attempt(attempt)?;
    let chat = ChatId(chat.ok_or(Error::Missing(Key::Message(id)))?);
    search::index_message(conn, id, &body.text).await.attempt(attempt)?;
    write.note(Key::Message(id));
    chat::touch(write, chat, None).await
}
