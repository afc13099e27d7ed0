//! Exams of multiple choice as C-Eval and CMMLU publish them: CSV files, one a subject, from anywhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use encoding_rs::{GB18030, UTF_16LE};

use super::subjects;
use super::{Error, Result};

/// The largest published file has less than a megabyte.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// CMMLU has 67 subjects, C-Eval 52.
const SUBJECTS_MAX: usize = 1000;
/// Questions of all subjects; the largest published set has some 12,000.
const QUESTIONS_MAX: usize = 100_000;
/// Columns of a line; the published files have eight at most.
const COLUMNS_MAX: usize = 64;

pub(super) const LETTERS: [char; 4] = ['A', 'B', 'C', 'D'];

/// A question with four choices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub text: String,
    pub choices: [String; 4],
    /// Which of the choices is right, 0 to 3.
    pub answer: usize,
}

/// The questions of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// From the file's name, as "computer_network".
    pub key: String,
    /// In Chinese where it is known, else the key.
    pub name: String,
    /// "STEM", "Social Science", "Humanities", "Other".
    pub group: String,
    pub questions: Vec<Question>,
    /// Questions whose answers may be shown.
    pub examples: Vec<Question>,
}

/// An exam of one or more subjects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exam {
    subjects: Vec<Subject>,
}

impl Exam {
    /// A CSV file, or a folder of them: C-Eval's (`val`, with examples in `dev`) or CMMLU's (`test` and `dev`), the folder
    /// above or within. Questions without an answer (C-Eval's `test`) are passed over.
    pub fn open(path: &Path) -> Result<Exam> {
        let files = if path.is_dir() { files_within(path)? } else { vec![path.to_path_buf()] };
        let mut exam = Exam::default();
        for file in files {
            let key = key(&file);
            let questions = read(&file)?;
            if questions.is_empty() {
                continue;
            }
            if exam.questions() + questions.len() > QUESTIONS_MAX {
                return Err(too_large(path, format!("more than {QUESTIONS_MAX} questions")));
            }
            let examples = examples(&file, &key)?;
            let known = subjects::find(&key);
            exam.subjects.push(Subject {
                name: known.map_or_else(|| key.replace('_', " "), |known| known.chinese.to_string()),
                group: known.map_or("Other", |known| known.group).to_string(),
                key,
                questions,
                examples,
            });
        }
        if exam.subjects.is_empty() {
            return Err(Error::ExamEmpty { path: path.to_path_buf() });
        }
        Ok(exam)
    }

    pub fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    /// How many there are in all.
    pub fn questions(&self) -> usize {
        self.subjects.iter().map(|subject| subject.questions.len()).sum()
    }
}

fn too_large(path: &Path, what: String) -> Error {
    Error::ExamTooLarge { path: path.to_path_buf(), what }
}

/// The CSV files of the first of the known folders that has some.
fn files_within(folder: &Path) -> Result<Vec<PathBuf>> {
    for inner in ["val", "data/val", "test", "data/test", ""] {
        let folder = folder.join(inner);
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let is_csv = |path: &PathBuf| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
        // Sorted, and no more than are wanted are held.
        let mut files = BTreeSet::new();
        for path in paths.filter(is_csv) {
            files.insert(path);
            if files.len() > SUBJECTS_MAX {
                return Err(too_large(&folder, format!("more than {SUBJECTS_MAX} CSV files")));
            }
        }
        if !files.is_empty() {
            return Ok(files.into_iter().collect());
        }
    }
    Err(Error::ExamEmpty { path: folder.to_path_buf() })
}

/// The subject of a file: its name without the part that says which set it belongs to.
fn key(file: &Path) -> String {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let endings = ["_val", "_dev", "_test"];
    endings.iter().find_map(|ending| stem.strip_suffix(ending)).map_or(stem.clone(), str::to_string)
}

/// The `dev` folder beside the file's own holds questions with answers that may be shown.
fn examples(file: &Path, key: &str) -> Result<Vec<Question>> {
    let Some(folder) = file.parent().and_then(Path::parent) else { return Ok(Vec::new()) };
    let names = [format!("{key}_dev.csv"), format!("{key}.csv")];
    match names.iter().map(|name| folder.join("dev").join(name)).find(|path| path.is_file()) {
        Some(path) if path != file => read(&path),
        _ => Ok(Vec::new()),
    }
}

fn read(path: &Path) -> Result<Vec<Question>> {
    let failed = |source| Error::Io { path: path.to_path_buf(), source };
    if fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(too_large(path, format!("more than {} MB", FILE_BYTES_MAX >> 20)));
    }
    let text = decode(&fs::read(path).map_err(failed)?);
    parse(&text, path)
}

/// UTF-8 or UTF-16 by their marks, else UTF-8 where it is valid, else what Chinese tables are saved in.
fn decode(bytes: &[u8]) -> String {
    if bytes.starts_with(&[0xFF, 0xFE]) {
        return UTF_16LE.decode(bytes).0.into_owned();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text).to_string(),
        Err(_) => GB18030.decode(bytes).0.into_owned(),
    }
}

/// Rows with one of the letters as their answer.
fn parse(text: &str, path: &Path) -> Result<Vec<Question>> {
    let mut records = Records { rest: text, line: 1, path };
    let header = records.next_record()?.unwrap_or_default();
    let column = |name: &'static str| {
        let found = header.iter().position(|title| title.trim().eq_ignore_ascii_case(name));
        found.ok_or(Error::ColumnMissing { path: path.to_path_buf(), column: name })
    };
    let text = column("question")?;
    let choices = [column("A")?, column("B")?, column("C")?, column("D")?];
    // C-Eval's test set keeps its answers to itself.
    let Ok(answer) = column("answer") else {
        return if header.len() >= 6 { Ok(Vec::new()) } else { Err(missing_answer(path)) };
    };
    let mut questions = Vec::new();
    while let Some(fields) = records.next_record()? {
        let field = |column: usize| fields.get(column).map(|field| field.trim().to_string()).unwrap_or_default();
        let letter = field(answer).to_ascii_uppercase();
        let Some(answer) = LETTERS.iter().position(|known| letter.chars().eq([*known])) else { continue };
        questions.push(Question { text: field(text), choices: choices.map(field), answer });
        if questions.len() > QUESTIONS_MAX {
            return Err(too_large(path, format!("more than {QUESTIONS_MAX} questions")));
        }
    }
    Ok(questions)
}

fn missing_answer(path: &Path) -> Error {
    Error::ColumnMissing { path: path.to_path_buf(), column: "answer" }
}

/// Records of a CSV text (RFC 4180; a lone quote within a field stands for itself).
struct Records<'a> {
    rest: &'a str,
    line: usize,
    path: &'a Path,
}

impl Records<'_> {
    /// The fields of the next line that is not empty.
    fn next_record(&mut self) -> Result<Option<Vec<String>>> {
        self.skip_empty_lines();
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut fields = Vec::new();
        loop {
            if fields.len() == COLUMNS_MAX {
                return self.broken("too many columns");
            }
            let (field, ended) = self.field()?;
            fields.push(field);
            if ended {
                return Ok(Some(fields));
            }
        }
    }

    fn skip_empty_lines(&mut self) {
        let rest = self.rest.trim_start_matches(['\r', '\n']);
        self.line += self.rest[..self.rest.len() - rest.len()].matches('\n').count();
        self.rest = rest;
    }

    /// A field, and whether its record ends with it.
    fn field(&mut self) -> Result<(String, bool)> {
        let mut field = String::new();
        if let Some(quoted) = self.rest.strip_prefix('"') {
            self.rest = quoted;
            loop {
                let Some(end) = self.rest.find('"') else { return self.broken("a quoted field does not end") };
                let (part, after) = self.rest.split_at(end);
                self.line += part.matches('\n').count();
                field.push_str(part);
                self.rest = &after[1..];
                let Some(more) = self.rest.strip_prefix('"') else { break };
                field.push('"');
                self.rest = more;
            }
        }
        let end = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
        let (part, after) = self.rest.split_at(end);
        field.push_str(part.trim_end_matches('\r'));
        self.line += usize::from(after.starts_with('\n'));
        let ended = !after.starts_with(',');
        self.rest = after.get(1..).unwrap_or_default();
        Ok((field, ended))
    }

    fn broken<T>(&self, what: &'static str) -> Result<T> {
        Err(Error::ExamBroken { path: self.path.to_path_buf(), line: self.line, what })
    }
}
