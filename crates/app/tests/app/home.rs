//! A data folder for one test, under a name that has broken other programs, and what a face does with the program.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use huacaya_app::{
    App, Changes, Places, Purpose,
    rows::{Body, Change, Chat, Job, JobState, Key, Message, MessageId, MessageState, Model, ModelId, Report, Request},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tiny;

/// Far above what any step takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub struct Home {
    folder: TempDir,
}

impl Home {
    pub fn new() -> Home {
        Home { folder: tempfile::tempdir().unwrap() }
    }

    /// The data folder.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("张 庭 綱").join("\u{3000}data")
    }

    /// A folder beside it, for files that are not the program's.
    pub fn outside(&self) -> PathBuf {
        let path = self.folder.path().join("下载 的");
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    pub async fn start(&self) -> App {
        App::start(Places::at(&self.path()).unwrap()).await.unwrap()
    }

    /// Starts with a seeded random model that goes on until it is stopped, as the default.
    pub async fn start_with_tiny(&self) -> (App, ModelId) {
        let app = self.start().await;
        let file = self.outside().join("tiny.gguf");
        tiny::write(&file);
        let model = import(&app, &file, false).await;
        call::<()>(&app, "set_setting", json!({"key": "model", "value": model})).await;
        (app, model)
    }
}

/// Runs a command that works.
pub async fn call<T: DeserializeOwned>(app: &App, name: &str, arguments: Value) -> T {
    let result = app.call(name, arguments).await.unwrap_or_else(|error| panic!("{name}: {} {error}", error.code));
    serde_json::from_value(result).unwrap()
}

/// Runs a command that does not, and gives the code.
pub async fn refused(app: &App, name: &str, arguments: Value) -> String {
    app.call(name, arguments).await.unwrap_err().code.as_str().to_string()
}

/// Imports a file and waits until it is in the list.
pub async fn import(app: &App, file: &Path, copy: bool) -> ModelId {
    let chosen = app.offer(file, Purpose::Read).unwrap();
    let job = call(app, "import_model", json!({"chosen": chosen.id, "copy": copy})).await;
    let job = ended(app, job).await;
    assert_eq!(job.state, JobState::Done, "{:?}", job.error);
    serde_json::from_value(job.outcome.unwrap()["model"].clone()).unwrap()
}

/// Waits until a job is over.
pub async fn ended(app: &App, job: huacaya_app::rows::JobId) -> Job {
    let mut mirror = Mirror::new(app).await;
    let over = |state| !matches!(state, JobState::Waiting | JobState::Running);
    mirror.until(|mirror| mirror.jobs.get(&job.0).is_some_and(|job| over(job.state))).await;
    mirror.jobs.remove(&job.0).unwrap()
}

/// What a face keeps: rows, replaced and removed as the changes say.
pub struct Mirror {
    changes: Changes,
    pub chats: BTreeMap<i64, Chat>,
    pub models: BTreeMap<i64, Model>,
    pub jobs: BTreeMap<i64, Job>,
    pub reports: BTreeMap<i64, Report>,
    pub requests: BTreeMap<i64, Request>,
    pub settings: BTreeMap<String, Value>,
    pub messages: BTreeMap<i64, Message>,
    /// Text changes seen, as they came.
    pub pieces: Vec<(MessageId, bool, String)>,
}

impl Mirror {
    /// Begins with the snapshot, as a page does.
    pub async fn new(app: &App) -> Mirror {
        let mut mirror = Mirror {
            changes: app.subscribe(),
            chats: BTreeMap::new(),
            models: BTreeMap::new(),
            jobs: BTreeMap::new(),
            reports: BTreeMap::new(),
            requests: BTreeMap::new(),
            settings: BTreeMap::new(),
            messages: BTreeMap::new(),
            pieces: Vec::new(),
        };
        let first = mirror.changes.next().await.expect("the program goes on");
        assert!(matches!(first[0], Change::Snapshot(_)));
        first.into_iter().for_each(|change| mirror.apply(change));
        mirror
    }

    /// Reads changes until the mirror is as wanted.
    pub async fn until(&mut self, wanted: impl Fn(&Mirror) -> bool) {
        let work = async {
            while !wanted(self) {
                for change in self.changes.next().await.expect("the program goes on") {
                    self.apply(change);
                }
            }
        };
        tokio::time::timeout(PATIENCE, work).await.expect("in time");
    }

    /// Waits until an answer is over, and gives its row.
    pub async fn answer(&mut self, message: MessageId) -> Message {
        let over = |row: &Message| row.state != MessageState::Writing && row.body.is_some();
        self.until(|mirror| mirror.messages.get(&message.0).is_some_and(over)).await;
        self.messages[&message.0].clone()
    }

    /// Waits until an answer has at least so many bytes of text.
    pub async fn grown(&mut self, message: MessageId, bytes: usize) {
        self.until(|mirror| mirror.text(message).len() >= bytes).await;
    }

    pub fn text(&self, message: MessageId) -> String {
        self.messages
            .get(&message.0)
            .and_then(|row| row.body.as_ref())
            .map(|body| body.text.clone())
            .unwrap_or_default()
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Snapshot(all) => {
                self.chats = all.chats.into_iter().map(|row| (row.id.0, row)).collect();
                self.models = all.models.into_iter().map(|row| (row.id.0, row)).collect();
                self.jobs = all.jobs.into_iter().map(|row| (row.id.0, row)).collect();
                self.reports = all.reports.into_iter().map(|row| (row.id.0, row)).collect();
                self.requests = all.requests.into_iter().map(|row| (row.id.0, row)).collect();
                self.settings = all.settings.into_iter().map(|row| (row.key, row.value)).collect();
            }
            Change::Chat(row) => drop(self.chats.insert(row.id.0, row)),
            Change::Model(row) => drop(self.models.insert(row.id.0, row)),
            Change::Job(row) => drop(self.jobs.insert(row.id.0, row)),
            Change::Setting(row) => drop(self.settings.insert(row.key, row.value)),
            Change::Message(mut row) => {
                if row.body.is_none() {
                    row.body = self.messages.remove(&row.id.0).and_then(|old| old.body);
                }
                self.messages.insert(row.id.0, row);
            }
            Change::Opened { messages, .. } => {
                self.messages.extend(messages.into_iter().map(|row| (row.id.0, row)));
            }
            Change::Text { message, thought, piece } => {
                if let Some(row) = self.messages.get_mut(&message.0) {
                    let body = row.body.get_or_insert_with(Body::default);
                    if thought { body.thought.push_str(&piece) } else { body.text.push_str(&piece) }
                }
                self.pieces.push((message, thought, piece));
            }
            Change::Removed(key) => self.remove(key),
            Change::Report(row) => drop(self.reports.insert(row.id.0, row)),
            Change::Request(row) => drop(self.requests.insert(row.id.0, row)),
            Change::Folder(_) | Change::Persona(_) | Change::Draft(_) | Change::Reading { .. } => {}
        }
    }

    fn remove(&mut self, key: Key) {
        match key {
            Key::Chat(id) => drop(self.chats.remove(&id.0)),
            Key::Model(id) => drop(self.models.remove(&id.0)),
            Key::Job(id) => drop(self.jobs.remove(&id.0)),
            Key::Message(id) => drop(self.messages.remove(&id.0)),
            Key::Report(id) => drop(self.reports.remove(&id.0)),
            Key::Request(id) => drop(self.requests.remove(&id.0)),
            Key::Folder(_) | Key::Persona(_) | Key::Draft(_) => {}
        }
    }
}
