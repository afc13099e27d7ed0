//! Graphics drivers asked and tried in a process of their own: they crash and hang, and take nothing of ours with them.
//!
//! The child is the program itself, whose `main` calls [`graphics_child`] first. A program that does not (a test) asks the
//! drivers in its own process.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use huacaya_gpu::Adapter;

use crate::device::Available;

/// The child's first argument; then "list", or an adapter's number.
const CHILD: &str = "--huacaya-graphics-child";
/// Loading drivers and compiling some programs takes a second or two; on a slow disk some more.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Whether `main` offers the child's part.
static OFFERED: OnceLock<()> = OnceLock::new();

/// The child's part, where this process is one: `main` calls this before anything else, and is done where it says so.
pub fn graphics_child() -> bool {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(CHILD) {
        let _ = OFFERED.set(());
        return false;
    }
    let said = match arguments.next() {
        Some(index) if index != "list" => match index.parse().map(huacaya_gpu::trial) {
            Ok(Ok(())) => serde_json::json!({ "fine": true }),
            Ok(Err(error)) => serde_json::json!({ "fine": false, "reason": error.to_string() }),
            Err(_) => serde_json::json!({ "fine": false, "reason": "no such adapter" }),
        },
        _ => serde_json::json!(huacaya_gpu::adapters()),
    };
    println!("{said}");
    true
}

/// What the child says to this, or what became of it.
fn child(argument: &str) -> Result<String, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let started = Command::new(program)
        .args([CHILD, argument])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = started.map_err(|error| error.to_string())?;
    let until = Instant::now() + PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => break,
            Ok(Some(status)) => return Err(format!("the graphics driver broke off ({status})")),
            Ok(None) if Instant::now() < until => sleep(LOOK_EVERY),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("the graphics driver did not answer in {} s", PATIENCE.as_secs()));
            }
        }
    }
    let mut said = String::new();
    if let Some(mut output) = child.stdout.take() {
        output.read_to_string(&mut said).map_err(|error| error.to_string())?;
    }
    Ok(said)
}

/// Every adapter, or why the drivers could not be asked. Asked once: cards do not come and go.
pub(super) fn adapters() -> Result<Vec<Adapter>, String> {
    static FOUND: OnceLock<Result<Vec<Adapter>, String>> = OnceLock::new();
    let ask = || match OFFERED.get() {
        None => Ok(huacaya_gpu::adapters()),
        Some(()) => serde_json::from_str(&child("list")?).map_err(|error| error.to_string()),
    };
    FOUND.get_or_init(ask).clone()
}

/// Why an adapter is not to be trusted, if it is not. Each is tried once.
pub(super) fn trial(adapter: &Adapter) -> Result<(), String> {
    static TRIED: Mutex<Vec<(String, Result<(), String>)>> = Mutex::new(Vec::new());
    let identity = format!("{} {}", adapter.index, adapter.identity());
    let mut tried = TRIED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, verdict)) = tried.iter().find(|(of, _)| *of == identity) {
        return verdict.clone();
    }
    let verdict = match OFFERED.get() {
        None => huacaya_gpu::trial(adapter.index).map_err(|error| error.to_string()),
        Some(()) => child(&adapter.index.to_string()).and_then(|said| {
            let said: serde_json::Value = serde_json::from_str(&said).map_err(|error| error.to_string())?;
            match said["fine"].as_bool() {
                Some(true) => Ok(()),
                _ => Err(said["reason"].as_str().unwrap_or("the trial said nothing").to_owned()),
            }
        }),
    };
    tracing::info!(identity, ?verdict, "a graphics adapter was tried");
    tried.push((identity, verdict.clone()));
    verdict
}

/// Graphics adapters as devices, "gpu:0" and so on. Loads the drivers, in a process of their own: not for a program's start.
pub fn graphics_devices() -> Vec<Available> {
    let of = |adapter: &Adapter| Available {
        id: format!("gpu:{}", adapter.index),
        name: adapter.to_string(),
        available: adapter.lacks.is_none(),
        reason: adapter.lacks.as_ref().map(|what| format!("it lacks {what}")),
    };
    match adapters() {
        Ok(list) => list.iter().map(of).collect(),
        Err(reason) => {
            vec![Available {
                id: "gpu".to_owned(),
                name: "graphics cards".to_owned(),
                available: false,
                reason: Some(reason),
            }]
        }
    }
}
