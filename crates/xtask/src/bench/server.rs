//! `bench server`: several answers at once, from our server and from llama.cpp's, on the same file.
//!
//! Both get the same requests: prompts of tokens, each another one, answers of a fixed length, drawn at temperature 1, so
//! that nothing of an answer can be guessed from what was said before. The end of text is made unlikely, not impossible:
//! the tokens that each server says it wrote are what counts.

use std::{
    ffi::OsString,
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{
    Text, USAGE, build_ours,
    cell::{Measured, OURS, Rounds, THEIRS, cores, number_after, peak_of},
    llama, model, place,
    table::median,
};
use crate::shell::{Outcome, answers, program, say};

/// Answers at once.
const STREAMS: [usize; 3] = [1, 4, 8];
const MOST: usize = 8;
/// Tokens of a prompt: short, since writing is what is shared.
const PROMPT: usize = 32;
/// Tokens of an answer.
const TOKENS: usize = 64;
const ROUNDS: usize = 3;
/// The number of a round that is not measured.
const WARM_UP: usize = 999;
/// What the tokens of eight streams should be at least, in those of one: the weights are read once for all of them.
const GAIN_MIN: f64 = 2.5;
/// And in those of llama.cpp's eight.
const AHEAD_MIN: f64 = 1.5;
/// Until a server answers: it reads the whole file first.
const START: Duration = Duration::from_secs(120);
const SIZE: &str = "1.3b";
const FORMAT: &str = "Q4_0";
/// Of the model's vocabulary.
const END_OF_TEXT: u32 = 2;
const TOKEN: &str = "hk-bench";

pub fn server(arguments: &[String]) -> Outcome {
    let (mut rounds, mut again, mut rest) = (ROUNDS, false, arguments.iter());
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--again" => again = true,
            "--rounds" => rounds = rest.next().and_then(|count| count.parse().ok()).ok_or(USAGE)?,
            _ => return Err(USAGE.into()),
        }
    }
    let place = place()?;
    if !answers("curl", &["--version"]) {
        return Err("the servers are asked with curl: install it, then run this again".into());
    }
    let theirs = llama::build(&place, false, "llama-server")?;
    let ours = build_ours()?;
    let file = model(&place, &ours, SIZE, FORMAT, Text::Random)?;
    let log = place.join("server.jsonl");
    if again && log.exists() {
        fs::remove_file(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    }
    let mut measured = Measured::open(&log)?;
    let home = library(&place, &ours, &file)?;
    for round in 0..rounds {
        say(&format!("round {} of {rounds}", round + 1));
        // Whoever comes second finds the machine as the first left it: the two take turns in that, too.
        let mut sides = [Side::Ours, Side::Theirs];
        sides.rotate_left(round % 2);
        for side in sides {
            if side.made(&measured) > round {
                continue;
            }
            let serving = match side {
                Side::Ours => Serving::ours(&ours, &home)?,
                Side::Theirs => Serving::theirs(&theirs, &file)?,
            };
            serving.round(side, round, &file, &mut measured)?;
        }
    }
    print(&measured);
    println!("\nfigures: {}", log.display());
    Ok(())
}

/// A data folder with the model in its list, as `HUACAYA_HOME` takes it.
fn library(place: &Path, ours: &Path, file: &Path) -> Result<PathBuf, String> {
    let home = place.join("server-home");
    // A list of an earlier run may name a file that is gone.
    let _ = fs::remove_dir_all(&home);
    let words: [OsString; 8] = [
        format!("HUACAYA_HOME={}", home.display()).into(),
        ours.into(),
        "models".into(),
        "import".into(),
        "--quiet".into(),
        "--json".into(),
        "--".into(),
        file.into(),
    ];
    program("env", &words)?;
    fs::write(home.join("token"), TOKEN).map_err(|error| format!("{}: {error}", home.display()))?;
    Ok(home)
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Ours,
    Theirs,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Side::Ours => OURS,
            Side::Theirs => THEIRS,
        }
    }

    /// Rounds that are whole.
    fn made(self, measured: &Measured) -> usize {
        let count = |streams| measured.named(&first(streams), self.name()).map_or(0, |rounds| rounds.figures.len());
        STREAMS.into_iter().map(count).min().unwrap_or(0)
    }
}

/// The names of the figures.
fn total(streams: usize) -> String {
    format!("{SIZE} {FORMAT} {streams} streams, tokens/s")
}

fn first(streams: usize) -> String {
    format!("{SIZE} {FORMAT} {streams} streams, first token, ms")
}

/// A server that runs until this goes.
struct Serving {
    child: Child,
    port: u16,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serving {
    fn ours(program: &Path, home: &Path) -> Result<Serving, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", program.display());
        let mut command = Command::new(program);
        command.args(["serve", "--port", "0", "--token-file"]).arg(home.join("token"));
        let mut child =
            command.env("HUACAYA_HOME", home).stderr(Stdio::piped()).spawn().map_err(|error| failed(&error))?;
        let mut said =
            child.stderr.take().map(BufReader::new).into_iter().flat_map(BufRead::lines).map_while(Result::ok);
        // "answers at http://127.0.0.1:11711/v1"
        let port = said.find_map(|line| line.strip_suffix("/v1")?.rsplit(':').next()?.parse().ok());
        // Whoever writes where nobody reads is ended.
        thread::spawn(move || said.for_each(drop));
        // Made first, so that the program ends also where it said nothing.
        let serving = Serving { child, port: port.unwrap_or_default() };
        port.map(|_| serving).ok_or_else(|| failed(&"it did not say where it answers"))
    }

    fn theirs(program: &Path, file: &Path) -> Result<Serving, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", program.display());
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let port = free.map_err(|error| failed(&error))?.port();
        let mut command = Command::new(program);
        command.arg("--model").arg(file).args(["--host", "127.0.0.1", "--port"]).arg(port.to_string());
        // The context is shared out: each answer gets room for its prompt, itself, and as much again.
        let context = MOST * (PROMPT + TOKENS) * 2;
        for (name, value) in [("--parallel", MOST), ("--ctx-size", context), ("--threads", cores())] {
            command.arg(name).arg(value.to_string());
        }
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(|error| failed(&error))?;
        let mut serving = Serving { child, port };
        let began = Instant::now();
        let health = format!("http://127.0.0.1:{port}/health");
        while !answers("curl", &["--silent", "--fail", &health]) {
            if let Ok(Some(status)) = serving.child.try_wait() {
                return Err(failed(&format!("it ended with {status} before it answered")));
            }
            if began.elapsed() > START {
                return Err(failed(&format!("it did not answer within {} seconds", START.as_secs())));
            }
            thread::sleep(Duration::from_millis(200));
        }
        Ok(serving)
    }

    /// Asks for all the numbers of streams and keeps the figures.
    fn round(&self, side: Side, round: usize, file: &Path, measured: &mut Measured) -> Outcome {
        // What is read and set up at the first request only.
        self.ask(1, WARM_UP, 4, file)?;
        for streams in STREAMS {
            let told = self.ask(streams, round, TOKENS, file)?;
            let peak = peak_of(self.child.id());
            measured.note(&total(streams), side.name(), told.tokens_per_second, peak)?;
            measured.note(&first(streams), side.name(), told.first_ms, peak)?;
        }
        Ok(())
    }

    /// So many answers at once.
    fn ask(&self, streams: usize, round: usize, tokens: usize, file: &Path) -> Result<Told, String> {
        let began = Instant::now();
        let asked: Vec<_> = (0..streams)
            .map(|stream| {
                let (body, port) = (body(streams, stream, round, tokens, file), self.port);
                thread::spawn(move || one(port, &body, began))
            })
            .collect();
        let all: Result<Vec<One>, String> = asked
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a stream's thread failed".into())))
            .collect();
        let (all, seconds) = (all?, began.elapsed().as_secs_f64());
        let written: f64 = all.iter().map(|one| one.tokens).sum();
        let first = median(&Rounds { figures: all.iter().map(|one| one.first.as_secs_f64() * 1e3).collect(), peak: 0 });
        Ok(Told { tokens_per_second: written / seconds, first_ms: first })
    }
}

/// What came of some streams at once.
struct Told {
    /// Of all together, their prompts' reading included in the time.
    tokens_per_second: f64,
    /// The median's.
    first_ms: f64,
}

struct One {
    first: Duration,
    tokens: f64,
}

/// A request in OpenAI's form for texts. No two prompts begin alike.
fn body(streams: usize, stream: usize, round: usize, tokens: usize, file: &Path) -> String {
    let from = streams * 131 + stream * 17 + round * 7;
    let prompt: Vec<String> = (0..PROMPT).map(|at| (300 + (from + at * 7_919) % 50_000).to_string()).collect();
    let seed = from % 1_000;
    format!(
        "{{\"model\":\"{}\",\"prompt\":[{}],\"max_tokens\":{tokens},\"stream\":true,\
         \"stream_options\":{{\"include_usage\":true}},\"temperature\":1,\"top_k\":40,\"top_p\":0.95,\"min_p\":0,\
         \"repeat_penalty\":1,\"seed\":{seed},\"logit_bias\":{{\"{END_OF_TEXT}\":-100}}}}",
        file.display(),
        prompt.join(",")
    )
}

/// One answer, read to its end as it comes.
fn one(port: u16, body: &str, began: Instant) -> Result<One, String> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--no-buffer", "--fail-with-body", "--data", body]);
    command.args(["--header", "Content-Type: application/json", "--header"]);
    command.arg(format!("Authorization: Bearer {TOKEN}")).arg(format!("http://127.0.0.1:{port}/v1/completions"));
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| format!("curl: {error}"))?;
    let (mut first, mut tokens, mut last) = (None, None, String::new());
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
        let line = line.map_err(|error| format!("an answer broke off: {error}"))?;
        if line.starts_with("data: {") {
            first.get_or_insert_with(|| began.elapsed());
        }
        tokens = number_after(&line, "completion_tokens").or(tokens);
        if !line.is_empty() {
            last = line;
        }
    }
    let status = child.wait().map_err(|error| format!("curl: {error}"))?;
    match (first, tokens) {
        (Some(first), Some(tokens)) if status.success() => Ok(One { first, tokens }),
        _ => Err(format!("a request failed: {last}")),
    }
}

fn print(measured: &Measured) {
    let figure = |cell: &str, side: Side| measured.named(cell, side.name()).map(median);
    let both = |cell: &str| {
        let of = |side| figure(cell, side).unwrap_or(f64::NAN);
        (of(Side::Ours), of(Side::Theirs))
    };
    println!("\n{}, {SIZE} {FORMAT}, {PROMPT} tokens read and {TOKENS} written by each stream\n", measured.machine);
    println!(
        "| streams | tokens/s, huacaya | llama.cpp | ratio | first token ms, huacaya | llama.cpp | in one stream's, huacaya | llama.cpp |\n\
         |---|---|---|---|---|---|---|---|"
    );
    let alone = both(&total(1));
    for streams in STREAMS {
        let ((a, b), (first_a, first_b)) = (both(&total(streams)), both(&first(streams)));
        println!(
            "| {streams} | {a:.2} | {b:.2} | {:.2} | {first_a:.0} | {first_b:.0} | {:.2} | {:.2} |",
            a / b,
            a / alone.0,
            b / alone.1
        );
    }
    let most = both(&total(MOST));
    let verdict = |is: f64, least: f64| if is >= least { "met" } else { "missed" };
    let (gain, ahead) = (most.0 / alone.0, most.0 / most.1);
    println!(
        "\n{MOST} streams give {gain:.2} times the tokens of one: the target of {GAIN_MIN} is {}.\n\
         They give {ahead:.2} times those of llama.cpp's {MOST}: the target of {AHEAD_MIN} is {}.",
        verdict(gain, GAIN_MIN),
        verdict(ahead, AHEAD_MIN)
    );
}
