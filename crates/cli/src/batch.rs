//! `batch`: many prompts of a file, answered several at a time; what is answered already is not answered again.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fs::{self, File, OpenOptions},
    io::{self, Read, Write, stdin, stdout},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, mpsc},
    thread,
};

use clap::Args;
use huacaya_app::{
    engine::{
        Engine,
        template::{Prompt, Role, Turn},
    },
    progress::Progress,
    rows::Parameters,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    drawing::{Answer, Drawing},
    failure::Failure,
    model::{Loaded, Meter, ModelOptions},
};

/// Answers that share the reading of the weights, where nothing else is asked.
const AT_ONCE: u16 = 8;
/// Each has its keys and values in memory.
const AT_ONCE_MAX: i64 = 64;

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    model: ModelOptions,
    /// The prompts, - for standard input: in each line a text in quotes, or {"prompt": TEXT} or {"messages": [{"role",
    /// "content"}, …]}, with "id" and "system" where wanted
    #[arg(long, value_name = "FILE|-")]
    file: PathBuf,
    /// The answers, one JSON object in a line, in the order in which they end: {"index", "id", "text", …}. What stands there
    /// is not answered again
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    drawing: Drawing,
    /// Answers that are written side by side
    #[arg(long, value_name = "NUMBER", default_value_t = AT_ONCE, value_parser = clap::value_parser!(u16).range(1..=AT_ONCE_MAX))]
    at_once: u16,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
}

/// A line of the file. `index` counts lines from 0, empty ones too.
struct Question {
    index: usize,
    id: Option<Value>,
    /// Why it cannot be answered, where it cannot.
    asked: Result<Asked, String>,
}

/// What a line may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    prompt: Option<String>,
    system: Option<String>,
    messages: Option<Vec<Message>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    role: String,
    content: String,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let all = read_questions(&options.file)?;
    let answered = resume(&options.out)?;
    let total = all.len();
    let open: VecDeque<Question> = all.into_iter().filter(|question| !answered.contains(&question.key())).collect();
    let skipped = total - open.len();
    let out = OpenOptions::new().append(true).create(true).open(&options.out);
    let out = out.map_err(|error| Failure::file("write", &options.out, &error))?;
    let loaded = options.model.load()?;
    let filled = options.drawing.parameters(&loaded)?;
    let (done, failed) = options.answer_all(open, &loaded, &filled, out)?;
    if options.json {
        writeln!(stdout(), "{}", json!({"answered": done - failed, "failed": failed, "skipped": skipped}))?;
    } else if !options.model.quiet {
        eprintln!("{}: {} answered, {failed} failed, {skipped} were there", options.out.display(), done - failed);
    }
    if loaded.stop.asked() && done + skipped < total {
        return Err(Failure::Interrupted);
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::Said(format!(
            "{failed} of {total} prompts were not answered\nhelp: {} says why; the next run tries them again",
            options.out.display()
        ))),
    }
}

impl Options {
    /// Answers what is open, several at a time, and writes each answer when it ends. How many lines came, and how many of
    /// them are errors.
    fn answer_all(
        &self,
        open: VecDeque<Question>,
        loaded: &Loaded,
        filled: &Parameters,
        mut out: File,
    ) -> Result<(usize, usize), Failure> {
        let engine = Engine::start().map_err(|error| Failure::of_model(&loaded.path, error))?;
        let total = open.len() as u64;
        let open = Mutex::new(open);
        let (sender, ended) = mpsc::channel::<Map<String, Value>>();
        let mut meter = Meter::new("answering", self.model.quiet);
        thread::scope(|scope| {
            for _ in 0..self.at_once {
                let (sender, open, engine) = (sender.clone(), &open, engine.clone());
                scope.spawn(move || {
                    while !loaded.stop.asked() {
                        let next = open.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                        let Some(question) = next else { break };
                        let Some(line) = self.answer(&question, &engine, loaded, filled) else { break };
                        if sender.send(line).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            let (mut done, mut failed) = (0, 0);
            for line in ended {
                done += 1;
                failed += usize::from(line.contains_key("error"));
                // One write for a line: a kill leaves whole ones, and at most one that is torn.
                let bytes = format!("{}\n", Value::Object(line));
                out.write_all(bytes.as_bytes()).map_err(|error| Failure::file("write", &self.out, &error))?;
                meter.show(Progress { done: done as u64, total });
            }
            meter.clear();
            Ok((done, failed))
        })
    }

    /// The line of an answer; none: it was interrupted.
    fn answer(
        &self,
        question: &Question,
        engine: &Engine,
        loaded: &Loaded,
        filled: &Parameters,
    ) -> Option<Map<String, Value>> {
        let mut line = Map::new();
        line.insert("index".to_string(), json!(question.index));
        if let Some(id) = &question.id {
            line.insert("id".to_string(), id.clone());
        }
        match self.write(question, engine, loaded, filled) {
            Ok(answer) => line.extend(answer?.fields(&loaded.model, filled.seed)),
            Err(why) => {
                line.insert("error".to_string(), json!(why));
            }
        }
        Some(line)
    }

    fn write(
        &self,
        question: &Question,
        engine: &Engine,
        loaded: &Loaded,
        filled: &Parameters,
    ) -> Result<Option<Answer>, String> {
        let asked = question.asked.as_ref().map_err(String::clone)?;
        let prompt = self.prompt(asked, loaded, filled)?;
        let mut answer = Answer::default();
        let request = self.drawing.request(prompt, loaded, filled).map_err(words)?;
        for event in engine.generate(request) {
            if loaded.stop.asked() {
                return Ok(None);
            }
            answer.take(event.map_err(|error| error.to_string())?);
        }
        Ok(Some(answer))
    }

    fn prompt(&self, asked: &Asked, loaded: &Loaded, filled: &Parameters) -> Result<Prompt, String> {
        let mut system = asked.system.clone();
        let turns = match (&asked.prompt, &asked.messages) {
            (Some(prompt), None) if self.drawing.raw => return Ok(Prompt::Raw(prompt.clone())),
            (None, Some(_)) if self.drawing.raw => return Err("messages need a template: leave out --raw".to_string()),
            (Some(prompt), None) => vec![Turn { role: Role::User, text: prompt.clone(), ..Turn::default() }],
            (None, Some(messages)) => turns_of(messages, &mut system)?,
            _ => return Err("one of \"prompt\" and \"messages\" is needed".to_string()),
        };
        self.drawing.talk(turns, system, "", loaded, filled).map_err(words)
    }
}

impl Question {
    fn read(index: usize, line: &str) -> Question {
        let mut value: Result<Value, String> = serde_json::from_str(line).map_err(|error| error.to_string());
        let fields = value.as_mut().ok().and_then(Value::as_object_mut);
        let id = fields.and_then(|fields| fields.shift_remove("id")).filter(|id| !id.is_null());
        let asked = value.and_then(|value| match value {
            Value::String(prompt) => Ok(Asked { prompt: Some(prompt), system: None, messages: None }),
            value => serde_json::from_value(value).map_err(|error| error.to_string()),
        });
        Question { index, id, asked }
    }

    /// What an answer is known by.
    fn key(&self) -> String {
        key(self.index, self.id.as_ref())
    }
}

/// What went wrong with one question, for its line.
fn words(failure: Failure) -> String {
    failure.to_string().trim_start_matches("error: ").to_string()
}

fn key(index: usize, id: Option<&Value>) -> String {
    id.map_or_else(|| format!("line {index}"), |id| format!("id {id}"))
}

fn turns_of(messages: &[Message], system: &mut Option<String>) -> Result<Vec<Turn>, String> {
    let mut turns = Vec::new();
    for (place, Message { role, content }) in messages.iter().enumerate() {
        let role = match role.as_str() {
            "system" if place == 0 => {
                *system = Some(content.clone());
                continue;
            }
            "user" => Role::User,
            "assistant" => Role::Assistant,
            _ => return Err(format!("message {place} has the role {role:?}")),
        };
        turns.push(Turn { role, text: content.clone(), ..Turn::default() });
    }
    Ok(turns)
}

fn read_questions(file: &Path) -> Result<Vec<Question>, Failure> {
    let mut text = String::new();
    let read = match file.as_os_str() == "-" {
        true => stdin().read_to_string(&mut text),
        false => File::open(file).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.map_err(|error| Failure::file("read the prompts in", file, &error))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let all: Vec<Question> = lines.map(|(index, line)| Question::read(index, line)).collect();
    let mut seen = HashMap::new();
    for question in &all {
        if let Some(before) = seen.insert(question.key(), question.index) {
            let (first, second) = (before + 1, question.index + 1);
            return Err(Failure::Usage(format!(
                "{}: lines {first} and {second} have the same {}",
                file.display(),
                question.key()
            )));
        }
    }
    Ok(all)
}

/// The keys of what is answered. A last line that was torn, and errors, are taken out of the file: they are tried again.
fn resume(path: &Path) -> Result<HashSet<String>, Failure> {
    let text = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashSet::new()),
        Err(error) => return Err(Failure::file("read", path, &error)),
    };
    let (mut answered, mut kept) = (HashSet::new(), Vec::with_capacity(text.len()));
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    for (place, line) in lines.iter().enumerate() {
        let whole = line.ends_with(b"\n");
        let found: Option<Map<String, Value>> = serde_json::from_slice(line).ok().filter(|_| whole);
        let index = found.as_ref().and_then(|found| found.get("index")?.as_u64());
        match (found, index) {
            (Some(found), Some(index)) if !found.contains_key("error") => {
                answered.insert(key(index as usize, found.get("id")));
                kept.extend_from_slice(line);
            }
            (Some(_), Some(_)) => {}
            _ if !whole && place + 1 == lines.len() => {}
            _ => {
                return Err(Failure::Unusable(format!(
                    "{}: line {} is no answer of this command\nhelp: give --out another name",
                    path.display(),
                    place + 1
                )));
            }
        }
    }
    if kept.len() < text.len() {
        replace(path, &kept).map_err(|error| Failure::file("mend", path, &error))?;
    }
    Ok(answered)
}

/// All of the file or what was there before, whatever happens.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let mut file = File::create(&name)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&name, path)
}
