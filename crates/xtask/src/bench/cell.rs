//! One figure: what is measured, on which model, and the programs that measure it.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Peak memory is read off a running program this often.
const LOOK: Duration = Duration::from_millis(10);
/// Where attention's part of the time is seen.
pub const DEEP: usize = 4000;
/// Tokens that are written there; a context of 4,096 holds no more behind a short prompt.
const DEEP_TOKENS: usize = 32;
/// Tokens that are written of a text that repeats itself.
const REPEATED: usize = 128;
/// Where the text begins to go in circles: all that comes after the first of them was said before, and is guessed right. The
/// most that guessing can gain on a step's time.
const REPETITION: &str = "w5 w6";

/// What the sides are called in the table and in the file of figures.
pub const OURS: &str = "huacaya";
pub const THEIRS: &str = "llama.cpp";
pub const PLAIN: &str = "huacaya, plain";
/// Bytes that are read from memory in a second, in GB: a figure that has one side only.
pub const BANDWIDTH: &str = "read bandwidth, GB/s";
const MACHINE: &str = "machine";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Tokens a second of a prompt.
    Prefill(usize),
    /// Tokens a second that are written behind `depth` tokens.
    Decode { depth: usize, tokens: usize },
    /// Milliseconds from the start of the program to the first token after a prompt of 16, the program's end included.
    First,
    /// Tokens a second of a text that repeats itself, with guessing ahead and without it.
    Repetition,
}

/// One figure of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    pub size: &'static str,
    pub format: &'static str,
    pub what: What,
    /// 0: all cores.
    pub threads: usize,
    /// Beside one busy process for each core.
    pub busy: bool,
}

impl Cell {
    /// All figures of a model.
    pub fn of(size: &'static str, format: &'static str, full: bool) -> Vec<Cell> {
        let cell = |what, threads, busy| Cell { size, format, what, threads, busy };
        let write = |tokens| What::Decode { depth: 0, tokens };
        if size == "7b" {
            return vec![cell(What::Prefill(512), 0, false), cell(write(64), 0, false)];
        }
        let deep = What::Decode { depth: DEEP, tokens: DEEP_TOKENS };
        let mut list = [What::Prefill(512), write(128), deep, What::First].map(|what| cell(what, 0, false)).to_vec();
        if full {
            list.extend([What::Prefill(64), What::Prefill(2048)].map(|what| cell(what, 0, false)));
            list.extend([cell(What::Prefill(512), 1, false), cell(write(128), 1, false), cell(write(128), 0, true)]);
        }
        list.push(cell(What::Repetition, 0, false));
        list
    }

    /// The same figure beside programs that keep the cores busy, or without them.
    pub fn busy(&self, busy: bool) -> Cell {
        Cell { busy, ..self.clone() }
    }

    /// The same figure at the start of a text.
    pub fn shallow(&self) -> Cell {
        Cell { what: What::Decode { depth: 0, tokens: 128 }, ..self.clone() }
    }

    /// Tokens that are in memory at the most.
    pub fn tokens(&self) -> usize {
        match self.what {
            What::Prefill(tokens) => tokens,
            What::Decode { depth, tokens } => depth + tokens,
            What::First => 17,
            What::Repetition => 16 + REPEATED,
        }
    }

    /// Names it in the file of figures and in the table.
    pub fn name(&self) -> String {
        let what = match self.what {
            What::Prefill(tokens) => format!("prefill {tokens}"),
            What::Decode { depth: 0, tokens } => format!("decode {tokens}"),
            What::Decode { depth, .. } => format!("decode at {depth}"),
            What::First => "start to first token, ms".to_string(),
            What::Repetition => format!("repetition {REPEATED}"),
        };
        let threads = if self.threads == 1 { ", 1 thread" } else { "" };
        format!("{} {} {what}{threads}{}", self.size, self.format, if self.busy { ", busy" } else { "" })
    }
}

/// A program that measures.
#[derive(Clone)]
pub struct Side {
    pub name: &'static str,
    path: PathBuf,
    /// Where our program keeps what it sets and measures: nothing.
    home: Option<PathBuf>,
    kernels: Option<&'static str>,
    guesses: bool,
}

impl Side {
    pub fn ours(path: PathBuf, home: PathBuf, avx2: bool) -> Side {
        Side { name: OURS, path, home: Some(home), kernels: avx2.then_some("avx2"), guesses: true }
    }

    pub fn theirs(path: PathBuf) -> Side {
        Side { name: THEIRS, path, home: None, kernels: None, guesses: false }
    }

    /// The same program, one token at a time.
    pub fn plain(&self) -> Side {
        Side { name: PLAIN, guesses: false, ..self.clone() }
    }

    /// The program that measures `cell`, and the key of its figure in what it prints.
    fn command(&self, cell: &Cell, file: &Path) -> (Command, &'static str) {
        let (prompt, tokens, depth) = match cell.what {
            What::Prefill(tokens) => (tokens, 0, 0),
            What::Decode { depth, tokens } => (0, tokens, depth),
            What::First => (16, 0, 0),
            What::Repetition => return (self.repetition(file), "tokens_per_second"),
        };
        let threads = if cell.threads == 0 { cores() } else { cell.threads };
        let mut command = self.start();
        let number = |command: &mut Command, name: &str, value: usize| {
            command.arg(name).arg(value.to_string());
        };
        if self.home.is_some() {
            command.args(["bench", "--json", "--quiet", "--model"]).arg(file);
            number(&mut command, "--prompt", prompt);
            number(&mut command, "--tokens", tokens);
            number(&mut command, "--depth", depth);
            number(&mut command, "--threads", threads);
            return (command, if tokens > 0 { "decode_tokens_per_second" } else { "prefill_tokens_per_second" });
        }
        command.args(["-o", "json", "-r", "1", "-m"]).arg(file);
        number(&mut command, "-p", prompt);
        number(&mut command, "-n", tokens);
        number(&mut command, "-d", depth);
        number(&mut command, "-t", threads);
        if cell.what == What::First {
            command.arg("--no-warmup");
        }
        (command, "avg_ts")
    }

    /// The model goes in circles.
    fn repetition(&self, file: &Path) -> Command {
        let mut command = self.start();
        command.args([
            "generate",
            "--json",
            "--quiet",
            "--raw",
            "--temperature",
            "0",
            "--prompt",
            REPETITION,
            "--model",
        ]);
        command.arg(file).args(["--tokens", &REPEATED.to_string()]);
        command.args((!self.guesses).then_some("--no-speculation"));
        command
    }

    fn start(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.envs(self.kernels.map(|name| ("HUACAYA_KERNELS", name)));
        command.envs(self.home.as_ref().map(|home| ("HUACAYA_HOME", home)));
        command
    }

    /// The figure, and the program's peak memory in bytes.
    fn measure(&self, cell: &Cell, file: &Path) -> Result<(f64, u64), String> {
        let (mut command, key) = self.command(cell, file);
        let started = Instant::now();
        let failed = |error: String| format!("{}, {}: {error}", self.name, cell.name());
        let printed = tempfile_for(&self.path)?;
        command.stdout(printed.1).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let mut peak = 0;
        let status = loop {
            peak = peak.max(peak_of(child.id()));
            match child.try_wait().map_err(|error| failed(error.to_string()))? {
                Some(status) => break status,
                None => thread::sleep(LOOK),
            }
        };
        let milliseconds = started.elapsed().as_secs_f64() * 1e3;
        if !status.success() {
            return Err(failed(status.to_string()));
        }
        if cell.what == What::First {
            return Ok((milliseconds, peak));
        }
        let text = fs::read_to_string(&printed.0).map_err(|error| failed(error.to_string()))?;
        let figure = number_after(&text, key).ok_or_else(|| failed(format!("it printed no {key}")))?;
        Ok((figure, peak))
    }
}

/// Where a program's output goes, so that no pipe can fill up while its memory is watched.
fn tempfile_for(program: &Path) -> Result<(PathBuf, File), String> {
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let path = std::env::temp_dir().join(format!("huacaya-bench-{}-{name}.json", std::process::id()));
    let file = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((path, file))
}

/// The number behind `"key":` in JSON; the last, where there are several.
pub fn number_after(text: &str, key: &str) -> Option<f64> {
    let rest = text.rsplit_once(&format!("\"{key}\":"))?.1.trim_start();
    rest.split([',', '}', '\n', ' ']).next()?.parse().ok()
}

pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Linux only; 0 elsewhere.
pub fn peak_of(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) << 10
}

/// Programs that do nothing but keep the cores busy; they end with this.
struct Busy(Vec<Child>);

impl Busy {
    fn start(count: usize) -> Result<Busy, String> {
        let one = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn();
        (0..count).map(|_| one().map_err(|error| error.to_string())).collect::<Result<_, _>>().map(Busy)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a side of a cell gave, round after round.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    pub figures: Vec<f64>,
    pub peak: u64,
}

/// Everything that was measured, kept in a file.
pub struct Measured {
    file: PathBuf,
    /// What it was measured on; figures of other machines do not count.
    pub machine: String,
    pub rounds: BTreeMap<(String, String), Rounds>,
}

impl Measured {
    pub fn open(file: &Path) -> Result<Measured, String> {
        let machine = format!("{}, {} cores", processor(), cores());
        let mut measured = Measured { file: file.to_path_buf(), machine, rounds: BTreeMap::new() };
        let on = format!("\"on\":\"{}\"", measured.machine);
        for line in fs::read_to_string(file).unwrap_or_default().lines().filter(|line| line.contains(&on)) {
            let text = |key: &str| Some(line.split_once(&format!("\"{key}\":\""))?.1.split('"').next()?.to_string());
            if let (Some(cell), Some(side), Some(figure), Some(peak)) =
                (text("cell"), text("side"), number_after(line, "figure"), number_after(line, "peak"))
            {
                measured.take(cell, side, figure, peak as u64);
            }
        }
        Ok(measured)
    }

    fn take(&mut self, cell: String, side: String, figure: f64, peak: u64) {
        let rounds = self.rounds.entry((cell, side)).or_default();
        rounds.figures.push(figure);
        rounds.peak = rounds.peak.max(peak);
    }

    /// What a side of a cell gave.
    pub fn of(&self, cell: &Cell, side: &str) -> Option<&Rounds> {
        self.named(&cell.name(), side)
    }

    /// The same by the cell's name.
    pub fn named(&self, cell: &str, side: &str) -> Option<&Rounds> {
        self.rounds.get(&(cell.to_string(), side.to_string()))
    }

    /// The machine's own figure, in every round of every model.
    pub fn bandwidth(&self) -> Option<&Rounds> {
        self.rounds.get(&(BANDWIDTH.to_string(), MACHINE.to_string()))
    }

    fn count(&self, cell: &Cell, side: &Side) -> usize {
        self.of(cell, side.name).map_or(0, |rounds| rounds.figures.len())
    }

    pub fn is_complete(&self, cell: &Cell, rounds: usize) -> bool {
        let done =
            |((name, _), made): (&(String, String), &Rounds)| *name == cell.name() && made.figures.len() >= rounds;
        self.rounds.iter().filter(|entry| done(*entry)).count() == 2
    }

    /// One round of both sides, where it was not made before.
    pub fn round(&mut self, cell: &Cell, round: usize, sides: [&Side; 2], file: &Path) -> Result<(), String> {
        let _busy = if cell.busy { Some(Busy::start(cores())?) } else { None };
        for side in sides {
            if self.count(cell, side) > round {
                continue;
            }
            let (figure, peak) = side.measure(cell, file)?;
            self.note(&cell.name(), side.name, figure, peak)?;
        }
        Ok(())
    }

    /// Asks a program that prints bytes in a second.
    pub fn ask_bandwidth(&mut self, program: &Path) -> Result<(), String> {
        let printed = Command::new(program).stderr(Stdio::null()).output();
        let printed = printed.map_err(|error| format!("{}: {error}", program.display()))?.stdout;
        let bytes: f64 = String::from_utf8_lossy(&printed).trim().parse().map_err(|_| "no bandwidth was printed")?;
        self.note(BANDWIDTH, MACHINE, bytes / 1e9, 0)
    }

    /// Keeps how large a model's file is: it is removed before the table is printed.
    pub fn keep_size(&mut self, size: &str, format: &str, file: &Path) -> Result<(), String> {
        if self.size(size, format).is_some() {
            return Ok(());
        }
        let bytes = fs::metadata(file).map_err(|error| format!("{}: {error}", file.display()))?.len();
        self.note(&size_name(size, format), MACHINE, bytes as f64, 0)
    }

    /// Bytes of a model's file.
    pub fn size(&self, size: &str, format: &str) -> Option<f64> {
        self.rounds.get(&(size_name(size, format), MACHINE.to_string()))?.figures.first().copied()
    }

    /// Prints a figure, and keeps it.
    pub fn note(&mut self, cell: &str, side: &str, figure: f64, peak: u64) -> Result<(), String> {
        println!("  {cell:<44} {side:<14} {figure:>10.2}  {:>7.0} MB", peak as f64 / 1e6);
        let machine = &self.machine;
        let line = format!(
            "{{\"on\":\"{machine}\",\"cell\":\"{cell}\",\"side\":\"{side}\",\"figure\":{figure},\"peak\":{peak}}}\n"
        );
        let log = OpenOptions::new().create(true).append(true).open(&self.file);
        let written = log.and_then(|mut log| log.write_all(line.as_bytes()));
        written.map_err(|error| format!("{}: {error}", self.file.display()))?;
        self.take(cell.to_string(), side.to_string(), figure, peak);
        Ok(())
    }
}

fn size_name(size: &str, format: &str) -> String {
    format!("{size} {format} file, bytes")
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| std::env::consts::ARCH.to_string(), |(_, name)| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::number_after;

    #[test]
    fn figures_are_found_in_what_both_programs_print() {
        let theirs = "[\n  {\n    \"n_prompt\": 512,\n    \"avg_ts\": 297.125,\n    \"stddev_ts\": 0.0\n  }\n]\n";
        assert_eq!(number_after(theirs, "avg_ts"), Some(297.125));
        let ours = r#"{"prefill_tokens_per_second":31.5,"rounds":1}"#;
        assert_eq!(number_after(ours, "prefill_tokens_per_second"), Some(31.5));
        assert_eq!(number_after(ours, "rounds"), Some(1.0));
        assert_eq!(number_after(ours, "load_ms"), None);
    }
}
