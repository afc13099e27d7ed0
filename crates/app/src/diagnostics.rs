//! What to copy into a report.

use std::fmt::Write;

use serde::Serialize;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};
use ts_rs::TS;

use crate::{
    App, VERSION,
    computing::{self, ComputingNow, Why},
    devices::{self, Device},
    error::Result,
    log,
    places::Places,
};

/// No message text, no secrets.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Diagnostics {
    pub version: String,
    pub system: String,
    pub processor: String,
    pub cores: u32,
    pub memory_bytes: u64,
    pub memory_free_bytes: u64,
    pub devices: Vec<Device>,
    /// Names of the instruction sets that models can be computed with, the best first.
    pub instruction_sets: Vec<String>,
    pub computing: ComputingNow,
    /// The data folder.
    pub home: String,
    pub models: String,
    pub log: String,
    /// The last lines of the log.
    pub log_tail: String,
    /// All of it, to copy.
    pub text: String,
}

impl App {
    pub(crate) async fn diagnostics(&self) -> Result<Diagnostics> {
        let places = self.inner.places.clone();
        let storage = self.storage();
        let now = self.computing_now().await?;
        crate::blocking(move || Ok(gather(&places, &storage, now))).await
    }
}

fn gather(places: &Places, storage: &std::path::Path, computing: ComputingNow) -> Diagnostics {
    let kinds = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()).with_memory(MemoryRefreshKind::everything());
    // What the system does not tell is left out of the report.
    let machine = System::new_with_specifics(kinds).ok();
    let cpus = machine.as_ref().map(|machine| machine.cpus()).unwrap_or_default();
    let mut found = Diagnostics {
        version: VERSION.to_string(),
        system: System::long_os_version().unwrap_or_else(|_| std::env::consts::OS.to_string()),
        processor: cpus.first().map(|cpu| cpu.brand().trim().to_string()).unwrap_or_default(),
        cores: cpus.len() as u32,
        memory_bytes: machine.as_ref().map_or(0, System::total_memory),
        memory_free_bytes: machine.as_ref().map_or(0, System::available_memory),
        devices: devices::with_adapters(),
        instruction_sets: computing::instruction_sets(),
        computing,
        home: places.home().display().to_string(),
        models: storage.display().to_string(),
        log: log::path(&places.logs()).display().to_string(),
        log_tail: log::tail(&places.logs()),
        text: String::new(),
    };
    found.text = report(&found);
    found
}

fn report(found: &Diagnostics) -> String {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let mut text = format!(
        "Huacaya {} ({})\n{}\n{}, {} cores\nmemory: {:.1} GiB, {:.1} free\n",
        found.version,
        std::env::consts::ARCH,
        found.system,
        found.processor,
        found.cores,
        gib(found.memory_bytes),
        gib(found.memory_free_bytes),
    );
    // Writing into a string cannot fail.
    let _ = writeln!(text, "instruction sets: {}", found.instruction_sets.join(" "));
    let _ = writeln!(text, "computing: {}", described(&found.computing));
    for device in &found.devices {
        let state = if device.available { "available" } else { device.reason.as_deref().unwrap_or("not available") };
        let about = [&device.name, &device.detail].map(String::as_str);
        let about = about.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "{} ({about}): {state}", device.id);
    }
    let _ = write!(text, "data: {}\nmodels: {}\nlog: {}\n\n{}", found.home, found.models, found.log, found.log_tail);
    text
}

/// "native, kernels avx2 (forced by the environment), 8 threads; …"
fn described(now: &ComputingNow) -> String {
    let because = |why: Why| match why {
        Why::Environment => " (forced by the environment)",
        Why::Setting => " (set)",
        Why::Measured => " (measured)",
        Why::Usual => "",
    };
    let mut words = format!("{}{}", now.backend, because(now.backend_why));
    // Writing into a string cannot fail.
    if let Some(kernels) = &now.kernels {
        let _ = write!(words, ", kernels {kernels}{}", because(now.kernels_why));
    }
    if let Some(threads) = now.threads {
        let _ = write!(words, ", {threads} threads{}", because(now.threads_why));
    }
    if let Some(reason) = &now.reason {
        let _ = write!(words, "; {reason}");
    }
    words
}
