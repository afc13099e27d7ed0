//! What loading a model takes: time and memory.

use std::fs;
use std::path::Path;
use std::time::Instant;

use huacaya_progress::Watch;

use crate::{LoadOptions, Model, Result};

/// The kernel's word for "set the highest resident size back to the present one".
const RESET_HIGHEST: &str = "5";

/// How a model was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loading {
    /// Time until the model could answer. A file that was read before is often in the system's cache and loads faster.
    pub ms: u64,
    pub peak: Option<Peak>,
}

/// Resident memory of this process, the mapped parts of model files included, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peak {
    pub before: u64,
    pub highest: u64,
}

impl Peak {
    /// What came on top, whatever in the process took it.
    pub fn grown(&self) -> u64 {
        self.highest.saturating_sub(self.before)
    }
}

/// Watches the highest resident memory from its start on. There is one such mark in a process: the last start counts.
#[derive(Clone, Copy, Debug)]
pub struct PeakMeter {
    before: Option<u64>,
}

impl PeakMeter {
    pub fn start() -> PeakMeter {
        let reset = fs::write("/proc/self/clear_refs", RESET_HIGHEST).is_ok();
        PeakMeter { before: status("VmRSS:").filter(|_| reset) }
    }

    /// `None` where the system does not tell: only Linux does.
    pub fn peak(&self) -> Option<Peak> {
        Some(Peak { before: self.before?, highest: status("VmHWM:")? })
    }
}

/// Loads a model and says what it took.
pub fn load(path: &Path, options: &LoadOptions, watch: Watch<'_>) -> Result<(Model, Loading)> {
    let meter = PeakMeter::start();
    let start = Instant::now();
    let model = Model::load(path, options, watch)?;
    Ok((model, Loading { ms: start.elapsed().as_millis() as u64, peak: meter.peak() }))
}

/// A line of the process's status that is in KiB.
fn status(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}
