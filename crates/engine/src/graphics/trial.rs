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

use super::DEVICE;
use super::trust::{Verdict, trust};
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
            Ok(Err(error)) => serde_json::json!({ "fine": false, "reason": error.to_string(), "lasts": lasts(&error) }),
            Err(_) => serde_json::json!({ "fine": false, "reason": "no such adapter" }),
        },
        _ => serde_json::json!(huacaya_gpu::adapters()),
    };
    println!("{said}");
    true
}

/// Whether a driver of the same version will do no better at the next start.
fn lasts(error: &huacaya_gpu::Error) -> bool {
    matches!(error, huacaya_gpu::Error::Wrong { .. } | huacaya_gpu::Error::Program { .. })
}

/// Why a child said nothing, and whether that will be so at the next start, too.
struct Silence {
    reason: String,
    lasts: bool,
}

/// What the child says to this, or what became of it.
fn child(argument: &str) -> Result<String, Silence> {
    let passing = |reason: String| Silence { reason, lasts: false };
    let program = std::env::current_exe().map_err(|error| passing(error.to_string()))?;
    let started = Command::new(program)
        .args([CHILD, argument])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = started.map_err(|error| passing(error.to_string()))?;
    let until = Instant::now() + PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => break,
            Ok(Some(status)) => {
                return Err(Silence { reason: format!("the graphics driver broke off ({status})"), lasts: true });
            }
            Ok(None) if Instant::now() < until => sleep(LOOK_EVERY),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(passing(format!("the graphics driver did not answer in {} s", PATIENCE.as_secs())));
            }
        }
    }
    let mut said = String::new();
    if let Some(mut output) = child.stdout.take() {
        output.read_to_string(&mut said).map_err(|error| passing(error.to_string()))?;
    }
    Ok(said)
}

/// Every adapter, or why the drivers could not be asked. Asked once: cards do not come and go.
pub(super) fn adapters() -> Result<Vec<Adapter>, String> {
    static FOUND: OnceLock<Result<Vec<Adapter>, String>> = OnceLock::new();
    let ask = || match OFFERED.get() {
        None => Ok(huacaya_gpu::adapters()),
        Some(()) => {
            let said = child("list").map_err(|silence| silence.reason)?;
            serde_json::from_str(&said).map_err(|error| error.to_string())
        }
    };
    FOUND.get_or_init(ask).clone()
}

/// Why an adapter is not to be trusted, if it is not. Each version of a driver is tried once.
pub(super) fn trial(adapter: &Adapter) -> Verdict {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let identity = adapter.identity();
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(verdict) = trust().verdict(&identity) {
        return verdict;
    }
    let (verdict, lasts) = match OFFERED.get() {
        None => match huacaya_gpu::trial(adapter.index) {
            Ok(()) => (Ok(()), true),
            Err(error) => (Err(error.to_string()), lasts(&error)),
        },
        Some(()) => match child(&adapter.index.to_string()) {
            Ok(said) => heard(&said),
            Err(Silence { reason, lasts }) => (Err(reason), lasts),
        },
    };
    tracing::info!(identity, ?verdict, "a graphics adapter was tried");
    trust().note(&identity, &verdict, lasts);
    verdict
}

/// What the child found out, and whether that lasts.
fn heard(said: &str) -> (Verdict, bool) {
    let said: serde_json::Value = serde_json::from_str(said).unwrap_or_default();
    match said["fine"].as_bool() {
        Some(true) => (Ok(()), true),
        _ => (
            Err(said["reason"].as_str().unwrap_or("the trial said nothing").to_owned()),
            said["lasts"].as_bool().unwrap_or(false),
        ),
    }
}

/// Graphics adapters as devices, each with its label: "gpu:vulkan NVIDIA GeForce RTX 3060". Loads the drivers, in a process
/// of their own: not for a program's start.
pub fn graphics_devices() -> Vec<Available> {
    let none = |reason: String| {
        vec![Available {
            id: DEVICE.to_owned(),
            name: "graphics cards".to_owned(),
            detail: String::new(),
            available: false,
            refused: false,
            reason: Some(reason),
        }]
    };
    if super::are_left_out() {
        return none(format!("{}=off leaves them out", super::GPU_VARIABLE));
    }
    trust().look_back();
    let of = |adapter: &Adapter| {
        let lacks = adapter.lacks.as_ref().map(|what| format!("it lacks {what}"));
        let refused = trust().verdict(&adapter.identity()).and_then(Result::err);
        Available {
            id: format!("{DEVICE}:{}", adapter.label()),
            name: adapter.title(),
            detail: adapter.detail(),
            available: lacks.is_none() && refused.is_none(),
            refused: lacks.is_none() && refused.is_some(),
            reason: lacks.or(refused),
        }
    };
    match adapters() {
        Ok(list) => list.iter().map(of).collect(),
        Err(reason) => none(reason),
    }
}
