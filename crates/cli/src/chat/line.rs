//! What is typed: with an editor on a terminal, read line by line elsewhere.

use std::{
    fs::OpenOptions,
    io::{self, IsTerminal, stdin, stdout},
    path::{Path, PathBuf},
};

use rustyline::{
    Cmd, Config, Context, Editor, Event, EventHandler, Helper, KeyCode, KeyEvent, Modifiers,
    completion::Completer,
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::FileHistory,
    validate::{ValidationContext, ValidationResult, Validator},
};

use super::order::NAMES;
use crate::failure::Failure;

/// A person looks no further back.
const HISTORY_MAX: usize = 1_000;
const PROMPT: &str = "> ";

/// Something that was typed, or that it will not be.
pub enum Line {
    Text(String),
    /// Ctrl-C on a line.
    Interrupted,
    /// Ctrl-D, or the end of the input.
    End,
}

/// Where lines come from.
pub struct Lines {
    editor: Option<Editor<Keys, FileHistory>>,
    history: PathBuf,
}

/// What the editor knows of chats: which names can be completed, and when a line goes on.
struct Keys;

impl Lines {
    /// `history` keeps what was typed; nobody else can read it.
    pub fn open(history: &Path) -> Result<Lines, Failure> {
        let mut lines = Lines { editor: None, history: history.to_path_buf() };
        if !stdin().is_terminal() || !stdout().is_terminal() {
            return Ok(lines);
        }
        let config = Config::builder().max_history_size(HISTORY_MAX).map_err(broken)?.history_ignore_space(true);
        let mut editor = Editor::with_config(config.auto_add_history(false).build()).map_err(broken)?;
        editor.set_helper(Some(Keys));
        let newline = EventHandler::Simple(Cmd::Newline);
        editor.bind_sequence(Event::from(KeyEvent(KeyCode::Enter, Modifiers::ALT)), newline);
        private(&lines.history).map_err(|error| Failure::file("keep what is typed in", &lines.history, &error))?;
        if let Err(error) = editor.load_history(&lines.history) {
            eprintln!("warning: {}: what was typed before cannot be read: {error}", lines.history.display());
        }
        lines.editor = Some(editor);
        Ok(lines)
    }

    /// Whether a person types.
    pub fn by_hand(&self) -> bool {
        self.editor.is_some()
    }

    /// The next one, which `text` stands in already where a person types.
    pub fn next(&mut self, text: &str) -> Result<Line, Failure> {
        let Some(editor) = &mut self.editor else { return piped() };
        let typed = match editor.readline_with_initial(PROMPT, (text, "")) {
            Ok(typed) => typed,
            Err(ReadlineError::Interrupted) => return Ok(Line::Interrupted),
            Err(ReadlineError::Eof) => return Ok(Line::End),
            Err(error) => return Err(broken(error)),
        };
        if !typed.trim().is_empty() {
            editor.add_history_entry(typed.as_str()).map_err(broken)?;
            if let Err(error) = editor.append_history(&self.history) {
                eprintln!("warning: {}: what was typed is not kept: {error}", self.history.display());
            }
        }
        Ok(Line::Text(joined(&typed)))
    }
}

/// Makes the file, readable by its owner only, where there is none yet.
fn private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// A line of standard input, with those that it goes on in.
fn piped() -> Result<Line, Failure> {
    let mut text = String::new();
    while text.is_empty() || goes_on(text.trim_end_matches(['\r', '\n'])) {
        if stdin().read_line(&mut text)? == 0 {
            break;
        }
    }
    if text.is_empty() {
        return Ok(Line::End);
    }
    Ok(Line::Text(joined(text.trim_end_matches(['\r', '\n']))))
}

/// A backslash at the end of a line: another one follows.
fn goes_on(text: &str) -> bool {
    text.ends_with('\\')
}

fn joined(text: &str) -> String {
    text.replace("\\\r\n", "\n").replace("\\\n", "\n")
}

fn broken(error: ReadlineError) -> Failure {
    match error {
        ReadlineError::Io(error) => error.into(),
        error => Failure::Said(format!("the terminal: {error}")),
    }
}

impl Helper for Keys {}
impl Highlighter for Keys {}

impl Hinter for Keys {
    type Hint = String;
}

impl Validator for Keys {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if goes_on(context.input()) { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Completer for Keys {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let begun = &line[..at];
        let known = NAMES.iter().filter(|name| begun.starts_with('/') && name.starts_with(begun));
        Ok((0, known.map(|name| format!("{name} ")).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backslash_at_the_end_joins_lines() {
        assert!(goes_on("first\\") && !goes_on("first"));
        assert_eq!(joined("first\\\nsecond"), "first\nsecond");
        assert_eq!(joined(r"C:\path"), r"C:\path");
    }
}
