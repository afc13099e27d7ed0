//! One open data folder: the database, this process's owner lock, and the stream of changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};

use crate::backup::{self, DATABASE};
use crate::change::{self, Note};
use crate::error::Attempt;
use crate::feed::{Extra, Feed, Live, Pump};
use crate::migrate::{self, VERSIONS};
use crate::owner::{self, Gate, Owner, io_error};
use crate::sql::{connect, now_ms, options};
use crate::{Body, Key, MessageId, Result, Snapshot, Time, recovery};

/// Readers beside the one writer: a search must not wait for a chat that is being opened.
const READERS_MAX: u32 = 4;
/// How long a write waits for the ones before it; only a bulk import takes seconds.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(300);

/// How soon another process's commit is seen.
const POLL: Duration = Duration::from_millis(250);
/// In polls: how often rows of processes that died are looked for, and whether a backup is due (first soon after start,
/// when the window is drawn).
const RECOVER_EVERY: u64 = 20;
const BACKUP_EVERY: u64 = 240;
const BACKUP_FIRST: u64 = 40;

/// Cheap to clone. Every call must run inside a tokio runtime. A call whose future is dropped half-way is rolled back
/// or, after its commit, published by the next poll.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub folder: PathBuf,
    pub owner: Owner,
    /// One connection: writes of this process wait in line here, not in SQLite.
    writer: SqlitePool,
    pub reader: SqlitePool,
    pub pump: tokio::sync::Mutex<Pump>,
    feed: Mutex<Feed>,
    closed: AtomicBool,
    /// Number of the last change that is in a backup; changes since then make the next one due.
    backed_up: AtomicI64,
}

pub struct Opened {
    pub store: Store,
    /// The database was damaged; the person must be told.
    pub repaired: Option<Repair>,
}

/// What was done about a damaged database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Where the damaged file lies now; `None`: it was missing.
    pub set_aside: Option<PathBuf>,
    /// When the backup that was opened instead was made; `None`: there was no sound one, and the history starts empty.
    pub backup_ms: Option<Time>,
    /// What was wrong, in English.
    pub detail: String,
}

impl Store {
    /// Opens (or makes) the database in `folder`, repairs it if it must be, migrates it, recovers rows whose owner is
    /// gone and removes what was deleted long ago.
    pub async fn open(folder: &Path) -> Result<Opened> {
        let owners = owner::owners(folder);
        fs::create_dir_all(&owners).map_err(|source| io_error("make the folder", &owners, source))?;
        let gate = Gate::enter(folder).await?;
        let repaired = backup::ensure_sound(folder).await?;
        let path = folder.join(DATABASE);
        let mut conn = connect(&path).await.attempt("be opened")?;
        let version = migrate::check(&mut conn, &path, VERSIONS.len()).await?;
        if version > 0 && version < VERSIONS.len() as i64 {
            // What a new program does to an old history can be undone.
            backup::make(&mut conn, folder).await?;
        }
        migrate::migrate(&mut conn, &path, VERSIONS).await?;
        let owner = Owner::new(folder)?;
        owner::sweep(folder, Some(&owner.id));
        let pump = Pump::new(conn).await.attempt("be read")?;
        let inner = Arc::new(Inner {
            folder: folder.to_path_buf(),
            owner,
            writer: pool(&path, 1),
            reader: pool(&path, READERS_MAX),
            backed_up: AtomicI64::new(pump.last),
            pump: tokio::sync::Mutex::new(pump),
            feed: Mutex::new(Feed::default()),
            closed: AtomicBool::new(false),
        });
        let store = Store { inner };
        recovery::recover(&store).await?;
        recovery::purge(&store, now_ms()).await?;
        drop(gate);
        tokio::spawn(poll(Arc::downgrade(&store.inner)));
        Ok(Opened { store, repaired })
    }

    /// This process, as rows name it (`Model::loaded_by`).
    pub fn owner(&self) -> &str {
        &self.inner.owner.id
    }

    /// All rows that are always mirrored.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let mut tx = self.read("read the rows").await?;
        change::load_snapshot(&mut tx).await.attempt("read the rows")
    }

    /// Makes a backup now; returns its path.
    pub async fn back_up(&self) -> Result<PathBuf> {
        let last = self.inner.pump.lock().await.last;
        let mut conn = self.inner.reader.acquire().await.attempt("be read")?;
        let path = backup::make(&mut conn, &self.inner.folder).await?;
        self.inner.backed_up.store(last, Ordering::Relaxed);
        Ok(path)
    }

    /// Makes a backup if the newest is old, or not so old and much has changed since. The store looks for itself a few
    /// seconds after start and once a minute.
    pub async fn back_up_if_due(&self) -> Result<Option<PathBuf>> {
        let last = self.inner.pump.lock().await.last;
        let age_ms = backup::list(&self.inner.folder).first().map_or(Time::MAX, |newest| now_ms() - newest.0);
        let changes = last - self.inner.backed_up.load(Ordering::Relaxed);
        let due = age_ms > backup::AGE_MAX_MS || (changes > backup::CHANGES_MAX && age_ms > backup::AGE_MIN_MS);
        if !due || last == 0 {
            return Ok(None);
        }
        self.back_up().await.map(Some)
    }

    /// Ends this process's part: rows it still owns become interrupted, models unloaded, the lock free. Streams end.
    pub async fn close(&self) {
        if self.inner.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Err(error) = recovery::release(self).await {
            tracing::warn!(%error, "rows of this process stay for the next start to recover");
        }
        self.inner.feed().close();
        self.inner.pump.lock().await.close().await;
        self.inner.reader.close().await;
        self.inner.writer.close().await;
        self.inner.owner.remove_file();
    }

    /// A consistent view for several reads.
    pub(crate) async fn read(&self, attempt: &'static str) -> Result<Transaction<'static, Sqlite>> {
        self.inner.reader.begin().await.attempt(attempt)
    }

    /// Starts a write; `attempt` says what it is for.
    pub(crate) async fn write(&self, attempt: &'static str) -> Result<Write> {
        let tx = self.inner.writer.begin_with("BEGIN IMMEDIATE").await.attempt(attempt)?;
        Ok(Write { store: self.clone(), tx, attempt, notes: Vec::new(), begun: Vec::new(), ended: Vec::new() })
    }
}

impl Inner {
    pub fn feed(&self) -> MutexGuard<'_, Feed> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a store's `close` has begun.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

/// One transaction that writes, with the changes it makes known. Dropped without `commit`, it never was.
pub(crate) struct Write {
    store: Store,
    tx: Transaction<'static, Sqlite>,
    pub attempt: &'static str,
    notes: Vec<(Note, bool)>,
    begun: Vec<(MessageId, Body)>,
    ended: Vec<MessageId>,
}

impl Write {
    pub fn conn(&mut self) -> &mut SqliteConnection {
        &mut self.tx
    }

    pub fn owner(&self) -> &str {
        &self.store.inner.owner.id
    }

    /// A row that every reader must see again.
    pub fn note(&mut self, key: Key) {
        self.notes.push((Note::Row(key), false));
    }

    pub fn note_other(&mut self, note: Note) {
        self.notes.push((note, false));
    }

    /// A row that this process's readers know already (words were published as they came).
    pub fn note_for_others(&mut self, key: Key) {
        self.notes.push((Note::Row(key), true));
    }

    /// From this commit on, this process writes the answer, and its words in flight are `body`.
    pub fn begin_live(&mut self, message: MessageId, body: Body) {
        self.begun.push((message, body));
    }

    pub fn end_live(&mut self, message: MessageId) {
        self.ended.push(message);
    }

    /// Commits, and returns when this process's readers have been sent the changes.
    pub async fn commit(mut self) -> Result<()> {
        let attempt = self.attempt;
        let owner = self.store.inner.owner.id.clone();
        let last = change::append(&mut self.tx, &self.notes, &owner).await.attempt(attempt)?;
        self.tx.commit().await.attempt(attempt)?;
        {
            let mut feed = self.store.inner.feed();
            for (message, body) in self.begun {
                feed.live.insert(message, Live { body, since: last, until: None });
            }
            for message in self.ended {
                if let Some(live) = feed.live.get_mut(&message) {
                    live.until = Some(last);
                }
            }
        }
        if let Err(error) = self.store.turn(Extra::Nothing).await {
            tracing::warn!(%error, "a committed change will be published later");
        }
        Ok(())
    }
}

fn pool(path: &Path, connections: u32) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(WRITE_WAIT_MAX)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_lazy_with(options(path))
}

/// Looks for what other processes wrote, for processes that died, and for the time of the next backup.
async fn poll(store: Weak<Inner>) {
    for tick in 1u64.. {
        tokio::time::sleep(POLL).await;
        let Some(inner) = store.upgrade() else { return };
        if inner.is_closed() {
            return;
        }
        let store = Store { inner };
        let looked = async {
            if store.inner.pump.lock().await.has_moved().await.attempt("be read")? {
                store.turn(Extra::Nothing).await?;
            }
            if tick.is_multiple_of(RECOVER_EVERY) {
                recovery::recover(&store).await?;
            }
            if tick % BACKUP_EVERY == BACKUP_FIRST {
                store.back_up_if_due().await?;
            }
            Ok::<(), crate::Error>(())
        };
        if let Err(error) = looked.await {
            if store.inner.is_closed() {
                return;
            }
            tracing::warn!(%error, "could not look for changes");
        }
    }
}
