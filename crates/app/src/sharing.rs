//! Quiet mode: whether models leave a core to the other programs, always or while those have something to do.

use std::{
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use huacaya_engine::Model;
use serde::{Deserialize, Serialize};
use sysinfo::{CpuRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System, get_current_pid};

use crate::app::{App, Inner};

/// The setting; absent: off.
pub(crate) const QUIET: &str = "compute_quiet";
/// A person who begins to type or to build something waits for so long at most until a core is free. A look takes
/// milliseconds.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// From so many cores' worth of others' work on, a core is left to them: what goes on unseen in the background takes less,
/// a page that is scrolled or a build takes more.
const BUSY_FROM: f32 = 0.3;
/// Below this, others are calm; the gap keeps it from going to and fro.
const CALM_BELOW: f32 = 0.15;
/// Looks that must find them calm: who reads what he has scrolled to will go on.
const CALM_LOOKS: u32 = 5;

/// When a core is left free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sharing {
    #[default]
    Off,
    On,
    /// While other programs compute.
    Automatic,
}

/// Decides by how much the others did between two looks.
#[derive(Debug, Default)]
struct Judge {
    quiet: bool,
    calm: u32,
}

impl Judge {
    /// `others`: cores' worth of time that other programs took since the last look. Whether a core is to be left free.
    fn look(&mut self, others: f32) -> bool {
        self.calm = if others < CALM_BELOW { self.calm + 1 } else { 0 };
        self.quiet = others >= BUSY_FROM || self.quiet && self.calm < CALM_LOOKS;
        self.quiet
    }
}

/// Sees how much other programs compute.
struct Observer {
    system: System,
    own: Pid,
    judge: Judge,
}

impl Observer {
    /// `None` where the system does not tell.
    fn new() -> Option<Observer> {
        let kinds = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing().with_usage());
        let mut observer = Observer {
            system: System::new_with_specifics(kinds).ok()?,
            own: get_current_pid().ok()?,
            judge: Judge::default(),
        };
        observer.others();
        Some(observer)
    }

    /// Cores' worth of time that other programs took since the last call. What this program's own children do (the window's
    /// page among them) is its own.
    fn others(&mut self) -> f32 {
        self.system.refresh_cpu_usage();
        let kinds = ProcessRefreshKind::nothing().with_cpu().without_tasks();
        self.system.refresh_processes_specifics(ProcessesToUpdate::All, true, kinds);
        let ours = self
            .system
            .processes()
            .iter()
            .filter(|(pid, process)| **pid == self.own || process.parent() == Some(self.own));
        let ours: f32 = ours.map(|(_, process)| process.cpu_usage()).sum();
        let all = self.system.global_cpu_usage() * self.system.cpus().len() as f32;
        ((all - ours) / 100.0).max(0.0)
    }

    fn look(&mut self) -> bool {
        let others = self.others();
        self.judge.look(others)
    }
}

impl App {
    /// When a core is left free.
    pub(crate) async fn sharing(&self) -> crate::Result<Sharing> {
        Ok(self.setting(QUIET).await?.unwrap_or_default())
    }

    /// Leaves a core free from now on, or takes it again: also for the models in memory.
    pub(crate) fn set_quiet(&self, quiet: bool) {
        for loaded in self.inner.place.all() {
            loaded.set_quiet(quiet);
        }
    }
}

/// Looks at the other programs while a model answers, where the person wants that, until the program ends.
pub(crate) async fn follow(app: Weak<Inner>) {
    let mut observer = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(inner) = app.upgrade().filter(|inner| !inner.closing()) else { return };
        let app = App { inner };
        if !app.sharing().await.is_ok_and(|sharing| sharing == Sharing::Automatic) {
            observer = None;
            continue;
        }
        if !app.busy() {
            continue;
        }
        let looked = tokio::task::spawn_blocking(move || {
            let mut observer = observer.or_else(Observer::new);
            let quiet = observer.as_mut().is_some_and(Observer::look);
            (observer, quiet)
        });
        let Ok((kept, quiet)) = looked.await else { return };
        observer = kept;
        app.set_quiet(quiet);
    }
}

/// As the setting says, for one model that is loaded without the library, for as long as it lives.
pub(crate) fn follow_alone(model: &Arc<Model>, sharing: Sharing) {
    model.set_quiet(sharing == Sharing::On);
    if sharing != Sharing::Automatic {
        return;
    }
    let model = Arc::downgrade(model);
    let work = move || {
        let Some(mut observer) = Observer::new() else { return };
        loop {
            thread::sleep(LOOK_EVERY);
            let Some(model) = model.upgrade() else { return };
            model.set_quiet(observer.look());
        }
    };
    if let Err(error) = thread::Builder::new().name("sharing".into()).spawn(work) {
        tracing::warn!(%error, "nobody looks at what other programs do");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(looks: &[f32]) -> Vec<bool> {
        let mut judge = Judge::default();
        looks.iter().map(|others| judge.look(*others)).collect()
    }

    #[test]
    fn a_core_is_left_at_once_and_taken_again_when_others_were_calm_for_a_while() {
        assert_eq!(judged(&[0.0, 0.1, 0.29]), [false; 3], "what goes on in the background is let pass");
        assert_eq!(judged(&[0.0, 0.3]), [false, true]);
        assert_eq!(judged(&[2.0, 0.0, 0.0, 0.0, 0.0, 0.0]), [true, true, true, true, true, false]);
        // Between the two bounds nothing changes, and calm is counted anew.
        assert_eq!(judged(&[1.0, 0.0, 0.0, 0.0, 0.0, 0.2, 0.0]), [true; 7]);
        assert_eq!(judged(&[0.2, 0.2, 0.2]), [false; 3]);
    }

    #[test]
    fn what_this_program_does_itself_is_not_others_work() {
        let mut observer = Observer::new().unwrap();
        let cores = observer.system.cpus().len() as f32;
        assert!((0.0..=cores).contains(&observer.others()));
    }
}
