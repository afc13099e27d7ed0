//! The table: medians of both sides, their ratio, the share of what memory gives, peak memory, and which targets are met.

use super::cell::{BANDWIDTH, Cell, Measured, OURS, PLAIN, Rounds, THEIRS, What};

/// Parts of a memory's bandwidth that decoding is to reach, and at which it need not be ahead of llama.cpp any further.
const SHARE_MIN: f64 = 0.85;
const SHARE_ENOUGH: f64 = 0.92;
/// How many times llama.cpp's speed is asked for.
const DECODE: f64 = 1.1;
const PREFILL: f64 = 1.3;
/// Of our quiet speed, beside one busy program for each core.
const BUSY: f64 = 0.4;
/// Of plain decoding, where a text repeats itself.
const REPETITION: f64 = 1.5;
/// Beside the file and the keys and values.
const MEMORY: f64 = 300e6;

/// A model's shape, as far as reading depends on it.
struct Shape {
    hidden: f64,
    layers: f64,
    vocabulary: f64,
}

impl Shape {
    fn of(size: &str) -> Shape {
        Shape { hidden: 4096.0, layers: if size == "7b" { 32.0 } else { 4.0 }, vocabulary: 55_296.0 }
    }

    /// Keys and values of one token in f16.
    fn kv_bytes(&self) -> f64 {
        2.0 * self.layers * self.hidden * 2.0
    }

    /// The embeddings, of which a token reads one row.
    fn embedding_bytes(&self, format: &str) -> f64 {
        self.vocabulary * self.hidden * bits(format) / 8.0
    }
}

/// Bits of a value of the embeddings in files of this scheme.
fn bits(format: &str) -> f64 {
    match format {
        "Q5_K_M" => 5.5,
        "Q6_K" => 6.5625,
        "Q8_0" => 8.5,
        "F16" => 16.0,
        _ => 4.5,
    }
}

/// Prints everything that was measured of `cells`, as Markdown.
pub fn print(measured: &Measured, cells: &[Cell], avx2: bool) {
    println!("\n{}{}\n", measured.machine, if avx2 { ", AVX2 against AVX2" } else { "" });
    if let Some(gigabytes) = measured.bandwidth() {
        println!("{BANDWIDTH}: {:.1} (median of {})\n", median(gigabytes), gigabytes.figures.len());
    }
    println!(
        "| | huacaya | llama.cpp | ratio | of the bandwidth | peak MB, huacaya | llama.cpp | rounds |\n|---|---|---|---|---|---|---|---|"
    );
    for cell in cells {
        let (other, note) = if cell.what == What::Repetition { (PLAIN, " (plain: huacaya)") } else { (THEIRS, "") };
        let (Some(ours), Some(theirs)) = (measured.of(cell, OURS), measured.of(cell, other)) else { continue };
        let share = share(measured, cell).map_or_else(String::new, |share| format!("{:.0} %", 100.0 * share));
        let megabytes = |rounds: &Rounds| rounds.peak / 1_000_000;
        println!(
            "| {}{note} | {:.2} | {:.2} | {:.2} | {share} | {} | {} | {} |",
            cell.name(),
            median(ours),
            median(theirs),
            ratio(cell, ours, theirs),
            megabytes(ours),
            megabytes(theirs),
            ours.figures.len().min(theirs.figures.len())
        );
    }
    println!("\nTargets:\n");
    for cell in cells {
        for (target, reached, met) in judge(measured, cell) {
            println!("- {} {}: {target}: {reached}", if met { "met" } else { "**missed**" }, cell.name());
        }
    }
}

/// How many times better ours is; of milliseconds, fewer are better.
fn ratio(cell: &Cell, ours: &Rounds, theirs: &Rounds) -> f64 {
    if cell.what == What::First { median(theirs) / median(ours) } else { median(ours) / median(theirs) }
}

/// Bytes that are read for a token: the weights without the embeddings, and what is kept of the tokens before it.
fn bytes_per_token(measured: &Measured, cell: &Cell) -> Option<f64> {
    let What::Decode { depth, tokens } = cell.what else { return None };
    let shape = Shape::of(cell.size);
    let before = depth as f64 + tokens as f64 / 2.0;
    Some(measured.size(cell.size, cell.format)? - shape.embedding_bytes(cell.format) + before * shape.kv_bytes())
}

/// The part of the memory's bandwidth that our decoding draws, with all cores and nothing beside it.
fn share(measured: &Measured, cell: &Cell) -> Option<f64> {
    if cell.busy || cell.threads != 0 {
        return None;
    }
    let speed = median(measured.of(cell, OURS)?);
    Some(speed * bytes_per_token(measured, cell)? / (median(measured.bandwidth()?) * 1e9))
}

/// What was asked for of this figure, what was reached, and whether that is enough.
fn judge(measured: &Measured, cell: &Cell) -> Vec<(String, String, bool)> {
    let other = if cell.what == What::Repetition { PLAIN } else { THEIRS };
    let (Some(ours), Some(theirs)) = (measured.of(cell, OURS), measured.of(cell, other)) else { return Vec::new() };
    let ratio = ratio(cell, ours, theirs);
    let at_least = |target: f64| (format!("{target} x"), format!("{ratio:.2} x"), ratio >= target);
    let mut list = Vec::new();
    match cell.what {
        What::Decode { .. } if cell.busy => {
            if let Some(quiet) = measured.of(&cell.busy(false), OURS) {
                let kept = median(ours) / median(quiet);
                list.push((format!("{BUSY} of the quiet speed"), format!("{kept:.2}"), kept >= BUSY));
            }
        }
        What::Decode { depth, .. } => {
            let share = share(measured, cell);
            let enough = depth == 0 && share.is_some_and(|share| share >= SHARE_ENOUGH);
            let (target, reached, met) = at_least(DECODE);
            list.push((target, reached, met || enough));
            if let Some(share) = share.filter(|_| depth == 0) {
                list.push((format!("{SHARE_MIN} of the bandwidth"), format!("{share:.2}"), share >= SHARE_MIN));
            }
            let shallow = cell.shallow();
            if let (true, Some(quick)) = (depth > 0, measured.of(&shallow, OURS)) {
                let explained = bytes_per_token(measured, &shallow).zip(bytes_per_token(measured, cell));
                let explained = explained.map_or(f64::NAN, |(shallow, deep)| shallow / deep);
                let kept = median(ours) / median(quick);
                let words = format!("{explained:.2} of the speed at 0, as the bytes explain");
                list.push((words, format!("{kept:.2}"), kept >= explained));
            }
        }
        What::Prefill(512) if cell.threads == 0 => list.push(at_least(PREFILL)),
        What::First => list.push(at_least(1.0)),
        What::Repetition => list.push(at_least(REPETITION)),
        What::Prefill(_) => {}
    }
    let file = measured.size(cell.size, cell.format).filter(|_| !cell.busy && cell.threads == 0);
    if let (true, Some(file)) = (ours.peak > 0 && cell.what != What::Repetition, file) {
        let extra = ours.peak as f64 - file - cell.tokens() as f64 * Shape::of(cell.size).kv_bytes();
        list.push(("file + KV + 300 MB".into(), format!("{:+.0} MB", extra / 1e6), extra <= MEMORY));
    }
    list
}

pub fn median(rounds: &Rounds) -> f64 {
    let mut figures = rounds.figures.clone();
    figures.sort_by(f64::total_cmp);
    let middle = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
    (middle(figures.len().saturating_sub(1) / 2) + middle(figures.len() / 2)) / 2.0
}
