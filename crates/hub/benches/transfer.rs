//! How fast one large file comes from loopback, beside curl and hf-hub in the same run: `cargo bench -p huacaya-hub`.
//!
//! Each contender runs in a process of its own; rounds are interleaved and begin with another contender each time. Said
//! are throughput from start to exit of the process, its CPU time and its peak of memory, as medians, and their ratios
//! to curl's. Our transfer always hashes, writes a journal and syncs; the others do none of it. What hashing alone
//! costs is measured apart: the same call for a file that is in its place already, which reads and hashes it.
//!
//! `BYTES` (2147483648), `ROUNDS` (5) and `FOLDER` (/dev/shm, so that the disk is not what is measured) set others.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use huacaya_hub::{FileSource, Hub, Network, Proxy, Wanted};
use huacaya_loopback::{Content, Loopback, RepositorySpec};
use huacaya_progress::unwatched;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const CONTENDERS: [&str; 4] = ["curl", "huacaya", "hf-hub", "hashing"];
/// Names the contender that a started process is.
const ROLE: &str = "TRANSFER_CONTENDER";
/// Kernel clock ticks of `/proc/*/stat` a second, on every Linux.
const TICKS: f64 = 100.0;
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Targets of the issue: throughput, CPU with hashing and without, as ratios to curl's; memory in MB.
const THROUGHPUT_MIN: f64 = 0.95;
const CPU_MAX: f64 = 1.5;
const CPU_UNHASHED_MAX: f64 = 1.3;
const MEMORY_MAX: f64 = 200.0;

fn main() -> ExitCode {
    let outcome = match env::var(ROLE) {
        Ok(role) => contend(&role),
        // `cargo test --benches` runs benches too.
        Err(_) if env::args().any(|argument| argument == "--bench") => compare(),
        Err(_) => Ok(()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// One contender's whole work: its process ends with it.
#[tokio::main]
async fn contend(role: &str) -> Outcome<()> {
    let place = PathBuf::from(env::var("PLACE")?);
    match role {
        "huacaya" | "hashing" => {
            let wanted = Wanted {
                sources: vec![FileSource { url: env::var("ADDRESS")?.parse()?, etag: None }],
                place,
                bytes: Some(env::var("SIZE")?.parse()?),
                sha256: Some(env::var("SHA256")?),
            };
            let hub = Hub::new(Network { proxy: Proxy::None, ..Network::default() })?;
            let fetched = hub.fetch(&wanted, &mut unwatched()).await?;
            if (role == "hashing") != (fetched.received == 0) {
                return Err(format!("{role} fetched {} bytes", fetched.received).into());
            }
        }
        "hf-hub" => {
            let cache = place.with_extension("cache");
            let client = hf_hub::HFClient::builder().endpoint(env::var("ENDPOINT")?).cache_dir(cache).build()?;
            client.model("team", "model").download_file().filename("model.gguf").send().await?;
        }
        _ => return Err(format!("there is no contender {role}").into()),
    }
    Ok(())
}

/// What one run took.
#[derive(Clone, Copy)]
struct Cost {
    seconds: f64,
    cpu: f64,
    megabytes: f64,
}

fn compare() -> Outcome<()> {
    let number = |name: &str, or: u64| env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(or);
    let (bytes, rounds) = (number("BYTES", 2 << 30), number("ROUNDS", 5) as usize);
    let shared = if Path::new("/dev/shm").is_dir() { PathBuf::from("/dev/shm") } else { env::temp_dir() };
    let folder = env::var("FOLDER").map_or(shared, PathBuf::from).join(format!("huacaya-bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let outcome = rounds_in(&folder, bytes, rounds);
    fs::remove_dir_all(&folder)?;
    outcome
}

fn rounds_in(folder: &Path, bytes: u64, rounds: usize) -> Outcome<()> {
    let loopback = Loopback::start();
    let content = Content::seeded(1, bytes);
    let sha256 = content.sha256();
    loopback.add(RepositorySpec::new("team/model").file("model.gguf", content));
    println!("{} | {} | {bytes} bytes, {rounds} rounds, in {}", machine(), load(), folder.display());
    let mut costs = vec![Vec::new(); CONTENDERS.len()];
    for round in 0..rounds {
        for turn in 0..CONTENDERS.len() {
            let which = (round + turn) % CONTENDERS.len();
            let role = CONTENDERS[which];
            let place = folder.join(if role == "hashing" { "whole.gguf".into() } else { format!("{role}.gguf") });
            if role == "hashing" && !place.exists() {
                run(&mut fetch("curl", &loopback, &place, bytes, &sha256)?)?;
            }
            let cost = run(&mut fetch(role, &loopback, &place, bytes, &sha256)?)?;
            let got = if role == "hf-hub" { found(&place.with_extension("cache"))? } else { place.clone() };
            if Content::file(&got)?.len() != bytes {
                return Err(format!("{role} brought another size").into());
            }
            costs[which].push(cost);
            if role != "hashing" {
                clear(folder, role)?;
            }
        }
    }
    judge(bytes, &costs);
    Ok(())
}

/// The process of a contender, not yet started.
fn fetch(role: &str, loopback: &Loopback, place: &Path, bytes: u64, sha256: &str) -> Outcome<Command> {
    let address = loopback.file_url("team/model", "model.gguf");
    let mut command = if role == "curl" {
        let mut curl = Command::new("curl");
        curl.args(["-sSfL", "--noproxy", "*", "-o"]).arg(place).arg(&address);
        curl
    } else {
        let mut own = Command::new(env::current_exe()?);
        own.env(ROLE, role).env("ADDRESS", &address).env("ENDPOINT", loopback.url()).env("PLACE", place);
        own.env("SIZE", bytes.to_string()).env("SHA256", sha256).env("NO_PROXY", "*");
        own
    };
    command.stdout(Stdio::null());
    Ok(command)
}

/// Runs a process and watches it; its CPU time is read when it has ended and before it is gone.
fn run(command: &mut Command) -> Outcome<Cost> {
    let began = Instant::now();
    let mut child = command.spawn()?;
    let mut peak = 0.0;
    let (seconds, cpu) = loop {
        let stat = stat(&child)?;
        if stat.ended {
            break (began.elapsed().as_secs_f64(), stat.cpu);
        }
        peak = f64::max(peak, peak_megabytes(&child).unwrap_or(0.0));
        thread::sleep(LOOK_EVERY);
    };
    let status = child.wait()?;
    if !status.success() {
        return Err(format!("{command:?}: {status}").into());
    }
    Ok(Cost { seconds, cpu, megabytes: peak })
}

struct Stat {
    ended: bool,
    cpu: f64,
}

/// State and CPU time (user and system) from `/proc/*/stat`: fields 3, 14 and 15, after the name in brackets.
fn stat(child: &Child) -> Outcome<Stat> {
    let text = fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(0.0);
    Ok(Stat { ended: fields.first() == Some(&"Z"), cpu: (ticks(11) + ticks(12)) / TICKS })
}

fn peak_megabytes(child: &Child) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1000.0)
}

/// The one blob of hf-hub's cache.
fn found(cache: &Path) -> Outcome<PathBuf> {
    let blobs = cache.join("models--team--model/blobs");
    let entry = fs::read_dir(blobs)?.next().ok_or("hf-hub left no blob")??;
    Ok(entry.path())
}

fn clear(folder: &Path, role: &str) -> Outcome<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let own = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(role));
        match (own, path.is_dir()) {
            (true, true) => fs::remove_dir_all(path)?,
            (true, false) => fs::remove_file(path)?,
            _ => {}
        }
    }
    Ok(())
}

fn median(costs: &[Cost], of: impl Fn(&Cost) -> f64) -> f64 {
    let mut values: Vec<f64> = costs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn judge(bytes: u64, costs: &[Vec<Cost>]) {
    let speed = |costs: &[Cost]| median(costs, |cost| bytes as f64 / 1e6 / cost.seconds);
    let cpu = |costs: &[Cost]| median(costs, |cost| cost.cpu);
    let memory = |costs: &[Cost]| median(costs, |cost| cost.megabytes);
    println!("{:8} {:>8} {:>7} {:>8} {:>7} {:>8}", "", "MB/s", "x curl", "CPU s", "x curl", "peak MB");
    for (name, own) in CONTENDERS.iter().zip(costs) {
        let (fast, busy) = (speed(own) / speed(&costs[0]), cpu(own) / cpu(&costs[0]));
        println!("{name:8} {:8.0} {fast:7.2} {:8.2} {busy:7.2} {:8.1}", speed(own), cpu(own), memory(own));
    }
    let (curl, ours, hashing) = (&costs[0], &costs[1], &costs[3]);
    let unhashed = (cpu(ours) - cpu(hashing)) / cpu(curl);
    let say = |what: &str, value: f64, met: bool, target: f64| {
        println!("{what}: {value:.2} (target {target}) {}", if met { "met" } else { "MISSED" });
    };
    let (fast, busy) = (speed(ours) / speed(curl), cpu(ours) / cpu(curl));
    say("throughput to curl's", fast, fast >= THROUGHPUT_MIN, THROUGHPUT_MIN);
    say("CPU with hashing to curl's", busy, busy <= CPU_MAX, CPU_MAX);
    say("CPU less the hashing's to curl's", unhashed, unhashed <= CPU_UNHASHED_MAX, CPU_UNHASHED_MAX);
    say("peak memory, MB", memory(ours), memory(ours) < MEMORY_MAX, MEMORY_MAX);
}

fn machine() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let cores = thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cores} cores", name.trim_start_matches([' ', '\t', ':']))
}

fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("load {}", text.split_whitespace().next().unwrap_or("unknown"))
}
