//! The program as one value: started, watched, asked whether it is busy, shut down.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use huacaya_engine::Engine;
use huacaya_store::{Change, ModelState, Repair, Store, Subscription};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    answer::Answers,
    browse::Listed,
    chosen::ChosenPaths,
    computing::Here,
    error::{Code, Error, Result},
    jobs::Jobs,
    loading::{self, Place},
    log,
    network::{self, Line},
    places::Places,
    serving,
    settings::NOTICE,
    sharing,
    storage::{self, Storage},
};

/// A frame of the screen: changes that come faster are sent together.
const FRAME: Duration = Duration::from_millis(16);
/// What a person will wait for a closing program.
const SHUT_DOWN_MAX: Duration = Duration::from_secs(5);
/// A model of this size is in memory before the person has found the first key.
const PRELOAD_BYTES_MAX: u64 = 64 << 20;

/// The program behind every face. Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) places: Places,
    pub(crate) store: Store,
    pub(crate) engine: Engine,
    pub(crate) runtime: Handle,
    pub(crate) place: Place,
    pub(crate) answers: Answers,
    pub(crate) jobs: Jobs,
    pub(crate) chosen: ChosenPaths,
    pub(crate) listed: Listed,
    pub(crate) storage: Storage,
    pub(crate) line: Line,
    pub(crate) serving: serving::Serving,
    pub(crate) here: OnceLock<Here>,
    closing: AtomicBool,
}

impl Inner {
    /// Nothing new is begun any more.
    pub(crate) fn closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }
}

impl App {
    /// Opens the data folder, and makes it at the first start; goes on with what an earlier run left and brings a small
    /// default model into memory.
    pub async fn start(places: Places) -> Result<App> {
        let app = App::open(places).await?;
        app.go_on().await?;
        Ok(app)
    }

    /// What a program that a person looks at does beside its commands, once [`App::open`] has opened the folder.
    pub async fn go_on(&self) -> Result<()> {
        let left = self.inner.store.snapshot().await?.jobs;
        self.tidy_deleted().await?;
        self.look_after_models().await?;
        self.tidy_jobs(left).await?;
        let changes = self.inner.store.subscribe().await?;
        self.inner.runtime.spawn(network::follow_settings(Arc::downgrade(&self.inner), changes));
        let line = self.clone();
        self.inner.runtime.spawn(async move {
            if let Err(error) = line.read_tokens().await {
                tracing::error!(%error, "the tokens could not be read");
            }
        });
        if let Err(error) = self.preload().await {
            // A storage folder that is being moved, or is not plugged in: the first answer waits a little longer.
            tracing::warn!(%error, "the default model is not loaded ahead");
        }
        let scanning = self.clone();
        self.inner.runtime.spawn(async move {
            match scanning.scan_models().await {
                Ok(scan) => tracing::info!(added = scan.added, refused = scan.problems.len(), "the models folder"),
                Err(error) => tracing::warn!(%error, "the models folder could not be looked through"),
            }
        });
        Ok(())
    }

    /// Opens the data folder, and makes it at the first start: the bundled model is then in the list.
    pub async fn open(places: Places) -> Result<App> {
        places.prepare()?;
        if let Err(error) = log::start(&places.logs()) {
            eprintln!("{}: no log is written: {error}", places.logs().display());
        }
        tracing::info!(version = crate::VERSION, "start");
        huacaya_engine::remember_graphics_in(places.home());
        let opened = Store::open(places.home()).await?;
        let storage = storage::find(&opened.store, &places).await?;
        let line = Line::open(&opened.store, places.home()).await?;
        let engine = Engine::start().map_err(|error| Error::internal(error.to_string()))?;
        let inner = Inner {
            places,
            store: opened.store,
            engine,
            runtime: Handle::current(),
            place: Place::default(),
            answers: Answers::default(),
            jobs: Jobs::new(),
            chosen: ChosenPaths::default(),
            listed: Listed::default(),
            line,
            serving: serving::Serving::default(),
            here: OnceLock::new(),
            storage: Storage::new(storage),
            closing: AtomicBool::new(false),
        };
        let app = App { inner: Arc::new(inner) };
        app.inner.runtime.spawn(network::keep_written(Arc::downgrade(&app.inner)));
        app.inner.runtime.spawn(loading::forget_unused(Arc::downgrade(&app.inner)));
        app.inner.runtime.spawn(sharing::follow(Arc::downgrade(&app.inner)));
        if let Some(repair) = opened.repaired {
            app.tell_repair(&repair).await?;
        }
        if let Err(error) = app.provide_demo().await {
            // Without it the program is as useful as its other models; the list shows what there is.
            tracing::error!(%error, "the bundled model could not be provided");
        }
        Ok(app)
    }

    /// The person learns from a setting that the database had to be mended.
    async fn tell_repair(&self, repair: &Repair) -> Result<()> {
        let aside = repair.set_aside.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        tracing::error!(detail = repair.detail, aside, "the database was damaged");
        let backup = repair.backup_ms.map(|time| time.to_string()).unwrap_or_default();
        let problem = Error::new(Code::DatabaseDamaged, repair.detail.clone())
            .with("aside", aside)
            .with("backup", backup)
            .problem();
        let value = serde_json::to_value(problem).map_err(Error::internal)?;
        Ok(self.inner.store.set_setting(NOTICE, value).await?)
    }

    /// A small default model is loaded at once, so that the first answer need not wait.
    async fn preload(&self) -> Result<()> {
        let Ok(default) = self.default_model().await else { return Ok(()) };
        let model = self.inner.store.model(default).await?;
        if model.file_bytes <= PRELOAD_BYTES_MAX && model.state == ModelState::Ready {
            self.load_model(default, None, None, false).await?;
        }
        Ok(())
    }

    /// Every change from now on, a snapshot first, gathered to a frame.
    pub fn subscribe(&self) -> Changes {
        Changes { store: self.inner.store.clone(), subscription: None, next: Instant::now() }
    }

    /// Whether an answer is being written, for the window or a program, or a job runs.
    pub fn busy(&self) -> bool {
        self.inner.answers.busy() || self.inner.jobs.busy() || self.inner.serving.busy()
    }

    /// Where its data lives.
    pub fn places(&self) -> &Places {
        &self.inner.places
    }

    /// Stops what runs, saves it and lets go of the data folder. Answers can be continued at the next start.
    pub async fn shut_down(&self) {
        if self.inner.closing.swap(true, Ordering::AcqRel) {
            return;
        }
        self.inner.answers.close();
        self.inner.jobs.close();
        self.inner.serving.close();
        let until = Instant::now() + SHUT_DOWN_MAX;
        while (self.busy() || self.inner.jobs.has_threads()) && Instant::now() < until {
            sleep(Duration::from_millis(10)).await;
        }
        self.inner.line.write_down(&self.inner.store).await;
        self.inner.store.close().await;
        huacaya_engine::leave_graphics();
        tracing::info!("end");
    }
}

/// A stream of changes.
pub struct Changes {
    store: Store,
    subscription: Option<Subscription>,
    next: Instant,
}

impl Changes {
    /// Waits for changes; `None`: the program has been shut down.
    pub async fn next(&mut self) -> Option<Vec<Change>> {
        sleep_until(self.next).await;
        let subscription = match &mut self.subscription {
            Some(subscription) => subscription,
            empty => match self.store.subscribe().await {
                Ok(subscription) => empty.insert(subscription),
                Err(error) => {
                    tracing::error!(%error, "no stream of changes");
                    return None;
                }
            },
        };
        let changes = subscription.next().await;
        self.next = Instant::now() + FRAME;
        changes
    }
}
