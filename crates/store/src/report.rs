//! Reports: what was measured of some models, once and side by side.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use ts_rs::TS;

use crate::error::Attempt;
use crate::sql::{Damaged, integer, json, now_ms, text, to_json};
use crate::{Error, Key, ModelId, Problem, ReportId, Result, Store, Time};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Report {
    pub id: ReportId,
    pub title: String,
    /// What the models were made of, or are compared with.
    pub source_name: String,
    pub created_ms: Time,
    /// Processor, memory, threads: figures of speed are this machine's.
    pub machine: String,
    pub options: MeasureOptions,
    pub rows: Vec<ReportRow>,
    pub samples: Vec<Sample>,
}

/// What is to be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct MeasureOptions {
    pub perplexity: bool,
    /// Of the perplexity's windows, in tokens.
    pub context: u32,
    /// What is read; `None`: the text that comes with the program.
    pub text: Option<PathBuf>,
    /// Against the source, else the first of the models.
    pub divergence: bool,
    pub speed: bool,
    /// Answers of every model to the same questions.
    pub samples: bool,
    pub evaluation: Option<Evaluation>,
}

/// Multiple choice: C-Eval's or CMMLU's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Evaluation {
    pub path: PathBuf,
    /// Examples before each question: 0 or 5.
    pub shots: u32,
}

/// One model of a report. What was not measured is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, TS)]
pub struct ReportRow {
    pub name: String,
    pub model: Option<ModelId>,
    /// "Q4_K_M", "F16", …
    pub scheme: String,
    pub bytes: u64,
    pub perplexity: Option<Perplexity>,
    pub divergence: Option<Divergence>,
    pub accuracy: Option<Accuracy>,
    pub prefill_tokens_s: Option<f64>,
    pub decode_tokens_s: Option<f64>,
    pub load_ms: Option<u64>,
    /// What loading and running it added to the memory of this program.
    pub peak_bytes: Option<u64>,
    /// Why it was not measured, or not to the end.
    #[serde(default)]
    pub problem: Option<Problem>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Perplexity {
    pub value: f64,
    /// One standard error.
    pub error: f64,
}

/// How far a model's predictions are from the ones that it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Divergence {
    /// Mean Kullback-Leibler divergence, in nats.
    pub mean: f64,
    /// How often both find the same token the likeliest: 0 to 1.
    pub top_agreement: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Accuracy {
    pub correct: u32,
    pub total: u32,
}

/// A question, and what each model said to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Sample {
    pub question: String,
    pub answers: Vec<SampleAnswer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SampleAnswer {
    /// The row's name.
    pub name: String,
    pub text: String,
}

impl Default for MeasureOptions {
    /// Nothing, on the text that comes with the program.
    fn default() -> MeasureOptions {
        let (context, text, evaluation) = (CONTEXT_USUAL, None, None);
        MeasureOptions { perplexity: false, context, text, divergence: false, speed: false, samples: false, evaluation }
    }
}

/// llama.cpp's, and most published figures'.
const CONTEXT_USUAL: u32 = 512;
const TITLE_CHARS_MAX: usize = 200;

pub(crate) const V2: &str = "
    CREATE TABLE reports (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        title TEXT NOT NULL,
        source_name TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        machine TEXT NOT NULL,
        options TEXT NOT NULL,
        rows TEXT NOT NULL,
        samples TEXT NOT NULL,
        deleted_ms INTEGER
    ) STRICT;
";

fn read(row: &SqliteRow) -> Report {
    let id = ReportId(integer(row, "id"));
    let mut damaged = Damaged::default();
    let report = Report {
        id,
        title: text(row, "title"),
        source_name: text(row, "source_name"),
        created_ms: integer(row, "created_ms"),
        machine: text(row, "machine"),
        options: json(row, "options", &mut damaged).unwrap_or_default(),
        rows: json(row, "rows", &mut damaged).unwrap_or_default(),
        samples: json(row, "samples", &mut damaged).unwrap_or_default(),
    };
    damaged.problem("reports", id.0);
    report
}

pub(crate) async fn load(conn: &mut SqliteConnection, id: ReportId) -> sqlx::Result<Option<Report>> {
    let query = sqlx::query("SELECT * FROM reports WHERE id = ? AND deleted_ms IS NULL").bind(id);
    Ok(query.fetch_optional(conn).await?.as_ref().map(read))
}

pub(crate) async fn load_all(conn: &mut SqliteConnection) -> sqlx::Result<Vec<Report>> {
    let query = sqlx::query("SELECT * FROM reports WHERE deleted_ms IS NULL ORDER BY created_ms DESC, id DESC");
    Ok(query.fetch_all(conn).await?.iter().map(read).collect())
}

fn title_of(title: &str) -> String {
    let title: String = title.chars().filter(|c| !c.is_control()).take(TITLE_CHARS_MAX).collect();
    title.trim().to_string()
}

impl Store {
    /// `id` and `created_ms` of `report` are ignored.
    pub async fn add_report(&self, report: Report) -> Result<Report> {
        let mut write = self.write("keep the report").await?;
        let attempt = write.attempt;
        let result = sqlx::query(
            "INSERT INTO reports (title, source_name, created_ms, machine, options, rows, samples)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(title_of(&report.title))
        .bind(&report.source_name)
        .bind(now_ms())
        .bind(&report.machine)
        .bind(to_json(&report.options))
        .bind(to_json(&report.rows))
        .bind(to_json(&report.samples))
        .execute(write.conn())
        .await
        .attempt(attempt)?;
        let id = ReportId(result.last_insert_rowid());
        let report = load(write.conn(), id).await.attempt(attempt)?.ok_or(Error::Missing(Key::Report(id)))?;
        write.note(Key::Report(id));
        write.commit().await?;
        Ok(report)
    }

    pub async fn report(&self, id: ReportId) -> Result<Report> {
        let mut tx = self.read("read the report").await?;
        load(&mut tx, id).await.attempt("read the report")?.ok_or(Error::Missing(Key::Report(id)))
    }

    pub async fn rename_report(&self, id: ReportId, title: &str) -> Result<()> {
        let mut write = self.write("rename the report").await?;
        let attempt = write.attempt;
        let update = sqlx::query("UPDATE reports SET title = ? WHERE id = ? AND deleted_ms IS NULL");
        let update = update.bind(title_of(title)).bind(id).execute(write.conn()).await.attempt(attempt)?;
        if update.rows_affected() == 0 {
            return Err(Error::Missing(Key::Report(id)));
        }
        write.note(Key::Report(id));
        write.commit().await
    }

    /// Out of sight; `restore_report` brings it back until it is purged. The models stay.
    pub async fn delete_report(&self, id: ReportId) -> Result<()> {
        self.set_report_deleted(id, Some(now_ms())).await
    }

    pub async fn restore_report(&self, id: ReportId) -> Result<()> {
        self.set_report_deleted(id, None).await
    }

    async fn set_report_deleted(&self, id: ReportId, deleted_ms: Option<Time>) -> Result<()> {
        let mut write = self.write("delete or restore the report").await?;
        let attempt = write.attempt;
        let result = sqlx::query("UPDATE reports SET deleted_ms = ? WHERE id = ? AND (deleted_ms IS NULL) = ?")
            .bind(deleted_ms)
            .bind(id)
            .bind(deleted_ms.is_some())
            .execute(write.conn())
            .await
            .attempt(attempt)?;
        if result.rows_affected() == 0 {
            return Err(Error::Missing(Key::Report(id)));
        }
        write.note(Key::Report(id));
        write.commit().await
    }
}
