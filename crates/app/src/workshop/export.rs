//! A report as text: Markdown for people, CSV for tables.

use std::{
    fmt::Write,
    fs,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use huacaya_store::{Report, ReportRow};

use crate::{
    error::{Error, Result},
    import::{part_of, rename},
};

/// A column: its heading with the unit, and a row's value in it ("": not measured).
type Column = (&'static str, fn(&ReportRow) -> String);

const COLUMNS: [Column; 12] = [
    ("Model", |row| row.name.clone()),
    ("Type", |row| row.scheme.clone()),
    ("Size (GiB)", |row| format!("{:.3}", row.bytes as f64 / f64::from(1 << 30))),
    ("Perplexity", |row| row.perplexity.map_or_else(String::new, |one| format!("{:.4}", one.value))),
    ("± standard error", |row| row.perplexity.map_or_else(String::new, |one| format!("{:.4}", one.error))),
    ("KL divergence (nats)", |row| row.divergence.map_or_else(String::new, |one| format!("{:.6}", one.mean))),
    ("Same top token (%)", |row| {
        row.divergence.map_or_else(String::new, |one| format!("{:.2}", 100.0 * one.top_agreement))
    }),
    ("Correct answers", |row| row.accuracy.map_or_else(String::new, |one| format!("{} of {}", one.correct, one.total))),
    ("Prefill (tokens/s)", |row| speed(row.prefill_tokens_s)),
    ("Decode (tokens/s)", |row| speed(row.decode_tokens_s)),
    ("Decode (ms/token)", |row| row.decode_tokens_s.map_or_else(String::new, |speed| format!("{:.1}", 1000.0 / speed))),
    ("Not measured because", |row| row.problem.as_ref().map_or_else(String::new, |problem| problem.detail.clone())),
];

/// In CSV bytes and milliseconds are exact.
const MORE_COLUMNS: [Column; 3] = [
    ("Bytes", |row| row.bytes.to_string()),
    ("Load (ms)", |row| row.load_ms.map_or_else(String::new, |ms| ms.to_string())),
    ("Peak memory (bytes)", |row| row.peak_bytes.map_or_else(String::new, |bytes| bytes.to_string())),
];

fn speed(tokens_s: Option<f64>) -> String {
    tokens_s.map_or_else(String::new, |speed| format!("{speed:.2}"))
}

/// The table of what was measured, how, and the answers side by side.
pub(crate) fn markdown(report: &Report) -> String {
    let mut out = format!("# {}\n\n", inline(&report.title));
    // Writing into a string cannot fail.
    let _ = writeln!(out, "- Source: {}", inline(&report.source_name));
    let _ = writeln!(out, "- Measured: {} on {}", day(report.created_ms), inline(&report.machine));
    if let Some(how) = how(report) {
        let _ = writeln!(out, "- {how}");
    }
    let filled = |(_, value): &&Column| report.rows.iter().any(|row| !value(row).is_empty());
    let columns: Vec<&Column> = COLUMNS.iter().filter(filled).collect();
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    out.push('\n');
    out.push_str(&line(columns.iter().map(|(heading, _)| heading.to_string()).collect()));
    out.push_str(&line(columns.iter().map(|_| "---".to_string()).collect()));
    for row in &report.rows {
        out.push_str(&line(columns.iter().map(|(_, value)| cell(&value(row))).collect()));
    }
    for sample in &report.samples {
        let _ = write!(out, "\n## {}\n", inline(&sample.question));
        for answer in &sample.answers {
            let _ = write!(out, "\n**{}**\n\n", inline(&answer.name));
            // Quoted as code: a model's words are no markup of ours.
            for line in answer.text.lines() {
                let _ = writeln!(out, "    {line}");
            }
        }
    }
    out
}

/// One line a model, RFC 4180; the answers are not part of it.
pub(crate) fn csv(report: &Report) -> String {
    let columns = || COLUMNS.iter().chain(&MORE_COLUMNS);
    let line = |cells: Vec<String>| cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",") + "\r\n";
    let mut out = line(columns().map(|(heading, _)| heading.to_string()).collect());
    for row in &report.rows {
        out.push_str(&line(columns().map(|(_, value)| value(row)).collect()));
    }
    out
}

/// How perplexity and answers were come by.
fn how(report: &Report) -> Option<String> {
    let options = &report.options;
    let read = options.perplexity || options.divergence;
    let text = options.text.as_ref().map_or_else(
        || "the calibration text that comes with Huacaya".to_string(),
        |path| inline(&crate::model_files::file_name(path)),
    );
    let windows = read.then(|| format!("Windows of {} tokens over {text}, as llama.cpp cuts them", options.context));
    let shots = options.evaluation.as_ref().map(|evaluation| {
        let name = inline(&crate::model_files::file_name(&evaluation.path));
        format!("{name}, {} examples before each question", evaluation.shots)
    });
    let all: Vec<String> = windows.into_iter().chain(shots).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// A text within a line: nothing in it begins markup.
fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            letter if letter.is_control() => out.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '!' => out.extend(['\\', letter]),
            letter => out.push(letter),
        }
    }
    out
}

fn cell(value: &str) -> String {
    if value.is_empty() { "–".to_string() } else { inline(value) }
}

fn quoted(value: &str) -> String {
    if value.contains([',', '"', '\r', '\n']) || value.starts_with(['=', '+', '-', '@']) {
        // A table program would compute what begins like a formula.
        let guard = if value.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
        return format!("\"{guard}{}\"", value.replace('"', "\"\""));
    }
    value.to_string()
}

/// 2026-11-23, in UTC.
fn day(ms: i64) -> String {
    let since = UNIX_EPOCH + Duration::from_millis(ms.max(0) as u64);
    let days = since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400) as i64;
    // Howard Hinnant, chrono-compatible low-level date algorithms: civil_from_days.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Writes the file in one step.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let part = part_of(path);
    fs::write(&part, text).map_err(|error| Error::unwritable(path, &error))?;
    rename(&part, path).inspect_err(|_| drop(fs::remove_file(&part)))
}

#[cfg(test)]
mod tests {
    use huacaya_store::{Divergence, MeasureOptions, Perplexity, ReportId, Sample, SampleAnswer};

    use super::*;

    /// The published figures of Chinese-LLaMA-2-7B in F16 and Q4_K.
    fn report() -> Report {
        let row = |scheme: &str, bytes, perplexity| ReportRow {
            name: format!("7B|{scheme}"),
            scheme: scheme.to_string(),
            bytes,
            perplexity: Some(Perplexity { value: perplexity, error: 0.05 }),
            ..ReportRow::default()
        };
        let mut rows = vec![row("F16", 12 << 30, 9.128), row("Q4_K_M", 4 << 30, 9.24)];
        rows[1].divergence = Some(Divergence { mean: 0.012, top_agreement: 0.935 });
        rows[1].decode_tokens_s = Some(25.0);
        Report {
            id: ReportId(1),
            title: "=A, \"B\"".to_string(),
            source_name: "七B".to_string(),
            // 2023-08-02 00:00 UTC.
            created_ms: 1_690_934_400_000,
            machine: "CPU".to_string(),
            options: MeasureOptions { perplexity: true, context: 4096, ..MeasureOptions::default() },
            rows,
            samples: vec![Sample {
                question: "你好？".to_string(),
                answers: vec![SampleAnswer { name: "F16".to_string(), text: "# no\nheading".to_string() }],
            }],
        }
    }

    #[test]
    fn markdown_shows_what_was_measured_and_no_empty_column() {
        let text = markdown(&report());
        assert!(text.contains("Measured: 2023-08-02 on CPU"), "{text}");
        assert!(text.contains("Windows of 4096 tokens"), "{text}");
        assert!(
            text.contains(
                "| 7B\\|Q4\\_K\\_M | Q4\\_K\\_M | 4.000 | 9.2400 | 0.0500 | 0.012000 | 93.50 | 25.00 | 40.0 |"
            ),
            "{text}"
        );
        assert!(text.contains("| 7B\\|F16 | F16 | 12.000 | 9.1280 | 0.0500 | – | – | – | – |"), "{text}");
        assert!(!text.contains("Prefill") && !text.contains("Correct"), "{text}");
        assert!(text.contains("## 你好？\n\n**F16**\n\n    # no\n    heading\n"), "{text}");
    }

    #[test]
    fn csv_has_a_line_for_each_model_and_starts_no_formula() {
        let mut report = report();
        report.rows[0].name = "=SUM(1,2)".to_string();
        let text = csv(&report);
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[1].starts_with("\"'=SUM(1,2)\",F16,12.000,9.1280,0.0500,,"), "{}", lines[1]);
        assert!(lines[2].ends_with(",25.00,40.0,,4294967296,,"), "{}", lines[2]);
    }
}
