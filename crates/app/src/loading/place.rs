//! The models in memory: who uses each, and which may leave.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use huacaya_engine::Adapter;
use huacaya_store::{ModelFile, ModelId};
use tokio::sync::{OwnedRwLockReadGuard, RwLock, watch};

use super::{Asked, Terms};

/// On Linux the pages of a mapped file count as memory that programs could take, whether a model needs them or not.
const MAPPED_COUNTS_AS_FREE: bool = cfg!(target_os = "linux");

/// A model in memory, and what it was loaded from.
#[derive(Clone)]
pub struct Loaded {
    pub id: ModelId,
    pub model: Arc<huacaya_engine::Model>,
    pub(super) terms: Terms,
    /// What was asked for when it was loaded.
    pub(super) asked: Asked,
    pub(super) draft: Option<Draft>,
    pub(super) adapters: Adapters,
}

/// A smaller model in memory that guesses ahead for another, and leaves with it.
#[derive(Clone)]
pub struct Draft {
    pub(crate) name: String,
    pub(crate) sha256: Option<String>,
    pub(crate) model: Arc<huacaya_engine::Model>,
}

impl Loaded {
    /// Leaves a core free, or takes it again.
    pub(crate) fn set_quiet(&self, quiet: bool) {
        self.model.set_quiet(quiet);
        self.draft.iter().for_each(|draft| draft.model.set_quiet(quiet));
    }

    /// Bytes of the weights, the draft's among them.
    fn weights(&self) -> u64 {
        self.model.memory().weights + self.draft.as_ref().map_or(0, |draft| draft.model.memory().weights)
    }
}

/// The adapters that were read for a model in memory, with the files that they were read from.
pub(super) type Adapters = Arc<Mutex<HashMap<ModelId, (ModelFile, Arc<Adapter>)>>>;

/// Who asks for a model. The window has one at a time; programs have as many as the memory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Window,
    Programs,
}

/// A hold on a model in memory: while it lives, nothing replaces it.
pub struct Lease {
    pub model: Arc<huacaya_engine::Model>,
    /// The model that guesses ahead for it.
    pub(crate) draft: Option<Draft>,
    pub(super) adapters: Adapters,
    usage: Arc<Usage>,
    _hold: OwnedRwLockReadGuard<()>,
}

/// Who else knows this one uses the model.
struct Usage {
    last: Mutex<Instant>,
    /// Whether the person wants the model out of the memory.
    cut: watch::Sender<bool>,
}

impl Lease {
    /// Becomes true when the person takes the model out of the memory: who goes on keeps it from leaving.
    pub(crate) fn cut(&self) -> watch::Receiver<bool> {
        self.usage.cut.subscribe()
    }

    pub(super) fn adapters(&self) -> MutexGuard<'_, HashMap<ModelId, (ModelFile, Arc<Adapter>)>> {
        lock(&self.adapters)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        *lock(&self.usage.last) = Instant::now();
    }
}

struct Slot {
    loaded: Loaded,
    usage: Arc<Usage>,
    /// The window's model.
    window: bool,
    /// Programs asked for it.
    programs: bool,
    /// Nobody new gets it; it goes as soon as nobody uses it.
    leaving: bool,
}

impl Slot {
    fn in_use(&self) -> bool {
        Arc::strong_count(&self.usage) > 1
    }

    fn last(&self) -> Instant {
        *lock(&self.usage.last)
    }

    fn weights(&self) -> u64 {
        self.loaded.weights()
    }

    /// Bytes that are counted as free but needed, while it stays. Those on a graphics card are not among them.
    fn reserves(&self) -> u64 {
        match self.loaded.model.backend_name() {
            "native" if MAPPED_COUNTS_AS_FREE => self.weights(),
            _ => 0,
        }
    }

    /// Bytes that become free when it goes.
    fn gives_back(&self) -> u64 {
        match self.loaded.model.backend_name() {
            "native" if MAPPED_COUNTS_AS_FREE => 0,
            "gpu" => 0,
            _ => self.weights(),
        }
    }
}

/// The place for models.
#[derive(Default)]
pub(crate) struct Place {
    /// Read by who answers or loads, written by who wants the whole memory.
    pub(super) hold: Arc<RwLock<()>>,
    /// Answers that wait for the same model have it loaded once.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// One comes or goes at a time: each sees the memory that the one before left.
    pub(super) coming: Arc<tokio::sync::Mutex<()>>,
    slots: Mutex<Vec<Slot>>,
    /// Models that programs wait for.
    asked: Mutex<Vec<ModelId>>,
}

/// While it lives, a program waits for this model.
pub(super) struct Waiting<'a>(&'a Place, ModelId);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut asked = lock(&self.0.asked);
        if let Some(place) = asked.iter().position(|id| *id == self.1) {
            asked.swap_remove(place);
        }
    }
}

/// While it lives, models are asked to leave; those that are still there when it goes may stay.
pub(super) struct Leaving<'a>(&'a Place);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.slots().iter_mut().for_each(|slot| slot.leaving = false);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Place {
    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        lock(&self.slots)
    }

    /// This model, where it is in memory, for a look at its words and its template.
    pub(crate) fn of(&self, id: ModelId) -> Option<Loaded> {
        self.slots().iter().find(|slot| slot.loaded.id == id).map(|slot| slot.loaded.clone())
    }

    /// All that are in memory.
    pub(crate) fn all(&self) -> Vec<Loaded> {
        self.slots().iter().map(|slot| slot.loaded.clone()).collect()
    }

    /// The model that the window used last.
    pub(crate) fn of_window(&self) -> Option<Loaded> {
        let slots = self.slots();
        slots.iter().filter(|slot| slot.window).max_by_key(|slot| slot.last()).map(|slot| slot.loaded.clone())
    }

    /// What all models would give back, in bytes.
    pub(super) fn held(&self) -> u64 {
        self.slots().iter().map(Slot::gives_back).sum()
    }

    /// Bytes for a new model out of `free` when those that are asked to leave are gone.
    pub(super) fn room(&self, free: u64) -> u64 {
        let slots = self.slots();
        let back: u64 = slots.iter().filter(|slot| slot.leaving).map(Slot::gives_back).sum();
        let reserved: u64 = slots.iter().filter(|slot| !slot.leaving).map(Slot::reserves).sum();
        (free + back).saturating_sub(reserved)
    }

    /// A hold on the first model that serves, for `side`.
    pub(super) fn lease(
        &self,
        hold: OwnedRwLockReadGuard<()>,
        side: Side,
        serves: impl Fn(&Loaded) -> bool,
    ) -> Option<Lease> {
        let mut slots = self.slots();
        let slot = slots.iter_mut().find(|slot| !slot.leaving && serves(&slot.loaded))?;
        slot.programs |= side == Side::Programs;
        slot.window |= side == Side::Window;
        let Loaded { model, draft, adapters, .. } = slot.loaded.clone();
        Some(Lease { model, draft, adapters, usage: slot.usage.clone(), _hold: hold })
    }

    /// Whether a model that serves is there; it is the window's from now on, where the window asks.
    pub(super) fn has(&self, side: Side, serves: impl Fn(&Loaded) -> bool) -> bool {
        let mut slots = self.slots();
        let Some(slot) = slots.iter_mut().find(|slot| serves(&slot.loaded)) else { return false };
        slot.window |= side == Side::Window;
        true
    }

    pub(super) fn add(&self, loaded: Loaded, side: Side) {
        let usage = Usage { last: Mutex::new(Instant::now()), cut: watch::Sender::new(false) };
        let (window, programs) = (side == Side::Window, side == Side::Programs);
        self.slots().push(Slot { loaded, usage: Arc::new(usage), window, programs, leaving: false });
    }

    pub(super) fn wait_for(&self, id: ModelId) -> Waiting<'_> {
        lock(&self.asked).push(id);
        Waiting(self, id)
    }

    /// For whom a model is loaded now.
    pub(super) fn side_of(&self, id: ModelId) -> Side {
        if lock(&self.asked).contains(&id) { Side::Programs } else { Side::Window }
    }

    /// Asks what `id` replaces to leave: the same model loaded otherwise, and for the window the one that it had. One that
    /// programs use too is theirs alone from now on.
    pub(super) fn make_way(&self, id: ModelId, side: Side) -> Leaving<'_> {
        for slot in self.slots().iter_mut() {
            let others = slot.loaded.id != id;
            if others && side == Side::Window {
                slot.leaving = slot.window && !slot.programs;
                slot.window = slot.leaving;
            }
            slot.leaving |= !others;
        }
        Leaving(self)
    }

    /// Asks one model to leave, and those who use it to end.
    pub(super) fn cut(&self, id: ModelId) -> Leaving<'_> {
        for slot in self.slots().iter_mut().filter(|slot| slot.loaded.id == id) {
            slot.leaving = true;
            slot.usage.cut.send_replace(true);
        }
        Leaving(self)
    }

    /// Asks the one that nobody used for the longest time to leave; where all are in use and `even_used`, one of those.
    /// False where there is none.
    pub(super) fn ask_longest_unused(&self, even_used: bool) -> bool {
        let mut slots = self.slots();
        let others = slots.iter_mut().filter(|slot| !slot.leaving && (even_used || !slot.in_use()));
        let Some(oldest) = others.min_by_key(|slot| (slot.in_use(), slot.last())) else { return false };
        oldest.leaving = true;
        true
    }

    /// Takes out what was asked to leave; `None` while one of them is in use.
    pub(super) fn take_leaving(&self) -> Option<Vec<Loaded>> {
        let mut slots = self.slots();
        if slots.iter().any(|slot| slot.leaving && slot.in_use()) {
            return None;
        }
        Some(slots.extract_if(.., |slot| slot.leaving).map(|slot| slot.loaded).collect())
    }

    /// Takes out what programs have not used for so long by `now`, one model or all. The window's model stays, as the
    /// window's alone.
    pub(super) fn take_unused(&self, only: Option<ModelId>, now: Instant, long: Duration) -> Vec<Loaded> {
        let mut slots = self.slots();
        for slot in slots.iter_mut().filter(|slot| only.is_none_or(|id| slot.loaded.id == id)) {
            let unused = !slot.in_use() && now.saturating_duration_since(slot.last()) >= long;
            slot.programs &= !unused;
        }
        slots.extract_if(.., |slot| !slot.programs && !slot.window).map(|slot| slot.loaded).collect()
    }

    /// Takes all out, for who holds the place alone.
    pub(super) fn take_all(&self) -> Vec<Loaded> {
        self.slots().drain(..).map(|slot| slot.loaded).collect()
    }
}
