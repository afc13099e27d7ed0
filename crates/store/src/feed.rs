//! The stream of changes to this process's readers: one order for rows and for words in flight.
//!
//! Rows and words meet in two steps. The `Pump` (an async lock) reads what was committed since the last time, in one
//! read transaction; the `Feed` (a short lock) sends it. Whoever reads rows for a reader (a snapshot, an opened chat)
//! does so in the same turn, so nothing committed falls between; words are added and sent under the feed's lock, and a
//! row of an answer in flight is sent with the words known at that instant: none is missing and none comes twice.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use sqlx::{Connection, SqliteConnection};
use tokio::sync::Notify;

use crate::change::{self, Note, Read};
use crate::error::Attempt;
use crate::store::Inner;
use crate::{Body, Change, ChatId, Key, Message, MessageId, Result, Store};

/// A reader that leaves more than this unread is far behind: a snapshot is shorter.
const QUEUE_CHANGES_MAX: usize = 8_192;
const QUEUE_BYTES_MAX: usize = 16 << 20;

/// Chats that are opened again for a reader that fell behind. More are not on one screen.
const OPEN_MAX: usize = 16;

/// Longer than any answer: what a broken engine could make the memory hold.
const LIVE_BYTES_MAX: usize = 64 << 20;

/// Words of an answer that this process writes.
pub(crate) struct Live {
    /// The whole body so far, saved or not.
    pub body: Body,
    /// The change that began it: rows read before that one are older than it.
    pub since: i64,
    /// The change that ended it.
    pub until: Option<i64>,
}

/// What has been read up to, on a connection of its own.
pub(crate) struct Pump {
    /// `None`: closed.
    conn: Option<SqliteConnection>,
    pub last: i64,
    data_version: i64,
}

impl Pump {
    pub async fn new(mut conn: SqliteConnection) -> sqlx::Result<Pump> {
        let last = change::last(&mut conn).await?;
        Ok(Pump { conn: Some(conn), last, data_version: 0 })
    }

    /// Whether any connection has committed since the last call.
    pub async fn has_moved(&mut self) -> sqlx::Result<bool> {
        let conn = self.conn.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        let version = sqlx::query_scalar::<_, i64>("PRAGMA data_version").fetch_one(conn).await?;
        Ok(std::mem::replace(&mut self.data_version, version) != version)
    }

    pub async fn close(&mut self) {
        if let Some(conn) = self.conn.take() {
            conn.close().await.ok();
        }
    }
}

/// What a turn reads beside the changes.
pub(crate) enum Extra {
    Nothing,
    /// A new reader.
    Join(Arc<Queue>),
    /// A reader that fell behind.
    Refill(Arc<Queue>),
    Open(ChatId),
    Bodies(Vec<MessageId>),
}

#[derive(Default)]
pub(crate) struct Feed {
    queues: Vec<Weak<Queue>>,
    pub live: HashMap<MessageId, Live>,
    /// Latest last.
    open: Vec<ChatId>,
    closed: bool,
}

impl Feed {
    fn send(&mut self, change: Change) {
        self.queues.retain(|queue| match queue.upgrade() {
            Some(queue) => {
                queue.push(change.clone());
                true
            }
            None => false,
        });
    }

    /// Puts the words in flight into a row that was read when `upto` was the last change.
    fn fill(&self, message: &mut Message, upto: i64) {
        if let Some(live) = self.live.get(&message.id)
            && live.since <= upto
            && live.until.is_none_or(|until| until > upto)
        {
            message.body = Some(live.body.clone());
        }
    }

    fn send_rows(&mut self, changes: Vec<Change>, upto: i64) {
        for mut change in changes {
            self.fill_change(&mut change, upto);
            self.send(change);
        }
        self.live.retain(|_, live| live.until.is_none_or(|until| until > upto));
    }

    fn fill_change(&self, change: &mut Change, upto: i64) {
        match change {
            Change::Message(message) => self.fill(message, upto),
            // Off the visible path too: words that follow must have something to be added to.
            Change::Opened { messages, .. } => messages.iter_mut().for_each(|message| self.fill(message, upto)),
            _ => {}
        }
    }

    pub fn close(&mut self) {
        self.closed = true;
        for queue in self.queues.drain(..).filter_map(|queue| queue.upgrade()) {
            queue.close();
        }
    }
}

/// What one reader has not taken yet.
pub(crate) struct Queue {
    state: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Default)]
struct Waiting {
    changes: VecDeque<Change>,
    bytes: usize,
    /// Too much was left unread: everything is dropped until a new snapshot.
    behind: bool,
    closed: bool,
}

impl Queue {
    fn new() -> Arc<Queue> {
        Arc::new(Queue { state: Mutex::default(), wake: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, change: Change) {
        self.state().push(change);
        self.wake.notify_one();
    }

    fn close(&self) {
        self.state().closed = true;
        self.wake.notify_one();
    }
}

impl Waiting {
    fn push(&mut self, change: Change) {
        if self.behind || self.closed {
            return;
        }
        let bytes = weight(&change);
        let is_first = self.changes.is_empty();
        if !is_first && (self.changes.len() >= QUEUE_CHANGES_MAX || self.bytes + bytes > QUEUE_BYTES_MAX) {
            self.changes = VecDeque::new();
            self.bytes = 0;
            self.behind = true;
            return;
        }
        self.bytes += bytes;
        if let Some(change) = self.join(change) {
            self.changes.push_back(change);
        }
    }

    /// Words that follow words are one change; of how far the prompt is read, only the newest counts.
    fn join(&mut self, change: Change) -> Option<Change> {
        match (self.changes.back_mut(), change) {
            (
                Some(Change::Text { message, thought, piece }),
                Change::Text { message: next, thought: next_thought, piece: more },
            ) if *message == next && *thought == next_thought => {
                piece.push_str(&more);
                None
            }
            (
                Some(Change::Reading { message, done, total }),
                Change::Reading { message: next, done: next_done, total: next_total },
            ) if *message == next => {
                (*done, *total) = (next_done, next_total);
                None
            }
            (_, change) => Some(change),
        }
    }
}

/// About how much memory a change holds.
fn weight(change: &Change) -> usize {
    const ROW: usize = 512;
    let message = |message: &Message| {
        ROW + message.body.as_ref().map_or(0, |body| {
            let attached: usize = body.attachments.iter().map(|attachment| attachment.text.len()).sum();
            body.text.len() + body.thought.len() + attached
        })
    };
    match change {
        Change::Message(row) => message(row),
        Change::Opened { messages, .. } => messages.iter().map(message).sum(),
        Change::Text { piece, .. } => piece.len(),
        Change::Snapshot(snapshot) => ROW * (1 + snapshot.chats.len()),
        _ => ROW,
    }
}

/// One reader's stream. It begins with a `Change::Snapshot`; a reader that falls behind gets a new one, followed by
/// `Change::Opened` for each chat that is open.
pub struct Subscription {
    queue: Arc<Queue>,
    store: Weak<Inner>,
}

impl Subscription {
    /// Waits until there is something, then takes all there is, in order. `None`: the store was closed.
    pub async fn next(&mut self) -> Option<Vec<Change>> {
        loop {
            let behind = {
                let mut state = self.queue.state();
                if !state.changes.is_empty() {
                    state.bytes = 0;
                    return Some(std::mem::take(&mut state.changes).into());
                }
                if state.closed {
                    return None;
                }
                state.behind
            };
            if behind {
                let store = Store { inner: self.store.upgrade()? };
                if let Err(error) = store.turn(Extra::Refill(self.queue.clone())).await {
                    tracing::warn!(%error, "a reader that fell behind could not be given a snapshot");
                    return None;
                }
                continue;
            }
            self.queue.wake.notified().await;
        }
    }
}

impl Store {
    pub async fn subscribe(&self) -> Result<Subscription> {
        let queue = Queue::new();
        self.turn(Extra::Join(queue.clone())).await?;
        Ok(Subscription { queue, store: Arc::downgrade(&self.inner) })
    }

    /// Publishes `Change::Opened`: the whole tree, bodies on the visible path (words not yet saved included).
    pub async fn open_chat(&self, chat: ChatId) -> Result<()> {
        self.turn(Extra::Open(chat)).await
    }

    /// The chat is no longer looked at. Its changes still come; a reader that fell behind does not get it again.
    pub fn close_chat(&self, chat: ChatId) {
        self.inner.feed().open.retain(|open| *open != chat);
    }

    /// Publishes these messages with their bodies.
    pub async fn read_messages(&self, messages: &[MessageId]) -> Result<()> {
        self.turn(Extra::Bodies(messages.to_vec())).await
    }

    /// Adds words to an answer that this process is writing, and publishes them. Never waits for the disk.
    pub fn publish_text(&self, message: MessageId, thought: bool, piece: &str) {
        let mut feed = self.inner.feed();
        let Some(live) = feed.live.get_mut(&message).filter(|live| live.until.is_none()) else {
            tracing::debug!(?message, "words for an answer that is not being written");
            return;
        };
        if piece.is_empty() || live.body.text.len() + live.body.thought.len() + piece.len() > LIVE_BYTES_MAX {
            return;
        }
        let body = &mut live.body;
        if thought { &mut body.thought } else { &mut body.text }.push_str(piece);
        feed.send(Change::Text { message, thought, piece: piece.to_string() });
    }

    /// How far the prompt of an answer is read.
    pub fn publish_reading(&self, message: MessageId, done: u32, total: u32) {
        let mut feed = self.inner.feed();
        if feed.live.get(&message).is_some_and(|live| live.until.is_none()) {
            feed.send(Change::Reading { message, done, total });
        }
    }

    /// The body so far of an answer that this process is writing.
    pub fn written(&self, message: MessageId) -> Option<Body> {
        let feed = self.inner.feed();
        feed.live.get(&message).filter(|live| live.until.is_none()).map(|live| live.body.clone())
    }

    /// Reads what was committed since the last turn, and what `extra` asks for, as one consistent view; then sends it.
    pub(crate) async fn turn(&self, extra: Extra) -> Result<()> {
        let attempt = "read the changes";
        let mut pump = self.inner.pump.lock().await;
        let last = pump.last;
        let conn = pump.conn.as_mut().ok_or(sqlx::Error::PoolClosed).attempt(attempt)?;
        let mut tx = conn.begin().await.attempt(attempt)?;
        let mut read = change::read_since(&mut tx, last, &self.inner.owner.id).await.attempt(attempt)?;
        let mut open = self.inner.feed().open.clone();
        if let Extra::Open(chat) = extra {
            // First, so that a reader which fell behind in this very turn gets it too.
            change::require_chat(&mut tx, chat).await?;
            open.retain(|other| *other != chat);
            open.push(chat);
            open.drain(..open.len().saturating_sub(OPEN_MAX));
            self.inner.feed().open = open.clone();
        }
        read.changes = match read.behind {
            true => change::load_screen(&mut tx, &open).await.attempt(attempt)?,
            false => change::load(&mut tx, &read.notes, &open).await.attempt(attempt)?,
        };
        let more = match &extra {
            Extra::Nothing => Vec::new(),
            Extra::Join(_) => vec![Change::Snapshot(change::load_snapshot(&mut tx).await.attempt(attempt)?)],
            Extra::Refill(_) => change::load_screen(&mut tx, &open).await.attempt(attempt)?,
            Extra::Open(chat) => vec![change::load_opened(&mut tx, *chat).await.attempt(attempt)?],
            Extra::Bodies(messages) => {
                let notes: Vec<Note> = messages.iter().map(|message| Note::Row(Key::Message(*message))).collect();
                change::load(&mut tx, &notes, &open).await.attempt(attempt)?
            }
        };
        tx.commit().await.attempt(attempt)?;
        pump.last = read.upto;
        self.send(read, extra, more);
        Ok(())
    }

    fn send(&self, read: Read, extra: Extra, mut more: Vec<Change>) {
        let mut feed = self.inner.feed();
        let upto = read.upto;
        more.iter_mut().for_each(|change| feed.fill_change(change, upto));
        feed.send_rows(read.changes, upto);
        match extra {
            Extra::Join(queue) => {
                more.into_iter().for_each(|change| queue.push(change));
                match feed.closed {
                    true => queue.close(),
                    false => feed.queues.push(Arc::downgrade(&queue)),
                }
            }
            Extra::Refill(queue) => {
                let mut state = queue.state();
                // Past the limits, if it must be: there is nothing shorter to send.
                *state = Waiting { closed: state.closed, changes: more.into(), ..Waiting::default() };
            }
            Extra::Nothing | Extra::Open(_) | Extra::Bodies(_) => more.into_iter().for_each(|change| feed.send(change)),
        }
    }
}
